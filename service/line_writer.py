"""
Whole lines to a descriptor, one system call each, and never a wait for whoever reads them.

A pipe takes a line of at most `PIPE_BUF` bytes whole or not at all, also from
several processes at once (pipe(7)), so no worker tears another's line. What a
full pipe or a full disk does not take waits here, in order and within a bound,
and is tried again every few milliseconds; the answers go on meanwhile. What
goes over the bound is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
import time
from collections import deque
from typing import Final

_log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 4096
"""With its newline: PIPE_BUF of Linux, the most that a pipe takes whole (pipe(7))."""

MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
"""About 9,000 lines of each worker: a second at its full rate, in which a reader that was held up comes back."""

RETRY_SECONDS: Final = 0.01
PATIENCE_SECONDS: Final = 0.1
"""How long a process without an event loop waits for a full pipe; the listener's own rare lines."""


class LineWriter:
    """
    Writes lines to a descriptor, which it makes non-blocking if somebody reads at its other end.

    For one thread; made before a fork, used on both sides of it.
    """

    def __init__(self, descriptor: int, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._descriptor = descriptor
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._is_dropping = False
        self._is_trying_again = False
        self._told: int | None = None
        mode = os.fstat(descriptor).st_mode
        # A file has no reader to wait for; a terminal belongs to the shell too, which does not expect the change.
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)

    def write(self, line: str) -> int:
        """
        Take one line, of ASCII and with its newline.

        Returns:
            How many lines were lost, this one or those that waited, and not told of before.
        """
        data = line.encode("ascii")
        try:
            if self._waiting and not self._send_waiting():
                self._keep(data)
            elif (sent := self._send(data)) < len(data):
                self._keep(data[sent:], is_begun=sent > 0)
        except BrokenPipeError:
            self._give_up()
            self._lost += 1
        return self._take_lost() if self._lost else 0

    def finish(self, seconds: float) -> int:
        """Write what waits, for at most so long; returns how many lines were lost, and not told of before."""
        deadline = time.monotonic() + seconds
        try:
            while not self._send_waiting() and (left := deadline - time.monotonic()) > 0:
                self._wait(min(left, RETRY_SECONDS))
        except BrokenPipeError:
            pass
        self._give_up()
        return self._take_lost()

    def _send(self, data: bytes) -> int:
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            # The pipe is full: nothing was taken.
            return 0
        except OSError as error:
            self._tell(error)
            if isinstance(error, BrokenPipeError):
                raise
            # The disk is full: nothing was taken here either.
            return 0
        self._told = None
        return sent

    def _tell(self, error: OSError) -> None:
        """Say it where it can be said, once until a line was written again."""
        if error.errno != self._told:
            self._told = error.errno
            fate = "all are lost" if isinstance(error, BrokenPipeError) else "what waits beyond 4 MiB is lost"
            _log.error("audit lines cannot be written to standard output: %s; %s", error.strerror, fate)

    def _send_waiting(self) -> bool:
        """Write what waits until no more is taken; says whether nothing waits any longer."""
        while self._waiting:
            data = self._waiting[0]
            sent = self._send(data)
            self._waiting_bytes -= sent
            if sent < len(data):
                self._waiting[0] = data[sent:]
                return False
            self._waiting.popleft()
        # Only now: with a reader that is slow and not stuck, there would be a hole after every line.
        self._is_dropping = False
        return True

    def _keep(self, data: bytes, *, is_begun: bool = False) -> None:
        """Let it wait; what was begun is kept over the bound too, or the next line would be glued to it."""
        self._is_dropping |= self._waiting_bytes + len(data) > self._max_waiting_bytes
        if self._is_dropping and not is_begun:
            self._lost += 1
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if not self._is_trying_again:
            self._try_again_later()

    def _try_again_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._lost += self.finish(PATIENCE_SECONDS)
            return
        self._is_trying_again = True
        loop.call_later(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._is_trying_again = False
        try:
            if not self._send_waiting():
                self._try_again_later()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        """Nobody will read what waits."""
        self._lost += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _take_lost(self) -> int:
        lost, self._lost = self._lost, 0
        return lost

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(seconds * 1000)
