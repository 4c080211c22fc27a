"""
A resource type of the tests' own, and a hand for the engine: templates in, endings out.

`Test::Thing` lives on a shelf in memory, so that a test sees at once what is
there, and its schema has one property of every sort the engine tells apart.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.row import Resource, ResourceFailedError, Row, Setting

Json: TypeAlias = Any
"""Templates, and what the API answers, are JSON; boto3 and the engine check their shapes."""

THING = "Test::Thing"
OTHER = "Test::Other"
"""A second type of the same making."""
SCHEMA: dict[str, Any] = {
    "typeName": THING,
    "properties": {
        "Kind": {"type": "string"},
        "Name": {"type": "string", "maxLength": 20},
        "Color": {"type": "string", "enum": ["red", "green", "blue", "grey"]},
        "Size": {"type": "integer", "minimum": 1},
        "Open": {"type": "boolean"},
        "Parts": {"type": "array", "items": {"$ref": "#/definitions/Part"}},
        "Frame": {"type": "object", "properties": {"Material": {"type": "string"}, "Width": {"type": "integer"}}},
        "Mood": {"type": "string"},
        "Place": {"type": "string"},
        "Weight": {"type": "integer"},
        "Forgotten": {"type": "object"},
        "Beside": {"type": "array", "items": {"type": "string"}},
        "Secret": {"type": "string"},
        "Tags": {"type": "array", "items": {"type": "object"}},
        "Arn": {"type": "string"},
    },
    "definitions": {
        "Part": {
            "type": "object",
            "additionalProperties": False,
            "required": ["Name"],
            "properties": {"Name": {"type": "string"}, "Count": {"type": "integer"}},
        }
    },
    "additionalProperties": False,
    "required": ["Kind"],
    "createOnlyProperties": ["/properties/Kind", "/properties/Name", "/properties/Frame/Material"],
    "conditionalCreateOnlyProperties": ["/properties/Mood", "/properties/Place"],
    "readOnlyProperties": ["/properties/Arn"],
    "primaryIdentifier": ["/properties/Name"],
    "tagging": {"taggable": True, "tagUpdatable": True, "tagProperty": "/properties/Tags"},
}
_SETTABLE = (("Color",), ("Size", "Open"), ("Parts",), ("Frame",), ("Mood",), ("Secret", "Beside"), ("Tags",))


@dataclass
class Shelf:
    """The service behind the type: what it holds, and every call it got."""

    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    unstable: set[str] = field(default_factory=set)
    """Names of things that never settle."""

    def of(self, stack: str) -> dict[str, dict[str, Any]]:
        """What one stack has, by logical id, as the tests compare it."""
        return {
            f"{thing['logical_id']}/{physical_id}": dict(thing)
            for physical_id, thing in self.things.items()
            if thing["stack"] == stack
        }

    def by_logical_id(self, stack: str) -> dict[str, dict[str, Any]]:
        """What one stack has, if it has each thing once."""
        return {thing["logical_id"]: thing for thing in self.things.values() if thing["stack"] == stack}

    def row(self) -> Row:
        """The row of the type."""
        return Row(
            type=THING,
            create=self._create,
            delete=self._delete,
            settings=tuple(Setting(names, partial(self._set, names)) for names in _SETTABLE),
            attributes={"Arn": lambda resource: f"arn:{resource.physical_id}", "Color": self._color},
            is_stable=lambda resource: resource.physical_id not in self.unstable,
            hindrance=lambda resource: f"{resource.physical_id} wobbles",
        )

    def _create(self, resource: Resource) -> str:
        properties = resource.properties
        name = properties.take("Name") or f"{resource.logical_id.lower()}-{next(self.numbers)}"
        if name in self.things:
            raise ResourceFailedError(f"{name} is on the shelf already")
        read = {key: properties.take(key) for key in ("Kind", "Place", "Weight") if key in properties}
        self.things[name] = {"stack": resource.stack.name, "logical_id": resource.logical_id, **read}
        self.calls.append(f"create {resource.logical_id}")
        return str(name)

    def _set(self, names: tuple[str, ...], resource: Resource) -> None:
        thing = self.things[resource.physical_id]
        for name in names:
            value = self._read(resource, name)
            if value is None:
                thing.pop(name, None)
            else:
                thing[name] = value
        if resource.previous is not None:
            self.calls.append(f"set {resource.logical_id} {' '.join(names)}")

    def _read(self, resource: Resource, name: str) -> Json:
        if name == "Parts":
            return [part.same("Name", "Count") for part in resource.properties.branches(name)] or None
        if name == "Frame":
            return resource.properties.branch(name).same("Material", "Width") or None
        return resource.tags() if name == "Tags" else resource.properties.take(name)

    def _delete(self, resource: Resource) -> None:
        self.things.pop(resource.physical_id, None)
        self.calls.append(f"delete {resource.logical_id}")

    def _color(self, resource: Resource) -> str:
        return str(self.things[resource.physical_id].get("Color", "bare"))


def thing(kind: str = "box", *, attributes: Mapping[str, Any] | None = None, **properties: Json) -> dict[str, Any]:
    """One resource of a template."""
    return {"Type": THING, "Properties": {"Kind": kind, **properties}, **(attributes or {})}


def template(resources: Mapping[str, Any], **sections: Json) -> dict[str, Any]:
    """A template of these resources."""
    return {"Resources": dict(resources), **sections}


@dataclass
class Hand:
    """Does what an operator does, and waits for the end of it."""

    cloud: LocalCloud
    shelf: Shelf
    names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def api(self) -> Json:
        """CloudFormation."""
        return self.cloud.client("cloudformation")

    def new_name(self) -> str:
        """A stack name nobody has."""
        return f"stack-{next(self.names)}"

    def create(self, body: Mapping[str, Any], *, name: str | None = None, **request: Json) -> str:
        """Create a stack, wait, and give its name."""
        name = name or self.new_name()
        self.api.create_stack(StackName=name, TemplateBody=json.dumps(body), **_parameters(request))
        self.ended(name)
        return name

    def update(self, name: str, body: Mapping[str, Any], **request: Json) -> str:
        """Update a stack, wait, and give its last status."""
        self.api.update_stack(StackName=name, TemplateBody=json.dumps(body), **_parameters(request))
        return self.ended(name)

    def delete(self, name: str, **request: Json) -> str:
        """Delete a stack, wait, and give its last status."""
        identity = self.stack(name)["StackId"]
        self.api.delete_stack(StackName=name, **request)
        return self.ended(identity)

    def change_set(
        self, name: str, body: Mapping[str, Any], *, kind: str = "UPDATE", **request: Json
    ) -> dict[str, Any]:
        """Make a change set and describe it with values."""
        made = self.api.create_change_set(
            StackName=name,
            ChangeSetName=f"change-{next(self.names)}",
            ChangeSetType=kind,
            TemplateBody=json.dumps(body),
            **_parameters(request),
        )
        found: dict[str, Any] = self.api.describe_change_set(ChangeSetName=made["Id"], IncludePropertyValues=True)
        return found

    def execute(self, change_set: Mapping[str, Any], **request: Json) -> str:
        """Execute a change set, wait, and give the stack's last status."""
        self.api.execute_change_set(ChangeSetName=change_set["ChangeSetId"], **request)
        return self.ended(change_set["StackName"])

    def ended(self, name: str) -> str:
        """Wait for the end of what runs and give the status."""
        deadline = time.monotonic() + 30
        while (status := self.stack(name)["StackStatus"]).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, f"{name} is {status} for too long"
            time.sleep(0.01)
        return str(status)

    def stack(self, name: str) -> dict[str, Any]:
        """Describe one stack."""
        found: dict[str, Any] = self.api.describe_stacks(StackName=name)["Stacks"][0]
        return found

    def outputs(self, name: str) -> dict[str, str]:
        """The outputs of a stack."""
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack(name)["Outputs"]}

    def events(self, name: str) -> list[dict[str, Any]]:
        """All events, the oldest first."""
        pages = self.api.get_paginator("describe_stack_events").paginate(StackName=name)
        return list(reversed([event for page in pages for event in page["StackEvents"]]))

    def history(self, name: str, logical_id: str) -> list[str]:
        """The statuses one resource went through, with its reason where there is one."""
        return [
            ": ".join(filter(None, (event["ResourceStatus"], event.get("ResourceStatusReason"))))
            for event in self.events(name)
            if event["LogicalResourceId"] == logical_id
        ]

    def resources(self, name: str) -> dict[str, tuple[str, str]]:
        """Physical id and status of every resource the stack lists."""
        listed = self.api.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {
            entry["LogicalResourceId"]: (entry.get("PhysicalResourceId", ""), entry["ResourceStatus"])
            for entry in listed
        }


@contextmanager
def things_cloud(**options: Json) -> Iterator[Hand]:
    """An embedded cloud that makes things and nothing else."""
    shelf = Shelf()
    rows = {name: replace(shelf.row(), type=name) for name in (THING, OTHER)}
    schemas = {name: {**SCHEMA, "typeName": name} for name in (THING, OTHER)}
    with LocalCloud(rows=rows, schemas=schemas, **options) as cloud:
        yield Hand(cloud, shelf)


def _parameters(request: dict[str, Any]) -> dict[str, Any]:
    given = request.pop("parameters", None)
    if given is not None:
        request["Parameters"] = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    tags = request.pop("tags", None)
    if tags is not None:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return request
