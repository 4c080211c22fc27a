"""
Peers that mean harm, by the dozen, against a running service.

Each plays one part to its end, in a thread of its own or as one socket among
many, and says how it was ended. Honest clients ask meanwhile.
"""

from __future__ import annotations

import select
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from OpenSSL import SSL

from tests.certificates import Identity
from tests.wire.stage import PROXY, Connection, Service, client_context
from tests.wire.test_dead_worker_is_replaced import workers_of

HALF_A_HELLO: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
GET: Final = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@dataclass(slots=True)
class Honest:
    """
    What honest clients met meanwhile.

    Attributes:
        seconds: Of each request, its connection and handshake included where it was a new one.
        faults: Everything else that came instead of an answer with 200.
    """

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def median(self) -> float:
        """Give the middle one."""
        return statistics.median(self.seconds)


@contextmanager
def honest_clients(service: Service, partner: Identity, *, count: int = 2) -> Iterator[Honest]:
    """Have honest clients ask all the time: each makes a connection, asks five times, and begins anew."""
    met, over = Honest(), threading.Event()
    context = client_context(service.trust, partner)

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                opened = Connection.over(socket.create_connection(service.address, timeout=20), context, proxy=HONEST)
                for _ in range(5):
                    status = opened.get().status
                    met.seconds.append(time.monotonic() - began)
                    if status != 200:
                        met.faults.append(f"status {status}")
                    time.sleep(0.02)
                    began = time.monotonic()
                opened.close()
            except (OSError, ValueError) as error:
                met.faults.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


HONEST: Final = b"PROXY TCP4 198.51.100.7 203.0.113.9 51514 443\r\n"
"""Honest clients come from elsewhere: what is counted for a source is tested apart."""


def resident_mib(service: Service) -> float:
    """Sum the resident memory of all processes of a service."""
    pids = [str(pid) for pid in (service.process.pid, *workers_of(service))]
    command = ["ps", "-o", "rss=", "-p", ",".join(pids)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return sum(int(kib) for kib in shown.split()) / 1024


class Crowd:
    """Many connections that are silent from some moment on."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def join(self, service: Service, count: int, *, opening: bytes = b"") -> None:
        """Connect so often, say the opening, and nothing more."""
        for _ in range(count):
            plain = socket.create_connection(service.address, timeout=30)
            plain.sendall(opening)
            self._open.append(plain)

    def join_inside(self, service: Service, count: int, *, saying: bytes = b"") -> None:
        """The same after the handshake."""
        context = client_context(service.trust)
        for _ in range(count):
            plain = socket.create_connection(service.address, timeout=30)
            opened = Connection.over(plain, context)
            opened.send(saying)
            self._open.append(opened.tls)

    def wait_until_gone(self, seconds: float) -> float:
        """Wait until the service has ended every one of them; gives how long the last took."""
        began = time.monotonic()
        poll = select.poll()
        left = {each.fileno(): each for each in self._open}
        for number in left:
            poll.register(number, select.POLLIN)
        while left and time.monotonic() - began < seconds:
            for number, _ in poll.poll(200):
                if _has_ended(left[number]):
                    poll.unregister(number)
                    left.pop(number).close()
        assert not left, f"{len(left)} are still connected after {seconds} seconds"
        return time.monotonic() - began

    def close(self) -> None:
        """Leave."""
        for each in self._open:
            each.close()


def _has_ended(plain: socket.socket) -> bool:
    plain.settimeout(0)
    # Read beneath TLS: an alert or close_notify is not the end of the connection yet.
    with socket.socket(fileno=socket.dup(plain.fileno())) as beneath:
        beneath.settimeout(0)
        try:
            return beneath.recv(65536) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


def play(parts: list[Callable[[], object]]) -> list[threading.Thread]:
    """Begin every part in a thread of its own."""
    threads = [threading.Thread(target=_to_the_end, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    return threads


def _to_the_end(part: Callable[[], object]) -> None:
    # Being cut off is how each of these ends.
    with suppress(OSError, ValueError, SSL.Error):
        part()


@contextmanager
def inside(service: Service, identity: Identity | None = None) -> Iterator[Connection]:
    """Finish a handshake."""
    plain = socket.create_connection(service.address, timeout=30)
    opened = Connection.over(plain, client_context(service.trust, identity))
    try:
        yield opened
    finally:
        opened.close()


def drip(service: Service, opening: bytes, byte: bytes, *, seconds: float) -> None:
    """Say an opening, and then a byte each second, until cut off."""
    with inside(service) as opened:
        opened.send(opening)
        for _ in range(int(seconds)):
            time.sleep(1)
            opened.send(byte)


def pour(service: Service, opening: bytes, piece: bytes, times: int) -> None:
    """Say an opening, and then a piece so often, as fast as it goes, until cut off."""
    with inside(service) as opened:
        opened.send(opening)
        for _ in range(times):
            opened.send(piece)


def never_read(service: Service, times: int) -> None:
    """Ask again and again, and read nothing, until cut off."""
    with inside(service) as opened:
        for _ in range(times):
            opened.send(GET * 10)
        while not _has_ended(opened.tls):
            time.sleep(0.2)


def show_certificate(service: Service, identity: Identity) -> None:
    """Ask with a certificate."""
    with inside(service, identity) as opened:
        opened.get()


def send_mutated_records(service: Service) -> None:
    """Finish a handshake, then send records that nobody has encrypted."""
    with inside(service) as opened, socket.socket(fileno=socket.dup(opened.tls.fileno())) as beneath:
        beneath.settimeout(30)
        beneath.sendall(bytes([0x17, 0x03, 0x03, 0x00, 0x20]) + bytes(range(32)))
        while beneath.recv(65536):
            pass


def renegotiate(service: Service) -> None:
    """Ask for another handshake within TLS 1.2, as often as it goes; Python's own ssl cannot."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with socket.create_connection(service.address, timeout=30) as plain:
        plain.sendall(PROXY)
        opened = SSL.Connection(context, plain)
        opened.set_connect_state()
        plain.settimeout(None)
        opened.do_handshake()
        for _ in range(1000):
            opened.renegotiate()
            opened.do_handshake()
