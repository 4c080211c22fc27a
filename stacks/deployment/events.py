"""
What CloudFormation says while it works: stack events, followed live, each one told once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stacks.deployment.polling import Poller
from stacks.deployment.recovery import Standing, standing
from stacks.deployment.stack import StackState, read_stack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_MAX_PAGES: Final = 50
"""Of 100 events: more than the largest of our stacks can tell in one change."""
_BUDGET_SECONDS: Final = 2 * 60 * 60.0
"""The longest honest change: an ECS service that waits for its tasks, rolls back, and waits again."""


@dataclass(frozen=True, slots=True)
class StackEvent:
    """One line of a stack's history."""

    event_id: str
    at: datetime
    stack_id: str
    stack_name: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str
    token: str

    @property
    def is_about_stack(self) -> bool:
        """Tell the stack's own events from those of its resources."""
        return self.type == "AWS::CloudFormation::Stack" and self.physical_id == self.stack_id

    @property
    def ends_it(self) -> bool:
        """Tell whether the stack has come to rest with this."""
        return self.is_about_stack and not self.status.endswith("_IN_PROGRESS")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a change of a stack ended."""

    status: str
    reason: str
    events: tuple[StackEvent, ...]
    """All of this change, oldest first."""


Listener = Callable[[StackEvent], None]


def latest_event_id(client: CloudFormationClient, stack: str) -> str | None:
    """Read where a stack's history ends now, so that `follow` tells only what comes after."""
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    return events[0]["EventId"] if events else None


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was started: which stack, since when, under which token."""

    stack_id: str
    stack_name: str
    since: str | None
    """The event id the history ended with before; None for all of it."""
    token: str | None = None
    """The client request token it was started with; None to tell every event."""


def follow(client: CloudFormationClient, change: Change, *, poller: Poller, listener: Listener) -> Ending:
    """
    Tell a change's events as they come, until the stack is at rest.

    The stack's own last event ends it, not its status: right after a change
    is started the status may still be the one from before.

    Raises:
        TimedOutError: It is not at rest within two hours.
        DetachedError: The operator let go.
    """
    told: list[StackEvent] = []
    last = change.since

    def look() -> Ending | None:
        nonlocal last
        for event in _events_after(client, change.stack_id, last):
            last = event.event_id
            if change.token and event.token and event.token != change.token:
                continue
            told.append(event)
            listener(event)
            if event.ends_it:
                return Ending(event.status, event.reason, tuple(told))
        return None

    return poller.until(look, what=change.stack_name, budget_seconds=_BUDGET_SECONDS)


def watch_to_rest(client: CloudFormationClient, stack: StackState, *, poller: Poller, listener: Listener) -> None:
    """
    Tell the events of a change that somebody else started, until the stack is at rest or gone.

    Raises:
        TimedOutError: It is not at rest within two hours.
        DetachedError: The operator let go.
    """
    last = latest_event_id(client, stack.id)

    def look() -> bool | None:
        nonlocal last
        state = read_stack(client, stack.id)
        for event in _events_after(client, stack.id, last):
            last = event.event_id
            listener(event)
        return True if state is None or standing(state.status) is not Standing.AT_WORK else None

    poller.until(look, what=stack.name, budget_seconds=_BUDGET_SECONDS)


def _events_after(client: CloudFormationClient, stack: str, last: str | None) -> list[StackEvent]:
    """Read the events that came after one, oldest first; AWS gives them newest first."""
    found: list[StackEvent] = []
    page: dict[str, Any] = {}  # the token of the next page, as keyword argument
    for _ in range(_MAX_PAGES):
        response = client.describe_stack_events(StackName=stack, **page)
        for event in response["StackEvents"]:
            if event["EventId"] == last:
                return found[::-1]
            found.append(_parse(event))
        if not response.get("NextToken"):
            break
        page = {"NextToken": response["NextToken"]}
    return found[::-1]


def _parse(event: Mapping[str, Any]) -> StackEvent:  # Any: one item of a response of boto3
    return StackEvent(
        event_id=event["EventId"],
        at=event["Timestamp"],
        stack_id=event["StackId"],
        stack_name=event["StackName"],
        logical_id=event.get("LogicalResourceId", ""),
        physical_id=event.get("PhysicalResourceId", ""),
        type=event.get("ResourceType", ""),
        status=event.get("ResourceStatus", ""),
        reason=event.get("ResourceStatusReason", ""),
        token=event.get("ClientRequestToken", ""),
    )
