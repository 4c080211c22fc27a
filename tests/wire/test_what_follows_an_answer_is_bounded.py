"""After an answer a connection waits for the next request; what is none does not keep it open."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep, open_tls
from tests.wire.stage import Connection

LIMITS = Limits(idle_seconds=1, head_seconds=0.4, head_bytes=8 * 1024, linger_seconds=0.2)
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n"


@pytest.fixture(scope="module")
def doorstep() -> Iterator[Doorstep]:
    with open_doorstep(LIMITS) as opened:
        yield opened


@pytest.fixture
def opened(doorstep: Doorstep) -> Iterator[Connection]:
    """A partner's connection."""
    connection = open_tls(doorstep)
    yield connection
    connection.close()


def seconds_to_end(opened: Connection) -> float:
    """Wait until the service closes."""
    began = time.monotonic()
    assert opened.tls.recv(1) == b""
    return time.monotonic() - began


def test_an_empty_line_starts_the_clock_of_the_next_head(opened: Connection) -> None:
    """RFC 9112, section 2.2, lets a client send one before its request; this one sends no request."""
    opened.send(REQUEST)
    assert opened.answer().status == 200

    opened.send(b"\r\n")

    assert seconds_to_end(opened) < 0.9


def test_empty_lines_now_and_then_do_not_wind_it_up_again(opened: Connection) -> None:
    opened.send(REQUEST)
    assert opened.answer().status == 200
    began = time.monotonic()

    with contextlib.suppress(OSError):
        for _ in range(99):
            opened.send(b"\r\n")
            time.sleep(0.03)

    assert time.monotonic() - began < 2


def test_the_rest_of_a_body_nobody_read_has_a_deadline(opened: Connection, doorstep: Doorstep) -> None:
    """The answer came before the body; one byte of it does not buy the connection for ever."""
    opened.send(UPLOAD)
    assert opened.answer().status == 200

    opened.send(b"a")

    assert seconds_to_end(opened) < 0.9
    assert doorstep.reasons()[-1] == "no end of the body after its answer within 0.4 seconds"


def test_that_deadline_is_for_the_whole_rest(opened: Connection) -> None:
    opened.send(UPLOAD)
    assert opened.answer().status == 200
    began = time.monotonic()

    with contextlib.suppress(OSError):
        for _ in range(99):
            opened.send(b"a")
            time.sleep(0.03)

    assert time.monotonic() - began < 2


def test_a_body_that_ends_in_time_leaves_the_connection_open_and_idle(opened: Connection) -> None:
    """Clients that send head and body apart keep their connection, for as long as any other."""
    opened.send(UPLOAD)
    assert opened.answer().status == 200

    opened.send(b"a" * 50)
    opened.send(b"a" * 50)
    time.sleep(0.6)
    opened.send(REQUEST)

    assert opened.answer().status == 200
    assert 0.8 < seconds_to_end(opened) < 2.5


def test_empty_lines_without_end_are_a_head_without_end(opened: Connection, doorstep: Doorstep) -> None:
    opened.send(REQUEST)
    assert opened.answer().status == 200

    opened.send(b"\r\n" * 20_000)

    assert opened.answer().status == 431
    assert "longer than 8192 bytes" in doorstep.reasons()[-1]


def test_a_body_that_was_announced_and_not_asked_for_is_never_the_next_request(opened: Connection) -> None:
    """
    RFC 9110, section 10.1.1: who expects `100 Continue` and is given an answer may keep the body back, or send it.

    Apache HttpClient 4 keeps it back and sends its next request; that must not be taken for the body.
    """
    opened.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n")

    answer = opened.answer()

    assert (answer.status, answer.headers.get("connection")) == (200, "close")
    assert opened.tls.recv(1) == b""
