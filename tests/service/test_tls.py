"""TLS without I/O: both sides in memory, carried by hand."""

from __future__ import annotations

import contextlib
import itertools
import os
import ssl
import tempfile
import time
from operator import itemgetter
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from service.boot.server_identity import check_server_identity
from service.boot.tls_context import build_tls_context
from service.connection.tls import Step, TlsConnection
from tests.certificates import HOST_NAME, NOW, YESTERDAY, Authority, Identity, client

AUTHORITY = Authority()
PAIR = AUTHORITY.intermediate().server()
CONTEXT = build_tls_context(check_server_identity(PAIR.chain_pem, PAIR.key_pem, host_name=HOST_NAME, at=NOW))


class Partner:
    """The client's side, by the standard library."""

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        version: ssl.TLSVersion | None = None,
        protocols: tuple[str, ...] = (),
    ) -> None:
        context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if identity is not None:
            with tempfile.TemporaryDirectory() as directory:
                context.load_cert_chain(*identity.write(Path(directory)))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.side = context.wrap_bio(self.incoming, self.outgoing, server_hostname=HOST_NAME)

    def handshake(self, server: TlsConnection, *, fragment: int = 65536) -> None:
        """Carry bytes both ways until both sides are done."""
        for _ in range(10):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.side.do_handshake()
            self.carry(server, fragment)
            if server.peer is not None:
                return
        raise AssertionError("the handshake does not end")

    def carry(self, server: TlsConnection, fragment: int = 65536) -> list[Step]:
        """Take what the client wrote to the server in fragments, and what it answers back."""
        data, steps = self.outgoing.read(), []
        for at in range(0, len(data), fragment):
            steps.append(server.receive(data[at : at + fragment]))
            self.incoming.write(steps[-1].outgoing)
        return steps


VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_finished_handshake_says_who_the_peer_is(version: ssl.TLSVersion) -> None:
    partner, server = client(), TlsConnection(CONTEXT)

    Partner(partner, version=version).handshake(server)

    assert server.peer is not None
    assert str(server.peer.fingerprint) == partner.fingerprint
    assert server.peer.certificate is not None
    assert server.peer.certificate.subject_public_key_info == partner.subject_public_key_info
    assert server.peer.tls_version == version.name.replace("_", ".")
    assert "AES" in server.peer.cipher


def test_what_openssl_holds_against_the_leaf_is_kept_as_words() -> None:
    server = TlsConnection(CONTEXT)

    Partner(client(not_after=YESTERDAY)).handshake(server)

    assert server.peer is not None
    assert server.peer.verify_errors == ("self_signed", "expired")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_chain_is_there_as_it_was_sent(version: ssl.TLSVersion) -> None:
    """
    Leaf first, the root left out.

    leaf <- Test Intermediate <- (Test Root)
    """
    partner, server = Authority().intermediate().client(), TlsConnection(CONTEXT)

    Partner(partner, version=version).handshake(server)

    assert server.peer is not None
    assert server.peer.chain == (partner.der, partner.issuers[0].public_bytes(Encoding.DER))


def cost_of_handshake(issuers: int) -> tuple[float, TlsConnection]:
    """Shake hands with a partner who sends so many issuers, each dear to verify; gives the CPU seconds of our side."""
    key, above = ec.generate_private_key(ec.SECP521R1()), Authority(common_name="0")
    for number in range(issuers):
        above = above.intermediate(key=key, common_name=str(number + 1))
    partner, costs = Partner(above.client()), []

    class Timed(TlsConnection):
        def receive(self, data: bytes) -> Step:
            began = time.process_time()
            try:
                return super().receive(data)
            finally:
                costs.append(time.process_time() - began)

    server = Timed(CONTEXT)
    partner.handshake(server)
    return sum(costs), server


def test_a_chain_without_end_costs_no_more_than_a_long_one() -> None:
    """
    An attack: a hundred signatures to verify fit into a handshake, for a chain that decides nothing.

    leaf <- 90 <- 89 <- ... <- 1 <- (0)
    """
    long = min(cost_of_handshake(10)[0] for _ in range(3))

    endless, server = min((cost_of_handshake(90) for _ in range(3)), key=itemgetter(0))

    assert endless < 3 * long
    assert server.peer is not None
    assert server.peer.verify_errors == ("chain_too_long", "issuer_unknown")
    assert len(server.peer.chain) == 91


def test_a_peer_without_a_certificate_is_no_failure() -> None:
    server = TlsConnection(CONTEXT)

    Partner().handshake(server)

    assert server.peer is not None
    assert (server.peer.fingerprint, server.peer.certificate) == (None, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_may_come_a_byte_at_a_time(version: ssl.TLSVersion) -> None:
    server = TlsConnection(CONTEXT)

    Partner(client(), version=version).handshake(server, fragment=1)

    assert server.peer is not None


@pytest.mark.parametrize("size", [1, 16 * 1024, 16 * 1024 + 1, 1024 * 1024])
def test_what_one_side_says_the_other_hears(size: int) -> None:
    """More than one record too, in either direction."""
    server, partner = TlsConnection(CONTEXT), Partner()
    partner.handshake(server)
    said = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    partner.side.write(said)
    heard = b"".join(record for step in partner.carry(server) for record in step.plaintext)
    partner.incoming.write(server.send(said))
    answered = b""
    while len(answered) < size:
        answered += partner.side.read(65536)

    assert heard == said
    assert answered == said


@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=4),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=8),
    st.sampled_from(VERSIONS),
)
@settings(max_examples=30, deadline=None)
def test_whatever_way_records_are_cut_all_is_heard_as_soon_as_it_is_whole(
    sizes: list[int], cuts: list[int], version: ssl.TLSVersion
) -> None:
    """Headers and records are cut anywhere, and several records come at once."""
    server, partner = TlsConnection(CONTEXT), Partner(version=version)
    partner.handshake(server)
    said = b""
    for size in sizes:
        data = os.urandom(size)
        said += data
        partner.side.write(data)
    stream, heard, fragments = partner.outgoing.read(), b"", itertools.cycle(cuts)

    while stream:
        fragment = next(fragments)
        step = server.receive(stream[:fragment])
        stream = stream[fragment:]
        assert (step.outgoing, step.closed, step.failure) == (b"", False, None)
        heard += b"".join(step.plaintext)

    assert heard == said


def test_something_else_than_a_record_is_answered_at_once_and_not_waited_for() -> None:
    """Its length, read as a record's, would be 8 KiB."""
    server, partner = TlsConnection(CONTEXT), Partner()
    partner.handshake(server)

    step = server.receive(b"GET / HTTP/1.1\r\n\r\n")

    assert step.failure is not None
    assert step.outgoing
    assert server.receive(b"\r\n").failure is not None


def test_what_was_whole_before_the_fault_is_heard() -> None:
    server, partner = TlsConnection(CONTEXT), Partner()
    partner.handshake(server)
    partner.side.write(b"x" * 20_000)

    step = server.receive(partner.outgoing.read() + b"\x17\x03\x03\x00\x20" + b"\x00" * 32 + b"more" * 9_000)

    assert b"".join(step.plaintext) == b"x" * 20_000
    assert step.failure is not None
    assert step.outgoing


def test_the_request_may_come_with_the_end_of_the_handshake() -> None:
    """A TLS 1.3 client sends its Finished and its request in one flight."""
    server, partner = TlsConnection(CONTEXT), Partner(version=ssl.TLSVersion.TLSv1_3)
    with pytest.raises(ssl.SSLWantReadError):
        partner.side.do_handshake()
    partner.carry(server)
    partner.side.do_handshake()
    partner.side.write(b"GET /")

    (step,) = partner.carry(server)

    assert step.plaintext == (b"GET /",)
    assert server.peer is not None


def test_close_notify_is_heard_and_said() -> None:
    server, partner = TlsConnection(CONTEXT), Partner()
    partner.handshake(server)
    with pytest.raises(ssl.SSLWantReadError):
        partner.side.unwrap()

    (step,) = partner.carry(server)
    partner.incoming.write(server.close())

    assert step.closed
    assert step.failure is None
    partner.side.unwrap()


def test_http_1_1_is_chosen_among_protocols() -> None:
    """RFC 7301."""
    server, partner = TlsConnection(CONTEXT), Partner(protocols=("h2", "http/1.1"))

    partner.handshake(server)

    assert partner.side.selected_alpn_protocol() == "http/1.1"


def test_a_client_of_other_protocols_alone_is_refused_with_an_alert() -> None:
    server, partner = TlsConnection(CONTEXT), Partner(protocols=("h2",))
    with pytest.raises(ssl.SSLWantReadError):
        partner.side.do_handshake()

    (step,) = partner.carry(server)

    assert step.failure is not None
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        partner.side.do_handshake()


def test_a_broken_record_ends_the_connection_with_its_alert() -> None:
    server, partner = TlsConnection(CONTEXT), Partner()
    partner.handshake(server)

    step = server.receive(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)

    assert step.failure is not None
    assert step.outgoing


def test_after_a_failure_nothing_is_said_any_more() -> None:
    server = TlsConnection(CONTEXT)
    assert server.receive(b"GET / HTTP/1.1\r\n\r\n").failure is not None

    assert server.send(b"hello") == b""
    assert server.close() == b""


@given(st.binary(min_size=1, max_size=600), st.booleans())
def test_no_bytes_make_it_raise(noise: bytes, is_record: bool) -> None:  # noqa: FBT001 -- two kinds of noise
    server = TlsConnection(CONTEXT)
    data = b"\x16\x03\x01" + len(noise).to_bytes(2) + noise if is_record else noise

    step = server.receive(data)

    assert server.peer is None
    assert step.plaintext == ()
