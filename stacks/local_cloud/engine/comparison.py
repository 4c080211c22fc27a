"""
What a change set says: the differences between what is deployed and what shall be.

The resources are walked in dependency order, so that a reference to something
that will be made or replaced is known to be unknown, and its own change
counts as possible (`Conditional`) where it would need a new resource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stacks.local_cloud.engine import intrinsics
from stacks.local_cloud.engine.difference import ABSENT, Difference, decide_way, differences
from stacks.local_cloud.engine.errors import ValidationError
from stacks.local_cloud.engine.expressions import Expressions, Names
from stacks.local_cloud.engine.schemas import Path_, Recreation, Schema
from stacks.local_cloud.engine.state import Intention, ResourceState, Stack
from stacks.local_cloud.engine.template import ResourceDeclaration
from stacks.local_cloud.engine.workshop import Workshop
from stacks.local_cloud.row import ResourceFailedError

_ATTRIBUTES: Final = {
    "Metadata": "metadata",
    "DeletionPolicy": "deletion_policy",
    "UpdateReplacePolicy": "update_replace_policy",
}
"""Attributes of a resource beside its properties, whose change is an update that touches nothing outside."""


@dataclass(slots=True)
class Comparison:
    """Everything that would change, and everything that stands in the way."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    """As `ResourceChange` of the API, with property values."""
    faults: list[str] = field(default_factory=list)
    outputs_differ: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether carrying it out would do nothing at all."""
        return not self.changes and not self.outputs_differ


def compare(workshop: Workshop, stack: Stack, intention: Intention) -> Comparison:
    """
    Compare an intention with what the stack has.

    Raises:
        ValidationError: A resource would change its type, or an expression fails.
    """
    _refuse_other_types(stack, intention)
    return _Walk(workshop, stack, intention).walk()


def _refuse_other_types(stack: Stack, intention: Intention) -> None:
    changed = sorted(
        name
        for name, entry in intention.template.resources.items()
        if name in stack.resources and stack.resources[name].is_there and stack.resources[name].type != entry.type
    )
    if changed:
        raise ValidationError(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{', '.join(changed)}]"
        )


class _Walk:
    """One comparison under way."""

    def __init__(self, workshop: Workshop, stack: Stack, intention: Intention) -> None:
        self._workshop, self._stack, self._intention = workshop, stack, intention
        self._expressions: Expressions = workshop.expressions(stack, intention)
        self._active = intention.template.active(self._expressions.conditions)
        self._now = workshop.names(stack, intention.tags, self._active)
        self._names = Names(self._ref, self._attribute)
        self._new_identity: set[str] = set()  # made or perhaps replaced: even Ref is not known
        self._changed: set[str] = set()  # changed at all: attributes are not known
        self._found = Comparison()

    def walk(self) -> Comparison:
        """Compare every resource and the outputs."""
        for name, declared in self._active.items():
            before = self._stack.resources.get(name)
            change = self._added(declared) if before is None else self._modified(before, declared)
            if change is not None:
                self._found.changes.append(change)
        gone = [state for name, state in self._stack.resources.items() if name not in self._active]
        self._found.changes += [_removed(state) for state in gone]
        old = {} if self._stack.intention is None else self._stack.outputs
        self._found.outputs_differ = self._expressions.outputs(self._names) != old
        return self._found

    def _ref(self, logical_id: str) -> Any:
        return intrinsics.UNKNOWN if logical_id in self._new_identity else self._now.ref(logical_id)

    def _attribute(self, logical_id: str, name: str) -> Any:
        return intrinsics.UNKNOWN if logical_id in self._changed else self._now.attribute(logical_id, name)

    def _resolved(self, declared: ResourceDeclaration) -> tuple[dict[str, Any], dict[str, Any]]:
        """Resolve properties, once as they are and once as anybody may see them."""
        schema = self._workshop.schema(declared.type)
        plain, masked = (
            schema.normalize(self._expressions.properties(declared.logical_id, self._names, masked=masked))
            for masked in (False, True)
        )
        self._found.faults += [f"{fault} (resource {declared.logical_id})" for fault in schema.faults(plain)]
        return plain, masked

    def _added(self, declared: ResourceDeclaration) -> dict[str, Any]:
        self._new_identity.add(declared.logical_id)
        self._changed.add(declared.logical_id)
        _, shown = self._resolved(declared)
        return {
            "Action": "Add",
            "LogicalResourceId": declared.logical_id,
            "ResourceType": declared.type,
            "Scope": [],
            "Details": [],
            "AfterContext": _context(declared, shown),
        }

    def _modified(self, state: ResourceState, declared: ResourceDeclaration) -> dict[str, Any] | None:
        faults_before = len(self._found.faults)
        after, shown = self._resolved(declared)
        schema = self._workshop.schema(declared.type)
        if len(self._found.faults) == faults_before:
            self._check_way(state, declared, after)
        found = list(differences(state.properties, after))
        details = [self._detail(state, declared, difference, (schema, shown)) for difference in found]
        details += _other_details(state.declaration, declared)
        if self._tags_differ() and schema.tag_property:
            details.append(_detail_of("Tags", change_source="DirectModification"))
        if not details:
            return None
        replacement = _replacement(found, schema)
        self._changed.add(declared.logical_id)
        if replacement != "False":
            self._new_identity.add(declared.logical_id)
        return {
            "Action": "Modify",
            "LogicalResourceId": declared.logical_id,
            "PhysicalResourceId": state.physical_id,
            "ResourceType": declared.type,
            "Replacement": replacement,
            "Scope": list(dict.fromkeys(detail["Target"]["Attribute"] for detail in details)),
            "Details": details,
            "BeforeContext": _context(state.declaration, state.shown),
            "AfterContext": _context(declared, shown),
            **({"PolicyAction": f"ReplaceAnd{declared.update_replace_policy}"} if replacement != "False" else {}),
        }

    def _check_way(self, state: ResourceState, declared: ResourceDeclaration, after: Mapping[str, Any]) -> None:
        """Note now what the execution would stumble over: a property that can neither be set nor replaced."""
        row, schema = self._workshop.row(declared.type), self._workshop.schema(declared.type)
        try:
            decide_way(row, schema, state.properties, after)
        except ResourceFailedError as error:
            self._found.faults.append(f"{error} (resource {declared.logical_id})")

    def _tags_differ(self) -> bool:
        return self._stack.intention is not None and self._stack.intention.tags != self._intention.tags

    def _detail(
        self,
        state: ResourceState,
        declared: ResourceDeclaration,
        difference: Difference,
        after: tuple[Schema, Mapping[str, Any]],
    ) -> dict[str, Any]:
        schema, shown = after
        values = {
            "BeforeValue": _shown(state.shown, difference.path),
            "AfterValue": _shown(shown, difference.path),
        }
        target = {
            "Attribute": "Properties",
            "Name": difference.name,
            "Path": difference.pointer,
            "RequiresRecreation": str(schema.recreation(difference.path)),
            "AttributeChangeType": str(difference.kind),
            **{name: value for name, value in values.items() if value is not None},
        }
        return {
            "Target": target,
            "Evaluation": "Static" if difference.is_certain else "Dynamic",
            **self._cause(state.declaration, declared, difference),
        }

    def _cause(self, old: ResourceDeclaration, new: ResourceDeclaration, difference: Difference) -> dict[str, Any]:
        """Say what makes the value another one: the template itself, a resource it refers to, or a parameter."""
        expression = _expression_at(new.properties, difference.path)
        if _expression_at(old.properties, difference.path) == expression:
            for name, attribute in intrinsics.references(expression):
                if attribute is None and name in self._new_identity and not difference.is_certain:
                    return {"ChangeSource": "ResourceReference", "CausingEntity": name}
                if attribute is not None and name in self._changed and not difference.is_certain:
                    return {"ChangeSource": "ResourceAttribute", "CausingEntity": f"{name}.{attribute}"}
                if self._parameter_differs(name):
                    return {"ChangeSource": "ParameterReference", "CausingEntity": name}
        return {"ChangeSource": "DirectModification"}

    def _parameter_differs(self, name: str) -> bool:
        old = {} if self._stack.intention is None else self._stack.intention.parameters
        new = self._intention.parameters
        return name in new and (name not in old or old[name].value != new[name].value)


def _replacement(found: list[Difference], schema: Schema) -> str:
    needs = [(schema.recreation(difference.path), difference.is_certain) for difference in found]
    if (Recreation.ALWAYS, True) in needs:
        return "True"
    return "False" if all(need is Recreation.NEVER for need, _ in needs) else "Conditional"


def _other_details(old: ResourceDeclaration, new: ResourceDeclaration) -> Iterator[dict[str, Any]]:
    for attribute, name in _ATTRIBUTES.items():
        if getattr(old, name) != getattr(new, name):
            yield _detail_of(attribute, change_source="DirectModification")


def _detail_of(attribute: str, *, change_source: str) -> dict[str, Any]:
    return {
        "Target": {"Attribute": attribute, "RequiresRecreation": "Never"},
        "Evaluation": "Static",
        "ChangeSource": change_source,
    }


def _removed(state: ResourceState) -> dict[str, Any]:
    return {
        "Action": "Remove",
        "LogicalResourceId": state.logical_id,
        "PhysicalResourceId": state.physical_id,
        "ResourceType": state.type,
        "Scope": [],
        "Details": [],
        "PolicyAction": "Delete" if state.declaration.deletion_policy == "Delete" else "Retain",
        "BeforeContext": _context(state.declaration, state.shown),
    }


def _context(declared: ResourceDeclaration, shown: Mapping[str, Any]) -> str:
    """Write the resource as a change set shows it: the attributes that are not at their defaults."""
    context: dict[str, Any] = {"Properties": dict(shown)}
    if declared.metadata is not None:
        context["Metadata"] = declared.metadata
    for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
        if getattr(declared, _ATTRIBUTES[attribute]) != "Delete":
            context[attribute] = getattr(declared, _ATTRIBUTES[attribute])
    return json.dumps(context)


def _expression_at(properties: Any, path: Path_) -> Any:
    """Find what the template says at a place, or the function above it that gives the place its value."""
    for key in path:
        if isinstance(properties, dict) and intrinsics.function_of(properties) is not None:
            return properties
        properties = _item(properties, key)
    return properties


def _shown(values: Any, path: Path_) -> str | None:
    """Write the value at a place, None if there is none."""
    for key in path:
        values = _item(values, key)
        if values is ABSENT:
            return None
    return values if isinstance(values, str) else json.dumps(values)


def _item(values: Any, key: str | int) -> Any:
    if isinstance(values, dict):
        return values.get(key, ABSENT)
    return values[key] if isinstance(values, list) and isinstance(key, int) and key < len(values) else ABSENT
