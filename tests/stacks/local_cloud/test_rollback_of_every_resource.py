"""
Whatever fails in our templates, everything is rolled back to exactly the state before.

Every type of resource of every stack fails, the first of it and the last, at
its worst moment, in the creation of the stack and in an update that changes as
much as an environment file can; the whole account is listed before and after.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from stacks.catalog import StackEntry, assemble
from stacks.environment import Environment
from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.engine.resource_life import ScriptedFailure
from stacks.local_cloud.ledger import Ledger
from stacks.local_cloud.resource_types.table import rows
from stacks.local_cloud.stand_in import EcsStandIn
from stacks.naming import stack_tags
from tests.stacks.environments import changed
from tests.stacks.local_cloud.account_listing import account_listing, listing_differences

pytestmark = pytest.mark.slow

SERVICE = "AWS::ECS::Service"
ACCOUNT = ('"111122223333"', '"123456789012"')
DIGESTS = ("sha256:" + "0" * 64, "sha256:" + "1" * 64)
CHANGES = (
    ('environment = "staging"', 'environment = "stage"\nteam = "edge"'),
    ('"198.51.100.0/24"', '"203.0.113.0/24", "192.0.2.0/24"'),
    ("idle_timeout_seconds = 60", "idle_timeout_seconds = 90"),
    ("draining_seconds = 60", "draining_seconds = 70"),
    ("health_check_interval_seconds = 10", "health_check_interval_seconds = 12"),
    ("access_log_interval_minutes = 60", "access_log_interval_minutes = 5"),
    ('"t3.small"', '"t3.medium"'),
    ("min_instances = 2", "min_instances = 3"),
    ("max_instances = 5", "max_instances = 7"),
    ("tasks = 2", "tasks = 3"),
    ("max_tasks = 4", "max_tasks = 5"),
    ("memory_mib = 1024", "memory_mib = 900"),
    ("retention_days = 365", "retention_days = 400"),
    ('"ops@example.com"', '"ops@example.com", "second@example.com"'),
)


@dataclass
class Operator:
    """Deploys staging, stack by stack, and lists what the account has."""

    cloud: LocalCloud
    zone: str
    outputs: dict[str, str] = field(default_factory=dict)

    def environment(self, *changes: tuple[str, str]) -> Environment:
        """Give staging, with an alias in a zone of the account."""
        made = changed(ACCOUNT, *changes)
        return dataclasses.replace(made, ingress=dataclasses.replace(made.ingress, hosted_zone_id=self.zone))

    def stacks(self, *changes: tuple[str, str]) -> Mapping[str, StackEntry]:
        """Assemble the stacks."""
        return {entry.name: entry for entry in assemble(self.environment(*changes)).stacks}

    def request(self, entry: StackEntry, *changes: tuple[str, str]) -> dict[str, Any]:
        """Write the request that creates or updates a stack; with changes comes another image."""
        given = {name: self.outputs[name] for name in entry.inputs}
        given |= dict.fromkeys(entry.operator_parameters, DIGESTS[bool(changes)])
        return {
            "StackName": entry.stack_name,
            "TemplateBody": entry.body,
            "Capabilities": list(entry.capabilities),
            "Tags": [{"Key": key, "Value": value} for key, value in stack_tags(self.environment(*changes)).items()],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        }

    def create(self, entry: StackEntry) -> str:
        """Create a stack and give its last status."""
        self.cloud.client("cloudformation").create_stack(**self.request(entry))
        return self.ended(entry)

    def update(self, entry: StackEntry, *changes: tuple[str, str]) -> str:
        """Update a stack and give its last status."""
        self.cloud.client("cloudformation").update_stack(**self.request(entry, *changes))
        return self.ended(entry)

    def remove(self, entry: StackEntry) -> None:
        """Delete what is left of a stack that was rolled back: its name."""
        self.cloud.client("cloudformation").delete_stack(StackName=entry.stack_name)

    def remove_protected(self) -> bool:
        """
        Remove what stayed because it is protected, as an operator must by hand; tell whether there was any.

        A table is protected from its first moment on (DynamoDB.6), so not even the failure of its first stack takes it
        away; and what that stack could not finish to remove, it then keeps.
        """
        dynamodb = self.cloud.client("dynamodb")
        kept = self.outputs.get("ClientRegistryTableName")
        left = [name for name in dynamodb.list_tables()["TableNames"] if name != kept]
        for name in left:
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=name)
        return bool(left)

    def ended(self, entry: StackEntry) -> str:
        """Wait for the end of what runs."""
        cloudformation, deadline = self.cloud.client("cloudformation"), time.monotonic() + 60
        while True:
            (stack,) = cloudformation.describe_stacks(StackName=entry.stack_name)["Stacks"]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            assert time.monotonic() < deadline, f"{entry.name} is still {stack['StackStatus']}"
            time.sleep(0.01)
        self.outputs.update({output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])})
        return str(stack["StackStatus"])

    def changed_by(self, entry: StackEntry, *changes: tuple[str, str]) -> list[tuple[str, str]]:
        """Ask a change set which resources the update will make or change for certain, and how."""
        cloudformation = self.cloud.client("cloudformation")
        asked = self.request(entry, *changes)
        identity = cloudformation.create_change_set(ChangeSetName="ask", **asked)["Id"]
        cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=identity, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
        )
        told = cloudformation.describe_change_set(ChangeSetName=identity)["Changes"]
        cloudformation.delete_change_set(ChangeSetName=identity)
        return [
            (change["LogicalResourceId"], _moment(change))
            for change in (each["ResourceChange"] for each in told)
            if change["Action"] != "Remove" and _is_certain(change)
        ]

    def listing(self) -> Any:
        """List the account."""
        return account_listing(self.cloud.client)


def ends_of_each_type(entry: StackEntry, resources: Iterable[str]) -> set[str]:
    """Choose of each type the first and the last: thirty alarms are taken back like two."""
    by_type: dict[str, list[str]] = {}
    for name in resources:
        by_type.setdefault(entry.template["Resources"][name]["Type"], []).append(name)
    return {name for names in by_type.values() for name in (names[0], names[-1])}


def _moment(change: Mapping[str, Any]) -> str:
    return "create" if change["Action"] == "Add" or change["Replacement"] == "True" else "update"


def _is_certain(change: Mapping[str, Any]) -> bool:
    """Tell a change from one that only may come, because what it refers to changes."""
    certain = {detail["Target"]["Attribute"] for detail in change["Details"] if detail["Evaluation"] == "Static"}
    return change["Action"] == "Add" or "Properties" in certain or (bool(certain) and _bears_tags(change))


def _bears_tags(change: Mapping[str, Any]) -> bool:
    return any("Tags" in setting.properties for setting in rows()[change["ResourceType"]].settings)


@pytest.fixture
def operator() -> Iterator[Operator]:
    """No tasks run here: what is registered counts."""
    carried = rows()
    carried[SERVICE] = dataclasses.replace(carried[SERVICE], is_stable=None)
    with LocalCloud(rows=carried, stand_ins=[EcsStandIn(Ledger())]) as cloud:
        created = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
        yield Operator(cloud, created["HostedZone"]["Id"].removeprefix("/hostedzone/"))


def test_creation(operator: Operator) -> None:
    for entry in operator.stacks().values():
        before = operator.listing()
        for resource in sorted(ends_of_each_type(entry, entry.template["Resources"])):
            operator.cloud.fail_next(ScriptedFailure(resource, on="create", stack=entry.stack_name))

            if operator.create(entry) == "ROLLBACK_FAILED":
                assert operator.remove_protected(), f"{entry.name} {resource}"
                operator.remove(entry)
                before = operator.listing()
                continue
            operator.remove(entry)
            assert list(listing_differences(before, operator.listing())) == [], f"{entry.name} {resource}"
        assert operator.create(entry) == "CREATE_COMPLETE"


def test_update(operator: Operator) -> None:
    tried = 0
    for entry in operator.stacks().values():
        assert operator.create(entry) == "CREATE_COMPLETE"

    for entry in operator.stacks(*CHANGES).values():
        before = operator.listing()
        moments = dict(operator.changed_by(entry, *CHANGES))
        for resource in sorted(ends_of_each_type(entry, moments)):
            moment = moments[resource]
            operator.cloud.fail_next(ScriptedFailure(resource, on=moment, stack=entry.stack_name))

            assert operator.update(entry, *CHANGES) == "UPDATE_ROLLBACK_COMPLETE", f"{entry.name} {resource}"

            assert list(listing_differences(before, operator.listing())) == [], f"{entry.name} {resource}"
            tried += 1
        assert operator.update(entry, *CHANGES) == "UPDATE_COMPLETE"
    assert tried > 40
