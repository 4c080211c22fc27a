"""
One task's process: started in a group of its own, heard, and surely ended.

The group stands for the container: when its first process ends, whatever it
started ends too, as everything in a container ends with its process 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from stacks.local_cloud import watchdog
from stacks.local_cloud.task_output import MAX_LINE_BYTES

_STOP_SECONDS: Final = 5.0
_SIGNALED: Final = 128
"""A container ended by signal N has exit code 128 + N (docker, "docker run", exit status)."""

OnLine = Callable[[str, str], None]
"""Told which stream a line came from, and the line."""


class Watchdog:
    """Our end of the pipe to the process that ends the tasks should this one die; see `watchdog`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it outside our process group, so that Ctrl-C in a terminal leaves it alone."""
        self._process = subprocess.Popen(  # noqa: S603 - our own file, run by our own interpreter
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )

    def stop(self) -> None:
        """Let it end; what it still watches is killed."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def watch(self, group: int) -> None:
        """Put a process group in its care."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Take a process group out of its care."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody killed it; the tasks still run under our own eyes
                self._process.stdin.write(line.encode())


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run, where, and with which environment."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path


class TaskProcess:
    """
    A process that runs from construction on.

    Args:
        launch: What to run.
        watchdog: Keeps it from outliving this process.
        on_line: Told every line of its output, from threads of this object.
        on_exit: Called once when it has ended and all its output was told.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, launch: Launch, *, watchdog: Watchdog, on_line: OnLine, on_exit: Callable[[], None]) -> None:
        self.exit_code: int | None = None
        self._on_exit = on_exit
        self._watchdog = watchdog
        self._process = subprocess.Popen(  # noqa: S603 - the service of this working tree, or a test's own program
            list(launch.command),
            env=dict(launch.environment),
            cwd=launch.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        watchdog.watch(self._process.pid)
        streams = (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        self._readers = [
            threading.Thread(target=_read_lines, args=(name, stream, on_line), name=f"task-{name}", daemon=True)
            for name, stream in streams
        ]
        self._waiter = threading.Thread(target=self._wait, name="task-exit", daemon=True)
        for thread in (*self._readers, self._waiter):
            thread.start()

    @property
    def pid(self) -> int:
        """The first process of the group, whose number the group bears."""
        return self._process.pid

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the first process, as docker does; not by `Popen`, which would reap it here and not below."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group now."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def join(self, timeout: float) -> None:
        """Wait until it has ended and all its output was told."""
        self._waiter.join(timeout)

    def _wait(self) -> None:
        if sys.platform != "darwin":  # which has no waitid before Python 3.13
            # Not reaped yet, the first process keeps the group's number from being given away.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: nobody but the dead is left
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self._watchdog.forget(self._process.pid)
        for reader in self._readers:
            reader.join(_STOP_SECONDS)
        self.exit_code = code if code >= 0 else _SIGNALED - code
        self._on_exit()


def _read_lines(name: str, stream: IO[bytes], on_line: OnLine) -> None:
    with stream:
        while line := stream.readline(MAX_LINE_BYTES):
            on_line(name, line.rstrip(b"\r\n").decode("utf-8", "replace"))
