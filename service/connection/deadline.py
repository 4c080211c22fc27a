"""
One timer of a connection: moved with every request, and hardly ever fired.

A timer of the event loop that is made and cancelled for each request costs more
than the request's own bookkeeping. Here a move only notes the new moment; the
one timer beneath, when it fires too early, waits for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """What happens to a connection, and when, unless something comes first."""

    __slots__ = ("_armed_for", "_at", "_handle", "_loop", "_then")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at: float | None = None
        self._then: Callable[[], None] | None = None
        self._armed_for = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` after so many seconds, in place of what was set before."""
        at = self._loop.time() + seconds
        self._at, self._then = at, then
        if self._handle is not None and at < self._armed_for:
            self._handle.cancel()
            self._handle = None
        if self._handle is None:
            self._arm(at, seconds)

    def clear(self) -> None:
        """Call nothing; the timer beneath stays until it fires."""
        self._at = self._then = None

    def cut_to(self, seconds: float) -> None:
        """Bring what is set forward, if it is further away than so many seconds."""
        if self._at is not None and self._then is not None and self._at - self._loop.time() > seconds:
            self.set(seconds, self._then)

    def close(self) -> None:
        """Let go of the timer too; for the end of the connection."""
        self.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float, seconds: float) -> None:
        self._armed_for = at
        self._handle = self._loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._handle = None
        at, then = self._at, self._then
        if at is None or then is None:
            return
        left = at - self._loop.time()
        if left > 0:
            self._arm(at, left)
        else:
            self.clear()
            then()
