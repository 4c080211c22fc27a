"""What docs/audit.md promises of a line, as a check of one."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from service.audit import ALWAYS, SCHEMA, Event
from service.line_writer import MAX_LINE_BYTES
from tests.embedded_metrics import published

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def read_line(line: str) -> dict[str, Any]:
    """Read one line of standard output; fails where it is not as documented."""
    assert len(line) <= MAX_LINE_BYTES
    assert line.endswith("}\n")
    assert re.fullmatch(r"[ -~]*\n", line), "printable ASCII alone"
    document: dict[str, Any] = json.loads(line)
    event = Event(document["event"])
    assert _TIME.fullmatch(document["time"])
    if event is Event.METRICS:
        assert list(document)[: len(ALWAYS)] == list(ALWAYS)
        assert list(published(document))
        return document
    assert list(document) == [*ALWAYS, *SCHEMA[event]], "these fields, in this order"
    unfit = {name: document[name] for name, kind in fields_of(event).items() if not is_of(kind, document[name])}
    assert unfit == {}, event
    return document


def fields_of(event: Event) -> dict[str, str]:
    """Give all fields of an event's lines, with their types."""
    return {**ALWAYS, **SCHEMA[event]}


def is_of(kind: str, value: Any) -> bool:
    """Tell whether a value is of a type, in the words of docs/audit.md."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "array of strings":
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        case "object":
            return isinstance(value, dict)
    kind, _, rest = kind.partition(" or ")
    assert rest == "null", kind
    return value is None or is_of(kind, value)
