"""
What the tasks say: handed on line by line, and put into CloudWatch Logs as awslogs would.

Bounded everywhere: a task that floods loses lines, never the machine.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

MAX_LINE_BYTES: Final = 16 * 1024
"""A longer line is cut into pieces, as docker's log drivers do."""
_MAX_WAITING_LINES: Final = 20_000
_MAX_BATCH: Final = 1_000
_BATCH_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line of a task's output."""

    task_id: str
    address: str
    stream: str
    """`stdout` or `stderr`."""
    text: str


@dataclass(frozen=True, slots=True)
class _LogEvent:
    group: str
    stream: str
    at_milliseconds: int
    text: str


OnOutput = Callable[[OutputLine], None]


class LogShipper:
    """
    Puts lines into CloudWatch Logs in batches, from a thread of its own.

    Args:
        logs: A boto3 client for `logs` of the embedded cloud.
    """

    def __init__(self, logs: Any) -> None:
        self._logs = logs
        self._waiting: queue.Queue[_LogEvent] = queue.Queue(_MAX_WAITING_LINES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ship, name="awslogs", daemon=True)

    def start(self) -> None:
        """Start shipping."""
        self._thread.start()

    def stop(self) -> None:
        """Ship what waits and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def open_stream(self, group: str, stream: str) -> None:
        """
        Create a task's stream.

        Raises:
            ClientError: The group does not exist.
        """
        self._logs.create_log_stream(logGroupName=group, logStreamName=stream)

    def put(self, group: str, stream: str, text: str) -> None:
        """Queue one line; a full queue drops it, as awslogs in non-blocking mode does."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(_LogEvent(group, stream, int(time.time() * 1000), text))

    def _ship(self) -> None:
        while not self._stopping.wait(_BATCH_SECONDS):
            self._ship_batch()
        self._ship_batch()

    def _ship_batch(self) -> None:
        batches: dict[tuple[str, str], list[_LogEvent]] = defaultdict(list)
        with contextlib.suppress(queue.Empty):
            for _ in range(_MAX_BATCH):
                event = self._waiting.get_nowait()
                batches[event.group, event.stream].append(event)
        for (group, stream), events in batches.items():
            # A group deleted under a running task loses its lines on AWS too.
            with contextlib.suppress(ClientError, BotoCoreError):
                self._logs.put_log_events(
                    logGroupName=group,
                    logStreamName=stream,
                    logEvents=[{"timestamp": event.at_milliseconds, "message": event.text} for event in events],
                )
