"""
One question to IAM, and its answer.

What is asked is what AWS gathers before it evaluates: who, which action, on
what, and the request context with its condition keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stacks.access.faults import PolicyFaultError
from stacks.access.matching import ContextValue
from stacks.access.statement import PolicyDocument, Statement, read_policy


class PrincipalKind(StrEnum):
    """What sort of principal makes a request."""

    ROLE = "role"
    """A session of a role; `arn` is the role's."""
    USER = "user"
    ROOT = "root"
    """The account's root user; no identity policy holds it back."""
    SERVICE = "service"
    """An AWS service; `arn` is its name, `logs.us-east-1.amazonaws.com`."""
    FEDERATED = "federated"
    """Somebody an identity provider vouches for, before it has a role; `arn` is the provider's."""
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class AttachedPolicy:
    """
    A policy and what it is called in an answer; it is read when it is made.

    Attributes:
        name: As an operator finds it: `certificate_store.TaskReadsCertificate`, or a bucket's name.
        statements: What is in it.

    Raises:
        PolicyFaultError: The document holds what IAM would refuse or we do not know.
    """

    name: str
    document: PolicyDocument = field(repr=False)
    statements: tuple[Statement, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the document."""
        object.__setattr__(self, "statements", read_policy(self.document, self.name))

    def require(self, *, principals: bool, resources: bool) -> None:
        """
        Require of each statement that it names principals and resources, or that it names none.

        Raises:
            PolicyFaultError: One does not.
        """
        for statement in self.statements:
            if (statement.principals is not None) is not principals:
                word = "names no principal" if principals else "names a principal, which is whoever has the policy"
                raise PolicyFaultError(f"it {word}", policy=self.name, part=statement.name)
            if (statement.resources is not None) is not resources:
                word = "names no resource" if resources else "names a resource, which is what has the policy"
                raise PolicyFaultError(f"it {word}", policy=self.name, part=statement.name)


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who asks.

    Attributes:
        arn: Of the role, the user or the account's root; a service's name; empty for anonymous.
        account: Of 12 digits; empty for a service and for anonymous.
        session_arn: Of the assumed role's session, `arn:aws:sts::...:assumed-role/NAME/SESSION`; empty for others,
            and for a role that no policy names by a session.
        policies: Its identity policies.
        boundary: Its permissions boundary; None is no boundary.
    """

    kind: PrincipalKind
    arn: str
    account: str
    session_arn: str = ""
    policies: Sequence[AttachedPolicy] = ()
    boundary: AttachedPolicy | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that belongs to a resource."""
        for policy in (*self.policies, *([self.boundary] if self.boundary else [])):
            policy.require(principals=False, resources=True)


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
        endpoint_policies: Of the VPC endpoint it comes through; each must allow it too.
    """

    principal: Principal
    action: str
    resource: str
    owner: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)
    endpoint_policies: Sequence[AttachedPolicy] = ()

    def __post_init__(self) -> None:
        """Refuse an endpoint's policy that belongs to a principal."""
        for policy in self.endpoint_policies:
            policy.require(principals=True, resources=True)


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

    def __post_init__(self) -> None:
        """Refuse a policy that belongs to a principal, or to another kind of resource."""
        self.policy.require(principals=True, resources=self.kind is not ResourcePolicyKind.TRUST)
