"""Read rendered templates the way a test asks: one resource's properties, the statements of a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
