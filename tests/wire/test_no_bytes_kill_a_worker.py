"""A fuzz of the TLS entry: no bytes kill a worker or leave a connection behind; honest clients are answered."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from service.contract import Variable
from tests.certificates import HOST_NAME, Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import PROXY, WAIT_SECONDS, Aws, Service, ask, client_context

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors of a process are counted in /proc")

PATIENCE_SECONDS = 5.0
"""Longer than any deadline of this service: whoever waits longer is not being served and not being cut off."""

Mutation = Callable[[random.Random, bytes], bytes]


def flip(dice: random.Random, flight: bytes) -> bytes:
    """Change some bits."""
    changed = bytearray(flight)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def cut(dice: random.Random, flight: bytes) -> bytes:
    """End in the middle."""
    return flight[: dice.randrange(len(flight))]


def repeat(dice: random.Random, flight: bytes) -> bytes:
    """Say a piece twice."""
    at, end = sorted(dice.randrange(len(flight) + 1) for _ in range(2))
    return flight[:end] + flight[at:]


def swallow(dice: random.Random, flight: bytes) -> bytes:
    """Leave a piece out."""
    at, end = sorted(dice.randrange(len(flight) + 1) for _ in range(2))
    return flight[:at] + flight[end:]


def swap_records(dice: random.Random, flight: bytes) -> bytes:
    """Send records in another order."""
    records, at = [], 0
    while at + 5 <= len(flight):
        end = at + 5 + int.from_bytes(flight[at + 3 : at + 5])
        records.append(flight[at:end])
        at = end
    dice.shuffle(records)
    return b"".join(records)


def lie_about_lengths(dice: random.Random, flight: bytes) -> bytes:
    """Set a pair of bytes, which may be a length, to what breaks parsers."""
    changed = bytearray(flight)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(changed) - 1)
        changed[at : at + 2] = dice.choice((0, 1, 0x3FFF, 0x4000, 0x4001, 0x7FFF, 0xFFFF)).to_bytes(2)
    return bytes(changed)


def insert_record(dice: random.Random, flight: bytes) -> bytes:
    """Put records of any type between: empty ones, alerts, changes of cipher, early data, heartbeats."""
    kind, count = dice.randrange(18, 27), dice.choice((1, 1, 2, 40))
    body = dice.choice((b"", b"\x01", b"\x01\x00", b"\x02\x28", dice.randbytes(dice.randrange(64))))
    record = bytes([kind, 3, dice.choice((0, 1, 3, 4))]) + len(body).to_bytes(2) + body
    return record * count + flight if dice.random() < 0.5 else flight + record * count


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip, cut, repeat, swallow, swap_records, lie_about_lengths, insert_record,
)  # fmt: skip


class Attacker:
    """One connection of a partner whose bytes are tampered with at one moment of its life."""

    def __init__(self, service: Service, seed: int, identity: Identity) -> None:
        self._dice = random.Random(seed)  # noqa: S311 -- the same attacks each time
        self._service = service
        version = self._dice.choice((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
        context = client_context(service.trust, identity if self._dice.random() < 0.7 else None, version=version)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._side = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST_NAME)
        self._tampered_flight = self._dice.randrange(4)

    def run(self) -> None:
        """Attack, then read until the service ends it; raises TimeoutError where it never does."""
        with (
            socket.create_connection(self._service.address, timeout=PATIENCE_SECONDS) as plain,
            contextlib.suppress(ConnectionResetError, BrokenPipeError),
        ):
            if self._dice.random() < 0.15:
                opening = self._dice.choice((b"", PROXY, PROXY + b"\x16\x03\x01\x02\x00"))
                plain.sendall(opening + self._dice.randbytes(self._dice.randrange(1, 4000)))
            else:
                plain.sendall(PROXY)
                self._talk(plain)
            with contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass

    def _talk(self, plain: socket.socket) -> None:
        """Shake hands and ask, until nothing more is said; one flight goes out otherwise than it was meant."""
        for number in range(5):
            self._advance()
            flight = self._outgoing.read()
            if flight and number >= self._tampered_flight:
                plain.sendall(self._dice.choice(MUTATIONS)(self._dice, flight))
                return
            plain.sendall(flight)
            if number < 2:
                answer = plain.recv(65536)
                if not answer:
                    return
                self._incoming.write(answer)

    def _advance(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._side.do_handshake()
            for _ in range(self._dice.randint(1, 3)):
                self._side.write(
                    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" + self._dice.randbytes(self._dice.choice((0, 200)))
                )


def attack(service: Service, seeds: range) -> None:
    """Attack from several sides at once."""
    identity = client()
    with ThreadPoolExecutor(8) as attackers:
        for _ in attackers.map(lambda seed: Attacker(service, seed, identity).run(), seeds):
            pass


def worker_of(service: Service) -> int:
    """Say which process the one worker is."""
    command = ["ps", "-o", "pid=", "--ppid", str(service.process.pid)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 -- no input


def descriptors(pid: int) -> int:
    """Count what a process holds open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- the names are nothing but numbers


def resident_bytes(pid: int) -> int:
    """Say how much memory a process uses."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def withstand(aws: Aws, start_service: StartService, *batches: range) -> list[int]:
    """Attack a service; it must be as it was before. Returns how much memory its worker used after each batch."""
    service = start_service(
        **dict.fromkeys((Variable.PROXY_HEADER_SECONDS, Variable.HANDSHAKE_SECONDS, Variable.HEAD_SECONDS), "1"),
        **{Variable.RELOAD_SECONDS: "3600", Variable.CONNECTIONS_PER_SOURCE: "1000"},
    )
    partner, used = client(), []
    aws.enroll(partner, "acme")
    assert ask(service, partner).status == 200
    worker = worker_of(service)
    before = descriptors(worker)

    for seeds in batches:
        attack(service, seeds)
        used.append(resident_bytes(worker))

    assert ask(service, partner).status == 200
    assert worker_of(service) == worker
    wait_for_descriptors(worker, before)
    assert service.errors() == ""
    return used


def wait_for_descriptors(pid: int, most: int) -> None:
    """Wait until a process holds no more than so many: connections that linger go by their deadlines."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := descriptors(pid)) > most:
        assert time.monotonic() < deadline, f"{found} descriptors are open, {most} were before"
        time.sleep(0.02)


def test_sixty_attacks_leave_nothing_behind(aws: Aws, start_service: StartService) -> None:
    withstand(aws, start_service, range(60))


@pytest.mark.slow
def test_three_thousand_attacks_leave_nothing_behind(aws: Aws, start_service: StartService) -> None:
    before, after = withstand(aws, start_service, range(300), range(300, 3300))

    assert after - before < 16 * 1024 * 1024
