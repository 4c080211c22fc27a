"""What is measured reaches CloudWatch in the form it reads, whatever peers do."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.audit import AuditLog
from service.contract import METRIC_NAMESPACE, Dimension, Metric
from service.line_writer import MAX_LINE_BYTES
from service.metrics import BUCKETS, COUNTERS, MAX_CLIENTS, MAX_SERIES, UNITS, ClientEnds, Metrics
from tests.embedded_metrics import Published, published

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Output(list[str]):
    """Keeps the lines."""

    lost = 0

    def write(self, line: str) -> int:
        """Keep one; says how many were lost, as told to."""
        self.append(line)
        lost, self.lost = self.lost, 0
        return lost

    def finish(self, _seconds: float) -> int:
        """Nothing waits here."""
        return 0


class Stage:
    """Metrics, and what they write."""

    def __init__(self) -> None:
        self.output = Output()
        self.audit = AuditLog(self.output, environment="staging", clock=NOW.timestamp)
        self.metrics = Metrics(self.audit)

    def write(self, at: datetime = NOW) -> list[Published]:
        """Write, and give what CloudWatch would make of it."""
        self.output.clear()
        self.metrics.write(at)
        assert all(len(line) <= MAX_LINE_BYTES for line in self.output)
        return [each for line in self.output for each in published(json.loads(line))]

    def values(self, at: datetime = NOW) -> dict[tuple[str, ...], Any]:
        """Write, and give the values by name and dimensions other than the environment."""
        found = {}
        for each in self.write(at):
            others = sorted(value for name, value in each.dimensions if name != Dimension.ENVIRONMENT)
            key = (each.name, *others)
            assert key not in found
            found[key] = each.value
        return found


def test_every_metric_is_in_our_namespace_by_environment_and_has_its_unit() -> None:
    stage = Stage()
    stage.metrics.observe(Metric.LATENCY, 1.5)
    stage.metrics.count(Metric.HANDSHAKES, tls_version="TLSv1.3", group="X25519MLKEM768")

    found = stage.write()

    assert {each.namespace for each in found} == {METRIC_NAMESPACE}
    assert all((Dimension.ENVIRONMENT, "staging") in each.dimensions for each in found)
    assert {each.unit for each in found if each.name == Metric.LATENCY} == {"Milliseconds"}
    assert all(each.unit == UNITS[Metric(each.name)] for each in found)


def test_every_metric_has_a_unit() -> None:
    assert set(UNITS) == set(Metric)


def test_what_never_happened_is_written_as_zero() -> None:
    """An alarm tells "nothing happened" from "nothing was heard"."""
    values = Stage().values()

    assert values == {(metric,): 0 for metric in COUNTERS}


def test_a_count_is_written_by_its_dimensions_and_as_a_total() -> None:
    stage = Stage()
    for reason in ("expired", "revoked", "expired"):
        stage.metrics.count(Metric.REFUSALS, reason=reason)

    values = stage.values()

    assert values[Metric.REFUSALS, "expired"] == 2
    assert values[Metric.REFUSALS, "revoked"] == 1
    assert values[Metric.REFUSALS,] == 3


def test_a_counter_kept_for_a_hot_path_is_the_same() -> None:
    stage = Stage()
    kept = stage.metrics.counter(Metric.REQUESTS, decision="answered")
    kept.add()
    stage.metrics.count(Metric.REQUESTS, decision="answered")

    assert stage.values()[Metric.REQUESTS, "answered"] == 2
    kept.add()
    assert stage.values()[Metric.REQUESTS, "answered"] == 1


def test_each_line_tells_what_came_since_the_last() -> None:
    stage = Stage()
    stage.metrics.count(Metric.REGISTRY_ERRORS)
    stage.metrics.observe(Metric.LATENCY, 3)
    first = stage.values()

    second = stage.values()

    assert (first[Metric.REGISTRY_ERRORS,], second[Metric.REGISTRY_ERRORS,]) == (1, 0)
    assert (Metric.LATENCY,) in first
    assert (Metric.LATENCY,) not in second


def test_the_number_of_series_is_bounded_and_the_total_still_right() -> None:
    stage = Stage()
    for number in range(2 * MAX_SERIES):
        stage.metrics.count(Metric.REFUSALS, reason=f"reason {number}")

    values = stage.values()

    assert len(values) <= MAX_SERIES
    assert values[Metric.REFUSALS,] == 2 * MAX_SERIES


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_latency_keeps_count_sum_and_extremes_exactly_and_the_rest_within_a_twelfth(values: list[float]) -> None:
    stage = Stage()
    for value in values:
        stage.metrics.observe(Metric.LATENCY, value)

    found = stage.values()[Metric.LATENCY,]

    assert (found["Count"], found["Min"], found["Max"]) == (len(values), min(values), max(values))
    assert math.isclose(found["Sum"], sum(values), abs_tol=0.01)
    spread = [value for value, count in zip(found["Values"], found["Counts"], strict=True) for _ in range(count)]
    for told, true in zip(sorted(spread), sorted(values), strict=True):
        assert math.isclose(told, true, rel_tol=1 / 12, abs_tol=0.05) or true > 100_000


def test_any_number_of_values_is_one_line() -> None:
    stage = Stage()
    for number in range(100_000):
        stage.metrics.observe(Metric.LATENCY, 0.01 * 1.0002**number)

    found = stage.values()[Metric.LATENCY,]

    assert len(found["Values"]) == BUCKETS
    assert found["Count"] == 100_000


def test_a_gauge_is_read_each_time() -> None:
    stage = Stage()
    readings = iter([3.0, 4.0])
    stage.metrics.gauge(Metric.CONNECTIONS_OPEN, lambda: {(): next(readings)})

    assert [stage.values()[Metric.CONNECTIONS_OPEN,] for _ in range(2)] == [3.0, 4.0]


@pytest.mark.parametrize(("days", "told"), [(30, 30.0), (0.5, 0.5), (-2, -2.0)])
def test_days_to_expiry_go_below_zero(days: float, told: float) -> None:
    stage = Stage()
    stage.metrics.days_left(Metric.SERVER_CERTIFICATE_DAYS, lambda: NOW + days * DAY)

    assert stage.values()[Metric.SERVER_CERTIFICATE_DAYS,] == told


def test_lost_lines_are_counted() -> None:
    stage = Stage()
    stage.output.lost = 3
    stage.metrics.write(NOW)

    assert stage.values()[Metric.AUDIT_LINES_LOST,] == 3
    assert stage.values()[Metric.AUDIT_LINES_LOST,] == 0


# -- clients -----------------------------------------------------------------------


def test_each_client_in_use_has_its_days_and_the_soonest_of_all_stands_alone() -> None:
    stage = Stage()
    for name, days in (("acme", 90), ("acme", 20), ("other", 40), ("acme", 60)):
        stage.metrics.saw_client(name, NOW + days * DAY)

    values = stage.values()

    assert values[Metric.CLIENT_CERTIFICATE_DAYS, "acme"] == 20
    assert values[Metric.CLIENT_CERTIFICATE_DAYS, "other"] == 40
    assert values[Metric.CLIENT_CERTIFICATE_DAYS,] == 20


def test_the_soonest_of_all_is_told_each_time_and_each_client_once_an_hour() -> None:
    stage = Stage()
    stage.metrics.saw_client("acme", NOW + 20 * DAY)
    told = [
        sorted(key[1:] for key in stage.values(NOW + minutes) if key[0] == Metric.CLIENT_CERTIFICATE_DAYS)
        for minutes in (timedelta(0), timedelta(minutes=1), timedelta(hours=1))
    ]

    assert told == [[(), ("acme",)], [()], [(), ("acme",)]]


def test_a_certificate_that_was_replaced_is_forgotten_within_two_days() -> None:
    stage = Stage()
    stage.metrics.saw_client("acme", NOW + 5 * DAY)
    stage.write(NOW)
    told = []
    for days in (1, 2):
        stage.metrics.saw_client("acme", NOW + 400 * DAY)
        told.append(stage.values(NOW + days * DAY)[Metric.CLIENT_CERTIFICATE_DAYS,])

    assert told == [4, 398]


def test_of_many_clients_those_that_end_soonest_are_kept_and_told() -> None:
    stage = Stage()
    for number in range(3 * ClientEnds.MAX_KNOWN):
        stage.metrics.saw_client(
            f"client-{number}", NOW + timedelta(minutes=number * 7919 % (3 * ClientEnds.MAX_KNOWN))
        )

    clients = {
        key[1]: value for key, value in stage.values().items() if key[0] == Metric.CLIENT_CERTIFICATE_DAYS and key[1:]
    }

    assert len(clients) == MAX_CLIENTS
    assert max(clients.values()) < MAX_CLIENTS / (24 * 60)


@given(st.text(max_size=600))
def test_any_name_of_a_client_makes_a_line_that_cloudwatch_takes(name: str) -> None:
    stage = Stage()
    stage.metrics.saw_client(name, NOW)

    assert len([each for each in stage.write() if each.name == Metric.CLIENT_CERTIFICATE_DAYS]) == 2


# -- again and again -----------------------------------------------------------------


def test_metrics_are_written_at_once_and_then_again_and_again() -> None:
    """A worker that has just started is not silent: silence of the certificate's days is an alarm."""
    stage = Stage()

    async def live_shortly() -> None:
        writing = asyncio.create_task(stage.metrics.keep_writing(0, clock=lambda: NOW))
        await asyncio.sleep(0)
        assert len(stage.output) == 1
        for _ in range(10):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(live_shortly())

    assert len(stage.output) >= 3


# -- the document ------------------------------------------------------------------------


def test_the_document_has_every_metric_with_its_kind_unit_and_dimensions() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]

    assert {row[0].strip("`"): row[2] for row in rows} == {metric.value: unit for metric, unit in UNITS.items()}
    assert {row[0].strip("`") for row in rows if row[1] == "counter"} == set(COUNTERS)
    named = {name.strip(" `") for row in rows for name in row[3].split(",") if name}
    assert named | {Dimension.ENVIRONMENT} == set(Dimension)
