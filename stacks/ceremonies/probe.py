"""
The mutual-TLS client: one request, one answer, and in words what came of it.

Standard library alone, so that it shows what any client would see. One
deadline covers everything after the name is resolved, and no answer is read
past its limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from stacks.ceremonies.probe_faults import Fault, ProbeFailedError, ProbeUsageError, faults_in_words, in_words

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer  # exists for type checkers only

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""Twice what a handshake through a balancer takes on a bad line."""

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_CERTIFICATE_FILE_BYTES: Final = 256 * 1024
DOCTOR_PATH: Final = "/whoami"
"""Asked when the URL names no path: it answers any client with what the server sees."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the server answered.

    Attributes:
        status: The HTTP status.
        reason: The server's reason code if it refused, else None.
        fingerprint: The SHA-256 of our certificate as the server saw it, or None if it saw none or does not say.
        body: As received, at most `MAX_BODY_BYTES`.
        local_address: Address and port of our own socket.
        server_certificate_sha256: Of the leaf the server showed, 64 lower-case hexadecimal digits.
        tls_version: As negotiated, `TLSv1.3`.
        document: The body if it is a JSON object, else empty.
    """

    status: int
    reason: str | None
    fingerprint: str | None
    body: bytes = field(repr=False)
    local_address: tuple[str, int]
    server_certificate_sha256: str
    tls_version: str
    document: dict[str, object] = field(repr=False)

    @property
    def is_accepted(self) -> bool:
        """Whether the server answered and did not refuse; the doctor answers 200 and says in it what it would do."""
        is_answered = 200 <= self.status < 300  # noqa: PLR2004 -- the 2xx of HTTP
        return is_answered and self.document.get("decision") != "refused"


def probe(  # noqa: PLR0913 -- each is one fact of a connection, and all but the first have a default
    url: str,
    *,
    certificate: Path | None = None,
    private_key: Path | None = None,
    trust: Path | None = None,
    connect_to: tuple[str, int] | None = None,
    source_address: str | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> Answer:
    """
    Ask once over mutual TLS.

    1. Connect, from the source address if one is given, to where the URL or `connect_to` says.
    2. Shake hands: the server must be who the URL says, whatever address was connected to.
    3. Send one GET and read the answer, bounded.

    Args:
        url: `https://host[:port][/path]`; without a path the server is asked what it sees.
        certificate: PEM file with our chain, leaf first; None shows no certificate.
        private_key: PEM file, or None if the key lies in the certificate's file.
        trust: PEM file of the authorities to trust; None trusts the system's.
        connect_to: Address and port to connect to in place of the URL's.
        source_address: Our own address, for machines that have several.
        timeout_seconds: For everything from connecting to the last byte.

    Raises:
        ProbeFailedError: There was no answer; `fault` says which part failed.
        ProbeUsageError: URL or files are not usable; nothing was sent.
    """
    target = _Target.parse(url)
    context = _context(certificate, private_key, trust)
    deadline = time.monotonic() + timeout_seconds
    host, port = connect_to or (target.host, target.port)
    own = (source_address, 0) if source_address else None
    with (
        faults_in_words(target.host, f"{host} port {port}", timeout_seconds=timeout_seconds),
        socket.create_connection((host, port), timeout_seconds, source_address=own) as plain,
    ):
        plain.settimeout(_remaining(deadline))
        with context.wrap_socket(plain, server_hostname=target.host) as connection:
            return _exchange(connection, target, deadline)


def fingerprint_of(certificate: Path) -> str:
    """
    Compute the SHA-256 of the first certificate in a PEM file.

    Raises:
        ProbeUsageError: There is none in it, or it cannot be read.
    """
    try:
        text = certificate.read_bytes()[:MAX_CERTIFICATE_FILE_BYTES].decode("ascii", errors="replace")
    except OSError as error:
        raise ProbeUsageError(f"{certificate} cannot be read: {in_words(error)}") from error
    try:
        begin = text.index("-----BEGIN CERTIFICATE-----")
        end = text.index("-----END CERTIFICATE-----", begin)
        der = ssl.PEM_cert_to_DER_cert(text[begin : end + len("-----END CERTIFICATE-----")])
    except ValueError as error:
        is_key = "PRIVATE KEY-----" in text
        raise ProbeUsageError(
            f"{certificate} holds {'a private key and no certificate' if is_key else 'no certificate in PEM'}",
            hint=_OF_A_KEY if is_key else _OF_NO_PEM,
        ) from error
    return hashlib.sha256(der).hexdigest()


_OF_A_KEY: Final = "give the certificate with --cert, and its key with --key"
_OF_NO_PEM: Final = "DER becomes PEM with: openssl x509 -inform der -in FILE -out client.pem"


# -- the walk ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError as error:
            raise ProbeUsageError(f"{url} is not a URL: {error}") from error
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise ProbeUsageError(f"{url} is not a URL like https://ingress.example.com/whoami")
        path = (parts.path or DOCTOR_PATH) + (f"?{parts.query}" if parts.query else "")
        if any(character <= " " or character > "~" for character in path + parts.hostname):
            raise ProbeUsageError("the URL holds blanks or characters that must be percent-encoded")
        return cls(parts.hostname, port, path)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"  # noqa: PLR2004 -- the port https implies


def _context(certificate: Path | None, private_key: Path | None, trust: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust)
    except (OSError, ssl.SSLError) as error:
        raise ProbeUsageError(f"{trust} holds no certificates to trust: {in_words(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        _load_identity(context, certificate, private_key)
    elif private_key is not None:
        raise ProbeUsageError("a key without a certificate shows nothing; give both")
    return context


def _load_identity(context: ssl.SSLContext, certificate: Path, private_key: Path | None) -> None:
    # A passphrase would be asked for on the terminal; an empty one makes it an error instead.
    try:
        if private_key is None and b"PRIVATE KEY-----" not in certificate.read_bytes():
            raise ProbeUsageError(f"{certificate} holds no private key", hint="give it with --key FILE")
        context.load_cert_chain(certificate, private_key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ProbeUsageError(
            f"{certificate} and {private_key or 'the key in it'} are no pair of PEM files: {in_words(error)}",
            hint="both must exist and belong together, and the key have no passphrase",
        ) from error


def _exchange(connection: ssl.SSLSocket, target: _Target, deadline: float) -> Answer:
    leaf = connection.getpeercert(binary_form=True)
    local = connection.getsockname()
    connection.settimeout(_remaining(deadline))
    connection.sendall(
        f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nAccept: application/json\r\n"
        "User-Agent: mtls-ingress-probe\r\nConnection: close\r\n\r\n".encode("ascii")
    )
    # HTTPResponse wants nothing of a socket but makefile.
    response = http.client.HTTPResponse(cast("socket.socket", _Readable(connection, deadline)), method="GET")
    with contextlib.closing(response):
        status, body = _read(response)
    document = _document(body)
    return Answer(
        status=status,
        reason=_text_of(document, "reason"),
        fingerprint=_text_of(document, "fingerprint"),
        body=body,
        local_address=(local[0], local[1]),
        server_certificate_sha256=hashlib.sha256(leaf or b"").hexdigest(),
        tls_version=connection.version() or "",
        document=document,
    )


def _read(response: http.client.HTTPResponse) -> tuple[int, bytes]:
    response.begin()
    body = response.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise ProbeFailedError(Fault.NOT_HTTP, f"the answer is longer than {MAX_BODY_BYTES} bytes")
    if response.length:  # announced and never sent; a bounded read does not complain by itself
        raise http.client.IncompleteRead(body, response.length)
    return response.status, body


class _Deadlined(io.RawIOBase):
    """A connection as a readable stream, every read of which ends by one deadline."""

    def __init__(self, connection: ssl.SSLSocket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._connection.settimeout(_remaining(self._deadline))
        return self._connection.recv_into(memoryview(buffer))


class _Readable:
    """What `http.client` takes for a socket."""

    def __init__(self, connection: ssl.SSLSocket, deadline: float) -> None:
        self._stream = _Deadlined(connection, deadline)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._stream)


def _remaining(deadline: float) -> float:
    """Seconds until the deadline; TimeoutError once it is over, for a socket takes 0 as "do not wait"."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _document(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text_of(document: dict[str, object], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None
