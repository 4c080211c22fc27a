"""
A template's walk into AWS: plan, change sets, stacks.

The walk, stack by stack in dependency order and side by side where nothing
needs the other:

1. `prepare`: read every stack as it is; free the name of one whose first
   attempt left nothing; wait for one that somebody is changing.
2. Make a change set of every stack whose inputs are known; the rest is known
   after the stacks it needs. This is the plan; nothing has changed yet.
3. `execute`: per stack, once those it needs are done: resolve its inputs,
   make the change set anew if they are not those of the plan, refuse what
   would lose state, execute, follow its events to the end.
4. A failed stack stops those that need it and no others; the workload stops,
   without failing, for an image or a certificate that is not there yet.
5. `discard` whatever was not executed, so that nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from stacks.catalog import Catalog, StackEntry
from stacks.deployment import change_set as change_sets
from stacks.deployment.account import Account
from stacks.deployment.change_set import ChangeSet, Request
from stacks.deployment.diagnosis import advise, find_cause
from stacks.deployment.events import Change, Ending, Listener, StackEvent, follow, latest_event_id, watch_to_rest
from stacks.deployment.execution_role import missing_role
from stacks.deployment.outcome import EnvironmentOutcome, Result, StackOutcome
from stacks.deployment.parallel import CONCURRENCY, walk
from stacks.deployment.plan import EnvironmentPlan, Outlook, StackPlan, adds, refuse_lost_state
from stacks.deployment.polling import DetachedError, Poller, TimedOutError
from stacks.deployment.readiness import Lookout, Need
from stacks.deployment.recovery import ROLLED_BACK, SUCCEEDED, StackStuckError, Standing, standing, way_out
from stacks.deployment.stack import StackState, read_resources, read_stack
from stacks.environment import Environment
from stacks.errors import DeploymentError
from stacks.naming import stack_tags


class Watcher(Protocol):
    """Is told what happens, from several threads."""

    def event(self, stack: str, event: StackEvent) -> None:
        """One event of a stack."""

    def note(self, stack: str, text: str) -> None:
        """Something the deployer did or found besides."""

    def finished(self, outcome: StackOutcome) -> None:
        """A stack is done with, one way or the other."""


class StackBusyError(DeploymentError):
    """A plan met a stack that is being changed right now."""

    exit_code = 9

    def __init__(self, stack_name: str, status: str) -> None:
        super().__init__(f"{stack_name} is being changed right now ({status})", hint="the same again when it is done")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One stack before anything is done to it."""

    plan: StackPlan
    change_set: ChangeSet | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What is deployed, and where."""

    environment: Environment
    catalog: Catalog
    account: Account
    role_arn: str | None = None
    """The role CloudFormation works as; None is as whoever deploys, which only the bootstrap stack is for."""


class Rollout:
    """One run over one environment."""

    def __init__(self, target: Target, *, lookout: Lookout, watcher: Watcher, poller: Poller) -> None:
        self._environment = target.environment
        self._entries: Mapping[str, StackEntry] = {entry.name: entry for entry in target.catalog.stacks}
        self._account = target.account
        self._client = target.account.client("cloudformation")
        self._role_arn = target.role_arn
        self._first_needs: tuple[Need, ...] = ()
        self._lookout = lookout
        self._watcher = watcher
        self._poller = poller
        self._prepared: dict[str, Prepared] = {}
        self._outcomes: dict[str, StackOutcome] = {}

    # -- the plan ----------------------------------------------------------------

    def prepare(self, *, touch_nothing: bool = False) -> EnvironmentPlan:
        """
        Work out what would happen to every stack.

        Args:
            touch_nothing: For looking only: a stack whose first attempt left
                nothing stays as it is, and one that is being changed is an error.

        Raises:
            ChangeSetFailedError: CloudFormation refuses a change.
            StackStuckError: A stack cannot be changed by anybody's deployment.
            StackBusyError: A stack is being changed, and we only look.
        """
        self._first_needs = self._look_for_role()
        entries = self._entries.values()
        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="plan") as threads:
            try:
                settled = threads.map(lambda entry: self._settle(entry, touch_nothing=touch_nothing), entries)
                states = dict(zip(self._entries, settled, strict=True))
                futures = [threads.submit(self._prepare, entry, states) for entry in entries]
                wait(futures)
            except KeyboardInterrupt:
                self._poller.clock.let_go()
                raise
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            self.discard()
            raise errors[0]
        plans = tuple(self._prepared[name].plan for name in self._entries)
        return EnvironmentPlan(self._environment.name, plans)

    def _look_for_role(self) -> tuple[Need, ...]:
        need = missing_role(self._account, self._environment) if self._role_arn is not None else None
        return () if need is None else (need,)

    def discard(self) -> None:
        """Remove every change set that was not executed, and the empty stacks that came with them."""
        left = [
            self._prepared.pop(name).change_set
            for name, prepared in list(self._prepared.items())
            if prepared.change_set
        ]
        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="discard") as threads:
            list(threads.map(self._discard, filter(None, left)))

    def _discard(self, change_set: ChangeSet) -> None:
        try:
            change_sets.discard(self._client, change_set, poller=self._poller)
        except DetachedError:
            return  # removed, and nobody waits to see it

    def _settle(self, entry: StackEntry, *, touch_nothing: bool) -> StackState | None:
        """Bring a stack to where a change set can be made of it; None if it does not exist."""
        state = read_stack(self._client, entry.stack_name)
        if state and standing(state.status) is Standing.AT_WORK:
            if touch_nothing:
                raise StackBusyError(state.name, state.status)
            self._watcher.note(entry.name, f"is {state.status}, waiting for its end")
            watch_to_rest(self._client, state, poller=self._poller, listener=self._listener(entry))
            state = read_stack(self._client, entry.stack_name)
        if state and standing(state.status) is Standing.STUCK:
            raise StackStuckError(state.name, state.status, self._environment)
        if state and standing(state.status) is Standing.EMPTY and not touch_nothing:
            self._remove_empty(entry, state)
            return None
        return state

    def _remove_empty(self, entry: StackEntry, state: StackState) -> None:
        """Free the name of a stack whose first attempt left nothing, or say what it left."""
        left = read_resources(self._client, state.id)
        if left:
            raise StackNotEmptyError(state, [resource.physical_id for resource in left], self._environment)
        self._watcher.note(entry.name, f"removing the empty stack a failed first attempt left ({state.status})")
        self._client.delete_stack(StackName=state.id, **change_sets.worked_as(self._role_arn))
        self._poller.until(
            lambda: True if read_stack(self._client, state.id) is None else None,
            what=f"removing {state.name}",
            budget_seconds=600,
        )

    def _prepare(self, entry: StackEntry, states: Mapping[str, StackState | None]) -> None:
        if self._first_needs:
            self._plan(entry, Outlook.WAITING, waits_for=tuple(need.what for need in self._first_needs))
            return
        state = states[entry.name]
        exists = state is not None and standing(state.status) is Standing.AT_REST
        unknown = self._unknown_inputs(entry, states)
        if unknown:
            self._plan(entry, Outlook.KNOWN_AFTER, waits_for=unknown)
            return
        parameters = self._inputs(entry, states)
        readiness = self._lookout.look() if entry.operator_parameters else None
        if readiness and readiness.needs:
            self._plan(entry, Outlook.WAITING, waits_for=tuple(need.what for need in readiness.needs))
            return
        if readiness:
            parameters |= {name: readiness.parameters[name] for name in entry.operator_parameters}
        if state and not exists:  # an empty stack that must stay as it is: all of it would be new
            self._prepared[entry.name] = Prepared(
                StackPlan(entry.name, entry.stack_name, Outlook.CREATE, adds(entry.template))
            )
            return
        made = self._make_change_set(entry, parameters, creates=not exists)
        outlook = (Outlook.UPDATE if exists else Outlook.CREATE) if made.has_changes else Outlook.UNCHANGED
        self._prepared[entry.name] = Prepared(StackPlan(entry.name, entry.stack_name, outlook, made.changes), made)

    def _plan(self, entry: StackEntry, outlook: Outlook, *, waits_for: tuple[str, ...]) -> None:
        count = len(entry.template["Resources"])
        self._prepared[entry.name] = Prepared(
            StackPlan(entry.name, entry.stack_name, outlook, waits_for=waits_for, resource_count=count)
        )

    def _unknown_inputs(self, entry: StackEntry, states: Mapping[str, StackState | None]) -> tuple[str, ...]:
        """Name the stacks whose outputs this one needs and that do not give them yet, in order."""
        unknown = {
            reference.stack
            for reference in entry.inputs.values()
            if reference.output not in _outputs(states[reference.stack])
        }
        return tuple(name for name in self._entries if name in unknown)

    def _inputs(self, entry: StackEntry, states: Mapping[str, StackState | None]) -> dict[str, str]:
        return {
            parameter: _outputs(states[reference.stack])[reference.output]
            for parameter, reference in entry.inputs.items()
        }

    def _make_change_set(self, entry: StackEntry, parameters: Mapping[str, str], *, creates: bool) -> ChangeSet:
        request = Request(
            stack_name=entry.stack_name,
            template=entry.template,
            parameters=parameters,
            capabilities=frozenset(entry.capabilities),
            tags=stack_tags(self._environment),
            role_arn=self._role_arn,
        )
        return change_sets.make_change_set(self._client, request, creates=creates, poller=self._poller)

    # -- the change ----------------------------------------------------------------

    def execute(self, *, allowed: frozenset[str] = frozenset()) -> EnvironmentOutcome:
        """
        Do what was prepared, and for stacks whose inputs were not known, what follows from them.

        Args:
            allowed: Logical ids that hold state and may be replaced or removed.

        Raises:
            KeyboardInterrupt: The operator let go; what was started goes on in AWS.
        """
        needs = {name: frozenset(entry.needs) for name, entry in self._entries.items()}
        try:
            walk(needs, lambda name: self._deploy(name, allowed), skip=self._skip, clock=self._poller.clock)
        finally:
            self.discard()
        return EnvironmentOutcome(tuple(self._outcomes[name] for name in self._entries if name in self._outcomes))

    def _deploy(self, name: str, allowed: frozenset[str]) -> bool:
        entry = self._entries[name]
        started = self._poller.clock.now()
        try:
            outcome = self._change(entry, allowed)
        except DetachedError:
            raise
        except TimedOutError as error:
            outcome = StackOutcome(name, entry.stack_name, Result.STILL_RUNNING, message=str(error))
        except DeploymentError as error:
            outcome = self._failed(entry, str(error), hint=error.hint, exit_code=error.exit_code)
        except (ClientError, BotoCoreError) as error:
            outcome = self._failed(entry, str(error), hint=None, exit_code=1)
        self._finish(outcome.after(self._poller.clock.now() - started))
        return outcome.is_good

    def _skip(self, name: str, because: str) -> None:
        entry = self._entries[name]
        self._finish(StackOutcome(name, entry.stack_name, Result.SKIPPED, message=f"needs {because}"))

    def _finish(self, outcome: StackOutcome) -> None:
        self._outcomes[outcome.name] = outcome
        self._watcher.finished(outcome)

    def _failed(self, entry: StackEntry, message: str, *, hint: str | None, exit_code: int) -> StackOutcome:
        return StackOutcome(
            entry.name, entry.stack_name, Result.REFUSED, message=message, hint=hint, refused_with=exit_code
        )

    def _change(self, entry: StackEntry, allowed: frozenset[str]) -> StackOutcome:
        """Bring one stack to what its template says."""
        if self._first_needs:
            return self._waiting(entry, self._first_needs)
        needed = {reference.stack for reference in entry.inputs.values()}
        states = {name: read_stack(self._client, self._entries[name].stack_name) for name in {*needed, entry.name}}
        parameters = self._inputs(entry, states)
        if entry.operator_parameters:
            readiness = self._lookout.look()
            if readiness.needs:
                return self._waiting(entry, readiness.needs)
            parameters |= {name: readiness.parameters[name] for name in entry.operator_parameters}
        change_set = self._current(entry, parameters, state=states[entry.name])
        if not change_set.has_changes:
            return self._settled(entry, Result.UNCHANGED)
        refuse_lost_state(entry.name, change_set.changes, allowed=allowed)
        since = latest_event_id(self._client, change_set.stack_id)
        self._prepared.pop(entry.name, None)
        token = change_sets.execute(self._client, change_set)
        ending = self._follow(entry, Change(change_set.stack_id, entry.stack_name, since, token))
        return self._judge(entry, ending, creates=change_set.creates)

    def _current(self, entry: StackEntry, parameters: Mapping[str, str], *, state: StackState | None) -> ChangeSet:
        """Take the change set of the plan, or make another if its inputs are others by now."""
        prepared = self._prepared.get(entry.name)
        planned = prepared.change_set if prepared else None
        if planned and planned.parameters == parameters:
            return planned
        if planned:
            self._discard(planned)
            state = None if planned.creates else state
        made = self._make_change_set(entry, parameters, creates=state is None)
        plan = StackPlan(entry.name, entry.stack_name, Outlook.CREATE if made.creates else Outlook.UPDATE, made.changes)
        self._prepared[entry.name] = Prepared(plan, made)
        return made

    def _follow(self, entry: StackEntry, change: Change) -> Ending:
        return follow(self._client, change, poller=self._poller, listener=self._listener(entry))

    def _listener(self, entry: StackEntry) -> Listener:
        return lambda event: self._watcher.event(entry.name, event)

    def _judge(self, entry: StackEntry, ending: Ending, *, creates: bool) -> StackOutcome:
        if ending.status in SUCCEEDED:
            return self._settled(entry, Result.CREATED if creates else Result.UPDATED)
        cause = find_cause(ending.events)
        message = str(cause) if cause else f"{ending.status}: {ending.reason}"
        result = Result.ROLLED_BACK if ending.status in ROLLED_BACK else Result.STUCK
        hint = advise(self._environment, entry.stack_name, ending.status, cause)
        return StackOutcome(entry.name, entry.stack_name, result, message=message, hint=hint)

    def _waiting(self, entry: StackEntry, needs: tuple[Need, ...]) -> StackOutcome:
        message = "waits for " + " and ".join(need.what for need in needs)
        return StackOutcome(entry.name, entry.stack_name, Result.WAITING, message=message, needs=needs)

    def _settled(self, entry: StackEntry, result: Result) -> StackOutcome:
        state = read_stack(self._client, entry.stack_name)
        return StackOutcome(entry.name, entry.stack_name, result, outputs=_outputs(state))


class StackNotEmptyError(DeploymentError):
    """A first attempt failed and left resources behind; only their owner may say that they can go."""

    exit_code = 7

    def __init__(self, state: StackState, left: list[str], environment: Environment) -> None:
        super().__init__(
            f"{state.name} is {state.status} and still holds {', '.join(left)}",
            hint=f"look at them, then: {way_out(state.name, 'ROLLBACK_FAILED', environment)}",
        )


def _outputs(state: StackState | None) -> Mapping[str, str]:
    return state.outputs if state and standing(state.status) is Standing.AT_REST else {}
