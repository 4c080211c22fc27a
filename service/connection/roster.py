"""
Who is connected to this worker, so that all can be told of an end.

Two things end connections from our side: a drain, and their age. Connections
stand in the order in which they came, so only the first of them is watched.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Guest(Protocol):
    """A connection, as far as its end is concerned."""

    began: float
    """When it was accepted, by the loop's clock."""

    def shutdown(self) -> None:
        """Finish what is under way, take nothing more, and close."""

    def abort(self) -> None:
        """End at once."""


class Roster:
    """
    The open connections of a worker.

    Args:
        connection_seconds: After this a connection is shut down, and after as long again cut off.
    """

    def __init__(self, connection_seconds: float) -> None:
        self._seconds = connection_seconds
        self._young: dict[Guest, None] = {}
        self._old: dict[Guest, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        """Count them."""
        return len(self._young) + len(self._old)

    def add(self, guest: Guest) -> None:
        """Take in a new connection; those that came before it are here already."""
        self._young[guest] = None
        self._empty.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(guest.began + self._seconds, self._on_age)

    def discard(self, guest: Guest) -> None:
        """Let go of one that has ended."""
        self._young.pop(guest, None)
        self._old.pop(guest, None)
        if not self:
            self._empty.set()

    def shut_down(self) -> None:
        """Have all end."""
        for guest in self._all():
            guest.shutdown()

    async def wait_until_empty(self, seconds: float) -> None:
        """Wait until all have ended, but no longer than this."""
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            return

    async def abort_all(self) -> int:
        """Cut off who is left, and give the loop the turn it needs to let go of it; returns how many."""
        left = self._all()
        for guest in left:
            guest.abort()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)
        return len(left)

    def _all(self) -> list[Guest]:
        return [*self._old, *self._young]

    def _on_age(self) -> None:
        """Shut down who has had the time of a connection, cut off who has had it twice, and wait for the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for guest in _older_than(self._old, now - 2 * self._seconds):
            guest.abort()
            self._old.pop(guest, None)
        for guest in _older_than(self._young, now - self._seconds):
            del self._young[guest]
            self._old[guest] = None
            guest.shutdown()
        moments = [guest.began + 2 * self._seconds for guest in _first(self._old)]
        moments += [guest.began + self._seconds for guest in _first(self._young)]
        self._timer = loop.call_at(min(moments), self._on_age) if moments else None


def _older_than(guests: dict[Guest, None], moment: float) -> list[Guest]:
    old = []
    for guest in guests:
        if guest.began > moment:
            break
        old.append(guest)
    return old


def _first(guests: dict[Guest, None]) -> list[Guest]:
    return [next(iter(guests))] if guests else []
