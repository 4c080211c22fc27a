"""
The rules on the network.

They judge a VPC of our own. In somebody else's there is no route in these
templates, and its owner answers for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.order import comes_after
from stacks.rules.passages import SECURITY_GROUP, STARTS_INSTANCES, entries
from stacks.rules.register import Entry, exception
from stacks.rules.routes import (
    SUBNET,
    instance_subnets,
    internet_gateway_of,
    internet_routes,
    is_on_the_internet,
    route_tables,
    ways_out,
)
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.topology import GROUP, LOAD_BALANCER
from stacks.rules.values import flag, listed

_VPC: Final = "AWS::EC2::VPC"
_NAT_GATEWAY: Final = "AWS::EC2::NatGateway"
_PRIVATE: Final = "Security Hub, EC2 controls: instances have no public address"
_NAT: Final = "VPC guide, NAT gateways"
_GATEWAY: Final = "CloudFormation guide, DependsOn: a route to a gateway, after the gateway's attachment"


# -- where instances stand ----------------------------------------------------------------


@rule_of(
    SUBNET, requirement="N5", also=("EC2.15",), why="what is started there is on the internet at once", source=_PRIVATE
)
def subnets_give_no_public_address(subnet: Resource) -> Iterator[Fault]:
    """No subnet gives a public address to what is started in it."""
    found = subnet.get("MapPublicIpOnLaunch")
    if found is not None and flag(found) is not False:
        yield subnet.fault("MapPublicIpOnLaunch", found=found, expected="false")


@rule_of(
    *STARTS_INSTANCES,
    requirement="N5",
    also=("EC2.9", "EC2.25", "AutoScaling.5"),
    why="partners' way in is the load balancer; an instance with a public address has another",
    source=_PRIVATE,
)
def instances_get_no_public_address(template: Resource) -> Iterator[Fault]:
    """What starts instances says of every interface that it has no public address."""
    data = "LaunchTemplateData." if template.type == "AWS::EC2::LaunchTemplate" else ""
    if template.type == "AWS::AutoScaling::LaunchConfiguration":
        interfaces: list[tuple[str, Mapping[str, Any]]] = [("", template.get())]
    else:
        interfaces = template.tables(f"{data}NetworkInterfaces")
    if not interfaces:
        yield template.fault(
            f"{data}NetworkInterfaces", found=None, expected="an interface with AssociatePublicIpAddress false"
        )
    for path, interface in interfaces:
        found = interface.get("AssociatePublicIpAddress")
        if flag(found) is not False:
            at = f"{path}.AssociatePublicIpAddress".lstrip(".")
            yield template.fault(at, found=found, expected="false")


@rule_of(
    "AWS::EC2::EIP",
    "AWS::EC2::EIPAssociation",
    requirement="N5",
    also=("EC2.9",),
    why="an instance with an address of its own can be reached past the load balancer",
    source=_PRIVATE,
)
def no_address_is_given_to_an_instance(address: Resource) -> Iterator[Fault]:
    """No elastic address belongs to an instance or an interface."""
    for name in ("InstanceId", "NetworkInterfaceId"):
        if address.get(name) is not None:
            yield address.fault(name, found=address.get(name), expected="nothing: NAT gateways alone have addresses")


@rule_of(
    GROUP,
    *STARTS_INSTANCES,
    requirement="N5",
    why="instances in a public subnet can be given an address, and have no way out without one",
    source=_PRIVATE,
)
def instances_stand_in_private_subnets(starting: Resource) -> Iterator[Fault]:
    """Instances are started in subnets that no load balancer stands in and no internet gateway serves."""
    estate = starting.estate
    balancers = estate.of_type(LOAD_BALANCER)
    balanced = {str(subnet) for balancer in balancers for subnet in listed(balancer.get("Subnets"))}
    named = _named_subnets(starting)
    if starting.type == GROUP and not named:
        yield starting.fault("VPCZoneIdentifier", found=None, expected="private subnets")
    for path, value in named:
        subnet = estate.target(value)
        is_public = subnet is not None and (subnet.type != SUBNET or bool(internet_routes(subnet)))
        if is_public or str(value) in balanced:
            yield starting.fault(path, found=value, expected="a private subnet")


def _named_subnets(starting: Resource) -> list[tuple[str, object]]:
    """Give the subnets named by what starts instances, wherever in it, each with its path."""
    if starting.type == GROUP:
        given = listed(starting.get("VPCZoneIdentifier"))
        return [(f"VPCZoneIdentifier.{index}", value) for index, value in enumerate(given)]
    return [(path, value) for path, name, value in entries(starting.get()) if name == "SubnetId"]


@rule(
    "N5",
    why="a group in another VPC, the default one where none is said, is refused by what should be in it",
    source="CloudFormation reference, AWS::EC2::SecurityGroup: VpcId",
)
def everything_is_in_one_vpc(estate: Estate) -> Iterator[Fault]:
    """Subnets, route tables and security groups say which VPC they are in, and it is the same one."""
    found = estate.of_type(SECURITY_GROUP, SUBNET, "AWS::EC2::RouteTable")
    said = [str(each.get("VpcId")) for each in found]
    usual = max(said, key=said.count, default="")
    for resource, vpc in zip(found, said, strict=True):
        if resource.get("VpcId") is None or vpc != usual:
            yield resource.fault("VpcId", found=resource.get("VpcId"), expected=f"the VPC of all, {usual}")


# -- how they leave it ---------------------------------------------------------------------------


@rule_of(
    "AWS::EC2::Route",
    requirement="N6",
    why="the way out ends nowhere: no image is pulled and no instance registers",
    source=_NAT,
)
def ways_out_lead_through_a_nat_gateway(route: Resource) -> Iterator[Fault]:
    """The way out of subnets with instances is a NAT gateway with an address, in a subnet on the internet."""
    table = route.target("RouteTableId")
    private = [subnet for subnet in instance_subnets(route.estate) if table in route_tables(subnet)]
    if not private or route not in ways_out(private[0]):
        return
    gateway = route.target("NatGatewayId")
    if gateway is None or gateway.type != _NAT_GATEWAY:
        yield route.fault("NatGatewayId", found=route.get("NatGatewayId"), expected="a NAT gateway of these templates")
        return
    subnet = gateway.target("SubnetId")
    if subnet is None or not is_on_the_internet(subnet):
        found = gateway.get("SubnetId")
        yield gateway.fault("SubnetId", found=found, expected="a subnet with a route to an internet gateway")
    if gateway.target("AllocationId") is None or gateway.get("ConnectivityType") == "private":
        yield gateway.fault("AllocationId", found=gateway.get("AllocationId"), expected="an elastic address")


@rule_of(
    "AWS::EC2::EIP",
    requirement="N6",
    why="CloudFormation makes the address before the gateway is on the VPC, and the stack rolls back",
    source="CloudFormation reference, AWS::EC2::EIP: DependsOn",
)
def gateways_are_attached_before_addresses(address: Resource) -> Iterator[Fault]:
    """An elastic address is made after an internet gateway is attached to the VPC."""
    attachments = address.estate.of_type("AWS::EC2::VPCGatewayAttachment")
    if attachments and not any(comes_after(address, each) for each in attachments):
        yield address.fault("", found=Said("no DependsOn"), expected=f"DependsOn {attachments[0].logical_id}")


@rule_of(
    "AWS::EC2::Route",
    requirement="N6",
    why="CloudFormation makes the route before the gateway is on the VPC, and the stack rolls back",
    source=_GATEWAY,
)
def gateways_are_attached_before_routes_lead_there(route: Resource) -> Iterator[Fault]:
    """A route to an internet gateway is made after the gateway is attached to the VPC of its route table."""
    gateway = internet_gateway_of(route)
    if gateway is None:
        return
    attachments = route.estate.of_type("AWS::EC2::VPCGatewayAttachment")
    fitting = [each for each in attachments if each.target("InternetGatewayId") == gateway and _is_of(route, each)]
    if not fitting:
        yield route.fault("GatewayId", found=route.get("GatewayId"), expected="a gateway attached to this VPC")
    elif not any(comes_after(route, each) for each in fitting):
        yield route.fault("", found=Said("no DependsOn"), expected=f"DependsOn {fitting[0].logical_id}")


# -- who sees what passed ---------------------------------------------------------------------------


@rule_of(
    _VPC,
    requirement="EC2.6",
    why="nobody can tell afterwards who tried to reach an instance",
    source="Security Hub, EC2.6: VPC flow logging should be enabled in all VPCs",
    also=("CIS 4.7",),
)
def what_flows_in_the_vpc_is_logged(vpc: Resource) -> Iterator[Fault]:
    """Every VPC has a flow log of all traffic, or of what was refused, into a bucket, or a log group by a role."""
    logs = vpc.estate.of_type("AWS::EC2::FlowLog")
    own = [log for log in logs if log.target("ResourceId") == vpc and log.get("ResourceType") == "VPC"]
    if not own:
        yield vpc.fault("", found=Said("no flow log"), expected="a flow log of the VPC")
    for log in own:
        if log.get("TrafficType") not in {"ALL", "REJECT"}:
            yield log.fault("TrafficType", found=log.get("TrafficType"), expected="ALL or REJECT")
        destination = str(log.get("LogDestination"))
        # Where nothing is said it is CloudWatch Logs (EC2 API reference, CreateFlowLogs).
        to_bucket = log.get("LogDestinationType") == "s3"
        if to_bucket is not destination.startswith(f"arn:{log.estate.place.partition}:s3:"):
            yield log.fault("LogDestination", found=log.get("LogDestination"), expected="the ARN of what the type says")
        if not to_bucket and log.get("DeliverLogsPermissionArn") is None:
            yield log.fault("DeliverLogsPermissionArn", found=None, expected="a role, or a bucket as LogDestination")


def _is_of(route: Resource, attachment: Resource) -> bool:
    table = route.target("RouteTableId")
    return table is not None and table.target("VpcId") == attachment.target("VpcId")


RULES: Final[tuple[Rule, ...]] = (
    subnets_give_no_public_address,
    instances_get_no_public_address,
    no_address_is_given_to_an_instance,
    instances_stand_in_private_subnets,
    everything_is_in_one_vpc,
    ways_out_lead_through_a_nat_gateway,
    gateways_are_attached_before_routes_lead_there,
    gateways_are_attached_before_addresses,
    what_flows_in_the_vpc_is_logged,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    exception(
        "EC2.10",
        "A VPC has an endpoint of the EC2 API.",
        why="nothing of ours calls that API, and the endpoint costs by the hour and zone",
        instead="`ec2_endpoint = true` in `[network]` adds it; nothing in the private subnets has a public address",
    ),
)
