"""SIGTERM: health says no at once, what is under way is finished, and the process ends with 0."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from service.contract import Variable
from tests.certificates import client
from tests.wire.conftest import StartService
from tests.wire.stage import PROXY, Aws, Connection, HeldEndpoint, ask, client_context, connection


@pytest.fixture
def held(aws: Aws) -> Iterator[HeldEndpoint]:
    endpoint = HeldEndpoint(aws.url)
    yield endpoint
    endpoint.close()


def test_a_request_in_flight_is_answered_and_the_exit_code_is_0(
    aws: Aws, held: HeldEndpoint, start_service: StartService
) -> None:
    """The registry answers only after the service has stopped to accept: the client never notices."""
    service = start_service(AWS_ENDPOINT_URL_DYNAMODB=held.url)
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(opened.get)
        assert held.reached.wait(5)
        service.process.send_signal(signal.SIGTERM)
        service.wait_until_refusing()
        held.release.set()
        answer = asked.result()

    assert (answer.status, answer.document["client"]) == (200, "acme")
    assert answer.headers["connection"] == "close"
    assert service.wait() == 0


def test_health_says_no_at_once_while_new_connections_are_still_answered(aws: Aws, start_service: StartService) -> None:
    """The lame-duck time: the balancer needs a few checks to notice."""
    service = start_service(**{Variable.LAME_DUCK_SECONDS: "1"})
    partner = client()
    aws.enroll(partner, "acme")

    service.process.send_signal(signal.SIGTERM)
    service.event("draining")

    assert service.health() == 503
    assert ask(service, partner).status == 200
    assert service.wait() == 0


def test_a_handshake_under_way_is_finished_and_its_one_request_answered(aws: Aws, start_service: StartService) -> None:
    service = start_service()
    partner = client()
    aws.enroll(partner, "acme")

    with socket.create_connection(service.address, timeout=5) as plain:
        plain.sendall(PROXY[:10])
        ask(service, partner)  # so that the one before is surely accepted
        service.process.send_signal(signal.SIGTERM)
        service.wait_until_refusing()
        late = Connection.over(plain, client_context(service.trust, partner), proxy=PROXY[10:])
        answer = late.get()
        late.close()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert service.wait() == 0


def test_peers_that_say_nothing_do_not_hold_the_drain(aws: Aws, start_service: StartService) -> None:
    """After connect, within the header, within the handshake, after it: each has a moment, and not the drain's time."""
    service = start_service(**{Variable.DRAIN_SECONDS: "60"})
    partner = client()
    aws.enroll(partner, "acme")

    with ExitStack() as stack:
        for opening in (b"", PROXY[:9], PROXY, PROXY + b"\x16\x03\x01\x02\x00\x01"):
            plain = stack.enter_context(socket.create_connection(service.address, timeout=5))
            plain.sendall(opening)
        stack.enter_context(connection(service, partner))
        ask(service, partner)  # so that the ones before are surely accepted
        began = time.monotonic()

        assert service.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 8

    assert service.event("stopped")["connections_cut"] == 0
    assert service.errors() == ""


def test_a_request_that_takes_longer_than_the_drain_is_cut_off_in_silence(
    aws: Aws, held: HeldEndpoint, start_service: StartService
) -> None:
    """The line says so; on standard error there is nothing for anybody to read at night."""
    service = start_service(AWS_ENDPOINT_URL_DYNAMODB=held.url, **{Variable.DRAIN_SECONDS: "1"})
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        opened.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert held.reached.wait(5)

        assert service.stop(signal.SIGTERM) == 0

    assert service.event("stopped")["connections_cut"] == 1
    assert service.errors() == ""


def test_what_clients_ask_for_leaves_nothing_on_standard_error(aws: Aws, start_service: StartService) -> None:
    service = start_service()
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        opened.send(b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        assert opened.answer().status == 200
    with connection(service, partner) as opened:
        opened.send(b"\x00\x01 what\r\n\r\n")
        assert opened.answer().status == 400

    assert service.stop(signal.SIGTERM) == 0
    assert service.errors() == ""


def test_an_idle_connection_is_closed_with_close_notify(aws: Aws, start_service: StartService) -> None:
    service = start_service()
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        opened.get()
        service.process.send_signal(signal.SIGTERM)

        assert opened.tls.recv(1) == b""  # close_notify; a reset or a bare FIN would raise

    assert service.wait() == 0


def test_a_signal_that_comes_before_the_workers_are_ready_is_a_drain_too(start_service: StartService) -> None:
    service = start_service(**{Variable.WORKERS: "3"})

    assert service.stop(signal.SIGTERM) == 0
    service.event("stopped")


def test_ctrl_c_ends_it_the_same_way(start_service: StartService) -> None:
    service = start_service()

    assert service.stop(signal.SIGINT) == 0
    service.event("stopped")
