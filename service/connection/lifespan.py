"""
The start and the end of the application behind the gate, as ASGI tells it (ASGI, lifespan 2.0).

One that does not know the lifespan raises or returns, and goes on without.
One that says it cannot start ends the service: it would fail again and again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from service.endpoints.asgi import Application, Message
from service.errors import ApplicationError

SHUTDOWN_SECONDS: Final = 2.0
"""For its last words; the parent kills a worker that takes 3 s more than lame duck and drain."""

_log = logging.getLogger(__name__)


class Lifespan:
    """
    One application's life in one worker.

    Args:
        state: Where it puts what it keeps for its requests; each has a copy in `scope["state"]`.
    """

    def __init__(self, application: Application, *, state: dict[str, Any]) -> None:  # Any: it is its own
        self._state = state
        self._application = application
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """
        Wait until it is ready.

        Raises:
            ApplicationError: It says that it cannot.
        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        task = self._task = asyncio.ensure_future(self._live(scope))
        answer = await self._tell("lifespan.startup")
        if answer is None:
            self._task = None
            if isinstance(error := task.exception(), ApplicationError):
                raise error
        elif answer["type"] == "lifespan.startup.failed":
            self._task.cancel()
            raise ApplicationError(cause=_last_line(answer.get("message", "")) or "it does not say why")

    async def _live(self, scope: dict[str, Any]) -> None:  # Any: as above
        try:
            await self._application(scope, self._told.get, self._heard.put)
        except SystemExit as error:
            # Out of a task it would end the loop, and the worker without a reason: its successors too, for ever.
            raise ApplicationError(cause=f"SystemExit: {error}") from error

    async def stop(self) -> None:
        """Let it end; whatever it says then changes nothing any more."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                answer = await self._tell("lifespan.shutdown")
        except TimeoutError:
            answer = None
        if answer is None or answer["type"] != "lifespan.shutdown.complete":
            _log.error("the application did not end well: %s", (answer or {}).get("message", "no answer"))
        self._task.cancel()

    async def _tell(self, what: str) -> Message | None:
        """Say one thing; returns the answer, or None if the application ended instead."""
        if self._task is None:
            return None
        self._told.put_nowait({"type": what})
        answering = asyncio.ensure_future(self._heard.get())
        await asyncio.wait({answering, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        answering.cancel()
        # Read, so that nobody complains that it never was: an application may say so that it knows no lifespan.
        self._task.exception()
        return None


def _last_line(text: str) -> str:
    """The exception's own line of a traceback, which is what Starlette says there."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
