"""
What the service measures, gathered in each worker and written as CloudWatch embedded metrics.

A line of the log that CloudWatch reads as metrics costs no call to AWS and
needs no right to make one (Amazon CloudWatch user guide, "Specification:
Embedded metric format"). docs/metrics.md says how to read each.

A counter is written as a total without any dimension but the environment, also
when it is zero, so that an alarm can tell "nothing happened" from "nothing was
heard"; and by its other dimensions where something was counted. Whatever peers
do, what is kept and what is written has a bound.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Final, Protocol

from service.audit import AuditLog
from service.contract import METRIC_NAMESPACE, Dimension, Metric

Dimensions = tuple[tuple[str, str], ...]
"""Pairs of name and value, in a fixed order; `environment` is added to every one."""

MAX_SERIES: Final = 1000
"""Of counters by their dimensions; our own words fill a tenth. Beyond it a counter counts in its total alone."""

MAX_CLIENTS: Final = 500
"""Clients with a metric of their own, those whose enrollments end soonest: each is one that CloudWatch charges for."""

MAX_DIMENSION_CHARACTERS: Final = 250

_LINES_AT_ONCE: Final = 25
"""About half a millisecond; then it is a peer's turn."""

UNITS: Final[Mapping[Metric, str]] = {
    Metric.HANDSHAKES: "Count",
    Metric.HANDSHAKES_FAILED: "Count",
    Metric.CONNECTIONS_REFUSED: "Count",
    Metric.CONNECTIONS_OPEN: "Count",
    Metric.REQUESTS: "Count",
    Metric.REQUESTS_FAILED: "Count",
    Metric.REFUSALS: "Count",
    Metric.LATENCY: "Milliseconds",
    Metric.SERVER_CERTIFICATE_DAYS: "None",
    Metric.CLIENT_CERTIFICATE_DAYS: "None",
    Metric.RELOAD_FAILURES: "Count",
    Metric.REGISTRY_ERRORS: "Count",
    Metric.KEY_SET_FAILURES: "Count",
    Metric.AUDIT_LINES_LOST: "Count",
}
"""In CloudWatch's words, which know no days (API reference, MetricDatum)."""

COUNTERS: Final[tuple[Metric, ...]] = tuple(
    metric for metric, unit in UNITS.items() if unit == "Count" and metric is not Metric.CONNECTIONS_OPEN
)
"""What is counted, and therefore written when it is zero."""


class Measures(Protocol):
    """What rooms that measure need of it."""

    def count(self, metric: Metric, **dimensions: str) -> None:
        """Add one."""

    def observe(self, metric: Metric, value: float) -> None:
        """Add one value."""


class Counter:
    """Counts one thing; whoever counts it for each request keeps it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        """Add one."""
        self.value += 1


class Metrics:
    """
    Counts and values since they were last written, and gauges read when they are written.

    Args:
        audit: Takes the lines, which name the environment.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._counters: dict[tuple[Metric, Dimensions], Counter] = {(metric, ()): Counter() for metric in COUNTERS}
        self._histograms: dict[Metric, Histogram] = {}
        self._gauges: dict[Metric, Callable[[], Mapping[Dimensions, float]]] = {}
        self._ends: dict[Metric, Callable[[], datetime]] = {}
        self._clients = ClientEnds()
        self._lost_before = 0

    def counter(self, metric: Metric, **dimensions: str) -> Counter:
        """Give the counter itself, for a path where the look-up of `count` would be felt."""
        key = (metric, tuple(dimensions.items()))
        found = self._counters.get(key)
        if found is None:
            if len(self._counters) >= MAX_SERIES:
                return self._counters[metric, ()]
            found = self._counters[key] = Counter()
        return found

    def count(self, metric: Metric, **dimensions: str) -> None:
        """Add one; the dimensions' values come from small sets, never from a peer."""
        found = self._counters.get((metric, tuple(dimensions.items()))) or self.counter(metric, **dimensions)
        found.value += 1

    def observe(self, metric: Metric, value: float) -> None:
        """Add one value."""
        self.histogram(metric).add(value)

    def histogram(self, metric: Metric) -> Histogram:
        """Give the histogram itself, for a path where the look-up of `observe` would be felt."""
        found = self._histograms.get(metric)
        if found is None:
            found = self._histograms[metric] = Histogram()
        return found

    def gauge(self, metric: Metric, read: Callable[[], Mapping[Dimensions, float]]) -> None:
        """Have a value read, by its dimensions, each time metrics are written."""
        self._gauges[metric] = read

    def days_left(self, metric: Metric, end: Callable[[], datetime]) -> None:
        """Have the days until a moment written each time; the moment is asked for anew, for it may move."""
        self._ends[metric] = end

    def saw_client(self, name: str, not_after: datetime) -> None:
        """Note that a client was let in, and when the enrollment that let it in ends."""
        self._clients.saw(name, not_after)

    async def keep_writing(
        self, every_seconds: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Write at once, for a process that has just started must not be silent, and then again and again."""
        while True:
            for number, document in enumerate(self._describe(clock()), start=1):
                self._audit.embed(document)
                if number % _LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(every_seconds)

    def write(self, at: datetime) -> None:
        """Write what was gathered and begin anew: one line for every set of dimensions."""
        for document in self._describe(at):
            self._audit.embed(document)

    def _describe(self, at: datetime) -> list[dict[str, object]]:
        milliseconds = int(at.timestamp() * 1000)
        lines = [_embed(milliseconds, dimensions, values) for dimensions, values in self._gather(at).items()]
        # Histograms in lines of their own: the published specification knows numbers and arrays; see docs/metrics.md.
        taken = {metric: histogram.take() for metric, histogram in self._histograms.items() if histogram.count}
        return lines + [_embed(milliseconds, (), {metric: values}) for metric, values in taken.items()]

    def _gather(self, at: datetime) -> dict[Dimensions, dict[Metric, object]]:
        lost, self._lost_before = self._audit.lines_lost - self._lost_before, self._audit.lines_lost
        totals = dict.fromkeys(COUNTERS, 0)
        totals[Metric.AUDIT_LINES_LOST] += lost
        lines: dict[Dimensions, dict[Metric, object]] = {(): {}}
        for (metric, dimensions), counter in self._counters.items():
            if counter.value:
                totals[metric] += counter.value
                lines.setdefault(dimensions, {})[metric] = counter.value
                counter.value = 0
        lines[()].update(totals)
        for metric, read in self._gauges.items():
            for dimensions, value in read().items():
                lines.setdefault(dimensions, {})[metric] = value
        for metric, end in self._ends.items():
            lines[()][metric] = _days(end(), at)
        for dimensions, not_after in self._clients.take(at):
            lines.setdefault(dimensions, {})[Metric.CLIENT_CERTIFICATE_DAYS] = _days(not_after, at)
        return lines


def _embed(milliseconds: int, dimensions: Dimensions, values: Mapping[Metric, object]) -> dict[str, object]:
    names = [Dimension.ENVIRONMENT, *(name for name, _ in dimensions)]
    directive = {
        "Namespace": METRIC_NAMESPACE,
        "Dimensions": [names],
        "Metrics": [{"Name": metric, "Unit": UNITS[metric]} for metric in values],
    }
    described = {name: _dimension_value(value) for name, value in dimensions}
    emf = {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}
    return {"_aws": emf, **described, **{str(metric): value for metric, value in values.items()}}


# -- latency ---------------------------------------------------------------------

BUCKETS: Final = 100
"""As many values as the format takes of one metric in one line."""
_SMALLEST: Final = 0.05
_LARGEST: Final = 100_000.0
_STEP: Final = (_LARGEST / _SMALLEST) ** (1 / (BUCKETS - 2))
"""Each bucket ends 16 % above the one before: a percentile is at most 8 % off."""
_BOUNDS: Final = tuple(_SMALLEST * _STEP**number for number in range(BUCKETS - 1))


class Histogram:
    """
    Counts values in buckets that grow by a constant factor: any number of values in one line and 100 numbers.

    Count, sum, least and greatest are exact.
    """

    __slots__ = ("_buckets", "_greatest", "_least", "_sum", "count")

    def __init__(self) -> None:
        self._buckets: list[int]
        self._least: float
        self._greatest: float
        self._clear()

    def add(self, value: float) -> None:
        """Add one value."""
        self._buckets[bisect_left(_BOUNDS, value)] += 1
        self.count += 1
        self._sum += value
        if value < self._least:  # noqa: PLR1730 -- min() and max() cost three times as much
            self._least = value
        if value > self._greatest:  # noqa: PLR1730
            self._greatest = value

    def take(self) -> dict[str, object]:
        """Give what was gathered, at least one value, and begin anew."""
        filled = [(self._middle(number), count) for number, count in enumerate(self._buckets) if count]
        taken: dict[str, object] = {
            "Values": [value for value, _ in filled],
            "Counts": [count for _, count in filled],
            "Max": self._greatest,
            "Min": self._least,
            "Count": self.count,
            "Sum": round(self._sum, 3),
        }
        self._clear()
        return taken

    def _clear(self) -> None:
        self._buckets = [0] * BUCKETS
        self.count = 0
        self._sum = 0.0
        self._least, self._greatest = math.inf, -math.inf

    def _middle(self, bucket: int) -> float:
        middle = float(f"{_SMALLEST * _STEP ** (bucket - 0.5):.4g}")
        return min(max(middle, self._least), self._greatest)


# -- clients in use ----------------------------------------------------------------


class ClientEnds:
    """
    When the enrollments of clients in use end, the soonest of each client.

    In use is who was let in today or yesterday, counted from the process's
    start; so a certificate that was replaced is forgotten within two days.
    """

    WINDOW: Final = timedelta(days=1)
    TOLD_EVERY: Final = timedelta(hours=1)
    """Days change slowly, and a line for each of 500 clients is much."""
    MAX_KNOWN: Final = 4 * MAX_CLIENTS
    """Of a registry of any size those whose enrollments end soonest are kept."""

    def __init__(self) -> None:
        self._today: dict[str, datetime] = {}
        self._yesterday: dict[str, datetime] = {}
        self._horizon = datetime.max.replace(tzinfo=UTC)
        self._began: datetime | None = None
        self._told: datetime | None = None

    def saw(self, name: str, not_after: datetime) -> None:
        """Note it; costs a look into a dictionary."""
        known = self._today.get(name, self._horizon)
        if not_after < known:
            self._today[name] = not_after
            if len(self._today) > self.MAX_KNOWN:
                self._forget_the_latest()

    def take(self, at: datetime) -> Iterator[tuple[Dimensions, datetime]]:
        """Give the soonest end of all; once an hour, those of the clients too."""
        self._turn(at)
        if not self._today and not self._yesterday:
            return
        ends = self._today | {name: min(end, self._today.get(name, end)) for name, end in self._yesterday.items()}
        yield (), min(ends.values())
        if self._told is None or at - self._told >= self.TOLD_EVERY:
            self._told = at
            for name, end in sorted(ends.items(), key=itemgetter(1))[:MAX_CLIENTS]:
                yield ((Dimension.CLIENT, name),), end

    def _turn(self, at: datetime) -> None:
        if self._began is None:
            self._began = at
        elif at - self._began >= self.WINDOW:
            self._began, self._yesterday, self._today = at, self._today, {}
            self._horizon = datetime.max.replace(tzinfo=UTC)

    def _forget_the_latest(self) -> None:
        soonest = sorted(self._today.items(), key=itemgetter(1))[: self.MAX_KNOWN // 2]
        self._today = dict(soonest)
        # Whoever ends later than all that are kept would be forgotten again.
        self._horizon = soonest[-1][1]


def _days(end: datetime, at: datetime) -> float:
    return round((end - at) / timedelta(days=1), 3)


def _dimension_value(text: str) -> str:
    """Write a text as CloudWatch takes it: ASCII that can be seen, and not empty (API reference, Dimension)."""
    seen = "".join(each if each.isascii() and each.isprintable() else "?" for each in text[:MAX_DIMENSION_CHARACTERS])
    return seen.strip() or "?"
