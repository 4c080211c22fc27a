"""
Which events a pattern matches, as EventBridge decides (EventBridge guide, event patterns; comparison operators).

A value in a pattern is a list of what may stand there; everything a pattern
does not name may be anything. An operator nobody knows is a fault, for
EventBridge refuses the rule.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

OR: Final = "$or"
_MISSING: Final = object()


def matches(pattern: object, event: object) -> bool:
    """Say whether a pattern, or a part of it, matches an event, or the part of the event at the same place."""
    if not isinstance(pattern, dict):
        return False
    if isinstance(event, list):
        return any(matches(pattern, each) for each in event)
    fields = event if isinstance(event, dict) else {}
    return all(_holds(name, wanted, fields) for name, wanted in pattern.items())


def _holds(name: str, wanted: object, fields: Mapping[str, Any]) -> bool:
    if name == OR:
        return isinstance(wanted, list) and any(matches(each, fields) for each in wanted)
    found = fields.get(name, _MISSING)
    if isinstance(wanted, dict):
        return matches(wanted, found)
    values = found if isinstance(found, list) else [found]
    return isinstance(wanted, list) and any(_is(each, value) for each in wanted for value in values or [_MISSING])


def _is(wanted: object, value: object) -> bool:
    if isinstance(wanted, dict) and len(wanted) == 1:
        ((operator, given),) = wanted.items()
        decide = _OPERATORS.get(operator)
        return decide is not None and decide(given, value)
    # True is 1 to Python, and not to EventBridge.
    return value is not _MISSING and isinstance(wanted, bool) is isinstance(value, bool) and wanted == value


def _text(compare: Callable[[str, str], bool]) -> Callable[[Any, object], bool]:
    """Make an operator of a comparison of texts, where the given may also be to be read in any case."""

    def decide(given: Any, value: object) -> bool:  # noqa: ANN401 -- as somebody wrote it
        if not isinstance(value, str):
            return False
        if isinstance(given, dict):
            return compare(str(given.get("equals-ignore-case", "")).lower(), value.lower())
        return compare(str(given), value)

    return decide


def _anything_but(given: Any, value: object) -> bool:  # noqa: ANN401
    if value is _MISSING:
        return False
    if isinstance(given, dict):
        return not any(_is({operator: each}, value) for operator, each in given.items())
    return value not in (given if isinstance(given, list) else [given])


def _exists(given: Any, value: object) -> bool:  # noqa: ANN401
    return given is (value is not _MISSING)


def _like(given: str, value: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in given.split("*")), value, re.DOTALL) is not None


def _in_network(given: str, value: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(given)
    except ValueError:
        return False


_NUMBERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def _numeric(given: Any, value: object) -> bool:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    pairs = zip(given[::2], given[1::2], strict=True)
    return all(_NUMBERS[sign](value, float(bound)) for sign, bound in pairs)


_OPERATORS: Final[Mapping[str, Callable[[Any, object], bool]]] = {
    "prefix": _text(lambda given, value: value.startswith(given)),
    "suffix": _text(lambda given, value: value.endswith(given)),
    "equals-ignore-case": _text(lambda given, value: value.lower() == given.lower()),
    "wildcard": _text(_like),
    "cidr": _text(_in_network),
    "numeric": _numeric,
    "anything-but": _anything_but,
    "exists": _exists,
}


def faults(pattern: object, path: str = "EventPattern") -> Iterator[tuple[str, str]]:
    """Give what EventBridge refuses of a pattern: where, and what must be."""
    if not isinstance(pattern, dict) or not pattern:
        yield path, "a table that names something"
        return
    for name, wanted in pattern.items():
        place = f"{path}.{name}"
        if name == OR and isinstance(wanted, list) and len(wanted) > 1:
            for index, each in enumerate(wanted):
                yield from faults(each, f"{place}.{index}")
        elif isinstance(wanted, dict) and name != OR:
            yield from faults(wanted, place)
        elif not isinstance(wanted, list) or not wanted or name == OR:
            yield place, "a list of what may stand there"
        else:
            yield from _faults_of_values(wanted, place)


def _faults_of_values(wanted: list[Any], place: str) -> Iterator[tuple[str, str]]:
    for index, each in enumerate(wanted):
        is_operator = isinstance(each, dict) and len(each) == 1 and next(iter(each)) in _OPERATORS
        if isinstance(each, (dict, list)) and not is_operator:
            yield f"{place}.{index}", f"a value, or one of {', '.join(_OPERATORS)}"
