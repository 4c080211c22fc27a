"""
The way of a stack from what it has to what it shall be, and back if a step fails.

1. Every resource in dependency order: made, updated, replaced or left alone.
2. Forward: the outputs, then the cleanup of what was removed or replaced.
3. Or back, from the last step to the first: updated ones are set back,
   replaced ones give place to the old, new ones are removed.

A journal holds a step for every resource that was begun, so that the way back
knows exactly what was done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

from stacks.local_cloud.engine.difference import Way, decide_way
from stacks.local_cloud.engine.errors import TemplateError
from stacks.local_cloud.engine.resource_life import StoppedError
from stacks.local_cloud.engine.state import Intention, Output, ResourceState, Stack
from stacks.local_cloud.engine.template import ResourceDeclaration, dependencies
from stacks.local_cloud.engine.workshop import Workshop
from stacks.local_cloud.row import ResourceFailedError, Row

_REPLACING: Final = "Requested update requires the creation of a new physical resource; hence creating one."

_CANCELLED: Final = {"CREATE": "Resource creation cancelled", "UPDATE": "Resource update cancelled"}


class StackFailedError(Exception):
    """A step failed; the text names the resources as the stack's event does."""


@dataclass(slots=True)
class Step:
    """One resource on its way."""

    way: Way | None
    """None: it is new."""
    state: ResourceState
    before: ResourceState | None
    changed: frozenset[str] = frozenset()
    is_touched: bool = False
    """Whether the row was called: only then there is something to undo."""

    @property
    def verb(self) -> str:
        """What the events call it."""
        return "CREATE" if self.before is None else "UPDATE"


class Advance:
    """One way of one stack; `run` once, then `clean_up` or `undo`."""

    def __init__(self, workshop: Workshop, stack: Stack, intention: Intention) -> None:
        self._workshop, self._stack, self._intention = workshop, stack, intention
        self._expressions = workshop.expressions(stack, intention)
        self._lives = workshop.lives_of(stack)
        self._active = intention.template.active(self._expressions.conditions)
        self._names = workshop.names(stack, intention.tags, self._active)
        self._journal: dict[str, Step] = {}

    def run(self) -> dict[str, Output]:
        """
        Carry every resource forward and resolve the outputs.

        Raises:
            StackFailedError: A resource or an output failed; those begun beside it are cancelled.
            StoppedError: Nothing more is to be done, also not back.
        """
        sorter = TopologicalSorter(dependencies(self._active))
        sorter.prepare()
        begun: deque[str] = deque()
        while sorter.is_active():
            for name in sorter.get_ready():
                self._begin(name, begun)
                begun.append(name)
            name = begun.popleft()
            self._carry_out(name, begun)
            sorter.done(name)
        try:
            return self._expressions.outputs(self._names)
        except (TemplateError, ResourceFailedError) as error:
            raise StackFailedError(f"The outputs failed: {error}") from error

    def superseded(self) -> list[ResourceState]:
        """Give what is to be removed after success: resources that left the template, and the replaced ones."""
        gone = [state for name, state in self._stack.resources.items() if name not in self._active]
        replaced = [step.before for step in self._journal.values() if step.way is Way.REPLACE and step.before]
        return [*gone, *replaced]

    def undo(self, old: Intention) -> Iterator[ResourceState]:
        """
        Go back step by step, and yield what was made and has to be removed.

        Raises:
            StackFailedError: Something could not be set back.
        """
        for name, step in reversed(self._journal.items()):
            if step.before is None:
                yield step.state
                continue
            self._stack.resources[name] = step.before
            if step.is_touched:
                self._set_back(step, step.before, old)
                if step.way is Way.REPLACE:
                    yield step.state

    def _begin(self, name: str, begun: deque[str]) -> None:
        declared, before = self._active[name], self._stack.resources.get(name)
        try:
            step = self._new(declared) if before is None else self._changed(declared, before)
        except (TemplateError, ResourceFailedError) as error:
            state = before or ResourceState(declared, {}, {})
            self._stack.resources[name] = state
            step = self._journal[name] = Step(Way.NOTHING if before else None, state, before and before.copied())
            self._fail(step, error, begun)
        self._journal[name] = step
        self._stack.resources[name] = step.state
        if step.way is not Way.NOTHING:
            reason = _REPLACING if step.way is Way.REPLACE else None
            self._stack.set_resource_status(step.state, f"{step.verb}_IN_PROGRESS", reason)

    def _new(self, declared: ResourceDeclaration) -> Step:
        properties, shown = self._resolved(declared)
        return Step(None, ResourceState(declared, properties, shown), None)

    def _changed(self, declared: ResourceDeclaration, before: ResourceState) -> Step:
        properties, shown = self._resolved(declared)
        row, schema = self._workshop.row(declared.type), self._workshop.schema(declared.type)
        decision = decide_way(row, schema, before.properties, properties)
        way, changed = decision.way, decision.properties
        if way is not Way.REPLACE and self._tags_differ() and schema.tag_property in _settable(row):
            way, changed = Way.IN_PLACE, changed | {str(schema.tag_property)}
        state = ResourceState(declared, properties, shown, status=before.status, changed_at=before.changed_at)
        if way is Way.REPLACE:
            state.memory = {"generation": before.memory.get("generation", 0) + 1}
        else:
            kept = before.copied()
            state.physical_id, state.memory, state.attributes = kept.physical_id, kept.memory, kept.attributes
        return Step(way, state, before, changed)

    def _tags_differ(self) -> bool:
        return self._stack.intention is not None and self._stack.intention.tags != self._intention.tags

    def _resolved(self, declared: ResourceDeclaration) -> tuple[dict[str, Any], dict[str, Any]]:
        schema = self._workshop.schema(declared.type)
        plain, masked = (
            schema.normalize(self._expressions.properties(declared.logical_id, self._names, masked=masked))
            for masked in (False, True)
        )
        faults = schema.faults(plain)
        if faults:
            raise ResourceFailedError(f"Properties validation failed: {'; '.join(faults)}")
        return plain, masked

    def _carry_out(self, name: str, begun: deque[str]) -> None:
        step = self._journal[name]
        if self._workshop.lives.stopping.is_set() or self._stack.interrupted.is_set():
            raise StoppedError
        if step.way is Way.NOTHING:
            return
        step.is_touched = True
        facts = self._workshop.facts(self._stack, self._intention.tags, name)
        try:
            if step.way is Way.IN_PLACE and step.before is not None:
                self._lives.update(facts, step.state, previous=step.before.properties, changed=step.changed)
            else:
                self._lives.create(facts, step.state, on_made=lambda: self._say_made(step))
        except ResourceFailedError as error:
            self._fail(step, error, begun)
        self._stack.set_resource_status(step.state, f"{step.verb}_COMPLETE")

    def _say_made(self, step: Step) -> None:
        self._stack.set_resource_status(step.state, f"{step.verb}_IN_PROGRESS", "Resource creation Initiated")

    def _fail(self, step: Step, error: Exception, begun: deque[str]) -> None:
        """Write the failure, and that what had begun beside it is cancelled; always raises."""
        self._stack.set_resource_status(step.state, f"{step.verb}_FAILED", str(error))
        for name in begun:
            other = self._journal[name]
            if other.way is not Way.NOTHING:
                self._stack.set_resource_status(other.state, f"{other.verb}_FAILED", _CANCELLED[other.verb])
        failed = [step.state.logical_id, *(name for name in begun if self._journal[name].way is not Way.NOTHING)]
        raise StackFailedError(
            f"The following resource(s) failed to {step.verb.lower()}: [{', '.join(failed)}]."
        ) from error

    def _set_back(self, step: Step, before: ResourceState, old: Intention) -> None:
        """Make a touched resource what it was; what it learned of itself on the way stays known."""
        if step.way is not Way.IN_PLACE:
            self._stack.set_resource_status(before, "UPDATE_COMPLETE")
            return
        before.physical_id, before.memory = step.state.physical_id, step.state.memory
        self._stack.set_resource_status(before, "UPDATE_IN_PROGRESS")
        facts = self._workshop.facts(self._stack, old.tags, before.logical_id)
        try:
            self._lives.update(facts, before, previous=step.state.properties, changed=step.changed)
        except ResourceFailedError as error:
            self._stack.set_resource_status(before, "UPDATE_FAILED", str(error))
            raise StackFailedError(f"The following resource(s) failed to update: [{before.logical_id}].") from error
        self._stack.set_resource_status(before, "UPDATE_COMPLETE")


def _settable(row: Row) -> set[str]:
    """Name what a row sets in place; where tags are not among it, the type bears none in the embedded cloud."""
    return {name for setting in row.settings for name in setting.properties}


def in_deletion_order(states: list[ResourceState]) -> list[ResourceState]:
    """Sort so that each resource goes before those it refers to."""
    declared: Mapping[str, ResourceDeclaration] = {state.logical_id: state.declaration for state in states}
    order = list(TopologicalSorter(dependencies(declared)).static_order())
    return sorted(states, key=lambda state: order.index(state.logical_id), reverse=True)
