"""When the registry fails, every request is refused within two seconds, and nothing else suffers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.identity.client_registry import MAX_PENDING_LOOKUPS
from tests.certificates import Authority, Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import Aws, Service, ask, connection, hung_endpoint, running, variables


@pytest.fixture(scope="module")
def hung(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    """A service whose registry never answers."""
    with (
        hung_endpoint() as url,
        running(variables(aws, bucket, AWS_ENDPOINT_URL_DYNAMODB=url), trust=authority.pem) as started,
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


def test_meanwhile_health_and_peers_that_need_no_registry_are_answered(hung: Service) -> None:
    """No lookup ever runs on the event loop."""
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask, hung, client())
        began = time.monotonic()

        assert hung.health() == 200
        assert ask(hung, None).document["reason"] == "no_certificate"
        assert time.monotonic() - began < 1
        assert hanging.result().status == 503


def test_more_lookups_than_may_wait_are_refused_at_once(hung: Service) -> None:
    """A queue would only make every answer late."""
    with ThreadPoolExecutor(MAX_PENDING_LOOKUPS + 16) as pool:
        stranger = client()
        asked = [pool.submit(_timed_reason, hung, stranger) for _ in range(MAX_PENDING_LOOKUPS + 16)]

        answers = [each.result() for each in asked]

        assert {reason for reason, _ in answers} == {"registry_unavailable"}
        assert max(seconds for _, seconds in answers) < 2


def test_a_registry_that_cannot_be_reached_refuses(start_service: StartService) -> None:
    service = start_service(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9")

    answer = ask(service, client())

    assert (answer.status, answer.document["reason"]) == (503, "registry_unavailable")
