"""
Why a change failed: the first failure, not the noise that follows it.

Pure: events in, one sentence out. When one resource fails CloudFormation
cancels its siblings, marks the stack and rolls back, and each of those is an
event that says FAILED; the cause is the first one that is none of these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stacks.deployment.events import StackEvent
from stacks.deployment.recovery import ROLLED_BACK, way_out
from stacks.environment import LOCAL, Environment
from stacks.naming import service_log_group

_CASCADE: Final = (
    "Resource creation cancelled",
    "Resource update cancelled",
    "Resource deletion cancelled",
    "The following resource(s) failed to",
)
"""How CloudFormation words what is a consequence."""
_ZONE: Final = re.compile(r"availability ?zone|\b[a-z]{2}(-[a-z]+)+-\d[a-z]\b", re.IGNORECASE)
_ALREADY_THERE: Final = re.compile(r"already ?(exists|owned)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cause:
    """The resource that failed first, and what its service said."""

    stack_name: str
    logical_id: str
    type: str
    status: str
    reason: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.logical_id} ({self.type}) {self.status}: {self.reason or 'AWS gives no reason'}"

    @property
    def is_zone_refused(self) -> bool:
        """Tell whether a zone is wrong for the load balancer, or for a subnet; which ones take them no API says."""
        is_about_zones = self.type in {"AWS::ElasticLoadBalancing::LoadBalancer", "AWS::EC2::Subnet"}
        return is_about_zones and bool(_ZONE.search(self.reason))

    @property
    def is_name_taken(self) -> bool:
        """Tell whether the resource is there already, outside of the stack; services word it in their own ways."""
        return self.status == "CREATE_FAILED" and bool(_ALREADY_THERE.search(self.reason))


def find_cause(events: Sequence[StackEvent]) -> Cause | None:
    """
    Find the root cause among the events of one change.

    Args:
        events: Of the change and its rollback, oldest first.

    Returns:
        The first resource that failed on its own account; without one the
        stack's own failure; None if nothing failed.
    """
    failures = [event for event in events if event.status.endswith("_FAILED") and not _is_cascade(event)]
    own = [event for event in failures if not event.is_about_stack]
    # A stack refused as a whole (a hook, a lost role) has no failed resource; its own words are all there is.
    refused = [event for event in events if event.is_about_stack and "ROLLBACK" in event.status and event.reason]
    first = next(iter([*own, *failures, *refused]), None)
    return None if first is None else Cause(first.stack_name, first.logical_id, first.type, first.status, first.reason)


def advise(environment: Environment, stack_name: str, status: str, cause: Cause | None) -> str | None:
    """
    Say what to do after a change that failed.

    A service that did not come up says of its tasks only that they ended; why
    they did is in their own last lines. None if the cause says all and the
    stack stands as before.
    """
    is_local = environment.name == LOCAL
    words = []
    if cause and cause.type == "AWS::ECS::Service":
        group = f"aws logs tail {service_log_group(environment)} --since 30m --region {environment.region}"
        words.append("why a task ended: " + ("see the terminal of make local" if is_local else group))
    if cause and cause.is_zone_refused:
        words.append("not every zone takes Classic Load Balancers; name others in [network]")
    if status not in ROLLED_BACK:
        words.append(way_out(stack_name, status, environment))
    elif cause and cause.is_name_taken:
        remedy = "end make local and start it again to have nothing there"
        words.append(f"a destroy leaves what holds state{'; ' + remedy if is_local else _OWNERS_CHOICE}")
    return "; then: ".join(words) or None


_OWNERS_CHOICE: Final = ": remove it if nobody needs it, or import it into the stack"
"""What holds state nobody but its owner can throw away."""


def _is_cascade(event: StackEvent) -> bool:
    return event.reason.startswith(_CASCADE)
