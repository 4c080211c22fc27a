"""
The load of the benchmark: partners that connect, ask and check what they are told.

    python -m scripts._benchmark_load '{"mode":"new","address":["127.0.0.1",8443],...}'

Its argument is a `Job` as JSON. It runs in a process of its own on a core of
its own, and prints on one line of JSON how many requests were answered with
200. Any other answer ends it with an error: a figure over errors is no figure.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from scripts import _terminal

_TIMEOUT_SECONDS: Final = 20.0
_READ_BYTES: Final = 65536
_PROCESSES: Final = 4
"""Connections under way at once, so that a server finds more than one thing to do at each turn."""

_WITNESS_PAUSE_SECONDS: Final = 0.02
_WITNESS_LOOK_SECONDS: Final = 0.0005


class Mode(StrEnum):
    """How partners come."""

    NEW = "new"
    """A connection for each request."""
    KEEP = "keep"
    """All requests on one connection each."""
    HOLD = "hold"
    """
    So many connections, one request on each, held until standard input ends.

    For each line that comes there, requests are made for a while, each on a connection drawn at random.
    """


@dataclass(frozen=True, slots=True)
class Job:
    """
    What to do.

    Attributes:
        directory: Holds `authority.crt` and `NAME.crt`, `NAME.key` of each client.
        clients: Names of those who come.
        has_proxy_header: Whether each connection opens with a PROXY header, from ever other addresses.
        seconds: How long they ask.
        connections: That are held, of one client after the other.
        witness: Asks while the others load, and looks when its line is in `lines`; its name must be in the line.
    """

    mode: Mode
    address: tuple[str, int]
    host_name: str
    directory: str
    clients: tuple[str, ...]
    has_proxy_header: bool
    seconds: float = 1.0
    connections: int = 0
    witness: str | None = None
    lines: str | None = None

    def render(self) -> str:
        """Write it as the argument of the process."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Job:
        """Read the argument of the process."""
        values = json.loads(text)
        values |= {"mode": Mode(values["mode"]), "address": tuple(values["address"])}
        return cls(**values | {"clients": tuple(values["clients"])})


@dataclass(frozen=True, slots=True)
class Done:
    """
    What came of it.

    Attributes:
        answered: Requests with 200.
        delays: Of the witness: seconds from an answer to its line.
    """

    answered: int
    delays: tuple[float, ...] = ()


def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int:
    """Do the job and say what came of it."""
    job = Job.parse(arguments[0])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if job.mode is Mode.HOLD:
        _hold(job, terminal)
        return 0
    roles: list[Callable[[Job, int], Done]] = [_ROLES[job.mode]] * _PROCESSES
    if job.witness is not None:
        roles.append(_witness)
    with multiprocessing.get_context("fork").Pool(len(roles)) as pool:
        waiting = [pool.apply_async(role, (job, number)) for number, role in enumerate(roles)]
        done = [each.get(job.seconds + 3 * _TIMEOUT_SECONDS) for each in waiting]
    delays = [delay for each in done for delay in each.delays]
    terminal.record({"answered": sum(each.answered for each in done), "delays": delays})
    return 0


class Partner:
    """One client that connects and asks."""

    def __init__(self, job: Job, name: str, *, number: int = 0) -> None:
        self._job = job
        self._number = number
        self._connected = 0
        files = [str(Path(job.directory) / f"{name}.{kind}") for kind in ("crt", "key")]
        self._context = ssl.create_default_context(cafile=str(Path(job.directory) / "authority.crt"))
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(*files)
        line = f"GET / HTTP/1.1\r\nhost: {job.host_name}\r\n"
        self._kept = f"{line}\r\n".encode()
        self._last = f"{line}connection: close\r\n\r\n".encode()

    def connect(self) -> ssl.SSLSocket:
        """Go through the handshake."""
        plain = socket.create_connection(self._job.address, timeout=_TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._job.has_proxy_header:
            plain.sendall(self._proxy_header())
        return self._context.wrap_socket(plain, server_hostname=self._job.host_name)

    def ask(self, connection: ssl.SSLSocket) -> None:
        """Ask on a connection that is kept."""
        connection.sendall(self._kept)
        _read_answer(connection)

    def ask_once(self) -> None:
        """Connect, ask, and read until the server ends the connection."""
        with self.connect() as connection:
            connection.sendall(self._last)
            _read_answer(connection)
            if connection.recv(_READ_BYTES):
                raise RuntimeError("bytes after the answer")

    def _proxy_header(self) -> bytes:
        """Come from another address each time: nobody may hold too many connections (RFC 5737 has too few for us)."""
        self._connected += 1
        source = f"10.{self._number}.{self._connected >> 8 & 255}.{self._connected & 255}"
        return f"PROXY TCP4 {source} {self._job.address[0]} 40000 {self._job.address[1]}\r\n".encode()


def _read_answer(connection: ssl.SSLSocket) -> None:
    answer = connection.recv(_READ_BYTES)
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _more(connection)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"answered {answer[:200]!r}")
    head = answer[:end].lower()
    _, found, rest = head.partition(b"content-length:")
    if not found:
        raise RuntimeError("an answer without content-length")
    missing = int(rest.split(b"\r\n", 1)[0]) - (len(answer) - end - 4)
    while missing > 0:
        missing -= len(_more(connection))


def _more(connection: ssl.SSLSocket) -> bytes:
    data = connection.recv(_READ_BYTES)
    if not data:
        raise RuntimeError("the connection ended within an answer")
    return data


# -- roles, each in a process of its own -----------------------------------------


def _ask_new(job: Job, number: int) -> Done:
    partner = Partner(job, job.clients[0], number=number)
    count, end = 0, time.monotonic() + job.seconds
    while time.monotonic() < end:
        partner.ask_once()
        count += 1
    return Done(count)


def _ask_kept(job: Job, number: int) -> Done:
    partner = Partner(job, job.clients[0], number=number)
    count, end = 0, time.monotonic() + job.seconds
    with partner.connect() as connection:
        while time.monotonic() < end:
            partner.ask(connection)
            count += 1
    return Done(count)


def _witness(job: Job, number: int) -> Done:
    if job.witness is None or job.lines is None:
        raise RuntimeError("a witness needs a name and a file")
    partner = Partner(job, job.witness, number=number)
    mark = f'"{job.witness}"'.encode()
    delays, end = [], time.monotonic() + job.seconds
    with partner.connect() as connection, Path(job.lines).open("rb") as lines:
        while time.monotonic() < end:
            lines.seek(0, os.SEEK_END)
            partner.ask(connection)
            answered = time.monotonic()
            _await_line(lines.read, mark)
            delays.append(time.monotonic() - answered)
            time.sleep(_WITNESS_PAUSE_SECONDS)
    return Done(len(delays), tuple(delays))


def _await_line(read: Callable[[], bytes], mark: bytes) -> None:
    end, tail = time.monotonic() + _TIMEOUT_SECONDS, b""
    while mark not in (tail := tail[-len(mark) :] + read()):
        if time.monotonic() > end:
            raise RuntimeError("an answer without its line")
        time.sleep(_WITNESS_LOOK_SECONDS)


_ROLES: Final = {Mode.NEW: _ask_new, Mode.KEEP: _ask_kept}


# -- held connections --------------------------------------------------------------


def _hold(job: Job, terminal: _terminal.Terminal) -> None:
    with ThreadPoolExecutor(_PROCESSES) as threads, _held(job, threads) as held:
        terminal.record({"answered": len(held), "delays": []})
        for _ in sys.stdin:
            shares = [held[number::_PROCESSES] for number in range(_PROCESSES)]
            answered = sum(threads.map(lambda share: _draw(share, seconds=job.seconds), shares))
            terminal.record({"answered": answered, "delays": []})


@contextmanager
def _held(job: Job, threads: ThreadPoolExecutor) -> Iterator[list[tuple[Partner, ssl.SSLSocket]]]:
    partners = [Partner(job, name, number=number & 255) for number, name in enumerate(job.clients)]

    def open_one(number: int) -> tuple[Partner, ssl.SSLSocket]:
        partner = partners[number % len(partners)]
        connection = partner.connect()
        partner.ask(connection)
        return partner, connection

    held: list[tuple[Partner, ssl.SSLSocket]] = []
    try:
        held.extend(threads.map(open_one, range(job.connections)))
        yield held
    finally:
        for _, connection in held:
            connection.close()


def _draw(share: Sequence[tuple[Partner, ssl.SSLSocket]], *, seconds: float) -> int:
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        partner, connection = random.choice(share)  # noqa: S311 -- a draw, no secret
        partner.ask(connection)
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
