"""
What the service measures, gathered in each worker and written as CloudWatch embedded metrics.

A line of the log that CloudWatch reads as metrics costs no call to AWS and
needs no right to make one (Amazon CloudWatch user guide, "Embedded metric
format specification").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Protocol

from service.audit import AuditLog
from service.contract import METRIC_NAMESPACE, Metric

Dimensions = tuple[tuple[str, str], ...]
"""Pairs of name and value, in a fixed order; `environment` is added to every one."""

MAX_VALUES: Final = 100
"""Values of one metric in one line (the specification's limit)."""


class Measures(Protocol):
    """What rooms that measure need of it."""

    def count(self, metric: Metric, **dimensions: str) -> None:
        """Add one."""

    def observe(self, metric: Metric, value: float) -> None:
        """Add one value."""


class Metrics:
    """
    Counts and values since the last line, and gauges read when a line is written.

    Args:
        audit: Takes the lines.
        environment: A dimension of every metric.
    """

    def __init__(self, audit: AuditLog, *, environment: str) -> None:
        self._audit = audit
        self._environment = environment
        self._counts: Counter[tuple[Metric, Dimensions]] = Counter()
        self._values: dict[Metric, list[float]] = {}
        self._gauges: dict[Metric, Callable[[], Mapping[Dimensions, float]]] = {}

    def count(self, metric: Metric, **dimensions: str) -> None:
        """Add one."""
        self._counts[metric, tuple(dimensions.items())] += 1

    def observe(self, metric: Metric, value: float) -> None:
        """Add one value."""
        self._values.setdefault(metric, []).append(value)

    def gauge(self, metric: Metric, read: Callable[[], Mapping[Dimensions, float]]) -> None:
        """Have a value read, by its dimensions, each time metrics are written."""
        self._gauges[metric] = read

    def write(self, at: datetime) -> None:
        """Write what was gathered and begin anew: one line for every set of dimensions."""
        lines: dict[Dimensions, dict[str, float | list[float]]] = {}
        for (metric, dimensions), count in self._counts.items():
            lines.setdefault(dimensions, {})[metric] = count
        for metric, values in self._values.items():
            lines.setdefault((), {})[metric] = values[:MAX_VALUES]
        for metric, read in self._gauges.items():
            for dimensions, value in read().items():
                lines.setdefault(dimensions, {})[metric] = value
        self._counts.clear()
        self._values.clear()
        for dimensions, values_by_name in lines.items():
            self._write_line(at, dimensions, values_by_name)

    def _write_line(self, at: datetime, dimensions: Dimensions, values: Mapping[str, float | list[float]]) -> None:
        names = ["environment", *(name for name, _ in dimensions)]
        directive = {
            "Namespace": METRIC_NAMESPACE,
            "Dimensions": [names],
            "Metrics": [{"Name": name} for name in values],
        }
        emf = {"Timestamp": int(at.timestamp() * 1000), "CloudWatchMetrics": [directive]}
        self._audit.embed({"_aws": emf, "environment": self._environment, **dict(dimensions), **values})
