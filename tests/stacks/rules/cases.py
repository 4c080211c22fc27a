"""
One mistake a rule must report, made in the real templates of an environment.

Every module of rules has a test file beside it with its `CASES`; the tests
over all of them are in `test_every_rule.py`: each rule rests on good templates,
and each of its cases is reported at its place.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from stacks.environment import Environment
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.rule import Rule
from tests.stacks.environments import catalog, environment

Document = dict[str, Any]  # JSON to be spoiled


@cache
def _packed(name: str) -> bytes:
    """Pack the templates of an environment: unpacking is the quickest copy, and a thousand tests want one."""
    return pickle.dumps({entry.name: dict(entry.template) for entry in catalog(name).every})


@dataclass(frozen=True, slots=True)
class Templates:
    """The rendered templates of an environment, to be spoiled by a test."""

    bodies: dict[str, Document]

    @classmethod
    def of(cls, name: str = "staging") -> Templates:
        """Take a copy of those of one of the three environments."""
        return cls(pickle.loads(_packed(name)))  # noqa: S301 -- packed right here

    def resources(self, resource_type: str) -> list[Document]:
        """Give every resource of a type, as it stands in its template."""
        return [
            resource
            for body in self.bodies.values()
            for resource in body["Resources"].values()
            if resource["Type"] == resource_type
        ]

    def resource(self, resource_type: str, **having: object) -> Document:
        """Give the first resource of a type whose properties are these; there must be one."""
        return next(
            resource
            for resource in self.resources(resource_type)
            if all(resource.get("Properties", {}).get(name) == value for name, value in having.items())
        )

    def properties(self, resource_type: str, **having: object) -> Document:
        """Give the properties of the first resource of a type whose properties are these."""
        found: Document = self.resource(resource_type, **having)["Properties"]
        return found

    def remove(self, resource_type: str) -> None:
        """Remove every resource of a type."""
        for body in self.bodies.values():
            body["Resources"] = {
                name: resource for name, resource in body["Resources"].items() if resource["Type"] != resource_type
            }

    def estate(self, whose: Environment | None = None) -> Estate:
        """Give them as the rules see them."""
        return Estate(self.bodies, Place.of(whose or environment("staging")))


Spoil = Callable[[Templates], object]


@dataclass(frozen=True, slots=True)
class Case:
    """
    A mistake.

    Attributes:
        rule: Which must report it.
        spoil: Makes it.
        place: What the finding's place begins with, `ingress.LoadBalancer.Properties.HealthCheck`.
        says: What its message contains.
        of: Whose templates are spoiled.
    """

    rule: Rule
    spoil: Spoil
    place: str
    says: str = ""
    of: str = "staging"


def put(resource_type: str, path: str, value: object) -> Spoil:
    """Set a property of the first resource of a type, by its dotted path; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        *way, last = path.split(".")
        found: Any = templates.properties(resource_type)
        for part in way:
            found = found[int(part)] if isinstance(found, list) else found.setdefault(part, {})
        key: Any = int(last) if isinstance(found, list) else last
        if value is ...:
            del found[key]
        else:
            found[key] = value

    return spoil


def removed(resource_type: str) -> Spoil:
    """Remove every resource of a type."""
    return lambda templates: templates.remove(resource_type)


def statements(document: Mapping[str, Any]) -> dict[str, Document]:
    """Give the statements of a policy by their ids, to be spoiled."""
    return {statement.get("Sid", ""): statement for statement in document["Statement"]}
