"""
What happened, as events: one JSON line each, on the container's standard output.

A request gives one line, whatever became of it. So does a connection that
failed before HTTP, and each step of the service's own life. No line carries a
key, a token, a header field, a query string, a body or a whole certificate.

`SCHEMA` says which fields an event has; docs/audit.md says what they mean. All
of a line is printable ASCII: what a peer wrote can neither end a line nor
reach the terminal of whoever reads it.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring_ascii as _as_json
from typing import Final, NamedTuple, Protocol

from service.line_writer import MAX_LINE_BYTES

_log = logging.getLogger(__name__)

MAX_TEXT: Final = 512
"""Characters of one field; what a peer wrote is cut here."""

MAX_ESCAPED: Final = 1536
"""
Bytes of one field as JSON, where a character takes up to twelve.

Two fields of a line may be as long, a path and a client's name; the line stays
under the 4 KiB that a pipe takes whole. Where more fields are as long, all are
cut to what fits.
"""

MAX_TEXTS: Final = 8
"""Members of an array; OpenSSL has no more to say of one chain."""

FINISH_SECONDS: Final = 1.0
"""How long a process that ends waits for the reader of its last lines."""

_CONNECTIONS: Final = 1024
"""Connections whose part of a request's line is kept, about 1 KiB each; it costs 3 us to write anew."""

_MILLISECONDS: Final = tuple(f".{number:03d}" for number in range(1000))

_SHORTER: Final = (MAX_ESCAPED, 256, 64)

_LONGEST_ESCAPE: Final = len(json.dumps("\U0010ffff")) - len('""')

Field = str | int | float | None | tuple[str, ...]


class Event(StrEnum):
    """Every kind of line there is."""

    LISTENING = "listening"
    REQUEST = "request"
    CONNECTION_REFUSED = "connection_refused"
    PROXY_HEADER_REFUSED = "proxy_header_refused"
    HANDSHAKE_FAILED = "handshake_failed"
    CONNECTION_CUT = "connection_cut"
    METRICS = "metrics"
    AUDIT_LINES_LOST = "audit_lines_lost"
    KEY_SET_TAKEN = "key_set_taken"
    KEY_SET_FAILED = "key_set_failed"
    CERTIFICATE_RELOADED = "certificate_reloaded"
    CERTIFICATE_RELOAD_FAILED = "certificate_reload_failed"
    WORKER_ENDED = "worker_ended"
    DRAINING = "draining"
    STOPPED = "stopped"


_TEXT: Final = "string"
_TEXT_OR_NULL: Final = "string or null"
_WHOLE: Final = "integer"
_WHOLE_OR_NULL: Final = "integer or null"
_NUMBER: Final = "number"
_TEXTS: Final = "array of strings"
_OBJECT: Final = "object"

ALWAYS: Final[Mapping[str, str]] = {"time": _TEXT, "event": _TEXT, "environment": _TEXT}
"""The first fields of every line."""

_OF_CONNECTION: Final[Mapping[str, str]] = {"reason": _TEXT, "peer_address": _TEXT, "peer_port": _WHOLE}

SCHEMA: Final[Mapping[Event, Mapping[str, str]]] = {
    Event.LISTENING: {
        "address": _TEXT,
        "traffic_port": _WHOLE,
        "health_port": _WHOLE,
        "workers": _WHOLE,
        "certificate": _TEXT,
        "certificate_not_after": _TEXT,
    },
    Event.REQUEST: {
        "request_id": _TEXT,
        "decision": _TEXT,
        "reason": _TEXT_OR_NULL,
        "cause": _TEXT_OR_NULL,
        "status": _WHOLE_OR_NULL,
        "client": _TEXT_OR_NULL,
        "method": _TEXT,
        "path": _TEXT,
        "duration_ms": _NUMBER,
        "peer_address": _TEXT,
        "peer_port": _WHOLE,
        "vpc_endpoint": _TEXT_OR_NULL,
        "fingerprint": _TEXT_OR_NULL,
        "tls_version": _TEXT,
        "cipher": _TEXT,
        "group": _TEXT_OR_NULL,
        "verify_errors": _TEXTS,
    },
    Event.CONNECTION_REFUSED: _OF_CONNECTION,
    Event.PROXY_HEADER_REFUSED: _OF_CONNECTION,
    Event.HANDSHAKE_FAILED: _OF_CONNECTION,
    Event.CONNECTION_CUT: _OF_CONNECTION,
    Event.METRICS: {"_aws": _OBJECT},
    Event.AUDIT_LINES_LOST: {"lines": _WHOLE},
    Event.KEY_SET_TAKEN: {"place": _TEXT, "keys": _TEXTS},
    Event.KEY_SET_FAILED: {"place": _TEXT, "cause": _TEXT},
    Event.CERTIFICATE_RELOADED: {"certificate": _TEXT, "certificate_not_after": _TEXT, "replaced": _TEXT},
    Event.CERTIFICATE_RELOAD_FAILED: {"cause": _TEXT, "certificate": _TEXT, "certificate_not_after": _TEXT},
    Event.WORKER_ENDED: {"worker": _WHOLE, "exit_code": _WHOLE, "restart_in_seconds": _NUMBER},
    Event.DRAINING: {"connections": _WHOLE},
    Event.STOPPED: {"connections_cut": _WHOLE},
}
"""Which fields follow, with their types in the words of docs/audit.md; lines of a kind have them all, in this order."""


class ConnectionFacts(NamedTuple):
    """What all requests of a connection have in common; the last fields of their lines."""

    peer_address: str
    peer_port: int
    vpc_endpoint: str | None
    fingerprint: str | None
    tls_version: str
    cipher: str
    group: str | None
    verify_errors: tuple[str, ...]


class Output(Protocol):
    """Where lines go; standard output in the container."""

    def write(self, line: str, /) -> int | None:
        """Take one whole line; says how many lines were lost, this one or others, that it did not tell of before."""

    def finish(self, seconds: float, /) -> int | None:
        """Write what waits, for at most so long; says how many lines were lost."""


class AuditLog:
    """
    Writes events, each with its time and the environment's name.

    Called before an answer's last byte is handed on, a line is with the kernel
    before that answer is whole: whatever ends the process, it was audited.

    Args:
        output: Takes the lines.
        environment: Stands in each.
        clock: Seconds since 1970 in UTC, as `time.time`; a `datetime` for each line would cost as much as its JSON.

    Attributes:
        lines_lost: Since the start, of this process.
    """

    def __init__(self, output: Output, *, environment: str, clock: Callable[[], float]) -> None:
        self.lines_lost = 0
        self._untold = 0
        self._output = output
        self._clock = clock
        self._second, self._until_second = -1, ""
        self._after_time = {event: f'Z","event":"{event}","environment":{_quote(environment)}' for event in Event}
        self._describe = functools.lru_cache(_CONNECTIONS)(_describe)

    def record(self, event: Event, **fields: Field) -> None:
        """Write one event; a field of its schema that is not given is null, so that lines of a kind look alike."""
        self._write(self._compose(event, fields))

    def request(  # noqa: PLR0913 -- one for each field; anything that carried them would cost as much as the line
        self,
        connection: ConnectionFacts,
        *,
        request_id: str,
        decision: str,
        reason: str | None,
        cause: str | None,
        status: int | None,
        client: str | None,
        method: str,
        path: str,
        duration_ms: float,
    ) -> None:
        """Write one request, as `record` would, at a fifth of its price; the path comes without its query."""
        line = (
            f'{self._begin(Event.REQUEST)},"request_id":{_as_json(request_id)},"decision":{_as_json(decision)}'
            f',"reason":{"null" if reason is None else _as_json(reason)}'
            f',"cause":{"null" if cause is None else _quote(cause)}'
            f',"status":{"null" if status is None else status}'
            f',"client":{"null" if client is None else _quote(client)}'
            f',"method":{_as_json(method)},"path":{_quote(path)},"duration_ms":{duration_ms}'
            f"{self._describe(connection)}}}\n"
        )
        if len(line) <= MAX_LINE_BYTES:
            self._write(line)
            return
        self.record(
            Event.REQUEST,
            request_id=request_id,
            decision=decision,
            reason=reason,
            cause=cause,
            status=status,
            client=client,
            method=method,
            path=path,
            duration_ms=duration_ms,
            **connection._asdict(),
        )

    def embed(self, document: Mapping[str, object]) -> None:
        """Write metrics, in the form CloudWatch reads from a log; of at most `MAX_METRICS_BYTES`."""
        self._write(f"{self._begin(Event.METRICS)},{json.dumps(document, separators=(',', ':'))[1:]}\n")

    def finish(self) -> None:
        """Write what waits for a slow reader, as the last thing a process does; standard error tells what was lost."""
        lost = self._untold + (self._output.finish(FINISH_SECONDS) or 0)
        self._untold = 0
        if lost:
            _log.error("%d audit lines were lost: standard output did not take them", lost)

    def _begin(self, event: Event) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second, self._until_second = second, datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f'{{"time":"{self._until_second}{_MILLISECONDS[int((now - second) * 1000)]}{self._after_time[event]}'

    def _compose(self, event: Event, fields: dict[str, Field]) -> str:
        whole = dict.fromkeys(SCHEMA[event]) | fields
        line = beginning = self._begin(event)
        for limit in _SHORTER:
            line = beginning + "".join(f',"{name}":{_render(value, limit)}' for name, value in whole.items()) + "}\n"
            if len(line) <= MAX_LINE_BYTES:
                break
        return line

    def _write(self, line: str) -> None:
        lost = self._output.write(line)
        if lost:
            self._note(lost)
        elif self._untold:
            untold, self._untold = self._untold, 0
            if lost := self._output.write(self._compose(Event.AUDIT_LINES_LOST, {"lines": untold})):
                self._untold = untold
                self._note(lost)

    def _note(self, lost: int) -> None:
        self.lines_lost += lost
        self._untold += lost


def _describe(connection: ConnectionFacts) -> str:
    address, port, vpc_endpoint, fingerprint, tls_version, cipher, group, verify_errors = connection
    return (
        f',"peer_address":{_quote(address)},"peer_port":{port}'
        f',"vpc_endpoint":{"null" if vpc_endpoint is None else _quote(vpc_endpoint)}'
        f',"fingerprint":{"null" if fingerprint is None else _quote(fingerprint)}'
        f',"tls_version":{_quote(tls_version)},"cipher":{_quote(cipher)}'
        f',"group":{"null" if group is None else _quote(group)}'
        f',"verify_errors":{_render(verify_errors, MAX_ESCAPED)}'
    )


def _render(value: Field, limit: int) -> str:
    if isinstance(value, str):
        return _quote(value, limit)
    if isinstance(value, tuple):
        return f"[{','.join(_quote(text, limit // MAX_TEXTS) for text in value[:MAX_TEXTS])}]"
    return json.dumps(value)


def _quote(text: str, limit: int = MAX_ESCAPED) -> str:
    """Write a text as a JSON string of printable ASCII, cut where it is too long."""
    if len(text) <= MAX_TEXT and len(text) * 2 <= limit and text.isascii() and text.isprintable():
        return _as_json(text)
    # A lone surrogate is no character; what reads the log may refuse the whole line for it (RFC 8259, section 8.2).
    cut = text[:MAX_TEXT].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    while len(cut) * _LONGEST_ESCAPE > limit and len(_escape(cut)) > limit:
        cut = cut[: len(cut) * 3 // 4]
    return _escape(cut)


def _escape(text: str) -> str:
    # JSON lets DEL stand as it is, a terminal does not.
    return _as_json(text).replace("\x7f", "\\u007f")
