"""A server certificate is replaced while the service serves, and no connection is lost for it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from service.contract import Metric, Variable
from tests.certificates import YESTERDAY, Authority, Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import Aws, Connection, Service, connection, running, variables


@pytest.fixture(scope="module")
def own_bucket(aws: Aws, server: Identity) -> str:
    """A bucket whose pair these tests replace."""
    name = aws.bucket("reloading")
    aws.install(name, server)
    return name


@pytest.fixture(scope="module")
def reloading(aws: Aws, own_bucket: str, authority: Authority) -> Iterator[Service]:
    """A service that looks for another pair every second."""
    looks = {Variable.RELOAD_SECONDS: "1", Variable.METRICS_SECONDS: "1"}
    with running(variables(aws, own_bucket, **looks), trust=authority.pem) as started:
        yield started


def leaf(opened: Connection) -> str:
    """Say which certificate the service showed."""
    return hashlib.sha256(opened.tls.getpeercert(binary_form=True) or b"").hexdigest()


def test_new_connections_get_the_new_pair_and_open_ones_go_on(
    aws: Aws, own_bucket: str, authority: Authority, reloading: Service
) -> None:
    with connection(reloading) as before:
        renewed = authority.server()
        aws.install(own_bucket, renewed)
        reloading.event("certificate_reloaded", certificate=renewed.fingerprint)
        with connection(reloading) as after:
            assert leaf(after) == renewed.fingerprint
            assert after.get().status == 403
        assert before.get().status == 403


def test_a_broken_pair_leaves_the_old_one_serving_and_says_so(
    aws: Aws, own_bucket: str, authority: Authority, reloading: Service
) -> None:
    with connection(reloading) as opened:
        served = leaf(opened)

    aws.install(own_bucket, authority.server(not_after=YESTERDAY))

    line = reloading.event("certificate_reload_failed", certificate=served)
    assert line["cause"].startswith("the server certificate is not usable: expired at ")
    assert reloading.event("metrics", **{Metric.RELOAD_FAILURES: 1})
    with connection(reloading) as opened:
        assert leaf(opened) == served

    renewed = authority.server()
    aws.install(own_bucket, renewed)
    reloading.event("certificate_reloaded", certificate=renewed.fingerprint, replaced=served)


def test_a_replaced_worker_serves_the_pair_in_force_and_not_that_of_the_boot(
    aws: Aws, empty_bucket: str, authority: Authority, server: Identity, start_service: StartService
) -> None:
    """It is forked by the parent, which knows only the pair it booted with."""
    aws.install(empty_bucket, server)
    service = start_service(**{Variable.CERTIFICATE_BUCKET: empty_bucket, Variable.RELOAD_SECONDS: "3600"})
    renewed = authority.server()
    aws.install(empty_bucket, renewed)
    children = subprocess.run(  # noqa: S603 -- no input from outside
        ["ps", "-o", "pid=", "--ppid", str(service.process.pid)],  # noqa: S607 -- the system's
        capture_output=True,
        text=True,
        check=True,
    )

    os.kill(int(children.stdout), signal.SIGKILL)

    service.event("certificate_reloaded", certificate=renewed.fingerprint)
    with connection(service) as opened:
        assert leaf(opened) == renewed.fingerprint


# -- the proof ---------------------------------------------------------------------


@dataclass(slots=True)
class Traffic:
    """
    An enrolled client that asks and asks until it is told to stop.

    Attributes:
        is_kept: On one connection; otherwise on a new one each time.
        leaves: Every server certificate that it saw.
    """

    service: Service
    identity: Identity
    is_kept: bool
    stopping: threading.Event
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    leaves: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Ask; what is not answered with 200 is a failure."""
        while not self.stopping.is_set():
            try:
                with connection(self.service, self.identity) as opened:
                    self.leaves.add(leaf(opened))
                    self._ask(opened)
                    while self.is_kept and not self.stopping.is_set():
                        self._ask(opened)
            except OSError as error:
                self.failures.append(repr(error))

    def _ask(self, opened: Connection) -> None:
        answer = opened.get()
        if answer.status == 200:
            self.answered += 1
        else:
            self.failures.append(str(answer.document))


@pytest.fixture
def traffic(aws: Aws, reloading: Service) -> Iterator[list[Traffic]]:
    """Two clients with new connections and two with one each; stopped by the test or at its end."""
    partner = client()
    aws.enroll(partner, "acme")
    stopping = threading.Event()
    clients = [Traffic(reloading, partner, is_kept, stopping) for is_kept in (False, False, True, True)]
    threads = [threading.Thread(target=each.run) for each in clients]
    for thread in threads:
        thread.start()
    yield clients
    stopping.set()
    for thread in threads:
        thread.join(10)


@pytest.mark.slow
def test_twenty_rotations_under_traffic_fail_no_request(
    aws: Aws, own_bucket: str, authority: Authority, reloading: Service, traffic: list[Traffic]
) -> None:
    with connection(reloading) as opened:
        rotated = {leaf(opened)}
    for _ in range(20):
        renewed = authority.server()
        aws.install(own_bucket, renewed)
        reloading.event("certificate_reloaded", certificate=renewed.fingerprint)
        rotated.add(renewed.fingerprint)
        # Until each of those who connect anew has seen it.
        deadline = time.monotonic() + 10
        while not all(renewed.fingerprint in each.leaves for each in traffic[:2]) and time.monotonic() < deadline:
            time.sleep(0.02)
    traffic[0].stopping.set()

    assert [each.failures for each in traffic] == [[], [], [], []]
    assert all(each.leaves == rotated for each in traffic[:2])
    assert all(len(each.leaves) == 1 for each in traffic[2:])
    assert all(each.answered > 100 for each in traffic)
