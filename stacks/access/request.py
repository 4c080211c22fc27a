"""
One question to IAM, and its answer.

What is asked is what AWS gathers before it evaluates: who, which action, on
what, and the request context with its condition keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

PolicyDocument = Mapping[str, Any]
"""A policy as JSON, every intrinsic in it resolved."""
ContextValue = str | tuple[str, ...]
"""A condition key's value as text, `true`, `1.3`, an ARN; several for a key of many values."""


class PrincipalKind(StrEnum):
    """What sort of principal makes a request."""

    ROLE = "role"
    """A session of a role; `arn` is the role's."""
    USER = "user"
    ROOT = "root"
    """The account's root user; no identity policy holds it back."""
    SERVICE = "service"
    """An AWS service; `arn` is its name, `logs.us-east-1.amazonaws.com`."""
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class AttachedPolicy:
    """
    A policy and what it is called in an answer.

    Attributes:
        name: As an operator finds it: `certificate_store.TaskReadsCertificate`, or a bucket's name.
    """

    name: str
    document: PolicyDocument


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who asks.

    Attributes:
        arn: Of the role, the user or the account's root; a service's name; empty for anonymous.
        account: Of 12 digits; empty for a service and for anonymous.
        session_arn: Of the assumed role's session, `arn:aws:sts::...:assumed-role/NAME/SESSION`; empty for others.
        policies: Its identity policies.
        boundary: Its permissions boundary; None is no boundary.
    """

    kind: PrincipalKind
    arn: str
    account: str
    session_arn: str = ""
    policies: Sequence[AttachedPolicy] = ()
    boundary: AttachedPolicy | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """
    What is asked.

    Attributes:
        action: `s3:GetObject`.
        resource: An ARN.
        owner: The account that owns the resource, 12 digits.
        context: Condition keys, by names in any case, beside those that follow from the principal
            (`aws:PrincipalArn`, `aws:PrincipalAccount`, ...), which the evaluation adds by itself.
    """

    principal: Principal
    action: str
    resource: str
    owner: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)


class Verdict(StrEnum):
    """How IAM decides."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """A statement says Deny."""
    NOT_ALLOWED = "not allowed"
    """No statement says Allow, or none where each of several must."""


@dataclass(frozen=True, slots=True)
class Decision:
    """
    The answer.

    Attributes:
        statement: The statement that decided, `POLICY.SID`; where nothing allowed, what was missing.
    """

    verdict: Verdict
    statement: str

    @property
    def is_allowed(self) -> bool:
        """Whether the request goes through."""
        return self.verdict is Verdict.ALLOWED


class ResourcePolicyKind(StrEnum):
    """How a resource's policy and identity policies go together (IAM guide, policy evaluation logic)."""

    OTHER = "other"
    """In one account either is enough; between accounts both must allow."""
    KEY = "key"
    """A KMS key's: identity policies count only as far as the key policy lets the account (KMS guide, key policies)."""
    TRUST = "trust"
    """A role's trust policy: it alone must allow, and name whom."""


@dataclass(frozen=True, slots=True)
class ResourcePolicy:
    """The policy of what is asked for."""

    policy: AttachedPolicy
    kind: ResourcePolicyKind = ResourcePolicyKind.OTHER
