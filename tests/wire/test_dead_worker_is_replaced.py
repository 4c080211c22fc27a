"""The parent watches its workers, and the workers their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from service.contract import Variable
from tests.wire.conftest import StartService
from tests.wire.stage import WAIT_SECONDS, Service, ask


def workers_of(service: Service) -> list[int]:
    """List the worker processes."""
    command = ["ps", "-o", "pid=", "--ppid", str(service.process.pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return [int(pid) for pid in found.split()]


def wait_until_gone(pid: int) -> None:
    """Wait for a process that is not our child to end."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")


def test_a_worker_that_dies_is_replaced_after_a_pause(start_service: StartService) -> None:
    service = start_service()
    (victim,) = workers_of(service)

    os.kill(victim, signal.SIGKILL)

    line = service.event("worker_ended", worker=victim)
    assert (line["exit_code"], line["restart_in_seconds"]) == (-9, 0.5)
    assert ask(service).status == 403
    assert workers_of(service) != [victim]


def test_with_two_workers_the_other_one_goes_on_meanwhile(start_service: StartService) -> None:
    service = start_service(**{Variable.WORKERS: "2"})
    assert ask(service).status == 403
    victim, _ = workers_of(service)

    os.kill(victim, signal.SIGKILL)

    assert [ask(service).status for _ in range(5)] == [403] * 5


def test_workers_end_when_their_parent_was_killed(start_service: StartService) -> None:
    """Otherwise they would hold the port against the next task."""
    service = start_service()
    assert ask(service).status == 403
    (worker,) = workers_of(service)

    service.process.kill()

    wait_until_gone(worker)
