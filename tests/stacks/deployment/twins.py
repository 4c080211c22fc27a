"""In-memory twins of what the deployer waits for: time that passes at once, events that were written down."""

from __future__ import annotations

from datetime import UTC, datetime

from stacks.deployment.events import StackEvent

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/mtls-ingress-local-capacity/1"


class QuickClock:
    """A clock whose waits take no time and are noted."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        """Read the time that was waited away."""
        return self.seconds

    def wait(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.waits.append(seconds)
        self.seconds += seconds

    def let_go(self) -> None:
        """Nothing waits here."""


def event(logical_id: str, status: str, reason: str = "", *, kind: str = "AWS::EC2::VPC") -> StackEvent:
    """Write down one event; the stack's own have its name as logical id."""
    is_stack = kind == "AWS::CloudFormation::Stack"
    return StackEvent(
        event_id=f"{logical_id}-{status}",
        at=datetime(2026, 11, 23, tzinfo=UTC),
        stack_id=STACK_ID,
        stack_name="mtls-ingress-local-capacity",
        logical_id=logical_id,
        physical_id=STACK_ID if is_stack else f"{logical_id}-physical",
        type=kind,
        status=status,
        reason=reason,
        token="",
    )


def stack_event(status: str, reason: str = "") -> StackEvent:
    """Write down one event of the stack itself."""
    return event("mtls-ingress-local-capacity", status, reason, kind="AWS::CloudFormation::Stack")
