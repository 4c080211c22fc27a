"""
The life of one resource: made, set, waited for, changed, removed, through the row of its type.

Strictness lives here: a property nobody read fails the resource, and whatever
a row or its service raises becomes the reason of the event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from stacks.local_cloud.engine.difference import differences
from stacks.local_cloud.engine.state import ResourceState
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, Row, StackFacts

_FIRST_POLL_SECONDS: Final = 0.02
_LONGEST_POLL_SECONDS: Final = 0.5


class StoppedError(Exception):
    """The embedded cloud stops, or the stack is deleted under its own creation; nothing more is to be done."""


@dataclass(frozen=True, slots=True)
class ScriptedFailure:
    """
    One failure to come, once.

    It strikes at the worst moment: a creation or an update has been done in
    full when it fails, so that rolling back has something to undo.
    """

    logical_id: str
    on: str
    """`create`, `update` or `delete`."""
    reason: str = "this failure was scripted"
    stack: str | None = None
    """A stack's name; None is the first stack that has such a resource."""

    def __post_init__(self) -> None:
        """Refuse a moment that never comes."""
        if self.on not in {"create", "update", "delete"}:
            raise ValueError(f"a failure is scripted on create, update or delete, not on {self.on!r}")


@dataclass(slots=True)
class ResourceLives:
    """What the lives of all resources have in common."""

    rows: Mapping[str, Row]
    client: Callable[[str], Any]
    stabilization_seconds: float
    stopping: threading.Event
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set to give up waiting for one stack; `stopping` is for all of them."""
    failures: list[ScriptedFailure] = field(default_factory=list)

    def create(self, facts: StackFacts, state: ResourceState, *, on_made: Callable[[], None]) -> None:
        """
        Make a resource; its physical id is noted as soon as there is one.

        Args:
            facts: The stack as it is now.
            state: What to make; takes the physical id.
            on_made: Called once the resource exists, before it is set and waited for.

        Raises:
            ResourceFailedError: It could not be made as the template says. What
                the physical id names has to be deleted.
        """
        row, resource = self.rows[state.type], self._resource(facts, state)
        with _failing(state), self._remembered(state, resource):
            resource.physical_id = state.physical_id = row.create(resource)
            on_made()
            for setting in row.settings:
                setting.apply(resource)
            self._refuse_unread(state, resource.properties, frozenset(resource.properties.raw()))
            self._stabilize(row, resource)
            self._strike(facts, state, "create")

    def update(
        self, facts: StackFacts, state: ResourceState, *, previous: Mapping[str, Any], changed: frozenset[str]
    ) -> None:
        """
        Bring a resource in place to what its state says.

        Args:
            facts: The stack as it is now.
            state: Its `properties` are the ones to reach.
            previous: The properties it has now.
            changed: The properties that differ.

        Raises:
            ResourceFailedError: It could not be done, or was done in part.
        """
        row, resource = self.rows[state.type], self._resource(facts, state)
        resource.previous = Properties(previous)
        with _failing(state), self._remembered(state, resource):
            for setting in row.settings:
                if changed & set(setting.properties):
                    setting.apply(resource)
            self._refuse_unread(state, resource.properties, _new_parts(previous, state.properties, changed))
            self._stabilize(row, resource)
            self._strike(facts, state, "update")

    def delete(self, facts: StackFacts, state: ResourceState) -> None:
        """
        Remove a resource; one that never got a physical id is no more than forgotten.

        Raises:
            ResourceFailedError: It is still there.
        """
        with _failing(state):
            self._strike(facts, state, "delete")
            if state.physical_id:
                self.rows[state.type].delete(self._resource(facts, state))

    def ref(self, facts: StackFacts, state: ResourceState) -> Any:
        """Give what Ref gives."""
        row = self.rows[state.type]
        return self._asked(facts, state, "Ref", row.ref) if row.ref is not None else state.physical_id

    def attribute(self, facts: StackFacts, state: ResourceState, name: str) -> Any:
        """Give what Fn::GetAtt gives."""
        return self._asked(facts, state, name, self.rows[state.type].attributes[name])

    def _asked(self, facts: StackFacts, state: ResourceState, name: str, ask: Callable[[Resource], Any]) -> Any:
        if name not in state.attributes:
            with _failing(state):
                state.attributes[name] = ask(self._resource(facts, state))
        return state.attributes[name]

    def _resource(self, facts: StackFacts, state: ResourceState) -> Resource:
        return Resource(
            logical_id=state.logical_id,
            type=state.type,
            properties=Properties(state.properties),
            stack=facts,
            client=self.client,
            physical_id=state.physical_id,
            memory=state.memory,
        )

    @contextmanager
    def _remembered(self, state: ResourceState, resource: Resource) -> Iterator[None]:
        """Keep what the row notes even if it fails half-way: deleting needs it."""
        try:
            yield
        finally:
            state.physical_id, state.memory = resource.physical_id, resource.memory
            state.attributes = {}

    def _refuse_unread(self, state: ResourceState, properties: Properties, given: frozenset[str]) -> None:
        unread = sorted(path for path in properties.unread() if any(_is_within(path, name) for name in given))
        if unread:
            raise ResourceFailedError(
                f"{state.type}: the embedded cloud does not carry {', '.join(unread)}; nothing in its row read it"
            )

    def _stabilize(self, row: Row, resource: Resource) -> None:
        if row.is_stable is None:
            return
        deadline, pause = time.monotonic() + self.stabilization_seconds, _FIRST_POLL_SECONDS
        while not row.is_stable(resource):
            if time.monotonic() > deadline:
                raise ResourceFailedError(
                    f"Resource did not stabilize: {resource.type} {resource.physical_id} within "
                    f"{self.stabilization_seconds:g} seconds{_hindrance(row, resource)}"
                )
            if self.interrupted.is_set() or self.stopping.wait(pause):
                raise StoppedError
            pause = min(pause * 2, _LONGEST_POLL_SECONDS)

    def _strike(self, facts: StackFacts, state: ResourceState, moment: str) -> None:
        for failure in self.failures:
            if failure.on == moment and failure.logical_id == state.logical_id and failure.stack in {None, facts.name}:
                self.failures.remove(failure)
                raise ResourceFailedError(failure.reason)


def _hindrance(row: Row, resource: Resource) -> str:
    told = row.hindrance(resource) if row.hindrance is not None else ""
    return f": {told}" if told else ""


def _new_parts(previous: Mapping[str, Any], properties: Mapping[str, Any], changed: frozenset[str]) -> frozenset[str]:
    """Name the places an update brings: what did not change is not read again by every setting."""
    return frozenset(
        ".".join(map(str, found.path))
        for found in differences(
            {name: previous.get(name) for name in changed}, {name: properties.get(name) for name in changed}
        )
    )


def _is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}.") or place.startswith(f"{path}.")


@contextmanager
def _failing(state: ResourceState) -> Iterator[None]:
    """The edge of a row: whatever comes out of it becomes the reason of a failed resource."""
    try:
        yield
    except (ResourceFailedError, StoppedError):
        raise
    except ClientError as error:
        raise ResourceFailedError(_said_by_service(error)) from error
    except KeyError as error:
        raise ResourceFailedError(f"{state.type}: property {error.args[0]} is missing") from error
    except Exception as error:
        raise ResourceFailedError(f"{state.type}: its row broke: {type(error).__name__}: {error}") from error


def _said_by_service(error: ClientError) -> str:
    told = error.response.get("Error", {})
    return (
        f'Resource handler returned message: "{told.get("Message", error)}" '
        f"(Operation: {error.operation_name}, HandlerErrorCode: {told.get('Code', 'Unknown')})"
    )
