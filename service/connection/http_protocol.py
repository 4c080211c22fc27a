"""
HTTP/1.1 over what came out of TLS, with an end to everything a peer may do.

The parser is llhttp, by httptools, in its strict form: it refuses both framings
at once, folded lines, bare CR and LF, spaces before a colon (RFC 9112, sections
2.2, 5.1, 5.2 and 6.3). What it leaves open is decided here: hosts, targets,
versions and codings, how much may come and how long it may take.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, Protocol

import httptools

from service.connection.deadline import Deadline
from service.connection.exchange import Exchange, compose_problem
from service.connection.request_head import body_too_long, read_head
from service.connection.request_target import read_target
from service.endpoints.asgi import Application, Scope
from service.errors import BadRequestError
from service.settings import Limits

_log = logging.getLogger(__name__)

MAX_FIELDS: Final = 256
"""
Of a head. Browsers send some twenty; Apache and Tomcat take a hundred.

A field of few bytes takes thirty times as many here, so that bytes alone would not bound the memory of a head.
"""

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Wire(Protocol):
    """What HTTP needs of the connection beneath; asyncio's transports have it."""

    def write(self, data: bytes, /) -> object:
        """Send, unless the end has begun."""

    def close(self) -> None:
        """End after what was written."""

    def abort(self) -> None:
        """Break off."""

    def is_closing(self) -> bool:
        """Whether the end has begun, from either side."""

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""

    def resume_reading(self) -> None:
        """Take more again."""

    def get_write_buffer_size(self) -> int:
        """Bytes the peer has not taken yet."""


@dataclass(frozen=True, slots=True)
class Answering:
    """
    Who answers, and within which bounds; all connections of a socket share it.

    Attributes:
        tasks: The requests being answered.
    """

    application: Application
    limits: Limits
    scheme: str
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Sides:
    """
    Who talks to whom.

    Attributes:
        client: The peer's own address and port, as the balancer told them.
        server: Ours.
        state: For each request's `scope["state"]`.
    """

    client: tuple[str, int]
    server: tuple[str, int]
    state: dict[str, Any]  # Any: what ASGI puts there has no common type


class _Clock(Enum):
    """What the peer has to do in time."""

    NOTHING = auto()
    ASK = auto()
    HEAD = auto()
    BODY = auto()
    REST = auto()
    STAY_IDLE = auto()


class HttpProtocol:
    """
    One HTTP connection whose peer has bounds to keep.

    Args:
        deadline: The connection's own; it is ours as long as we are.
        report: Told why, in a few words, when the peer broke a bound or the protocol.
    """

    __slots__ = (
        "_answering",
        "_body_bytes",
        "_clock",
        "_current",
        "_deadline",
        "_field_bytes",
        "_headers",
        "_incoming",
        "_is_in_body",
        "_is_in_head",
        "_is_last_request",
        "_is_over",
        "_is_paused",
        "_loop",
        "_parser",
        "_piece_bytes",
        "_queue",
        "_report",
        "_sides",
        "_stuck",
        "_url",
        "_wire",
        "_writable",
    )

    def __init__(
        self,
        answering: Answering,
        wire: Wire,
        *,
        sides: Sides,
        deadline: Deadline,
        report: Callable[[str], None],
    ) -> None:
        self._answering = answering
        self._wire = wire
        self._sides = sides
        self._deadline = deadline
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)  # Any: it ships no types
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._incoming: Exchange | None = None
        self._current: Exchange | None = None
        self._queue: deque[Exchange] | None = None
        self._field_bytes = 0
        self._piece_bytes = 0
        self._body_bytes = 0
        self._is_in_head = False
        self._is_in_body = False
        self._is_last_request = False
        self._is_over = False
        self._is_paused = False
        self._writable: asyncio.Event | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._clock: _Clock | None = _Clock.NOTHING

    # -- what the connection says --------------------------------------------------

    def begin(self) -> None:
        """Give the peer its time to ask something."""
        self._wind(_Clock.ASK)

    def data_received(self, data: bytes) -> None:
        """
        Take what the peer says, at most a record's worth of bytes.

        The budget of a head counts what came since the last thing that was whole: a head, a piece of body, a message.
        So it also holds for trailers, for the extensions of a chunk and for empty lines between requests.
        """
        if self._is_over or self._has_last_request:
            return
        self._piece_bytes = len(data)
        self._field_bytes += self._piece_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # It is answered as if it had not asked for another protocol, and the connection ends with that.
            self._announce_end()
        except httptools.HttpParserCallbackError:
            _log.exception("a callback of the parser failed")
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "This is our fault.")
        except httptools.HttpParserError as error:
            if not self._has_last_request:
                self.refuse(HTTPStatus.BAD_REQUEST, f"This is not HTTP/1.1 as we take it: {error}.")
        if self._field_bytes > self._answering.limits.head_bytes:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, self._head_too_long())
        self._rewind()

    @property
    def is_within_request(self) -> bool:
        """Whether a request has begun to come and is not whole."""
        return self._is_in_head or self._is_in_body

    def peer_ended(self) -> None:
        """Finish without another byte of the peer: answer what was asked in whole, give up what was not."""
        if self._current is None or self._is_in_head or self._is_in_body:
            self._close()
        else:
            self._announce_end()

    def connection_lost(self) -> None:
        """End; what still runs is told that nobody listens."""
        self._is_over = True
        # It holds us as we hold it; the two would wait for the garbage collector, with all that TLS has of this peer.
        self._parser = None
        self._deadline.clear()
        self._unstick()
        for exchange in (self._current, self._incoming, *(self._queue or ())):
            if exchange is not None:
                exchange.leave()
        self._queue = None

    def shutdown(self) -> None:
        """
        Drain: finish what is under way, then close.

        A connection that is about to ask something keeps its one request: its peer may have begun before it could know.
        """
        if self._current is not None:
            self._announce_end()
        elif self._is_in_head or self._clock is _Clock.ASK:
            self._is_last_request = True
        else:
            self._close()

    def pause_writing(self) -> None:
        """Have the answer wait for a peer that reads slower than we write, if it reads at all."""
        self._writable = asyncio.Event()
        self._watch_progress()

    def resume_writing(self) -> None:
        """Let the answer go on."""
        self._unstick()

    # -- what the parser says --------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note the first byte of a request."""
        self._is_in_head = True
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; a trailer must not pass for one (RFC 9110, section 6.5.1)."""
        if not self._is_in_head or self._is_over:
            return
        if len(self._headers) < MAX_FIELDS:
            self._headers.append((name.lower(), value))
        else:
            detail = f"The request has more than {MAX_FIELDS} header fields."
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def on_headers_complete(self) -> None:
        """Take the request: it is answered at once, or waits for those before it."""
        # What else was whole in this piece has taken the count back; then the head is no longer than the piece.
        came, self._field_bytes, self._body_bytes = self._field_bytes or self._piece_bytes, 0, 0
        self._is_in_head, self._is_in_body = False, True
        self._clock = None
        self._incoming = None
        if self._is_over or (self._is_last_request and self._current is not None):
            return
        try:
            exchange = self._read_head(came)
        except BadRequestError as error:
            self.refuse(error.status, error.detail)
            return
        if self._is_last_request or not exchange.keep_alive:
            self._is_last_request = True
            exchange.keep_alive = False
        self._incoming = exchange
        if self._current is None:
            self._start(exchange)
        else:
            self._wait_in_line(exchange)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; what is left of one that was answered already is dropped."""
        self._field_bytes = 0
        self._body_bytes += len(body)
        exchange = self._incoming
        if self._is_over or exchange is None:
            return
        if self._body_bytes > self._answering.limits.body_bytes:
            error = body_too_long(self._answering.limits.body_bytes)
            self.refuse(error.status, error.detail)
        elif not exchange.take_body(body):
            self._pause()

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        self._field_bytes = 0
        self._is_in_body = False
        if self._incoming is not None:
            self._incoming.end_body()
            self._incoming = None

    # -- what the answer says ----------------------------------------------------------

    async def writable(self) -> None:
        """Wait until the peer has taken enough, and where nobody takes anything any more, for everybody else's turn."""
        if self._writable is not None:
            await self._writable.wait()
        if self._wire.is_closing():
            # Nothing is kept that could pause an application which goes on sending without a look at the peer.
            await asyncio.sleep(0)

    def write(self, data: bytes) -> None:
        """Send a part of an answer."""
        self._wire.write(data)

    def want_body(self) -> None:
        """Read on: the application has taken what there was."""
        if self._queue is None:
            self._resume()

    def abort(self) -> None:
        """Break off in the middle of an answer."""
        self._is_over = True
        self._wire.abort()

    def finished(self, exchange: Exchange) -> None:
        """Go on after an answer: with the next one that waits, with reading, or to the end."""
        if self._incoming is exchange:
            self._incoming = None
        self._current = None
        if self._is_over:
            return
        if not exchange.keep_alive:
            self._close()
        elif self._queue:
            self._start(self._queue.popleft())
        else:
            self._queue = None
            self._resume()
            self._rewind()

    # -- refusing ------------------------------------------------------------------------

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer a broken bound and close; where another answer has begun only close."""
        if self._is_over:
            return
        self._report(detail)
        self._is_over = True
        is_of_current = self._current is self._incoming and self._current is not None
        if self._current is None or (is_of_current and not self._current.has_begun):
            self._wire.write(compose_problem(status, detail))
        self._wire.close()

    # -- a request's head ------------------------------------------------------------------

    def _read_head(self, came: int) -> Exchange:
        """
        Make an exchange of a request's head.

        Args:
            came: Bytes, the head among them; where those are no more than a head may have, nothing is to be counted.

        Raises:
            BadRequestError: It cannot be taken.
        """
        parser = self._parser
        if came > self._answering.limits.head_bytes and self._head_bytes() > self._answering.limits.head_bytes:
            raise BadRequestError(self._head_too_long(), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        version: str = parser.get_http_version()
        head = read_head(version, self._headers, max_body_bytes=self._answering.limits.body_bytes)
        if parser.should_upgrade():
            self._check_upgrade(has_body=head.has_body)
        return Exchange(
            self,
            self._scope(version, head.host),
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            expects_continue=head.expects_continue,
            is_whole=not head.has_body,
        )

    def _head_bytes(self) -> int:
        """Count a head that is whole, without the spaces around its values."""
        line = len(self._parser.get_method()) + len(self._url) + len(" " + " HTTP/1.1" + "\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self._headers) + len("\r\n")

    def _head_too_long(self) -> str:
        return f"The request line and header fields are longer than {self._answering.limits.head_bytes} bytes."

    def _check_upgrade(self, *, has_body: bool) -> None:
        """No other protocol is spoken here; the parser cannot read on after such a request."""
        if self._parser.get_method() == b"CONNECT":
            raise BadRequestError("There is no tunnel here.", HTTPStatus.NOT_IMPLEMENTED)
        if has_body:
            raise BadRequestError("A request with a body cannot ask for an upgrade here; send it without.")
        self._is_last_request = True

    def _scope(self, version: str, host: bytes | None) -> Scope:
        scheme, sides = self._answering.scheme, self._sides
        target = read_target(self._url, host=host, scheme=scheme)
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": scheme,
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "root_path": "",
            "headers": self._headers,
            "client": sides.client,
            "server": sides.server,
            "state": sides.state.copy(),
        }

    @property
    def _has_last_request(self) -> bool:
        """Whether the last request is here in whole: what follows it is not ours to read."""
        is_whole = not self._is_in_head and not self._is_in_body
        return self._is_last_request and self._current is not None and is_whole

    # -- the order of answers -----------------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        """Have a request answered; where Python can, at once, so that one that waits for nothing takes no turn."""
        self._current = exchange
        answering = self._answering
        running = exchange.run(answering.application, answering.tasks)
        if sys.version_info >= (3, 12):
            task = asyncio.Task(running, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(running)
        if not task.done():
            answering.tasks.add(task)

    def _wait_in_line(self, exchange: Exchange) -> None:
        if self._queue is None:
            self._queue = deque()
        limit = self._answering.limits.pipelined_requests
        if len(self._queue) >= limit:
            self.refuse(HTTPStatus.TOO_MANY_REQUESTS, f"More than {limit} requests wait for their answers.")
            return
        self._queue.append(exchange)
        self._pause()

    def _announce_end(self) -> None:
        """Make the last request taken the last; its answer says so, unless its head is out (RFC 9112, section 9.6)."""
        self._is_last_request = True
        last = self._queue[-1] if self._queue else self._current
        if last is not None:
            last.keep_alive = False

    def _close(self) -> None:
        self._is_over = True
        self._wire.close()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._wire.pause_reading()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._wire.resume_reading()

    # -- time -------------------------------------------------------------------------------------

    def _rewind(self) -> None:
        """Choose what the peer has to do next; a clock that runs for it already is not wound up again."""
        if self._is_over:
            return
        if self._is_in_head:
            clock = _Clock.HEAD
        elif self._is_in_body:
            clock = _Clock.REST if self._incoming is None else _Clock.BODY
        elif self._current is not None:
            clock = _Clock.NOTHING
        else:
            # An empty line may come before a request (RFC 9112, section 2.2): the clock of its head runs from there.
            clock = _Clock.ASK if self._field_bytes else _Clock.STAY_IDLE
        if clock is not self._clock:
            self._wind(clock)

    def _wind(self, clock: _Clock) -> None:
        self._clock = clock
        if clock is _Clock.NOTHING:
            self._deadline.clear()
            return
        limits = self._answering.limits
        if clock is _Clock.STAY_IDLE:
            self._deadline.set(limits.idle_seconds, self._close)
        elif clock is _Clock.BODY:
            self._deadline.set(limits.body_seconds, self._on_deadline)
        else:
            self._deadline.set(limits.head_seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        limits, clock = self._answering.limits, self._clock or _Clock.NOTHING
        if self._is_paused or (clock is _Clock.HEAD and self._current is not None):
            # We have stopped reading, or answer an earlier request: not the peer's fault.
            self._wind(clock)
        elif clock is _Clock.HEAD:
            detail = f"The header fields did not end within {limits.head_seconds:g} seconds."
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        elif clock is _Clock.BODY:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"The body did not end within {limits.body_seconds:g} seconds.")
        else:
            what = "request" if clock is _Clock.ASK else "end of the body after its answer"
            self._report(f"no {what} within {limits.head_seconds:g} seconds")
            self._close()

    def _watch_progress(self) -> None:
        seconds = self._answering.limits.answer_seconds
        unsent = self._wire.get_write_buffer_size()
        self._stuck = self._loop.call_later(seconds, self._on_stuck, unsent)

    def _on_stuck(self, unsent_before: int) -> None:
        if self._wire.get_write_buffer_size() < unsent_before:
            self._watch_progress()
            return
        self._report(f"nothing of the answer taken within {self._answering.limits.answer_seconds:g} seconds")
        self.abort()

    def _unstick(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self._writable is not None:
            self._writable.set()
            self._writable = None
