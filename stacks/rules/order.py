"""What is made after what, within a template and between stacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from stacks.rules.estate import Estate, Resource
from stacks.rules.resolving import section
from stacks.rules.values import listed

_VARIABLE: Final = re.compile(r"\$\{([^!}.][^}.]*)[^}]*\}")


def names_in(raw: Any) -> Iterator[str]:  # noqa: ANN401 -- any JSON
    """Give every name that Ref, Fn::GetAtt or Fn::Sub mentions, of resources and of parameters."""
    match raw:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": str() | list() as given}:
            yield given.split(".")[0] if isinstance(given, str) else str(given[0])
        case {"Fn::Sub": str() | list() as given}:
            yield from _names_substituted(given)
        case dict() | list():
            for inner in raw.values() if isinstance(raw, dict) else raw:
                yield from names_in(inner)


def _names_substituted(given: str | list[Any]) -> Iterator[str]:
    text, variables = (given, {}) if isinstance(given, str) else (str(given[0]), given[1])
    yield from (name for name in _VARIABLE.findall(text) if name not in variables)
    yield from names_in(variables)


def mentions(resource: Resource, path: str, other: Resource) -> bool:
    """
    Say whether a property refers to another resource, itself or by a parameter that is joined to it.

    A name that only looks like the other's does not count: CloudFormation knows no order by it.

    Args:
        resource: Whose property.
        path: Dotted below Properties.
        other: Which must be referred to.
    """
    found: Any = resource.raw.get("Properties", {})
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    resolver = resource.estate.resolver
    values = (resolver.value(resource.stack, {"Ref": name}) for name in names_in(found))
    return any(resource.estate.target(value) == other for value in values)


def comes_after(later: Resource, earlier: Resource) -> bool:
    """
    Say whether CloudFormation, or the order of stacks, makes one resource only after another.

    Args:
        later: Which must wait.
        earlier: Which must be there before.
    """
    if later.stack == earlier.stack:
        return earlier.logical_id in _reached(later)
    return earlier.stack in _stacks_before(later.estate, later.stack)


def _reached(start: Resource) -> set[str]:
    """Follow references and DependsOn within a template as far as they go."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        resource = ahead.pop()
        depends_on = [str(name) for name in listed(resource.raw.get("DependsOn"))]
        for name in {*names_in(resource.raw.get("Properties", {})), *depends_on} - seen:
            seen.add(name)
            found = start.estate.find(start.stack, name)
            if found is not None:
                ahead.append(found)
    return seen


def _stacks_before(estate: Estate, start: str) -> set[str]:
    """Follow parameters to the stacks that offer them as far as they go."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        stack = ahead.pop()
        sources = (estate.resolver.source(stack, name) for name in section(estate.bodies[stack], "Parameters"))
        for source in {source[0] for source in sources if source} - seen:
            seen.add(source)
            ahead.append(source)
    return seen
