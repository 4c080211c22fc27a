"""No connection lasts for ever: it ends with the answer under way, and in the end in the middle of it."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

import pytest

from service.endpoints.asgi import Receive, Scope, Send, answer
from service.settings import Limits
from tests.wire.doorstep import open_doorstep, open_tls

LIMITS = Limits(connection_seconds=0.4, idle_seconds=10, head_seconds=10, linger_seconds=0.2)


async def take_your_time(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer after as many seconds as the path says."""
    await asyncio.sleep(float(scope["path"].removeprefix("/")))
    await answer(send, HTTPStatus.OK, {})


def test_an_idle_one_is_closed_with_close_notify() -> None:
    with open_doorstep(LIMITS) as doorstep:
        opened, began = open_tls(doorstep), time.monotonic()
        assert opened.get().status == 200

        assert opened.tls.recv(1) == b""
        assert 0.3 < time.monotonic() - began < 2
        opened.close()


def test_a_busy_one_is_told_in_its_last_answer() -> None:
    with open_doorstep(LIMITS, application=take_your_time) as doorstep:
        opened = open_tls(doorstep)
        assert "connection" not in opened.get("/0").headers

        answered = opened.get("/0.6")

        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert opened.tls.recv(1) == b""
        opened.close()


def test_an_answer_that_takes_as_long_again_is_cut_off() -> None:
    with open_doorstep(LIMITS, application=take_your_time) as doorstep:
        opened, began = open_tls(doorstep), time.monotonic()

        with pytest.raises(OSError, match=r"."):  # a reset, or TLS that ends without its own end
            opened.get("/30")

        assert 0.7 < time.monotonic() - began < 6
        opened.close()


def test_each_has_its_own_age() -> None:
    with open_doorstep(LIMITS) as doorstep:
        first = open_tls(doorstep)
        time.sleep(0.25)
        second = open_tls(doorstep)
        assert first.tls.recv(1) == b""

        assert second.get().status == 200
        first.close()
        second.close()
