"""
What two servers may understand differently is answered with 400, before any route is chosen.

An application of our choice or an upstream stands behind the gate. A request
that it could read in another way than we did would go round the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from service.endpoints.asgi import Receive, Scope, Send
from service.settings import Limits
from tests.wire.doorstep import Doorstep, hello, open_doorstep, open_tls

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"

REFUSED = {
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "dot segments": b"GET /open/../closed HTTP/1.1\r\nhost: a\r\n\r\n",
    "encoded dot segments": b"GET /open/%2e%2e/closed HTTP/1.1\r\nhost: a\r\n\r\n",
    "an encoded slash": b"GET /open%2fclosed HTTP/1.1\r\nhost: a\r\n\r\n",
    "an encoded backslash": b"GET /open%5cclosed HTTP/1.1\r\nhost: a\r\n\r\n",
    "an encoded NUL": b"GET /closed%00 HTTP/1.1\r\nhost: a\r\n\r\n",
    "an empty segment": b"GET //closed HTTP/1.1\r\nhost: a\r\n\r\n",
    "a fragment": b"GET /#a HTTP/1.1\r\nhost: a\r\n\r\n",
    "another authority": b"GET https://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "another scheme": b"GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "both framings": HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "both framings, the other way": CHUNKED + b"content-length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": HEAD + b"content-length: 0\r\ncontent-length: 35\r\n\r\n" + SMUGGLED,
    "a list of lengths": HEAD + b"content-length: 0, 0\r\n\r\n" + SMUGGLED,
    "a length with a sign": HEAD + b"content-length: +0\r\n\r\n" + SMUGGLED,
    "a length in hexadecimal": HEAD + b"content-length: 0x1\r\n\r\na" + SMUGGLED,
    "chunked not last": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a vertical tab before chunked": HEAD + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a folded line": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\n\r\n",
    "bare LFs alone": b"GET / HTTP/1.1\nhost: a\n\n",
    "a bare CR": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb: c\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost: a\r\nx : a\r\n\r\n",
    "a NUL in a value": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    "a chunk size with a space": CHUNKED + b"\r\n0 \r\n\r\n" + SMUGGLED,
    "a chunk that ends in LF": CHUNKED + b"\r\n3\nabc\n0\n\n" + SMUGGLED,
    "a chunk longer than it says": CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size without end": CHUNKED + b"\r\nfffffffffffffffff\r\n" + SMUGGLED,
    "an upgrade with a body": HEAD + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 35\r\n\r\n" + SMUGGLED,
}


async def read_and_greet(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer once the request is whole."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await hello(scope, receive, send)


@pytest.fixture(scope="module")
def doorstep() -> Iterator[Doorstep]:
    with open_doorstep(Limits(idle_seconds=1, linger_seconds=0.2), application=read_and_greet) as opened:
        yield opened


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_answered_once_with_400_and_the_connection_ends(doorstep: Doorstep, request_: bytes) -> None:
    """Once: what was smuggled behind it is never read as a request."""
    opened = open_tls(doorstep)
    opened.send(request_)

    answer = opened.answer()

    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert answer.headers["connection"] == "close"
    assert len(answer.document["detail"]) > 10
    assert opened.tls.recv(1) == b""
    opened.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 501),
        (b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 501),
    ],
    ids=["HTTP/2 by name", "HTTP/0.9", "a coding we do not know", "one that only ends in chunked", "CONNECT"],
)
def test_what_is_not_offered_has_its_own_status(doorstep: Doorstep, request_: bytes, status: int) -> None:
    opened = open_tls(doorstep)
    opened.send(request_)

    assert opened.answer().status == status
    opened.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHOST: a:443\r\n\r\n",
        b"GET https://a/x?y HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\n\r\n",
        HEAD + b"content-length: 3\r\n\r\nabc",
        CHUNKED + b'\r\n3;name="value"\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n',
    ],
    ids=["with a port", "absolute form", "HTTP/1.0", "an upgrade we do not offer", "a length", "chunks"],
)
def test_what_has_one_reading_is_answered(doorstep: Doorstep, request_: bytes) -> None:
    opened = open_tls(doorstep)
    opened.send(request_)

    assert opened.answer().status == 200
    opened.close()


def test_a_fault_behind_a_request_that_is_being_answered_is_not_taken_for_its_answer() -> None:
    """Answers have no name but their order: a 400 sent now would be read as the first request's."""

    async def never_answer(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    with open_doorstep(Limits(linger_seconds=0.2), application=never_answer) as doorstep:
        opened = open_tls(doorstep)
        opened.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n")

        assert opened.tls.recv(1) == b""
        assert doorstep.reasons() == ["The request has no Host field."]
        opened.close()
