"""
From where a call comes, and by which way it reaches a service.

Every container instance has a door of its own into the embedded cloud, an
address that only what runs there uses; what comes by it leaves the instance
through its subnet's route table (VPC guide, "Gateway endpoints"). Whoever
comes by the cloud's own address is outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stacks.access.request import AttachedPolicy
from stacks.local_cloud.authorizer.deployed import Deployed, PolicyText, understood

_ANYWHERE: Final = "0.0.0.0/0"


class NoWayError(Exception):
    """An instance whose route table leads neither to an endpoint of the service nor out."""

    def __init__(self, instance_id: str, subnet_id: str, service: str) -> None:
        super().__init__(
            f"no way from instance {instance_id} in {subnet_id} to {service}: its route table has neither an endpoint"
            f" of {service} nor a default route"
        )


@dataclass(frozen=True, slots=True)
class Way:
    """
    How a call reaches its service.

    Attributes:
        endpoint_id: Of the VPC endpoint it passes; empty for a way over the internet.
        vpc_id: Of the VPC the endpoint is in.
        policies: The endpoint's.
    """

    endpoint_id: str = ""
    vpc_id: str = ""
    policies: tuple[AttachedPolicy, ...] = ()


class Ways:
    """
    The ways from the doors of the embedded cloud to its services.

    Args:
        deployed: Where the network is read.
        doors: Instance by address; the cloud adds to it.
    """

    def __init__(self, deployed: Deployed, doors: Mapping[str, str]) -> None:
        self._deployed = deployed
        self._doors = doors

    def find(self, address: str, service: str) -> Way:
        """
        Find the way of a request.

        Args:
            address: The one it came to.
            service: `s3`.

        Raises:
            NoWayError: There is none.
        """
        instance_id = self._doors.get(address)
        instance = None if instance_id is None else self._instance(instance_id)
        if instance is None or not instance.subnet_id:
            return Way()
        endpoint = self._endpoint(instance, service)
        if endpoint is not None:
            policy = understood(PolicyText(endpoint.id, endpoint.policy_document))
            return Way(endpoint.id, endpoint.vpc_id, (policy,))
        if not self._leads_out(instance.subnet_id):
            raise NoWayError(instance.id, instance.subnet_id, service)
        return Way()

    def through(self, endpoint_id: str) -> Way:
        """Give the way through an endpoint that a test names; one that is not here is somebody else's."""
        endpoint = self._deployed.ec2.vpc_end_points.get(endpoint_id)
        if endpoint is None:
            return Way(endpoint_id)
        policy = understood(PolicyText(endpoint.id, endpoint.policy_document))
        return Way(endpoint.id, endpoint.vpc_id, (policy,))

    def _instance(self, instance_id: str) -> Any:
        for reservation in list(self._deployed.ec2.reservations.values()):
            for instance in reservation.instances:
                if instance.id == instance_id:
                    return instance
        return None

    def _endpoint(self, instance: Any, service: str) -> Any:
        """Find what the service's name or address leads to: a gateway in the route table, or an interface's name."""
        table = self._route_table(instance.subnet_id)
        vpc_id = self._deployed.ec2.get_subnet(instance.subnet_id).vpc_id
        name = f"com.amazonaws.{self._deployed.region}.{service}"
        endpoints = [each for each in list(self._deployed.ec2.vpc_end_points.values()) if each.service_name == name]
        named = [each for each in endpoints if _is_interface(each) and each.vpc_id == vpc_id]
        for endpoint in endpoints:
            if table is not None and not _is_interface(endpoint) and table.id in (endpoint.route_table_ids or ()):
                return endpoint
        return next((each for each in named if each.private_dns_enabled), None)

    def _route_table(self, subnet_id: str) -> Any:
        """Find the table a subnet is associated with, or its VPC's main one (VPC guide, "Route tables")."""
        ec2 = self._deployed.ec2
        vpc_id = ec2.get_subnet(subnet_id).vpc_id
        tables = [table for table in list(ec2.route_tables.values()) if table.vpc_id == vpc_id]
        explicit = (table for table in tables if subnet_id in _subnets(table.associations))
        main = (table for table in tables if table.main_association_id)
        return next(explicit, None) or next(main, None)

    def _leads_out(self, subnet_id: str) -> bool:
        """Tell whether there is a way to the internet; from a default VPC there always is, which moto leaves out."""
        vpc_id, table = self._deployed.ec2.get_subnet(subnet_id).vpc_id, self._route_table(subnet_id)
        if self._deployed.ec2.vpcs[vpc_id].is_default:
            return True
        routes = [] if table is None else table.routes
        return any(route.destination_cidr_block == _ANYWHERE for route in routes)


def _is_interface(endpoint: Any) -> bool:
    return str(endpoint.vpc_endpoint_type).lower() == "interface"


def _subnets(associations: Iterable[Mapping[str, Any]]) -> set[str]:
    return {association["SubnetId"] for association in associations if "SubnetId" in association}
