"""Whatever an application does with one request, the others of its worker are answered."""

from __future__ import annotations

import itertools
import time
from http import HTTPStatus

from service.endpoints.asgi import Receive, Scope, Send, answer
from service.settings import Limits
from tests.wire.doorstep import open_doorstep, open_tls

SECONDS = 3.0


async def stream_until_it_is_over(scope: Scope, _receive: Receive, send: Send) -> None:
    """Send without end, and never look whether somebody takes it; a file or a generator does so."""
    if scope["path"] != "/stream":
        await answer(send, HTTPStatus.OK, {})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    end = time.monotonic() + SECONDS
    for _ in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
        await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})


def test_a_stream_whose_peer_left_keeps_nobody_waiting() -> None:
    """An attack: ask for something long and leave. Nothing slows the application down any more then."""
    with open_doorstep(Limits(linger_seconds=0.2), application=stream_until_it_is_over) as doorstep:
        leaving = open_tls(doorstep)
        leaving.send(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
        leaving.tls.recv(1)
        leaving.close()
        began = time.monotonic()

        other = open_tls(doorstep)

        assert other.get("/").status == 200
        assert time.monotonic() - began < SECONDS / 2
        other.close()
