"""Read rendered templates the way a test asks: one resource's properties, the statements of a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stacks.access.request import AttachedPolicy
from stacks.access.statement import Effect, Form
from stacks.catalog import Catalog


def properties(catalog: Catalog, stack: str, logical_id: str) -> Mapping[str, Any]:
    """Give the properties of one resource."""
    found: Mapping[str, Any] = resource(catalog, stack, logical_id).get("Properties", {})
    return found


def resource(catalog: Catalog, stack: str, logical_id: str) -> Mapping[str, Any]:
    """Give one resource whole."""
    found: Mapping[str, Any] = catalog[stack].template["Resources"][logical_id]
    return found


def of_type(catalog: Catalog, resource_type: str) -> dict[str, Mapping[str, Any]]:
    """Give the properties of every resource of a type, by stack and logical id."""
    return {
        f"{entry.name}.{logical_id}": found.get("Properties", {})
        for entry in catalog.every
        for logical_id, found in entry.template["Resources"].items()
        if found["Type"] == resource_type
    }


def statements(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Give the statements of a policy by their ids."""
    return {statement.get("Sid", ""): statement for statement in document["Statement"]}


def listed(value: str | Sequence[str]) -> list[str]:
    """Give a list, also of what a policy writes as one."""
    return [value] if isinstance(value, str) else list(value)


def denied_by(document: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> set[str]:
    """Name the statements of a policy that deny everybody the request; an intrinsic in it is compared as its text."""
    keys = {name.lower(): value for name, value in context.items()}
    denials = [each for each in AttachedPolicy("lock", _spelled(document)).statements if each.effect is Effect.DENY]
    assert all([named.form for named in each.principals or ()] == [Form.EVERYBODY] for each in denials)
    return {each.name for each in denials if each.covers(action, resource, keys)}


def _spelled(value: Any) -> Any:
    match value:
        case {"Ref": _} | {"Fn::GetAtt": _} | {"Fn::Sub": _}:
            return str(value)
        case dict():
            return {key: _spelled(inner) for key, inner in value.items()}
        case list():
            return [_spelled(inner) for inner in value]
        case _:
            return value
