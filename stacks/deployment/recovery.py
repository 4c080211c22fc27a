"""
What each stack status means for the next step.

Pure: a table over all of CloudFormation's stack statuses. A stack that holds
nothing is removed and made anew; one at rest is changed; one at work is
waited for; one that is stuck names the command that frees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from stacks.environment import LOCAL, Environment
from stacks.errors import DeploymentError


class Standing(StrEnum):
    """What can be done with a stack."""

    ABSENT = "absent"
    """It can be created."""
    EMPTY = "empty"
    """A first attempt left its name and nothing else; it is removed, then created."""
    AT_REST = "at rest"
    """It can be changed."""
    AT_WORK = "at work"
    """Somebody's change runs; wait for its end."""
    STUCK = "stuck"
    """Only a hand can free it."""


_STANDINGS: Final[Mapping[str, Standing]] = {
    "REVIEW_IN_PROGRESS": Standing.EMPTY,
    "CREATE_IN_PROGRESS": Standing.AT_WORK,
    "CREATE_FAILED": Standing.STUCK,
    "CREATE_COMPLETE": Standing.AT_REST,
    "ROLLBACK_IN_PROGRESS": Standing.AT_WORK,
    "ROLLBACK_FAILED": Standing.STUCK,
    "ROLLBACK_COMPLETE": Standing.EMPTY,
    "DELETE_IN_PROGRESS": Standing.AT_WORK,
    "DELETE_FAILED": Standing.STUCK,
    "DELETE_COMPLETE": Standing.ABSENT,
    "UPDATE_IN_PROGRESS": Standing.AT_WORK,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": Standing.AT_WORK,
    "UPDATE_COMPLETE": Standing.AT_REST,
    "UPDATE_FAILED": Standing.STUCK,
    "UPDATE_ROLLBACK_IN_PROGRESS": Standing.AT_WORK,
    "UPDATE_ROLLBACK_FAILED": Standing.STUCK,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Standing.AT_WORK,
    "UPDATE_ROLLBACK_COMPLETE": Standing.AT_REST,
    "IMPORT_IN_PROGRESS": Standing.AT_WORK,
    "IMPORT_COMPLETE": Standing.AT_REST,
    "IMPORT_ROLLBACK_IN_PROGRESS": Standing.AT_WORK,
    "IMPORT_ROLLBACK_FAILED": Standing.STUCK,
    "IMPORT_ROLLBACK_COMPLETE": Standing.AT_REST,
}

_WAY_OUT: Final[Mapping[str, str]] = {
    "CREATE_FAILED": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
    "DELETE_FAILED": "delete-stack",
    "UPDATE_FAILED": "rollback-stack",
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
    "IMPORT_ROLLBACK_FAILED": "continue-update-rollback",
}
"""Which call of CloudFormation frees a stack from each status it can be stuck in."""

SUCCEEDED: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
ROLLED_BACK: Final = frozenset({"ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"})


class StackStuckError(DeploymentError):
    """A stack is in a status that no deployment can leave by itself."""

    exit_code = 7

    def __init__(self, stack_name: str, status: str, environment: Environment) -> None:
        hint = way_out(stack_name, status, environment)
        super().__init__(f"{stack_name} is {status} and cannot be changed", hint=hint)
        self.stack_name = stack_name
        self.status = status


def standing(status: str | None) -> Standing:
    """Say what can be done with a stack; None is one that does not exist, and an unknown status is left alone."""
    return Standing.ABSENT if status is None else _STANDINGS.get(status, Standing.STUCK)


def way_out(stack_name: str, status: str, environment: Environment) -> str:
    """Name the command that frees a stuck stack."""
    if environment.name == LOCAL:
        return "the embedded cloud frees no stack: end make local with Ctrl-C and start it again"
    call = _WAY_OUT.get(status, "describe-stacks")
    return f"aws cloudformation {call} --stack-name {stack_name} --region {environment.region}"
