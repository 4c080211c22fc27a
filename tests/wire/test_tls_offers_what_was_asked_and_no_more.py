"""What a TLS client can find out about us: groups, signatures, no tickets, no renegotiation, no authorities' names."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from tests.certificates import HOST_NAME, Identity, client
from tests.wire.stage import Aws, Service, ask, client_context, read_to_end

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")

ALERT, HANDSHAKE = 21, 22
HANDSHAKE_FAILURE: Final = 40
SERVER_HELLO: Final = 2

P256, P521, X448 = 0x0017, 0x0019, 0x001E
ECDSA_SHA256, RSA_SHA1, ECDSA_SHA1, RSA_SHA224, ECDSA_SHA224 = 0x0403, 0x0201, 0x0203, 0x0301, 0x0303
GCM_ECDSA, CBC_ECDSA = 0xC02B, 0xC023


def client_hello(*, suites: list[int], groups: list[int], signatures: list[int]) -> bytes:
    """Write a ClientHello of TLS 1.2 by hand, as no library would (RFC 5246, section 7.4.1.2)."""

    def numbers(values: list[int]) -> bytes:
        return b"".join(value.to_bytes(2) for value in values)

    def sized(data: bytes, width: int = 2) -> bytes:
        return len(data).to_bytes(width) + data

    extensions = (
        numbers([10]) + sized(sized(numbers(groups))) + numbers([13]) + sized(sized(numbers(signatures)))
    )  # supported_groups, signature_algorithms
    body = b"\x03\x03" + os.urandom(32) + sized(b"", 1) + sized(numbers(suites)) + b"\x01\x00" + sized(extensions)
    return b"\x16\x03\x01" + sized(b"\x01" + sized(body, 3))


def answer_to(service: Service, hello: bytes) -> tuple[int, int]:
    """Send it, and read type and word of the first record: an alert's description or a message's type."""
    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(hello)
        plain.shutdown(socket.SHUT_WR)
        record = read_to_end(plain)
    return record[0], record[6] if record[0] == ALERT else record[5]


RIGHT: Final = {"suites": [GCM_ECDSA], "groups": [P256], "signatures": [ECDSA_SHA256]}


def test_a_hello_by_hand_is_answered(direct_service: Service) -> None:
    """So that the next test fails for its one fault."""
    assert answer_to(direct_service, client_hello(**RIGHT)) == (HANDSHAKE, SERVER_HELLO)


@pytest.mark.parametrize(
    "fault",
    [
        {"suites": [CBC_ECDSA]},
        {"groups": [P521]},
        {"groups": [X448]},
        {"signatures": [RSA_SHA1, ECDSA_SHA1]},
        {"signatures": [RSA_SHA224, ECDSA_SHA224]},
    ],
    ids=["CBC", "P-521", "X448", "SHA-1", "SHA-224"],
)
def test_a_client_with_nothing_else_to_offer_reads_handshake_failure(
    direct_service: Service, fault: dict[str, list[int]]
) -> None:
    assert answer_to(direct_service, client_hello(**RIGHT | fault)) == (ALERT, HANDSHAKE_FAILURE)


def test_a_client_that_can_is_met_on_the_hybrid_group(direct_service: Service) -> None:
    """X25519MLKEM768: what is recorded today is not read by a quantum computer later."""
    with socket.create_connection(direct_service.address, timeout=5) as plain:
        plain.settimeout(None)  # what pyOpenSSL can wait on
        opened = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), plain)
        opened.set_connect_state()
        opened.do_handshake()

        assert opened.get_group_name() == "X25519MLKEM768"


@pytest.mark.parametrize(("version", "status"), [(ssl.TLSVersion.TLSv1_2, None), (ssl.TLSVersion.TLSv1_3, 200)])
def test_a_client_s_key_on_p_521_needs_tls_1_3(
    aws: Aws, service: Service, version: ssl.TLSVersion, status: int | None
) -> None:
    """TLS 1.2 ties the curves of certificates to the groups (RFC 8422, section 5.1), TLS 1.3 does not."""
    partner = client(key=ec.generate_private_key(ec.SECP521R1()))
    aws.enroll(partner, "acme")

    if status is None:
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            ask(service, partner, version=version)
    else:
        assert ask(service, partner, version=version).status == status


def test_no_ticket_is_sent(service: Service) -> None:
    """Not even one that would be refused: TLS 1.3 sends two unless told otherwise."""
    context = client_context(service.trust, version=ssl.TLSVersion.TLSv1_3)
    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(b"PROXY UNKNOWN\r\n")
        with context.wrap_socket(plain, server_hostname=HOST_NAME) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert tls.recv(65536)
            assert tls.session is not None
            assert not tls.session.has_ticket


def s_client(service: Service, *options: str, given: str) -> str:
    """Run OpenSSL's client and give all it says; its commands are letters at the beginning of a line."""
    host, port = service.address
    done = subprocess.run(  # noqa: S603 -- the system's client
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST_NAME, *options],  # noqa: S607 -- the same
        input=given,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return done.stdout + done.stderr


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_names_of_authorities_are_sent(direct_service: Service, version: str) -> None:
    """With a list, Java and Schannel send nothing when none of it fits (kroxylicious issue 2744)."""
    assert "No client certificate CA names sent" in s_client(direct_service, version, given="Q\n")


@needs_openssl
def test_renegotiation_is_refused(direct_service: Service) -> None:
    said = s_client(direct_service, "-tls1_2", given="R\n")

    assert "RENEGOTIATING" in said
    assert re.search("(?i)no renegotiation", said)


@needs_openssl
def test_a_key_update_is_answered_and_the_connection_goes_on(direct_service: Service) -> None:
    """RFC 8446, section 4.6.3: the client asks us to change our key too."""
    host, port = direct_service.address
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST_NAME, "-tls1_3"]
    process = subprocess.Popen(  # noqa: S603 -- the system's client
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    with process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("both are pipes")
        process.stdin.write(b"K\n")
        said = b""
        while b"KEYUPDATE" not in said:
            said += process.stdout.read(4096)
        process.stdin.write(f"GET / HTTP/1.1\r\nhost: {HOST_NAME}\r\nconnection: close\r\n\r\n".encode())
        while chunk := process.stdout.read(65536):
            said += chunk

    assert b"HTTP/1.1 403" in said


def padded(bytes_wanted: int) -> Identity:
    """Make a client certificate as large as that: some partners put a picture or a policy in theirs."""
    return client(dns_names=tuple(f"{number:059d}.a.example" for number in range(bytes_wanted // 70)))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_200_kib_is_refused(service: Service, version: ssl.TLSVersion) -> None:
    """OpenSSL takes 100 KiB of certificates; more would be memory for whoever wants it."""
    huge = padded(200 * 1024)
    assert len(huge.der) > 200 * 1024

    with pytest.raises((ssl.SSLError, ConnectionResetError)) as caught:
        ask(service, huge, version=version)

    assert "excessive" in service.event("handshake_failed", reason="excessive message size")["reason"]
    assert "EOF" not in str(caught.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_of_60_kib_is_answered(service: Service, version: ssl.TLSVersion) -> None:
    large = padded(60 * 1024)

    answer = ask(service, large, version=version)

    assert answer.document["fingerprint"] == large.fingerprint
