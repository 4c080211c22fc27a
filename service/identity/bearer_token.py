"""
Who a peer is by the bearer token it sent: `Authorization: Bearer` (RFC 6750).

A token in three parts with dots between is a JWT of the configured issuer;
every other one is opaque and looked up in the registry by its SHA-256. Either
kind can be bound to the certificate of the connection (RFC 8705, section 3),
and where the binding is demanded nobody gains by stealing one.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, assert_never

from service.contract import ClientState, TokenBinding
from service.errors import RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import TokenRecord
from service.identity.json_web_token import Claims, TokenVerifier, Wrong, digest_of, is_bound_to
from service.identity.key_set import KeySet
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Half of what a request's head may have; tokens over 8 KiB are hardly ever accepted anywhere."""

ISSUERS_NAME: Final = "token:"
"""
Stands before a name that only an issuer uses, and in no name of the registry.

An issuer may let its users choose their names; none of them is to be taken for
a client of the registry, by an audit's reader or by an application.
"""

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1: `b64token`."""
_DOTS_OF_A_JWT: Final = 2


class TokenRegistry(Protocol):
    """What is needed of the client registry."""

    async def find_token(self, digest: str) -> TokenRecord | None:
        """Look one token up; raises RegistryUnavailableError."""


class KeySets(Protocol):
    """
    The issuer's keys, as they are kept.

    Attributes:
        fault: Why there is no newer set than there is.
    """

    fault: str | None

    async def first(self) -> KeySet | None:
        """Give the set in force; None when there has been none yet."""

    async def newer(self, than: KeySet) -> KeySet | None:
        """Give a newer set, if there is one to be had."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose JWT are taken."""

    verifier: TokenVerifier
    keys: KeySets


class BearerToken:
    """
    Identifies peers by their token.

    Args:
        registry: Knows opaque tokens.
        issuer: None takes no JWT.
        binding: Whether a token counts only with the certificate it was issued for.
    """

    def __init__(self, registry: TokenRegistry, *, issuer: Issuer | None, binding: TokenBinding) -> None:
        self._registry = registry
        self._issuer = issuer
        self._is_binding_required = binding is TokenBinding.REQUIRED

    async def identify(self, presented: Presented) -> Verdict:
        """Say which client the token names at this moment, or why it names none; whatever fails refuses."""
        token = read_token(presented)
        if isinstance(token, Refused):
            return token
        if token.count(b".") != _DOTS_OF_A_JWT:
            return await self._find(token, presented)
        if self._issuer is None:
            return Refused(Reason.TOKEN_INVALID, "it is a JWT, and no issuer is configured")
        return await self._verify(token, presented, self._issuer)

    async def _find(self, token: bytes, presented: Presented) -> Verdict:
        try:
            record = await self._registry.find_token(digest_of(token))
        except RegistryUnavailableError as error:
            return Refused(Reason.REGISTRY_UNAVAILABLE, error.cause)
        if record is None:
            return Refused(Reason.TOKEN_INVALID, "it is in no record of the registry")
        fault = _fault_of(record, presented.at)
        if fault is not None:
            return Refused(Reason.TOKEN_INVALID, fault)
        shown = presented.peer.fingerprint
        is_bound = record.fingerprint is not None and _is_same(record.fingerprint, shown)
        refused = self._judge_binding(is_said=record.fingerprint is not None, is_bound=is_bound)
        return refused or Client(record.client, record.roles, record.scopes, cause=record.cause)

    async def _verify(self, token: bytes, presented: Presented, issuer: Issuer) -> Verdict:
        keys = await issuer.keys.first()
        if keys is None:
            return Refused(Reason.REGISTRY_UNAVAILABLE, f"no key set of the tokens' issuer yet: {issuer.keys.fault}")
        found = issuer.verifier.verify(token, keys, at=presented.at)
        if isinstance(found, Wrong) and found.names_unknown_key:
            newer = await issuer.keys.newer(keys)
            found = found if newer is None else issuer.verifier.verify(token, newer, at=presented.at)
        if isinstance(found, Wrong):
            return Refused(Reason.TOKEN_INVALID, found.cause)
        return self._judge(found, presented.peer.fingerprint)

    def _judge(self, claims: Claims, shown: Fingerprint | None) -> Verdict:
        is_bound = shown is not None and is_bound_to(claims.confirmation, bytes.fromhex(shown.hex))
        refused = self._judge_binding(is_said=claims.confirmation is not None, is_bound=is_bound)
        return refused or Client(ISSUERS_NAME + claims.client, claims.roles, claims.scopes, is_named_by_registry=False)

    def _judge_binding(self, *, is_said: bool, is_bound: bool) -> Refused | None:
        """Refuse a token bound to another certificate always, and one bound to none where binding is demanded."""
        if is_bound:
            return None
        if is_said:
            return Refused(Reason.TOKEN_NOT_BOUND, "it is bound to another certificate, or in another way")
        if self._is_binding_required:
            return Refused(Reason.TOKEN_NOT_BOUND, "it is bound to no certificate, and must be")
        return None


def read_token(presented: Presented) -> bytes | Refused:
    """
    Find the token of a request: one Authorization field, no more.

    Neither a form field nor a query parameter counts (RFC 6750, sections 2.2 and 2.3, advises against both).
    """
    fields = presented.header(b"authorization")
    if not fields:
        return Refused(Reason.TOKEN_MISSING)
    if len(fields) > 1:
        return Refused(Reason.TOKEN_INVALID, "there is more than one Authorization field")
    scheme, _, token = fields[0].strip(b" \t").partition(b" ")
    if scheme.lower() != b"bearer":
        return Refused(Reason.TOKEN_MISSING, "the Authorization field is of another scheme")
    token = token.lstrip(b" ")
    if len(token) > MAX_TOKEN_BYTES:
        return Refused(Reason.TOKEN_INVALID, f"it is longer than {MAX_TOKEN_BYTES} bytes")
    if not _TOKEN.fullmatch(token):
        return Refused(Reason.TOKEN_INVALID, "it is malformed")
    return token


def _fault_of(record: TokenRecord, at: datetime) -> str | None:
    """Tell why a token we issued does not count now; its holder learns only that it does not."""
    match record.state:
        case ClientState.REVOKED:
            return "it is revoked"
        case ClientState.PENDING:
            return "it is pending"
        case ClientState.ACTIVE | ClientState.RETIRING:
            pass
        case _:
            assert_never(record.state)
    if at < record.not_before:
        return "it does not count yet"
    return "it has expired" if at > record.not_after else None


def _is_same(one: Fingerprint, other: Fingerprint | None) -> bool:
    return other is not None and hmac.compare_digest(one.hex, other.hex)
