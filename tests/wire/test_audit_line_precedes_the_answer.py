"""Whoever has an answer is in the log already, whatever happens to the service then."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority, client
from tests.wire.conftest import StartService
from tests.wire.stage import ROOT, WAIT_SECONDS, Aws, Connection, client_context, connection, variables
from tests.wire.test_dead_worker_is_replaced import workers_of


@dataclass(frozen=True)
class Logged:
    """A service whose lines go to a file, and an enrolled client's way to it."""

    port: int
    lines: Path
    context: ssl.SSLContext

    def ask(self, times: int) -> list[str]:
        """Ask on one connection; gives the ids of the requests whose lines were not there with their answers."""
        late = []
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS)
        opened = Connection.over(plain, self.context)
        with self.lines.open("rb") as lines:
            for _ in range(times):
                request_id = str(opened.get().document["request_id"])
                if request_id.encode() not in lines.read():
                    late.append(request_id)
        opened.close()
        return late


@contextmanager
def logging_service(lines: Path, environment: dict[str, str]) -> Iterator[int]:
    """Run one with its standard output in a file; gives the port."""
    with lines.open("wb") as output:
        command = [sys.executable, "-m", "service"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output)  # noqa: S603 -- our own module
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while time.monotonic() < deadline:
            whole = [line for line in lines.read_text().splitlines() if line.endswith("}")]
            if ports := [line["traffic_port"] for line in map(json.loads, whole) if line["event"] == "listening"]:
                yield ports[0]
                return
            time.sleep(0.01)
        raise AssertionError("it does not listen")
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


@pytest.fixture
def logged(aws: Aws, bucket: str, authority: Authority, tmp_path: Path) -> Iterator[Logged]:
    partner = client()
    aws.enroll(partner, "acme")
    lines = tmp_path / "audit.log"
    with logging_service(lines, variables(aws, bucket)) as port:
        yield Logged(port, lines, client_context(authority.pem, partner))


def test_when_the_answer_is_here_the_line_is_written(logged: Logged) -> None:
    assert logged.ask(50) == []


@pytest.mark.slow
def test_that_holds_under_load_too(logged: Logged) -> None:
    """Other connections' lines come in between, none is lost or late."""
    with ThreadPoolExecutor(8) as pool:
        late = [request_id for each in pool.map(logged.ask, [500] * 8) for request_id in each]

    lines = [json.loads(line) for line in logged.lines.read_text().splitlines()]
    assert late == []
    assert len({line["request_id"] for line in lines if line["event"] == "request"}) == 8 * 500


def test_a_worker_that_is_killed_takes_no_line_with_it(aws: Aws, start_service: StartService) -> None:
    """`kill -9` the moment the last answer is read: no line waited in the process for anything."""
    partner, service = client(), start_service()
    aws.enroll(partner, "acme")
    (worker,) = workers_of(service)

    with connection(service, partner) as opened:
        answered = [opened.get().document["request_id"] for _ in range(20)]
        os.kill(worker, signal.SIGKILL)

    assert [service.event("request", request_id=each)["decision"] for each in answered] == ["answered"] * 20
