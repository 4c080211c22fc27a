"""
One worker process: serves both sockets until it is told to stop, then drains.

SIGTERM: health says 503 at once; for the lame-duck time new connections are
still answered, because the load balancer needs a few checks to notice; then no
more are accepted, those there are finish within the drain time, and the
process ends with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
import uvloop
from uvicorn.server import ServerState

from service.audit import AuditLog, Event
from service.connection.bounded_http import BoundedHttpProtocol, http_config
from service.connection.session import Doorway, Session
from service.endpoints.asgi import Application
from service.endpoints.health import Health
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class Worker:
    """
    What a worker process needs; made before the fork, used after it.

    Attributes:
        load_application: Makes what answers the requests, gate included; called in the worker.
        background: What goes on beside the answering until the worker has drained; each is called in the worker,
            must not raise, and is cancelled at the end.
    """

    load_application: Callable[[], Application]
    doorway: Doorway
    audit: AuditLog
    lame_duck_seconds: int
    drain_seconds: int
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()

    def run(self, *, traffic: socket.socket, health: socket.socket, lifeline: int) -> None:
        """
        Serve until SIGTERM and drain; returns when all is done.

        SIGTERM may be blocked by the caller; it is let in once somebody listens for it.

        Args:
            traffic: Listens for peers.
            health: Listens for the load balancer's checks.
            lifeline: Becomes readable when the parent is gone; it holds the other end.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(traffic, health, lifeline))

    async def _serve(self, traffic: socket.socket, health: socket.socket, lifeline: int) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        loop.add_reader(lifeline, stopping.set)

        beside = [asyncio.create_task(begin()) for begin in self.background]
        answers = Health()
        health_server = await _serve_health(answers, health, self.doorway.limits)
        server = self._make_server()
        serving = asyncio.create_task(server.serve(sockets=[traffic]))
        told = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(lifeline)

        answers.is_draining = True
        self.audit.record(Event.DRAINING, connections=server.open_connections)
        await asyncio.wait({serving}, timeout=self.lame_duck_seconds)
        server.should_exit = True
        await serving
        health_server.close()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self.audit.record(Event.STOPPED, connections_cut=await abort_sessions(server.server_state))

    def _make_server(self) -> _Server:
        limits = self.doorway.limits
        config = http_config(self.load_application(), limits=limits, drain_seconds=self.drain_seconds)

        def open_session(
            config: uvicorn.Config,
            server_state: ServerState,
            app_state: dict[str, Any],  # Any: ASGI's own
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> Session:
            return Session(self.doorway, config, server_state=server_state, app_state=app_state)

        # uvicorn calls whatever stands here with these arguments; its annotation asks for a class.
        config.http = cast("type[asyncio.Protocol]", open_session)
        return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling, which would close the listener at once and die of the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @property
    def open_connections(self) -> int:
        return sum(isinstance(each, Session) for each in self.server_state.connections)


async def abort_sessions(state: ServerState) -> int:
    """Cut what a drain left over, and give the loop the turn it needs to let go of it; returns how many."""
    left = [each for each in state.connections if isinstance(each, Session)]
    for session in left:
        session.abort()
    await asyncio.sleep(0)
    return len(left)


async def _serve_health(application: Health, listening: socket.socket, limits: Limits) -> asyncio.Server:
    config, state = http_config(application, limits=limits), ServerState()

    def open_health() -> BoundedHttpProtocol:
        return BoundedHttpProtocol(config, state, app_state={}, limits=limits, report=lambda _why: None)

    return await asyncio.get_running_loop().create_server(open_health, sock=listening)
