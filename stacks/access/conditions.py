"""
Conditions: the operators of IAM, and what they say of keys that are absent.

Source of all of it: IAM guide, "IAM JSON policy elements: Condition
operators", and for keys of several values "Set operators for multivalued
context keys".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Any, Final

from stacks.access.faults import PolicyFaultError
from stacks.access.matching import Context, PolicyText, is_arn_like, is_like, plain

Compare = Callable[[str, str], bool]
"""Compares what the request has with what the policy wants, its variables filled in."""
_OPERATOR: Final = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?")
_NULL: Final = "Null"


class _Set(StrEnum):
    """How an operator goes over a key of several values."""

    ALL = "ForAllValues"
    ANY = "ForAnyValue"
    NONE = ""


@dataclass(frozen=True, slots=True)
class _Family:
    """
    What an operator compares.

    Attributes:
        check: Raises ValueError for a text of the policy that is no such value.
        has_variables: Whether policy variables may stand in it.
    """

    compare: Compare
    is_negated: bool = False
    check: Callable[[str], object] = str
    has_variables: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """
    One key under one operator.

    Attributes:
        key: In lower case, for a key's name is the same in any case.
        wanted: Any of these will do; for a negated operator, none of them may.
    """

    operator: str
    key: str
    wanted: tuple[PolicyText, ...]
    family: _Family
    over: _Set
    if_exists: bool

    def holds(self, context: Context) -> bool:
        """Say whether it holds for a request."""
        found = _values(context.get(self.key))
        if self.over is not _Set.NONE:
            # For the set operators an empty text is a value that is not there.
            found = tuple(value for value in found if value)
        if self.operator == _NULL:
            return any((text.parts == ("true",)) == (not found) for text in self.wanted)
        if not found:
            return self._holds_without()
        if self.over is _Set.NONE and len(found) > 1:
            raise PolicyFaultError(
                f"{self.operator} on {self.key}, which has several values: "
                "only ForAllValues and ForAnyValue say what that means"
            )
        judged = (self._holds_for(value, context) for value in found)
        return any(judged) if self.over is _Set.ANY else all(judged)

    def _holds_without(self) -> bool:
        """Say whether it holds where the key is absent."""
        if self.if_exists or self.over is _Set.ALL:
            return True
        return self.family.is_negated and self.over is _Set.NONE

    def _holds_for(self, value: str, context: Context) -> bool:
        patterns = (text.pattern(context) for text in self.wanted)
        matches = any(pattern is not None and self.family.compare(value, pattern) for pattern in patterns)
        return matches is not self.family.is_negated


def read_conditions(raw: object, *, with_variables: bool) -> Iterator[Condition]:
    """
    Read the Condition of a statement.

    Raises:
        PolicyFaultError: An operator or a value that is none, or none we know.
    """
    for name, keys in _table(raw, "Condition").items():
        for key, values in _table(keys, name).items():
            yield _condition(name, key, values, with_variables=with_variables)


def _condition(name: str, key: str, values: object, *, with_variables: bool) -> Condition:
    match = _OPERATOR.fullmatch(name)
    family = _FAMILIES.get(match[2]) if match else None
    if match is None or family is None:
        raise PolicyFaultError(f"the condition operator {name} is unknown", part=name)
    over, if_exists = _Set(match[1] or ""), match[3] is not None
    if match[2] == _NULL and (over is not _Set.NONE or if_exists):
        raise PolicyFaultError("Null stands alone: it asks for presence itself", part=name)
    if over is _Set.ANY and if_exists:
        # Without the key ForAnyValue is false and IfExists is true; the guide does not say which of them wins.
        raise PolicyFaultError("ForAnyValue and IfExists contradict each other where the key is absent", part=name)
    if ":" not in key:
        raise PolicyFaultError(f"{key!r} is no condition key", part=name)
    if values == []:
        raise PolicyFaultError(f"{key} has no value to compare with", part=name)
    wanted = [_written(value, f"{name} {key}") for value in (values if isinstance(values, list) else [values])]
    texts = tuple(PolicyText.read(text, with_variables=with_variables and family.has_variables) for text in wanted)
    for text in wanted:
        _check(family, text, f"{name} {key}")
    if match[2] in _TRUTHS:
        texts = tuple(PolicyText((text.lower(),)) for text in wanted)
    return Condition(match[2], key.lower(), texts, family, over, if_exists)


def _check(family: _Family, text: str, part: str) -> None:
    try:
        family.check(text)
    except ValueError as error:
        raise PolicyFaultError(f"{text!r} is not what it compares", part=part) from error


def _written(value: object, part: str) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float() | str():
            return str(value)
        case _:
            raise PolicyFaultError(f"{value!r} is no text, number or truth value", part=part)


def _table(raw: object, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
        raise PolicyFaultError(f"{what} is no table")
    return raw


def _values(found: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return (found,) if isinstance(found, str) else found


# -- what each family compares --------------------------------------------------------


def _equals(found: str, wanted: str) -> bool:
    return found == plain(wanted)


def _equals_in_any_case(found: str, wanted: str) -> bool:
    return found.casefold() == plain(wanted).casefold()


def _is_in_network(found: str, wanted: str) -> bool:
    try:
        address = ip_address(found)
    except ValueError:
        return False
    network = ip_network(wanted, strict=False)
    return address.version == network.version and address in network


def _parsed(parse: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Compare:
    """Compare two texts by what they say; a request's that says nothing of the kind compares with nothing."""

    def compare_texts(found: str, wanted: str) -> bool:
        try:
            value = parse(found)
        except ValueError:
            return False
        return compare(value, parse(wanted))

    return compare_texts


def _moment(text: str) -> datetime:
    """Read a date and time of ISO 8601, or seconds since 1970."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _truth(text: str) -> bool:
    truths = {"true": True, "false": False}
    if text.lower() not in truths:
        raise ValueError(text)
    return truths[text.lower()]


_TRUTHS: Final = frozenset({"Bool", _NULL})
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}


def _ordered(name: str, parse: Callable[[str], Any]) -> dict[str, _Family]:
    families = {name + word: _Family(_parsed(parse, order), check=parse) for word, order in _ORDERS.items()}
    return families | {f"{name}NotEquals": _Family(_parsed(parse, operator.eq), is_negated=True, check=parse)}


def _pair(positive: str, negative: str, compare: Compare) -> dict[str, _Family]:
    return {
        positive: _Family(compare, has_variables=True),
        negative: _Family(compare, is_negated=True, has_variables=True),
    }


# BinaryEquals is not among them: nothing we build has a key of bytes, and so it is refused as unknown.
_FAMILIES: Final[Mapping[str, _Family]] = {
    **_pair("StringEquals", "StringNotEquals", _equals),
    **_pair("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", _equals_in_any_case),
    **_pair("StringLike", "StringNotLike", is_like),
    # Either of the two compares ARNs in the same way (IAM guide, "ARN condition operators").
    **_pair("ArnEquals", "ArnNotEquals", is_arn_like),
    **_pair("ArnLike", "ArnNotLike", is_arn_like),
    **_ordered("Numeric", float),
    **_ordered("Date", _moment),
    "Bool": _Family(_parsed(_truth, operator.eq), check=_truth),
    "IpAddress": _Family(_is_in_network, check=lambda text: ip_network(text, strict=False)),
    "NotIpAddress": _Family(_is_in_network, is_negated=True, check=lambda text: ip_network(text, strict=False)),
    _NULL: _Family(_equals, check=_truth),
}
