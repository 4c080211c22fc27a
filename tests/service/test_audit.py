"""One line for each thing that happened: whole, safe to read, as documented."""

from __future__ import annotations

import ast
import json
import re
import time
import timeit
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.audit import ALWAYS, SCHEMA, AuditLog, ConnectionFacts, Event
from service.line_writer import MAX_LINE_BYTES
from tests.audit_lines import fields_of, is_of, read_line

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 12, 0, 0, 7999, UTC)
FACTS = ConnectionFacts(
    "192.0.2.7", 51514, None, "ab" * 32, "TLSv1.3", "TLS_AES_128_GCM_SHA256", None, ("self_signed",)
)
REQUEST: dict[str, Any] = {
    "request_id": "0" * 32,
    "decision": "answered",
    "reason": None,
    "cause": None,
    "status": 200,
    "client": "acme",
    "method": "GET",
    "path": "/",
    "duration_ms": 0.732,
}


class Output(list[str]):
    """Keeps the lines; loses those it is told to."""

    fates: Sequence[int] = ()
    waiting = 0

    def write(self, line: str) -> int:
        """Keep one, or lose it."""
        lost, *self.fates = self.fates or [0]
        if not lost:
            self.append(line)
        return lost

    def finish(self, _seconds: float) -> int:
        """Say how many lines nobody took."""
        return self.waiting


class Nowhere(Output):
    """Keeps nothing."""

    def write(self, _line: str) -> int:
        """Forget one."""
        return 0


def audit_to(output: Output, at: datetime = NOW) -> AuditLog:
    """Make a log whose time stands still."""
    return AuditLog(output, environment="staging", clock=at.timestamp)


# -- the line ------------------------------------------------------------------------


def test_a_line_says_when_what_and_where_first() -> None:
    output = Output()

    audit_to(output).record(Event.DRAINING, connections=3)

    assert output == [
        '{"time":"2026-11-23T12:00:00.007Z","event":"draining","environment":"staging","connections":3}\n'
    ]


def test_times_are_utc_whatever_the_clock_says() -> None:
    output = Output()

    audit_to(output, NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))).record(Event.DRAINING, connections=3)

    assert json.loads(output[0])["time"] == "2026-11-23T12:00:00.007Z"


def test_each_second_has_its_own_time() -> None:
    output, times = Output(), iter(NOW + timedelta(milliseconds=350 * number) for number in range(4))
    audit = AuditLog(output, environment="staging", clock=lambda: next(times).timestamp())

    for _ in range(4):
        audit.record(Event.DRAINING, connections=0)

    assert [json.loads(line)["time"][17:] for line in output] == ["00.007Z", "00.357Z", "00.707Z", "01.057Z"]


def test_a_field_that_is_not_given_is_null() -> None:
    output = Output()

    audit_to(output).record(Event.REQUEST, request_id="1")

    assert list(json.loads(output[0])) == list(fields_of(Event.REQUEST))
    assert json.loads(output[0])["reason"] is None


LETTERS = st.characters() | st.characters(categories=["Cs", "Cc", "Zl"])
TEXT = st.builds(lambda text, times: text * times, st.text(LETTERS, max_size=8), st.sampled_from([1, 20, 100]))


@settings(max_examples=50)
@given(st.fixed_dictionaries({name: st.none() | TEXT for name in SCHEMA[Event.REQUEST]}))
@example(dict.fromkeys(SCHEMA[Event.REQUEST], "\U0010ffff" * 600))
@example(dict.fromkeys(SCHEMA[Event.REQUEST], "\0" * 600))
@example(dict.fromkeys(SCHEMA[Event.REQUEST], '"' * 600))
@example(dict.fromkeys(SCHEMA[Event.REQUEST], "\ud800" * 600))
@example(dict.fromkeys(SCHEMA[Event.REQUEST], ("\x7f" * 600,) * 9))
def test_whatever_a_field_holds_a_line_is_one_line_of_printable_ascii_that_a_pipe_takes_whole(
    fields: dict[str, Any],
) -> None:
    output = Output()

    audit_to(output).record(Event.REQUEST, **fields)

    assert len(output) == 1
    assert re.fullmatch(r"[ -~]+\n", output[0])
    assert len(output[0]) <= MAX_LINE_BYTES
    # What a strict reader refuses, and Python does not: half of a surrogate pair (RFC 8259, section 8.2).
    json.dumps(json.loads(output[0]), ensure_ascii=False).encode()


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {
            "request_id": st.text("0123456789abcdef", min_size=32, max_size=32),
            "decision": st.sampled_from(["answered", "refused", "failed"]),
            "reason": st.none() | st.sampled_from(["expired", "revoked"]),
            "cause": st.none() | TEXT,
            "status": st.none() | st.integers(100, 599),
            "client": st.none() | TEXT,
            "method": st.sampled_from(["GET", "M-SEARCH"]),
            "path": TEXT,
            "duration_ms": st.floats(0, 1e9).map(lambda value: round(value, 3)),
        }
    ),
    st.builds(
        ConnectionFacts,
        peer_address=TEXT,
        peer_port=st.integers(0, 65535),
        vpc_endpoint=st.none() | TEXT,
        fingerprint=st.none() | TEXT,
        tls_version=TEXT,
        cipher=TEXT,
        group=st.none() | TEXT,
        verify_errors=st.lists(TEXT, max_size=9).map(tuple),
    ),
)
def test_the_fast_way_writes_what_the_slow_one_does(fields: dict[str, Any], facts: ConnectionFacts) -> None:
    fast, slow = Output(), Output()

    audit_to(fast).request(facts, **fields)
    audit_to(slow).record(Event.REQUEST, **fields, **facts._asdict())

    assert fast == slow


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('/"}\n{"event":"request","decision":"answered"', '/"}\n{"event":"request","decision":"answered"'),
        ("/\x1b[2J\x1b[31mred", "/\x1b[2J\x1b[31mred"),
        ("/\r\n\x00\x7f\x85\u2028\u202e", "/\r\n\x00\x7f\x85\u2028\u202e"),
        ("/\ud800\udc00\udfff", "/\U00010000\ufffd"),
        ("/" + "x" * 600, "/" + "x" * 511),
    ],
    ids=["a line of its own", "a terminal's orders", "ends and directions", "half a character", "too much"],
)
def test_what_a_peer_wrote_stays_within_its_field(written: str, found: str) -> None:
    output = Output()

    audit_to(output).request(FACTS, **REQUEST | {"path": written})

    assert len(output) == 1
    assert re.fullmatch(r"[ -~]+\n", output[0])
    assert json.loads(output[0])["path"] == found
    assert json.loads(output[0])["decision"] == "answered"


@pytest.mark.slow
def test_a_line_costs_less_than_the_bare_json_of_it_would() -> None:
    """Most of it was written before: what does not change within a second, a connection, an environment."""
    audit, document = audit_to(Nowhere()), {**REQUEST, **FACTS._asdict()}

    ours, bare = (
        min(timeit.repeat(run, timer=time.process_time, number=5000, repeat=5))
        for run in (lambda: audit.request(FACTS, **REQUEST), lambda: json.dumps(document))
    )

    assert ours < bare


# -- what is lost ----------------------------------------------------------------------


def test_the_first_line_after_a_loss_is_followed_by_one_that_tells_of_it() -> None:
    output = Output()
    audit = audit_to(output)
    output.fates = [1, 1, 1]
    for number in range(5):
        audit.record(Event.DRAINING, connections=number)

    lines = [read_line(line) for line in output]

    assert [line.get("connections") for line in lines] == [3, None, 4]
    assert (lines[1]["event"], lines[1]["lines"]) == ("audit_lines_lost", 3)
    assert audit.lines_lost == 3


def test_a_line_about_a_loss_that_is_lost_itself_comes_later() -> None:
    output = Output()
    audit = audit_to(output)
    output.fates = [1, 0, 1, 0, 0]  # a line is lost; one is written, the word of the loss is not; then both are
    for number in range(3):
        audit.record(Event.DRAINING, connections=number)

    assert [read_line(line).get("lines") for line in output] == [None, None, 2]


def test_what_is_lost_at_the_end_standard_error_tells(caplog: pytest.LogCaptureFixture) -> None:
    output = Output()
    output.waiting = 7

    audit_to(output).finish()

    assert "7 audit lines were lost" in caplog.text


# -- the schema, the code and the document ------------------------------------------------


def test_every_event_has_a_schema() -> None:
    assert set(SCHEMA) == set(Event)


def recorded() -> Iterator[tuple[str, Event, set[str]]]:
    """Find every place of the service that records an event, with the fields it gives."""
    for path in sorted((ROOT / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                for argument in node.args:
                    if isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "Event":
                        fields = {keyword.arg for keyword in node.keywords if keyword.arg}
                        yield f"{path.name}:{node.lineno}", Event[argument.attr], fields


def test_the_code_gives_no_field_that_the_schema_does_not_know() -> None:
    unknown = {place: fields - set(SCHEMA[event]) for place, event, fields in recorded() if fields - set(SCHEMA[event])}

    assert unknown == {}


def test_every_event_is_recorded_somewhere() -> None:
    assert {event for _, event, _ in recorded()} == set(Event)


DOCUMENT = (ROOT / "docs" / "audit.md").read_text()
SECTIONS = {
    match[1]: match[2] for match in re.finditer(r"^### `(\w+)`\n(.*?)(?=^###? |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
}


def rows_of(section: str) -> list[list[str]]:
    """Read a table: field, type, unit, null when, meaning."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    return [[row[0].strip("`"), *row[1:]] for row in rows]


def test_the_document_has_every_event_in_the_order_of_the_code() -> None:
    assert list(SECTIONS) == [event.value for event in Event]


@pytest.mark.parametrize("event", list(Event))
def test_the_document_has_every_field_with_its_type(event: Event) -> None:
    rows = rows_of(SECTIONS[event])

    assert {row[0]: row[1] for row in rows} == SCHEMA[event]
    assert [row[0] for row in rows] == list(SCHEMA[event])
    for _, kind, _, null_when, meaning in rows:
        assert bool(null_when) == kind.endswith(" or null")
        assert meaning


def test_the_document_has_the_fields_of_every_line() -> None:
    section = DOCUMENT.partition("## Every line\n")[2].partition("\n## ")[0]

    assert {row[0]: row[1] for row in rows_of(section)} == ALWAYS


@pytest.mark.parametrize("event", list(Event))
def test_the_examples_of_the_document_are_lines_as_the_service_writes_them(event: Event) -> None:
    (examples,) = re.findall(r"```json\n(.*?\n)```", SECTIONS[event], re.DOTALL)

    assert {read_line(line)["event"] for line in examples.splitlines(keepends=True)} == {event.value}


def test_the_document_knows_no_other_types() -> None:
    for kinds in SCHEMA.values():
        for kind in kinds.values():
            assert not is_of(kind, object())
