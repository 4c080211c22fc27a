"""
The walk of a connection's bytes: PROXY header, TLS handshake, HTTP, and the end.

1. The load balancer's header says who the peer is on the network.
2. The handshake says what certificate it holds the key of.
3. What comes out of TLS goes to HTTP, and HTTP's answers into TLS.
4. Whoever ends it, our last words (alert, close_notify) reach the peer.

Each phase has a deadline, and a table says which method takes the bytes of
which phase. The walk is ours because nothing else keeps a ClientHello that
arrived in one segment with the PROXY header, and always delivers the alert.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from uvicorn import Config
from uvicorn.server import ServerState

from service.audit import AuditLog, Event
from service.connection.bounded_http import BoundedHttpProtocol
from service.connection.proxy_protocol import Endpoint, opens_with_proxy_header, parse_proxy_header
from service.connection.tls import TlsConnection
from service.contract import ProxyProtocol
from service.errors import HandshakeFailedError, ProxyHeaderError
from service.metrics import Measures
from service.settings import Limits

_IS_SSL: Final = "sslcontext"
"""uvicorn asks its transport for this name, and calls the scheme https when it gets anything."""


class _Phase(Enum):
    PROXY_HEADER = auto()
    HANDSHAKE = auto()
    HTTP = auto()
    LINGERING = auto()


@dataclass(frozen=True, slots=True)
class Doorway:
    """
    What all sessions of a worker share.

    Attributes:
        open_tls: Makes the server's side for a new peer, with the pair in force at that moment.
    """

    open_tls: Callable[[], TlsConnection]
    proxy_protocol: ProxyProtocol
    limits: Limits
    audit: AuditLog
    metrics: Measures


class Session(asyncio.Protocol):
    """
    One connection, from accept to its end.

    It counts among uvicorn's connections all its life, so that a drain waits
    for handshakes under way and for last bytes not yet sent.
    """

    def __init__(
        self,
        doorway: Doorway,
        config: Config,
        *,
        server_state: ServerState,
        app_state: dict[str, Any],  # Any: what ASGI puts there has no common type
    ) -> None:
        self._doorway = doorway
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._phase = _Phase.PROXY_HEADER
        self._early = b""
        self._has_hello = False
        self._tls: TlsConnection | None = None
        self._http: BoundedHttpProtocol | None = None
        self._is_draining = False
        self._has_peer_ended = False
        self._deadline: asyncio.TimerHandle | None = None

    # -- what the transport says ---------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the walk."""
        self._loop = asyncio.get_running_loop()
        # A TCP server hands out no others; uvloop's do not inherit from asyncio's, so this cannot be asked.
        self._transport = cast("asyncio.Transport", transport)
        peer_name = transport.get_extra_info("peername") or ("", 0)
        self._source = Endpoint(*peer_name[:2])
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # all it needs is `shutdown`
        if self._is_header_forbidden:
            self._begin_handshake()
        else:
            self._arm(self._doorway.limits.proxy_header_seconds)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the phase they belong to."""
        _TAKES[self._phase](self, data)

    def eof_received(self) -> bool:
        """Take the end of the peer's half; True keeps our half open for an answer under way."""
        self._has_peer_ended = True
        if self._phase is _Phase.HTTP and self._http is not None:
            self._http.peer_ended()
            return True
        self._note_unfinished()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the walk, whoever ended it."""
        self._note_unfinished()
        self._disarm()
        self._leave_http(exc)
        self._phase = _Phase.LINGERING
        self._server_state.connections.discard(self)

    def pause_writing(self) -> None:
        """Pass on that the peer reads slower than we write."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that it has caught up."""
        if self._http is not None:
            self._http.resume_writing()

    # -- what uvicorn says -----------------------------------------------------

    def shutdown(self) -> None:
        """Drain: a connection under way keeps its one request; HTTP itself is asked beside us."""
        self._is_draining = True

    def abort(self) -> None:
        """End at once, for a drain that ran out of time."""
        self._transport.abort()

    def say(self, plaintext: bytes) -> None:
        """Send what HTTP answers."""
        if self._phase is _Phase.HTTP and self._tls is not None:
            self._transport.write(self._tls.send(plaintext))

    def hang_up(self) -> None:
        """End from our side: close_notify, then the end of our half."""
        if self._phase is _Phase.HTTP and self._tls is not None:
            self._finish(self._tls.close())

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        if self._phase is _Phase.HTTP:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more again."""
        if self._phase is _Phase.HTTP:
            self._transport.resume_reading()

    # -- the phases ----------------------------------------------------------------

    def _take_proxy_header(self, data: bytes) -> None:
        self._early += data
        try:
            header = parse_proxy_header(self._early)
        except ProxyHeaderError as error:
            self._refuse_opening(error.reason)
            return
        if header is None:
            return
        self._source = header.source or self._source
        glued, self._early = self._early[header.length :], b""
        self._begin_handshake()
        if glued:
            self.data_received(glued)

    def _begin_handshake(self) -> None:
        self._tls = self._doorway.open_tls()
        self._phase = _Phase.HANDSHAKE
        self._arm(self._doorway.limits.handshake_seconds)

    def _take_handshake(self, data: bytes) -> None:
        is_first, self._has_hello = not self._has_hello, True
        if is_first and self._is_header_forbidden and opens_with_proxy_header(data):
            self._refuse_opening("a header found where the setting forbids it")
            return
        tls = self._opened()
        step = tls.receive(data)
        if step.failure is not None:
            self._record(Event.HANDSHAKE_FAILED, reason=", ".join(step.failure.reasons))
            self._finish(step.outgoing)
            return
        self._transport.write(step.outgoing)
        if tls.peer is not None:
            self._begin_http()
            self._hear(step.plaintext, is_closed=step.closed)

    def _begin_http(self) -> None:
        self._disarm()
        _acknowledge_quickly(self._transport)
        self._phase = _Phase.HTTP
        self._http = BoundedHttpProtocol(
            self._config,
            self._server_state,
            app_state=self._app_state | {"peer": self._opened().peer},
            limits=self._doorway.limits,
            report=lambda why: self._record(Event.CONNECTION_CUT, reason=why),
        )
        self._http.connection_made(PlaintextTransport(self, source=self._source, beneath=self._transport))
        if self._is_draining:
            self._http.shutdown()

    def _take_http(self, data: bytes) -> None:
        step = self._opened().receive(data)
        if step.outgoing and step.failure is None:
            self._transport.write(step.outgoing)
        self._hear(step.plaintext, is_closed=step.closed)
        if step.failure is not None and self._phase is _Phase.HTTP:
            self._record(Event.CONNECTION_CUT, reason=", ".join(step.failure.reasons))
            self._finish(step.outgoing, cause=step.failure)

    def _hear(self, records: tuple[bytes, ...], *, is_closed: bool) -> None:
        for record in records:
            if self._phase is _Phase.HTTP and self._http is not None:
                self._http.data_received(record)
        if is_closed and self._phase is _Phase.HTTP and self._http is not None:
            self._http.peer_ended()

    def _drop(self, _data: bytes) -> None:
        """Read what comes after our last word, so that no reset overtakes it."""

    # -- the end -------------------------------------------------------------------

    def _refuse_opening(self, reason: str) -> None:
        self._record(Event.PROXY_HEADER_REFUSED, reason=reason)
        self._finish(b"")

    def _finish(self, last_words: bytes, *, cause: HandshakeFailedError | None = None) -> None:
        """Send the last of ours, end our half, and wait a bounded while for the peer to end its own."""
        if self._phase is _Phase.LINGERING:
            return
        self._phase = _Phase.LINGERING
        self._leave_http(cause)
        self._transport.resume_reading()
        self._transport.write(last_words)
        if self._has_peer_ended:
            # Nothing more can come that a reset would answer.
            self._transport.close()
            return
        self._transport.write_eof()
        self._linger(self._transport.get_write_buffer_size())

    def _linger(self, unsent: int) -> None:
        self._disarm()
        seconds = self._doorway.limits.linger_seconds
        self._deadline = self._loop.call_later(seconds, self._end_linger, unsent)

    def _end_linger(self, unsent_before: int) -> None:
        unsent = self._transport.get_write_buffer_size()
        if 0 < unsent < unsent_before:
            # Slow, but it reads: our answer is still on its way.
            self._linger(unsent)
        else:
            self._transport.abort()

    def _leave_http(self, cause: Exception | None) -> None:
        if self._http is not None:
            # Later, as a transport does: HTTP itself may be the one that asked to close.
            self._loop.call_soon(self._http.connection_lost, cause)
            self._http = None

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self._loop.call_later(seconds, self._on_deadline, seconds)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self, seconds: float) -> None:
        what = "PROXY header" if self._phase is _Phase.PROXY_HEADER else "TLS handshake"
        self._record(Event.CONNECTION_CUT, reason=f"no whole {what} within {seconds:g} seconds")
        self._finish(b"")

    def _note_unfinished(self) -> None:
        """Say that a peer left within header or handshake; one that left before its first byte is a probe, no news."""
        if self._phase is _Phase.HANDSHAKE and self._has_hello:
            self._record(Event.HANDSHAKE_FAILED, reason="the peer closed the connection")
        elif self._phase is _Phase.PROXY_HEADER and self._early:
            self._record(Event.PROXY_HEADER_REFUSED, reason="the connection ended within the header")
        else:
            return
        self._phase = _Phase.LINGERING

    def _record(self, event: Event, *, reason: str) -> None:
        self._doorway.audit.record(event, reason=reason, peer_address=self._source.address, peer_port=self._source.port)

    @property
    def _is_header_forbidden(self) -> bool:
        return self._doorway.proxy_protocol is ProxyProtocol.FORBIDDEN

    def _opened(self) -> TlsConnection:
        if self._tls is None:  # pragma: no cover -- the phases see to it
            raise RuntimeError("TLS begins with the handshake phase")
        return self._tls


_TAKES: Final[dict[_Phase, Callable[[Session, bytes], None]]] = {
    _Phase.PROXY_HEADER: Session._take_proxy_header,  # noqa: SLF001 -- the class's own table
    _Phase.HANDSHAKE: Session._take_handshake,  # noqa: SLF001
    _Phase.HTTP: Session._take_http,  # noqa: SLF001
    _Phase.LINGERING: Session._drop,  # noqa: SLF001
}


class PlaintextTransport(asyncio.Transport):
    """What HTTP takes for its transport: the session's inner side, wearing the peer's own address."""

    def __init__(self, session: Session, *, source: Endpoint, beneath: asyncio.Transport) -> None:
        super().__init__(
            {
                "peername": (source.address, source.port),
                "sockname": beneath.get_extra_info("sockname"),
                _IS_SSL: True,
            }
        )
        self._session = session
        self._beneath = beneath
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send plaintext; ignored after the end."""
        if not self._is_closing:
            self._session.say(bytes(data))

    def close(self) -> None:
        """End after what was written."""
        if not self._is_closing:
            self._is_closing = True
            self._session.hang_up()

    def is_closing(self) -> bool:
        """Whether the end has begun, from either side."""
        return self._is_closing or self._beneath.is_closing()

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        self._session.pause_reading()

    def resume_reading(self) -> None:
        """Take more again."""
        self._session.resume_reading()


def _acknowledge_quickly(transport: asyncio.Transport) -> None:
    """
    Acknowledge the peer's Finished at once.

    Without a session ticket we have nothing to send then, and a client that
    keeps Nagle's algorithm holds its first request back until our delayed
    acknowledgment, 40 ms later. Linux only; elsewhere nothing is lost but time.
    """
    quick = getattr(socket, "TCP_QUICKACK", None)
    beneath = transport.get_extra_info("socket")
    if quick is not None and beneath is not None:
        with contextlib.suppress(OSError):
            beneath.setsockopt(socket.IPPROTO_TCP, quick, 1)
