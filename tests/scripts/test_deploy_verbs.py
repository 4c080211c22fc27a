"""What an operator sees of a deployment, and what the shell gets."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from scripts import _stack_verbs, deploy
from scripts._terminal import Terminal, run
from stacks.catalog import StackEntry
from stacks.deployment.account import LocalEndpoint, open_account
from stacks.deployment.rollout import Target
from stacks.local_cloud.cloud import LocalCloud
from tests.scripts.test_deploy_terminal import Screen
from tests.stacks.deployment.small import LOCAL, Small, alarms, broken_topics, logs, service, topics

STAGING = replace(LOCAL, name="staging")


@dataclass(frozen=True)
class Shown:
    """What one command gave."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, object]]:
        """Standard output as NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Shell:
    """Types commands of deploy.py against small stacks in an embedded cloud."""

    small: Small

    def type(
        self,
        *words: str,
        entries: Sequence[StackEntry],
        answers: str | None = None,
        err: io.StringIO | None = None,
    ) -> Shown:
        """Run one command; with answers given it sits at a terminal."""
        kind = io.StringIO if answers is None else Screen
        out, err = io.StringIO(), err or kind()
        terminal = Terminal(out=out, err=err, stdin=kind(answers or ""), variables={"NO_COLOR": "1"})

        def opener(_name: str) -> Target:
            return self.small.target(*entries)

        def main(arguments: Sequence[str], here: Terminal) -> int:
            options = deploy.parser().parse_args(arguments)
            verbs = {"plan": _stack_verbs.plan, "deploy": _stack_verbs.deploy, "status": _stack_verbs.status}
            return {**verbs, "destroy": _stack_verbs.destroy}[options.verb](options, here, opener=opener)

        code = run(main, [*words, "--env", "staging"], terminal)
        return Shown(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as running:
        yield running


@pytest.fixture
def shell(cloud: LocalCloud) -> Iterator[Shell]:
    account = open_account(STAGING, endpoint=LocalEndpoint(1, cloud.endpoint_url, STAGING.region, STAGING.account))
    yield Shell(Small(STAGING, account, prefix=f"small-{secrets.token_hex(4)}"))
    groups = account.client("logs")
    for group in groups.describe_log_groups()["logGroups"]:
        groups.delete_log_group(logGroupName=group["logGroupName"])


def test_results_are_the_outputs_and_progress_is_elsewhere(shell: Shell) -> None:
    shown = shell.type("deploy", "--yes", entries=[topics(), alarms()])

    assert shown.code == 0
    assert shown.out.startswith("topics.TopicArn = arn:aws:sns:")
    assert "alarms: created" in shown.err


def test_with_nobody_to_ask_it_refuses_and_changes_nothing(shell: Shell) -> None:
    shown = shell.type("deploy", entries=[topics()])

    assert shown.code == 3
    assert shown.err.endswith("hint: the same with --yes approves\n")
    assert shell.small.status("topics") is None


def test_on_a_terminal_it_asks_once_for_everything(shell: Shell) -> None:
    shown = shell.type("deploy", entries=[topics(), alarms(), logs()], answers="y\n")

    assert shown.code == 0
    assert shown.err.count("[y/N]") == 1


def test_declined_it_leaves_nothing_behind(shell: Shell) -> None:
    shown = shell.type("deploy", entries=[topics()], answers="n\n")

    assert shown.code == 3
    assert shell.small.status("topics") is None


def test_with_nothing_to_do_nobody_is_asked(shell: Shell) -> None:
    shell.type("deploy", "--yes", entries=[topics()])

    shown = shell.type("deploy", entries=[topics()])

    assert shown.code == 0
    assert "staging: nothing to do" in shown.err
    assert shown.out.startswith("topics.TopicArn = ")


def test_programs_read_one_record_a_line_and_the_result_last(shell: Shell) -> None:
    records = shell.type("deploy", "--yes", "--output", "ndjson", entries=[topics()]).records

    assert [record["type"] for record in records] == ["output", "result"]
    assert records[-1] == {"type": "result", "status": "done", "exit_code": 0}


def test_a_failure_ends_with_its_cause_and_what_to_do_next(shell: Shell) -> None:
    shell.small.account.client("logs").create_log_group(logGroupName="/taken")

    shown = shell.type("deploy", "--yes", entries=[broken_topics(), alarms()])

    error, hint = shown.err.splitlines()[-2:]
    assert shown.code == 6
    assert error.startswith(
        f"error: {shell.small.prefix}-topics rolled back: Group (AWS::Logs::LogGroup) CREATE_FAILED"
    )
    assert hint.startswith("hint: a destroy leaves what holds state: remove it if nobody needs it")
    assert "alarms: skipped, needs topics" in shown.err


def test_the_first_deployment_stops_with_11_and_the_commands_to_type(shell: Shell) -> None:
    shown = shell.type("deploy", "--yes", entries=[topics(), service()])

    assert shown.code == 11
    assert shown.err.splitlines()[-5:] == [
        "nothing failed; the deployment waits for you. type:",
        "  python scripts/deploy.py image push --env staging",
        "  python scripts/certificates.py request --env staging",
        "  python scripts/certificates.py install --env staging --chain SIGNED_CHAIN.pem",
        "  python scripts/deploy.py deploy --env staging",
    ]


def test_losing_state_stops_with_3_and_the_option_that_names_it(shell: Shell) -> None:
    shell.type("deploy", "--yes", entries=[logs()])

    refused = shell.type("deploy", "--yes", entries=[logs("/small/renamed")])
    named = shell.type("deploy", "--yes", "--allow-replacement", "Group", entries=[logs("/small/renamed")])

    assert refused.code == 3
    assert refused.err.endswith("hint: if that is meant, the same with --allow-replacement Group\n")
    assert named.code == 0


class Impatient(io.StringIO):
    """Standard error of an operator who types Ctrl-C when the first resource is there."""

    def write(self, text: str) -> int:
        """Write, or interrupt."""
        if "CREATE_COMPLETE Topic" in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_interrupted_it_says_how_to_go_on_and_goes_on(shell: Shell) -> None:
    interrupted = shell.type("deploy", "--yes", entries=[topics(), alarms()], err=Impatient())
    resumed = shell.type("deploy", "--yes", entries=[topics(), alarms()])

    assert interrupted.code == 130
    assert interrupted.err.splitlines()[-2:] == [
        "interrupted; what was started goes on in AWS",
        "hint: python scripts/deploy.py deploy --env staging watches it again and goes on from there",
    ]
    assert resumed.code == 0


def test_a_plan_goes_to_standard_output_and_changes_nothing(shell: Shell) -> None:
    shown = shell.type("plan", entries=[topics(), alarms()])

    assert shown.out.splitlines() == [
        "topics: create",
        "  +   add Topic AWS::SNS::Topic",
        "alarms: known after topics (1 resource)",
        "staging: 1 to add, 1 stack not known yet",
    ]
    assert shell.small.status("topics") is None


def test_a_plan_for_programs_ends_with_its_result(shell: Shell) -> None:
    records = shell.type("plan", "--output", "ndjson", entries=[topics()]).records

    assert [record["type"] for record in records] == ["plan", "change", "result"]


def test_status_shows_stacks_and_outputs(shell: Shell) -> None:
    shell.type("deploy", "--yes", entries=[topics()])

    shown = shell.type("status", entries=[topics(), alarms()])

    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0] == ["topics", "CREATE_COMPLETE"]
    assert lines[1][:2] == ["TopicArn", "="]
    assert lines[2] == ["alarms", "absent"]


def test_destroying_asks_and_says_what_is_still_there(shell: Shell) -> None:
    shell.type("deploy", "--yes", entries=[topics(), logs()])

    unasked = shell.type("destroy", entries=[topics(), logs()])
    asked = shell.type("destroy", entries=[topics(), logs()], answers="yes\n")

    assert unasked.code == 3
    assert asked.code == 0
    assert (
        "still there, because it holds state; a name stays taken as long:\n  logs: AWS::Logs::LogGroup /small/logs\n"
        in asked.err
    )
    assert shell.small.status("topics") is None


def test_destroying_for_programs_records_what_is_still_there(shell: Shell) -> None:
    shell.type("deploy", "--yes", entries=[logs()])

    records = shell.type("destroy", "--yes", "--output", "ndjson", entries=[logs()]).records

    assert records == [
        {"type": "kept", "stack": "logs", "resource": "AWS::Logs::LogGroup /small/logs"},
        {"type": "result", "status": "done", "exit_code": 0},
    ]


def test_destroying_nothing_says_so_and_asks_nobody(shell: Shell) -> None:
    shown = shell.type("destroy", entries=[topics()])

    assert (shown.code, shown.err) == (0, "staging: no stack stands, nothing to remove\n")


def test_the_verb_may_stand_before_or_after_the_environment() -> None:
    for words in (["plan", "--env", "staging"], ["--env", "staging", "plan"]):
        options = deploy.parser().parse_args(words)

        assert (options.verb, options.env) == ("plan", "staging")
