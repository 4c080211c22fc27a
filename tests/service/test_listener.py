"""How fast a worker that dies is replaced."""

from __future__ import annotations

from service.connection.listener import (
    FIRST_RESTART_SECONDS,
    LONGEST_RESTART_SECONDS,
    STEADY_SECONDS,
    RestartDelay,
)


def test_the_wait_doubles_while_workers_die_young_up_to_a_bound() -> None:
    delay = RestartDelay()

    waits = [delay.after(lived_seconds=0.1) for _ in range(8)]

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert waits[-1] == LONGEST_RESTART_SECONDS


def test_a_worker_that_lived_long_is_replaced_soon() -> None:
    delay = RestartDelay()
    for _ in range(5):
        delay.after(lived_seconds=0.1)

    assert delay.after(lived_seconds=STEADY_SECONDS) == FIRST_RESTART_SECONDS
