"""Connections are counted over all workers of a task: in all, and from each source."""

from __future__ import annotations

import os
import resource
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from service.contract import Metric, Variable
from tests.certificates import Authority, Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import (
    PROXY,
    WAIT_SECONDS,
    Aws,
    Connection,
    Service,
    ask,
    client_context,
    read_to_end,
    running,
    variables,
)
from tests.wire.test_dead_worker_is_replaced import workers_of

OTHER = b"PROXY TCP4 198.51.100.9 203.0.113.9 51514 443\r\n"
HANDSHAKE_ENDED = (ssl.SSLError, ConnectionError)


@contextmanager
def opened(service: Service, count: int, *, proxy: bytes = PROXY) -> Iterator[list[Connection]]:
    """Hold so many connections, each through its handshake."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            plain = socket.create_connection(service.address, timeout=10)
            each = Connection.over(plain, client_context(service.trust), proxy=proxy)
            stack.callback(each.close)
            connections.append(each)
        yield connections


@pytest.fixture(scope="module")
def crowded(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    """Two workers that take eight connections together, and five from one source."""
    bounds = {Variable.WORKERS: "2", Variable.CONNECTIONS: "8", Variable.CONNECTIONS_PER_SOURCE: "5"}
    with running(variables(aws, bucket, **bounds, **{Variable.METRICS_SECONDS: "1"}), trust=authority.pem) as started:
        yield started


def test_over_the_bound_of_a_source_a_connection_ends_before_tls(crowded: Service) -> None:
    """Whichever worker took the others; another source goes on undisturbed."""
    with opened(crowded, 5):
        with pytest.raises(HANDSHAKE_ENDED):
            ask(crowded)
        line = crowded.event("connection_refused", reason="connections_per_source")
        assert ask(crowded, proxy=OTHER).status == 403
        crowded.event("metrics", reason="connections_per_source", **{Metric.CONNECTIONS_REFUSED: 1})

    assert (line["peer_address"], line["peer_port"]) == ("192.0.2.7", 51514)
    wait_until(lambda: is_answered(crowded))


def test_over_the_bound_in_all_a_connection_ends_before_its_first_byte(crowded: Service) -> None:
    with opened(crowded, 4), opened(crowded, 4, proxy=OTHER):
        with socket.create_connection(crowded.address, timeout=5) as plain:
            assert read_to_end(plain) == b""
        crowded.event("connection_refused", reason="connections")
        assert crowded.health() == 200  # another port, and not a peer's

    wait_until(lambda: is_answered(crowded))


def bundle(count: int) -> Identity:
    """Make a client that sends many small certificates beside its own."""
    stuffing = tuple(client(common_name=str(number)).certificate for number in range(count))
    return replace(client(), issuers=stuffing)


def test_who_sends_certificates_by_the_dozen_counts_for_several(start_service: StartService) -> None:
    """
    An attack: OpenSSL keeps all of a chain as long as the connection lives, ten times its bytes.

    A thousand connections of one stranger were 1 GiB, which is all that a task has.
    """
    service = start_service(**{Variable.CONNECTIONS_PER_SOURCE: "20", Variable.PROXY_PROTOCOL: "forbidden"})
    context = client_context(service.trust, bundle(160))
    held: list[Connection] = []

    def join() -> bool:
        plain = socket.create_connection(service.address, timeout=10)
        with suppress(*HANDSHAKE_ENDED):
            held.append(Connection.over(plain, context, proxy=b""))
            return held[-1].get().status == 403
        return False

    assert join()
    assert not join()
    service.event("connection_refused", reason="connections_per_source")
    assert ask(service, proxy=b"").status == 403

    held[0].close()
    wait_until(join)
    for each in held:
        each.close()


def test_the_connections_of_workers_that_died_are_not_counted_for_ever(crowded: Service) -> None:
    with opened(crowded, 5):
        for worker in workers_of(crowded):
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: is_answered(crowded))
        with opened(crowded, 5):
            pass


def test_without_a_descriptor_left_it_goes_on_as_soon_as_there_is_one(aws: Aws, start_service: StartService) -> None:
    """EMFILE: what cannot be held is closed at once, and nobody has to start the service again."""
    service = start_service(**{Variable.PROXY_HEADER_SECONDS: "60"})
    partner = client()
    aws.enroll(partner, "patient")
    assert ask(service, partner).status == 200
    (worker,) = workers_of(service)
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{worker}/fd").iterdir())) + 8, hard))

    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(service.address, timeout=5)) for _ in range(60)]
        wait_until(lambda: any(has_ended(each) for each in held))

    wait_until(lambda: is_answered(service))
    assert ask(service, partner).status == 200
    assert workers_of(service) == [worker]
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))


def has_ended(plain: socket.socket) -> bool:
    """Whether the service has closed it; it is not waited for."""
    plain.settimeout(0)
    try:
        return plain.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def is_answered(service: Service) -> bool:
    """Whether a stranger gets as far as his refusal."""
    with suppress(*HANDSHAKE_ENDED):
        return ask(service).status == 403
    return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask again until it is so, within a bound."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
