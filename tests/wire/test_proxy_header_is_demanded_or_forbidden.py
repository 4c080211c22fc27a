"""Every connection opens with a PROXY header, or none does: whatever the setting says."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.certificates import HOST_NAME, client
from tests.wire.stage import PROXY, Aws, Service, ask, client_context, connection, read_to_end

V2 = b"\r\n\r\n\x00\r\nQUIT\n"
NO_HEADER = (
    "the connection began with a TLS ClientHello: the load balancer sends no header; "
    "bind a ProxyProtocol policy to its instance port"
)
ENDED_IN_THE_HANDSHAKE = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""How Python says it; before 3.11.4 it takes every end for an orderly one."""


def fragments(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes into pieces."""
    return (data[at : at + size] for at in range(0, len(data), size))


def hello(trust: bytes) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Make a client's side of TLS that waits to be carried by hand; its ClientHello is in the second BIO."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = client_context(trust).wrap_bio(incoming, outgoing, server_hostname=HOST_NAME)
    with pytest.raises(ssl.SSLWantReadError):
        side.do_handshake()
    return side, incoming, outgoing


def test_without_the_header_the_connection_ends_before_tls(service: Service) -> None:
    """What a partner sees when the balancer's ProxyProtocol policy is missing."""
    with pytest.raises(ENDED_IN_THE_HANDSHAKE):
        ask(service, client(), proxy=b"")

    service.event("proxy_header_refused", reason=NO_HEADER)


def test_a_header_that_is_forbidden_ends_the_connection(direct_service: Service) -> None:
    """Otherwise any peer could name itself whoever it likes."""
    with pytest.raises(ENDED_IN_THE_HANDSHAKE):
        ask(direct_service, client(), proxy=PROXY)

    direct_service.event("proxy_header_refused", reason="a header found where the setting forbids it")


def test_a_connection_that_ends_within_the_header_leaves_a_line(service: Service) -> None:
    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(PROXY[:20])

    service.event("proxy_header_refused", reason="the connection ended within the header")


def test_a_second_header_by_the_peer_itself_is_no_tls(service: Service) -> None:
    """The balancer's line counts, and a peer behind it cannot add another."""
    with pytest.raises(ssl.SSLError):
        ask(service, client(), proxy=PROXY + b"PROXY TCP4 198.51.100.1 203.0.113.9 1 443\r\n")

    assert service.event("handshake_failed", peer_address="192.0.2.7")


def test_where_it_is_forbidden_the_socket_s_own_address_counts(aws: Aws, direct_service: Service) -> None:
    partner = client()
    aws.enroll(partner, "direct")

    with connection(direct_service, partner, proxy=b"") as opened:
        answer = opened.get()
        port = opened.tls.getsockname()[1]

    assert (answer.document["address"], answer.document["port"]) == ("127.0.0.1", port)


def test_version_2_is_taken_as_well_as_version_1(aws: Aws, service: Service) -> None:
    """A Network Load Balancer sends it; the address in it is the one the answer shows."""
    partner = client()
    aws.enroll(partner, "behind-nlb")
    header = V2 + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 9, 203, 0, 113, 9, 0xC9, 0x3A, 1, 187])

    answer = ask(service, partner, proxy=header)

    assert (answer.document["address"], answer.document["port"]) == ("192.0.2.9", 51514)


def test_a_local_command_counts_for_the_balancer_itself(aws: Aws, service: Service) -> None:
    partner = client()
    aws.enroll(partner, "balancer")

    answer = ask(service, partner, proxy=V2 + b"\x20\x00\x00\x00")

    assert answer.document["address"] == "127.0.0.1"


@pytest.mark.parametrize("header", [PROXY, V2 + b"\x21\x11\x00\x0c" + bytes(12)], ids=["version 1", "version 2"])
@pytest.mark.parametrize("size", [1, 2, 7, 40, 100_000], ids=lambda size: f"{size} bytes at a time")
def test_header_and_client_hello_may_come_in_any_fragments(service: Service, size: int, header: bytes) -> None:
    """Byte by byte, or glued together in one segment: the handshake goes on."""
    side, incoming, outgoing = hello(service.trust)

    with socket.create_connection(service.address, timeout=5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for fragment in fragments(header + outgoing.read(), size):
            plain.sendall(fragment)
        while not side.version() or side.cipher() is None:
            incoming.write(plain.recv(65536))
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue

    assert side.version() == "TLSv1.3"


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        V2 + b"\x21\x12\x00\x0c",
        b"PROXY TCP4 " + b"1" * 200,
        V2 + b"\x21\x11" + (2049 - 16).to_bytes(2, "big"),
        b"\x00" * 64,
    ],
    ids=["plain HTTP", "version 2 of UDP", "a line without end", "announced as over 2 KiB", "nothing sensible"],
)
def test_anything_else_is_closed_without_a_word(service: Service, opening: bytes) -> None:
    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(opening)
        began = time.monotonic()

        assert read_to_end(plain) == b""
        assert time.monotonic() - began < 2  # at once, and not by its deadline


def test_connecting_and_closing_is_no_news(aws: Aws, service: Service) -> None:
    """Probes of balancers and scanners do that all day: with and without the header, not a line."""
    partner = client()
    aws.enroll(partner, "acme")
    ports = []
    for opening in (b"", PROXY, V2 + b"\x20\x00\x00\x00"):
        with socket.create_connection(service.address, timeout=5) as plain:
            plain.sendall(opening)
            ports.append(plain.getsockname()[1])

    answer = ask(service, partner)

    service.event("request", request_id=answer.document["request_id"])
    assert [line for line in service.events if line.get("peer_port") in ports] == []
