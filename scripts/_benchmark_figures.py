"""
Figures: what the benchmark says, how two servers are compared, and what may not be exceeded (pure).

Ours and the peers work in turn within each round, and a ratio is taken of each
round; the figure is the median of those. A machine that others use is slower
in one round than in the next, and that falls out of a round's own ratio while
it would stay in the ratio of two medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LIMITS: Final[Mapping[str, float]] = {
    "handshake_vs_node": 0.70,
    "handshake_vs_nginx": 1.45,
    "keepalive_vs_node": 1.25,
    "registry_1m_vs_1k": 1.15,
    "idle_memory_vs_node": 0.9,
    "boot_seconds": 1.0,
    "line_delay_ms": 100.0,
}
"""What each figure must not exceed; a figure without a limit is there to be read."""

_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; a value of None comes with the reason why there is none."""

    name: str
    value: float | None
    unit: str
    reason: str | None = None

    @property
    def limit(self) -> float | None:
        """What it must not exceed."""
        return LIMITS.get(self.name)

    @property
    def is_over(self) -> bool:
        """Whether it exceeds its limit; what was not measured does not."""
        return self.value is not None and self.limit is not None and self.value > self.limit

    def record(self) -> dict[str, object]:
        """Give the fields of its line of JSON."""
        value = None if self.value is None else round(self.value, _DIGITS)
        fields: dict[str, object] = {"type": "figure", "name": self.name, "value": value, "limit": self.limit}
        return fields | {"unit": self.unit} | ({"reason": self.reason} if self.reason else {})

    def show(self) -> str:
        """Give its line for people."""
        value = self.reason if self.value is None else f"{self.value:10.3f} {self.unit}"
        limit = "" if self.limit is None else f"  (limit {self.limit:g}{', exceeded' if self.is_over else ''})"
        return f"{self.name:28} {value}{limit}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A peer that is not there to be measured."""

    reason: str


Rounds = Sequence[float]
"""What one server cost in each round."""


def ratio(name: str, ours: Rounds, theirs: Rounds | Absent) -> Figure:
    """Compare what the same work cost in the same rounds."""
    if isinstance(theirs, Absent):
        return Figure(name, None, "ratio", reason=theirs.reason)
    return Figure(name, statistics.median(our / their for our, their in zip(ours, theirs, strict=True)), "ratio")


def median(name: str, values: Rounds | Absent, unit: str) -> Figure:
    """Give the middle of all rounds."""
    if isinstance(values, Absent):
        return Figure(name, None, unit, reason=values.reason)
    return Figure(name, statistics.median(values), unit)
