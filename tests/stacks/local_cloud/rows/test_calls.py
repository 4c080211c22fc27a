"""Properties become the arguments of an API call: its names, its types, and every field counted."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from stacks.local_cloud.resource_types.calls import arguments, document, unless_gone
from stacks.local_cloud.row import Properties, ResourceFailedError

Client = Any  # boto3's clients are made at run time


def model_of(service: str) -> Client:
    """Give a client that is asked for its model alone; it never connects."""
    make: Client = boto3.client
    return make(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106


def test_names_take_the_case_of_the_api() -> None:
    properties = Properties({"TaskRoleArn": "arn", "Family": "ingress"})

    given = arguments(model_of("ecs"), "register_task_definition", properties, "Family", "TaskRoleArn")

    assert given == {"family": "ingress", "taskRoleArn": "arn"}


def test_structures_are_renamed_all_the_way_down() -> None:
    container = {
        "Name": "service",
        "ReadonlyRootFilesystem": True,
        "LinuxParameters": {"Tmpfs": [{"ContainerPath": "/run", "MountOptions": ["noexec"], "Size": 16}]},
    }
    properties = Properties({"ContainerDefinitions": [container]})

    given = arguments(model_of("ecs"), "register_task_definition", properties, "ContainerDefinitions")

    assert given["containerDefinitions"] == [
        {
            "name": "service",
            "readonlyRootFilesystem": True,
            "linuxParameters": {"tmpfs": [{"containerPath": "/run", "mountOptions": ["noexec"], "size": 16}]},
        }
    ]
    assert list(properties.unread()) == []


def test_the_keys_of_a_map_stay_as_they_are() -> None:
    """Options of a log driver and Docker labels are the author's own words."""
    container = {"LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "audit", "Mode": 1}}}
    properties = Properties({"ContainerDefinitions": [container]})

    (given,) = arguments(model_of("ecs"), "register_task_definition", properties, "ContainerDefinitions")[
        "containerDefinitions"
    ]

    assert given["logConfiguration"]["options"] == {"awslogs-group": "audit", "Mode": "1"}


def test_a_field_the_api_does_not_know_stays_unread() -> None:
    container = {"Name": "service", "ReadOnly": True, "PortMappings": [{"ContainerPort": 8443, "Ports": [1]}]}
    properties = Properties({"ContainerDefinitions": [container]})

    arguments(model_of("ecs"), "register_task_definition", properties, "ContainerDefinitions")

    assert list(properties.unread()) == [
        "ContainerDefinitions.0.ReadOnly",
        "ContainerDefinitions.0.PortMappings.0.Ports",
    ]


def test_a_property_nobody_named_stays_unread() -> None:
    properties = Properties({"Family": "ingress", "PidMode": "host"})

    arguments(model_of("ecs"), "register_task_definition", properties, "Family")

    assert list(properties.unread()) == ["PidMode"]


def test_an_absent_property_is_no_argument() -> None:
    assert arguments(model_of("ecs"), "register_task_definition", Properties({}), "Family", "Volumes") == {}


def test_a_renamed_property_goes_by_its_own_name() -> None:
    properties = Properties({"PlacementStrategies": [{"Type": "spread", "Field": "instanceId"}]})

    given = arguments(model_of("ecs"), "create_service", properties, placementStrategy="PlacementStrategies")

    assert given == {"placementStrategy": [{"type": "spread", "field": "instanceId"}]}


@pytest.mark.parametrize(
    ("service", "operation", "name", "value", "turned"),
    [
        pytest.param("ecs", "create_service", "DesiredCount", "2", {"desiredCount": 2}, id="text-for-integer"),
        pytest.param(
            "ecs",
            "create_service",
            "EnableExecuteCommand",
            "false",
            {"enableExecuteCommand": False},
            id="text-for-boolean",
        ),
        pytest.param("ecs", "register_task_definition", "Memory", 512, {"memory": "512"}, id="integer-for-text"),
        pytest.param("cloudwatch", "put_metric_alarm", "Threshold", "0.5", {"Threshold": 0.5}, id="text-for-number"),
        pytest.param(
            "elb", "create_load_balancer", "Subnets", "subnet-1", {"Subnets": ["subnet-1"]}, id="one-for-list"
        ),
    ],
)
def test_values_take_the_type_of_the_api(
    service: str, operation: str, name: str, value: object, turned: dict[str, object]
) -> None:
    """A parameter's value is always text, and troposphere writes numbers as text: CloudFormation turns them."""
    assert arguments(model_of(service), operation, Properties({name: value}), name) == turned


def test_a_name_the_operation_lacks_is_our_mistake() -> None:
    with pytest.raises(ResourceFailedError, match="create_service has no argument for property Colour"):
        arguments(model_of("ecs"), "create_service", Properties({}), "Colour")


def test_documents_are_written_as_text_once() -> None:
    assert document({"Statement": []}) == '{"Statement": []}'
    assert document('{"Statement": []}') == '{"Statement": []}'


def refuse(code: str) -> None:
    raise ClientError({"Error": {"Code": code, "Message": code}}, "DeleteRole")


def test_gone_is_good() -> None:
    with unless_gone("NoSuchEntity"):
        refuse("NoSuchEntity")


def test_another_refusal_is_not() -> None:
    with pytest.raises(ClientError, match="DeleteConflict"), unless_gone("NoSuchEntity"):
        refuse("DeleteConflict")
