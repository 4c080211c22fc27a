"""When the registry fails, every request is refused within two seconds, and nothing else suffers."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from service.contract import Metric, Variable
from service.identity.client_registry import LOOKUP_THREADS
from tests.certificates import Authority, Identity, client
from tests.service.test_client_registry import answering
from tests.wire.conftest import StartService
from tests.wire.stage import Aws, HeldEndpoint, Service, ask, connection, hung_endpoint, running, variables


@pytest.fixture(scope="module")
def hung(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    """A service whose registry never answers."""
    with (
        hung_endpoint() as url,
        running(
            variables(aws, bucket, AWS_ENDPOINT_URL_DYNAMODB=url, **{Variable.METRICS_SECONDS: "1"}),
            trust=authority.pem,
        ) as started,
    ):
        yield started


def _timed_reason(service: Service, identity: Identity) -> tuple[str, float]:
    """Ask once; the seconds count from the request, not from the handshake before it."""
    with connection(service, identity) as opened:
        began = time.monotonic()
        return opened.get().document["reason"], time.monotonic() - began


def test_a_registry_that_hangs_refuses_within_two_seconds(hung: Service) -> None:
    began = time.monotonic()

    answer = ask(hung, client())

    assert time.monotonic() - began < 2
    assert (answer.status, answer.document["reason"]) == (503, "registry_unavailable")
    assert hung.event("metrics", **{Metric.REGISTRY_ERRORS: 1})


def test_meanwhile_health_and_peers_that_need_no_registry_are_answered(hung: Service) -> None:
    """No lookup ever runs on the event loop."""
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask, hung, client())
        began = time.monotonic()

        assert hung.health() == 200
        assert ask(hung, None).document["reason"] == "no_certificate"
        assert time.monotonic() - began < 1
        assert hanging.result().status == 503


def test_a_crowd_of_strangers_is_refused_in_time_too(hung: Service) -> None:
    """Most of them wait for a thread that never comes back."""
    strangers = [client() for _ in range(3 * LOOKUP_THREADS)]
    with ThreadPoolExecutor(len(strangers)) as pool:
        answers = list(pool.map(functools.partial(_timed_reason, hung), strangers))

    assert {reason for reason, _ in answers} == {"registry_unavailable"}
    assert max(seconds for _, seconds in answers) < 2


@pytest.fixture
def held(aws: Aws) -> Iterator[HeldEndpoint]:
    """A registry that hangs while its `release` is cleared."""
    endpoint = HeldEndpoint(aws.url)
    endpoint.release.set()
    yield endpoint
    endpoint.close()


def test_a_registry_that_begins_to_hang_disturbs_nobody_who_does_not_need_it(
    aws: Aws, start_service: StartService, held: HeldEndpoint
) -> None:
    """Connections that are open, deadlines that run and the health check go on as before, and all is well after it."""
    service = start_service(
        AWS_ENDPOINT_URL_DYNAMODB=held.url, **{Variable.REVOCATION_SECONDS: "1", Variable.HEAD_SECONDS: "1"}
    )
    partner = client()
    aws.enroll(partner, "acme")
    with connection(service, partner) as opened, ThreadPoolExecutor(8) as pool:
        assert opened.get().status == 200
        held.release.clear()
        time.sleep(1)  # What was known is past its age.

        waiting = [pool.submit(_timed_reason, service, partner) for _ in range(8)]
        began = time.monotonic()
        assert service.health() == 200
        assert ask(service, None).document["reason"] == "no_certificate"
        assert time.monotonic() - began < 0.5
        with connection(service) as silent:
            assert silent.tls.recv(1) == b""  # Its deadline for a request.
        assert time.monotonic() - began < 2.5
        assert all(reason == "registry_unavailable" and seconds < 2 for reason, seconds in map(_result, waiting))

        held.release.set()
        assert ask(service, partner).status == 200


def test_with_a_stale_window_the_last_answer_decides_and_the_audit_says_so(
    aws: Aws, start_service: StartService, held: HeldEndpoint
) -> None:
    service = start_service(
        AWS_ENDPOINT_URL_DYNAMODB=held.url, **{Variable.REVOCATION_SECONDS: "0", Variable.STALE_SECONDS: "60"}
    )
    partner = client()
    aws.enroll(partner, "acme")
    with connection(service, partner) as opened:
        assert opened.get().status == 200
        held.release.clear()

        assert opened.get().status == 200
        assert ask(service, client()).document["reason"] == "registry_unavailable"

    service.event("request", status=503)
    lines = [line for line in service.events if line["event"] == "request" and line["status"] == 200]
    assert [("what the registry said" in (line.get("cause") or "")) for line in lines] == [False, True]


def _result(waiting: Future[tuple[str, float]]) -> tuple[str, float]:
    return waiting.result()


def test_what_answers_in_the_registrys_place_makes_nobody_unknown(start_service: StartService) -> None:
    """A sign-in page of some network has no item in it; that does not mean the client is not enrolled."""
    page = b"<html><title>Sign in to this network</title></html>"
    with answering(page) as url:
        service = start_service(AWS_ENDPOINT_URL_DYNAMODB=url)

        answer = ask(service, client())

    assert (answer.status, answer.document["reason"]) == (503, "registry_unavailable")


def test_a_registry_that_cannot_be_reached_refuses(start_service: StartService) -> None:
    service = start_service(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9")

    answer = ask(service, client())

    assert (answer.status, answer.document["reason"]) == (503, "registry_unavailable")
