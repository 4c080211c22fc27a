"""
TLS without I/O: bytes in, bytes out, plaintext, and who is on the other end.

One `TlsConnection` is one peer. It owns no socket and no clock; the session
feeds it what arrived and sends what it returns. Whatever goes wrong, the bytes
to send still come out first: they are the alert that tells the peer why.
"""

from __future__ import annotations

import functools
import sys
from typing import Final, NamedTuple

from OpenSSL import SSL, crypto

from service.errors import HandshakeFailedError
from service.identity.peer import Peer

_RECORD_BYTES: Final = 16 * 1024
"""One TLS record holds at most this (RFC 8446, section 5.1), and neither a read nor a write makes more than one."""

_MOST_EXPANSION: Final = 256
"""What encryption may add to a record (RFC 8446, section 5.2); TLS 1.2's suites here add less."""

_LONGEST_RECORD: Final = _RECORD_BYTES + _MOST_EXPANSION

_UNKNOWN: Final = 1 << 30
"""Records, where only reading them can tell."""

_FEED_BYTES: Final = 8 * 1024
"""
What OpenSSL is given at once.

Its memory BIO keeps the room of the largest piece as long as the connection
lives: 64 KiB given whole, as a loop reads it, would be 85 KiB of an idle one.
"""

_HEADER_BYTES: Final = 5
_CONTENT_TYPES: Final = range(20, 24)
_MAJOR_VERSION: Final = 3
"""A record's header: type, version 3.x, length of two bytes (RFC 8446, section 5.1)."""

_OBJECTIONS: Final = {
    2: "issuer_missing",
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "self_signed_in_chain",
    20: "issuer_unknown",
    21: "issuer_missing",
    22: "chain_too_long",
    26: "purpose",
    66: "key_too_small",
    68: "digest_too_weak",
}
"""OpenSSL's verify errors a partner's certificate commonly meets (x509_vfy.h), in words."""


class Step(NamedTuple):
    """
    What came of feeding bytes.

    Attributes:
        outgoing: To be sent to the peer before anything else is done.
        plaintext: What the peer said, one entry a record, in order.
        closed: The peer sent close_notify: nothing more will come from it.
        failure: The connection is over: send `outgoing`, which holds the alert, and close.
    """

    outgoing: bytes
    plaintext: tuple[bytes, ...] = ()
    closed: bool = False
    failure: HandshakeFailedError | None = None


class TlsConnection:
    """
    The server's side of one TLS connection.

    A read that finds nothing and a look for bytes to send that finds none each
    raise an exception, and cost more than the record of a small request. So the
    records that came in are counted as they go by: as many reads as there are
    whole records need no other to find nothing, and where each gave plaintext,
    none of them was a message that OpenSSL answers by itself.

    Attributes:
        peer: Who is on the other end; None until the handshake is complete.
        handshake_bytes: What it has sent for that; the piece that completed it is not counted.
    """

    __slots__ = ("_connection", "_records", "handshake_bytes", "peer")

    def __init__(self, context: SSL.Context) -> None:
        self.peer: Peer | None = None
        self.handshake_bytes = 0
        self._records = _RecordCounter()
        self._connection = SSL.Connection(context, None)
        self._connection.set_app_data([])
        self._connection.set_accept_state()

    def receive(self, data: bytes) -> Step:
        """Take bytes from the peer: first the handshake, then what is inside the records."""
        if len(data) <= _FEED_BYTES:
            return self._receive(data)
        outgoing: list[bytes] = []
        plaintext: list[bytes] = []
        for at in range(0, len(data), _FEED_BYTES):
            step = self._receive(data[at : at + _FEED_BYTES])
            outgoing.append(step.outgoing)
            plaintext += step.plaintext
            if step.closed or step.failure:
                return Step(b"".join(outgoing), tuple(plaintext), step.closed, step.failure)
        return Step(b"".join(outgoing), tuple(plaintext))

    def send(self, plaintext: bytes) -> bytes:
        """Wrap what we say; the bytes are to be sent. Empty once the connection broke."""
        try:
            if len(plaintext) <= _RECORD_BYTES:
                self._connection.send(plaintext)
                return self._outgoing(len(plaintext) + 2 * _MOST_EXPANSION)
            records = []
            for at in range(0, len(plaintext), _RECORD_BYTES):
                self._connection.send(plaintext[at : at + _RECORD_BYTES])
                records.append(self._outgoing())
            return b"".join(records)
        except SSL.Error:
            return b""

    def close(self) -> bytes:
        """Say that we are done; the bytes, our close_notify, are to be sent."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            # Before the handshake there is nothing to close.
            return b""
        return self._outgoing()

    def _receive(self, data: bytes) -> Step:
        whole = self._records.count(data)
        try:
            self._connection.bio_write(data)
            if self.peer is not None:
                return self._read(whole) if whole else Step(b"")
            self._connection.do_handshake()
            self.peer = self._describe_peer()
        except SSL.WantReadError:
            self.handshake_bytes += len(data)
            return Step(self._outgoing())
        except (SSL.Error, HandshakeFailedError) as error:
            return Step(self._outgoing(), failure=_failure(error))
        return self._read(_UNKNOWN)

    def _read(self, whole: int) -> Step:
        """Read what is inside the records, of which so many are whole."""
        plaintext: list[bytes] = []
        closed, failure = False, None
        try:
            for _ in range(whole):
                plaintext.append(self._connection.recv(_RECORD_BYTES))  # noqa: PERF401 -- what was read is kept
            return Step(b"", tuple(plaintext))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            closed = True
        except SSL.Error as error:
            failure = _failure(error)
        return Step(self._outgoing(), tuple(plaintext), closed, failure)

    def _outgoing(self, most: int = _RECORD_BYTES + 2 * _MOST_EXPANSION) -> bytes:
        chunks: list[bytes] = []
        try:
            while not chunks or len(chunks[-1]) == most:
                chunks.append(self._connection.bio_read(most))
        except SSL.WantReadError:
            pass
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _describe_peer(self) -> Peer:
        connection = self._connection
        leaf, objections = connection.get_peer_certificate(), connection.get_app_data()
        connection.set_app_data(None)
        return Peer.of_handshake(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf) if leaf else None,
            verify_errors=tuple(dict.fromkeys(_OBJECTIONS.get(error, str(error)) for _, error in objections)),
            # One text for all connections, of which there may be thousands.
            tls_version=sys.intern(connection.get_protocol_version_name()),
            cipher=sys.intern(connection.get_cipher_name() or ""),
            group=sys.intern(connection.get_group_name() or "") or None,
            # Not a method of ours: the peer must not hold the one that holds it.
            read_chain=functools.partial(_read_chain, connection),
            read_server_leaf=functools.partial(_read_server_leaf, connection),
        )


class _RecordCounter:
    """Counts the records of a stream as they become whole, by their headers alone."""

    __slots__ = ("_header", "_is_lost", "_missing")

    def __init__(self) -> None:
        self._header = b""
        self._missing = 0
        self._is_lost = False

    def count(self, data: bytes) -> int:
        """Say how many become whole with these bytes; more than there can be, once something else than records came."""
        if self._is_lost:
            return _UNKNOWN
        if self._header:
            data, self._header = self._header + data, b""
        at, whole, size = self._missing, 0, len(data)
        if at and at <= size:
            whole = 1
        while at + _HEADER_BYTES <= size:
            length = data[at + 3] << 8 | data[at + 4]
            if data[at] not in _CONTENT_TYPES or data[at + 1] != _MAJOR_VERSION or length > _LONGEST_RECORD:
                self._is_lost = True
                return _UNKNOWN
            at += _HEADER_BYTES + length
            whole += at <= size
        if at > size:
            self._missing = at - size
        else:
            self._header, self._missing = data[at:], 0
        return whole


def _read_chain(connection: SSL.Connection) -> tuple[bytes, ...]:
    """Read all certificates the peer sent; on a server's side OpenSSL keeps the leaf apart from the others."""
    leaf = connection.get_peer_certificate()
    others = connection.get_peer_cert_chain() or []
    return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in (leaf, *others) if each is not None)


def _read_server_leaf(connection: SSL.Connection) -> bytes | None:
    leaf = connection.get_certificate()
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf) if leaf else None


def _failure(error: SSL.Error | HandshakeFailedError) -> HandshakeFailedError:
    if isinstance(error, HandshakeFailedError):
        return error
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return HandshakeFailedError(tuple(str(entry[-1]) for entry in entries) or (str(error) or type(error).__name__,))
