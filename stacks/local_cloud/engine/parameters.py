"""The parameters of a template: how they are declared, and what the values handed in become (pure but for lookups)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stacks.local_cloud.engine.errors import TemplateError, ValidationError

MASK: Final = "****"
"""What a NoEcho parameter looks like from outside (Template reference, Parameters, NoEcho)."""

_KEYS: Final = frozenset(
    {
        "AllowedPattern",
        "AllowedValues",
        "ConstraintDescription",
        "Default",
        "Description",
        "MaxLength",
        "MaxValue",
        "MinLength",
        "MinValue",
        "NoEcho",
        "Type",
    }
)
_SIMPLE_TYPES: Final = frozenset({"String", "Number", "CommaDelimitedList", "List<Number>", "List<String>"})
_SINGLE_AWS_TYPES: Final = frozenset(
    {
        "AWS::EC2::AvailabilityZone::Name",
        "AWS::EC2::Image::Id",
        "AWS::EC2::Instance::Id",
        "AWS::EC2::KeyPair::KeyName",
        "AWS::EC2::SecurityGroup::GroupName",
        "AWS::EC2::SecurityGroup::Id",
        "AWS::EC2::Subnet::Id",
        "AWS::EC2::VPC::Id",
        "AWS::EC2::Volume::Id",
        "AWS::Route53::HostedZone::Id",
        "AWS::SSM::Parameter::Name",
    }
)
"""Template reference, "AWS-specific parameter types supplied by CloudFormation"; each but the last as List<> too."""
_SSM_VALUE: Final = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")
_LIST: Final = re.compile(r"List<(.+)>")


@dataclass(frozen=True, slots=True)
class ParameterDeclaration:
    """One entry of the Parameters section."""

    name: str
    type: str
    default: str | None = None
    no_echo: bool = False
    description: str | None = None
    allowed_values: tuple[str, ...] = ()
    allowed_pattern: str | None = None
    constraint: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_value: float | None = None
    max_value: float | None = None

    @property
    def value_type(self) -> str:
        """The type of what Ref gives: for an SSM parameter that of the stored value."""
        found = _SSM_VALUE.fullmatch(self.type)
        return found[1] if found else self.type

    @property
    def is_list(self) -> bool:
        """Whether Ref gives a list."""
        return self.value_type == "CommaDelimitedList" or self.value_type.startswith("List<")

    @property
    def item_type(self) -> str:
        """The type of the value, or of each item of a list."""
        found = _LIST.fullmatch(self.value_type)
        return found[1] if found else self.value_type.replace("CommaDelimitedList", "String")


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """One parameter of one stack."""

    name: str
    text: str
    """As it was handed in, or the default: for an SSM type the name in the Parameter Store."""
    value: Any
    """What Ref gives: a string, or a list of strings."""
    no_echo: bool = False
    resolved: str | None = None
    """What the Parameter Store held, for an SSM type."""

    @property
    def shown(self) -> str:
        """The text as anybody may see it."""
        return MASK if self.no_echo else self.text


@dataclass(frozen=True, slots=True)
class Lookups:
    """What parameters ask of the rest of the cloud."""

    stored: Callable[[str], str | None]
    """The Parameter Store's value of a name; None if there is none."""
    exists: Callable[[str, str], bool]
    """Whether there is a resource of a parameter type (`AWS::EC2::VPC::Id`) with that id."""


def parse_parameter(name: str, entry: Mapping[str, Any]) -> ParameterDeclaration:
    """
    Read one declaration.

    Raises:
        TemplateError: It has no type, or a type or key this engine does not know.
    """
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise TemplateError(f"Invalid template parameter property {unknown} in parameter {name}")
    declared = ParameterDeclaration(
        name=name,
        type=str(entry.get("Type", "")),
        default=_text(entry["Default"]) if "Default" in entry else None,
        no_echo=str(entry.get("NoEcho", "false")).lower() == "true",
        description=entry.get("Description"),
        allowed_values=tuple(_text(value) for value in entry.get("AllowedValues", ())),
        allowed_pattern=entry.get("AllowedPattern"),
        constraint=entry.get("ConstraintDescription"),
        min_length=_number(entry, "MinLength", int),
        max_length=_number(entry, "MaxLength", int),
        min_value=_number(entry, "MinValue", float),
        max_value=_number(entry, "MaxValue", float),
    )
    if declared.value_type not in _SIMPLE_TYPES and declared.item_type not in _SINGLE_AWS_TYPES:
        raise TemplateError(
            f"Template format error: Unrecognized parameter type: {declared.type!r} of parameter {name}"
        )
    return declared


def resolve_parameters(
    declared: Mapping[str, ParameterDeclaration],
    given: Sequence[Mapping[str, Any]],
    *,
    previous: Mapping[str, ParameterValue],
    lookups: Lookups,
) -> dict[str, ParameterValue]:
    """
    Turn the `Parameters` of a request into values, each checked against its declaration.

    Args:
        declared: The template's Parameters section.
        given: As in the request: ParameterKey with ParameterValue or UsePreviousValue.
        previous: The stack's present values, empty for a new stack.
        lookups: Where SSM names and ids of AWS types are looked up.

    Raises:
        ValidationError: A parameter is unknown, missing, or breaks a constraint.
    """
    texts = {name: entry.default for name, entry in declared.items()}
    unknown = sorted({str(entry["ParameterKey"]) for entry in given} - declared.keys())
    if unknown:
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    for entry in given:
        texts[entry["ParameterKey"]] = _given_text(entry, previous)
    missing = sorted(name for name, text in texts.items() if text is None)
    if missing:
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _value(declared[name], text, lookups) for name, text in texts.items() if text is not None}


def _given_text(entry: Mapping[str, Any], previous: Mapping[str, ParameterValue]) -> str | None:
    name = entry["ParameterKey"]
    if not entry.get("UsePreviousValue"):
        return entry.get("ParameterValue")
    if "ParameterValue" in entry:
        raise ValidationError(
            f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true and a value"
        )
    if name not in previous:
        raise ValidationError(f"Invalid input for parameter key {name}. Cannot use previous value for a new parameter")
    return previous[name].text


def _value(declared: ParameterDeclaration, text: str, lookups: Lookups) -> ParameterValue:
    resolved = None
    if declared.value_type != declared.type:
        resolved = lookups.stored(text)
        if resolved is None:
            raise ValidationError(
                f"Unable to fetch parameters [{text}] from parameter store for this account (parameter {declared.name})"
            )
    whole = text if resolved is None else resolved
    items = _items(whole) if declared.is_list else [whole]
    for item in items:
        _check(declared, item)
        if declared.item_type in _SINGLE_AWS_TYPES and not lookups.exists(declared.item_type, item):
            raise ValidationError(
                f"Parameter validation failed: parameter value {item} for parameter name {declared.name} does not exist"
            )
    return ParameterValue(declared.name, text, items if declared.is_list else whole, declared.no_echo, resolved)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _check(declared: ParameterDeclaration, text: str) -> None:
    for holds, must in (
        (_is_allowed(declared.allowed_values, text), f"be one of AllowedValues {list(declared.allowed_values)}"),
        (_matches(declared.allowed_pattern, text), f"match pattern {declared.allowed_pattern}"),
        (_within(len(text), declared.min_length, None), f"contain at least {declared.min_length} characters"),
        (_within(len(text), None, declared.max_length), f"contain at most {declared.max_length} characters"),
        (declared.item_type != "Number" or _as_number(text) is not None, "be a number"),
        (_within(_as_number(text), declared.min_value, None), f"be a number not less than {declared.min_value}"),
        (_within(_as_number(text), None, declared.max_value), f"be a number not greater than {declared.max_value}"),
    ):
        if not holds:
            found = MASK if declared.no_echo else repr(text)
            because = f" ({declared.constraint})" if declared.constraint else ""
            raise ValidationError(f"Parameter '{declared.name}' must {must}{because}; found {found}")


def _is_allowed(allowed: Collection[str], text: str) -> bool:
    return not allowed or text in allowed


def _matches(pattern: str | None, text: str) -> bool:
    return pattern is None or re.fullmatch(pattern, text) is not None


def _within(number: float | None, lowest: float | None, highest: float | None) -> bool:
    if lowest is None and highest is None:
        return True
    if number is None:
        return False
    return (lowest is None or number >= lowest) and (highest is None or number <= highest)


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(entry: Mapping[str, Any], name: str, kind: Callable[[Any], Any]) -> Any:
    return kind(entry[name]) if name in entry else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise TemplateError(f"Template format error: a parameter's values are strings or numbers, not {value!r}")
    return str(value)
