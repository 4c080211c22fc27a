"""
A policy document, read: statements, and whom, which actions and what each means.

Everything IAM's grammar has is either understood here or refused, for an
element passed over would make a denial silent (IAM guide, "Grammar of the IAM
JSON policy language").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final

from stacks.access.conditions import Condition, read_conditions
from stacks.access.faults import PolicyFaultError
from stacks.access.matching import Context, PolicyText, is_like_any

PolicyDocument = Mapping[str, Any]
"""A policy as JSON, every intrinsic in it resolved."""

_ELEMENTS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_ELEMENTS: Final = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_VERSIONS: Final = ("2008-10-17", "2012-10-17")
_ACCOUNT: Final = re.compile(r"\d{12}")
_PRINCIPAL_ARN: Final = re.compile(r"arn:[\w-]+:(?:iam|sts)::(\d{12}):(root$|role/|user/|assumed-role/)[^*?]*")


class Effect(StrEnum):
    """What a statement does where it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class Form(StrEnum):
    """The forms of a principal in a policy (IAM guide, "AWS JSON policy elements: Principal")."""

    EVERYBODY = "*"
    ACCOUNT = "root"
    ROLE = "role/"
    USER = "user/"
    SESSION = "assumed-role/"
    SERVICE = "Service"
    FEDERATED = "Federated"


class Reach(IntEnum):
    """How a statement means somebody, by how much what it allows depends on other policies."""

    NOT = 0
    ACCOUNT = 1
    """Its account: who else in it may, its identity policies decide."""
    ROLE = 2
    """The role: a boundary of it limits what is allowed so."""
    DIRECT = 3
    """Itself, its session, or everybody."""


@dataclass(frozen=True, slots=True)
class NamedPrincipal:
    """A principal as a policy names it: an ARN, an account's number, a service's name."""

    form: Form
    value: str


@dataclass(frozen=True, slots=True)
class Statement:
    """
    One statement.

    Attributes:
        name: Its Sid, or its position from 1.
        principals: Whom it means; None in a policy that belongs to a principal.
        are_excepted: The principals are those of NotPrincipal.
        actions: In lower case, for actions are the same in any case.
        resources: None where the policy belongs to one resource that needs no naming, a role.
    """

    name: str
    effect: Effect
    principals: tuple[NamedPrincipal, ...] | None
    are_excepted: bool
    actions: tuple[str, ...]
    actions_negated: bool
    resources: tuple[PolicyText, ...] | None
    resources_negated: bool
    conditions: tuple[Condition, ...]

    def covers(self, action: str, resource: str, context: Context) -> bool:
        """Say whether action, resource and conditions match; whom it means is another question."""
        if is_like_any(action.lower(), self.actions) is self.actions_negated:
            return False
        if self.resources is not None:
            filled = (text.pattern(context) for text in self.resources)
            patterns = tuple(pattern for pattern in filled if pattern is not None)
            if is_like_any(resource, patterns) is self.resources_negated:
                return False
        return all(condition.holds(context) for condition in self.conditions)


def read_policy(document: PolicyDocument, name: str) -> tuple[Statement, ...]:
    """
    Read a policy.

    Args:
        document: As JSON.
        name: What it is called in a fault.

    Raises:
        PolicyFaultError: It has an element, a value or a shape that IAM would refuse or we do not know.
    """
    try:
        version, statements = _envelope(document)
    except PolicyFaultError as fault:
        raise PolicyFaultError(fault.reason, policy=name, part=fault.part) from fault
    with_variables = version == _VERSIONS[1]
    return tuple(
        _named(statement, str(index), policy=name, with_variables=with_variables)
        for index, statement in enumerate(statements, 1)
    )


def _envelope(document: object) -> tuple[str, list[object]]:
    """Give the version and the raw statements."""
    if not isinstance(document, Mapping):
        raise PolicyFaultError("a policy is a table")
    _only(document, _ELEMENTS)
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise PolicyFaultError(f"there is no Version {version!r}")
    statements = document.get("Statement")
    return version, statements if isinstance(statements, list) else [statements]


def _named(raw: object, position: str, *, policy: str, with_variables: bool) -> Statement:
    sid = raw.get("Sid") if isinstance(raw, Mapping) else None
    name = sid if isinstance(sid, str) and sid else position
    try:
        return _statement(raw, name, with_variables=with_variables)
    except PolicyFaultError as fault:
        part = f"{name} {fault.part}" if fault.part else name
        raise PolicyFaultError(fault.reason, policy=policy, part=part) from fault


def _statement(raw: object, name: str, *, with_variables: bool) -> Statement:
    if not isinstance(raw, Mapping):
        raise PolicyFaultError("a statement is a table")
    _only(raw, _STATEMENT_ELEMENTS)
    if raw.get("Effect") not in tuple(Effect):
        raise PolicyFaultError(f"Effect is Allow or Deny, not {raw.get('Effect')!r}")
    effect = Effect(raw["Effect"])
    principals, are_excepted = _either(raw, "Principal")
    actions, actions_negated = _either(raw, "Action")
    resources, resources_negated = _either(raw, "Resource")
    if not all(action == "*" or ":" in action for action in _texts(actions, "Action")):
        raise PolicyFaultError(f"an action is a service's, as in s3:GetObject, not {actions!r}")
    if are_excepted and effect is Effect.ALLOW:
        raise PolicyFaultError("NotPrincipal with Allow means everybody else in the world; it is refused")
    texts = None if resources is None else _resources(resources, with_variables=with_variables)
    if resources_negated and any(text.has_variables for text in texts or ()):
        # Without its value the variable "will not match any resource" (IAM guide, "Policy variables with no value"):
        # whether NotResource then means every resource or none is left open, and evaluators differ.
        raise PolicyFaultError("a policy variable in NotResource is not supported")
    return Statement(
        name,
        effect,
        None if principals is None else _principals(principals),
        are_excepted,
        tuple(action.lower() for action in _texts(actions, "Action")),
        actions_negated,
        texts,
        resources_negated,
        tuple(read_conditions(raw.get("Condition", {}), with_variables=with_variables)),
    )


def _either(raw: Mapping[str, Any], element: str) -> tuple[object, bool]:
    """Give an element or its negation, and whether it is the negation."""
    negation = f"Not{element}"
    if element in raw and negation in raw:
        raise PolicyFaultError(f"it has both {element} and {negation}")
    return (raw[negation], True) if negation in raw else (raw.get(element), False)


def _resources(raw: object, *, with_variables: bool) -> tuple[PolicyText, ...]:
    return tuple(PolicyText.read(text, with_variables=with_variables) for text in _texts(raw, "Resource"))


def _principals(raw: object) -> tuple[NamedPrincipal, ...]:
    if raw == "*":
        return (NamedPrincipal(Form.EVERYBODY, "*"),)
    if not isinstance(raw, Mapping):
        raise PolicyFaultError(f'a principal is "*" or a table, not {raw!r}')
    return tuple(_principal(kind, value) for kind, values in raw.items() for value in _texts(values, "Principal"))


def _principal(kind: str, value: str) -> NamedPrincipal:
    match kind:
        case "AWS" if value == "*":
            return NamedPrincipal(Form.EVERYBODY, value)
        case "AWS" if _ACCOUNT.fullmatch(value):
            return NamedPrincipal(Form.ACCOUNT, value)
        case "AWS" if match := _PRINCIPAL_ARN.fullmatch(value):
            form = Form(match[2])
            return NamedPrincipal(form, match[1] if form is Form.ACCOUNT else value)
        case "Service" | "Federated" if not {"*", "?"} & set(value):
            return NamedPrincipal(Form(kind), value)
        case _:
            raise PolicyFaultError(f"the principal {kind} {value!r} is not supported")


def _texts(raw: object, element: str) -> list[str]:
    values = [raw] if isinstance(raw, str) else raw
    if not isinstance(values, Sequence) or not values or not all(isinstance(value, str) for value in values):
        raise PolicyFaultError(f"{element} is a text or a list of texts, not {raw!r}")
    return list(values)


def _only(raw: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = [str(key) for key in raw if key not in known]
    if unknown:
        raise PolicyFaultError(f"the element {unknown[0]} is unknown")
