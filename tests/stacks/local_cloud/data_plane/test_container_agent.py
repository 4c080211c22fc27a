"""Instances join the cluster their user data names, as the ECS agent would."""

from __future__ import annotations

import base64

import pytest

from stacks.local_cloud.container_agent import AgentConfiguration, read_user_data
from tests.stacks.local_cloud.data_plane.stage import CLUSTER, Stage, eventually


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def joined(stage: Stage) -> list[str]:
    """Wait for the two instances of the stage and give their ARNs as container instances."""

    def arns() -> list[str]:
        return list(stage.client("ecs").list_container_instances(cluster=CLUSTER)["containerInstanceArns"])

    eventually(lambda: len(arns()) == 2)
    return arns()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("#!/bin/bash\necho ECS_CLUSTER=blue >> /etc/ecs/ecs.config", AgentConfiguration("blue", 30)),
        ("cat <<'E' > /etc/ecs/ecs.config\nECS_CLUSTER=blue\nECS_CONTAINER_STOP_TIMEOUT=90s\nE",
         AgentConfiguration("blue", 90)),
        ('ECS_CLUSTER="blue"\nECS_CONTAINER_STOP_TIMEOUT=2m', AgentConfiguration("blue", 120)),
        ("ECS_CLUSTER=green\nECS_CLUSTER=blue", AgentConfiguration("blue", 30)),
        ("", AgentConfiguration("default", 30)),
    ],
)  # fmt: skip
def test_the_agents_settings_are_read_from_user_data(text: str, read: AgentConfiguration) -> None:
    assert read_user_data(encoded(text)) == read


def test_an_instance_whose_user_data_names_no_cluster_of_ours_does_not_join(stage: Stage) -> None:
    before = joined(stage)

    stage.instances(1, cluster="elsewhere")

    eventually(lambda: any("ECS_CLUSTER=elsewhere, there is no such cluster" in line for line in stage.reports))
    assert joined(stage) == before


def test_an_instance_that_is_terminated_leaves_the_cluster_and_takes_its_task_along(stage: Stage) -> None:
    """Its task is stopped, and a new instance of the group gets the next one."""
    ecs, autoscaling = stage.client("ecs"), stage.client("autoscaling")
    stage.service(stage.task_definition(), desired=2, balanced=False)
    eventually(lambda: stage.described()["runningCount"] == 2)
    arn = stage.tasks()[0]["containerInstanceArn"]
    instance = ecs.describe_container_instances(cluster=CLUSTER, containerInstances=[arn])["containerInstances"][0]

    autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=instance["ec2InstanceId"], ShouldDecrementDesiredCapacity=False
    )

    eventually(lambda: f"Host EC2 (instance {instance['ec2InstanceId']}) terminated." in stage.stopped_reasons())
    assert arn not in joined(stage)
    eventually(lambda: stage.described()["runningCount"] == 2)


def test_a_draining_instance_gets_no_task(stage: Stage) -> None:
    ecs = stage.client("ecs")
    arns = joined(stage)
    ecs.update_container_instances_state(cluster=CLUSTER, containerInstances=arns[:1], status="DRAINING")
    try:
        stage.service(stage.task_definition(), desired=2, balanced=False)

        eventually(lambda: any("was unable to place a task" in message for message in stage.messages()))
        assert [task["containerInstanceArn"] for task in stage.tasks()] == arns[1:]
    finally:
        ecs.update_container_instances_state(cluster=CLUSTER, containerInstances=arns[:1], status="ACTIVE")
