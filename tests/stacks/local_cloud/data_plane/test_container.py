"""A task's process gets the environment as registered plus only what is named in one place."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.local_cloud.container import Place, TaskCannotStartError, environment_of, read_container

PLACE = Place("127.99.1.1", "http://127.0.0.1:5000", "us-east-1", "http://127.0.0.1:6000/v2/credentials/x", "token")


def definition(*, network: str = "bridge", **container: Any) -> dict[str, Any]:
    return {
        "networkMode": network,
        "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "containerDefinitions": [
            {
                "name": "service",
                "image": "image",
                "portMappings": [{"containerPort": 8443, "hostPort": 8443}],
                "environment": [{"name": "MTLS_WORKERS", "value": "2"}],
                **container,
            }
        ],
    }


def test_the_environment_is_as_registered_and_the_named_additions() -> None:
    composed = environment_of(read_container(definition()), PLACE)

    assert composed == {
        "MTLS_WORKERS": "2",
        "MTLS_BIND_ADDRESS": "127.99.1.1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "AWS_REGION": "us-east-1",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:6000/v2/credentials/x",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token",
        "HOME": "/nonexistent",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }


def test_a_registered_region_stands() -> None:
    container = read_container(definition(environment=[{"name": "AWS_REGION", "value": "eu-west-1"}]))

    assert environment_of(container, PLACE)["AWS_REGION"] == "eu-west-1"


def test_the_token_is_not_shown() -> None:
    assert "token" not in repr(PLACE)


def test_what_confines_a_container_is_passed_over() -> None:
    container = read_container(definition(readonlyRootFilesystem=True, user="10001:10001", cpu=256, memory=512))

    assert container.ports == (8443,)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"command": ["other"]}, "cannot give container service its command"),
        ({"secrets": [{"name": "A", "valueFrom": "b"}]}, "cannot give container service its secrets"),
        ({"portMappings": [{"containerPort": 8443, "hostPort": 9443}]}, "host port 9443 is not container port 8443"),
        ({"portMappings": [{"containerPort": 8443}]}, "container port 8443 has no fixed host port"),
        ({"logConfiguration": {"logDriver": "syslog"}}, "log driver awslogs, not syslog"),
        ({"logConfiguration": {"logDriver": "awslogs"}}, "awslogs-group"),
        ({"network": "awsvpc"}, "network mode awsvpc"),
    ],
)
def test_what_cannot_be_given_stops_the_task(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(TaskCannotStartError, match="CannotStartContainerError") as stopped:
        read_container(definition(**asked))

    assert told in str(stopped.value)
