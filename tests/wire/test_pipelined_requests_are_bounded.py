"""Requests sent before the answers to earlier ones wait in a queue, and the queue has an end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from service.endpoints.asgi import Receive, Scope, Send, answer
from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep, open_tls

LIMITS = Limits(idle_seconds=5, linger_seconds=0.5)


async def tell_path(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer the path, as slowly as a registry would."""
    await asyncio.sleep(0.01)
    await answer(send, HTTPStatus.OK, {"path": scope["path"]})


@pytest.fixture(scope="module")
def doorstep() -> Iterator[Doorstep]:
    with open_doorstep(LIMITS, application=tell_path) as opened:
        yield opened


def test_a_few_are_answered_in_their_order(doorstep: Doorstep) -> None:
    opened = open_tls(doorstep)

    opened.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number for number in range(17)))

    assert [opened.answer().document["path"] for _ in range(17)] == [f"/{number}" for number in range(17)]
    opened.close()


def test_a_flood_ends_the_connection_and_takes_no_memory(doorstep: Doorstep) -> None:
    """Thirty bytes of request cost us more than a kilobyte while it waits; no certificate is needed to send it."""
    opened = open_tls(doorstep)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with contextlib.suppress(OSError):
        for _ in range(20):
            opened.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 7_000)

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 1024
    assert doorstep.reasons()[-1] == "More than 16 requests wait for their answers."
    opened.close()
