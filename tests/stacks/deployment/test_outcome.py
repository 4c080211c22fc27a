"""A run ends with the exit code of its worst stack."""

from __future__ import annotations

import pytest

from stacks.deployment.outcome import EnvironmentOutcome, Result, StackOutcome


def outcome(*results: Result, refused_with: int = 5) -> EnvironmentOutcome:
    return EnvironmentOutcome(
        tuple(StackOutcome(f"s{n}", f"s{n}", result, refused_with=refused_with) for n, result in enumerate(results))
    )


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((Result.CREATED, Result.UPDATED, Result.UNCHANGED), 0),
        ((Result.CREATED, Result.WAITING), 11),
        ((Result.ROLLED_BACK, Result.SKIPPED, Result.WAITING), 6),
        ((Result.ROLLED_BACK, Result.STUCK), 7),
        ((Result.REFUSED, Result.WAITING), 5),
        ((Result.REFUSED, Result.ROLLED_BACK), 6),
        ((Result.DELETED, Result.ABSENT), 0),
    ],
)
def test_the_worst_stack_decides(results: tuple[Result, ...], code: int) -> None:
    assert outcome(*results).exit_code == code
