"""HTTP without sockets: any bytes, in any fragments, come to the same answers and to nothing worse."""

from __future__ import annotations

import asyncio
import itertools
import logging
from http import HTTPStatus

import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.connection.deadline import Deadline
from service.connection.http_protocol import MAX_FIELDS, Answering, HttpProtocol, Sides
from service.endpoints.asgi import Application, Receive, Scope, Send, answer
from service.settings import Limits

GET = b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabcde"
CHUNKED = (
    b"POST /%d HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-late: 1\r\n\r\n"
)


class Kept:
    """A wire that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = self.is_paused = self.is_aborted = False
        self.unread: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        """Keep it."""
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        """Note the end."""
        self.is_closed = True

    def abort(self) -> None:
        """Note the end."""
        self.is_closed = self.is_aborted = True

    def is_closing(self) -> bool:
        """Whether it was noted."""
        return self.is_closed

    def pause_reading(self) -> None:
        """Hold back what is not read yet."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Read on."""
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer path and body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    await answer(send, HTTPStatus.OK, {"path": scope["path"], "body": body.decode("latin-1")})


def talk(fragments: list[bytes], *, application: Application = echo, limits: Limits | None = None) -> Kept:
    """Say the fragments, as a transport would, and let everything come to rest."""
    wire, reported = Kept(), list[str]()

    async def walk() -> None:
        loop = asyncio.get_running_loop()
        answering = Answering(application, limits or Limits(), scheme="https")
        deadline = Deadline(loop)
        sides = Sides(("192.0.2.7", 51514), ("203.0.113.9", 443), {})
        http = HttpProtocol(answering, wire, sides=sides, deadline=deadline, report=reported.append)
        http.begin()
        for fragment in fragments:
            for _ in range(50):
                if not wire.is_paused:
                    break
                await asyncio.sleep(0)
            if not wire.is_closed:
                http.data_received(fragment)
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        http.connection_lost()
        await asyncio.wait(answering.tasks) if answering.tasks else None
        deadline.close()

    uvloop.run(walk())
    return wire


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in itertools.pairwise(marks)]


def without_date(written: bytes) -> list[bytes]:
    """Give the lines of answers but for those that tell the time."""
    return [line for line in written.split(b"\r\n") if not line.startswith(b"date: ")]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([GET, POST, CHUNKED]), min_size=1, max_size=6),
    st.lists(st.integers(0, 1000), max_size=30),
)
def test_however_it_is_cut_the_answers_are_the_same_and_in_order(forms: list[bytes], places: list[int]) -> None:
    data = b"".join(form % number for number, form in enumerate(forms))

    whole, in_pieces = talk([data]), talk(cut(data, places))

    assert whole.written.count(b"HTTP/1.1 200 OK") == len(forms)
    assert without_date(whole.written) == without_date(in_pieces.written)
    assert [f'"path": "/{number}"'.encode() in whole.written for number in range(len(forms))] == [True] * len(forms)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([GET % 1, POST % 2, CHUNKED % 3])), max_size=8))
@example([b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", GET % 1, b"\x00"])
@example([b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n"])
@example([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_no_bytes_do_more_than_end_the_connection(fragments: list[bytes]) -> None:
    """Whatever is written is whole answers, and an answer that is a refusal is the last."""
    wire = talk(fragments)

    assert wire.written == b"" or wire.written.startswith(b"HTTP/1.1 ")
    refusals = wire.written.count(b"content-type: application/problem+json")
    assert refusals == 0 or (refusals == 1 and wire.is_closed)


async def crash(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Fail at once."""
    raise RuntimeError("secret")


async def crash_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Fail in the middle of an answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("secret")


async def leave(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """End without an answer."""


async def exit_(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Try to end the process."""
    raise SystemExit(1)


async def wait_for_what_was_cancelled(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Wait for something of its own that somebody else gave up."""
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    await given_up


async def give_itself_up(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Cancel the task it runs in."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def split_the_answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Put into a field what somebody else wrote."""
    fields = [(b"location", b"/\r\nset-cookie: a=b")]
    await send({"type": "http.response.start", "status": 302, "headers": fields})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    "application", [crash, leave, exit_, wait_for_what_was_cancelled, give_itself_up, split_the_answer]
)
def test_an_application_that_gives_no_answer_is_answered_for(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        wire = talk([GET % 1], application=application)

    assert wire.written.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in wire.written
    assert b"set-cookie" not in wire.written
    assert wire.is_closed


@pytest.mark.parametrize("zeros", [5, 5000])
def test_a_length_is_read_however_many_zeros_stand_before_it(zeros: int) -> None:
    """An attack: Python itself refuses a number of more than 4300 digits, and that would be told as our fault."""
    length = b"0" * zeros + b"5"

    wire = talk([b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: " + length + b"\r\n\r\nabcde"])

    assert wire.written.startswith(b"HTTP/1.1 200 ")
    assert b'"body": "abcde"' in wire.written


def test_fields_by_the_thousand_are_not_kept() -> None:
    """An attack: short fields take thirty times their bytes here, in each of a thousand heads that never end."""
    few, many = (b"GET /1 HTTP/1.1\r\nhost: a\r\n" + b"ab:\r\n" * count for count in (MAX_FIELDS - 1, MAX_FIELDS + 1))

    assert talk([few + b"\r\n"]).written.startswith(b"HTTP/1.1 200 ")
    for head in (many, many + b"\r\n"):
        refused = talk([head])
        assert refused.written.startswith(b"HTTP/1.1 431 ")
        assert refused.written.count(b"HTTP/1.1 ") == 1
        assert refused.is_closed


def test_half_an_answer_is_never_taken_for_a_whole_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        wire = talk([GET % 1], application=crash_late)

    assert wire.is_aborted
    assert not wire.written.endswith(b"0\r\n\r\n")


def answering(status: int, fields: list[tuple[bytes, bytes]], *body: bytes) -> Application:
    """Make an application that answers just this."""

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        for piece in body[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": body[-1]})

    return application


@pytest.mark.parametrize(
    ("request_", "application", "end"),
    [
        (GET % 1, answering(200, [], b"abc"), b"content-length: 3\r\n\r\nabc"),
        (GET % 1, answering(200, [], b"a", b"bc"), b"chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
        (GET % 1, answering(200, [(b"transfer-encoding", b"gzip")], b"abc"), b"content-length: 3\r\n\r\nabc"),
        (GET % 1, answering(204, [], b""), b"\r\n\r\n"),
        (GET % 1, answering(304, [(b"content-length", b"9")], b""), b"\r\n\r\n"),
        (b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", answering(200, [(b"content-length", b"3")], b""), b"\r\n\r\n"),
        (b"GET / HTTP/1.0\r\n\r\n", answering(200, [], b"a", b"bc"), b"connection: close\r\n\r\nabc"),
        (GET % 1, answering(200, [(b"connection", b"Close")], b""), b"connection: close\r\n\r\n"),
    ],
    ids=["whole", "in pieces", "another coding", "204", "304", "HEAD", "HTTP/1.0", "close"],
)
def test_the_end_of_an_answer_is_told_as_its_client_understands_it(
    request_: bytes, application: Application, end: bytes
) -> None:
    """RFC 9112, section 6.3."""
    wire = talk([request_], application=application)

    assert wire.written.endswith(end)
    assert (b"connection: close" in wire.written) == wire.is_closed
    assert not wire.is_aborted


@pytest.mark.parametrize("body", [b"ab", b"abcd"], ids=["shorter", "longer"])
def test_another_length_than_was_promised_ends_the_connection(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        wire = talk([GET % 1], application=answering(200, [(b"content-length", b"3")], body))

    assert wire.is_aborted
    assert b"abcd" not in wire.written
