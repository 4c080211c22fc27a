"""One timer serves all the deadlines of a connection, however often they are moved."""

from __future__ import annotations

import asyncio
import time

import uvloop

from service.connection.deadline import Deadline


def run(*, moves: int, seconds: float, clear: bool = False) -> tuple[float | None, str]:
    """Move a deadline now and then, and wait for what comes; after how long, and which it was."""
    came: list[tuple[float, str]] = []

    async def walk() -> None:
        loop = asyncio.get_running_loop()
        deadline, began = Deadline(loop), time.monotonic()
        for number in range(moves + 1):
            deadline.set(seconds, lambda number=number: came.append((time.monotonic() - began, str(number))))  # type: ignore[misc]
            if number < moves:
                await asyncio.sleep(seconds / 2)
        if clear:
            deadline.clear()
        await asyncio.sleep(seconds * 2)
        deadline.close()

    uvloop.run(walk())
    return came[0] if came else (None, "nothing")


def test_what_was_set_last_comes_and_nothing_else() -> None:
    after, which = run(moves=4, seconds=0.1)

    assert which == "4"
    assert after is not None
    assert 0.28 < after < 0.5


def test_what_was_cleared_does_not_come() -> None:
    assert run(moves=1, seconds=0.05, clear=True) == (None, "nothing")


def test_an_earlier_one_takes_the_place_of_a_later_one() -> None:
    came: list[str] = []

    async def walk() -> None:
        deadline = Deadline(asyncio.get_running_loop())
        deadline.set(60, lambda: came.append("late"))
        deadline.set(0.02, lambda: came.append("early"))
        await asyncio.sleep(0.08)
        deadline.set(60, lambda: came.append("cut"))
        deadline.cut_to(0.02)
        await asyncio.sleep(0.08)
        deadline.cut_to(0.01)
        await asyncio.sleep(0.03)
        deadline.close()

    uvloop.run(walk())

    assert came == ["early", "cut"]
