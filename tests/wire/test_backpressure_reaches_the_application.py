"""An application that answers much, and a peer that reads slowly: nothing piles up in between."""

from __future__ import annotations

import hashlib
import socket
import time
from http.client import HTTPResponse

from service.endpoints.asgi import Receive, Scope, Send
from service.settings import Limits
from tests.wire.doorstep import open_doorstep
from tests.wire.stage import Connection, client_context

CHUNK = bytes(range(256)) * 256
CHUNKS = 512
LIMITS = Limits(idle_seconds=5)


async def answer_much(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer 32 MiB, a chunk at a time."""
    length = str(len(CHUNK) * CHUNKS).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for _ in range(CHUNKS):
        answer_much.sent += 1  # type: ignore[attr-defined]  # a counter on the function itself
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def count_body(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the digest of what was sent."""
    digest, more = hashlib.sha256(), True
    while more:
        message = await receive()
        digest.update(message["body"])
        more = message["more_body"]
    body = digest.hexdigest().encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]})
    await send({"type": "http.response.body", "body": body})


def test_the_application_waits_for_a_slow_reader_and_every_byte_arrives() -> None:
    answer_much.sent = 0  # type: ignore[attr-defined]
    with open_doorstep(LIMITS, application=answer_much) as doorstep:
        plain = socket.create_connection(doorstep.address, timeout=5)
        opened = Connection.over(plain, client_context(doorstep.trust))
        opened.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        time.sleep(0.3)
        sent_while_nobody_read = answer_much.sent  # type: ignore[attr-defined]

        response = HTTPResponse(opened.tls)
        response.begin()
        digest = hashlib.sha256(response.read())

        assert sent_while_nobody_read < CHUNKS / 2
        assert digest.digest() == hashlib.sha256(CHUNK * CHUNKS).digest()
        opened.close()


def test_a_large_body_arrives_whole() -> None:
    body = CHUNK * 64
    with open_doorstep(LIMITS, application=count_body) as doorstep:
        plain = socket.create_connection(doorstep.address, timeout=5)
        opened = Connection.over(plain, client_context(doorstep.trust))
        opened.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

        response = HTTPResponse(opened.tls)
        response.begin()

        assert response.read().decode() == hashlib.sha256(body).hexdigest()
        opened.close()


def test_a_peer_that_half_closes_still_gets_its_answer_and_the_end() -> None:
    """FIN after the request: nothing more will be asked, the answer is owed, and nobody lingers."""
    with open_doorstep(LIMITS) as doorstep:
        plain = socket.create_connection(doorstep.address, timeout=5)
        opened = Connection.over(plain, client_context(doorstep.trust))
        opened.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        with socket.socket(fileno=socket.dup(opened.tls.fileno())) as beneath:
            beneath.shutdown(socket.SHUT_WR)
            began = time.monotonic()

            assert opened.answer().status == 200
            assert opened.tls.recv(1) == b""
            assert time.monotonic() - began < LIMITS.linger_seconds
        opened.close()


def test_half_a_request_and_the_end_is_given_up() -> None:
    with open_doorstep(LIMITS, application=count_body) as doorstep:
        plain = socket.create_connection(doorstep.address, timeout=5)
        opened = Connection.over(plain, client_context(doorstep.trust))
        opened.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf")
        with socket.socket(fileno=socket.dup(opened.tls.fileno())) as beneath:
            beneath.shutdown(socket.SHUT_WR)

            assert opened.tls.recv(1) == b""
        opened.close()
