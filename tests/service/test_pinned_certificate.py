"""Who a peer is by its certificate: found by fingerprint, compared by key, judged by the enrollment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from service.contract import ClientState
from service.errors import RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import ClientRecord, InMemoryClientRegistry, PinRecord
from service.identity.peer import Peer
from service.identity.pinned_certificate import PinnedCertificate
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict
from tests.certificates import NOW, TOMORROW, YESTERDAY, client, rsa_key

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
    assert (odd.key, odd.certificate) == (None, None)
    assert verdict(RECORD, b"\x30\x03\x02\x01\x01") == Refused(Reason.UNKNOWN_CERTIFICATE)


RENEWED = client(key=PARTNER.key)
"""Another certificate with the key of the first, as a renewal gives."""

PIN = PinRecord(
    pin=PARTNER.pin,
    client="acme",
    subject_public_key_info=PARTNER.subject_public_key_info,
    state=ClientState.ACTIVE,
    roles=("send",),
    not_before=YESTERDAY,
    not_after=TOMORROW,
)


def by_pin(pin: PinRecord, leaf: bytes = RENEWED.der, *records: ClientRecord) -> Verdict:
    """Identify a peer by a registry that holds a pin."""
    registry = InMemoryClientRegistry(records, pins=[pin])
    return asyncio.run(PinnedCertificate(registry).identify(presented(leaf)))


@pytest.mark.parametrize("state", [ClientState.ACTIVE, ClientState.RETIRING])
def test_a_pinned_key_is_the_client_in_whatever_certificate_it_comes(state: ClientState) -> None:
    assert by_pin(replace(PIN, state=state)) == Client("acme", ("send",))


@pytest.mark.parametrize(
    ("pin", "reason"),
    [
        (replace(PIN, state=ClientState.PENDING), Reason.PENDING),
        (replace(PIN, state=ClientState.REVOKED), Reason.REVOKED),
        (replace(PIN, not_after=YESTERDAY), Reason.EXPIRED),
        (replace(PIN, not_before=TOMORROW), Reason.NOT_YET_VALID),
        (replace(PIN, subject_public_key_info=client().subject_public_key_info), Reason.KEY_MISMATCH),
        (replace(PIN, pin=client().pin), Reason.UNKNOWN_CERTIFICATE),
    ],
    ids=["pending", "revoked", "expired", "not yet", "another key", "another pin"],
)
def test_a_pin_has_a_state_and_dates_of_its_own(pin: PinRecord, reason: Reason) -> None:
    assert by_pin(pin) == Refused(reason)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(RECORD, state=ClientState.REVOKED), Reason.REVOKED),
        (replace(RECORD, state=ClientState.PENDING), Reason.PENDING),
        (replace(RECORD, not_after=YESTERDAY), Reason.EXPIRED),
    ],
    ids=["revoked", "pending", "expired"],
)
def test_a_pin_does_not_revive_a_certificate_that_is_enrolled_itself(record: ClientRecord, reason: Reason) -> None:
    """An attack: the certificate was revoked, and its key is still pinned."""
    assert by_pin(PIN, PARTNER.der, record) == Refused(reason)


WEAK = client(key=rsa_key(1024))


@pytest.mark.parametrize("is_enrolled", [True, False])
def test_a_weak_key_is_nobody_even_when_it_is_enrolled(is_enrolled: bool) -> None:  # noqa: FBT001 -- pytest
    record = replace(
        RECORD,
        fingerprint=Fingerprint(WEAK.fingerprint),
        subject_public_key_info=WEAK.subject_public_key_info,
    )

    assert verdict(record if is_enrolled else None, WEAK.der) == Refused(Reason.WEAK_KEY)


def test_a_leaf_we_cannot_read_whole_gets_in_by_its_key_no_more_than_by_itself() -> None:
    """Its extensions are malformed: the same one twice (RFC 5280, section 4.2)."""
    key_usage, alternative_name = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d11")
    leaf = client(key=PARTNER.key, dns_names=("a.example",)).der.replace(key_usage, alternative_name)
    odd = presented(leaf).peer

    assert (odd.key is not None, odd.certificate) == (True, None)
    assert by_pin(PIN, leaf) == Refused(Reason.UNKNOWN_CERTIFICATE)


def test_an_answer_used_past_its_age_says_so_in_the_verdict() -> None:
    old = replace(RECORD, cause="the registry is away")

    assert verdict(old) == Client("acme", ("send",), cause="the registry is away")
    assert verdict(replace(old, not_after=YESTERDAY)) == Refused(Reason.EXPIRED, "the registry is away")


class BrokenRegistry(InMemoryClientRegistry):
    """A registry that fails."""

    async def find(self, _fingerprint: Fingerprint) -> ClientRecord | None:
        """Fail."""
        raise RegistryUnavailableError("no way there")


def test_a_registry_that_fails_refuses() -> None:
    found = asyncio.run(PinnedCertificate(BrokenRegistry()).identify(presented(PARTNER.der)))

    assert found == Refused(Reason.REGISTRY_UNAVAILABLE, "no way there")


class SlowRegistry(InMemoryClientRegistry):
    """A registry that knows no certificate and takes its time for keys."""

    async def find_pin(self, _pin: str) -> PinRecord | None:
        """Answer never."""
        await asyncio.Event().wait()
        return None


def test_certificate_and_key_together_have_one_budget() -> None:
    """Else a slow registry would keep a peer waiting for twice as long as was promised."""
    slow = PinnedCertificate(SlowRegistry(), budget_seconds=0.05)

    found = asyncio.run(asyncio.wait_for(slow.identify(presented(PARTNER.der)), 1))

    assert found == Refused(Reason.REGISTRY_UNAVAILABLE, "no answers in 0.05 seconds")
