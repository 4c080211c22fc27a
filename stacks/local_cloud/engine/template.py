"""
A template, read strictly: what it declares as values, or one sentence about what is wrong (pure).

JSON alone: our templates are rendered, not written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from stacks.local_cloud.engine import intrinsics
from stacks.local_cloud.engine.errors import TemplateError
from stacks.local_cloud.engine.parameters import ParameterDeclaration, parse_parameter

MAX_INLINE_BYTES: Final = 51_200
"""CloudFormation quotas: a template body handed over in the request."""

_FORMAT_VERSION: Final = "2010-09-09"
_SECTIONS: Final = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
    }
)
_RESOURCE_KEYS: Final = frozenset(
    {"Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"}
)
_OUTPUT_KEYS: Final = frozenset({"Value", "Description", "Condition"})
_DELETION_POLICIES: Final = frozenset({"Delete", "Retain", "RetainExceptOnCreate"})
_REPLACE_POLICIES: Final = frozenset({"Delete", "Retain"})
_LOGICAL_ID: Final = re.compile(r"[A-Za-z0-9]{1,255}")


@dataclass(frozen=True, slots=True)
class ResourceDeclaration:
    """One entry of the Resources section."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    metadata: Any = None

    def references(self) -> frozenset[str]:
        """Name everything the properties refer to, parameters included."""
        return frozenset(name for name, _ in intrinsics.references(self.properties))


@dataclass(frozen=True, slots=True)
class OutputDeclaration:
    """One entry of the Outputs section."""

    name: str
    value: Any
    description: str | None = None
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """Everything a template declares, checked as far as the template alone allows."""

    body: str
    description: str | None
    parameters: Mapping[str, ParameterDeclaration]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, ResourceDeclaration]
    outputs: Mapping[str, OutputDeclaration]
    metadata: Any = None

    def active(self, conditions: Mapping[str, bool]) -> dict[str, ResourceDeclaration]:
        """Give the resources that exist under these decisions, in dependency order."""
        chosen = {
            name: entry
            for name, entry in self.resources.items()
            if entry.condition is None or conditions[entry.condition]
        }
        return {name: chosen[name] for name in dependency_order(chosen)}


def parse_template(body: str) -> Template:
    """
    Read a template.

    Raises:
        TemplateError: It is not JSON, has a section, key or function this
            engine does not know, or names what it does not declare.
    """
    if len(body.encode()) > MAX_INLINE_BYTES:
        raise TemplateError(
            f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_INLINE_BYTES}"
        )
    document = _load(body)
    _known(document, _SECTIONS, "template", "section")
    if document.get("AWSTemplateFormatVersion", _FORMAT_VERSION) != _FORMAT_VERSION:
        raise TemplateError(f"Template format error: the only format version is {_FORMAT_VERSION}")
    template = Template(
        body=body,
        description=document.get("Description"),
        parameters={name: parse_parameter(name, entry) for name, entry in _section(document, "Parameters")},
        mappings=dict(_section(document, "Mappings")),
        conditions=dict(_section(document, "Conditions")),
        resources={name: _parse_resource(name, entry) for name, entry in _section(document, "Resources")},
        outputs={name: _parse_output(name, entry) for name, entry in _section(document, "Outputs")},
        metadata=document.get("Metadata"),
    )
    if not template.resources:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    _check_names(template)
    dependency_order(template.resources)
    return template


def dependency_order(resources: Mapping[str, ResourceDeclaration]) -> list[str]:
    """
    Sort so that each resource comes after those it refers to or depends on.

    Raises:
        TemplateError: They depend on each other in a circle, which is named.
    """
    try:
        return list(TopologicalSorter(dependencies(resources)).static_order())
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        raise TemplateError(f"Circular dependency between resources: [{', '.join(circle[:-1])}]") from error


def dependencies(resources: Mapping[str, ResourceDeclaration]) -> dict[str, list[str]]:
    """Name, for each resource, those of the same mapping that must stand before it."""
    return {
        name: sorted((entry.references() | set(entry.depends_on)) & resources.keys())
        for name, entry in resources.items()
    }


def _load(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise TemplateError(
            f"Template format error: JSON not well-formed. (line {error.lineno}, column {error.colno})"
        ) from error
    if not isinstance(document, dict):
        raise TemplateError("Template format error: unsupported structure.")
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise TemplateError(f"Template format error: JSON not well-formed, keys given twice: {', '.join(doubled)}")
    return found


def _section(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    section = document.get(name, {})
    if not isinstance(section, dict):
        raise TemplateError(f"Template format error: {name} must be an object")
    for key, entry in section.items():
        if name not in {"Mappings", "Conditions"} and not isinstance(entry, dict):
            raise TemplateError(f"Template format error: every {name} member must be an object: {key}")
        if not _LOGICAL_ID.fullmatch(key):
            raise TemplateError(f"Template format error: {name} name '{key}' is non alphanumeric.")
        yield key, entry


def _known(entry: Mapping[str, Any], names: Collection[str], where: str, what: str) -> None:
    unknown = sorted(set(entry) - set(names))
    if unknown:
        raise TemplateError(f"Invalid template {what} or {what}s in {where}: {unknown}; known are {sorted(names)}")


def _parse_resource(name: str, entry: Mapping[str, Any]) -> ResourceDeclaration:
    where = f"resource {name}"
    _known(entry, _RESOURCE_KEYS, where, "attribute")
    if not isinstance(entry.get("Type"), str):
        raise TemplateError(
            f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
        )
    properties = entry.get("Properties", {})
    if not isinstance(properties, dict) or intrinsics.function_of(properties):
        raise TemplateError(f"Template format error: [/Resources/{name}/Properties] must be an object")
    depends_on = entry.get("DependsOn", [])
    return ResourceDeclaration(
        logical_id=name,
        type=entry["Type"],
        properties=properties,
        depends_on=(depends_on,) if isinstance(depends_on, str) else tuple(depends_on),
        condition=entry.get("Condition"),
        deletion_policy=_policy(entry, "DeletionPolicy", _DELETION_POLICIES, where),
        update_replace_policy=_policy(entry, "UpdateReplacePolicy", _REPLACE_POLICIES, where),
        metadata=entry.get("Metadata"),
    )


def _policy(entry: Mapping[str, Any], name: str, values: Collection[str], where: str) -> str:
    policy = entry.get(name, "Delete")
    if policy not in values:
        raise TemplateError(f"Template error: {name} of {where} is {policy!r}; this engine knows {sorted(values)}")
    return str(policy)


def _parse_output(name: str, entry: Mapping[str, Any]) -> OutputDeclaration:
    if "Export" in entry:
        raise TemplateError(
            f"Template error: output {name} has an Export, which is refused: between stacks, values travel as "
            "outputs handed in as parameters (stacks/catalog.py)"
        )
    _known(entry, _OUTPUT_KEYS, f"output {name}", "attribute")
    if "Value" not in entry:
        raise TemplateError(f"Template format error: Output {name} must contain a Value member")
    return OutputDeclaration(name, entry["Value"], entry.get("Description"), entry.get("Condition"))


def _check_names(template: Template) -> None:
    """Refuse names that stand for nothing, unknown functions, and what is resolved nowhere here."""
    known = template.parameters.keys() | template.resources.keys() | intrinsics.PSEUDO_PARAMETERS
    places: list[tuple[str, Any, str | None]] = [
        *((f"resource {name}", entry.properties, entry.condition) for name, entry in template.resources.items()),
        *((f"output {name}", entry.value, entry.condition) for name, entry in template.outputs.items()),
    ]
    for where, value, condition in places:
        with_place(where, intrinsics.check, value)
        _check_references(template, where, value, known)
        if condition is not None and condition not in template.conditions:
            raise TemplateError(f"Template format error: {where} has condition {condition}, which is not declared")
        if "{{resolve:" in json.dumps(value):
            raise TemplateError(
                f"Template error: {where} has a dynamic reference, which the embedded cloud does not resolve"
            )
    for name, entry in template.resources.items():
        missing = sorted(set(entry.depends_on) - template.resources.keys())
        if missing:
            raise TemplateError(f"Template format error: resource {name} depends on {missing}, not in Resources")


def _check_references(template: Template, where: str, value: Any, known: Collection[str]) -> None:
    for name, attribute in intrinsics.references(value):
        if attribute is not None and name not in template.resources:
            raise TemplateError(
                f"Template error: instance of Fn::GetAtt references undefined resource {name} in {where}"
            )
        if name not in known:
            raise TemplateError(
                f"Template format error: Unresolved resource dependencies [{name}] in {where} of the template"
            )


def with_place(where: str, function: Any, *arguments: Any) -> Any:
    """Call and let an error of the template say where it stands."""
    try:
        return function(*arguments)
    except TemplateError as error:
        raise TemplateError(f"{error.message} (in {where})") from error
