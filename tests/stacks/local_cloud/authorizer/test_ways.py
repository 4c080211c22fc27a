"""From where a call comes: the instance's subnet, its route table, and the endpoint that this leads to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from tests.stacks.local_cloud.authorizer.account import BUCKET, TABLE, Client, Deployed
from tests.stacks.local_cloud.authorizer.test_task_role import KEY, denied


@dataclass
class Network:
    """The network as it is deployed, to be changed and put back."""

    ec2: Client
    vpc: str
    table: dict[str, Any]
    """Of the instance's subnet."""

    def endpoint(self, service: str) -> dict[str, Any]:
        """Find an endpoint."""
        filters = [{"Name": "service-name", "Values": [f"com.amazonaws.us-east-1.{service}"]}]
        return dict(self.ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"][0])


@pytest.fixture
def network(deployed: Deployed) -> Network:
    ec2 = deployed.cloud.client("ec2")
    subnet = deployed.outputs["PrivateSubnetIds"].split(",")[0]
    tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
    return Network(ec2, deployed.outputs["VpcId"], tables[0])


@pytest.fixture
def detached(network: Network) -> Iterator[Network]:
    """No route of the instance's subnet leads to an endpoint of S3."""
    endpoint, table = network.endpoint("s3"), network.table["RouteTableId"]
    network.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], RemoveRouteTableIds=[table])
    yield network
    network.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], AddRouteTableIds=[table])


@pytest.mark.usefixtures("detached")
def test_without_the_endpoint_in_its_route_table_the_task_meets_the_pin(deployed: Deployed) -> None:
    """The call goes out by NAT, as on AWS, and the bucket's policy sees no endpoint."""
    message = denied(lambda: deployed.as_role("task", "s3").get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY))

    assert "(statement TaskOnlyThroughTheEndpoint of" in message


def test_without_any_route_nothing_is_reached(deployed: Deployed, detached: Network) -> None:
    ec2, table = detached.ec2, detached.table["RouteTableId"]
    (default,) = (route for route in detached.table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0")
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    try:
        with pytest.raises(ClientError, match=r"no way from instance i-.* to s3"):
            deployed.as_role("task", "s3").get_object(Bucket=BUCKET, Key=CHAIN_KEY)
        assert "Item" in deployed.as_role("task", "dynamodb").get_item(TableName=TABLE, Key=KEY)
    finally:
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=default["NatGatewayId"])


@pytest.mark.usefixtures("detached")
def test_an_interface_endpoint_with_the_services_name_is_a_way_too(deployed: Deployed, network: Network) -> None:
    made = network.ec2.create_vpc_endpoint(
        VpcId=network.vpc,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.s3",
        PrivateDnsEnabled=True,
    )["VpcEndpoint"]["VpcEndpointId"]
    try:
        message = denied(lambda: deployed.as_role("task", "s3").get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY))
    finally:
        network.ec2.delete_vpc_endpoints(VpcEndpointIds=[made])

    assert "(statement TaskOnlyThroughTheEndpoint of" in message  # it is not the one the policy names


def test_the_endpoints_policy_must_let_it_through(deployed: Deployed, network: Network) -> None:
    endpoint = network.endpoint("s3")
    identity, policy = endpoint["VpcEndpointId"], json.loads(endpoint["PolicyDocument"])
    denial = {"Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
    empty = {"Version": "2012-10-17", "Statement": [{**denial, "Effect": "Allow", "Action": "s3:PutObject"}]}
    messages = []
    try:
        for document in ({**policy, "Statement": [*policy["Statement"], denial]}, empty):
            network.ec2.modify_vpc_endpoint(VpcEndpointId=identity, PolicyDocument=json.dumps(document))
            task = deployed.as_role("task", "s3")
            messages.append(denied(lambda: task.get_object(Bucket=BUCKET, Key=MANIFEST_KEY)))  # noqa: B023
    finally:
        network.ec2.modify_vpc_endpoint(VpcEndpointId=identity, PolicyDocument=json.dumps(policy))

    assert f"with an explicit deny in a VPC endpoint policy (statement Closed of {identity})" in messages[0]
    assert "because no VPC endpoint policy allows the s3:GetObject action" in messages[1]


def test_who_is_outside_meets_no_endpoints_policy(deployed: Deployed) -> None:
    """The keeper lists the bucket from his desk; the endpoint's policy would not let him."""
    assert deployed.as_role("certificate-admin", "s3", inside=False).list_objects_v2(Bucket=BUCKET)["KeyCount"]
    denied(lambda: deployed.as_role("certificate-admin", "s3", inside=True).list_objects_v2(Bucket=BUCKET))
