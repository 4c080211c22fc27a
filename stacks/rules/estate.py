"""
All templates of an environment as one thing: resources by their type, and what they have to do with each other.

A rule never asks for a logical id or a file. It asks for a type, reads
properties with their intrinsics resolved, and follows references, so that it
judges a template somebody wrote by hand as it judges ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.rules.identities import Place
from stacks.rules.resolving import Body, Resolver, section
from stacks.rules.values import Reference, Supplied, Unresolved, listed, shown


class UnresolvedError(Exception):
    """A rule needs a value that the templates do not tell; the runner makes a finding of it."""

    def __init__(self, resource: Resource, path: str, why: str) -> None:
        self.resource = resource
        self.path = path
        self.why = why
        super().__init__(f"{resource.name}.{path}: {why}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What a rule objects to: where, what is there, and what must be."""

    stack: str
    logical_id: str
    path: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Resource:
    """
    One resource of one template.

    Attributes:
        raw: As it stands in the template.
    """

    estate: Estate = field(repr=False)
    stack: str
    logical_id: str
    type: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The stack's name and the logical id, dotted."""
        return f"{self.stack}.{self.logical_id}"

    def get(self, path: str = "") -> Any:  # noqa: ANN401 -- whatever stands there
        """
        Read a property, its intrinsics resolved; None where there is none.

        Args:
            path: Dotted below Properties, a list's element by its index: `Listeners.0.Protocol`.

        Raises:
            UnresolvedError: It, or something in it, cannot be told from the templates.
        """
        found: Any = self.estate.properties(self)
        for part in path.split(".") if path else []:
            if isinstance(found, Unresolved):
                break
            found = _step(found, part)
        fault = None if self.estate.is_told(self) else _unresolved_in(found)
        if fault is not None:
            raise UnresolvedError(self, f"Properties.{path}" if path else "Properties", fault.why)
        return found

    def texts(self, path: str) -> list[str]:
        """Read a property that is one text or a list of them; whatever else stands in it is left out."""
        return [value for value in listed(self.get(path)) if isinstance(value, str)]

    def tables(self, path: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Read a property that is a list of tables, each with the path it lies at; one table is a list of itself."""
        found = self.get(path)
        if isinstance(found, dict):
            return [(path, found)]
        values = found if isinstance(found, list) else []
        return [(f"{path}.{index}", value) for index, value in enumerate(values) if isinstance(value, dict)]

    def target(self, path: str) -> Resource | None:
        """Follow a property that refers to another resource; None if it refers to none."""
        return self.estate.target(self.get(path))

    def targets(self, path: str) -> list[Resource]:
        """Follow a property that refers to one resource or to several."""
        followed = (self.estate.target(value) for value in listed(self.get(path)))
        return [resource for resource in followed if resource is not None]

    @property
    def depends_on(self) -> list[Resource]:
        """The resources of its template it is made after, by DependsOn."""
        named = (self.estate.find(self.stack, str(name)) for name in listed(self.raw.get("DependsOn")))
        return [resource for resource in named if resource is not None]

    def fault(self, path: str, *, found: object, expected: str) -> Fault:
        """
        Object to a property.

        Args:
            path: Dotted below Properties; empty for the resource as a whole.
            found: What stands there, a value or a sentence's end as `Said`.
            expected: What must be, to be read after "expected".
        """
        whole = f"Properties.{path}" if path else ""
        return Fault(self.stack, self.logical_id, whole, _said(found), expected)


class Said(str):
    """A finding's words, not a value that stood in the template."""

    __slots__ = ()


class Estate:
    """
    The templates of one environment.

    Args:
        bodies: By the stack's name in the catalog; they need not be right.
        place: Where they are to be deployed.
    """

    def __init__(self, bodies: Mapping[str, Body], place: Place) -> None:
        self.bodies = bodies
        self.place = place
        self.resolver = Resolver(bodies, place)
        self.resources = tuple(
            Resource(self, stack, logical_id, str(raw.get("Type", "")), raw)
            for stack, body in bodies.items()
            for logical_id, raw in section(body, "Resources").items()
            if isinstance(raw, dict)
        )
        self._by_name = {(resource.stack, resource.logical_id): resource for resource in self.resources}
        self._by_type: dict[str, list[Resource]] = {}
        for resource in self.resources:
            self._by_type.setdefault(resource.type, []).append(resource)
        self._properties: dict[tuple[str, str], Any] = {}
        self._told: dict[tuple[str, str], bool] = {}

    def of_type(self, *types: str) -> list[Resource]:
        """Give every resource of these types, over all stacks."""
        return [resource for each in types for resource in self._by_type.get(each, [])]

    def find(self, stack: str, logical_id: str) -> Resource | None:
        """Give a resource by its place; to follow a reference, and never to look for a name of ours."""
        return self._by_name.get((stack, logical_id))

    def target(self, value: object) -> Resource | None:
        """Give the resource a value refers to; None if it refers to none."""
        return self.find(value.stack, value.logical_id) if isinstance(value, Reference) else None

    def called(self, value: object, *types: str) -> Resource | None:
        """Give the resource of one of these types that a value means, by reference or by its name or ARN as text."""
        if not isinstance(value, str):
            return None
        target = self.target(value)
        if target is not None:
            # Another attribute, a load balancer's DNS name, is no name of it.
            return target if target.type in types and value in {self.ref(target), self.arn(target)} else None
        return next((each for each in self.of_type(*types) if value in {self.ref(each), self.arn(each)}), None)

    def ref(self, resource: Resource) -> str:
        """Say what `Ref` of a resource gives."""
        return str(self.resolver.value(resource.stack, {"Ref": resource.logical_id}))

    def arn(self, resource: Resource) -> str:
        """Say the ARN of a resource."""
        return str(self.resolver.value(resource.stack, {"Fn::GetAtt": [resource.logical_id, "Arn"]}))

    def declaration(self, value: object) -> Mapping[str, Any]:
        """Give the declaration of the parameter a supplied value comes from; empty for any other value."""
        if not isinstance(value, Supplied):
            return {}
        found = section(self.bodies[value.stack], "Parameters").get(value.parameter)
        return found if isinstance(found, dict) else {}

    def properties(self, resource: Resource) -> Any:  # noqa: ANN401
        """Give a resource's properties with what cannot be told left in them as `Unresolved`."""
        key = (resource.stack, resource.logical_id)
        if key not in self._properties:
            self._properties[key] = self.resolver.value(resource.stack, resource.raw.get("Properties", {}))
        return self._properties[key]

    def is_told(self, resource: Resource) -> bool:
        """Tell whether every property of a resource can be told from the templates, as nearly always."""
        key = (resource.stack, resource.logical_id)
        if key not in self._told:
            self._told[key] = _unresolved_in(self.properties(resource)) is None
        return self._told[key]

    def documents(self) -> Iterator[tuple[Resource, str, Mapping[str, Any]]]:
        """Give every policy document in the templates, with the resource and the path below Properties it lies at."""
        for resource in self.resources:
            yield from ((resource, path, found) for path, found in _documents(self.properties(resource), ""))


def _documents(value: object, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    match value:
        case dict():
            if "Statement" in value:
                yield path, value
                return
            for key, inner in value.items():
                yield from _documents(inner, f"{path}.{key}".lstrip("."))
        case list():
            for index, inner in enumerate(value):
                yield from _documents(inner, f"{path}.{index}".lstrip("."))


def _step(found: object, part: str) -> object:
    match found:
        case dict():
            return found.get(part)
        case list():
            return found[int(part)] if part.isdecimal() and int(part) < len(found) else None
        case _:
            return None


def _unresolved_in(value: object) -> Unresolved | None:
    match value:
        case Unresolved():
            return value
        case dict():
            inner = value.values()
        case list():
            inner = value  # type: ignore[assignment]  # both are gone through in the same way
        case _:
            return None
    return next((fault for each in inner if (fault := _unresolved_in(each)) is not None), None)


def _said(found: object) -> str:
    return str(found) if isinstance(found, Said) else shown(found)
