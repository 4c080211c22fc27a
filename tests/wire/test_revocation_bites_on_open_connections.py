"""A revoked client is refused within the time that was set, on the connection it has open, and nobody else suffers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from service.contract import ClientState, Variable
from tests.certificates import Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import WAIT_SECONDS, Aws, Connection, Service, connection

MARGIN_SECONDS = 0.5
"""For the request itself, and for a busy machine."""


@dataclass
class Traffic:
    """
    One client that asks all the time on one connection.

    Attributes:
        answers: When each request was sent, and what it was answered: `answered` or the reason.
    """

    opened: Connection
    answers: list[tuple[float, str]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told otherwise."""
        while not self.is_over.wait(0.02):
            sent = time.monotonic()
            answer = self.opened.get()
            self.answers.append((sent, answer.document.get("reason", "answered")))

    def said_before(self, moment: float) -> set[str]:
        """What requests sent before a moment were answered."""
        return {said for sent, said in self.answers if sent < moment}

    def said_after(self, moment: float) -> set[str]:
        """What requests sent after a moment were answered."""
        return {said for sent, said in self.answers if sent > moment}


@contextmanager
def traffic(service: Service, identities: list[Identity]) -> Iterator[list[Traffic]]:
    """Have clients ask for the length of a block."""
    with ExitStack() as stack:
        asking = [Traffic(stack.enter_context(connection(service, each))) for each in identities]
        threads = [threading.Thread(target=each.run) for each in asking]
        for thread in threads:
            thread.start()
        try:
            yield asking
        finally:
            for each in asking:
                each.is_over.set()
            for thread in threads:
                thread.join()


def wait_until_answered(asking: list[Traffic]) -> None:
    """Wait until everybody has had an answer, so that one is kept for each."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not all(each.answers for each in asking):
        assert time.monotonic() < deadline, "somebody has no answer"
        time.sleep(0.02)


def revoke(aws: Aws, identity: Identity) -> tuple[float, float]:
    """Revoke a certificate and say when that began and when it was done."""
    began = time.monotonic()
    aws.enroll(identity, "acme", state=ClientState.REVOKED)
    return began, time.monotonic()


def test_with_no_time_at_all_the_very_next_request_is_refused(aws: Aws, start_service: StartService) -> None:
    service, partner = start_service(**{Variable.REVOCATION_SECONDS: "0"}), client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        before = opened.get()
        revoke(aws, partner)
        after = opened.get()

    assert (before.status, after.status, after.document["reason"]) == (200, 403, "revoked")


def test_it_bites_within_its_time_and_the_neighbor_notices_nothing(aws: Aws, start_service: StartService) -> None:
    service = start_service(**{Variable.REVOCATION_SECONDS: "1"})
    revoked, honest = client(), client()
    aws.enroll(revoked, "acme")
    aws.enroll(honest, "other")

    with traffic(service, [revoked, honest]) as (theirs, others):
        wait_until_answered([theirs, others])
        began, done = revoke(aws, revoked)
        time.sleep(1.5 + MARGIN_SECONDS)

    assert theirs.said_before(began - MARGIN_SECONDS) <= {"answered"}
    assert theirs.said_after(done + 1 + MARGIN_SECONDS) == {"revoked"}
    assert others.said_before(time.monotonic()) == {"answered"}


@pytest.mark.slow
def test_twenty_revocations_during_traffic_each_bite_in_time(aws: Aws, start_service: StartService) -> None:
    """With the times of production: no honest request fails, and no revoked one is answered after five seconds."""
    service = start_service(**{Variable.REVOCATION_SECONDS: "5", Variable.WORKERS: "2"})
    leaving, staying = [client() for _ in range(20)], [client() for _ in range(10)]
    for each in (*leaving, *staying):
        aws.enroll(each, "acme")

    with traffic(service, leaving + staying) as asking:
        wait_until_answered(asking)
        revoked_at = []
        for identity in leaving:
            revoked_at.append(revoke(aws, identity))
            time.sleep(0.5)
        time.sleep(5 + 2 * MARGIN_SECONDS)

    for theirs, (began, done) in zip(asking[:20], revoked_at, strict=True):
        assert theirs.said_before(began - MARGIN_SECONDS) <= {"answered"}
        assert theirs.said_after(done + 5 + MARGIN_SECONDS) == {"revoked"}
    for others in asking[20:]:
        assert others.said_before(time.monotonic()) == {"answered"}
        assert len(others.answers) > 50
