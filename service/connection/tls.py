"""
TLS without I/O: bytes in, bytes out, plaintext, and who is on the other end.

One `TlsConnection` is one peer. It owns no socket and no clock; the session
feeds it what arrived and sends what it returns. Whatever goes wrong, the bytes
to send still come out first: they are the alert that tells the peer why.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from OpenSSL import SSL, crypto

from service.errors import HandshakeFailedError
from service.identity.peer import Peer

_READ_BYTES: Final = 16 * 1024
"""One TLS record holds at most this (RFC 8446, section 5.1), and a read never returns more than one."""

_DRAIN_BYTES: Final = 64 * 1024

_OBJECTIONS: Final = {
    2: "issuer_missing",
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "self_signed_in_chain",
    20: "issuer_unknown",
    21: "issuer_missing",
    26: "purpose",
    66: "key_too_small",
    68: "digest_too_weak",
}
"""OpenSSL's verify errors a partner's certificate commonly meets (x509_vfy.h), in words."""


@dataclass(frozen=True, slots=True)
class Step:
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

    Attributes:
        peer: Who is on the other end; None until the handshake is complete.
    """

    def __init__(self, context: SSL.Context) -> None:
        self.peer: Peer | None = None
        self._objections: list[tuple[int, int]] = []
        self._connection = SSL.Connection(context, None)
        self._connection.set_app_data(self._objections)
        self._connection.set_accept_state()

    def receive(self, data: bytes) -> Step:
        """Take bytes from the peer: first the handshake, then what is inside the records."""
        try:
            self._connection.bio_write(data)
            if self.peer is None:
                self._connection.do_handshake()
                self.peer = self._describe_peer()
        except SSL.WantReadError:
            return Step(self._outgoing())
        except (SSL.Error, HandshakeFailedError) as error:
            return Step(self._outgoing(), failure=_failure(error))
        return self._read()

    def send(self, plaintext: bytes) -> bytes:
        """Wrap what we say; the bytes are to be sent. Empty once the connection broke."""
        try:
            # Not send: pyOpenSSL allows partial writes, and that one writes a single record.
            self._connection.sendall(plaintext)
        except SSL.Error:
            return b""
        return self._outgoing()

    def close(self) -> bytes:
        """Say that we are done; the bytes, our close_notify, are to be sent."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            # Before the handshake there is nothing to close.
            return b""
        return self._outgoing()

    def _read(self) -> Step:
        records: list[bytes] = []
        try:
            while True:
                records.append(self._connection.recv(_READ_BYTES))
        except SSL.WantReadError:
            return Step(self._outgoing(), tuple(records))
        except SSL.ZeroReturnError:
            return Step(self._outgoing(), tuple(records), closed=True)
        except SSL.Error as error:
            return Step(self._outgoing(), tuple(records), failure=_failure(error))

    def _outgoing(self) -> bytes:
        chunks: list[bytes] = []
        try:
            while not chunks or len(chunks[-1]) == _DRAIN_BYTES:
                chunks.append(self._connection.bio_read(_DRAIN_BYTES))
        except SSL.WantReadError:
            pass
        return b"".join(chunks)

    def _describe_peer(self) -> Peer:
        leaf = self._connection.get_peer_certificate()
        return Peer.of_handshake(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf) if leaf else None,
            verify_errors=tuple(dict.fromkeys(_OBJECTIONS.get(error, str(error)) for _, error in self._objections)),
            tls_version=self._connection.get_protocol_version_name(),
            cipher=self._connection.get_cipher_name() or "",
            group=self._connection.get_group_name(),
            # Not a method of ours: the peer must not hold the one that holds it.
            read_chain=functools.partial(_read_chain, self._connection),
        )


def _read_chain(connection: SSL.Connection) -> tuple[bytes, ...]:
    """Read all certificates the peer sent; on a server's side OpenSSL keeps the leaf apart from the others."""
    leaf = connection.get_peer_certificate()
    others = connection.get_peer_cert_chain() or []
    return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in (leaf, *others) if each is not None)


def _failure(error: SSL.Error | HandshakeFailedError) -> HandshakeFailedError:
    if isinstance(error, HandshakeFailedError):
        return error
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return HandshakeFailedError(tuple(str(entry[-1]) for entry in entries) or (str(error) or type(error).__name__,))
