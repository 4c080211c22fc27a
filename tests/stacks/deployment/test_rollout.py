"""What a deployment does, and leaves, whatever happens: three small stacks in the embedded cloud."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stacks.deployment.account import Account, LocalEndpoint, open_account
from stacks.deployment.events import StackEvent
from stacks.deployment.outcome import EnvironmentOutcome, Result
from stacks.deployment.plan import Outlook
from stacks.deployment.readiness import Readiness
from stacks.local_cloud.cloud import LocalCloud
from stacks.naming import stack_tags
from tests.stacks.deployment.small import IMAGE, LOCAL, Notes, Small, alarms, broken_topics, logs, service, topics


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalCloud() as cloud:
        yield open_account(LOCAL, endpoint=LocalEndpoint(1, cloud.endpoint_url, LOCAL.region, LOCAL.account))


@pytest.fixture
def small(account: Account) -> Iterator[Small]:
    yield Small(LOCAL, account, prefix=f"small-{secrets.token_hex(4)}")
    groups = account.client("logs")
    for group in groups.describe_log_groups()["logGroups"]:  # their names are fixed, so the next test needs them gone
        groups.delete_log_group(logGroupName=group["logGroupName"])


def results(outcome: EnvironmentOutcome) -> dict[str, Result]:
    return {stack.name: stack.result for stack in outcome.stacks}


# -- planning --------------------------------------------------------------------


def test_a_plan_shows_what_is_known_and_what_is_known_after(small: Small) -> None:
    plan = small.plan(topics(), alarms(), logs())

    assert [(stack.name, stack.outlook) for stack in plan.stacks] == [
        ("topics", Outlook.CREATE),
        ("alarms", Outlook.KNOWN_AFTER),
        ("logs", Outlook.CREATE),
    ]
    assert plan.stacks[1].waits_for == ("topics",)


def test_a_plan_leaves_nothing_behind(small: Small) -> None:
    small.plan(topics(), alarms(), logs())

    assert [small.status(name) for name in ("topics", "alarms", "logs")] == [None, None, None]


def test_a_plan_of_a_change_shows_the_property_before_and_after(small: Small) -> None:
    small.deploy(topics())

    (stack,) = small.plan(topics("refusals")).stacks

    (change,) = stack.changes
    (shown,) = change.properties
    assert (change.logical_id, shown.path, shown.before, shown.after) == (
        "Topic",
        "DisplayName",
        "alarms",
        "refusals",
    )


def test_a_plan_leaves_no_change_set_on_a_stack_that_stands(small: Small) -> None:
    small.deploy(topics())

    small.plan(topics("refusals"))

    left = small.account.client("cloudformation").list_change_sets(StackName=f"{small.prefix}-topics")["Summaries"]
    assert [each for each in left if each["ExecutionStatus"] == "AVAILABLE"] == []


# -- deploying --------------------------------------------------------------------


def test_what_one_stack_offers_another_takes(small: Small) -> None:
    outcome = small.deploy(topics(), alarms(), logs())

    assert results(outcome) == {"topics": Result.CREATED, "alarms": Result.CREATED, "logs": Result.CREATED}
    (alarm,) = small.account.client("cloudwatch").describe_alarms(AlarmNamePrefix=small.prefix)["MetricAlarms"]
    assert alarm["AlarmActions"] == [outcome.outputs["topics"]["TopicArn"]]


def test_events_of_every_resource_are_told_once_and_in_order(small: Small) -> None:
    small.deploy(topics())

    told = [(event.logical_id, event.status) for event in small.notes.events]
    assert told.index(("Topic", "CREATE_COMPLETE")) < told.index((f"{small.prefix}-topics", "CREATE_COMPLETE"))
    assert len({event.event_id for event in small.notes.events}) == len(small.notes.events)


def test_stacks_bear_the_tags_of_the_environment(small: Small) -> None:
    small.deploy(topics())

    (stack,) = small.account.client("cloudformation").describe_stacks(StackName=f"{small.prefix}-topics")["Stacks"]
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == stack_tags(small.environment)
    assert stack_tags(small.environment).items() >= small.environment.tags.items()


def test_a_second_deployment_changes_nothing_and_still_tells_the_outputs(small: Small) -> None:
    first = small.deploy(topics(), alarms())

    second = small.deploy(topics(), alarms())

    assert set(results(second).values()) == {Result.UNCHANGED}
    assert second.exit_code == 0
    assert second.outputs == first.outputs


def test_a_change_is_made_in_place(small: Small) -> None:
    small.deploy(topics(), alarms())

    outcome = small.deploy(topics(), alarms(Threshold=5))

    assert results(outcome) == {"topics": Result.UNCHANGED, "alarms": Result.UPDATED}


# -- failing ----------------------------------------------------------------------


@pytest.fixture
def taken(small: Small) -> Small:
    small.account.client("logs").create_log_group(logGroupName="/taken")
    return small


def test_a_failed_stack_stops_its_dependents_and_no_others(taken: Small) -> None:
    outcome = taken.deploy(broken_topics(), alarms(), logs())

    assert results(outcome) == {"topics": Result.ROLLED_BACK, "alarms": Result.SKIPPED, "logs": Result.CREATED}
    assert outcome.exit_code == 6


def test_the_cause_names_the_resource_and_what_its_service_said(taken: Small) -> None:
    (failed,) = taken.deploy(broken_topics()).stacks

    assert failed.message.startswith("Group (AWS::Logs::LogGroup) CREATE_FAILED:")
    assert "exist" in failed.message


def test_the_empty_stack_of_a_failed_first_attempt_is_removed_with_a_line_saying_so(taken: Small) -> None:
    taken.deploy(broken_topics())
    taken.account.client("logs").delete_log_group(logGroupName="/taken")

    outcome = taken.deploy(broken_topics())

    assert results(outcome) == {"topics": Result.CREATED}
    assert taken.notes.notes == [
        "topics: removing the empty stack a failed first attempt left (ROLLBACK_COMPLETE)",
    ]


def test_a_plan_leaves_the_empty_stack_where_it_is(taken: Small) -> None:
    taken.deploy(broken_topics())

    (stack,) = taken.plan(broken_topics()).stacks

    assert [change.logical_id for change in stack.changes] == ["Topic", "Group"]
    assert taken.status("topics") == "ROLLBACK_COMPLETE"


def test_a_failed_update_is_rolled_back_and_the_stack_stands_as_before(taken: Small) -> None:
    taken.deploy(topics())

    outcome = taken.deploy(broken_topics())

    assert outcome.exit_code == 6
    assert taken.status("topics") == "UPDATE_ROLLBACK_COMPLETE"


# -- state ---------------------------------------------------------------------------


def test_replacing_what_holds_state_is_refused_until_it_is_named(small: Small) -> None:
    small.deploy(logs())

    outcome = small.deploy(logs("/small/renamed"))

    (refused,) = outcome.stacks
    assert refused.result is Result.REFUSED
    assert outcome.exit_code == 3
    assert refused.hint == "if that is meant, the same with --allow-replacement Group"


def test_named_it_is_replaced(small: Small) -> None:
    small.deploy(logs())

    outcome = small.deploy(logs("/small/renamed"), allowed=frozenset({"Group"}))

    assert results(outcome) == {"logs": Result.UPDATED}


# -- waiting --------------------------------------------------------------------------


def test_the_first_deployment_waits_for_the_image_without_failing(small: Small) -> None:
    small.desk.readiness = Readiness(needs=(IMAGE,))

    outcome = small.deploy(topics(), service())

    assert results(outcome) == {"topics": Result.CREATED, "service": Result.WAITING}
    assert outcome.exit_code == 11
    assert outcome.needs == (IMAGE,)


def test_typed_again_with_the_image_there_it_goes_on(small: Small) -> None:
    small.desk.readiness = Readiness(needs=(IMAGE,))
    small.deploy(topics(), service())
    small.desk.readiness = Readiness({"ImageDigest": "sha256:abc"})

    outcome = small.deploy(topics(), service())

    assert results(outcome) == {"topics": Result.UNCHANGED, "service": Result.CREATED}


# -- interrupted ------------------------------------------------------------------------


class Interrupting(Notes):
    """An operator who types Ctrl-C at the first event."""

    def event(self, _stack: str, _event: StackEvent) -> None:
        """Interrupt."""
        raise KeyboardInterrupt


def test_an_interrupted_deployment_is_taken_up_where_it_is(small: Small) -> None:
    run = replace(small, notes=Interrupting()).rollout(topics(), alarms())
    run.prepare()
    with pytest.raises(KeyboardInterrupt):
        run.execute()

    outcome = small.deploy(topics(), alarms())

    assert outcome.exit_code == 0
    assert small.status("topics") == "CREATE_COMPLETE"


# -- the way back -------------------------------------------------------------------------


def test_everything_goes_and_what_holds_state_is_named(small: Small) -> None:
    small.deploy(topics(), alarms(), logs())

    outcome = small.destroy(topics(), alarms(), logs())

    assert {small.status(name) for name in ("topics", "alarms", "logs")} == {None}
    assert [thing for stack in outcome.stacks for thing in stack.kept] == ["AWS::Logs::LogGroup /small/logs"]
    assert outcome.exit_code == 0


def test_destroying_what_is_not_there_is_no_error(small: Small) -> None:
    assert set(results(small.destroy(topics(), alarms())).values()) == {Result.ABSENT}
