"""
The shape of a row: one declarative entry per resource type of the embedded cloud.

The engine knows templates, order, change sets and rollback; a row knows one
type's service API. Between them stands `Properties`, which counts what a row
reads: a property of the template that nobody read would be silently dropped,
as moto's own CloudFormation does, so the engine turns it into an error.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class Properties:
    """
    The resolved properties of one resource, or of one branch of them.

    Values are `Any` on purpose: they come out of a template as JSON and go
    into boto3, which checks their shapes.
    """

    def __init__(self, values: Mapping[str, Any], *, path: str = "") -> None:
        self._values = values
        self._path = path
        self._read: set[str] = set()
        self._branches: dict[str, list[Properties]] = {}

    def __contains__(self, name: str) -> bool:
        """Tell whether the template gives the property; this does not count as reading it."""
        return name in self._values

    def take(self, name: str, default: Any = None) -> Any:
        """
        Read a property whole.

        Only for a scalar, a list of scalars, or a document handed on as it
        stands (a policy, a dashboard body). A structure is read by `branch`
        or `branches`, so that each of its fields is counted.
        """
        self._read.add(name)
        return copy.deepcopy(self._values.get(name, default))

    def require(self, name: str) -> Any:
        """Read a property whole that the type cannot do without; KeyError says the template lacks it."""
        self._read.add(name)
        return copy.deepcopy(self._values[name])

    def pick(self, **names: str) -> dict[str, Any]:
        """Read several properties and rename them: `pick(CidrIp="CidrBlock")` gives argument `CidrIp` if present."""
        return {argument: self.take(name) for argument, name in names.items() if name in self}

    def same(self, *names: str) -> dict[str, Any]:
        """Read several properties whose API argument has the same name; absent ones are left out."""
        return {name: self.take(name) for name in names if name in self}

    def branch(self, name: str) -> Properties:
        """Descend into a structure; an absent one is an empty branch."""
        if name not in self._branches:
            self._branches[name] = [Properties(self._values.get(name) or {}, path=f"{self._path}{name}.")]
        return self._branches[name][0]

    def branches(self, name: str) -> list[Properties]:
        """Descend into a list of structures, in order."""
        if name not in self._branches:
            self._branches[name] = [
                Properties(value, path=f"{self._path}{name}.{index}.")
                for index, value in enumerate(self._values.get(name) or [])
            ]
        return self._branches[name]

    def raw(self) -> dict[str, Any]:
        """Copy everything without counting it as read; for the engine and for messages."""
        return copy.deepcopy(dict(self._values))

    def unread(self) -> Iterator[str]:
        """Yield the path of every property given by the template and read by nobody."""
        for name in self._values:
            if name in self._branches:
                for branch in self._branches[name]:
                    yield from branch.unread()
            elif name not in self._read:
                yield f"{self._path}{name}"


@dataclass(frozen=True, slots=True)
class StackFacts:
    """What a row may know of the stack a resource belongs to."""

    name: str
    id: str
    region: str
    account: str
    partition: str
    tags: Mapping[str, str]
    """Tags of the stack and the `aws:cloudformation:*` ones, which AWS spreads to every resource that can bear tags."""


@dataclass(slots=True)
class Resource:
    """One resource as a row sees it while it makes, changes, reads or removes it."""

    logical_id: str
    type: str
    properties: Properties
    stack: StackFacts
    client: Callable[[str], Any]
    """A boto3 client of the embedded cloud by service name, `client("ec2")`."""
    physical_id: str = ""
    previous: Properties | None = None
    """What the properties were, while an update runs; None while it is created or deleted."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the row must remember of this resource and no API would tell it again; kept with the resource."""

    def tags(self, name: str = "Tags") -> dict[str, str]:
        """The resource's own tags over those of its stack; reads the template's `Tags` (a list of Key and Value)."""
        own = {tag["Key"]: tag["Value"] for tag in self.properties.take(name, [])}
        return {**self.stack.tags, **own}

    def generated_name(self, *, limit: int = 64) -> str:
        """A physical name in the manner of AWS, `stack-LogicalId-SUFFIX`, the same for the same stack and resource."""
        suffix = hashlib.sha256(f"{self.stack.id}/{self.logical_id}/{self.memory.get('generation', 0)}".encode())
        tail = suffix.hexdigest()[:12].upper()
        return f"{self.stack.name}-{self.logical_id}"[: limit - 13] + f"-{tail}"


@dataclass(frozen=True, slots=True)
class Setting:
    """
    A part of a resource that is set after it exists, and can be set again.

    The properties named here are the ones the type updates in place. `apply`
    must bring the resource to what `resource.properties` says, an absent
    property included (back to the service's default).
    """

    properties: tuple[str, ...]
    apply: Callable[[Resource], None]


@dataclass(frozen=True, slots=True)
class Row:
    """
    How one resource type lives.

    A changed property is a replacement where the provider schema calls it
    create-only, and also where it calls it conditionally create-only and no
    `Setting` names it. Any other property that no `Setting` names is an error
    naming type and property. Changed tags of the stack reach the types whose
    `Setting` names the schema's tag property.
    """

    type: str
    create: Callable[[Resource], str]
    """Make it and return its physical id; what raises must leave nothing behind."""
    delete: Callable[[Resource], None]
    """Remove it and all the row made for it; what is gone already is no error."""
    settings: tuple[Setting, ...] = ()
    """Applied in order after create; on update only those a changed property belongs to."""
    attributes: Mapping[str, Callable[[Resource], str]] = field(default_factory=dict)
    """What Fn::GetAtt may ask, read from the service's API."""
    ref: Callable[[Resource], str] | None = None
    """What Ref gives, where that is not the physical id."""
    is_stable: Callable[[Resource], bool] | None = None
    """Polled after create and update until true; raises ResourceFailedError to say that it never will be."""
    hindrance: Callable[[Resource], str] | None = None
    """Asked what it waited for when `is_stable` did not come true in time; a sentence, or nothing."""


class ResourceFailedError(Exception):
    """The service refused, or the resource cannot be as the template says; the stack event shows the text."""
