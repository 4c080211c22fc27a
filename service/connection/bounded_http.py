"""
uvicorn's HTTP/1.1 with the bounds it lacks.

Its parser has no limit on the bytes of a request's head or trailers, its
connection no deadline before the first response nor for what follows an answer
without being a request, and its queue of pipelined requests no end. All are
added by watching the parser's own callbacks; nothing of HTTP is parsed here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.endpoints.asgi import PROBLEM_JSON, Application
from service.endpoints.problem import problem
from service.settings import Limits


class BoundedHttpProtocol(HttpToolsProtocol):
    """
    One HTTP connection whose peer has bounds to keep.

    Args:
        report: Told why, in a few words, when the peer broke a bound or the protocol.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        *,
        app_state: dict[str, Any],  # Any: what ASGI puts there has no common type
        limits: Limits,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self._limits = limits
        self._report = report
        self._field_bytes = 0
        self._is_in_head = False
        self._is_in_body = False
        self._is_last_request = False
        self._head_deadline: asyncio.TimerHandle | None = None

    # -- what the transport says ---------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start; the first request must come in time."""
        super().connection_made(transport)
        self._arm_head_deadline()

    def data_received(self, data: bytes) -> None:
        """
        Take at most a record's worth of bytes.

        The budget of a head counts what came since the last thing that was whole: a head, a piece of body, a message.
        So it also holds for trailers, for the extensions of a chunk and for empty lines between requests.
        """
        self._field_bytes += len(data)
        super().data_received(data)
        if self._field_bytes > self._limits.head_bytes:
            detail = f"The request line and header fields are longer than {self._limits.head_bytes} bytes."
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        elif self._is_between_requests:
            self._bound_what_follows()

    def peer_ended(self) -> None:
        """Finish without another byte of the peer: answer what was asked in whole, give up what was not."""
        current = self._current
        if current is None or self._is_in_head or current.more_body or not self._is_answering:
            self.transport.close()
        else:
            self._announce_end()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what still runs is told that nobody listens."""
        self._disarm_head_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """
        Drain: finish what is under way, then close.

        A connection that has not asked anything yet, or is about to, keeps its
        one request: its peer may have sent it before it could know.
        """
        if self._is_in_head or self._current is None:
            self._is_last_request = True
        elif self._is_answering:
            self._announce_end()
        else:
            self.transport.close()

    # -- what the parser says --------------------------------------------------

    def on_message_begin(self) -> None:
        """Note the first byte of a request."""
        self._is_in_head = True
        if self._head_deadline is None:
            self._arm_head_deadline()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; a trailer must not pass for one (RFC 9110, section 6.5.1)."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note the end of its header fields; the request is queued, unless too many wait there already."""
        self._field_bytes = 0
        self._is_in_head, self._is_in_body = False, True
        self._disarm_head_deadline()
        if len(self.pipeline) >= self._limits.pipelined_requests:
            detail = f"More than {self._limits.pipelined_requests} requests wait for their answers."
            self.refuse(HTTPStatus.TOO_MANY_REQUESTS, detail)
        if self.transport.is_closing():
            return
        super().on_headers_complete()
        if self._is_last_request:
            self._announce_end()

    def on_body(self, body: bytes) -> None:
        """Note a piece of body."""
        self._field_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        self._field_bytes = 0
        self._is_in_body = False
        if not self._is_answering:
            self._disarm_head_deadline()
        super().on_message_complete()

    # -- refusing ----------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP; uvicorn calls this."""
        self.refuse(HTTPStatus.BAD_REQUEST, msg)

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer a broken bound and close; in the middle of another response only close."""
        if self.transport.is_closing():
            return
        self._report(detail)
        if not self._is_answering:
            body = json.dumps(problem(status, detail)).encode() + b"\n"
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, status.phrase.encode(), PROBLEM_JSON, len(body), body)
            )
        self.transport.close()

    def _announce_end(self) -> None:
        """Make the answer under way the last, and say so in it unless its head is out already (RFC 9112, 9.6)."""
        if self.cycle.keep_alive:
            self.cycle.keep_alive = False
            self.cycle.default_headers = [*self.cycle.default_headers, CLOSE_HEADER]

    @property
    def _current(self) -> RequestResponseCycle | None:
        # uvicorn's annotation leaves out that there is none before the first request.
        return self.cycle

    @property
    def _is_answering(self) -> bool:
        return self._current is not None and not self._current.response_complete

    @property
    def _is_between_requests(self) -> bool:
        is_open = self._current is not None and not self.transport.is_closing()
        return is_open and not self._is_in_head and not self._is_answering

    def _bound_what_follows(self) -> None:
        """
        Put an end to what follows an answer without being a request: the rest of a body nobody read, empty lines.

        uvicorn stops its idle timer at any byte, and starts it again only with the next answer.
        """
        is_body_over = not self._is_in_body and self._field_bytes == 0
        if is_body_over:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif self._head_deadline is None:
            self._arm_head_deadline()

    def _arm_head_deadline(self) -> None:
        self._head_deadline = self.loop.call_later(self._limits.head_seconds, self._on_head_deadline)

    def _disarm_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _on_head_deadline(self) -> None:
        self._head_deadline = None
        if self._is_answering:
            # We have stopped reading for the sake of an earlier request: not the peer's fault.
            self._arm_head_deadline()
        elif self._is_in_head:
            detail = f"The header fields did not end within {self._limits.head_seconds:g} seconds."
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        elif not self.transport.is_closing():
            what = "end of the body after its answer" if self._is_in_body else "request"
            self._report(f"no {what} within {self._limits.head_seconds:g} seconds")
            self.transport.close()


def http_config(application: Application, *, limits: Limits, drain_seconds: int = 0) -> Config:
    """
    Set uvicorn up as an HTTP protocol and nothing else.

    Not its logs, proxy header rewriting, server header or signal handling; and
    with every value given, it reads none from the environment. What a peer does
    wrong is an audit line already, so only our own errors are left to log.
    """
    return Config(
        application,
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips="",
        server_header=False,
        workers=1,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=drain_seconds,
    )
