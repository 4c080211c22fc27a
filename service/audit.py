"""
What happened, as events: one JSON line each, on the container's standard output.

A request gives one line, whatever became of it. So does a connection that
failed before HTTP, and each step of the service's own life. No line carries a
key, a token, a body or a whole certificate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

MAX_TEXT: Final = 512
"""Characters of one field; what a peer wrote is cut here."""

MAX_ESCAPED: Final = 1536
"""
Bytes of one field as JSON, where a character takes up to twelve.

Two fields of a line may be as long, a path and a client's name; the line stays
under the 4 KiB that a pipe takes whole.
"""

_LONGEST_ESCAPE: Final = len(json.dumps("\U0010ffff")) - len('""')

Field = str | int | float | None | tuple[str, ...]


class Event(StrEnum):
    """Every kind of line there is."""

    LISTENING = "listening"
    REQUEST = "request"
    PROXY_HEADER_REFUSED = "proxy_header_refused"
    HANDSHAKE_FAILED = "handshake_failed"
    CONNECTION_CUT = "connection_cut"
    WORKER_ENDED = "worker_ended"
    DRAINING = "draining"
    STOPPED = "stopped"


class Stream(Protocol):
    """Where lines go; standard output in the container."""

    def write(self, text: str, /) -> object:
        """Take one whole line."""

    def flush(self) -> object:
        """Hand it on now."""


class AuditLog:
    """
    Writes events, each with its time and the environment's name.

    One write and one flush a line: several processes share the stream, and a
    line must never be torn by another's.
    """

    def __init__(self, stream: Stream, *, environment: str, clock: Callable[[], datetime]) -> None:
        self._stream = stream
        self._environment = environment
        self._clock = clock

    def record(self, event: Event, **fields: Field) -> None:
        """Write one event; a field that is None is written as null, so that lines of a kind look alike."""
        moment = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"time": moment, "event": event, "environment": self._environment}
        line |= {name: _cut(value) if isinstance(value, str) else value for name, value in fields.items()}
        self._write(line)

    def embed(self, document: Mapping[str, object]) -> None:
        """Write a line that is no event: metrics in the form CloudWatch reads from a log."""
        self._write(document)

    def _write(self, line: Mapping[str, object]) -> None:
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._stream.flush()


def _cut(text: str) -> str:
    cut = text[:MAX_TEXT]
    while len(cut) * _LONGEST_ESCAPE > MAX_ESCAPED and len(json.dumps(cut)) > MAX_ESCAPED:
        cut = cut[: len(cut) * 3 // 4]
    return cut
