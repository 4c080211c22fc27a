"""
One worker process: serves both sockets until it is told to stop, then drains.

SIGTERM: health says 503 at once; for the lame-duck time new connections are
still answered, because the load balancer needs a few checks to notice; then no
more are accepted, those there are finish within the drain time, and the
process ends with 0.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import uvloop

from service.audit import AuditLog, Event
from service.connection.http_protocol import Answering
from service.connection.lifespan import Lifespan
from service.connection.limits import Admissions
from service.connection.plain_connection import PlainConnection
from service.connection.roster import Roster
from service.connection.session import Doorway, Hall, Session
from service.contract import Metric
from service.endpoints.asgi import Application
from service.endpoints.health import Health
from service.metrics import Metrics
from service.settings import Limits

_CLEANUP_SECONDS: Final = 1.0
"""For what still answered when the drain was over; the parent kills a worker 3 s after it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """
    What a worker process needs; made before the fork, used after it.

    Attributes:
        load_application: Makes what answers the requests, gate included; called in the worker.
        metrics: What the doorway's rooms measure, written at once, every `metrics_seconds` and once at the end.
        background: What goes on beside the answering until the worker has drained; each is called in the worker,
            must not raise, and is cancelled at the end.
    """

    load_application: Callable[[], Application]
    doorway: Doorway
    audit: AuditLog
    lame_duck_seconds: int
    drain_seconds: int
    metrics: Metrics
    metrics_seconds: int
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()

    def run(self, *, traffic: socket.socket, health: socket.socket, lifeline: int, admissions: Admissions) -> None:
        """
        Serve until SIGTERM and drain; returns when all is done.

        SIGTERM may be blocked by the caller; it is let in once somebody listens for it.

        Args:
            traffic: Listens for peers.
            health: Listens for the load balancer's checks.
            lifeline: Becomes readable when the parent is gone; it holds the other end.
            admissions: Counts our connections beside those of the other workers.

        Raises:
            ApplicationError: The application cannot start; nobody was answered.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(traffic, health, lifeline, admissions))

    async def _serve(
        self, traffic: socket.socket, health: socket.socket, lifeline: int, admissions: Admissions
    ) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        loop.add_reader(lifeline, stopping.set)

        application = self.load_application()
        hall = open_hall(application, self.doorway, admissions)
        life = Lifespan(application, state=hall.state)
        await life.start()
        self.metrics.gauge(Metric.CONNECTIONS_OPEN, lambda: {(): float(len(hall.roster))})
        beside = [asyncio.create_task(self.metrics.keep_writing(self.metrics_seconds))]
        beside += [asyncio.create_task(begin()) for begin in self.background]
        answers = Health()
        health_server = await _serve_health(answers, health, self.doorway.limits)
        traffic_server = await loop.create_server(lambda: Session(hall), sock=traffic)
        await stopping.wait()
        loop.remove_reader(lifeline)

        answers.is_draining = True
        self.audit.record(Event.DRAINING, connections=len(hall.roster))
        await asyncio.sleep(self.lame_duck_seconds)
        traffic_server.close()
        connections_cut = await drain(hall, self.drain_seconds)
        health_server.close()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await life.stop()
        self.metrics.write(_now())
        self.audit.record(Event.STOPPED, connections_cut=connections_cut)


def open_hall(application: Application, doorway: Doorway, admissions: Admissions) -> Hall:
    """Make what the sessions of this process share; call it where the loop runs."""
    return Hall(
        doorway=doorway,
        admissions=admissions,
        roster=Roster(doorway.limits.connection_seconds),
        answering=Answering(application, doorway.limits, scheme="https"),
        state={},
    )


async def drain(hall: Hall, seconds: float) -> int:
    """
    Have all sessions end, and cut off who has not after this time; returns how many that were.

    An application may go on after its answer, and has the same time for it.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    hall.roster.shut_down()
    await hall.roster.wait_until_empty(seconds)
    await _wait_for(hall.answering.tasks, end - loop.time())
    left = await hall.roster.abort_all()
    for task in tuple(hall.answering.tasks):
        task.cancel()
    await _wait_for(hall.answering.tasks, _CLEANUP_SECONDS)
    return left


async def _wait_for(tasks: set[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tuple(tasks), timeout=max(seconds, 0))


async def _serve_health(application: Health, listening: socket.socket, limits: Limits) -> asyncio.Server:
    answering = Answering(application, limits, scheme="http")
    return await asyncio.get_running_loop().create_server(lambda: PlainConnection(answering), sock=listening)


def _now() -> datetime:
    return datetime.now(UTC)
