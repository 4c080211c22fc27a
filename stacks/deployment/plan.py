"""
What a deployment would do, as values: every stack of an environment on one page.

Pure: what CloudFormation says of a change set goes in, changes come out, with
property values before and after, and with what would lose its state marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from stacks.errors import DeploymentError

_STATEFUL_TYPES: Final = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::ECR::Repository",
        "AWS::ElasticLoadBalancing::LoadBalancer",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
    }
)
"""
Types that lose something nobody can render again, whatever their DeletionPolicy says.

A load balancer loses its DNS name, which partners' names and firewalls lead to.
"""


class Action(StrEnum):
    """What happens to a resource."""

    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"


class Outlook(StrEnum):
    """What is known of a stack's change."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    KNOWN_AFTER = "known after"
    """Its inputs are outputs of stacks that do not exist yet."""
    WAITING = "waiting"
    """Its inputs are things an operator makes first: an image, a certificate."""


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One property, before and after; None is absent."""

    path: str
    before: str | None
    after: str | None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource's change."""

    action: Action
    logical_id: str
    type: str
    physical_id: str = ""
    properties: tuple[PropertyChange, ...] = ()
    is_conditional: bool = False
    """CloudFormation cannot tell yet whether it replaces; counted as if it did."""
    holds_state: bool = False

    @property
    def risks_state(self) -> bool:
        """Tell whether something may be lost that no deployment brings back."""
        return self.holds_state and self.action in {Action.REPLACE, Action.REMOVE}


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What would happen to one stack."""

    name: str
    stack_name: str
    outlook: Outlook
    changes: tuple[ResourceChange, ...] = ()
    waits_for: tuple[str, ...] = ()
    """Names of stacks (KNOWN_AFTER) or sentences (WAITING)."""
    resource_count: int = 0
    """What its template holds; for a stack whose changes are not known yet."""


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """What would happen to an environment, stack by stack in the order of deployment."""

    environment: str
    stacks: tuple[StackPlan, ...]

    @property
    def changes_nothing(self) -> bool:
        """Tell whether AWS is as the templates say already."""
        return all(stack.outlook is Outlook.UNCHANGED for stack in self.stacks)

    def at_risk(self) -> Iterator[tuple[StackPlan, ResourceChange]]:
        """Yield every change that may lose state."""
        for stack in self.stacks:
            for change in stack.changes:
                if change.risks_state:
                    yield stack, change

    def count(self, action: Action) -> int:
        """Count the resources an action happens to, as far as is known."""
        return sum(change.action is action for stack in self.stacks for change in stack.changes)


@dataclass(frozen=True, slots=True)
class _At:
    """Where a change would lose state, for the sentence below."""

    stack: str
    change: ResourceChange = field(repr=False)

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.change.action} {self.change.logical_id} ({self.change.type}) of {self.stack}"


class StateAtRiskError(DeploymentError):
    """A plan replaces or removes something that holds state, and nobody named it."""

    exit_code = 3

    def __init__(self, at_risk: Iterable[tuple[str, ResourceChange]], *, allowed: frozenset[str] = frozenset()) -> None:
        places = [_At(stack, change) for stack, change in at_risk]
        self.logical_ids = tuple(place.change.logical_id for place in places)
        options = " ".join(f"--allow-replacement {name}" for name in sorted({*allowed, *self.logical_ids}))
        super().__init__(
            "this would lose state: " + "; ".join(map(str, places)), hint=f"if that is meant, the same with {options}"
        )


def refuse_lost_state(stack: str, changes: Iterable[ResourceChange], *, allowed: frozenset[str]) -> None:
    """
    Stop a change that would lose state, unless each such resource was named.

    Raises:
        StateAtRiskError: Some were not; it names them.
    """
    at_risk = [(stack, change) for change in changes if change.risks_state and change.logical_id not in allowed]
    if at_risk:
        raise StateAtRiskError(at_risk, allowed=allowed)


def parse_changes(changes: Iterable[Mapping[str, Any]], template: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """
    Read the changes of a change set.

    Args:
        changes: `Changes` of DescribeChangeSet with property values.
        template: The template it would bring; its DeletionPolicies tell what holds state.
    """
    resources: Mapping[str, Any] = template.get("Resources", {})
    return tuple(
        _parse_change(change["ResourceChange"], resources) for change in changes if change.get("Type") == "Resource"
    )


def _parse_change(change: Mapping[str, Any], resources: Mapping[str, Any]) -> ResourceChange:
    logical_id = change["LogicalResourceId"]
    replacement = change.get("Replacement", "False")
    return ResourceChange(
        action=_action(change["Action"], replacement),
        logical_id=logical_id,
        type=change["ResourceType"],
        physical_id=change.get("PhysicalResourceId", ""),
        properties=tuple(_parse_details(change.get("Details", ()))),
        is_conditional=change["Action"] == "Modify" and replacement == "Conditional",
        holds_state=change["ResourceType"] in _STATEFUL_TYPES or _is_kept(resources.get(logical_id, {})),
    )


def _action(action: str, replacement: str) -> Action:
    match action:
        case "Add" | "Import":
            return Action.ADD
        case "Remove":
            return Action.REMOVE
        case _:
            return Action.CHANGE if replacement == "False" else Action.REPLACE


def _is_kept(resource: Mapping[str, Any]) -> bool:
    policy: str = resource.get("DeletionPolicy", "Delete")
    return policy != "Delete"


def _parse_details(details: Iterable[Mapping[str, Any]]) -> Iterator[PropertyChange]:
    """Take each property once: a dynamic evaluation and a static one of the same change say the same."""
    seen: set[str] = set()
    for detail in details:
        target = detail.get("Target", {})
        path = target.get("Path", "").removeprefix("/Properties/") or target.get("Name") or target.get("Attribute", "")
        if path in seen:
            continue
        seen.add(path)
        yield PropertyChange(
            path=path.replace("/", "."),
            before=_value(target.get("BeforeValue")),
            after=_value(target.get("AfterValue")),
            replaces=target.get("RequiresRecreation", "Never") == "Always",
        )


def _value(value: str | None) -> str | None:
    """Show a value of JSON on one line; CloudFormation has masked what is NoEcho already."""
    if value is None:
        return None
    try:
        return json.dumps(json.loads(value), separators=(", ", ": "), sort_keys=True)
    except ValueError:
        return value


def adds(template: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """Say what creating a template from nothing would do, without asking AWS."""
    return tuple(
        ResourceChange(Action.ADD, logical_id, resource["Type"])
        for logical_id, resource in template["Resources"].items()
    )
