"""Taking resources away: in reverse order, as their policies allow, and honest about what stays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from stacks.local_cloud.engine.resource_life import StoppedError
from stacks.local_cloud.engine.state import ResourceState, Stack
from stacks.local_cloud.engine.template import dependencies
from stacks.local_cloud.engine.workshop import Workshop
from stacks.local_cloud.row import ResourceFailedError


class Occasion(StrEnum):
    """Why a resource goes: each occasion has its own policy."""

    CREATION_UNDONE = "the operation that created it is rolled back"
    LEFT = "it left the template or its stack is deleted"
    REPLACED = "a new one took its place"


def is_kept(state: ResourceState, occasion: Occasion, *, except_on_create: bool = False) -> bool:
    """
    Tell whether policy keeps a resource.

    Args:
        state: The resource.
        occasion: Why it would go.
        except_on_create: The request's RetainExceptOnCreate: Retain does not hold for what this operation created.
    """
    declared = state.declaration
    match occasion:
        case Occasion.CREATION_UNDONE:
            return declared.deletion_policy == "Retain" and not except_on_create
        case Occasion.LEFT:
            return declared.deletion_policy != "Delete"
        case Occasion.REPLACED:
            return declared.update_replace_policy != "Delete"


class Removal:
    """Removes resources of one stack and counts what failed."""

    def __init__(self, workshop: Workshop, stack: Stack, tags: Mapping[str, str]) -> None:
        self._workshop, self._stack, self._tags = workshop, stack, tags
        self._lives = workshop.lives
        self.failed: list[str] = []

    def remove(self, states: Iterable[ResourceState], *, kept: Collection[str] = ()) -> None:
        """
        Remove resources in the order given; what a failed one refers to is left, it would fail as well.

        Args:
            states: What shall go, dependents first.
            kept: Logical ids that policy or the request keeps.
        """
        listed = list(states)
        needed = dependencies({state.logical_id: state.declaration for state in listed})
        left: set[str] = set()
        for state in listed:
            if state.logical_id in left:
                left |= set(needed[state.logical_id])
            elif state.logical_id in kept:
                self._stack.set_resource_status(state, "DELETE_SKIPPED")
            elif not self._remove(state):
                left |= set(needed[state.logical_id])

    def _remove(self, state: ResourceState) -> bool:
        if self._workshop.lives.stopping.is_set():
            raise StoppedError
        self._stack.set_resource_status(state, "DELETE_IN_PROGRESS")
        facts = self._workshop.facts(self._stack, self._tags, state.logical_id)
        try:
            self._lives.delete(facts, state)
        except ResourceFailedError as error:
            self.failed.append(state.logical_id)
            self._stack.set_resource_status(state, "DELETE_FAILED", str(error))
            return False
        self._stack.set_resource_status(state, "DELETE_COMPLETE")
        return True
