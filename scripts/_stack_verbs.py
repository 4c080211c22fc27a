"""
The verbs of `deploy.py` that call AWS: bootstrap, plan, deploy, status, destroy, image.

Each is its inputs as a frozen value, and the call; the work is done in
`stacks.deployment`.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from scripts._check_verb import refuse_faults, refuse_problems
from scripts._operator import open_operator
from scripts._terminal import ROOT, ExitCode, Style, Terminal, environment_name
from scripts._watcher import TerminalWatcher
from stacks import naming
from stacks.catalog import Catalog, assemble
from stacks.deployment.account import LOCAL, Account
from stacks.deployment.execution_role import make_service_linked_roles
from stacks.deployment.image import push_image
from stacks.deployment.outcome import EnvironmentOutcome, Result, StackOutcome
from stacks.deployment.plan import EnvironmentPlan, Outlook, refuse_lost_state
from stacks.deployment.plan_page import Tone, page, records, summary
from stacks.deployment.polling import AWS_PACE, LOCAL_PACE, Poller, WallClock
from stacks.deployment.readiness import AccountLookout, Need
from stacks.deployment.rollout import Rollout, Target
from stacks.deployment.stack import read_stack
from stacks.deployment.teardown import Teardown
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment
from stacks.errors import DeploymentError

_TONES: Final[Mapping[Tone, tuple[Style, ...]]] = {
    Tone.PLAIN: (),
    Tone.GOOD: (Style.GREEN,),
    Tone.NOTE: (Style.YELLOW,),
    Tone.ALARM: (Style.RED, Style.BOLD),
}
_MOVING: Final = frozenset({Outlook.CREATE, Outlook.UPDATE, Outlook.KNOWN_AFTER})


class NotApprovedError(DeploymentError):
    """Nobody approved the change."""

    exit_code = ExitCode.NOT_APPROVED


@dataclass(frozen=True, slots=True)
class Request:
    """What the verbs that show or change stacks were asked for."""

    environment: str
    as_records: bool = False
    yes: bool = False
    allowed: frozenset[str] = frozenset()
    verb: str = "deploy"

    @classmethod
    def of(cls, options: argparse.Namespace) -> Request:
        """Take it from the command line."""
        return cls(
            environment=environment_name(options),
            as_records=getattr(options, "output", "text") == "ndjson",
            yes=getattr(options, "yes", False),
            allowed=frozenset(getattr(options, "allow_replacement", ())),
            verb=options.verb,
        )


Opener = Callable[[str], Target]
"""How a verb gets at an environment by its name."""


def open_target(name: str) -> Target:
    """Load an environment, open its account, which is checked first, and assemble its stacks."""
    operator = open_operator(name)
    return target_of(operator.environment, operator.account)


def target_of(environment: Environment, account: Account) -> Target:
    """Say what is deployed there, and as which role of CloudFormation's."""
    return _target(environment, assemble(environment), account)


def open_judged_target(name: str) -> Target:
    """Open an environment whose templates keep every requirement of ours; AWS is asked for nothing before."""
    return _open_unless(refuse_faults, name)


def open_checked_target(name: str) -> Target:
    """Open an environment for changing it: every check passes first; of the linter's the embedded cloud has its own."""
    if name == LOCAL:
        return open_judged_target(name)
    return _open_unless(refuse_problems, name)


def _open_unless(refuse: Callable[[Environment, Catalog], None], name: str) -> Target:
    """Judge first, without credentials or network; then open the account."""
    environment = load_environment(find_environment(name, ROOT))
    catalog = assemble(environment)
    refuse(environment, catalog)
    return _target(environment, catalog, open_operator(name).account)


def _target(environment: Environment, catalog: Catalog, account: Account) -> Target:
    return Target(environment, catalog, account, naming.role_arn(environment, "cloudformation"))


def poller(target: Target) -> Poller:
    """Choose the pace: the embedded cloud answers at once."""
    return Poller(WallClock(), LOCAL_PACE if target.environment.name == LOCAL else AWS_PACE)


def rollout(target: Target, watcher: TerminalWatcher) -> Rollout:
    """Make a run over an environment."""
    lookout = AccountLookout(target.account, target.environment, ROOT)
    return Rollout(target, lookout=lookout, watcher=watcher, poller=poller(target))


def plan(options: argparse.Namespace, terminal: Terminal, *, opener: Opener = open_judged_target) -> int:
    """Show what a deployment would change."""
    request = Request.of(options)
    run = rollout(opener(request.environment), TerminalWatcher(terminal))
    try:
        found = run.prepare(touch_nothing=True)
    finally:
        run.discard()
    if request.as_records:
        for record in records(found):
            terminal.record(record)
        _result(terminal, "unchanged" if found.changes_nothing else "planned", ExitCode.DONE)
        return ExitCode.DONE
    for line, tone in page(found):
        terminal.out(terminal.style(line, *_TONES[tone], on_out=True))
    return ExitCode.DONE


def deploy(options: argparse.Namespace, terminal: Terminal, *, opener: Opener = open_checked_target) -> int:
    """Bring AWS to what the templates say."""
    request = Request.of(options)
    run = rollout(opener(request.environment), TerminalWatcher(terminal))
    return _bring_about(run, request, terminal)


def _bring_about(
    run: Rollout, request: Request, terminal: Terminal, *, afterwards: Callable[[], None] = lambda: None
) -> int:
    """Plan, ask, execute, do what comes afterwards if all stands, and report."""
    terminal.progress(f"{request.environment}: comparing with AWS")
    try:
        found = run.prepare()
        _approve(found, request, terminal)
        outcome = run.execute(allowed=request.allowed)
    except KeyboardInterrupt:
        _detached(terminal, f"python scripts/deploy.py {request.verb} --env {request.environment}")
        return ExitCode.INTERRUPTED
    finally:
        run.discard()
    if outcome.exit_code == ExitCode.DONE:
        afterwards()
    return _report(outcome, request, terminal)


def bootstrap(options: argparse.Namespace, terminal: Terminal, *, opener: Opener = open_checked_target) -> int:
    """Make, with the caller's own rights, what every deployment after it works as."""
    request = Request.of(options)
    target = beginning(opener(request.environment))

    def make_roles_of_services() -> None:
        for service in make_service_linked_roles(target.account.client("iam")):
            terminal.progress(f"made the service-linked role of {service}")

    run = rollout(target, TerminalWatcher(terminal))
    return _bring_about(run, request, terminal, afterwards=make_roles_of_services)


def beginning(target: Target) -> Target:
    """Take the bootstrap stack alone, which is made as whoever asks: the role to make it as is in it."""
    return replace(target, catalog=target.catalog.beginning, role_arn=None)


def status(options: argparse.Namespace, terminal: Terminal, *, opener: Opener = open_target) -> int:
    """Show every stack and its outputs."""
    request = Request.of(options)
    target = opener(request.environment)
    client = target.account.client("cloudformation")
    for entry in target.catalog.every:
        state = read_stack(client, entry.stack_name)
        found = state.status if state else "absent"
        outputs = dict(state.outputs) if state else {}
        if request.as_records:
            record = {"type": "stack", "stack": entry.name, "stack_name": entry.stack_name, "status": found}
            terminal.record({**record, "outputs": outputs})
            continue
        terminal.out(f"{entry.name:<20} {found}")
        for name, value in sorted(outputs.items()):
            terminal.out(f"  {name} = {value}")
    if request.as_records:
        _result(terminal, "shown", ExitCode.DONE)
    return ExitCode.DONE


def destroy(options: argparse.Namespace, terminal: Terminal, *, opener: Opener = open_target) -> int:
    """Remove every stack."""
    request = Request.of(options)
    target = opener(request.environment)
    run = Teardown(target, watcher=TerminalWatcher(terminal), poller=poller(target))
    names = [stack.name for stack in run.standing_stacks()]
    if names:
        terminal.progress(f"this removes {', '.join(names)}")
        _confirm(f"remove all of {request.environment}?", request, terminal)
    else:
        terminal.progress(f"{request.environment}: no stack stands, nothing to remove")
    try:
        outcome = run.execute()
    except KeyboardInterrupt:
        _detached(terminal, f"python scripts/deploy.py destroy --env {request.environment}")
        return ExitCode.INTERRUPTED
    kept = [(stack.name, thing) for stack in outcome.stacks for thing in stack.kept]
    if kept:
        terminal.progress("still there, because it holds state; a name stays taken as long:")
        for stack, thing in kept:
            terminal.progress(f"  {stack}: {thing}")
            if request.as_records:
                terminal.record({"type": "kept", "stack": stack, "resource": thing})
    return _report(outcome, request, terminal)


def image(options: argparse.Namespace, terminal: Terminal, *, opener: Opener = open_target) -> int:
    """Bring the working tree's image into the repository and say its digest."""
    target = opener(environment_name(options))
    terminal.out(push_image(target.account, target.environment, ROOT))
    return ExitCode.DONE


VERBS: Final[Mapping[str, Callable[[argparse.Namespace, Terminal], int]]] = {
    "bootstrap": bootstrap,
    "plan": plan,
    "deploy": deploy,
    "status": status,
    "destroy": destroy,
    "image": image,
}


def _approve(found: EnvironmentPlan, request: Request, terminal: Terminal) -> None:
    """Show the plan, stop for what would lose state, and ask once."""
    for line, tone in page(found):
        terminal.progress(terminal.style(line, *_TONES[tone]))
    for stack in found.stacks:
        refuse_lost_state(stack.name, stack.changes, allowed=request.allowed)
    if any(stack.outlook in _MOVING for stack in found.stacks):
        _confirm(f"deploy this to {request.environment}?", request, terminal)


def _confirm(question: str, request: Request, terminal: Terminal) -> None:
    if request.yes or request.environment == LOCAL:
        return
    if not terminal.can_ask:
        raise NotApprovedError("nobody is there to approve; nothing changed", hint="the same with --yes approves")
    if not terminal.ask(question):
        raise NotApprovedError("not approved; nothing changed")


def _detached(terminal: Terminal, command: str) -> None:
    terminal.live("")
    terminal.progress("interrupted; what was started goes on in AWS")
    terminal.progress(f"{terminal.style('hint:', Style.BOLD)} {command} watches it again and goes on from there")


def _report(outcome: EnvironmentOutcome, request: Request, terminal: Terminal) -> int:
    """Write outputs to standard output, and what went wrong, with its cause, to standard error."""
    terminal.live("")
    for stack, outputs in outcome.outputs.items():
        for name, value in sorted(outputs.items()):
            if request.as_records:
                terminal.record({"type": "output", "stack": stack, "name": name, "value": value})
            else:
                terminal.out(f"{stack}.{name} = {value}")
    for stack_outcome in outcome.stacks:
        _report_failure(stack_outcome, terminal)
    report_needs(outcome.needs, request.environment, terminal)
    if request.as_records:
        _result(terminal, "done" if outcome.exit_code == 0 else _worst(outcome), outcome.exit_code)
    return outcome.exit_code


def report_needs(needs: Iterable[Need], environment: str, terminal: Terminal) -> None:
    """Say what the deployment waits for, and the commands to type."""
    commands = [command for need in needs for command in need.commands]
    if not commands:
        return
    terminal.progress("nothing failed; the deployment waits for you. type:")
    for command in [*commands, f"python scripts/deploy.py deploy --env {environment}"]:
        terminal.progress(f"  {command}")


def _report_failure(outcome: StackOutcome, terminal: Terminal) -> None:
    if outcome.is_good or outcome.result in {Result.WAITING, Result.SKIPPED}:
        return
    source = f"stacks/templates/{outcome.name}.py"
    fallback = f"look into {shlex.quote(source)}, mend it, and type the same again"
    terminal.error(f"{outcome.stack_name} {outcome.result}: {outcome.message}", hint=outcome.hint or fallback)


def _worst(outcome: EnvironmentOutcome) -> str:
    worst = next(stack for stack in outcome.stacks if stack.exit_code == outcome.exit_code)
    return worst.result.replace(" ", "_")


def _result(terminal: Terminal, state: str, exit_code: int) -> None:
    terminal.record({"type": "result", "status": state, "exit_code": int(exit_code)})


__all__ = ["VERBS", "open_target", "report_needs", "rollout", "summary"]
