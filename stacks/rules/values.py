"""
What a property's value can be once the intrinsics in it are resolved.

Plain JSON, in which texts may know where they came from; and one thing that is
no value, for what nobody can tell before AWS does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self


class Reference(str):
    """
    The identity of a resource, or an attribute of it, as the text AWS might give.

    It compares as that text: a role's ARN follows from its name; an id that
    AWS draws is made up, always the same one for the same resource.

    Attributes:
        stack: Where the resource is.
        logical_id: Which one.
        attribute: What of it, `Ref` or the name `Fn::GetAtt` gives.
    """

    __slots__ = ("attribute", "logical_id", "stack")
    stack: str
    logical_id: str
    attribute: str

    def __new__(cls, text: str, *, stack: str, logical_id: str, attribute: str) -> Self:
        """Say what the text stands for."""
        made = super().__new__(cls, text)
        made.stack, made.logical_id, made.attribute = stack, logical_id, attribute
        return made


class Supplied(str):
    """
    A parameter's value that no stack offers: its default, or an example of what the deployer hands in.

    Attributes:
        stack: Which template has the parameter.
        parameter: Its name.
    """

    __slots__ = ("parameter", "stack")
    stack: str
    parameter: str

    def __new__(cls, text: str, *, stack: str, parameter: str) -> Self:
        """Say whose value the text is."""
        made = super().__new__(cls, text)
        made.stack, made.parameter = stack, parameter
        return made


@dataclass(frozen=True, slots=True)
class Unresolved:
    """What cannot be told from the templates; `why` says what stands in the way."""

    why: str


_TRUTHS: Final = {"true": True, "false": False}
_SHOWN_CHARACTERS: Final = 120


def number(value: object) -> float | None:
    """Read a number, also one written as text, as CloudFormation does; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def flag(value: object) -> bool | None:
    """Read a truth value, also one written as text, as CloudFormation does; None if it is none."""
    if isinstance(value, bool):
        return value
    return _TRUTHS.get(value.lower()) if isinstance(value, str) else None


def listed(value: object) -> list[object]:
    """Give a list: of what may be written as one or as several, and nothing of nothing."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def shown(value: object) -> str:
    """Write a value for somebody who reads a finding; long ones are cut."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
