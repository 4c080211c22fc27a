"""A body has a length and a time; over either it is refused while it comes, and never held whole."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from service.endpoints.asgi import Receive, Scope, Send, answer
from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep, open_tls
from tests.wire.stage import Connection

LIMITS = Limits(body_bytes=100_000, body_seconds=0.5, idle_seconds=2, linger_seconds=0.3)
HEAD = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNK = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
TOO_LONG = "The body is longer than 100000 bytes."


async def count(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer how many bytes came."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    await answer(send, HTTPStatus.OK, {"length": length})


@pytest.fixture(scope="module")
def doorstep() -> Iterator[Doorstep]:
    with open_doorstep(LIMITS, application=count) as opened:
        yield opened


@pytest.fixture
def opened(doorstep: Doorstep) -> Iterator[Connection]:
    """A partner's connection."""
    connection = open_tls(doorstep)
    yield connection
    connection.close()


def test_a_body_of_just_that_length_is_taken(opened: Connection) -> None:
    opened.send(HEAD + b"content-length: 100000\r\n\r\n" + b"a" * 100_000)

    assert opened.answer().document == {"length": 100_000}


def test_an_announced_length_is_refused_before_its_first_byte(opened: Connection, doorstep: Doorstep) -> None:
    """With `Expect: 100-continue` nothing of it is ever sent."""
    opened.send(HEAD + b"expect: 100-continue\r\ncontent-length: 100001\r\n\r\n")

    refused = opened.answer()

    assert (refused.status, refused.document["detail"]) == (413, TOO_LONG)
    assert doorstep.reasons()[-1] == TOO_LONG


def test_a_chunked_body_is_counted_as_it_comes(opened: Connection) -> None:
    opened.send(HEAD + b"transfer-encoding: chunked\r\n\r\n" + CHUNK * 7)

    refused = opened.answer()

    assert (refused.status, refused.document["detail"]) == (413, TOO_LONG)
    assert opened.tls.recv(1) == b""


def test_a_body_without_end_takes_no_memory(opened: Connection) -> None:
    opened.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with contextlib.suppress(OSError):
        for _ in range(50):
            opened.send(CHUNK * 64)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


def test_a_body_that_does_not_end_in_time_is_answered_408(opened: Connection) -> None:
    began = time.monotonic()
    opened.send(HEAD + b"content-length: 100\r\n\r\n")

    with contextlib.suppress(OSError):
        for _ in range(12):
            opened.send(b"a")
            time.sleep(0.05)

    assert opened.answer().document["detail"] == "The body did not end within 0.5 seconds."
    assert time.monotonic() - began < 2


def test_the_time_of_a_body_begins_anew_with_the_next_one(opened: Connection) -> None:
    for _ in range(3):
        opened.send(HEAD + b"content-length: 2\r\n\r\na")
        time.sleep(0.3)
        opened.send(b"a")
        assert opened.answer().document == {"length": 2}
