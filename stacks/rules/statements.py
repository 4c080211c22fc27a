"""
Every statement of every policy in the templates, as a rule asks of it.

Read leniently: what is misspelt or misplaced stays to be seen, for that is
what rules look for. How IAM would decide is `stacks.access`' to say, which
reads strictly.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache, partial
from typing import Any, Final

from stacks.rules.estate import Estate, Fault, Resource, UnresolvedError
from stacks.rules.rule import Rule, Trial
from stacks.rules.values import Unresolved, listed
from stacks.rules.vocabulary import actions_like

_ANY: Final = ("ForAnyValue:", "ForAllValues:")
_IF_EXISTS: Final = "IfExists"


class Kind(Enum):
    """Whose a policy is."""

    IDENTITY = auto()
    """A role's: what it may do."""
    TRUST = auto()
    """A role's: who may take it."""
    RESOURCE = auto()
    """A resource's: who may do what to it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """
    One key of a condition.

    Attributes:
        operator: As written, with whatever stands before and behind it.
        path: Below the statement.
    """

    operator: str
    key: str
    values: tuple[object, ...]
    path: str

    @property
    def base(self) -> str:
        """The operator without what stands before and behind it."""
        return self.operator.removeprefix(_ANY[0]).removeprefix(_ANY[1]).removesuffix(_IF_EXISTS)

    @property
    def quantifier(self) -> str:
        """What stands before the operator, `ForAllValues:`."""
        return next((each for each in _ANY if self.operator.startswith(each)), "")

    @property
    def holds_if_absent(self) -> bool:
        """Whether the operator says that it holds where the key is absent."""
        return self.operator.endswith(_IF_EXISTS)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy, where it is, and what stands in it."""

    document: Document
    path: str
    """Below Properties, `PolicyDocument.Statement.3`."""
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def allows(self) -> bool:
        """Whether it says Allow."""
        return self.raw.get("Effect") == "Allow"

    @property
    def denies(self) -> bool:
        """Whether it says Deny."""
        return self.raw.get("Effect") == "Deny"

    @property
    def actions(self) -> list[str]:
        """The actions it names, as patterns."""
        return _texts(self.raw.get("Action"))

    @property
    def resources(self) -> list[str]:
        """The resources it names, as patterns."""
        return _texts(self.raw.get("Resource"))

    @property
    def principals(self) -> list[tuple[str, str]]:
        """Whom it names, each with what sort it is of: `AWS`, `Service`, `Federated`; everybody is `AWS` too."""
        named = self.raw.get("Principal")
        if isinstance(named, dict):
            return [(sort, value) for sort, values in named.items() for value in _texts(values)]
        return [("AWS", value) for value in _texts(named)]

    @property
    def conditions(self) -> list[Condition]:
        """Its conditions, key by key."""
        return [
            Condition(operator, key, tuple(listed(values)), f"Condition.{operator}.{key}")
            for operator, keys in _table(self.raw.get("Condition")).items()
            for key, values in _table(keys).items()
        ]

    def on(self, key: str) -> list[Condition]:
        """Give its conditions on a key."""
        return [condition for condition in self.conditions if condition.key == key]

    def means(self, action: str) -> bool:
        """Say whether its Action names an action, by itself or by a wildcard."""
        return any(action in actions_like(pattern) for pattern in self.actions)

    def fault(self, element: str, *, found: object, expected: str) -> Fault:
        """Object to an element of it, empty for all of it."""
        path = f"{self.path}.{element}" if element else self.path
        return self.document.resource.fault(path, found=found, expected=expected)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One policy: whose it is, the path below Properties it lies at, and what stands in it."""

    resource: Resource
    path: str
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def kind(self) -> Kind:
        """Whose it is."""
        if not self.resource.type.startswith("AWS::IAM::"):
            return Kind.RESOURCE
        return Kind.TRUST if self.path.endswith("AssumeRolePolicyDocument") else Kind.IDENTITY

    @property
    def statements(self) -> Sequence[Statement]:
        """
        Its statements.

        Raises:
            UnresolvedError: Something in it cannot be told.
        """
        return _statements(self)

    def fault(self, element: str, *, found: object, expected: str) -> Fault:
        """Object to an element of it."""
        return self.resource.fault(f"{self.path}.{element}", found=found, expected=expected)


@lru_cache(maxsize=2)
def documents(estate: Estate) -> Sequence[Document]:
    """Give every policy in the templates, also one that is written as text."""
    found = [Document(resource, path, raw) for resource, path, raw in estate.documents()]
    return (*found, *_documents_in_text(estate))


def documents_of(resource: Resource) -> list[Document]:
    """Give the policies a resource has within itself."""
    return [document for document in documents(resource.estate) if document.resource is resource]


def rule_on_policies(
    requirement: str, *, why: str, source: str, also: Sequence[str] = ()
) -> Callable[[Callable[[Document], Iterable[Fault]]], Rule]:
    """Declare a rule over each policy there is; one that cannot be read does not hide the next."""

    def declare(judge: Callable[[Document], Iterable[Fault]]) -> Rule:
        def trials(estate: Estate) -> Iterator[Trial]:
            return ((document.resource, partial(judge, document)) for document in documents(estate))

        sentence = inspect.cleandoc(judge.__doc__ or "")
        return Rule(requirement, judge.__name__, sentence, why, source, tuple(also), trials)

    return declare


@lru_cache(maxsize=256)
def _statements(document: Document) -> Sequence[Statement]:
    _refuse_unresolved(document.resource, document.path, document.raw)
    return tuple(
        Statement(document, f"{document.path}.Statement.{index}", raw)
        for index, raw in enumerate(listed(document.raw.get("Statement")))
        if isinstance(raw, dict)
    )


def _documents_in_text(estate: Estate) -> Iterator[Document]:
    for resource in estate.resources:
        properties = estate.properties(resource)
        for name, value in properties.items() if isinstance(properties, dict) else ():
            if "Policy" in name and isinstance(value, str):
                raw = _parsed(value)
                if isinstance(raw, dict) and "Statement" in raw:
                    yield Document(resource, name, raw)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refuse_unresolved(resource: Resource, path: str, value: object) -> None:
    match value:
        case Unresolved():
            raise UnresolvedError(resource, f"Properties.{path}", value.why)
        case dict():
            for key, inner in value.items():
                _refuse_unresolved(resource, f"{path}.{key}", inner)
        case list():
            for index, inner in enumerate(value):
                _refuse_unresolved(resource, f"{path}.{index}", inner)
        case _:
            return


def _texts(value: object) -> list[str]:
    return [each for each in listed(value) if isinstance(each, str)]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
