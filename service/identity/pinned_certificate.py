"""
Who a peer is by the certificate it showed: the direct trust of IHE ITI-19, section 3.19.6.1.2.

The peer proved in the handshake that it holds the leaf's key. Here the leaf is
looked up by its fingerprint, the key compared byte for byte with the one kept
at enrollment, and the enrollment's own state and dates decide. Who signed the
leaf, what it may be used for and what it says of its validity decide nothing.
A certificate that is not enrolled may come with a key that is: such a pin
survives renewals, and has a state and dates of its own.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from datetime import datetime
from typing import assert_never

from service.contract import ClientState
from service.errors import RegistryUnavailableError
from service.identity.certificate import SubjectPublicKeyInfo
from service.identity.client_registry import LOOKUP_BUDGET_SECONDS, ClientRecord, ClientRegistry, PinRecord
from service.identity.peer import Peer
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict


class PinnedCertificate:
    """
    Identifies peers by the registry.

    Args:
        registry: Is asked for the certificate, and for its key if that is unknown.
        budget_seconds: For both lookups together.
    """

    def __init__(self, registry: ClientRegistry, *, budget_seconds: float = LOOKUP_BUDGET_SECONDS) -> None:
        self._registry = registry
        self._budget_seconds = budget_seconds

    async def identify(self, presented: Presented) -> Verdict:
        """
        Say which client the peer is at this moment, or why it is none; a registry that fails refuses.

        A weak key identifies nobody, enrolled or not: what it proves could be
        proved by somebody else. A certificate that is enrolled itself is
        decided by its own record alone, so that a pin of its key never
        revives what was revoked.
        """
        peer = presented.peer
        if peer.fingerprint is None:
            return Refused(Reason.NO_CERTIFICATE)
        key = peer.key
        if key is None:
            return Refused(Reason.UNKNOWN_CERTIFICATE)
        if key.weakness is not None:
            return Refused(Reason.WEAK_KEY)
        asked = time.monotonic()
        try:
            record = await self._registry.find(peer.fingerprint) or await self._find_pin(peer, key, asked=asked)
        except RegistryUnavailableError as error:
            return Refused(Reason.REGISTRY_UNAVAILABLE, error.cause)
        if record is None:
            return Refused(Reason.UNKNOWN_CERTIFICATE)
        return judge(record, key, at=presented.at)

    async def _find_pin(self, peer: Peer, key: SubjectPublicKeyInfo, *, asked: float) -> PinRecord | None:
        """Look the key up, within what the first lookup left of the budget."""
        if peer.certificate is None:
            # What cannot be read whole could not have been enrolled, and gets in by its key no more than by itself.
            return None
        try:
            async with asyncio.timeout(self._budget_seconds - (time.monotonic() - asked)):
                return await self._registry.find_pin(key.pin)
        except TimeoutError:
            raise RegistryUnavailableError(f"no answers in {self._budget_seconds} seconds") from None


def judge(record: ClientRecord | PinRecord, key: SubjectPublicKeyInfo, *, at: datetime) -> Verdict:
    """Decide about a key whose record, or whose certificate's record, was found (pure)."""
    if not hmac.compare_digest(record.subject_public_key_info, key.der):
        return Refused(Reason.KEY_MISMATCH, record.cause)
    match record.state:
        case ClientState.REVOKED:
            return Refused(Reason.REVOKED, record.cause)
        case ClientState.PENDING:
            return Refused(Reason.PENDING, record.cause)
        case ClientState.ACTIVE | ClientState.RETIRING:
            return _judge_dates(record, at)
        case _:
            assert_never(record.state)


def _judge_dates(record: ClientRecord | PinRecord, at: datetime) -> Verdict:
    if at < record.not_before:
        return Refused(Reason.NOT_YET_VALID, record.cause)
    if at > record.not_after:
        return Refused(Reason.EXPIRED, record.cause)
    return Client(record.client, record.roles, cause=record.cause, not_after=record.not_after)
