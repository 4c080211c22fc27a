"""A task that is not told how many workers to run has one for each processor it may use."""

from __future__ import annotations

from service.connection.processors import count_processors
from service.contract import Variable
from tests.wire.conftest import StartService
from tests.wire.stage import ask
from tests.wire.test_dead_worker_is_replaced import workers_of


def test_there_are_as_many_workers_as_processors(start_service: StartService) -> None:
    """How they are counted, and that a quota of the container counts, is shown by tests/service/test_processors.py."""
    service = start_service(**{Variable.WORKERS: ""})

    assert ask(service).status == 403
    assert service.listening["workers"] == count_processors()
    assert len(workers_of(service)) == count_processors()
