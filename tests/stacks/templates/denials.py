"""
A small judge of denials: does one of these statements deny this request?

It knows the operators our bucket and key policies use and fails on any other,
and of each what decides: a negated one holds where its key is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tests.stacks.templates.reading import listed

Context = Mapping[str, str]


def denied_by(document: Mapping[str, Any], action: str, resource: str, context: Context) -> set[str]:
    """Name the statements of a policy that deny the request."""
    return {
        statement["Sid"]
        for statement in document["Statement"]
        if statement["Effect"] == "Deny"
        and any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        and all(_holds(operator, keys, context) for operator, keys in statement["Condition"].items())
    }


def _holds(operator: str, keys: Mapping[str, Any], context: Context) -> bool:
    return all(_OPERATORS[operator](context.get(key), _texts(values)) for key, values in keys.items())


def _texts(values: object) -> list[str]:
    several = values if isinstance(values, list) else [values]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in several]


def _like(found: str | None, wanted: Sequence[str]) -> bool:
    return found is not None and any(fnmatchcase(found, pattern) for pattern in wanted)


def _equal(found: str | None, wanted: Sequence[str]) -> bool:
    return found in wanted


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "ArnLike": _like,
    "ArnNotLike": lambda found, wanted: not _like(found, wanted),
    "Bool": _equal,
    "StringEquals": _equal,
    "StringNotEquals": lambda found, wanted: not _equal(found, wanted),
    "NumericLessThan": lambda found, wanted: found is not None and float(found) < float(wanted[0]),
    "Null": lambda found, wanted: str(found is None).lower() in wanted,
}
