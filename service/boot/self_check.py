"""
The service's handshake with itself: what partners will meet, seen before they do.

Groups, signature algorithms and tickets are set by a file that OpenSSL reads
in silence: missing or misspelt, it changes nothing and says nothing. So the
context to be served shakes hands in memory, over TLS 1.2 and 1.3, and what is
not as asked stops it from being served.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from service.boot.server_identity import ServerIdentity
from service.boot.tls_context import ALPN_HTTP11, TLS12_SUITES, TLS13_SUITES
from service.contract import OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE
from service.errors import TlsSettingsError
from service.identity.certificate import Fingerprint

GROUPS: Final = (0x11EC, 0x001D, 0x0017, 0x0018)
"""X25519MLKEM768, x25519, secp256r1, secp384r1 (IANA, TLS supported groups), as in openssl.cnf."""

FIRST_GROUP: Final = "X25519MLKEM768"

SIGNATURE_ALGORITHMS: Final = frozenset(
    (0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601)
)
"""
ECDSA, Ed25519, Ed448, RSASSA-PSS and RSASSA-PKCS1 with SHA-256 and longer (IANA, TLS SignatureScheme).

As in openssl.cnf: none with SHA-1 or SHA-224, and no DSA.
"""

_VERSIONS: Final = {SSL.TLS1_2_VERSION: "TLSv1.2", SSL.TLS1_3_VERSION: "TLSv1.3"}
_SUITES: Final = tuple(TLS13_SUITES.decode().split(":") + TLS12_SUITES.decode().split(":"))

_SESSION_ID: Final = 2 + 32
"""Where a hello has its session id, with a length of one byte: after the version and the random."""

_READ_BYTES: Final = 64 * 1024
_FLIGHTS: Final = 3
"""A full handshake is two flights of each side; a loop that needs more will never end."""

_ALERT, _HANDSHAKE = 21, 22  # record types (RFC 8446, section 5.1)
_CLIENT_HELLO, _SERVER_HELLO, _NEW_SESSION_TICKET, _CERTIFICATE_REQUEST = 1, 2, 4, 13  # RFC 8446, section 4
_SUPPORTED_GROUPS, _SIGNATURE_ALGORITHMS, _SESSION_TICKET = 10, 13, 35  # extensions (IANA)


def check_tls(context: SSL.Context, identity: ServerIdentity) -> None:
    """
    Shake hands with ourselves and hold what comes against what was asked for.

    1. the library: groups and signature algorithms, as a ClientHello of its own shows them;
    2. TLS 1.3 and 1.2: version, suites, group, ALPN, the leaf, no CA names;
    3. nothing to resume: no ticket in either version, no session id in TLS 1.2;
    4. no renegotiation in TLS 1.2; TLS 1.3 has none.

    Costs about five milliseconds.

    Raises:
        TlsSettingsError: With everything that is not as asked.
    """
    faults: list[str] = []
    try:
        modern, classic = _Talk(context, SSL.TLS1_3_VERSION), _Talk(context, SSL.TLS1_2_VERSION)
    except (SSL.Error, ValueError, IndexError) as error:
        raise _refusal([f"no handshake with ourselves: {type(error).__name__} {error}"]) from error
    faults += _library_faults(modern.client_hello)
    for talk in (modern, classic):
        faults += [f"{_VERSIONS[talk.version]}: {fault}" for fault in _talk_faults(talk, identity)]
    if modern.server.get_group_name() != FIRST_GROUP:
        faults.append(f"TLSv1.3: the group is {modern.server.get_group_name()}, not {FIRST_GROUP}")
    if modern.last_flight:
        faults.append("TLSv1.3: session tickets are sent")
    faults += [f"TLSv1.2: {fault}" for fault in _classic_faults(classic)]
    if faults:
        raise _refusal(faults)


def _refusal(faults: list[str]) -> TlsSettingsError:
    return TlsSettingsError(tuple(faults), variable=OPENSSL_CONF_VARIABLE, file=OPENSSL_CONF_FILE)


class _Talk:
    """
    One handshake in memory, to its end.

    Attributes:
        client_hello: The body of the client's first message.
        first_flight: What the server answered it with, in records.
        last_flight: What the server sent once it was done; in TLS 1.3 there is nothing it needs to say.
    """

    def __init__(self, context: SSL.Context, version: int) -> None:
        ours = SSL.Context(SSL.TLS_CLIENT_METHOD)
        ours.set_min_proto_version(version)
        ours.set_max_proto_version(version)
        ours.set_alpn_protos([b"h2", ALPN_HTTP11])
        self.version = version
        self.client, self.server = SSL.Connection(ours, None), SSL.Connection(context, None)
        self.server.set_app_data([])
        self.client.set_connect_state()
        self.server.set_accept_state()
        from_client, from_server = [], []
        for _ in range(_FLIGHTS):
            from_client.append(_advance(self.client))
            _feed(self.server, from_client[-1])
            from_server.append(_advance(self.server))
            _feed(self.client, from_server[-1])
        self.client_hello = _messages(from_client[0])[_CLIENT_HELLO]
        self.first_flight = from_server[0]
        self.last_flight = b"".join(from_server[1:])


def _library_faults(client_hello: bytes) -> Iterator[str]:
    extensions = _extensions(client_hello[_after_suites(client_hello) :])
    groups = _numbers(extensions[_SUPPORTED_GROUPS][2:])
    if groups != GROUPS:
        yield f"the groups are {_show(groups)}, not {_show(GROUPS)}"
    algorithms = _numbers(extensions[_SIGNATURE_ALGORITHMS][2:])
    if set(algorithms) != SIGNATURE_ALGORITHMS:
        yield _odd("signature algorithms", algorithms)


def _talk_faults(talk: _Talk, identity: ServerIdentity) -> Iterator[str]:
    if talk.server.get_protocol_version_name() != _VERSIONS[talk.version]:
        yield f"the version is {talk.server.get_protocol_version_name()}"
    if tuple(talk.server.get_cipher_list()) != _SUITES:
        yield f"the suites are {':'.join(talk.server.get_cipher_list())}"
    if talk.client.get_alpn_proto_negotiated() != ALPN_HTTP11:
        yield "http/1.1 is not chosen among protocols"
    if talk.client.get_client_ca_list():
        yield "names of authorities are sent"
    leaf = talk.client.get_peer_certificate(as_cryptography=True)
    if leaf is None or Fingerprint.of_certificate(leaf.public_bytes(Encoding.DER)) != identity.leaf.fingerprint:
        yield "another certificate than ours is served"


def _classic_faults(talk: _Talk) -> Iterator[str]:
    """Read TLS 1.2's first flight, which is not encrypted, and ask for a renegotiation."""
    flight = _messages(talk.first_flight)
    hello = flight[_SERVER_HELLO]
    if hello[_SESSION_ID]:
        yield "a session id is given out"
    after = _SESSION_ID + 1 + hello[_SESSION_ID] + 3  # suite and compression
    if _SESSION_TICKET in _extensions(hello[after:]) or _NEW_SESSION_TICKET in _messages(talk.last_flight):
        yield "session tickets are sent"
    request = flight[_CERTIFICATE_REQUEST]
    at = 1 + request[0]
    algorithms = _numbers(request[at + 2 : at + 2 + _number(request[at : at + 2])])
    if set(algorithms) != SIGNATURE_ALGORITHMS:
        yield _odd("signature algorithms asked of clients", algorithms)
    if _is_renegotiating(talk):
        yield "renegotiation is answered"


def _is_renegotiating(talk: _Talk) -> bool:
    talk.client.renegotiate()
    _feed(talk.server, _advance(talk.client))
    with contextlib.suppress(SSL.Error):
        talk.server.recv(1)
    answer = _drain(talk.server)
    return answer[:1] != bytes([_ALERT])


# -- bytes between the two -------------------------------------------------------


def _advance(side: SSL.Connection) -> bytes:
    """Let a side do what it can, and give what it says."""
    with contextlib.suppress(SSL.WantReadError):
        side.do_handshake()
    return _drain(side)


def _drain(side: SSL.Connection) -> bytes:
    said = b""
    with contextlib.suppress(SSL.WantReadError):
        while True:
            said += side.bio_read(_READ_BYTES)
    return said


def _feed(side: SSL.Connection, data: bytes) -> None:
    if data:
        side.bio_write(data)


# -- messages (RFC 8446, section 4; RFC 5246, section 7.4) ---------------------------


def _messages(records: bytes) -> Mapping[int, bytes]:
    """Take handshake messages, by their type, out of records that are not encrypted."""
    stream, at = b"", 0
    while at < len(records) and records[at] == _HANDSHAKE:
        length = _number(records[at + 3 : at + 5])
        stream += records[at + 5 : at + 5 + length]
        at += 5 + length
    found, at = {}, 0
    while at < len(stream):
        length = _number(stream[at + 1 : at + 4])
        found[stream[at]] = stream[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _after_suites(hello: bytes) -> int:
    at = _SESSION_ID
    at += 1 + hello[at]
    at += 2 + _number(hello[at : at + 2])
    return at + 1 + hello[at]


def _extensions(block: bytes) -> Mapping[int, bytes]:
    found, at = {}, 2
    while at < len(block):
        kind, length = _numbers(block[at : at + 4])
        found[kind] = block[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _numbers(data: bytes) -> tuple[int, ...]:
    return tuple(_number(data[at : at + 2]) for at in range(0, len(data), 2))


def _number(data: bytes) -> int:
    return int.from_bytes(data)


def _show(numbers: tuple[int, ...]) -> str:
    return " ".join(f"{number:04x}" for number in numbers)


def _odd(what: str, found: tuple[int, ...]) -> str:
    more = tuple(each for each in found if each not in SIGNATURE_ALGORITHMS)
    missing = tuple(sorted(SIGNATURE_ALGORITHMS - set(found)))
    texts = (f"{_show(numbers)} {word}" for numbers, word in ((more, "too many"), (missing, "missing")) if numbers)
    return f"the {what} are not those asked for: {', '.join(texts)}"
