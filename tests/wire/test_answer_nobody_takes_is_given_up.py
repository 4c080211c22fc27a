"""A peer that asks for much and reads nothing is cut off; one that reads slowly is not."""

from __future__ import annotations

import socket
import time
from http.client import HTTPResponse

from service.endpoints.asgi import Receive, Scope, Send
from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep
from tests.wire.stage import Connection, client_context

CHUNK = b"a" * 65_536
CHUNKS = 256
LIMITS = Limits(answer_seconds=0.5, idle_seconds=5)
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def answer_much(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer 16 MiB."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def connect(doorstep: Doorstep) -> Connection:
    """Open a connection whose buffer is small, so that reading slowly is felt at once."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    plain.settimeout(10)
    plain.connect(doorstep.address)
    return Connection.over(plain, client_context(doorstep.trust))


def test_a_peer_that_reads_nothing_is_gone_when_its_time_is_over() -> None:
    with open_doorstep(LIMITS, application=answer_much) as doorstep:
        opened = connect(doorstep)
        opened.send(GET)
        deadline = time.monotonic() + 5
        while len(doorstep.roster) and time.monotonic() < deadline:
            time.sleep(0.02)

        assert len(doorstep.roster) == 0
        assert doorstep.reasons() == ["nothing of the answer taken within 0.5 seconds"]
        opened.close()


def test_a_slow_reader_gets_all_of_it() -> None:
    """It takes longer than the limit in all, and never that long for nothing."""
    with open_doorstep(LIMITS, application=answer_much) as doorstep:
        opened = connect(doorstep)
        opened.send(GET)
        response, length, began = HTTPResponse(opened.tls), 0, time.monotonic()
        response.begin()
        while chunk := response.read(1024 * 1024):
            length += len(chunk)
            time.sleep(0.06)

        assert length == len(CHUNK) * CHUNKS
        assert time.monotonic() - began > LIMITS.answer_seconds
        opened.close()
