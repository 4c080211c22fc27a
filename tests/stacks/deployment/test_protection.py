"""Instances that are protected from scale-in hold up no teardown, and are let go by none but their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from stacks.deployment.account import Account, LocalEndpoint, open_account
from stacks.deployment.outcome import Result
from stacks.deployment.protection import lift_protection
from stacks.deployment.stack import StackState, read_stack
from stacks.local_cloud.cloud import LocalCloud
from tests.stacks.deployment.small import LOCAL, Small, entry, topics


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalCloud() as cloud:
        yield open_account(LOCAL, endpoint=LocalEndpoint(1, cloud.endpoint_url, LOCAL.region, LOCAL.account))


@pytest.fixture
def small(account: Account) -> Small:
    return Small(LOCAL, account, prefix=f"small-{secrets.token_hex(4)}")


def group(*, protected: bool = True) -> Any:
    """A stack with a group of two instances."""
    data = {"ImageId": "ami-03cf127a", "InstanceType": "t3.small"}
    resources = {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "us-east-1a"},
        },
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}},
        "Group": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "Properties": {
                "MinSize": "2",
                "MaxSize": "2",
                "LaunchTemplate": {
                    "LaunchTemplateId": {"Ref": "Template"},
                    "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]},
                },
                "VPCZoneIdentifier": [{"Ref": "Subnet"}],
                "NewInstancesProtectedFromScaleIn": protected,
            },
        },
    }
    return entry("capacity", resources)


def state(small: Small, name: str) -> StackState:
    found = read_stack(small.account.client("cloudformation"), f"{small.prefix}-{name}")
    assert found is not None
    return found


def test_a_teardown_lets_protected_instances_go(small: Small) -> None:
    """CloudFormation alone would wait for them until it gives up."""
    small.deploy(group())

    outcome = small.destroy(group())

    assert [stack.result for stack in outcome.stacks] == [Result.DELETED]
    assert len([note for note in small.notes.notes if "protection from scale-in lifted" in note]) == 1


def test_without_it_the_stack_cannot_go(small: Small) -> None:
    """Or the test above would show nothing."""
    small.deploy(group())
    cloudformation = small.account.client("cloudformation")
    name = f"{small.prefix}-capacity"

    cloudformation.delete_stack(StackName=name)

    with pytest.raises(Exception, match="DELETE_FAILED"):
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
    assert small.destroy(group()).exit_code == 0


def test_nobody_is_asked_where_there_is_nothing_to_let_go(small: Small) -> None:
    """The deploy role needs no word with Auto Scaling for a stack without a group."""
    small.deploy(topics())
    asked: list[str] = []
    client = small.account.client("autoscaling")
    client.meta.events.register("before-call.autoscaling", lambda model, **_: asked.append(model.name))

    lifted = lift_protection(small.account, state(small, "topics"))

    assert (lifted, asked) == ([], [])


def test_instances_of_other_stacks_stay_protected(small: Small, account: Account) -> None:
    other = Small(LOCAL, account, prefix=f"other-{secrets.token_hex(4)}")
    small.deploy(group())
    other.deploy(group())

    lifted = lift_protection(account, state(small, "capacity"))

    groups = account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    protected = {
        instance["InstanceId"] for each in groups for instance in each["Instances"] if instance["ProtectedFromScaleIn"]
    }
    assert len(lifted) == 2
    assert len(protected) == 2
    assert not protected & set(lifted)


def test_a_group_that_protects_nobody_is_left_alone(small: Small) -> None:
    small.deploy(group(protected=False))

    assert lift_protection(small.account, state(small, "capacity")) == []
