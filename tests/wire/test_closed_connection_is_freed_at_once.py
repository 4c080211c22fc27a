"""A connection that has ended is gone, with the 40 KiB of its TLS; nobody has to come and collect it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest

from service.connection.tls import TlsConnection
from service.settings import Limits
from tests.wire.doorstep import Doorstep, open_doorstep, open_tls


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Leave what refers to itself where it is."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> int:
    """Count the connections in memory."""
    return sum(type(each) is TlsConnection for each in gc.get_objects())


def come_and_go(doorstep: Doorstep) -> None:
    """Ask and leave, as a client does."""
    connection = open_tls(doorstep)
    assert connection.get().status == 200
    connection.close()


@pytest.mark.usefixtures("without_collector")
def test_nothing_of_a_connection_waits_for_the_garbage_collector() -> None:
    with open_doorstep(Limits()) as doorstep:
        before = held()
        for _ in range(10):
            come_and_go(doorstep)

        deadline = time.monotonic() + 5
        while held() > before and time.monotonic() < deadline:
            time.sleep(0.01)

        assert held() == before
