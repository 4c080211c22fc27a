"""
How a run ended, as values: stack by stack, and as one exit code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from stacks.deployment.readiness import Need


class Result(StrEnum):
    """How a stack's part of the run ended."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "absent"
    WAITING = "waiting"
    """It needs something the operator makes first."""
    REFUSED = "refused"
    """It was not started; it is as it was."""
    STILL_RUNNING = "still running"
    """We stopped waiting; AWS goes on."""
    ROLLED_BACK = "rolled back"
    STUCK = "stuck"
    SKIPPED = "skipped"
    """Something it needs did not come."""


_GOOD: Final = frozenset({Result.CREATED, Result.UPDATED, Result.UNCHANGED, Result.DELETED, Result.ABSENT})
_EXIT_CODES: Final[Mapping[Result, int]] = {
    Result.WAITING: 11,
    Result.STILL_RUNNING: 9,
    Result.ROLLED_BACK: 6,
    Result.STUCK: 7,
}
_BY_WEIGHT: Final = (7, 6, 1, 9, 5, 3, 11)
"""Which exit code wins when several stacks end badly: what needs a hand comes first, what only waits comes last."""


@dataclass(frozen=True, slots=True)
class StackOutcome:
    """How one stack's part of the run ended."""

    name: str
    stack_name: str
    result: Result
    message: str = ""
    """The cause of a failure, or what a skipped stack needs."""
    hint: str | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    refused_with: int = 1
    """The exit code of the error that refused it."""
    kept: tuple[str, ...] = ()
    """What a deleted stack left standing, because it holds state."""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Tell whether what needs this stack can go on."""
        return self.result in _GOOD

    @property
    def exit_code(self) -> int:
        """The exit code of a run in which only this went wrong."""
        if self.is_good or self.result is Result.SKIPPED:
            return 0
        return _EXIT_CODES.get(self.result, self.refused_with)

    def after(self, seconds: float) -> StackOutcome:
        """Note how long it took."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class EnvironmentOutcome:
    """How a run ended, in the order of deployment."""

    stacks: tuple[StackOutcome, ...]

    @property
    def exit_code(self) -> int:
        """The exit code of the run: that of its worst stack."""
        codes = {stack.exit_code for stack in self.stacks} - {0}
        return next((code for code in _BY_WEIGHT if code in codes), max(codes, default=0))

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the operator makes before the run can go on, each once."""
        return tuple(dict.fromkeys(need for stack in self.stacks for need in stack.needs))

    @property
    def outputs(self) -> dict[str, Mapping[str, str]]:
        """Outputs of every stack that stands, by its name."""
        return {stack.name: stack.outputs for stack in self.stacks if stack.outputs}
