"""A peer that is slow or endless is cut off by its deadline or its budget, whatever phase it lingers in."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep, open_tls
from tests.wire.stage import PROXY, read_to_end

MEBIBYTE = 1024 * 1024
LIMITS = Limits(
    idle_seconds=1,
    proxy_header_seconds=0.3,
    handshake_seconds=0.3,
    head_seconds=0.3,
    head_bytes=8 * 1024,
    linger_seconds=0.3,
)


@pytest.fixture(scope="module")
def doorstep() -> Iterator[Doorstep]:
    with open_doorstep(LIMITS) as opened:
        yield opened


@pytest.fixture
def plain(doorstep: Doorstep) -> Iterator[socket.socket]:
    """A connection on which nothing was said yet."""
    with socket.create_connection(doorstep.address, timeout=5) as opened:
        yield opened


def drip(plain: socket.socket) -> None:
    """Send a byte of a TLS record now and then, for four seconds."""
    for byte in b"\x16\x03\x01\x02\x00" + b"\x01" * 195:
        plain.sendall(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (b"", "no whole PROXY header within 0.3 seconds"),
        (b"PROXY TCP4 192.0", "no whole PROXY header within 0.3 seconds"),
        (PROXY, "no whole TLS handshake within 0.3 seconds"),
        (PROXY + b"\x16\x03\x01\x02\x00\x01", "no whole TLS handshake within 0.3 seconds"),
    ],
    ids=["silent after connect", "half a PROXY header", "silent after the PROXY header", "half a ClientHello"],
)
def test_a_peer_that_goes_silent_before_http(
    doorstep: Doorstep, plain: socket.socket, opening: bytes, reason: str
) -> None:
    began = time.monotonic()
    plain.sendall(opening)

    assert read_to_end(plain) == b""
    assert 0.25 < time.monotonic() - began < 1.5
    assert doorstep.reasons()[-1] == reason


def test_a_handshake_one_byte_at_a_time_has_one_deadline_in_all(doorstep: Doorstep, plain: socket.socket) -> None:
    """The deadline is for the whole, not for each read."""
    plain.sendall(PROXY)
    began = time.monotonic()

    with pytest.raises(ConnectionError):
        drip(plain)

    assert time.monotonic() - began < 2
    assert doorstep.reasons()


def test_a_peer_that_asks_nothing_after_the_handshake(doorstep: Doorstep) -> None:
    opened = open_tls(doorstep)

    assert opened.tls.recv(1) == b""
    assert doorstep.reasons()[-1] == "no request within 0.3 seconds"
    opened.close()


def test_a_head_that_does_not_end_is_answered_408(doorstep: Doorstep) -> None:
    opened = open_tls(doorstep)
    opened.send(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ")

    assert opened.answer().status == 408
    opened.close()


def test_a_head_without_bound_is_answered_431(doorstep: Doorstep) -> None:
    """The answer arrives although more is on the way: we read on for a while and drop it."""
    opened = open_tls(doorstep)
    opened.send(b"GET / HTTP/1.1\r\n" + b"x-much: " + b"a" * 40_000)

    answer = opened.answer()

    assert (answer.status, answer.content_type) == (431, "application/problem+json")
    opened.close()


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 431)])
def test_the_bound_of_a_head_is_exact_however_it_comes(doorstep: Doorstep, excess: int, status: int) -> None:
    """Whole in one record, behind a body that came with it."""
    first, opening = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na", b"GET / HTTP/1.1\r\nhost: a\r\nx: "
    head = opening + b"a" * (LIMITS.head_bytes + excess - len(opening) - 4) + b"\r\n\r\n"
    opened = open_tls(doorstep)
    opened.send(first)
    assert opened.answer().status == 200

    opened.send(b"a" + head)

    assert opened.answer().status == status
    opened.close()


def test_fifty_mebibytes_of_head_are_dropped_unread(doorstep: Doorstep) -> None:
    """After the refusal we take what comes without looking, and only for the linger time."""
    opened = open_tls(doorstep)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with contextlib.suppress(OSError):
        for _ in range(50):
            opened.send(b"GET / HTTP/1.1\r\n" + b"x-much: " + b"a" * MEBIBYTE)

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 1024
    assert "longer than 8192 bytes" in doorstep.reasons()[-1]
    opened.close()


def test_an_idle_connection_is_closed_after_its_time(doorstep: Doorstep) -> None:
    opened = open_tls(doorstep)
    assert opened.get().status == 200
    began = time.monotonic()

    assert opened.tls.recv(1) == b""
    assert 0.8 < time.monotonic() - began < 2.5
    opened.close()


def test_what_is_not_http_is_answered_400(doorstep: Doorstep) -> None:
    opened = open_tls(doorstep)
    opened.send(b"\x00\x01\x02 what\r\n\r\n")

    assert opened.answer().status == 400
    opened.close()


def test_none_of_them_is_left(doorstep: Doorstep) -> None:
    """When all have had their deadline nothing stays open."""
    deadline = time.monotonic() + 5
    while len(doorstep.roster) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert len(doorstep.roster) == 0
