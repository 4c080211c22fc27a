"""Where traffic leaves a subnet for, as its route table says."""

from __future__ import annotations

from stacks.rules.estate import Estate, Resource

SUBNET = "AWS::EC2::Subnet"
_EVERYWHERE = "0.0.0.0/0"
_INTERNET_GATEWAY_ID = "igw-"


def subnets(resource: Resource, path: str) -> list[Resource]:
    """Give the subnets of the templates that a resource names."""
    return [subnet for subnet in resource.targets(path) if subnet.type == SUBNET]


def route_tables(subnet: Resource) -> list[Resource]:
    """Give the route tables a subnet is associated with: one, or none and then it is the VPC's own."""
    estate = subnet.estate
    associations = estate.of_type("AWS::EC2::SubnetRouteTableAssociation")
    tables = [each.target("RouteTableId") for each in associations if each.target("SubnetId") == subnet]
    return [table for table in tables if table is not None]


def routes(subnet: Resource) -> list[Resource]:
    """Give the routes of a subnet's table, but those within the VPC, which nobody writes."""
    tables = route_tables(subnet)
    return [route for route in subnet.estate.of_type("AWS::EC2::Route") if route.target("RouteTableId") in tables]


def internet_routes(subnet: Resource) -> list[Resource]:
    """Give the routes from a subnet straight to the internet; they are what makes it a public one."""
    return [route for route in routes(subnet) if str(route.get("GatewayId")).startswith(_INTERNET_GATEWAY_ID)]


def is_on_the_internet(subnet: Resource) -> bool:
    """Tell whether a subnet reaches every address of the internet through a gateway, and is reached from there."""
    return any(route in ways_out(subnet) for route in internet_routes(subnet))


def ways_out(subnet: Resource) -> list[Resource]:
    """Give the routes from a subnet to wherever nothing else is said."""
    return [route for route in routes(subnet) if route.get("DestinationCidrBlock") == _EVERYWHERE]


def internet_gateway_of(route: Resource) -> Resource | None:
    """Give the internet gateway of the templates a route leads to."""
    return route.target("GatewayId")


def zone(subnet: Resource) -> str:
    """Say the availability zone of a subnet; empty where none is said."""
    return str(subnet.get("AvailabilityZone") or subnet.get("AvailabilityZoneId") or "")


def instance_subnets(estate: Estate) -> list[Resource]:
    """Give the subnets of the templates in which container instances are started."""
    found: list[Resource] = []
    for group in estate.of_type("AWS::AutoScaling::AutoScalingGroup"):
        found.extend(subnet for subnet in subnets(group, "VPCZoneIdentifier") if subnet not in found)
    return found
