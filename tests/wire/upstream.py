"""
An upstream that does what a test says, byte by byte, and keeps what it was sent.

It is a plain TCP server: nothing of HTTP is tidied up here, so that a test sees what went over the wire.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

WAIT_SECONDS: Final = 10.0
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; the body as it was framed."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0]

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field, whatever the case of its name."""
        return [value for each, value in self.fields() if each.lower() == name.lower()]

    def fields(self) -> list[tuple[bytes, bytes]]:
        """All fields, as they were written."""
        lines = self.head.split(b"\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


class Channel:
    """One connection of the service to us."""

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain
        self.plain.settimeout(WAIT_SECONDS)
        self._early = b""

    def head(self) -> bytes:
        """Read one head; EOFError when nothing more comes."""
        return self._until(b"\r\n\r\n")[:-4]

    def request(self) -> Asked:
        """Read one request in whole."""
        head = self.head()
        asked = Asked(head, b"")
        if b"chunked" in b"".join(asked.values(b"transfer-encoding")):
            return Asked(head, self.chunked_rest())
        lengths = asked.values(b"content-length")
        return Asked(head, self._exactly(int(lengths[0])) if lengths else b"")

    def some(self) -> bytes:
        """Read what there is."""
        if not self._early:
            self._more()
        data, self._early = self._early, b""
        return data

    def chunked_rest(self) -> bytes:
        """Read up to the last chunk."""
        return self._until(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Answer."""
        self.plain.sendall(data)

    def reset(self) -> None:
        """End it the hard way."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.plain.close()

    def wait_for_end(self) -> bytes:
        """Read until the service ends the connection."""
        chunks = [self._early]
        with suppress(ConnectionResetError):
            while chunk := self.plain.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks)

    def _until(self, end: bytes) -> bytes:
        while end not in self._early:
            self._more()
        data, _, self._early = self._early.partition(end)
        return data + end

    def _exactly(self, length: int) -> bytes:
        while len(self._early) < length:
            self._more()
        data, self._early = self._early[:length], self._early[length:]
        return data

    def _more(self) -> None:
        data = self.plain.recv(65536)
        if not data:
            raise EOFError
        self._early += data


class Upstream:
    """
    Where the service forwards to.

    Attributes:
        behavior: What is done with a connection; the default answers every request with `ok`.
        asked: Every request that `answer_all` read, in order.
        connections: How many were made.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.behavior: Callable[[Channel], None] = self.answer_all
        self._kept: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        # Small, so that a test sees who waits for whom and not what the kernel holds.
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def answer_all(self, channel: Channel, answer: bytes = OK) -> None:
        """Keep every request and answer each the same."""
        while True:
            self.asked.append(channel.request())
            channel.send(answer)

    def answers(self, answer: bytes) -> None:
        """Answer every request with these bytes."""
        self.behavior = lambda channel: self.answer_all(channel, answer)

    def reset(self) -> None:
        """Be as new for the next test, and end what the service has kept."""
        kept, self._kept = self._kept, []
        for plain in kept:
            with suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)
        self.asked.clear()
        self.behavior = self.answer_all

    def close(self) -> None:
        """Listen no more, and end what is open."""
        self.reset()
        # Closing alone does not wake the one that waits for the next connection.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(WAIT_SECONDS)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                self.connections += 1
                self._kept.append(plain)
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(EOFError, OSError), plain:
            self.behavior(Channel(plain))


@contextmanager
def open_upstream() -> Iterator[Upstream]:
    """Listen for the length of a block."""
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.close()
