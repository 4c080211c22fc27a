"""Fields behind a chunked body are dropped: they never pass for the head's, and there is no end of them to keep."""

from __future__ import annotations

from http import HTTPStatus

from service.endpoints.asgi import Receive, Scope, Send, answer
from service.settings import Limits
from tests.wire.doorstep import open_doorstep, open_tls

LIMITS = Limits(idle_seconds=5, head_bytes=8 * 1024, linger_seconds=0.5)
HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


async def tell_fields(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end, then answer the names of all header fields."""
    while (await receive()).get("more_body"):
        pass
    await answer(send, HTTPStatus.OK, {"fields": [name.decode() for name, _ in scope["headers"]]})


def test_a_trailer_is_dropped() -> None:
    """RFC 9110, section 6.5.1: merged into the head, it could replace a field the head was judged by."""
    with open_doorstep(LIMITS, application=tell_fields) as doorstep:
        opened = open_tls(doorstep)

        opened.send(HEAD + b"3\r\nabc\r\n0\r\nx-late: 1\r\n\r\n")

        assert opened.answer().document == {"fields": ["host", "transfer-encoding"]}
        opened.close()


def test_trailers_without_end_end_the_connection() -> None:
    with open_doorstep(LIMITS, application=tell_fields) as doorstep:
        opened = open_tls(doorstep)

        opened.send(HEAD + b"0\r\n" + b"x-much: " + b"a" * 40_000)

        assert opened.answer().status == 431
        assert opened.tls.recv(1) == b""
        assert "longer than 8192 bytes" in doorstep.reasons()[-1]
        opened.close()
