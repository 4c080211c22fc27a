"""
Intrinsics, resolved as far as templates and account tell.

A parameter is followed to the output it is joined to, by the name they share.
What AWS alone decides (a condition, its zones) becomes `Unresolved`, and
whoever reads it is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from stacks.naming import OperatorParameter
from stacks.rules.identities import Place, identity
from stacks.rules.values import Reference, Supplied, Unresolved

Body = Mapping[str, Any]
"""A template as JSON: its values are whatever somebody wrote."""

_VARIABLE: Final = re.compile(r"\$\{(!?)([^}]*)\}")
_NO_VALUE: Final = object()
_EXAMPLES: Final = {OperatorParameter.IMAGE_DIGEST.value: f"sha256:{'0' * 64}"}
"""What the deployer might hand in."""
_LIST_TYPES: Final = ("List<", "CommaDelimitedList")


class Resolver:
    """
    Resolves the values of one set of templates; each thing at most once.

    Args:
        bodies: By the stack's name; they need not be whole or right.
        place: Where they are to be deployed.
    """

    def __init__(self, bodies: Mapping[str, Body], place: Place) -> None:
        self._bodies = bodies
        self._place = place
        self._offered = {
            name: stack for stack, body in bodies.items() for name in reversed(list(section(body, "Outputs")))
        }
        self._known: dict[tuple[str, str, str], Any] = {}
        self._under_way: set[tuple[str, str, str]] = set()
        self._intrinsics: Mapping[str, Callable[[str, Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Base64": self.value,
            "Fn::FindInMap": self._find_in_map,
        }

    def value(self, stack: str, raw: Any) -> Any:  # noqa: ANN401 -- JSON in, JSON out
        """Resolve a value of a template; lists and tables are resolved throughout."""
        match raw:
            case dict() if len(raw) == 1 and (name := next(iter(raw))) and _is_intrinsic(name):
                judge = self._intrinsics.get(name)
                return judge(stack, raw[name]) if judge else Unresolved(f"{name} is decided by AWS")
            case dict():
                pairs = ((key, self.value(stack, inner)) for key, inner in raw.items())
                return {key: inner for key, inner in pairs if inner is not _NO_VALUE}
            case list():
                return [inner for inner in (self.value(stack, inner) for inner in raw) if inner is not _NO_VALUE]
            case _:
                return raw

    def source(self, stack: str, parameter: str) -> tuple[str, str] | None:
        """Say which stack's output a parameter is joined to; None if no other stack offers it."""
        offering = self._offered.get(parameter)
        return (offering, parameter) if offering is not None and offering != stack else None

    # -- one intrinsic each ---------------------------------------------------------

    def _ref(self, stack: str, name: Any) -> Any:  # noqa: ANN401
        if not isinstance(name, str):
            return Unresolved("Ref of something that is no name")
        if name.startswith("AWS::"):
            return self._pseudo(stack, name)
        if name in section(self._bodies[stack], "Parameters"):
            return self._once((stack, "parameter", name), lambda: self._parameter(stack, name))
        return self._identity(stack, name, "Ref")

    def _get_att(self, stack: str, given: Any) -> Any:  # noqa: ANN401
        parts = given.split(".", 1) if isinstance(given, str) else given
        if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts)):  # noqa: PLR2004
            return Unresolved("Fn::GetAtt of something that is no attribute")
        return self._identity(stack, parts[0], parts[1])

    def _sub(self, stack: str, given: Any) -> Any:  # noqa: ANN401
        text, variables = (given[0], given[1]) if isinstance(given, list) and len(given) == 2 else (given, {})  # noqa: PLR2004
        if not isinstance(text, str) or not isinstance(variables, dict):
            return Unresolved("Fn::Sub of something that is no text")
        faults: list[Unresolved] = []

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                found = self.value(stack, variables[name])
            else:
                found = self._get_att(stack, name) if "." in name else self._ref(stack, name)
            if isinstance(found, (str, int, float)):
                return str(found)
            faults.append(found if isinstance(found, Unresolved) else Unresolved(f"${{{name}}} is no text"))
            return ""

        whole = _VARIABLE.fullmatch(text)
        if whole and not whole[1]:
            # Alone it stays what it is, a reference that can be followed.
            name = whole[2]
            alone = {"Ref": name} if "." not in name else {"Fn::GetAtt": name}
            return self.value(stack, variables.get(name, alone))
        written = _VARIABLE.sub(replace, text)
        return faults[0] if faults else written

    def _join(self, stack: str, given: Any) -> Any:  # noqa: ANN401
        if not (isinstance(given, list) and len(given) == 2 and isinstance(given[0], str)):  # noqa: PLR2004
            return Unresolved("Fn::Join of something that is no list")
        parts = self.value(stack, given[1])
        if isinstance(parts, Unresolved):
            return parts
        if not isinstance(parts, list):
            return Unresolved("Fn::Join of something that is no list")
        unresolved = [part for part in parts if not isinstance(part, (str, int, float))]
        if unresolved:
            first = unresolved[0]
            return first if isinstance(first, Unresolved) else Unresolved("Fn::Join of something that is no text")
        return Joined(given[0], [part if isinstance(part, str) else str(part) for part in parts])

    def _select(self, stack: str, given: Any) -> Any:  # noqa: ANN401
        parts = self.value(stack, given)
        if isinstance(parts, Unresolved):
            return parts
        if isinstance(parts, list) and len(parts) == 2 and isinstance(parts[1], Unresolved):  # noqa: PLR2004
            return parts[1]
        try:
            return parts[1][int(parts[0])]
        except (IndexError, KeyError, TypeError, ValueError):
            return Unresolved("Fn::Select of what is not in the list")

    def _split(self, stack: str, given: Any) -> Any:  # noqa: ANN401
        parts = self.value(stack, given)
        if not (isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], str)):  # noqa: PLR2004
            return Unresolved("Fn::Split of something that is no text")
        return parts[1] if isinstance(parts[1], Unresolved) else _split(parts[1], parts[0])

    def _find_in_map(self, stack: str, given: Any) -> Any:  # noqa: ANN401
        keys = self.value(stack, given)
        found: Any = section(self._bodies[stack], "Mappings")
        try:
            for key in keys:
                found = found[key]
        except (KeyError, TypeError):
            return Unresolved("Fn::FindInMap of what is not in the map")
        return self.value(stack, found)

    # -- names --------------------------------------------------------------------

    def _pseudo(self, stack: str, name: str) -> Any:  # noqa: ANN401
        place = self._place
        known: dict[str, Any] = {
            "AWS::AccountId": place.account,
            "AWS::Partition": place.partition,
            "AWS::Region": place.region,
            "AWS::StackName": place.stack_name(stack),
            "AWS::URLSuffix": place.suffix,
            "AWS::NoValue": _NO_VALUE,
        }
        return known.get(name, Unresolved(f"{name} is known to AWS alone"))

    def _parameter(self, stack: str, name: str) -> Any:  # noqa: ANN401
        facts = section(self._bodies[stack], "Parameters")[name]
        facts = facts if isinstance(facts, dict) else {}
        kind = str(facts.get("Type", ""))
        source = self.source(stack, name)
        if source is not None:
            output = section(self._bodies[source[0]], "Outputs")[name]
            value = self.value(source[0], output.get("Value") if isinstance(output, dict) else None)
        elif name in _EXAMPLES:
            value = Supplied(_EXAMPLES[name], stack=stack, parameter=name)
        elif "Default" in facts:
            value = Supplied(str(facts["Default"]), stack=stack, parameter=name)
        else:
            return Unresolved(f"no stack offers {name} and it has no default")
        return _split(value, ",") if kind.startswith(_LIST_TYPES) and isinstance(value, str) else value

    def _identity(self, stack: str, logical_id: str, attribute: str) -> Any:  # noqa: ANN401
        resource = section(self._bodies[stack], "Resources").get(logical_id)
        if not isinstance(resource, dict):
            return Unresolved(f"there is no {logical_id} in this template")

        def property_text(name: str) -> str | None:
            value = self.value(stack, resource.get("Properties", {}).get(name))
            return value if isinstance(value, str) else None

        def find() -> Reference:
            whose = (stack, logical_id, str(resource.get("Type", "")))
            text = identity(self._place, whose, attribute, property_text)
            return Reference(text, stack=stack, logical_id=logical_id, attribute=attribute)

        return self._once((stack, f"{logical_id}.", attribute), find)

    def _once(self, key: tuple[str, str, str], find: Callable[[], Any]) -> Any:  # noqa: ANN401
        if key in self._known:
            return self._known[key]
        if key in self._under_way:
            return Unresolved(f"{key[0]}.{key[1].rstrip('.')} is made of itself")
        self._under_way.add(key)
        try:
            found = self._known[key] = find()
        finally:
            self._under_way.discard(key)
        return found


class Joined(str):
    """A text that remembers what it was joined of, so that splitting it again gives the references back."""

    __slots__ = ("_parts", "_separator")
    _separator: str
    _parts: tuple[str, ...]

    def __new__(cls, separator: str, parts: list[str]) -> Self:
        """Join texts."""
        made = super().__new__(cls, separator.join(parts))
        made._separator, made._parts = separator, tuple(parts)
        return made

    def split_at(self, separator: str) -> list[str]:
        """Split again; at another separator as any text."""
        return list(self._parts) if separator == self._separator else self.split(separator)


def section(body: Body, name: str) -> Mapping[str, Any]:
    """Give a section of a template; whatever is none is an empty one."""
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _split(value: object, separator: str) -> object:
    if isinstance(value, Joined):
        return value.split_at(separator)
    return value.split(separator) if isinstance(value, str) else Unresolved("Fn::Split of something that is no text")


def _is_intrinsic(name: str) -> bool:
    return name == "Ref" or name.startswith("Fn::")
