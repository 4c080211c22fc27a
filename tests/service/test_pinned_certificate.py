"""Who a peer is by its certificate: found by fingerprint, compared by key, judged by the enrollment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from service.contract import ClientState
from service.errors import RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import ClientRecord, InMemoryClientRegistry
from service.identity.peer import Peer
from service.identity.pinned_certificate import PinnedCertificate
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict
from tests.certificates import NOW, TOMORROW, YESTERDAY, client

PARTNER = client()
RECORD = ClientRecord(
    fingerprint=Fingerprint(PARTNER.fingerprint),
    client="acme",
    subject_public_key_info=PARTNER.subject_public_key_info,
    state=ClientState.ACTIVE,
    roles=("send",),
    not_before=YESTERDAY,
    not_after=TOMORROW,
)


def presented(leaf: bytes | None) -> Presented:
    """Make a request of a peer that showed a leaf."""
    peer = Peer.of_handshake(leaf, verify_errors=(), tls_version="TLSv1.3", cipher="any", group=None)
    return Presented(peer, "GET", b"/", headers=(), read_body=no_body, at=NOW)


async def no_body(_max_bytes: int) -> bytes:
    """Read a body that is empty."""
    return b""


def verdict(record: ClientRecord | None, leaf: bytes | None = PARTNER.der) -> Verdict:
    """Identify a peer by a registry of one record or none."""
    registry = InMemoryClientRegistry([record] if record else [])
    return asyncio.run(PinnedCertificate(registry).identify(presented(leaf)))


@pytest.mark.parametrize("state", [ClientState.ACTIVE, ClientState.RETIRING])
def test_an_enrolled_key_is_the_client(state: ClientState) -> None:
    assert verdict(replace(RECORD, state=state)) == Client("acme", ("send",))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, Reason.UNKNOWN_CERTIFICATE),
        (replace(RECORD, subject_public_key_info=client().subject_public_key_info), Reason.KEY_MISMATCH),
        (replace(RECORD, state=ClientState.PENDING), Reason.PENDING),
        (replace(RECORD, state=ClientState.REVOKED), Reason.REVOKED),
        (replace(RECORD, not_after=YESTERDAY), Reason.EXPIRED),
        (replace(RECORD, not_before=TOMORROW), Reason.NOT_YET_VALID),
        (replace(RECORD, state=ClientState.REVOKED, not_after=YESTERDAY), Reason.REVOKED),
    ],
)
def test_everything_else_is_refused_with_its_reason(record: ClientRecord | None, reason: Reason) -> None:
    assert verdict(record) == Refused(reason)


def test_it_counts_from_its_first_second_to_its_last() -> None:
    edges = replace(RECORD, not_before=NOW, not_after=NOW)

    assert isinstance(verdict(edges), Client)
    assert verdict(replace(edges, not_after=NOW - timedelta(seconds=1))) == Refused(Reason.EXPIRED)


def test_without_a_leaf_there_is_nobody_to_look_up() -> None:
    assert verdict(RECORD, None) == Refused(Reason.NO_CERTIFICATE)


def test_a_leaf_we_cannot_read_was_never_enrolled_either() -> None:
    """OpenSSL reads a few forms our parser does not; the fingerprint is still shown."""
    odd = presented(b"\x30\x03\x02\x01\x01").peer

    assert odd.fingerprint is not None
    assert odd.certificate is None
    assert verdict(RECORD, b"\x30\x03\x02\x01\x01") == Refused(Reason.UNKNOWN_CERTIFICATE)


class BrokenRegistry(InMemoryClientRegistry):
    """A registry that fails."""

    async def find(self, _fingerprint: Fingerprint) -> ClientRecord | None:
        """Fail."""
        raise RegistryUnavailableError("no way there")


def test_a_registry_that_fails_refuses() -> None:
    found = asyncio.run(PinnedCertificate(BrokenRegistry()).identify(presented(PARTNER.der)))

    assert found == Refused(Reason.REGISTRY_UNAVAILABLE, "no way there")
