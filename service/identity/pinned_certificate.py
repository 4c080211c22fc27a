"""
Who a peer is by the certificate it showed: the direct trust of IHE ITI-19, section 3.19.6.1.2.

The peer proved in the handshake that it holds the leaf's key. Here the leaf is
looked up by its fingerprint, the key compared byte for byte with the one kept
at enrollment, and the enrollment's own state and dates decide. Who signed the
leaf, what it may be used for and what it says of its validity decide nothing.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import assert_never

from service.contract import ClientState
from service.errors import RegistryUnavailableError
from service.identity.certificate import Certificate
from service.identity.client_registry import ClientRecord, ClientRegistry
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict


class PinnedCertificate:
    """Identifies peers by the registry."""

    def __init__(self, registry: ClientRegistry) -> None:
        self._registry = registry

    async def identify(self, presented: Presented) -> Verdict:
        """Say which client the peer is at this moment, or why it is none; a registry that fails refuses."""
        peer = presented.peer
        if peer.fingerprint is None:
            return Refused(Reason.NO_CERTIFICATE)
        if peer.certificate is None:
            return Refused(Reason.UNKNOWN_CERTIFICATE)
        try:
            record = await self._registry.find(peer.fingerprint)
        except RegistryUnavailableError as error:
            return Refused(Reason.REGISTRY_UNAVAILABLE, error.cause)
        if record is None:
            return Refused(Reason.UNKNOWN_CERTIFICATE)
        return judge(record, peer.certificate, at=presented.at)


def judge(record: ClientRecord, certificate: Certificate, *, at: datetime) -> Verdict:
    """Decide about a certificate whose record was found (pure)."""
    if not hmac.compare_digest(record.subject_public_key_info, certificate.subject_public_key_info):
        return Refused(Reason.KEY_MISMATCH)
    match record.state:
        case ClientState.REVOKED:
            return Refused(Reason.REVOKED)
        case ClientState.PENDING:
            return Refused(Reason.PENDING)
        case ClientState.ACTIVE | ClientState.RETIRING:
            return _judge_dates(record, at)
        case _:
            assert_never(record.state)


def _judge_dates(record: ClientRecord, at: datetime) -> Verdict:
    if at < record.not_before:
        return Refused(Reason.NOT_YET_VALID)
    if at > record.not_after:
        return Refused(Reason.EXPIRED)
    return Client(record.client, record.roles, cause=record.cause)
