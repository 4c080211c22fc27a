"""Where instances stand, how they leave the network, and that what flows is logged."""

from __future__ import annotations

from typing import Any

from stacks.rules import network
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, removed

TEMPLATE = "AWS::EC2::LaunchTemplate"
FLOW_LOG = "AWS::EC2::FlowLog"
INTERFACES = "LaunchTemplateData.NetworkInterfaces"
AT_INTERFACES = f"capacity.LaunchTemplate.Properties.{INTERFACES}"
SUBNETS = "capacity.AutoScalingGroup.Properties.VPCZoneIdentifier"


def added(stack: str, resource_type: str, **properties: object) -> Spoil:
    """Add a resource to a stack."""

    def spoil(templates: Templates) -> None:
        new = {"Type": resource_type, "Properties": properties}
        templates.bodies[stack]["Resources"]["Added"] = new

    return spoil


def resource(stack: str, logical_id: str, path: str, value: object) -> Spoil:
    """Set something of one resource, DependsOn or a property; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        found: Any = templates.bodies[stack]["Resources"][logical_id]
        *way, last = path.split(".")
        for part in way:
            found = found[part]
        if value is ...:
            del found[last]
        else:
            found[last] = value

    return spoil


def _in_public_subnets(templates: Templates) -> None:
    body = templates.bodies["capacity"]
    body["Parameters"]["PublicSubnetIds"] = dict(body["Parameters"]["PrivateSubnetIds"])
    templates.properties("AWS::AutoScaling::AutoScalingGroup")["VPCZoneIdentifier"] = {"Ref": "PublicSubnetIds"}


def _interface_in_a_public_subnet(templates: Templates) -> None:
    body = templates.bodies["capacity"]
    body["Parameters"]["PublicSubnetIds"] = dict(body["Parameters"]["PrivateSubnetIds"])
    interface = templates.properties(TEMPLATE)["LaunchTemplateData"]["NetworkInterfaces"][0]
    interface["SubnetId"] = {"Fn::Select": [0, {"Ref": "PublicSubnetIds"}]}


def _where_the_load_balancer_is(templates: Templates) -> None:
    """Of somebody else's VPC there are no routes here; both in one subnet is wrong all the same."""
    templates.properties("AWS::ElasticLoadBalancing::LoadBalancer")["Subnets"] = ["subnet-0a", "subnet-0b"]
    templates.properties("AWS::AutoScaling::AutoScalingGroup")["VPCZoneIdentifier"] = ["subnet-0b", "subnet-0c"]


def _private_table_on_the_internet(templates: Templates) -> None:
    """The route of a private table leads to the internet gateway, as somebody writes who wants to save the NAT."""
    route = templates.bodies["network"]["Resources"]["PrivateRouteA"]["Properties"]
    del route["NatGatewayId"]
    route["GatewayId"] = {"Ref": "InternetGateway"}


def _nat_by_its_id(templates: Templates) -> None:
    templates.bodies["network"]["Resources"]["PrivateRouteB"]["Properties"]["NatGatewayId"] = "nat-0a1b2c3d"


def _through_an_instance(templates: Templates) -> None:
    route: Document = templates.bodies["network"]["Resources"]["PrivateRouteB"]["Properties"]
    del route["NatGatewayId"]
    route["InstanceId"] = "i-0a1b2c3d"


def _another_vpcs_gateway(templates: Templates) -> None:
    templates.bodies["network"]["Resources"]["InternetGatewayAttachment"]["Properties"]["VpcId"] = "vpc-0a1b2c3d"


def _launch_configuration(**properties: object) -> Spoil:
    return added("capacity", "AWS::AutoScaling::LaunchConfiguration", **properties)


_subnets = network.subnets_give_no_public_address
_address = network.instances_get_no_public_address
_elastic = network.no_address_is_given_to_an_instance
_private = network.instances_stand_in_private_subnets
_vpc = network.everything_is_in_one_vpc
_nat = network.ways_out_lead_through_a_nat_gateway
_attached = network.gateways_are_attached_before_routes_lead_there
_flow = network.what_flows_in_the_vpc_is_logged

CASES = [
    Case(_subnets, put("AWS::EC2::Subnet", "MapPublicIpOnLaunch", True), "network.", "expected false"),
    Case(_subnets, put("AWS::EC2::Subnet", "MapPublicIpOnLaunch", "true"), "network."),
    Case(_subnets, put("AWS::EC2::Subnet", "MapPublicIpOnLaunch", "no"), "network."),
    Case(
        _address,
        put(TEMPLATE, f"{INTERFACES}.0.AssociatePublicIpAddress", True),
        f"{AT_INTERFACES}.0",
    ),
    Case(_address, put(TEMPLATE, f"{INTERFACES}.0.AssociatePublicIpAddress", ...), f"{AT_INTERFACES}.0", "nothing"),
    Case(_address, put(TEMPLATE, INTERFACES, ...), AT_INTERFACES),
    Case(_address, _launch_configuration(ImageId="ami-0"), "capacity.Added.Properties.AssociatePublicIpAddress"),
    Case(_address, added("capacity", "AWS::EC2::Instance", ImageId="ami-0"), "capacity.Added.Properties.Network"),
    Case(_elastic, added("capacity", "AWS::EC2::EIP", InstanceId="i-0a1b2c3d"), "capacity.Added.Properties.InstanceId"),
    Case(
        _elastic,
        added("capacity", "AWS::EC2::EIPAssociation", AllocationId="eipalloc-0", NetworkInterfaceId="eni-0"),
        "capacity.Added.Properties.NetworkInterfaceId",
    ),
    Case(_private, _in_public_subnets, f"{SUBNETS}.0", "a private subnet"),
    Case(_private, _private_table_on_the_internet, f"{SUBNETS}.0", "a private subnet"),
    Case(_private, _where_the_load_balancer_is, f"{SUBNETS}.0", "subnet-0b"),
    Case(_private, put("AWS::AutoScaling::AutoScalingGroup", "VPCZoneIdentifier", ...), SUBNETS, "private subnets"),
    Case(_private, _interface_in_a_public_subnet, "capacity.LaunchTemplate.Properties.LaunchTemplateData.NetworkInt"),
    Case(
        _private,
        added("network", "AWS::EC2::Instance", SubnetId={"Ref": "PublicSubnetA"}),
        "network.Added.Properties.SubnetId",
        "a private subnet",
    ),
    Case(_vpc, put("AWS::EC2::SecurityGroup", "VpcId", ...), "ingress.", "nothing"),
    Case(_vpc, put("AWS::EC2::SecurityGroup", "VpcId", "vpc-0a1b2c3d"), "ingress.", "vpc-0a1b2c3d"),
    Case(_vpc, put("AWS::EC2::Subnet", "VpcId", "vpc-0a1b2c3d"), "network.", "the VPC of all"),
    Case(_nat, _private_table_on_the_internet, "network.PrivateRouteA.Properties.NatGatewayId"),
    Case(_nat, _nat_by_its_id, "network.PrivateRouteB.Properties.NatGatewayId", "nat-0a1b2c3d"),
    Case(
        _nat,
        resource("network", "PrivateRouteB", "Properties.NatGatewayId", {"Ref": "InternetGateway"}),
        "network.PrivateRouteB.Properties.NatGatewayId",
    ),
    Case(_nat, _through_an_instance, "network.PrivateRouteB.Properties.NatGatewayId"),
    Case(
        _nat,
        resource("network", "NatGatewayA", "Properties.SubnetId", {"Ref": "PrivateSubnetA"}),
        "network.NatGatewayA.Properties.SubnetId",
        "internet gateway",
    ),
    Case(_nat, resource("network", "NatGatewayA", "Properties.AllocationId", ...), "network.NatGatewayA", "elastic"),
    Case(_nat, resource("network", "NatGatewayA", "Properties.ConnectivityType", "private"), "network.NatGatewayA"),
    Case(_attached, resource("network", "PublicRoute", "DependsOn", ...), "network.PublicRoute", "DependsOn"),
    Case(_attached, removed("AWS::EC2::VPCGatewayAttachment"), "network.PublicRoute", "attached"),
    Case(
        _attached,
        resource("network", "InternetGatewayAttachment", "Properties.InternetGatewayId", "igw-0a1b2c3d"),
        "network.PublicRoute",
        "attached",
    ),
    Case(_attached, _another_vpcs_gateway, "network.PublicRoute", "this VPC"),
    Case(
        network.gateways_are_attached_before_addresses,
        resource("network", "NatAddressA", "DependsOn", ...),
        "network.NatAddressA",
        "DependsOn InternetGatewayAttachment",
    ),
    Case(_flow, removed(FLOW_LOG), "network.Vpc", "no flow log"),
    Case(_flow, put(FLOW_LOG, "TrafficType", "ACCEPT"), "observability.FlowLog.Properties.TrafficType"),
    Case(_flow, put(FLOW_LOG, "TrafficType", ...), "observability.FlowLog.Properties.TrafficType"),
    Case(_flow, put(FLOW_LOG, "ResourceId", "vpc-0a1b2c3d"), "network.Vpc"),
    Case(_flow, put(FLOW_LOG, "ResourceType", "Subnet"), "network.Vpc"),
    Case(
        network.what_flows_in_the_vpc_is_logged,
        put(FLOW_LOG, "LogDestinationType", "cloud-watch-logs"),
        "observability.FlowLog.Properties.LogDestination",
    ),
    Case(
        network.what_flows_in_the_vpc_is_logged,
        put(FLOW_LOG, "LogDestinationType", ...),
        "observability.FlowLog.Properties.DeliverLogsPermissionArn",
        "a role",
    ),
    Case(
        network.what_flows_in_the_vpc_is_logged,
        put(FLOW_LOG, "LogDestination", "mtls-ingress-logs"),
        "observability.FlowLog.Properties.LogDestination",
    ),
]


def test_without_a_word_a_subnet_gives_no_address() -> None:
    templates = Templates.of()
    put("AWS::EC2::Subnet", "MapPublicIpOnLaunch", ...)(templates)

    assert _subnets(templates.estate()) == []


def test_a_route_to_a_network_of_the_house_is_no_way_out() -> None:
    templates = Templates.of()
    route = {"RouteTableId": {"Ref": "PrivateRouteTableA"}, "DestinationCidrBlock": "10.0.0.0/8"}
    added("network", "AWS::EC2::Route", VpcPeeringConnectionId="pcx-0a1b2c3d", **route)(templates)

    assert _nat(templates.estate()) == []


def test_a_launch_configuration_without_an_address_is_right() -> None:
    templates = Templates.of()
    _launch_configuration(AssociatePublicIpAddress=False)(templates)

    assert _address(templates.estate()) == []
