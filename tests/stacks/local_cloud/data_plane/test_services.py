"""Services are kept at what they ask for, and a new task definition replaces the old without a failed request."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import ClientError

from tests.stacks.local_cloud.data_plane.stage import CLUSTER, Stage, eventually

HALF = {"minimumHealthyPercent": 50, "maximumPercent": 100}


def test_what_create_service_was_given_is_told_again(stage: Stage) -> None:
    """The three fields moto accepts and never returns, and what they are when nobody gave them."""
    strategy = [{"capacityProvider": "provider", "weight": 1, "base": 0}]
    stage.load_balancer()
    stage.service(
        stage.task_definition(),
        desired=0,
        capacityProviderStrategy=strategy,
        deploymentConfiguration=HALF,
        healthCheckGracePeriodSeconds=90,
    )

    service = stage.described()

    assert service["capacityProviderStrategy"] == strategy
    assert service["healthCheckGracePeriodSeconds"] == 90
    assert {name: service["deploymentConfiguration"][name] for name in HALF} == HALF
    assert "launchType" not in service


def test_what_update_service_was_given_is_told_again(stage: Stage) -> None:
    stage.load_balancer()
    stage.service(stage.task_definition(), desired=0, deploymentConfiguration=HALF)

    stage.update(healthCheckGracePeriodSeconds=30)

    service = stage.described()
    assert service["healthCheckGracePeriodSeconds"] == 30
    assert service["deploymentConfiguration"]["minimumHealthyPercent"] == 50


def test_launch_type_and_strategy_together_are_refused(stage: Stage) -> None:
    with pytest.raises(ClientError, match="Specifying both a launch type and capacity provider strategy"):
        stage.service(
            stage.task_definition(),
            balanced=False,
            launchType="EC2",
            capacityProviderStrategy=[{"capacityProvider": "provider"}],
        )


def test_counts_and_health_follow_what_runs(stage: Stage) -> None:
    stage.load_balancer()
    stage.service(stage.task_definition(), desired=1)
    eventually(lambda: stage.is_steady(1))

    stage.update(desiredCount=2)

    assert stage.described()["runningCount"] == 1
    eventually(lambda: stage.is_steady(2))
    cluster = stage.client("ecs").describe_clusters(clusters=[CLUSTER])["clusters"][0]
    assert (cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (2, 0)
    assert (cluster["registeredContainerInstancesCount"], cluster["activeServicesCount"]) == (2, 1)
    eventually(lambda: "has reached a steady state" in stage.messages()[0])


def test_too_few_instances_are_an_event(stage: Stage) -> None:
    stage.load_balancer()
    stage.service(stage.task_definition(), desired=3)

    eventually(lambda: any("was unable to place a task" in message for message in stage.messages()))

    assert stage.described()["runningCount"] == 2


def test_an_update_is_a_new_deployment_at_once(stage: Stage) -> None:
    """Whoever polls right after UpdateService must not take the old deployment for the new one."""
    stage.load_balancer()
    stage.service(stage.task_definition(), desired=1, deploymentConfiguration=HALF)
    eventually(lambda: stage.is_steady(1))

    stage.update(taskDefinition=stage.task_definition(environment=[{"name": "VERSION", "value": "2"}]))

    assert [deployment["status"] for deployment in stage.described()["deployments"]] == ["PRIMARY", "ACTIVE"]


def test_a_forced_deployment_replaces_every_task(stage: Stage) -> None:
    stage.load_balancer()
    stage.service(stage.task_definition(), desired=2, deploymentConfiguration=HALF)
    eventually(lambda: stage.is_steady(2))
    before = {task["taskArn"] for task in stage.tasks()}

    stage.update(forceNewDeployment=True)

    eventually(lambda: stage.is_steady(2))
    assert not before & {task["taskArn"] for task in stage.tasks()}


def test_percentages_that_allow_nothing_are_an_event(stage: Stage) -> None:
    stage.load_balancer()
    deadlock = {"minimumHealthyPercent": 66, "maximumPercent": 100}
    stage.service(stage.task_definition(), desired=2, deploymentConfiguration=deadlock)
    eventually(lambda: stage.is_steady(2))

    stage.update(forceNewDeployment=True)

    eventually(lambda: any("was unable to stop or start tasks" in message for message in stage.messages()))


def test_a_rolling_replacement_fails_no_request(stage: Stage) -> None:
    """2 desired, 50 to 100 percent, requests all the while: each is answered, first by version 1, then by 2."""
    stage.load_balancer()
    stage.service(stage.task_definition(), desired=2, deploymentConfiguration=HALF)
    eventually(lambda: stage.is_steady(2))
    versions: list[str] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        while not is_over.is_set():
            versions.append((stage.ask("hello") or "failed")[-3:])

    askers = [threading.Thread(target=keep_asking) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        stage.update(taskDefinition=stage.task_definition(environment=[{"name": "VERSION", "value": "2"}]))
        eventually(lambda: stage.is_steady(2) and len(versions) > 100)
    finally:
        is_over.set()
        for asker in askers:
            asker.join()

    assert set(versions) == {'1"]', '2"]'}
    assert versions[-1] == '2"]'
    assert stage.client("ecs").list_tasks(cluster=CLUSTER, serviceName=stage.service_name)["taskArns"]
