"""
What AWS says of each resource type: the provider schemas that cfn-lint ships.

They tell which properties exist and of what type, which only a new resource
can have (create-only), and which nobody may set (read-only). The files are
read directly: cfn-lint's own loader would import the whole linter and prefer
whatever newer copy lies in the user's cache over the pinned one.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from stacks.local_cloud.engine.intrinsics import is_unknown

Path_ = tuple[str | int, ...]
"""Where a value stands in a resource's properties, indices of lists included."""

_SCALARS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_SIZES: Final[Mapping[type, tuple[str, str]]] = {
    str: ("Length", "length"),
    list: ("Items", "length"),
    dict: ("Properties", "size"),
    int: ("imum", "value"),
    float: ("imum", "value"),
}
"""How the schema names the bounds of a value, and how we name what they bound."""
_MAX_DEPTH: Final = 40  # schemas refer to themselves (a WAF statement in a statement); values do not go deeper
_MAX_LISTED: Final = 12  # a message names no more permitted values than that


class Recreation(StrEnum):
    """Whether a change of a property needs a new resource, in the words of a change set."""

    NEVER = "Never"
    CONDITIONALLY = "Conditionally"
    ALWAYS = "Always"


class Schema:
    """The provider schema of one resource type."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.type: str = document["typeName"]

    def normalize(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Give scalars the types the schema wants: "8443" is good for an integer, 8443 for a string."""
        normalized: dict[str, Any] = self._normalize(dict(properties), self._document, 0)
        return normalized

    def faults(self, properties: Mapping[str, Any]) -> list[str]:
        """Say everything that is wrong with normalized properties; values not known yet pass."""
        read_only = [
            f"{self.type}: property {name} is read-only"
            for name in properties
            if (name,) in self._paths("readOnlyProperties")
        ]
        return read_only + [f"{self.type}: {fault}" for fault in self._faults(properties, self._document, "", 0)]

    def recreation(self, path: Path_) -> Recreation:
        """Say what a change at this place means; a place above a create-only one counts as that one."""
        if self._touches("createOnlyProperties", path):
            return Recreation.ALWAYS
        return Recreation.CONDITIONALLY if self._touches("conditionalCreateOnlyProperties", path) else Recreation.NEVER

    def attributes(self) -> frozenset[str]:
        """Name what Fn::GetAtt could ask at most, with dots between levels."""
        return frozenset(".".join(map(str, path)) for path in self._paths("readOnlyProperties"))

    @cached_property
    def own_name(self) -> tuple[str, ...]:
        """The properties that identify a resource, if a template may choose them all; else none."""
        paths = self._paths("primaryIdentifier")
        chosen = paths and paths <= self._paths("createOnlyProperties") and all(len(path) == 1 for path in paths)
        return tuple(sorted(str(path[0]) for path in paths)) if chosen else ()

    @cached_property
    def tag_property(self) -> str | None:
        """The property that holds tags, for a type that can bear and change them."""
        tagging = self._document.get("tagging", {})
        if not tagging.get("taggable", True) or not tagging.get("tagUpdatable", True):
            return None
        name = str(tagging.get("tagProperty", "/properties/Tags")).removeprefix("/properties/")
        return name if name in self._document["properties"] else None

    def _paths(self, name: str) -> frozenset[tuple[str, ...]]:
        return frozenset(
            tuple(pointer.removeprefix("/properties/").split("/")) for pointer in self._document.get(name, [])
        )

    def _touches(self, name: str, path: Path_) -> bool:
        keys = ["*" if isinstance(key, int) else key for key in path]
        return any(all(a == b for a, b in zip(keys, other, strict=False)) for other in self._paths(name))

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        found: Any = self._document
        for key in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found[key]
        return self._resolved(found)

    def _member(self, schema: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        return next((found for part in self._parts(schema) if (found := part.get("properties", {}).get(name))), None)

    def _parts(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield a schema and the alternatives and additions inside it."""
        resolved = self._resolved(schema)
        yield resolved
        for key in ("allOf", "anyOf", "oneOf"):
            for part in resolved.get(key, []):
                yield from self._parts(part)

    def _normalize(self, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        resolved = self._resolved(schema)
        if depth > _MAX_DEPTH:
            return value
        match value:
            case dict():
                return {
                    key: self._normalize(item, self._member(resolved, key) or {}, depth + 1)
                    for key, item in value.items()
                }
            case list():
                return [self._normalize(item, resolved.get("items", {}), depth + 1) for item in value]
            case _:
                return _scalar(value, _types(resolved))

    def _faults(self, value: Any, schema: Mapping[str, Any], where: str, depth: int) -> Iterator[str]:
        resolved = self._resolved(schema)
        if depth > _MAX_DEPTH or (isinstance(value, str) and is_unknown(value)):
            return
        types = _types(resolved)
        if types and not any(_is_a(value, name) for name in types):
            yield f"property {where or 'Properties'} is {value!r} where {' or '.join(types)} is expected"
            return
        yield from _limits(value, resolved, where)
        match value:
            case dict():
                yield from self._object_faults(value, resolved, where, depth)
            case list():
                for index, item in enumerate(value):
                    yield from self._faults(item, resolved.get("items", {}), f"{where}.{index}", depth + 1)

    def _object_faults(
        self, value: Mapping[str, Any], schema: Mapping[str, Any], where: str, depth: int
    ) -> Iterator[str]:
        prefix = f"{where}." if where else ""
        closed = schema.get("additionalProperties", True) is False and not schema.get("patternProperties")
        for name in schema.get("required", []):
            if name not in value:
                yield f"property {prefix}{name} is required"
        for name, item in value.items():
            member = self._member(schema, name)
            if member is not None:
                yield from self._faults(item, member, f"{prefix}{name}", depth + 1)
            elif closed:
                yield f"property {prefix}{name} is unknown"


class Schemas:
    """The provider schemas of one region, read when first asked for, and those a test adds for types of its own."""

    def __init__(self, region: str, *, extra: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._root = _shipped()
        self._files: dict[str, str] = json.loads((self._root / "providers" / f"{region}.json").read_text("utf-8"))
        self._known = {name: Schema(document) for name, document in (extra or {}).items()}

    def __contains__(self, type_name: str) -> bool:
        """Tell whether AWS, or the test, has such a type in this region."""
        return type_name in self._known or type_name in self._files

    def of(self, type_name: str) -> Schema:
        """Give the schema of a type; KeyError if there is none."""
        if type_name not in self._known:
            path = self._root / "resources" / f"{self._files[type_name]}.json"
            self._known[type_name] = Schema(json.loads(path.read_text("utf-8")))
        return self._known[type_name]


def _shipped() -> Path:
    found = importlib.util.find_spec("cfnlint")
    if found is None or found.origin is None:
        raise RuntimeError("cfn-lint is not installed; the embedded cloud reads the provider schemas it ships")
    return Path(found.origin).parent / "data" / "schemas"


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _is_a(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _SCALARS.get(name, ()))


def _scalar(value: Any, types: tuple[str, ...]) -> Any:
    """CloudFormation takes a scalar of another type where its text can be read as the wanted one."""
    if not types or any(_is_a(value, name) for name in types) or is_unknown(value):
        return value
    if isinstance(value, str):
        return _from_text(value, types)
    if "string" in types and isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if "string" in types and isinstance(value, int | float) else value


def _from_text(text: str, types: tuple[str, ...]) -> Any:
    if "boolean" in types and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for name, kind in (("integer", int), ("number", float)):
        if name in types:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _limits(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Check what the schema says of a value's size and choice."""
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        listed = ", ".join(map(str, allowed[:_MAX_LISTED])) + (", ..." if len(allowed) > _MAX_LISTED else "")
        yield f"property {where} is {value!r}, which is not one of {listed}"
    words = next((words for kind, words in _SIZES.items() if isinstance(value, kind)), None)
    if words is None or isinstance(value, bool):
        return
    size = value if isinstance(value, int | float) else len(value)
    suffix, noun = words
    lowest, highest = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if lowest is not None and size < lowest:
        yield f"property {where} has {noun} {size}, where at least {lowest} is expected"
    if highest is not None and size > highest:
        yield f"property {where} has {noun} {size}, where at most {highest} is expected"
