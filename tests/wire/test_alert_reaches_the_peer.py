"""A handshake that fails ends with its alert, so that the other side can say why."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.certificates import HOST_NAME
from tests.wire.stage import PROXY, Service, client_context, read_to_end

PROTOCOL_VERSION = 70
NO_APPLICATION_PROTOCOL = 120


def client_hello(context: ssl.SSLContext) -> bytes:
    """Take the first flight of a client."""
    outgoing = ssl.MemoryBIO()
    side = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST_NAME)
    with pytest.raises(ssl.SSLWantReadError):
        side.do_handshake()
    return outgoing.read()


def alert_after(service: Service, first_flight: bytes) -> int:
    """Send a first flight and read the fatal alert that answers it (RFC 8446, section 6)."""
    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(PROXY + first_flight)
        record = read_to_end(plain)
    assert record[0] == 21
    assert record[5] == 2
    return record[6]


def test_a_tls_1_1_client_reads_protocol_version(service: Service) -> None:
    hello = bytearray(client_hello(client_context(service.trust, version=ssl.TLSVersion.TLSv1_2)))
    hello[9:11] = b"\x03\x02"  # client_version of the ClientHello: TLS 1.1

    assert alert_after(service, bytes(hello)) == PROTOCOL_VERSION
    assert service.event("handshake_failed", reason="unsupported protocol")


def test_the_alert_arrives_although_more_bytes_were_sent(service: Service) -> None:
    """A socket closed with unread bytes is reset, and the reset overtakes the alert; we read them first."""
    hello = bytearray(client_hello(client_context(service.trust, version=ssl.TLSVersion.TLSv1_2)))
    hello[9:11] = b"\x03\x02"

    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(PROXY + hello)
        record = plain.recv(7)
        for _ in range(10):
            plain.sendall(b"\x00" * 30_000)  # what a server that has closed answers with a reset

        assert plain.recv(1) == b""
    assert (record[0], record[6]) == (21, PROTOCOL_VERSION)


def test_a_client_that_speaks_only_h2_reads_no_application_protocol(service: Service) -> None:
    context = client_context(service.trust)
    context.set_alpn_protocols(["h2"])

    assert alert_after(service, client_hello(context)) == NO_APPLICATION_PROTOCOL


def test_a_client_that_offers_http_1_1_gets_it(service: Service) -> None:
    context = client_context(service.trust)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(PROXY)
        with context.wrap_socket(plain, server_hostname=HOST_NAME) as tls:
            assert tls.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_comes_back(service: Service, version: ssl.TLSVersion) -> None:
    """A resumed session would carry an identity past the handshake that proves it (the class of CVE-2025-23419)."""
    context = client_context(service.trust, version=version)

    def session_after(kept: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        with socket.create_connection(service.address, timeout=5) as plain:
            plain.sendall(PROXY)
            with context.wrap_socket(plain, server_hostname=HOST_NAME, session=kept) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                tls.recv(65536)
                return tls.session, tls.session_reused

    kept, _ = session_after(None)
    _, is_reused = session_after(kept)

    assert is_reused is False
