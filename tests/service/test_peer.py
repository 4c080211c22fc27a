"""What the handshake proved, read only as far as somebody asks."""

from __future__ import annotations

from service.identity.peer import Peer
from tests.certificates import client

PARTNER = client()


class Chain:
    """Counts how often the chain is read."""

    def __init__(self, *certificates: bytes) -> None:
        self.certificates = certificates
        self.reads = 0

    def __call__(self) -> tuple[bytes, ...]:
        """Read it."""
        self.reads += 1
        return self.certificates


def peer(leaf: bytes | None, chain: Chain) -> Peer:
    """Describe a handshake in which this leaf was shown."""
    return Peer.of_handshake(leaf, verify_errors=(), tls_version="TLSv1.3", cipher="any", group=None, read_chain=chain)


def test_what_costs_time_is_read_once_and_only_when_asked_for() -> None:
    chain = Chain(PARTNER.der, b"its issuer")
    shown = peer(PARTNER.der, chain)
    assert chain.reads == 0

    assert shown.chain == shown.chain == (PARTNER.der, b"its issuer")
    assert shown.certificate is shown.certificate
    assert shown.key is shown.key
    assert chain.reads == 1


def test_key_and_certificate_are_of_the_leaf() -> None:
    shown = peer(PARTNER.der, Chain(PARTNER.der))

    assert shown.key is not None
    assert shown.certificate is not None
    assert (shown.key.der, shown.key.pin) == (PARTNER.subject_public_key_info, PARTNER.pin)
    assert shown.certificate.fingerprint == shown.fingerprint


def test_a_chain_that_nobody_reads_is_the_leaf() -> None:
    assert peer(PARTNER.der, Chain()).chain == (PARTNER.der,)


def test_who_showed_nothing_has_nothing() -> None:
    shown = peer(None, Chain())

    assert (shown.fingerprint, shown.key, shown.certificate, shown.chain) == (None, None, None, ())


def test_no_certificate_is_in_what_is_printed_of_a_peer() -> None:
    assert "leaf" not in repr(peer(PARTNER.der, Chain()))
