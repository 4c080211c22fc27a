"""
Sessions inside the test's own process, where a test sets the limits and the application.

The sockets and the TLS are as real as elsewhere; what is left out is boot,
fork and AWS.
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import uvloop

from service.audit import AuditLog
from service.boot.server_identity import check_server_identity
from service.boot.tls_context import build_tls_context
from service.connection.limits import Admissions, SharedCounters
from service.connection.roster import Roster
from service.connection.session import Doorway, Session
from service.connection.tls import TlsConnection
from service.connection.worker import drain, open_hall
from service.contract import ProxyProtocol
from service.endpoints.asgi import Application, Receive, Scope, Send, answer
from service.metrics import Metrics
from service.settings import Limits
from tests.certificates import HOST_NAME, NOW, Authority
from tests.wire.stage import Connection, client_context


class Lines:
    """A stream that keeps the audit lines."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, text: str) -> None:
        """Keep a line."""
        self.events.append(json.loads(text))

    def finish(self, _seconds: float) -> None:
        """Nothing waits here."""


@dataclass(frozen=True, slots=True)
class Doorstep:
    """
    Where peers connect, and what became of them.

    Attributes:
        roster: Which sessions are open.
    """

    address: tuple[str, int]
    trust: bytes
    lines: Lines
    roster: Roster
    loop: asyncio.AbstractEventLoop = field(repr=False)

    def reasons(self) -> list[str]:
        """Every reason the audit was told, in order."""
        return [line["reason"] for line in self.lines.events]


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer anything with a word."""
    await answer(send, HTTPStatus.OK, {"word": "hello"})


@contextmanager
def open_doorstep(
    limits: Limits,
    *,
    application: Application = hello,
    proxy_protocol: ProxyProtocol = ProxyProtocol.REQUIRED,
    drain_seconds: float = 0,
) -> Iterator[Doorstep]:
    """Accept sessions on a free port, in a thread with a loop of its own."""
    authority = Authority()
    server = authority.server()
    identity = check_server_identity(server.chain_pem, server.key_pem, host_name=HOST_NAME, at=NOW)
    lines = Lines()
    audit = AuditLog(lines, environment="test", clock=time.time)
    metrics = Metrics(audit)
    open_tls = functools.partial(TlsConnection, build_tls_context(identity))
    doorway = Doorway(open_tls, proxy_protocol, limits, audit, metrics)

    ready, done = threading.Event(), asyncio.Event()
    opened: list[Doorstep] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        hall = open_hall(application, doorway, Admissions(SharedCounters(1), limits, worker=0))
        listening = await loop.create_server(lambda: Session(hall), "127.0.0.1", 0)
        host, port = listening.sockets[0].getsockname()
        opened.append(Doorstep((host, port), authority.pem, lines, hall.roster, loop))
        ready.set()
        await done.wait()
        listening.close()
        await drain(hall, seconds=drain_seconds)

    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    ready.wait(5)
    try:
        yield opened[0]
    finally:
        opened[0].loop.call_soon_threadsafe(done.set)
        thread.join(5)


def open_tls(doorstep: Doorstep) -> Connection:
    """Finish a handshake."""
    return Connection.over(socket.create_connection(doorstep.address, timeout=5), client_context(doorstep.trust))
