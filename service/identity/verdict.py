"""
The outcome of asking who a peer is: a client, or a refusal with its reason (pure).

A refusal is an answer and not an exception. The peer, the audit line and the
metric all carry the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """Why a peer was refused; stable words, partners' engineers build on them."""

    NO_CERTIFICATE = "no_certificate"
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    KEY_MISMATCH = "key_mismatch"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    PENDING = "pending"
    WEAK_KEY = "weak_key"
    CHAIN_UNTRUSTED = "chain_untrusted"
    TOKEN_MISSING = "token_missing"
    TOKEN_INVALID = "token_invalid"
    TOKEN_NOT_BOUND = "token_not_bound"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_INVALID = "signature_invalid"
    ASSERTION_MISSING = "assertion_missing"
    ASSERTION_INVALID = "assertion_invalid"
    NOT_PERMITTED = "not_permitted"
    REGISTRY_UNAVAILABLE = "registry_unavailable"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class Client:
    """
    A client, proved for this request.

    Attributes:
        name: As it was enrolled, or as its token says.
        roles: In the registry's order.
        scopes: What its token allows, in the token's order.
        is_named_by_registry: Whether the name is one of ours; a token's issuer may use names of its own.
        cause: What the audit should say beside it, such as an answer of the registry used past its age.
        not_after: When the enrollment of the certificate or key that it was known by ends; None where none was asked.
    """

    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    is_named_by_registry: bool = True
    cause: str | None = None
    not_after: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """
    No, and why.

    Attributes:
        cause: What is behind a reason that is our own fault; for the audit, never for the peer.
    """

    reason: Reason
    cause: str | None = None


Verdict = Client | Refused
