"""
The outcome of asking who a peer is: a client, or a refusal with its reason (pure).

A refusal is an answer and not an exception. The peer, the audit line and the
metric all carry the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a peer was refused; stable words, partners' engineers build on them."""

    NO_CERTIFICATE = "no_certificate"
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    KEY_MISMATCH = "key_mismatch"
    PENDING = "pending"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REGISTRY_UNAVAILABLE = "registry_unavailable"


@dataclass(frozen=True, slots=True)
class Client:
    """
    An enrolled client, proved for this request.

    Attributes:
        name: As it was enrolled.
        roles: In the registry's order.
    """

    name: str
    roles: tuple[str, ...]


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
