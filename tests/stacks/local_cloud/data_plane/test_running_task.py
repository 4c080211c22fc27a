"""A running task, looked at: its place, its environment, its role, what it says and how it is reached."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import boto3
import pytest
from botocore.credentials import ContainerProvider

from tests.stacks.local_cloud.data_plane.stage import ACCOUNT, BALANCER, LOG_GROUP, Stage, eventually, talk


@pytest.fixture(scope="module")
def running(shared_stage: Stage) -> Iterator[Stage]:
    """A steady service of two tasks, for tests that only look at it."""
    shared_stage.load_balancer()
    shared_stage.service(shared_stage.task_definition(environment=[{"name": "VERSION", "value": "7"}]), desired=2)
    eventually(lambda: shared_stage.is_steady(2))
    yield shared_stage
    shared_stage.clear()


def test_each_task_has_an_instance_and_an_address_of_its_own(running: Stage) -> None:
    tasks = running.tasks()

    assert len({task["containerInstanceArn"] for task in tasks}) == 2
    assert {running.hello()[0] for _ in range(4)} == {
        task["containers"][0]["networkBindings"][0]["bindIP"] for task in tasks
    }


def test_the_process_has_the_registered_environment_and_the_named_additions(running: Stage) -> None:
    environment = json.loads(running.ask("environment"))

    assert environment.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python's own, for want of a locale
    assert environment.pop("AWS_CONTAINER_CREDENTIALS_FULL_URI").startswith("http://127.0.0.1:")
    assert environment.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    address = environment.pop("MTLS_BIND_ADDRESS")
    assert environment.pop("AWS_ENDPOINT_URL").startswith(f"http://{address}:")
    assert environment == {
        "VERSION": "7",
        "AWS_REGION": "us-east-1",
        "HOME": "/nonexistent",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }


def test_the_task_acts_as_its_task_role(running: Stage) -> None:
    """What boto3 in the task finds is the role of the task definition, by way of sts:AssumeRole."""
    environment = json.loads(running.ask("environment"))
    found = ContainerProvider(environment).load()
    session = boto3.Session(found.access_key, found.secret_key, found.token, region_name="us-east-1")
    sts = session.client("sts", endpoint_url=environment["AWS_ENDPOINT_URL"])

    acting = sts.get_caller_identity()["Arn"]
    sts.close()

    task_ids = {task["taskArn"].rsplit("/", 1)[-1] for task in running.tasks()}
    assert acting in {f"arn:aws:sts::{ACCOUNT}:assumed-role/task/{task_id}" for task_id in task_ids}


def test_output_is_told_and_put_into_the_log_group(running: Stage) -> None:
    task = running.tasks()[0]
    stream = f"x/service/{task['taskArn'].rsplit('/', 1)[-1]}"
    address = task["containers"][0]["networkBindings"][0]["bindIP"]
    expected = {f"listening on {address}", "a word on standard error"}

    def logged() -> set[str]:
        events = running.client("logs").get_log_events(logGroupName=LOG_GROUP, logStreamName=stream)["events"]
        return {event["message"] for event in events}

    eventually(lambda: logged() == expected)
    assert {line.stream for line in running.lines if line.text in expected} == {"stdout", "stderr"}


def test_a_deployment_behind_a_classic_load_balancer_has_no_rollout_state(running: Stage) -> None:
    assert "rolloutState" not in running.described()["deployments"][0]


def test_the_task_sees_the_client_behind_the_load_balancer(running: Stage) -> None:
    """The ProxyProtocol policy is read back through the API: the header names the client, and follows the policy."""
    with running.connect("127.0.0.9") as connection:
        _, header, _ = json.loads(talk(connection, "hello"))
        client, front = connection.getsockname(), connection.getpeername()
    assert header == f"PROXY TCP4 127.0.0.9 {front[0]} {client[1]} {front[1]}"

    running.bind_policies([])

    eventually(lambda: running.hello()[1] == "-")
    running.bind_policies(["proxy"])
    eventually(lambda: running.hello()[1].startswith("PROXY"))


def test_a_load_balancer_that_leads_to_another_port_reaches_nobody(running: Stage) -> None:
    """The health check still passes on its own port; every connection is closed, as on AWS."""
    elb = running.client("elb")
    listener = {"Protocol": "TCP", "LoadBalancerPort": 444, "InstanceProtocol": "TCP", "InstancePort": 9443}
    elb.create_load_balancer_listeners(LoadBalancerName=BALANCER, Listeners=[listener])
    eventually(lambda: running.plane.address_of_load_balancer(BALANCER, 444))
    address = running.plane.address_of_load_balancer(BALANCER, 444)
    assert address is not None

    with socket.create_connection(address, timeout=10) as connection:
        assert not talk(connection, "hello")
    assert running.states() == ["InService"] * 2
