"""What the engine remembers: stacks, their resources, events and change sets."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from stacks.local_cloud.engine.parameters import ParameterValue
from stacks.local_cloud.engine.template import ResourceDeclaration, Template

STACK_TYPE: Final = "AWS::CloudFormation::Stack"
GONE: Final = frozenset({"DELETE_COMPLETE", "DELETE_SKIPPED"})
"""Statuses of a resource the stack no longer has."""


@dataclass(slots=True)
class ResourceState:
    """One resource of a stack, as it was deployed last."""

    declaration: ResourceDeclaration
    properties: dict[str, Any]
    """Resolved and normalized."""
    shown: dict[str, Any]
    """The same with NoEcho parameters masked."""
    physical_id: str = ""
    memory: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    """What Ref and GetAtt gave since the last change, so that the service is asked once."""
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    changed_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def logical_id(self) -> str:
        """The name in the template."""
        return self.declaration.logical_id

    @property
    def type(self) -> str:
        """The resource type."""
        return self.declaration.type

    @property
    def is_there(self) -> bool:
        """Whether the stack still has it, whole or half made."""
        return self.status not in GONE

    def copied(self) -> ResourceState:
        """A copy that later changes of this one do not reach."""
        return replace(self, memory=copy.deepcopy(self.memory), attributes=dict(self.attributes))


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a stack."""

    name: str
    value: str
    description: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a stack's history."""

    id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None
    properties: str | None
    at: datetime
    operation: Operation


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing somebody asked of a stack; all its events bear its id and token."""

    kind: str
    """CREATE_STACK, UPDATE_STACK, DELETE_STACK."""
    token: str | None = None
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(frozen=True, slots=True)
class Intention:
    """What a stack shall become."""

    template: Template
    parameters: Mapping[str, ParameterValue]
    tags: Mapping[str, str]


@dataclass(slots=True)
class ChangeSet:
    """A change set and the intention it would carry out."""

    id: str
    name: str
    kind: str
    intention: Intention
    description: str | None
    capabilities: list[str]
    on_failure: str
    role_arn: str | None = None
    """What CloudFormation works as; with none, as whoever asks."""
    status: str = "CREATE_COMPLETE"
    execution_status: str = "AVAILABLE"
    reason: str | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(slots=True)
class Stack:
    """One stack, from its first change set to long after its deletion."""

    id: str
    name: str
    status: str
    intention: Intention | None = None
    """What is deployed; None before the first creation."""
    reason: str | None = None
    capabilities: list[str] = field(default_factory=list)
    on_failure: str = "ROLLBACK"
    role_arn: str | None = None
    """What the last change was made as; the next one is too, unless it names another."""
    resources: dict[str, ResourceState] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    executed: ChangeSet | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    operation: Operation = field(default_factory=lambda: Operation("CREATE_STACK"))
    thread: threading.Thread | None = None
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set when somebody deletes the stack while it is being created."""

    @property
    def is_busy(self) -> bool:
        """Whether an operation runs."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def is_deleted(self) -> bool:
        """Whether only its id still finds it."""
        return self.status == "DELETE_COMPLETE"

    def set_status(self, status: str, reason: str | None = None) -> None:
        """Move to a status and write the event of it, first the event: whoever sees the status finds it."""
        self._write(self.name, self.id, STACK_TYPE, status, reason=reason)
        self.status, self.reason = status, reason

    def set_resource_status(self, resource: ResourceState, status: str, reason: str | None = None) -> None:
        """Move a resource to a status and write the event of it."""
        resource.status, resource.reason, resource.changed_at = status, reason, datetime.now(UTC)
        properties = json.dumps(resource.shown)
        self._write(
            resource.logical_id, resource.physical_id, resource.type, status, reason=reason, properties=properties
        )

    def _write(  # noqa: PLR0913 - an event has as many columns
        self,
        logical_id: str,
        physical_id: str,
        type_name: str,
        status: str,
        *,
        reason: str | None,
        properties: str | None = None,
    ) -> None:
        now = datetime.now(UTC)
        if self.events:
            # AWS counts in milliseconds; ours are told apart by them, so that sorting by time keeps the order.
            now = max(now, self.events[-1].at + timedelta(milliseconds=1))
        identity = str(uuid4()) if type_name == STACK_TYPE else f"{logical_id}-{status}-{now.isoformat()}"
        self.events.append(
            Event(identity, logical_id, physical_id, type_name, status, reason, properties, now, self.operation)
        )
