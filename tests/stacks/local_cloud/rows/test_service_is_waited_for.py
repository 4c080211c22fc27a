"""A service is done when one deployment runs as many tasks as it shall, and failed when ECS would give it up."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.local_cloud.resource_types.table import rows
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, StackFacts

DEPLOYMENT = {"status": "PRIMARY", "desiredCount": 2, "failedTasks": 0}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def is_stable(**told: Any) -> bool:
    """Ask the row about a service ECS describes so."""

    class Ecs:
        def describe_services(self, **_asked: object) -> dict[str, Any]:
            service = {"status": "ACTIVE", "desiredCount": 2, "runningCount": 2, "deployments": [DEPLOYMENT], **told}
            return {"services": [service]}

    stack = StackFacts("workload", "id", "us-east-1", "123456789012", "aws", {})
    properties = Properties({"Cluster": "cluster"})
    resource = Resource("Service", "AWS::ECS::Service", properties, stack, lambda _: Ecs(), physical_id="service")
    ask = rows()["AWS::ECS::Service"].is_stable
    assert ask is not None
    return ask(resource)


def test_all_tasks_of_one_deployment_run() -> None:
    assert is_stable()


@pytest.mark.parametrize("running", [0, 1, 3])
def test_another_count_is_waited_for(running: int) -> None:
    assert not is_stable(runningCount=running)


def test_an_old_deployment_is_waited_out() -> None:
    assert not is_stable(deployments=[DEPLOYMENT, {**DEPLOYMENT, "status": "ACTIVE"}])


def test_three_failed_tasks_break_the_circuit() -> None:
    """The event that tells why is quoted, not those that only say that it does not work."""
    events = [
        {"message": "is unable to consistently start tasks"},
        {"message": "task stopped: exit code 1"},
        {"message": "is unable to consistently start tasks"},
    ]

    with pytest.raises(ResourceFailedError, match=r"Circuit Breaker was triggered\. task stopped: exit code 1$"):
        is_stable(
            runningCount=0,
            deployments=[{**DEPLOYMENT, "failedTasks": 3}],
            deploymentConfiguration=BREAKER,
            events=events,
        )


def test_two_failed_tasks_may_still_come_round() -> None:
    deployments = [{**DEPLOYMENT, "failedTasks": 2}]

    assert not is_stable(runningCount=0, deployments=deployments, deploymentConfiguration=BREAKER)


def test_without_a_circuit_breaker_it_is_waited_for() -> None:
    assert not is_stable(runningCount=0, deployments=[{**DEPLOYMENT, "failedTasks": 9}])


def test_a_service_that_is_gone_has_failed() -> None:
    with pytest.raises(ResourceFailedError, match="gone"):
        is_stable(status="INACTIVE")
