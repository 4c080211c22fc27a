"""Tasks are processes started from the task definition as it was registered, and the APIs follow them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.stacks.local_cloud.data_plane.stage import ACCOUNT, CLUSTER, TASK_ROLE, Stage, eventually


def run(stage: Stage, *, definition: dict[str, Any] | None = None, desired: int = 1, grace: int = 60) -> None:
    """Run a balanced service until it is steady."""
    stage.load_balancer()
    stage.service(stage.task_definition(**(definition or {})), desired=desired, healthCheckGracePeriodSeconds=grace)
    eventually(lambda: stage.is_steady(desired))


# -- a task that cannot start ----------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/mtls-ingress@sha256:{'0' * 64}"},
            "CannotPullContainerError",
            id="another digest than the working tree's",
        ),
        pytest.param(
            {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/mtls-ingress:latest"},
            "CannotPullContainerError",
            id="a tag",
        ),
        pytest.param(
            {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "missing"}}},
            "The specified log group does not exist",
            id="no log group",
        ),
        pytest.param({"command": ["other"]}, "cannot give container service its command", id="a command"),
    ],
)
def test_a_task_that_cannot_start_says_why(stage: Stage, changes: dict[str, Any], reason: str) -> None:
    stage.service(stage.task_definition(**changes), balanced=False)

    eventually(lambda: any(reason in text for text in stage.stopped_reasons()))

    eventually(lambda: any(reason in message for message in stage.messages()))
    assert stage.described()["runningCount"] == 0


def test_a_tree_that_changed_is_refused_until_it_is_deployed(stage: Stage) -> None:
    """The image is the working tree: a definition that names the old one cannot be pulled."""
    definition = stage.task_definition()
    changed = stage.root / "service" / "changed.py"
    changed.write_text("")
    try:
        stage.service(definition, balanced=False)
        eventually(lambda: any("CannotPullContainerError" in text for text in stage.stopped_reasons()))
    finally:
        changed.unlink()


def test_a_role_that_does_not_trust_ecs_cannot_be_assumed(stage: Stage) -> None:
    ecs = stage.client("ecs")
    registered = ecs.describe_task_definition(taskDefinition=stage.task_definition())["taskDefinition"]
    other = ecs.register_task_definition(
        family="other",
        taskRoleArn=TASK_ROLE.replace("role/task", "role/nobody"),
        containerDefinitions=registered["containerDefinitions"],
    )["taskDefinition"]["taskDefinitionArn"]

    stage.service(other, balanced=False)

    eventually(lambda: any("unable to assume the role" in text for text in stage.stopped_reasons()))


# -- its life --------------------------------------------------------------------


def test_a_task_that_dies_is_replaced(stage: Stage) -> None:
    run(stage)
    before = stage.tasks()[0]["taskArn"]

    stage.ask("die 3")

    eventually(lambda: [task["taskArn"] for task in stage.tasks()] not in ([], [before]))
    eventually(lambda: stage.is_steady(1))
    dead = next(task for task in stage.tasks("STOPPED") if task["taskArn"] == before)
    assert (dead["stoppedReason"], dead["containers"][0]["exitCode"]) == ("Essential container in task exited", 3)


def test_restarts_are_bounded(stage: Stage) -> None:
    """The wait doubles from failure to failure: a program that always dies is not run in a tight loop."""
    stage.service(stage.task_definition(image="nothing"), balanced=False)

    eventually(lambda: any("unable to consistently start tasks" in message for message in stage.messages()))
    eventually(lambda: stage.described()["deployments"][0]["failedTasks"] >= 3)
    created = sorted(task["createdAt"].timestamp() for task in stage.tasks("STOPPED"))[-3:]

    assert created[1] - created[0] >= 0.1
    assert created[2] - created[1] >= 0.2


def test_a_task_that_fails_its_health_checks_is_replaced(stage: Stage) -> None:
    run(stage, grace=1)

    stage.ask("health 503")

    eventually(lambda: "Task failed ELB health checks in (elb balancer)" in stage.stopped_reasons())
    eventually(lambda: stage.is_steady(1))


def test_the_grace_period_keeps_a_task_that_is_not_healthy_yet(stage: Stage) -> None:
    stage.load_balancer(target="TCP:8081")
    stage.service(stage.task_definition())

    eventually(lambda: stage.states() == ["OutOfService"] and bool(stage.tasks()))
    eventually(lambda: "Instance" in _reason_codes(stage))

    assert not stage.stopped_reasons()
    assert stage.described()["runningCount"] == 1


def _reason_codes(stage: Stage) -> list[str]:
    told = stage.client("elb").describe_instance_health(LoadBalancerName="balancer")["InstanceStates"]
    return [state["ReasonCode"] for state in told]


# -- the stop --------------------------------------------------------------------


def test_desired_count_0_stops_the_tasks_in_order(stage: Stage) -> None:
    run(stage, desired=2)

    stage.update(desiredCount=0)

    eventually(lambda: [line.text for line in stage.lines].count("goodbye") == 2)
    eventually(lambda: [task["lastStatus"] for task in stage.tasks("STOPPED")] == ["STOPPED"] * 2)
    assert (stage.described()["runningCount"], stage.states()) == (0, [])


def test_sigterm_comes_after_the_load_balancer_has_drained(stage: Stage) -> None:
    """A request under way when the stop begins is answered before the process hears of the stop."""
    run(stage)
    with stage.connect() as connection:
        connection.sendall(b"wait 0.6\n")
        eventually(lambda: bool(stage.tasks()))
        stage.update(desiredCount=0)

        eventually(lambda: stage.states() == [])
        assert not any(line.text == "goodbye" for line in stage.lines)
        assert connection.recv(100) == b"waited\n"

    eventually(lambda: any(line.text == "goodbye" for line in stage.lines))


def test_the_stop_timeout_ends_in_a_kill(stage: Stage) -> None:
    run(stage, definition={"stopTimeout": 1})
    stage.ask("deaf")
    task = stage.tasks()[0]["taskArn"]

    stage.update(desiredCount=0)

    eventually(lambda: bool(stage.tasks("STOPPED")) and not _is_alive(stage, task))
    assert _describe(stage, task)["containers"][0]["exitCode"] == 137


def _describe(stage: Stage, task: str) -> dict[str, Any]:
    return dict(stage.client("ecs").describe_tasks(cluster=CLUSTER, tasks=[task])["tasks"][0])


def _is_alive(stage: Stage, task: str) -> bool:
    return bool(_describe(stage, task)["lastStatus"] != "STOPPED")


def test_stop_task_stops_it_with_the_callers_reason(stage: Stage) -> None:
    run(stage)
    task = stage.tasks()[0]["taskArn"]

    stage.client("ecs").stop_task(cluster=CLUSTER, task=task, reason="rehearsal")

    eventually(lambda: not _is_alive(stage, task))
    stopped = _describe(stage, task)
    assert (stopped["stoppedReason"], stopped["stopCode"]) == ("rehearsal", "UserInitiated")
    eventually(lambda: stage.is_steady(1))


def test_a_deleted_service_leaves_nothing_running(stage: Stage) -> None:
    run(stage)

    stage.client("ecs").delete_service(cluster=CLUSTER, service=stage.service_name, force=True)

    assert stage.described()["status"] == "DRAINING"
    eventually(lambda: stage.described()["status"] == "INACTIVE")
    assert any(line.text == "goodbye" for line in stage.lines)
    assert stage.client("ecs").list_services(cluster=CLUSTER)["serviceArns"] == []


def test_a_killed_process_group_takes_its_children_with_it(stage: Stage) -> None:
    """As in a container, nothing outlives the first process."""
    run(stage)
    environment = json.loads(stage.ask("environment"))
    pid = _pid_on(environment["MTLS_BIND_ADDRESS"])

    os.kill(pid, signal.SIGKILL)

    eventually(lambda: any(task["containers"][0].get("exitCode") == 137 for task in stage.tasks("STOPPED")))


def _pid_on(address: str) -> int:
    """Find the process whose environment says this address."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"MTLS_BIND_ADDRESS={address}\0".encode() in environ.read_bytes() + b"\0":
                return int(environ.parent.name)
    raise AssertionError(address)


def test_a_service_whose_load_balancer_names_no_container_is_refused(stage: Stage) -> None:
    stage.load_balancer()
    entry = {"loadBalancerName": "balancer", "containerName": "other", "containerPort": 8443}

    with pytest.raises(ClientError, match="The container other does not exist in the task definition"):
        stage.service(stage.task_definition(), balanced=False, loadBalancers=[entry])
