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

from service.audit import AuditLog, Event
from service.connection.deadline import Deadline
from service.connection.http_protocol import Answering, HttpProtocol, Sides
from service.connection.limits import Admissions, Crowding
from service.connection.proxy_protocol import Endpoint, opens_with_proxy_header, parse_proxy_header
from service.connection.roster import Roster
from service.connection.tls import TlsConnection
from service.contract import Metric, ProxyProtocol
from service.errors import ProxyHeaderError
from service.metrics import Measures
from service.settings import Limits

_TURN_BYTES: Final = 64 * 1024
"""A peer that sends so much at once waits for everybody else's turn; less is what small messages come in."""

_LIGHT_HANDSHAKE_BYTES: Final = 8 * 1024
_HEAVY_BYTES: Final = 4 * 1024
"""
A handshake beyond the one counts as one more connection for each of the other.

OpenSSL keeps all the certificates that a peer sent, as long as the connection lives, and takes ten times their bytes
for many small ones: for each of these pieces about what an idle connection takes.
"""


class _Phase(Enum):
    PROXY_HEADER = auto()
    HANDSHAKE = auto()
    HTTP = auto()
    LINGERING = auto()


@dataclass(frozen=True, slots=True)
class Doorway:
    """
    What all sessions of a service share.

    Attributes:
        open_tls: Makes the server's side for a new peer, with the pair in force at that moment.
    """

    open_tls: Callable[[], TlsConnection]
    proxy_protocol: ProxyProtocol
    limits: Limits
    audit: AuditLog
    metrics: Measures


@dataclass(frozen=True, slots=True)
class Hall:
    """
    What all sessions of a worker share beside it.

    Attributes:
        admissions: Says whether one more may be.
        roster: Every session that was admitted, until its end.
        answering: Who answers what they ask.
        state: What the application keeps for all its requests; each finds it in its `scope["state"]`.
    """

    doorway: Doorway
    admissions: Admissions
    roster: Roster
    answering: Answering
    state: dict[str, Any]  # Any: what ASGI puts there has no common type


class Session(asyncio.Protocol):
    """
    One connection, from accept to its end.

    It stands in the roster all its life, so that a drain waits for handshakes
    under way and for last bytes not yet sent. To HTTP it is the wire beneath.
    """

    __slots__ = (
        "_counters",
        "_deadline",
        "_doorway",
        "_early",
        "_hall",
        "_has_hello",
        "_has_peer_ended",
        "_http",
        "_is_clogged",
        "_is_draining",
        "_is_paused",
        "_phase",
        "_source",
        "_tls",
        "_transport",
        "_vpc_endpoint",
        "_weight",
        "began",
    )

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._doorway = hall.doorway
        self._phase = _Phase.PROXY_HEADER
        self._early = b""
        self._has_hello = False
        self._tls: TlsConnection | None = None
        self._http: HttpProtocol | None = None
        self._is_draining = False
        self._is_clogged = False
        self._is_paused = False
        self._has_peer_ended = False
        self._counters: tuple[int, ...] | None = None
        self._weight = 1
        self._vpc_endpoint: str | None = None

    # -- what the transport says ---------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the walk."""
        loop = asyncio.get_running_loop()
        # A TCP server hands out no others; uvloop's do not inherit from asyncio's, so this cannot be asked.
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = Deadline(loop)
        self.began = loop.time()
        peer_name = transport.get_extra_info("peername") or ("", 0)
        self._source = Endpoint(*peer_name[:2])
        crowding = self._hall.admissions.enter()
        if crowding is not None:
            self._turn_away(crowding)
            return
        self._counters = ()
        self._hall.roster.add(self)
        if self._is_header_forbidden:
            self._begin_handshake()
        else:
            self._deadline.set(self._doorway.limits.proxy_header_seconds, self._on_deadline)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the phase they belong to."""
        _TAKES[self._phase](self, data)
        if len(data) >= _TURN_BYTES and self._phase is _Phase.HTTP and not self._transport.is_closing():
            # The event loop would read on from this peer, dozens of times, before anybody else's turn or deadline.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_turn_again)

    def _take_turn_again(self) -> None:
        if self._phase is _Phase.HTTP and not (self._is_clogged or self._is_paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """Take the end of the peer's half; True keeps our half open for an answer under way."""
        self._has_peer_ended = True
        if self._phase is _Phase.HTTP and self._http is not None:
            self._http.peer_ended()
            return True
        self._note_unfinished()
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """End the walk, whoever ended it."""
        self._note_unfinished()
        self._leave_http()
        self._deadline.close()
        self._phase = _Phase.LINGERING
        if self._counters is not None:
            self._hall.admissions.leave(self._counters, weight=self._weight)
            self._counters = None
        self._hall.roster.discard(self)

    def pause_writing(self) -> None:
        """
        Take no more from a peer that reads slower than we write, and pass it on.

        It could have us write without a request of its own: TLS answers some messages with others (RFC 8446, 4.6.3).
        """
        self._is_clogged = True
        if self._phase is _Phase.HTTP:
            self._transport.pause_reading()
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """Go on when it has caught up."""
        self._is_clogged = False
        if self._phase is _Phase.HTTP and not self._is_paused:
            self._transport.resume_reading()
        if self._http is not None:
            self._http.resume_writing()

    # -- what the worker says --------------------------------------------------

    def shutdown(self) -> None:
        """Drain: what is under way is finished, a peer that has not asked anything yet has a moment to do so."""
        self._is_draining = True
        if self._http is not None:
            self._http.shutdown()
        elif self._phase is not _Phase.LINGERING:
            self._deadline.cut_to(self._doorway.limits.linger_seconds)

    # -- what HTTP says --------------------------------------------------------

    def write(self, plaintext: bytes) -> None:
        """Send what HTTP answers."""
        if self._phase is _Phase.HTTP and self._tls is not None:
            self._transport.write(self._tls.send(plaintext))

    def close(self) -> None:
        """End from our side: close_notify, then the end of our half."""
        if self._phase is _Phase.HTTP and self._tls is not None:
            self._finish(self._tls.close())

    def abort(self) -> None:
        """End at once, in the middle of whatever is under way."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the end has begun, from either side."""
        return self._phase is not _Phase.HTTP or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        self._is_paused = True
        if self._phase is _Phase.HTTP:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more again."""
        self._is_paused = False
        if self._phase is _Phase.HTTP and not self._is_clogged:
            self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes the peer has not taken yet."""
        return self._transport.get_write_buffer_size()

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
        self._vpc_endpoint = header.vpc_endpoint
        glued, self._early = self._early[header.length :], b""
        self._begin_handshake()
        if glued:
            self.data_received(glued)

    def _begin_handshake(self) -> None:
        admitted = self._hall.admissions.enter_from(self._source.address)
        if isinstance(admitted, Crowding):
            self._turn_away(admitted)
            return
        self._counters = admitted
        self._tls = self._doorway.open_tls()
        self._phase = _Phase.HANDSHAKE
        self._deadline.set(self._doorway.limits.handshake_seconds, self._on_deadline)
        if self._is_draining:
            self._deadline.cut_to(self._doorway.limits.linger_seconds)

    def _take_handshake(self, data: bytes) -> None:
        is_first, self._has_hello = not self._has_hello, True
        if is_first and self._is_header_forbidden and opens_with_proxy_header(data):
            self._refuse_opening("a header found where the setting forbids it")
            return
        tls = self._opened()
        step = tls.receive(data)
        if step.failure is not None:
            self._note_failed_handshake(", ".join(step.failure.reasons))
            self._finish(step.outgoing)
            return
        crowding = self._weigh(tls.handshake_bytes)
        if crowding is not None:
            self._turn_away(crowding)
            return
        if step.outgoing:
            self._transport.write(step.outgoing)
        if tls.peer is not None:
            self._begin_http()
            self._hear(step.plaintext, is_closed=step.closed)
            if self._http is None or self._http.is_within_request:
                # Else a whole request came along, and its answer is the acknowledgment.
                _acknowledge_quickly(self._transport)

    def _weigh(self, handshake_bytes: int) -> Crowding | None:
        """Count a handshake for as much as it takes."""
        more = 1 + max(handshake_bytes - _LIGHT_HANDSHAKE_BYTES, 0) // _HEAVY_BYTES - self._weight
        if more <= 0:
            return None
        crowding = self._hall.admissions.weigh(self._counters or (), more)
        if crowding is None:
            self._weight += more
        return crowding

    def _begin_http(self) -> None:
        self._phase = _Phase.HTTP
        peer = self._opened().peer
        if peer is not None:
            self._doorway.metrics.count(Metric.HANDSHAKES, tls_version=peer.tls_version, group=peer.group or "none")
        limits = self._doorway.limits
        self._deadline.set(limits.linger_seconds if self._is_draining else limits.head_seconds, self._on_silence)

    def _take_http(self, data: bytes) -> None:
        step = self._opened().receive(data)
        if step.outgoing and step.failure is None:
            self._transport.write(step.outgoing)
        self._hear(step.plaintext, is_closed=step.closed)
        if step.failure is not None and self._phase is _Phase.HTTP:
            self._record(Event.CONNECTION_CUT, reason=", ".join(step.failure.reasons))
            self._finish(step.outgoing)

    def _hear(self, records: tuple[bytes, ...], *, is_closed: bool) -> None:
        for record in records:
            if self._phase is not _Phase.HTTP:
                return
            (self._http or self._open_http()).data_received(record)
        if is_closed and self._phase is _Phase.HTTP:
            if self._http is None:
                self.close()
            else:
                self._http.peer_ended()

    def _open_http(self) -> HttpProtocol:
        """Begin HTTP with its first byte: until then a silent peer costs us nothing but its TLS."""
        peer, source = self._opened().peer, self._source
        own = self._transport.get_extra_info("sockname") or ("", 0)
        state = self._hall.state | {"peer": peer, "vpc_endpoint": self._vpc_endpoint}
        self._http = HttpProtocol(
            self._hall.answering,
            self,
            sides=Sides((source.address, source.port), tuple(own[:2]), state),
            deadline=self._deadline,
            report=self._report_cut,
        )
        self._http.begin()
        if self._is_draining:
            self._http.shutdown()
        return self._http

    def _drop(self, _data: bytes) -> None:
        """Read what comes after our last word, so that no reset overtakes it."""

    # -- the end -------------------------------------------------------------------

    def _turn_away(self, crowding: Crowding) -> None:
        """End before TLS: with too many connections, an answer to each is what we cannot afford."""
        self._record(Event.CONNECTION_REFUSED, reason=crowding)
        self._doorway.metrics.count(Metric.CONNECTIONS_REFUSED, reason=crowding)
        self._phase = _Phase.LINGERING
        self._deadline.close()
        self._transport.abort()

    def _refuse_opening(self, reason: str) -> None:
        self._record(Event.PROXY_HEADER_REFUSED, reason=reason)
        self._doorway.metrics.count(Metric.CONNECTIONS_REFUSED, reason="proxy_header")
        self._finish(b"")

    def _finish(self, last_words: bytes) -> None:
        """Send the last of ours, end our half, and wait a bounded while for the peer to end its own."""
        if self._phase is _Phase.LINGERING:
            return
        self._phase = _Phase.LINGERING
        self._leave_http()
        self._transport.resume_reading()
        self._transport.write(last_words)
        if self._has_peer_ended:
            # Nothing more can come that a reset would answer.
            self._transport.close()
        else:
            self._transport.write_eof()
        self._linger(self._transport.get_write_buffer_size())

    def _linger(self, unsent: int) -> None:
        self._deadline.set(self._doorway.limits.linger_seconds, lambda: self._end_linger(unsent))

    def _end_linger(self, unsent_before: int) -> None:
        unsent = self._transport.get_write_buffer_size()
        if 0 < unsent < unsent_before:
            # Slow, but it reads: our answer is still on its way.
            self._linger(unsent)
        else:
            self._transport.abort()

    def _leave_http(self) -> None:
        if self._http is not None:
            http, self._http = self._http, None
            http.connection_lost()

    def _on_deadline(self) -> None:
        limits = self._doorway.limits
        if self._phase is _Phase.PROXY_HEADER:
            what, seconds = "PROXY header", limits.proxy_header_seconds
            self._doorway.metrics.count(Metric.CONNECTIONS_REFUSED, reason="proxy_header")
        else:
            what, seconds = "TLS handshake", limits.handshake_seconds
            self._doorway.metrics.count(Metric.HANDSHAKES_FAILED)
        when = "while the connection could wait" if self._is_draining else f"within {seconds:g} seconds"
        self._record(Event.CONNECTION_CUT, reason=f"no whole {what} {when}")
        self._finish(b"")

    def _on_silence(self) -> None:
        seconds = self._doorway.limits.head_seconds
        self._report_cut(
            "no request while the connection could wait"
            if self._is_draining
            else f"no request within {seconds:g} seconds"
        )
        self.close()

    def _note_unfinished(self) -> None:
        """Say that a peer left within header or handshake; one that left before its first byte is a probe, no news."""
        if self._phase is _Phase.HANDSHAKE and self._has_hello:
            self._note_failed_handshake("the peer closed the connection")
        elif self._phase is _Phase.PROXY_HEADER and self._early:
            self._record(Event.PROXY_HEADER_REFUSED, reason="the connection ended within the header")
            self._doorway.metrics.count(Metric.CONNECTIONS_REFUSED, reason="proxy_header")
        else:
            return
        self._phase = _Phase.LINGERING

    def _note_failed_handshake(self, reason: str) -> None:
        self._record(Event.HANDSHAKE_FAILED, reason=reason)
        self._doorway.metrics.count(Metric.HANDSHAKES_FAILED)

    def _report_cut(self, reason: str) -> None:
        self._record(Event.CONNECTION_CUT, reason=reason)

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
