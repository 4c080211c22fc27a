"""
An environment of three small stacks, for tests of the deployer.

    topics ──> alarms
    logs

`topics` offers its topic's ARN, which `alarms` takes; `logs` stands alone and
holds state. Each `Small` has stacks of its own names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stacks.catalog import Catalog, OutputReference, StackEntry
from stacks.deployment.account import Account
from stacks.deployment.events import StackEvent
from stacks.deployment.outcome import EnvironmentOutcome, StackOutcome
from stacks.deployment.plan import EnvironmentPlan
from stacks.deployment.polling import LOCAL_PACE, Poller, WallClock
from stacks.deployment.readiness import Need, Readiness
from stacks.deployment.rollout import Rollout, Target
from stacks.deployment.stack import read_stack
from stacks.deployment.teardown import Teardown
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment

LOCAL = load_environment(find_environment("local", Path(__file__).resolve().parents[3]))
IMAGE = Need("the image", ("python scripts/deploy.py image push --env local",))


def entry(
    name: str,
    resources: Mapping[str, Any],
    *,
    outputs: Mapping[str, Any] | None = None,
    inputs: Mapping[str, OutputReference] | None = None,
    operator: frozenset[str] = frozenset(),
) -> StackEntry:
    """One stack of the catalog, from its resources."""
    inputs = inputs or {}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": {parameter: {"Type": "String"} for parameter in sorted({*inputs, *operator})},
        "Resources": resources,
        "Outputs": {output: {"Value": value} for output, value in (outputs or {}).items()},
    }
    if not template["Parameters"]:
        del template["Parameters"]
    return StackEntry(
        name=name,
        stack_name=name,
        template=template,
        body=json.dumps(template),
        inputs=inputs,
        operator_parameters=operator,
        needs=frozenset(reference.stack for reference in inputs.values()),
        capabilities=(),
    )


def topics(display_name: str = "alarms") -> StackEntry:
    """A stack that offers a topic."""
    resources = {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": display_name}}}
    return entry("topics", resources, outputs={"TopicArn": {"Ref": "Topic"}})


def broken_topics() -> StackEntry:
    """A stack whose log group's name is taken already."""
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/taken"}}
    made = topics()
    return entry("topics", {**made.template["Resources"], "Group": group}, outputs={"TopicArn": {"Ref": "Topic"}})


def alarms(**settings: Any) -> StackEntry:
    """A stack that takes the topic."""
    properties = {
        "AlarmActions": [{"Ref": "TopicArn"}],
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "MetricName": "Refusals",
        "Namespace": "Test",
        "Period": 60,
        "Statistic": "Sum",
        "Threshold": 1,
        **settings,
    }
    return entry(
        "alarms",
        {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}},
        inputs={"TopicArn": OutputReference("topics", "TopicArn")},
    )


def logs(name: str = "/small/logs") -> StackEntry:
    """A stack that holds state."""
    group = {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"LogGroupName": name},
    }
    return entry("logs", {"Group": group})


def service() -> StackEntry:
    """A stack that waits for an image."""
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "ImageDigest"}}}
    return entry("service", {"Topic": topic}, operator=frozenset({"ImageDigest"}))


@dataclass
class Notes:
    """A watcher that writes down what it is told."""

    events: list[StackEvent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def event(self, _stack: str, event: StackEvent) -> None:
        """Write it down."""
        self.events.append(event)

    def note(self, stack: str, text: str) -> None:
        """Write it down."""
        self.notes.append(f"{stack}: {text}")

    def finished(self, _outcome: StackOutcome) -> None:
        """Nothing to note: the outcome is returned, too."""


@dataclass
class Desk:
    """The lookout's twin: what is ready is what the test says."""

    readiness: Readiness = field(default_factory=Readiness)

    def look(self) -> Readiness:
        """Look at the desk."""
        return self.readiness


@dataclass
class Small:
    """A small environment, its stacks under a prefix of its own."""

    environment: Environment
    account: Account
    prefix: str
    desk: Desk = field(default_factory=Desk)
    notes: Notes = field(default_factory=Notes)

    def rollout(self, *entries: StackEntry) -> Rollout:
        """Make a run."""
        return Rollout(self.target(*entries), lookout=self.desk, watcher=self.notes, poller=poller())

    def plan(self, *entries: StackEntry) -> EnvironmentPlan:
        """Look and go away."""
        run = self.rollout(*entries)
        try:
            return run.prepare(touch_nothing=True)
        finally:
            run.discard()

    def deploy(self, *entries: StackEntry, allowed: frozenset[str] = frozenset()) -> EnvironmentOutcome:
        """Plan and execute."""
        run = self.rollout(*entries)
        run.prepare()
        return run.execute(allowed=allowed)

    def destroy(self, *entries: StackEntry) -> EnvironmentOutcome:
        """Take it all down."""
        return Teardown(self.target(*entries), watcher=self.notes, poller=poller()).execute()

    def status(self, name: str) -> str | None:
        """Read one stack's status."""
        state = read_stack(self.account.client("cloudformation"), f"{self.prefix}-{name}")
        return state.status if state else None

    def target(self, *entries: StackEntry) -> Target:
        """Say what is deployed, and where."""
        return Target(
            self.environment,
            Catalog(
                self.environment, tuple(replace(each, stack_name=f"{self.prefix}-{each.name}") for each in entries)
            ),
            self.account,
        )


def poller() -> Poller:
    """Make a poller for a cloud that answers at once."""
    return Poller(WallClock(), LOCAL_PACE)
