"""
TLS 1.3 answers some messages by itself: a KeyUpdate with another (RFC 8446, section 4.6.3).

A peer that sends nothing else, and reads nothing, must not have us keep an
answer for each (OpenSSL owes one for many, and we stop to read from who does
not). No client can be told to do that, so its records are made here from the
secret that Python logs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import resource
import socket
import time
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep
from tests.wire.stage import Connection, client_context

LIMITS = Limits(head_seconds=1, linger_seconds=0.2)
HANDSHAKE, APPLICATION_DATA = 22, 23
UPDATE_REQUESTED = bytes([24, 0, 0, 1, 1])
GROWTH_KIB = 8 * 1024


class Sender:
    """The peer's side of the record layer, from its traffic secret on (RFC 8446, sections 5.2, 7.1 to 7.3)."""

    def __init__(self, secret: bytes) -> None:
        self._use(secret)

    def key_update(self) -> bytes:
        """Ask for new keys of both sides, and go on with our own."""
        record = self._record(UPDATE_REQUESTED, HANDSHAKE)
        self._use(_expand(self._secret, b"traffic upd", 32))
        return record

    def _use(self, secret: bytes) -> None:
        self._secret, self._number = secret, 0
        self._cipher = AESGCM(_expand(secret, b"key", 16))
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")

    def _record(self, message: bytes, kind: int) -> bytes:
        header = bytes([APPLICATION_DATA, 3, 3]) + (len(message) + 1 + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._cipher.encrypt(nonce, message + bytes([kind]), header)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label without a context, of one block (RFC 8446, section 7.1)."""
    whole = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(whole)]) + whole + b"\x00"
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()[:length]


def connect(doorstep: Doorstep, log: Path) -> tuple[Connection, Sender]:
    """Finish a handshake, and take over from the client's library."""
    context = client_context(doorstep.trust)
    context.keylog_filename = str(log)
    opened = Connection.over(socket.create_connection(doorstep.address, timeout=5), context)
    cipher = opened.tls.cipher()
    assert cipher is not None
    assert cipher[0] == "TLS_AES_128_GCM_SHA256"
    secrets = dict(line.split()[::2] for line in log.read_text().splitlines() if not line.startswith("#"))
    return opened, Sender(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"]))


def test_a_peer_that_asks_for_keys_without_end_takes_no_memory_and_no_more_time(tmp_path: Path) -> None:
    """It asks for nothing in HTTP, so the deadline of its first request ends it in the middle of its records."""
    with open_doorstep(LIMITS) as doorstep:
        opened, sender = connect(doorstep, tmp_path / "keys")
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        with socket.socket(fileno=socket.dup(opened.tls.fileno())) as beneath, contextlib.suppress(OSError):
            beneath.settimeout(5)
            while time.monotonic() - began < 10:
                beneath.sendall(b"".join(sender.key_update() for _ in range(200)))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        opened.close()

        assert time.monotonic() - began < 5
        assert grown < GROWTH_KIB
        assert doorstep.reasons() == ["no request within 1 seconds"]
