"""
The way back: every stack of an environment removed, the last first.

What holds state outlives its stack (DeletionPolicy) and is named at the end,
because it still costs money and its name is still taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from stacks.catalog import StackEntry
from stacks.deployment.change_set import worked_as
from stacks.deployment.diagnosis import find_cause
from stacks.deployment.events import Change, Ending, StackEvent, follow, latest_event_id, watch_to_rest
from stacks.deployment.outcome import EnvironmentOutcome, Result, StackOutcome
from stacks.deployment.parallel import walk
from stacks.deployment.polling import DetachedError, Poller, TimedOutError
from stacks.deployment.protection import lift_protection
from stacks.deployment.recovery import Standing, standing
from stacks.deployment.rollout import Target, Watcher
from stacks.deployment.schedule import reverse
from stacks.deployment.stack import StackState, read_stack
from stacks.errors import DeploymentError

_GONE: Final = "DELETE_COMPLETE"
_KEPT: Final = "DELETE_SKIPPED"


class Teardown:
    """One removal of one environment."""

    def __init__(self, target: Target, *, watcher: Watcher, poller: Poller) -> None:
        self._target = target
        self._entries: Mapping[str, StackEntry] = {entry.name: entry for entry in target.catalog.stacks}
        self._client = target.account.client("cloudformation")
        self._watcher = watcher
        self._poller = poller
        self._outcomes: dict[str, StackOutcome] = {}

    def standing_stacks(self) -> Iterator[StackState]:
        """Yield the stacks that exist, in the order they would go."""
        for entry in reversed(self._target.catalog.stacks):
            state = read_stack(self._client, entry.stack_name)
            if state:
                yield state

    def execute(self) -> EnvironmentOutcome:
        """
        Remove them all; one that fails keeps those it needs, and no others.

        Raises:
            KeyboardInterrupt: The operator let go; what was started goes on in AWS.
        """
        needs = reverse({name: frozenset(entry.needs) for name, entry in self._entries.items()})
        walk(needs, self._remove, skip=self._skip, clock=self._poller.clock)
        return EnvironmentOutcome(tuple(self._outcomes[name] for name in needs if name in self._outcomes))

    def _remove(self, name: str) -> bool:
        entry = self._entries[name]
        started = self._poller.clock.now()
        try:
            outcome = self._delete(entry)
        except DetachedError:
            raise
        except TimedOutError as error:
            outcome = StackOutcome(name, entry.stack_name, Result.STILL_RUNNING, message=str(error))
        except (DeploymentError, ClientError, BotoCoreError) as error:
            code = error.exit_code if isinstance(error, DeploymentError) else 1
            outcome = StackOutcome(name, entry.stack_name, Result.REFUSED, message=str(error), refused_with=code)
        self._finish(outcome.after(self._poller.clock.now() - started))
        return outcome.is_good

    def _skip(self, name: str, because: str) -> None:
        message = f"{because} still needs it"
        self._finish(StackOutcome(name, self._entries[name].stack_name, Result.SKIPPED, message=message))

    def _finish(self, outcome: StackOutcome) -> None:
        self._outcomes[outcome.name] = outcome
        self._watcher.finished(outcome)

    def _delete(self, entry: StackEntry) -> StackOutcome:
        def listener(event: StackEvent) -> None:
            self._watcher.event(entry.name, event)

        state = read_stack(self._client, entry.stack_name)
        if state is None:
            return StackOutcome(entry.name, entry.stack_name, Result.ABSENT)
        if standing(state.status) is Standing.AT_WORK:
            self._watcher.note(entry.name, f"is {state.status}, waiting for its end")
            watch_to_rest(self._client, state, poller=self._poller, listener=listener)
        lifted = lift_protection(self._target.account, state)
        if lifted:
            self._watcher.note(entry.name, f"protection from scale-in lifted of {', '.join(lifted)}")
        change = Change(state.id, entry.stack_name, since=latest_event_id(self._client, state.id))
        self._client.delete_stack(StackName=state.id, **worked_as(self._target.role_arn))
        return self._judge(entry, follow(self._client, change, poller=self._poller, listener=listener))

    def _judge(self, entry: StackEntry, ending: Ending) -> StackOutcome:
        kept = tuple(f"{event.type} {event.physical_id}" for event in ending.events if event.status == _KEPT)
        if ending.status == _GONE:
            return StackOutcome(entry.name, entry.stack_name, Result.DELETED, kept=kept)
        cause = find_cause(ending.events)
        message = str(cause) if cause else f"{ending.status}: {ending.reason}"
        hint = f"mend that, then: python scripts/deploy.py destroy --env {self._target.environment.name}"
        return StackOutcome(entry.name, entry.stack_name, Result.STUCK, message=message, hint=hint, kept=kept)
