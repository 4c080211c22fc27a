"""
The intrinsic functions and condition functions of a template (pure).

What has to be looked up (a resource's Ref, its attributes, the zones of a
region) comes in through `Scope`; everything else is computed here. A function
that is not in the table is an error, never passed through as data.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stacks.local_cloud.engine.errors import TemplateError

UNKNOWN: Final = "{{changeSet:KNOWN_AFTER_APPLY}}"
"""What a change set shows for a value that exists only once another resource does (AWS's own marker)."""

PSEUDO_PARAMETERS: Final = frozenset(
    f"AWS::{name}"
    for name in ("AccountId", "NotificationARNs", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")
)

_SUB_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_MAX_CIDRS: Final = 256  # Template reference, Fn::Cidr: count is between 1 and 256


class _NoValue:
    """What `AWS::NoValue` is while a document is evaluated; the entry it stands in is left out."""


NO_VALUE: Final = _NoValue()


@dataclass(frozen=True, slots=True)
class Scope:
    """What names in an expression stand for."""

    values: Mapping[str, Any]
    """Parameters and pseudo parameters."""
    mappings: Mapping[str, Any]
    conditions: Mapping[str, bool]
    ref: Callable[[str], Any]
    """What Ref gives for a logical id."""
    attribute: Callable[[str, str], Any]
    """What Fn::GetAtt gives for a logical id and an attribute name."""
    zones: Callable[[str], Sequence[str]]
    """The availability zones of a region."""


def evaluate(value: Any, scope: Scope) -> Any:
    """
    Compute an expression: functions give their values, `AWS::NoValue` takes its entry away.

    Raises:
        TemplateError: A function is unknown, misused, or names what is not there.
    """
    match value:
        case dict():
            name = function_of(value)
            if name is not None:
                return _apply(name, value[name], scope)
            return {key: found for key, item in value.items() if (found := evaluate(item, scope)) is not NO_VALUE}
        case list():
            return [found for item in value if (found := evaluate(item, scope)) is not NO_VALUE]
        case _:
            return value


def function_of(value: Mapping[str, Any]) -> str | None:
    """Name the function an object is a call of; None for plain data; a call has one key alone."""
    names = [key for key in value if key == "Ref" or key.startswith("Fn::")]
    if not names:
        return None
    if len(value) > 1:
        raise TemplateError(f"Template format error: {names[0]} must stand alone in its object, beside {sorted(value)}")
    if names[0] not in _FUNCTIONS:
        raise TemplateError(f"Template error: {names[0]} is {_REFUSED.get(names[0], _UNKNOWN_FUNCTION)}")
    return names[0]


def check(value: Any) -> None:
    """Refuse every call of an unknown function, also in a branch that is not taken."""
    if isinstance(value, dict):
        function_of(value)
    for _, item in _children(value):
        check(item)


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield what an expression names: (name, None) for Ref and `${Name}`, (logical id, attribute) for GetAtt."""
    name = function_of(value) if isinstance(value, dict) else None
    if name == "Ref":
        yield str(value["Ref"]), None
    elif name == "Fn::GetAtt":
        yield _attribute_parts(value[name])
    elif name == "Fn::Sub":
        text, variables = _sub_parts(value[name])
        for variable in _SUB_VARIABLE.findall(text):
            if not variable.startswith("!") and variable.strip() not in variables:
                yield _split_variable(variable.strip())
        yield from references(variables)
    else:
        for _, item in _children(value):
            yield from references(item)


def decide(conditions: Mapping[str, Any], *, values: Mapping[str, Any], mappings: Mapping[str, Any]) -> dict[str, bool]:
    """
    Decide every condition of a template.

    Raises:
        TemplateError: A condition names another that is not there, or itself.
    """
    decided: dict[str, bool] = {}
    asked: list[str] = []

    def holds(name: str) -> bool:
        if name in asked:
            raise TemplateError(f"Template error: conditions name each other: {' -> '.join([*asked, name])}")
        if name not in conditions:
            raise TemplateError(f"Template error: condition {name} is not in the Conditions section")
        if name not in decided:
            asked.append(name)
            decided[name] = _holds(conditions[name], _without_resources(values, mappings), holds)
            asked.pop()
        return decided[name]

    return {name: holds(name) for name in conditions}


def text_of(value: Any) -> str:
    """Write a scalar as CloudFormation does when it becomes part of a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TemplateError(f"Template error: expected a string and found {value!r}")


def is_unknown(value: Any) -> bool:
    """Tell whether a value, or a part of it, is known only after the change."""
    if isinstance(value, str):
        return UNKNOWN in value
    return any(is_unknown(item) for _, item in _children(value))


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _without_resources(values: Mapping[str, Any], mappings: Mapping[str, Any]) -> Scope:
    def refuse(name: str, attribute: str = "") -> Any:
        raise TemplateError(
            f"Template error: a condition cannot depend on resource {name}{attribute and '.'}{attribute}"
        )

    return Scope(values=values, mappings=mappings, conditions={}, ref=refuse, attribute=refuse, zones=lambda _: ())


def _holds(expression: Any, scope: Scope, other: Callable[[str], bool]) -> bool:
    if not isinstance(expression, dict) or len(expression) != 1:
        raise TemplateError(f"Template error: not a condition: {expression!r}")
    name, argument = next(iter(expression.items()))
    match name, argument:
        case "Condition", str():
            return other(argument)
        case "Fn::Equals", [left, right]:
            return bool(_comparable(evaluate(left, scope)) == _comparable(evaluate(right, scope)))
        case "Fn::Not", [inner]:
            return not _holds(inner, scope, other)
        case "Fn::And", [_, _, *_]:
            return False not in [_holds(inner, scope, other) for inner in argument]
        case "Fn::Or", [_, _, *_]:
            return True in [_holds(inner, scope, other) for inner in argument]
        case _:
            raise TemplateError(f"Template error: not a condition: {expression!r}")


def _comparable(value: Any) -> Any:
    """Make 1 and "1" equal, as Fn::Equals has it."""
    return text_of(value) if isinstance(value, bool | int | float) else value


def _apply(name: str, argument: Any, scope: Scope) -> Any:
    return _FUNCTIONS[name](argument, scope)


def _ref(argument: Any, scope: Scope) -> Any:
    if argument == "AWS::NoValue":
        return NO_VALUE
    if argument in scope.values:
        return scope.values[argument]
    return scope.ref(str(argument))


def _get_attribute(argument: Any, scope: Scope) -> Any:
    logical_id, attribute = _attribute_parts(argument)
    return scope.attribute(logical_id, attribute)


def _attribute_parts(argument: Any) -> tuple[str, str]:
    match argument:
        case str() if "." in argument:
            logical_id, _, attribute = argument.partition(".")
            return logical_id, attribute
        case [str() as logical_id, str() as attribute]:
            return logical_id, attribute
        case _:
            raise TemplateError(f"Template error: every Fn::GetAtt names a resource and an attribute, not {argument!r}")


def _sub(argument: Any, scope: Scope) -> str:
    text, variables = _sub_parts(argument)
    values = {name: text_of(evaluate(item, scope)) for name, item in variables.items()}

    def substituted(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        if name in values:
            return values[name]
        referred, attribute = _split_variable(name)
        if attribute is None:
            return text_of(_ref(referred, scope))
        return text_of(scope.attribute(referred, attribute))

    return _SUB_VARIABLE.sub(substituted, text)


def _sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    match argument:
        case str():
            return argument, {}
        case [str() as text, dict() as variables]:
            return text, variables
        case _:
            raise TemplateError(f"Template error: Fn::Sub takes a string, or a string and a map, not {argument!r}")


def _split_variable(name: str) -> tuple[str, str | None]:
    referred, dot, attribute = name.partition(".")
    return referred, attribute if dot else None


def _join(argument: Any, scope: Scope) -> str:
    delimiter, items = _pair("Fn::Join", argument)
    if not isinstance(delimiter, str):
        raise TemplateError(f"Template error: the delimiter of Fn::Join is a string, not {delimiter!r}")
    return delimiter.join(text_of(item) for item in _listed("Fn::Join", evaluate(items, scope)))


def _select(argument: Any, scope: Scope) -> Any:
    index, items = (evaluate(item, scope) for item in _pair("Fn::Select", argument))
    if is_unknown(items) and not isinstance(items, list):
        return UNKNOWN
    chosen = _listed("Fn::Select", items)
    if not str(index).isdecimal() or int(index) >= len(chosen):
        raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return chosen[int(index)]


def _split(argument: Any, scope: Scope) -> Any:
    delimiter, text = (evaluate(item, scope) for item in _pair("Fn::Split", argument))
    if not delimiter or not isinstance(delimiter, str):
        raise TemplateError(
            f"Template error: the delimiter of Fn::Split is a string that is not empty, not {delimiter!r}"
        )
    return UNKNOWN if is_unknown(text) else text_of(text).split(delimiter)


def _if(argument: Any, scope: Scope) -> Any:
    match argument:
        case [str() as condition, when_true, when_false]:
            if condition not in scope.conditions:
                raise TemplateError(f"Template error: condition {condition} of Fn::If is not in the Conditions section")
            return evaluate(when_true if scope.conditions[condition] else when_false, scope)
        case _:
            raise TemplateError("Template error: Fn::If takes a condition's name and two values")


def _find_in_map(argument: Any, scope: Scope) -> Any:
    keys = evaluate(argument, scope)
    if not isinstance(keys, list) or len(keys) != 3:  # noqa: PLR2004 - map, top-level key, second-level key
        raise TemplateError("Template error: Fn::FindInMap takes a map, a top-level key and a second-level key")
    found: Any = scope.mappings
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            raise TemplateError(f"Template error: Unable to get mapping for {'::'.join(map(str, keys))}")
        found = found[key]
    return found


def _base64(argument: Any, scope: Scope) -> str:
    text = text_of(evaluate(argument, scope))
    return UNKNOWN if is_unknown(text) else base64.b64encode(text.encode()).decode()


def _cidr(argument: Any, scope: Scope) -> Any:
    match evaluate(argument, scope):
        case [block, count, bits]:
            return UNKNOWN if is_unknown(block) else _subnets(str(block), int(count), int(bits))
        case _:
            raise TemplateError("Template error: Fn::Cidr takes an address block, a count and the subnet bits")


def _subnets(block: str, count: int, bits: int) -> list[str]:
    try:
        network = ipaddress.ip_network(block)
        found = [
            str(part) for part in itertools.islice(network.subnets(new_prefix=network.max_prefixlen - bits), count)
        ]
    except ValueError as error:
        raise TemplateError(f"Template error: Fn::Cidr cannot divide {block}: {error}") from error
    if not 1 <= count <= _MAX_CIDRS or len(found) < count:
        raise TemplateError(f"Template error: Fn::Cidr cannot take {count} blocks of {bits} bits out of {block}")
    return found


def _zones(argument: Any, scope: Scope) -> list[str]:
    region = evaluate(argument, scope)
    return list(scope.zones(str(region or scope.values["AWS::Region"])))


def _pair(name: str, argument: Any) -> tuple[Any, Any]:
    if not isinstance(argument, list) or len(argument) != 2:  # noqa: PLR2004 - a pair
        raise TemplateError(f"Template error: {name} takes a list of two values, not {argument!r}")
    return argument[0], argument[1]


def _listed(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TemplateError(f"Template error: {name} works on a list, not on {value!r}")
    return value


_FUNCTIONS: Final[Mapping[str, Callable[[Any, Scope], Any]]] = {
    "Ref": _ref,
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": _zones,
    "Fn::GetAtt": _get_attribute,
    "Fn::If": _if,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
}
_UNKNOWN_FUNCTION: Final = "no function this engine knows"
_BY_PARAMETER: Final = "refused: between stacks, values travel as outputs handed in as parameters (stacks/catalog.py)"
_REFUSED: Final[Mapping[str, str]] = {
    "Fn::ImportValue": _BY_PARAMETER,
    "Fn::GetStackOutput": _BY_PARAMETER,
    "Fn::Transform": "refused: the embedded cloud runs no macros",
    "Fn::Equals": "a condition function: it belongs in the Conditions section",
    "Fn::And": "a condition function: it belongs in the Conditions section",
    "Fn::Or": "a condition function: it belongs in the Conditions section",
    "Fn::Not": "a condition function: it belongs in the Conditions section",
}
