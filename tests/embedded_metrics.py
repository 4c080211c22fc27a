"""
What CloudWatch takes for embedded metrics, as a check of one line.

Written from the Amazon CloudWatch user guide, "Specification: Embedded metric
format", with its JSON schema; the form of a histogram from what AWS's own
senders write (the exporter `awsemf` of the OpenTelemetry collector, the class
`Histogram` of aws-embedded-metrics-java).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_METRICS: Final = 100
MAX_DIMENSIONS: Final = 30
MAX_VALUES: Final = 100
MAX_EVENT_BYTES: Final = 256 * 1024
"""The guide has said 1 MB since; the smaller holds everywhere."""
MAX_DIMENSION_VALUE: Final = 1024
MAX_NAME: Final = 255
_AMOUNTS: Final = (
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
)
_OTHERS: Final = ("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None")
UNITS: Final = frozenset({*_OTHERS, *_AMOUNTS, *(f"{amount}/Second" for amount in _AMOUNTS)})
_HISTOGRAM: Final = {"Values", "Counts", "Max", "Min", "Count", "Sum"}


@dataclass(frozen=True)
class Published:
    """One metric of a line, as CloudWatch will know it."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    unit: str
    value: Any


def published(line: Mapping[str, Any]) -> Iterator[Published]:
    """Give every metric of a line, none if it is about something else; fails where CloudWatch would not take it."""
    emf = line.get("_aws")
    if emf is None:
        return
    assert isinstance(emf["Timestamp"], int)
    assert emf["CloudWatchMetrics"]
    for directive in emf["CloudWatchMetrics"]:
        assert 0 < len(directive["Namespace"]) <= MAX_NAME
        assert not directive["Namespace"].startswith((":", "AWS/"))
        assert 0 < len(directive["Metrics"]) <= MAX_METRICS
        assert directive["Dimensions"]
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, _dimension(line, name)) for name in names)
            assert len(names) == len(dimensions) <= MAX_DIMENSIONS
            for metric in directive["Metrics"]:
                assert 0 < len(metric["Name"]) <= MAX_NAME
                assert metric["Unit"] in UNITS
                assert metric.get("StorageResolution", 60) in (1, 60)
                value = _target(line[metric["Name"]])
                yield Published(directive["Namespace"], metric["Name"], dimensions, metric["Unit"], value)


def _dimension(line: Mapping[str, Any], name: str) -> str:
    value = line[name]
    assert isinstance(value, str)
    assert not name.startswith(":")
    assert 0 < len(value) <= MAX_DIMENSION_VALUE
    assert value.isascii()
    assert value.isprintable()
    assert value.strip()
    return value


def _target(value: Any) -> Any:
    if isinstance(value, dict):
        assert set(value) == _HISTOGRAM
        assert 0 < len(value["Values"]) == len(value["Counts"]) <= MAX_VALUES
        assert sum(value["Counts"]) == value["Count"]
        assert all(value["Min"] <= each <= value["Max"] for each in value["Values"])
    for each in _numbers(value):
        assert isinstance(each, int | float)
        assert not isinstance(each, bool)
        # What MetricDatum takes (API reference): no NaN, no infinity, at most 2 to the 360th.
        assert abs(each) <= 2.0**360
    return value


def _numbers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in _numbers(part)]
    if isinstance(value, list):
        assert 0 < len(value) <= MAX_VALUES
        return value
    return [value]
