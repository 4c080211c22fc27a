"""
One request and its answer, as an ASGI application sees them (ASGI 3.0, HTTP 2.3).

The framing of the answer is decided here and by nobody else: whatever the
application says of `connection` and `transfer-encoding` belongs to a hop that
is not its own (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Protocol

from service.endpoints.asgi import PROBLEM_JSON, Application, Message, Scope
from service.endpoints.problem import problem

_log = logging.getLogger(__name__)

MAX_KEPT_BODY_BYTES: Final = 64 * 1024
"""What lies here of a body before we stop reading until the application takes it."""

_STATUS_LINES: Final = {int(status): b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}

_FINAL: Final = 200
_WITHOUT_BODY: Final = frozenset({204, 304})
"""Plain numbers: members of an enumeration are hashed and compared in Python, for every answer."""
_DECIDED_HERE: Final = frozenset({b"connection", b"transfer-encoding", b"content-length", b"date"})

_NAME_BYTES: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUE_BYTES: Final = bytes({*range(0x20, 0x100), 0x09} - {0x7F})
"""What a field name and a field value may hold (RFC 9110, sections 5.1 and 5.5)."""
_LINE_BYTES: Final = _VALUE_BYTES + b"\r\n"

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_GLUE_BYTES: Final = 64 * 1024
"""Up to here head and body go out as one piece; beyond it the copy costs more than a second write."""


class Line(Protocol):
    """What an exchange needs of the connection it is on."""

    async def writable(self) -> None:
        """Wait until the peer has taken enough of what was written."""

    def write(self, data: bytes) -> None:
        """Send."""

    def want_body(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Break off, so that nobody takes half an answer for a whole one."""

    def finished(self, exchange: Exchange) -> None:
        """Know that the answer is out."""


class Exchange:
    """
    One request, from its head to the end of its answer.

    Attributes:
        scope: As ASGI has it.
        keep_alive: Whether another request may follow; decided at the latest when the answer's head goes out.
        has_begun: Bytes of the answer are out.
        is_whole: The whole request has arrived.
    """

    __slots__ = (
        "_arrived",
        "_body",
        "_expects_continue",
        "_has_told_end",
        "_is_chunked",
        "_is_complete",
        "_is_empty",
        "_is_gone",
        "_left",
        "_line",
        "_start",
        "has_begun",
        "is_whole",
        "keep_alive",
        "scope",
    )

    def __init__(self, line: Line, scope: Scope, *, keep_alive: bool, expects_continue: bool, is_whole: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.has_begun = False
        self.is_whole = is_whole
        self._line = line
        self._expects_continue = expects_continue
        self._arrived: asyncio.Event | None = None
        self._body: bytes | bytearray = b""
        self._has_told_end = False
        self._is_gone = False
        self._start: tuple[int, bytes] | None = None
        self._is_complete = False
        self._is_empty = False
        self._is_chunked = False
        self._left: int | None = None

    # -- what the connection says ------------------------------------------------

    def take_body(self, data: bytes) -> bool:
        """Keep a piece of the body; False when enough lies here."""
        if self._body:
            # Not bytes: a peer that sends one at a time would have us copy all for each.
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += data
        else:
            self._body = data
        self._wake()
        return len(self._body) <= MAX_KEPT_BODY_BYTES

    def end_body(self) -> None:
        """Know that the request is whole."""
        self.is_whole = True
        self._wake()

    def leave(self) -> None:
        """Know that nobody listens any more."""
        self._is_gone = True
        self._wake()

    async def run(self, application: Application, tasks: set[asyncio.Task[None]]) -> None:
        """
        Have it answered; whatever the application does, the answer ends or the connection does.

        Args:
            application: The gate, and what is behind it.
            tasks: Holds this one, until it is done.
        """
        try:
            await self._answer(application)
        finally:
            task = asyncio.current_task()
            if task is not None:
                tasks.discard(task)

    async def _answer(self, application: Application) -> None:
        try:
            await application(self.scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001 -- the edge of a session; no application ends the worker
            if isinstance(error, asyncio.CancelledError) and self._is_gone:
                return  # The end of a drain: nobody listens any more.
            _log.exception("the application failed")
            self._fail()
            return
        if not self._is_complete and not self._is_gone:
            _log.error("the application returned before the end of its answer")
            self._fail()

    # -- what the application says -------------------------------------------------

    async def receive(self) -> Message:
        """Give the next piece of the body, or the end of the connection."""
        if self._expects_continue and not self.has_begun and not self._is_gone:
            self._expects_continue = False
            self._line.write(_CONTINUE)
        while not (self._is_gone or self._is_complete):
            if self._body or (self.is_whole and not self._has_told_end):
                return self._hand_body_on()
            self._line.want_body()
            if self._arrived is None:
                self._arrived = asyncio.Event()
            self._arrived.clear()
            await self._arrived.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """
        Send a part of the answer; its head goes out with the first piece of its body, as ASGI demands.

        Raises:
            RuntimeError: The application breaks the order of messages, or promised another length.
            ValueError: A field of its head would break the framing.
        """
        await self._line.writable()
        if self._is_gone:
            return
        if self._is_complete:
            raise RuntimeError(f"{message['type']} after the end of the answer")
        expected = "http.response.start" if self._start is None else "http.response.body"
        if message["type"] != expected:
            raise RuntimeError(f"{message['type']} where {expected} is due")
        if self._start is None:
            self._start = self._take_start(int(message["status"]), message.get("headers", ()))
            return
        self._send_body(message.get("body", b""), more=message.get("more_body", False))

    # -- the answer --------------------------------------------------------------

    def _send_body(self, body: bytes, *, more: bool) -> None:
        head = b"" if self.has_begun else self._compose_head(None if more else len(body))
        self.has_begun = True
        data = self._frame(body, more=more)
        if len(data) <= _GLUE_BYTES:
            data = head + data
        elif head:
            self._line.write(head)
        if data:
            self._line.write(data)
        if not more:
            if self._left:
                raise RuntimeError(f"the answer ended {self._left} bytes before its content-length")
            self._is_complete = True
            self._wake()
            self._line.finished(self)

    def _frame(self, body: bytes, *, more: bool) -> bytes:
        if self._is_empty:
            return b""
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + _LAST_CHUNK
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its content-length")
        return body

    def _take_start(self, status: int, fields: Iterable[tuple[bytes, bytes]]) -> tuple[int, bytes]:
        """Write the application's part of the head; how the body is framed its first piece decides."""
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        has_date = False
        for raw_name, value in fields:
            name = _field_name(raw_name)
            if name in _DECIDED_HERE:
                if name == b"content-length":
                    self._left = int(value)
                elif name == b"date":
                    has_date = True
                else:
                    self.keep_alive = self.keep_alive and not (name == b"connection" and b"close" in value.lower())
                    continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if not has_date:
            lines.append(_date_line(int(time.time())))
        head = b"".join(lines)
        if head.translate(None, _LINE_BYTES) or not head.count(b"\r") == head.count(b"\n") == len(lines):
            raise ValueError("a header field's value has a byte that no value may have")
        return status, head

    def _compose_head(self, whole: int | None) -> bytes:
        """Finish the head; `whole` is the length of the body, where all of it is there."""
        status, head = self._start or (HTTPStatus.INTERNAL_SERVER_ERROR, b"")
        if self._expects_continue and not self.is_whole:
            # Nobody knows whether the body still comes: without our word the peer may leave it out.
            self.keep_alive = False
        framing = self._decide_framing(status, whole)
        return b"".join((head, framing, b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"))

    def _decide_framing(self, status: int, whole: int | None) -> bytes:
        """Choose how the end of the body is told (RFC 9112, section 6.3); give the field line that tells it."""
        self._is_empty = status in _WITHOUT_BODY or status < _FINAL or self.scope["method"] == "HEAD"
        if self._is_empty:
            self._left = None
            return b""
        if self._left is not None:
            return b""
        if whole is not None:
            return b"content-length: %d\r\n" % whole
        if self.scope["http_version"] == "1.0":
            self.keep_alive = False
            return b""
        self._is_chunked = True
        return b"transfer-encoding: chunked\r\n"

    def _fail(self) -> None:
        if self._is_gone or self._is_complete:
            return
        if self.has_begun:
            self._line.abort()
            return
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        self.has_begun = self._is_complete = True
        self.keep_alive = False
        self._line.write(compose_problem(status, "This is our fault."))
        self._line.finished(self)

    def _hand_body_on(self) -> Message:
        body, self._body = bytes(self._body), b""
        self._has_told_end = self.is_whole
        return {"type": "http.request", "body": body, "more_body": not self.is_whole}

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()


@functools.lru_cache(maxsize=512)
def _field_name(name: bytes) -> bytes:
    """Give a field name as it is sent; answers have few of them, and always the same."""
    if not name or name.translate(None, _NAME_BYTES):
        raise ValueError("a header field's name has a byte that no name may have")
    return name.lower()


def compose_problem(status: HTTPStatus, detail: str) -> bytes:
    """Write a whole answer that no application has a part in; the connection ends with it."""
    body = json.dumps(problem(status, detail)).encode() + b"\n"
    return b"".join(
        (
            _STATUS_LINES[status],
            b"content-type: %b\r\ncontent-length: %d\r\n" % (PROBLEM_JSON, len(body)),
            _date_line(int(time.time())),
            b"connection: close\r\n\r\n",
            body,
        )
    )


@functools.lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    return b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
