"""HTTP without TLS, for the health checks of the load balancer; it sends no PROXY header there either."""

from __future__ import annotations

import asyncio

from service.connection.deadline import Deadline
from service.connection.http_protocol import Answering, HttpProtocol, Sides


class PlainConnection(asyncio.Protocol):
    """One such connection."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._deadline = Deadline(asyncio.get_running_loop())
        self._http = HttpProtocol(
            self._answering,
            transport,  # type: ignore[arg-type]  # a TCP server hands out no others
            sides=Sides(tuple(peer[:2]), tuple(own[:2]), {}),
            deadline=self._deadline,
            report=lambda _why: None,
        )
        self._http.begin()

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self._http.data_received(data)

    def eof_received(self) -> bool:
        """Let an answer under way be finished."""
        self._http.peer_ended()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        """Pass on."""
        self._http.connection_lost()
        self._deadline.close()

    def pause_writing(self) -> None:
        """Pass on."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._http.resume_writing()
