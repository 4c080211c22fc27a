"""Small servers on addresses of their own, for the balancer to find in service or not."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from stacks.local_cloud.balancer import Target

Behavior = Callable[[socketserver.StreamRequestHandler], None]


@dataclass
class Backend:
    """One instance: a traffic port that behaves as told and a health port that answers as told."""

    address: str
    behavior: Behavior
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Length": "0"})
    health_requests: list[str] = field(default_factory=list)
    traffic_port: int = 0
    health_port: int = 0

    @property
    def target(self) -> Target:
        """The instance as the balancer is told of it."""
        return Target(self.address, frozenset({self.traffic_port, self.health_port}))


@contextmanager
def running(address: str, behavior: Behavior, *, ports: tuple[int, int] = (0, 0)) -> Iterator[Backend]:
    """Run a backend for a while, on the given ports for traffic and health or on free ones."""
    backend = Backend(address, behavior)

    class Traffic(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            behavior(self)

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            backend.health_requests.append(self.requestline)
            self.send_response(backend.status)
            for name, value in backend.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with _Server((address, ports[0]), Traffic) as traffic, _Server((address, ports[1]), Health) as health:
        backend.traffic_port, backend.health_port = traffic.server_address[1], health.server_address[1]
        threads = [threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True) for one in (traffic, health)]
        for thread in threads:
            thread.start()
        try:
            yield backend
        finally:
            for server in (traffic, health):
                server.shutdown()
            for thread in threads:
                thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32
