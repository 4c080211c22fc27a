"""
How we wait for AWS: our own pace, because botocore's waiters look every 30 seconds.

A wait starts quick and grows slow, ends at a deadline, and ends at once when
the operator lets go. What AWS cannot answer just now (a throttle, a broken
connection) is no news, never a failure of the work that is watched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from stacks.errors import DeploymentError

T = TypeVar("T")

_THROTTLES: Final = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
)
_SERVER_FAULT: Final = 500
_GROWTH: Final = 1.5


class Clock(Protocol):
    """Time as the deployer sees it."""

    def now(self) -> float:
        """Seconds since some moment that never moves."""

    def wait(self, seconds: float) -> None:
        """Let time pass; DetachedError when the operator let go meanwhile."""

    def let_go(self) -> None:
        """End every wait, now and from now on."""


class WallClock:
    """Real time, shared by all stacks of one run."""

    def __init__(self) -> None:
        self._let_go = threading.Event()

    def now(self) -> float:
        """Read the monotonic clock."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep, or wake at once when the operator lets go."""
        if self._let_go.wait(seconds):
            raise DetachedError

    def let_go(self) -> None:
        """End every wait, now and from now on; what runs in AWS runs on."""
        self._let_go.set()


class DetachedError(DeploymentError):
    """The operator stopped watching; AWS goes on."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("no longer watching; what was started goes on in AWS")


class TimedOutError(DeploymentError):
    """What was waited for did not come in time; it may come yet."""

    exit_code = 9

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} is not done after {seconds / 60:.0f} minutes; it is still running in AWS")
        self.what = what


@dataclass(frozen=True, slots=True)
class Pace:
    """How often we look: quickly at first, for what is done at once, then slower, for the sake of the request rate."""

    first_seconds: float = 0.5
    longest_seconds: float = 5.0


AWS_PACE: Final = Pace()
LOCAL_PACE: Final = Pace(first_seconds=0.02, longest_seconds=0.25)


@dataclass(frozen=True, slots=True)
class Poller:
    """A clock and a pace."""

    clock: Clock
    pace: Pace = AWS_PACE

    def until(self, look: Callable[[], T | None], *, what: str, budget_seconds: float) -> T:
        """
        Look until there is something to see.

        Args:
            look: Gives None while there is nothing yet.
            what: Names it in the error.
            budget_seconds: The deadline, from now.

        Raises:
            TimedOutError: The budget ran out.
            DetachedError: The operator let go.
        """
        deadline = self.clock.now() + budget_seconds
        pause = self.pace.first_seconds
        while True:
            seen = _unless_interrupted(look)
            if seen is not None:
                return seen
            if self.clock.now() >= deadline:
                raise TimedOutError(what, budget_seconds)
            self.clock.wait(pause)
            pause = min(pause * _GROWTH, self.pace.longest_seconds)


def is_transient(error: Exception) -> bool:
    """Tell a fault that waiting heals from one it does not."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response["Error"]["Code"] in _THROTTLES or status >= _SERVER_FAULT
    return isinstance(error, (BotoConnectionError, HTTPClientError))


def _unless_interrupted(look: Callable[[], T | None]) -> T | None:
    try:
        return look()
    except Exception as error:
        if is_transient(error):
            return None
        raise
