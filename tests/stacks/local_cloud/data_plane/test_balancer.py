"""The balancer does what the load balancer was told: real sockets, no API in between."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import socketserver
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stacks.local_cloud.addresses import AddressPool, claim_address
from stacks.local_cloud.balancer import Balancer, Target
from stacks.local_cloud.balancer_settings import BalancerSettings, HealthCheckSettings, ListenerSettings
from tests.stacks.local_cloud.data_plane.backends import Backend, Behavior, running
from tests.stacks.local_cloud.data_plane.stage import eventually, talk

NAME = "balancer"
FRONT = 443


def say_who(handler: socketserver.StreamRequestHandler) -> None:
    """Answer every line with the own address and the first line heard."""
    first = handler.rfile.readline()
    address = handler.connection.getsockname()[0]
    handler.wfile.write(f"{address} {first.decode().strip()}\n".encode())
    while handler.rfile.readline():
        handler.wfile.write(f"{address} again\n".encode())


class Scene:
    """A balancer and its backends; `follow` hands over settings as a sweep would."""

    def __init__(self, stack: ExitStack) -> None:
        self.addresses = AddressPool()
        self.reports: list[str] = []
        self.balancer = Balancer(self.addresses, self.reports.append, second=0.02)
        self.backends: dict[str, Backend] = {}
        self._stack = stack
        stack.callback(self.addresses.release_all)
        stack.callback(self.balancer.stop)
        self.balancer.start()

    def backend(self, instance_id: str, behavior: Behavior = say_who) -> Backend:
        """Run one more instance, on the same ports as the others."""
        ports = next(((one.traffic_port, one.health_port) for one in self.backends.values()), (0, 0))
        backend = self._stack.enter_context(running(self.addresses.draw(), behavior, ports=ports))
        self.backends[instance_id] = backend
        return backend

    def settings(self, *, registered: tuple[str, ...] | None = None, proxy: bool = False) -> BalancerSettings:
        """Compose settings that lead to the backends."""
        some = next(iter(self.backends.values()))
        check = HealthCheckSettings("HTTP", some.health_port, "/healthz", 5, 2, healthy_threshold=2,
                                    unhealthy_threshold=2)  # fmt: skip
        return BalancerSettings(
            name=NAME,
            listeners=(ListenerSettings(FRONT, some.traffic_port, proxy),),
            health_check=check,
            idle_timeout=3000,
            draining_timeout=300,
            instance_ids=tuple(self.backends) if registered is None else registered,
        )

    def follow(self, settings: BalancerSettings) -> None:
        """Hand settings over."""
        self.balancer.apply([settings], {name: backend.target for name, backend in self.backends.items()})

    def states(self) -> dict[str, tuple[str, str]]:
        """State and reason by instance."""
        return {one.instance_id: (one.state, one.reason_code) for one in self.balancer.health(NAME) or ()}

    def in_service(self, *names: str) -> bool:
        """Whether exactly these are in service."""
        return {name for name, (state, _) in self.states().items() if state == "InService"} == set(names)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Connect to the front port."""
        endpoint = self.balancer.endpoint(NAME, FRONT)
        assert endpoint is not None
        return self._stack.enter_context(socket.create_connection(endpoint, timeout=10, source_address=(source, 0)))

    def ask(self, text: str = "hello") -> str:
        """Ask over a connection of its own."""
        with self.connect() as connection:
            return talk(connection, text)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """An empty scene, cleared afterwards."""
    with ExitStack() as stack:
        yield Scene(stack)


def with_check(settings: BalancerSettings, **changes: Any) -> BalancerSettings:
    """Change the health check."""
    assert settings.health_check is not None
    return dataclasses.replace(settings, health_check=dataclasses.replace(settings.health_check, **changes))


# -- forwarding ------------------------------------------------------------------


def test_connections_reach_the_instance_port(scene: Scene) -> None:
    """A listener leads to its instance port on an instance in service."""
    backend = scene.backend("i-1")
    scene.follow(scene.settings())
    eventually(lambda: scene.in_service("i-1"))

    assert scene.ask("hello") == f"{backend.address} hello"


def test_a_wrong_instance_port_closes_the_connection(scene: Scene) -> None:
    """Nothing listens on the port the listener leads to: the client sees its connection closed."""
    scene.backend("i-1")
    settings = scene.settings()
    scene.follow(dataclasses.replace(settings, listeners=(ListenerSettings(FRONT, 9443, sends_proxy_header=False),)))
    eventually(lambda: scene.in_service("i-1"))

    assert not scene.ask()
    assert not scene.ask()
    (told_once,) = scene.reports
    assert "port 443 are closed: no instance in service takes connections on instance port 9443" in told_once


def test_a_load_balancer_without_a_healthy_instance_says_so(scene: Scene) -> None:
    """The client sees a closed connection and no more; whoever runs the load balancer is told why."""
    scene.backend("i-1")
    scene.follow(scene.settings(registered=()))

    assert not scene.ask()
    assert "no registered instance is in service" in scene.reports[0]


def test_a_port_the_task_does_not_publish_is_not_reached(scene: Scene) -> None:
    """A process that listens on a port without a mapping is as unreachable as it would be in its container."""
    backend = scene.backend("i-1")
    settings = scene.settings()
    scene.follow(settings)
    eventually(lambda: scene.in_service("i-1"))

    scene.balancer.apply([settings], {"i-1": Target(backend.address, frozenset({backend.health_port}))})

    assert not scene.ask()


def test_the_proxy_header_names_the_client_and_the_front_port(scene: Scene) -> None:
    """PROXY protocol version 1, as the load balancer's policy makes it send."""
    backend = scene.backend("i-1")
    scene.follow(scene.settings(proxy=True))
    eventually(lambda: scene.in_service("i-1"))

    with scene.connect("127.0.0.9") as connection:
        answer = talk(connection, "hello").splitlines()[0]
        client, front = connection.getsockname(), connection.getpeername()

    assert answer == f"{backend.address} PROXY TCP4 127.0.0.9 {front[0]} {client[1]} {front[1]}"


def test_the_proxy_header_goes_with_its_policy(scene: Scene) -> None:
    """A change of the policy is followed while the load balancer runs."""
    backend = scene.backend("i-1")
    scene.follow(scene.settings(proxy=True))
    eventually(lambda: scene.in_service("i-1"))

    scene.follow(scene.settings(proxy=False))

    assert scene.ask("hello") == f"{backend.address} hello"


def test_instances_in_service_take_turns(scene: Scene) -> None:
    """Round robin, as a Classic Load Balancer does for TCP listeners."""
    addresses = [scene.backend(name).address for name in ("i-1", "i-2", "i-3")]
    scene.follow(scene.settings())
    eventually(lambda: scene.in_service("i-1", "i-2", "i-3"))

    answers = [scene.ask().split()[0] for _ in range(6)]

    assert sorted(answers[:3]) == sorted(addresses)
    assert answers[3:] == answers[:3]


def test_without_an_instance_in_service_connections_are_accepted_and_closed(scene: Scene) -> None:
    scene.backend("i-1").status = 503
    scene.follow(scene.settings())
    eventually(lambda: scene.states() == {"i-1": ("OutOfService", "Instance")})

    assert not scene.ask()


def test_half_close_is_carried_both_ways(scene: Scene) -> None:
    """A client that has said all it wants still hears the whole answer."""

    def count(handler: socketserver.StreamRequestHandler) -> None:
        heard = len(handler.rfile.read())
        handler.wfile.write(b"x" * heard)

    scene.backend("i-1", count)
    scene.follow(scene.settings())
    eventually(lambda: scene.in_service("i-1"))

    with scene.connect() as connection:
        connection.sendall(b"y" * 1_000_000)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            heard = len(answer.read())

    assert heard == 1_000_000


def test_an_idle_connection_is_closed_after_the_idle_timeout(scene: Scene) -> None:
    scene.backend("i-1")
    scene.follow(dataclasses.replace(scene.settings(), idle_timeout=10))
    eventually(lambda: scene.in_service("i-1"))

    with scene.connect() as connection:
        assert talk(connection, "hello")
        assert connection.recv(1) == b""


# -- health ----------------------------------------------------------------------


def test_an_instance_comes_into_service_after_the_healthy_threshold(scene: Scene) -> None:
    """Before that it is out of service because its registration is still in progress."""
    backend = scene.backend("i-1")
    scene.follow(with_check(scene.settings(), healthy_threshold=4))

    assert scene.states() == {"i-1": ("OutOfService", "ELB")}
    eventually(lambda: scene.in_service("i-1"))
    assert len(backend.health_requests) >= 4


def test_an_instance_leaves_service_after_the_unhealthy_threshold(scene: Scene) -> None:
    backend = scene.backend("i-1")
    scene.follow(scene.settings())
    eventually(lambda: scene.in_service("i-1"))

    backend.status = 503

    eventually(lambda: scene.states() == {"i-1": ("OutOfService", "Instance")})


def test_an_instance_that_recovers_comes_back(scene: Scene) -> None:
    backend = scene.backend("i-1")
    backend.status = 500
    scene.follow(scene.settings())
    eventually(lambda: scene.states() == {"i-1": ("OutOfService", "Instance")})

    backend.status = 200

    eventually(lambda: scene.in_service("i-1"))


def test_the_check_asks_for_the_declared_path(scene: Scene) -> None:
    backend = scene.backend("i-1")
    scene.follow(with_check(scene.settings(), path="/ready?deep=1"))

    eventually(lambda: backend.health_requests)

    assert backend.health_requests[0] == "GET /ready?deep=1 HTTP/1.1"


@pytest.mark.parametrize("status", [204, 301, 404, 503])
def test_only_200_passes(scene: Scene, status: int) -> None:
    scene.backend("i-1").status = status
    scene.follow(scene.settings())

    eventually(lambda: scene.states() == {"i-1": ("OutOfService", "Instance")})


def test_a_body_without_a_told_end_does_not_pass(scene: Scene) -> None:
    """Classic Load Balancer guide: the answer needs Content-Length or chunked encoding."""
    scene.backend("i-1").headers = {}
    scene.follow(scene.settings())

    eventually(lambda: scene.states() == {"i-1": ("OutOfService", "Instance")})


def test_a_tcp_check_passes_where_something_listens(scene: Scene) -> None:
    backend = scene.backend("i-1")
    backend.status = 503
    scene.follow(with_check(scene.settings(), protocol="TCP"))

    eventually(lambda: scene.in_service("i-1"))


def test_a_tcp_check_fails_where_nothing_listens(scene: Scene) -> None:
    scene.backend("i-1")
    scene.follow(with_check(scene.settings(), protocol="TCP", port=9))

    eventually(lambda: scene.states() == {"i-1": ("OutOfService", "Instance")})


# -- draining --------------------------------------------------------------------


def test_a_deregistered_instance_finishes_what_it_has_and_gets_nothing_new(scene: Scene) -> None:
    scene.backend("i-1")
    scene.follow(scene.settings())
    eventually(lambda: scene.in_service("i-1"))
    with scene.connect() as old:
        first = talk(old, "hello").split()[0]
        other = scene.backend("i-2")
        scene.follow(scene.settings(registered=("i-2",)))
        eventually(lambda: scene.in_service("i-2"))

        answers = {scene.ask().split()[0] for _ in range(3)}

        assert answers == {other.address}
        assert talk(old, "more") == f"{first} again"
        assert not scene.balancer.is_drained(NAME, "i-1")
    eventually(lambda: scene.balancer.is_drained(NAME, "i-1"))


@pytest.mark.parametrize("draining_timeout", [0, 10])
def test_connections_end_when_draining_does(scene: Scene, draining_timeout: float) -> None:
    """At once where draining is off."""
    scene.backend("i-1")
    settings = dataclasses.replace(scene.settings(), draining_timeout=draining_timeout)
    scene.follow(settings)
    eventually(lambda: scene.in_service("i-1"))
    with scene.connect() as old:
        talk(old, "hello")

        scene.follow(dataclasses.replace(settings, instance_ids=()))

        eventually(lambda: scene.balancer.is_drained(NAME, "i-1"))
        with contextlib.suppress(ConnectionResetError):
            assert old.recv(1) == b""


# -- as a whole ------------------------------------------------------------------


def test_what_it_cannot_do_is_said_once(scene: Scene) -> None:
    scene.backend("i-1")
    settings = dataclasses.replace(scene.settings(), faults=("listener 80 is HTTP to HTTP",))

    scene.follow(settings)
    scene.follow(settings)

    assert scene.reports == [f"load balancer {NAME}: listener 80 is HTTP to HTTP"]


def test_a_front_port_that_cannot_be_had_is_shown_above_1024(scene: Scene) -> None:
    """As for a user who may not listen on 443."""
    with contextlib.ExitStack() as held:

        def claim(address: str) -> socket.socket:
            with contextlib.suppress(PermissionError):
                held.enter_context(socket.create_server((address, FRONT)))
            return claim_address(address)

        addresses = AddressPool(claim)
        balancer = Balancer(addresses, scene.reports.append)
        balancer.start()
        scene.backend("i-1")

        balancer.apply([scene.settings()], {})
        endpoint = balancer.endpoint(NAME, FRONT)
        balancer.stop()

    assert endpoint is not None
    assert endpoint[1] == 10443


def test_a_load_balancer_that_is_deleted_stops_listening(scene: Scene) -> None:
    scene.backend("i-1")
    scene.follow(scene.settings())
    endpoint = scene.balancer.endpoint(NAME, FRONT)

    scene.balancer.apply([], {})

    assert scene.balancer.endpoint(NAME, FRONT) is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(endpoint or ("", 0), timeout=5)


def test_stopping_ends_open_connections(scene: Scene) -> None:
    scene.backend("i-1")
    scene.follow(scene.settings())
    eventually(lambda: scene.in_service("i-1"))
    with scene.connect() as open_one:
        talk(open_one, "hello")

        scene.balancer.stop()

        with contextlib.suppress(ConnectionResetError):
            assert open_one.recv(1) == b""
