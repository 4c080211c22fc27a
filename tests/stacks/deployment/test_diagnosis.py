"""The cause of a failure is the first resource that failed on its own account."""

from __future__ import annotations

import pytest

from stacks.deployment.diagnosis import Cause, advise, find_cause
from tests.stacks.deployment.twins import event, stack_event
from tests.stacks.environments import environment


def test_the_first_failure_is_the_cause_and_cancelled_siblings_are_not() -> None:
    events = [
        stack_event("CREATE_IN_PROGRESS", "User Initiated"),
        event("Subnet", "CREATE_FAILED", "Resource creation cancelled"),
        event("Vpc", "CREATE_FAILED", "The maximum number of VPCs has been reached."),
        stack_event("ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Subnet, Vpc]."),
        event("Gateway", "DELETE_FAILED", "has dependencies"),
    ]

    cause = find_cause(events)

    assert str(cause) == "Vpc (AWS::EC2::VPC) CREATE_FAILED: The maximum number of VPCs has been reached."


def test_a_stack_refused_as_a_whole_speaks_for_itself() -> None:
    cause = find_cause(
        [stack_event("ROLLBACK_IN_PROGRESS", "The role is not assumable"), stack_event("ROLLBACK_COMPLETE")]
    )

    assert cause is not None
    assert cause.reason == "The role is not assumable"


@pytest.mark.parametrize(
    "reason",
    [
        "Table already exists: clients (HandlerErrorCode: ResourceInUseException)",
        "Resource of type 'AWS::Logs::LogGroup' with identifier 'x' already exists.",
        "The request was refused (HandlerErrorCode: RepositoryAlreadyExistsException)",
        "Your previous request to create the named bucket succeeded (BucketAlreadyOwnedByYou)",
    ],
)
def test_a_name_that_is_taken_is_recognized(reason: str) -> None:
    cause = find_cause([event("Table", "CREATE_FAILED", reason)])

    assert cause is not None
    assert cause.is_name_taken


def test_another_failure_is_no_taken_name() -> None:
    cause = find_cause([event("Table", "CREATE_FAILED", "Rate exceeded")])

    assert cause is not None
    assert not cause.is_name_taken


def test_where_nothing_failed_there_is_no_cause() -> None:
    assert find_cause([event("Vpc", "CREATE_COMPLETE"), stack_event("CREATE_COMPLETE")]) is None


TASK_ENDED = Cause(
    "s", "Service", "AWS::ECS::Service", "UPDATE_FAILED", "Essential container in task exited. Exit code 1."
)


def test_a_task_that_ended_is_explained_by_its_own_lines() -> None:
    advice = advise(environment("staging"), "s", "UPDATE_ROLLBACK_COMPLETE", TASK_ENDED)

    assert advice == ("why a task ended: aws logs tail /mtls-ingress/staging/service --since 30m --region us-east-1")


@pytest.mark.parametrize(
    ("resource_type", "reason"),
    [
        ("AWS::ElasticLoadBalancing::LoadBalancer", "The requested Availability Zone us-east-1f is constrained"),
        ("AWS::ElasticLoadBalancing::LoadBalancer", "ELB cannot be attached to a subnet in us-east-1f"),
        ("AWS::EC2::Subnet", "Value (us-east-1g) for parameter availabilityZone is invalid."),
    ],
)
def test_a_zone_without_load_balancers_is_explained(resource_type: str, reason: str) -> None:
    """The API refuses it in words of its own; what helps is other zones (E16)."""
    advice = advise(
        environment("staging"), "s", "ROLLBACK_COMPLETE", Cause("s", "One", resource_type, "CREATE_FAILED", reason)
    )

    assert str(advice).startswith("not every zone takes Classic Load Balancers")


def test_a_load_balancer_refused_for_another_reason_is_not_about_zones() -> None:
    cause = Cause("s", "One", "AWS::ElasticLoadBalancing::LoadBalancer", "CREATE_FAILED", "Access denied for bucket")

    assert not cause.is_zone_refused


def test_on_this_machine_they_are_in_the_other_terminal() -> None:
    advice = str(advise(environment("local"), "s", "UPDATE_ROLLBACK_FAILED", TASK_ENDED))

    assert "see the terminal of make local" in advice
    assert "end make local" in advice


def test_a_change_that_was_undone_and_says_why_needs_no_advice() -> None:
    cause = Cause("s", "Table", "AWS::DynamoDB::Table", "UPDATE_FAILED", "Rate exceeded")

    assert advise(environment("staging"), "s", "UPDATE_ROLLBACK_COMPLETE", cause) is None
