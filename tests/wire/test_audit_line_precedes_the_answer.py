"""Whoever has an answer is in the log, whatever happens to the service then, and within a tenth of a second."""

from __future__ import annotations

import os
import signal
import time

from tests.certificates import client
from tests.wire.conftest import StartService
from tests.wire.stage import Aws, Service, connection
from tests.wire.test_dead_worker_is_replaced import workers_of

MAX_DELAY_SECONDS = 0.1


def test_a_worker_that_is_killed_takes_no_line_with_it(aws: Aws, start_service: StartService) -> None:
    """`kill -9` the moment the last answer is read: no line waited in the process for anything."""
    partner, service = client(), start_service()
    aws.enroll(partner, "acme")
    (worker,) = workers_of(service)

    with connection(service, partner) as opened:
        answered = [opened.get().document["request_id"] for _ in range(20)]
        os.kill(worker, signal.SIGKILL)

    assert [service.event("request", request_id=each)["decision"] for each in answered] == ["answered"] * 20


def test_a_line_is_there_within_a_tenth_of_a_second(aws: Aws, service: Service) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        for _ in range(20):
            answer = opened.get()
            began = time.monotonic()
            service.event("request", request_id=answer.document["request_id"])
            assert time.monotonic() - began < MAX_DELAY_SECONDS
