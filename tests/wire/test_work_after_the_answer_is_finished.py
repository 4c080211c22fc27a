"""What an application does after its answer has the drain's time too, and no more."""

from __future__ import annotations

import asyncio
import threading
from http import HTTPStatus

import pytest

from service.endpoints.asgi import Application, Receive, Scope, Send, answer
from service.settings import Limits
from tests.wire.doorstep import open_doorstep, open_tls

LIMITS = Limits(linger_seconds=0.2)


def going_on(seconds: float, done: threading.Event) -> Application:
    """Answer at once, and work on."""

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, HTTPStatus.OK, {})
        await asyncio.sleep(seconds)
        done.set()

    return application


@pytest.mark.parametrize(("seconds", "is_done"), [(0.3, True), (60, False)], ids=["in time", "too long"])
def test_it_is_finished_if_it_ends_in_time(seconds: float, is_done: bool) -> None:  # noqa: FBT001 -- a table
    done = threading.Event()
    with open_doorstep(LIMITS, application=going_on(seconds, done), drain_seconds=1) as doorstep:
        opened = open_tls(doorstep)
        assert opened.get().status == 200
        opened.close()

    assert done.is_set() is is_done
