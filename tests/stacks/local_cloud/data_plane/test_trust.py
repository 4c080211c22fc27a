"""A role lets ECS take it for tasks of this account alone; as on AWS, no cluster can be named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stacks.local_cloud.authorizer.role_calls import distrust
from stacks.permissions import trust_tasks
from tests.stacks.deployment.small import LOCAL

ROLE = "arn:aws:iam::123456789012:role/task"
PLACE = "arn:aws:ecs:us-east-1:123456789012"


def asked(trust: Any, service: str = "ecs-tasks.amazonaws.com") -> str | None:
    context: dict[str, str | tuple[str, ...]] = {
        "aws:sourceaccount": "123456789012",
        "aws:sourcearn": f"{PLACE}:ecs-tasks",
    }
    return distrust(service, ROLE, json.dumps(trust), context, account="123456789012")


def trusting(**condition: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_our_own_roles_trust_ecs() -> None:
    assert asked(trust_tasks(LOCAL)) is None


@pytest.mark.parametrize(
    "trust",
    [
        trusting(StringEquals={"aws:SourceAccount": "999999999999"}),
        trusting(ArnLike={"aws:SourceArn": f"{PLACE}:cluster/ours"}),
        trusting(ArnLike={"aws:SourceArn": "arn:aws:ecs:eu-west-1:123456789012:*"}),
        trusting(Bool={"aws:MultiFactorAuthPresent": True}),
        {"Version": "2012-10-17", "Statement": []},
    ],
)
def test_a_condition_that_does_not_hold_keeps_ecs_out(trust: Any) -> None:
    reason = asked(trust)

    assert reason is not None
    assert f"trust policy {ROLE}" in reason


def test_another_service_is_not_meant() -> None:
    assert asked(trust_tasks(LOCAL), "ec2.amazonaws.com") is not None


def test_a_policy_nobody_can_read_trusts_nobody() -> None:
    reason = asked(trusting(StringMaybe={"aws:SourceAccount": "123456789012"}))

    assert reason is not None
    assert "StringMaybe is unknown" in reason
