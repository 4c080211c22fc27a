"""A VPC over its zones: partners reach the public subnets, instances reach AWS from the private ones."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Network
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from stacks.catalog import assemble
from stacks.environment import OwnNetwork
from stacks.environment_file import parse_environment
from tests.stacks.any_environment import environment_texts
from tests.stacks.environments import catalog, changed, changed_text
from tests.stacks.templates.reading import of_type, properties, statements

ZONES = '["us-east-1a", "us-east-1b"]'


def test_no_instance_gets_a_public_address_by_itself() -> None:
    subnets = of_type(catalog(), "AWS::EC2::Subnet")

    assert len(subnets) == 4
    assert not [subnet for subnet in subnets.values() if subnet["MapPublicIpOnLaunch"]]


def test_another_zone_moves_no_subnet() -> None:
    """Its own part of the VPC waits for each zone, whatever the order they are named in."""
    more = assemble(changed((ZONES, '["us-east-1d", "us-east-1b", "us-east-1a"]')))

    before = {name: subnet["CidrBlock"] for name, subnet in of_type(catalog(), "AWS::EC2::Subnet").items()}
    after = {name: subnet["CidrBlock"] for name, subnet in of_type(more, "AWS::EC2::Subnet").items()}

    assert before.items() <= after.items()
    assert len(after) == 6


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(environment_texts())
def test_subnets_lie_apart_inside_the_vpc(text: str) -> None:
    found = assemble(parse_environment(text, Path("drawn.toml")))
    network = found.environment.network
    cidrs = [IPv4Network(subnet["CidrBlock"]) for subnet in of_type(found, "AWS::EC2::Subnet").values()]

    assert not [pair for pair in itertools.combinations(cidrs, 2) if pair[0].overlaps(pair[1])]
    assert all(isinstance(network, OwnNetwork) and cidr.subnet_of(network.vpc_cidr) for cidr in cidrs)
    assert all(cidr.prefixlen <= 27 for cidr in cidrs)


def test_with_nat_each_zone_has_its_own_way_out() -> None:
    routes = of_type(catalog("staging"), "AWS::EC2::Route")

    assert {str(route.get("NatGatewayId")) for route in routes.values() if "NatGatewayId" in route} == {
        "{'Ref': 'NatGatewayA'}",
        "{'Ref': 'NatGatewayB'}",
    }


def test_with_endpoints_there_is_no_way_out_but_to_aws() -> None:
    found = catalog("production")
    services = {
        endpoint["ServiceName"].removeprefix("com.amazonaws.us-east-1.")
        for endpoint in of_type(found, "AWS::EC2::VPCEndpoint").values()
        if endpoint["VpcEndpointType"] == "Interface"
    }

    assert not of_type(found, "AWS::EC2::NatGateway")
    assert [route["GatewayId"] for route in of_type(found, "AWS::EC2::Route").values()] == [{"Ref": "InternetGateway"}]
    assert services == {
        *("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs", "kms"),
        *("ssm", "ssmmessages", "ec2messages"),
    }


def test_interface_endpoints_answer_the_vpc_under_their_public_names() -> None:
    interfaces = [
        endpoint
        for endpoint in of_type(catalog("production"), "AWS::EC2::VPCEndpoint").values()
        if endpoint["VpcEndpointType"] == "Interface"
    ]
    group = properties(catalog("production"), "network", "EndpointSecurityGroup")

    assert all(endpoint["PrivateDnsEnabled"] is True for endpoint in interfaces)
    assert all(len(endpoint["SubnetIds"]) == 3 for endpoint in interfaces)
    assert [rule["CidrIp"] for rule in group["SecurityGroupIngress"]] == ["10.22.0.0/16"]


def test_the_ec2_api_has_an_endpoint_where_somebody_asks_for_it() -> None:
    """EC2.10; beside NAT it comes alone, with the group it needs."""
    wanted = assemble(changed(('egress = "nat"', 'egress = "nat"\nec2_endpoint = true')))

    interfaces = [
        endpoint
        for endpoint in of_type(wanted, "AWS::EC2::VPCEndpoint").values()
        if endpoint["VpcEndpointType"] == "Interface"
    ]

    assert [endpoint["ServiceName"] for endpoint in interfaces] == ["com.amazonaws.us-east-1.ec2"]
    assert interfaces[0]["SecurityGroupIds"] == [{"Ref": "EndpointSecurityGroup"}]


def test_endpoints_in_china_have_the_names_they_have_there() -> None:
    """Those of ECR begin with `cn.`; those of its older services and of ECS do not."""
    chinese = assemble(
        parse_environment(
            changed_text(
                ("us-east-1a", "cn-north-1a"),
                ("us-east-1b", "cn-north-1b"),
                ("us-east-1c", "cn-north-1c"),
                ('region = "us-east-1"', 'region = "cn-north-1"'),
                name="production",
            ),
            Path("production.toml"),
        )
    )

    names = {endpoint["ServiceName"] for endpoint in of_type(chinese, "AWS::EC2::VPCEndpoint").values()}

    assert {"cn.com.amazonaws.cn-north-1.ecr.api", "cn.com.amazonaws.cn-north-1.ecr.dkr"} <= names
    assert {"com.amazonaws.cn-north-1.s3", "com.amazonaws.cn-north-1.ecs-agent"} <= names


def test_both_gateway_endpoints_are_in_every_private_route_table() -> None:
    for name in ("S3Endpoint", "DynamoDbEndpoint"):
        endpoint = properties(catalog(), "network", name)

        assert endpoint["VpcEndpointType"] == "Gateway"
        assert endpoint["RouteTableIds"] == [{"Ref": "PrivateRouteTableA"}, {"Ref": "PrivateRouteTableB"}]


def test_the_way_to_s3_leads_to_our_bucket_and_to_what_starts_an_instance() -> None:
    """Without the layers' bucket no image is pulled (N7)."""
    found = statements(properties(catalog(), "network", "S3Endpoint")["PolicyDocument"])

    assert found["CertificateStore"]["Resource"] == [
        "arn:aws:s3:::mtls-ingress-staging-certificate-111122223333-us-east-1/*"
    ]
    assert "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*" in found["ImagesAndPackages"]["Resource"]


def test_the_way_to_dynamodb_leads_to_our_table() -> None:
    (statement,) = properties(catalog(), "network", "DynamoDbEndpoint")["PolicyDocument"]["Statement"]

    assert (
        statement["Resource"][0] == "arn:aws:dynamodb:us-east-1:111122223333:table/mtls-ingress-staging-client-registry"
    )
