"""
The first answer on a fresh TLS 1.3 connection waits for no timer of TCP.

A client sends its Finished and then its request. While it keeps Nagle's
algorithm, the request stays with it until the Finished is acknowledged, and
without session tickets we have nothing to send that would carry that: a
delayed acknowledgment costs 40 ms. So we acknowledge at once (session.py).
Behind a balancer its own sockets face the client, and what they do is not
ours; there it is the client without Nagle, as HTTP libraries make it, that
must be answered at once.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from typing import Final

import pytest

from stacks.local_cloud.addresses import AddressPool
from stacks.local_cloud.balancer import Balancer, Target
from stacks.local_cloud.balancer_settings import BalancerSettings, HealthCheckSettings, ListenerSettings
from tests.certificates import HOST_NAME, Identity, client
from tests.wire.stage import WAIT_SECONDS, Aws, Connection, Service, client_context

TRIES: Final = 9
DELAYED_ACKNOWLEDGMENT_SECONDS: Final = 0.040
"""Linux's least (TCP_DELACK_MIN); measured without our remedy: 41 to 44 ms, with it under 1 ms."""


def seconds_to_answer(service: Service, identity: Identity, address: tuple[str, int], *, nagle: bool) -> float:
    """Give the median of some first answers, from the request to the end of the answer."""
    context = client_context(service.trust, identity, version=ssl.TLSVersion.TLSv1_3)
    times = []
    for _ in range(TRIES):
        plain = socket.create_connection(address, timeout=WAIT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not nagle)
        opened = Connection.over(plain, context, proxy=b"")
        began = time.perf_counter()
        assert opened.get().status == 200
        times.append(time.perf_counter() - began)
        opened.close()
    return statistics.median(times)


@pytest.fixture
def partner(aws: Aws) -> Identity:
    enrolled = client()
    aws.enroll(enrolled, "acme")
    return enrolled


@pytest.fixture
def front(service: Service) -> Iterator[tuple[str, int]]:
    """The embedded cloud's balancer before the service, sending PROXY headers; gives its address."""
    host, port = service.address
    health = service.listening["health_port"]
    check = HealthCheckSettings("HTTP", health, "/healthz", 5, 2, healthy_threshold=2, unhealthy_threshold=2)
    listeners = (ListenerSettings(443, port, sends_proxy_header=True),)
    settings = BalancerSettings(
        "front", listeners, check, idle_timeout=3000, draining_timeout=0, instance_ids=("instance",)
    )
    addresses = AddressPool()
    balancer = Balancer(addresses, lambda _line: None, second=0.02)
    balancer.start()
    try:
        balancer.apply([settings], {"instance": Target(host, frozenset({port, health}))})
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(each.is_in_service for each in balancer.health("front") or ()):
            assert time.monotonic() < deadline, "the service does not come into service"
            time.sleep(0.02)
        endpoint = balancer.endpoint("front", 443)
        assert endpoint is not None
        yield endpoint
    finally:
        balancer.stop()
        addresses.release_all()


def test_a_client_that_keeps_nagle_is_answered_at_once(direct_service: Service, partner: Identity) -> None:
    seconds = seconds_to_answer(direct_service, partner, direct_service.address, nagle=True)

    assert seconds < DELAYED_ACKNOWLEDGMENT_SECONDS * 0.75


def handshake_with_half_a_request(plain: socket.socket, context: ssl.SSLContext, *, half: bytes) -> None:
    """Send the Finished and the beginning of a request as one segment, and the rest in another."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST_NAME)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65536))
    tls.write(half)
    plain.sendall(outgoing.read())
    tls.write(b"\r\n")
    # Nagle's algorithm keeps this until the segment before is acknowledged.
    plain.sendall(outgoing.read())


def test_a_request_that_came_half_with_the_handshake_is_answered_at_once(
    direct_service: Service, partner: Identity
) -> None:
    context = client_context(direct_service.trust, partner, version=ssl.TLSVersion.TLSv1_3)
    times = []
    for _ in range(TRIES):
        with socket.create_connection(direct_service.address, timeout=WAIT_SECONDS) as plain:
            began = time.perf_counter()
            handshake_with_half_a_request(plain, context, half=f"GET / HTTP/1.1\r\nhost: {HOST_NAME}\r\n".encode())
            assert plain.recv(65536)
            times.append(time.perf_counter() - began)

    assert statistics.median(times) < DELAYED_ACKNOWLEDGMENT_SECONDS * 0.75


def test_a_client_of_the_usual_kind_is_answered_at_once_through_the_balancer(
    service: Service, partner: Identity, front: tuple[str, int]
) -> None:
    seconds = seconds_to_answer(service, partner, front, nagle=False)

    assert seconds < DELAYED_ACKNOWLEDGMENT_SECONDS * 0.75
