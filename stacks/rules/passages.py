"""
What security groups let through, wherever it is written: in the group itself or as a resource beside it.

A rule of a group covers a port also by a range, by every port and by every
protocol; who comes through is a group, a range of addresses, or somebody the
templates do not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from stacks.rules.estate import Estate, Fault, Resource
from stacks.rules.values import listed, number

SECURITY_GROUP: Final = "AWS::EC2::SecurityGroup"
STARTS_INSTANCES: Final = (
    "AWS::EC2::LaunchTemplate",
    "AWS::AutoScaling::LaunchConfiguration",
    "AWS::EC2::Instance",
    "AWS::EC2::SpotFleet",
)
EVERY_PORT: Final = (0, 65535)
_TCP: Final = frozenset({"tcp", "6"})
_WITHOUT_TCP: Final = frozenset({"udp", "17", "icmp", "1", "icmpv6", "58"})
_SPAN: Final = ("IpProtocol", "FromPort", "ToPort", "Description")
_WEARING: Final = frozenset({"SecurityGroups", "SecurityGroupIds", "Groups", "GroupSet", "VpcSecurityGroupIds"})
"""Under which names resources list the groups they are in."""


class Way(StrEnum):
    """Into what is in the group, or out of it."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


@dataclass(frozen=True, slots=True)
class Passage:
    """
    One rule of a security group.

    Attributes:
        resource: Where it is written; the group itself or a resource beside it.
        path: Where in it, below Properties; empty for a resource of its own.
        group: Whose it is; None for a group of no template.
        said: As it is written, with its intrinsics resolved.
    """

    resource: Resource
    path: str
    group: Resource | None
    way: Way
    said: Mapping[str, Any]

    @property
    def is_tcp(self) -> bool:
        """Whether it is for TCP and nothing else."""
        return str(self.said.get("IpProtocol")).lower() in _TCP

    @property
    def ports(self) -> tuple[float, float]:
        """The ports it covers, first and last; what says none, or -1, covers every one."""
        first, last = number(self.said.get("FromPort")), number(self.said.get("ToPort"))
        if not self.is_tcp or first is None or last is None or first < 0:
            return EVERY_PORT
        return first, last

    def covers(self, port: float) -> bool:
        """Whether TCP to this port passes; an unknown protocol is taken for every one."""
        first, last = self.ports
        return str(self.said.get("IpProtocol")).lower() not in _WITHOUT_TCP and first <= port <= last

    def is_exactly(self, *ports: float) -> bool:
        """Whether it is TCP to one of these ports alone."""
        first, last = self.ports
        return self.is_tcp and first == last and first in ports

    @property
    def peers(self) -> dict[str, Any]:
        """Who is on the other side: the properties that say so."""
        own = ("GroupId", "GroupName") if not self.path else ()
        return {name: value for name, value in self.said.items() if name not in _SPAN and name not in own}

    @property
    def peer_group(self) -> Resource | None:
        """The group on the other side, if that and nothing else is there."""
        name = "SourceSecurityGroupId" if self.way is Way.INGRESS else "DestinationSecurityGroupId"
        return _group(self.resource.estate, self.said.get(name)) if set(self.peers) == {name} else None

    @property
    def cidr(self) -> IPv4Network | IPv6Network | None:
        """The range of addresses on the other side, if that and nothing else is there and it is one."""
        if set(self.peers) not in ({"CidrIp"}, {"CidrIpv6"}):
            return None
        try:
            return ip_network(str(next(iter(self.peers.values()))))
        except ValueError:
            return None

    def fault(self, *, found: object, expected: str, at: str = "") -> Fault:
        """Object to it, or to one property of it."""
        path = ".".join(part for part in (self.path, at) if part)
        return self.resource.fault(path, found=found, expected=expected)


def passages(estate: Estate) -> list[Passage]:
    """Give every rule of every security group."""
    return [passage for way in Way for passage in _of_one_way(estate, way)]


def passages_of(estate: Estate, groups: list[Resource], way: Way) -> list[Passage]:
    """Give the rules of some groups, one way."""
    return [passage for passage in _of_one_way(estate, way) if passage.group in groups]


def _of_one_way(estate: Estate, way: Way) -> Iterator[Passage]:
    for group in estate.of_type(SECURITY_GROUP):
        for path, said in group.tables(f"SecurityGroup{way}"):
            yield Passage(group, path, group, way, said)
    for resource in estate.of_type(f"{SECURITY_GROUP}{way}"):
        yield Passage(resource, "", _group(estate, resource.get("GroupId")), way, resource.get())


def _group(estate: Estate, value: object) -> Resource | None:
    """Give the group of the templates that a value is the id of; the VPC it is in is no id of it."""
    found = estate.target(value)
    return found if found is not None and found.type == SECURITY_GROUP and value == estate.ref(found) else None


@dataclass(frozen=True, slots=True)
class Wearing:
    """One mention of a security group by what is in it."""

    resource: Resource
    path: str
    value: object

    @property
    def group(self) -> Resource | None:
        """The group, if a template has it."""
        return _group(self.resource.estate, self.value)


def wearings(resource: Resource) -> list[Wearing]:
    """Give every security group a resource, or what is started from it, is in."""
    return [
        Wearing(resource, path, value)
        for path, name, listing in entries(resource.get())
        if name in _WEARING
        for value in listed(listing)
    ]


def groups_of(resources: list[Resource]) -> list[Resource]:
    """Give the security groups of the templates that resources are in, each once."""
    found: list[Resource] = []
    for resource in resources:
        for wearing in wearings(resource):
            if wearing.group is not None and wearing.group not in found:
                found.append(wearing.group)
    return found


def entries(value: object, path: str = "") -> Iterator[tuple[str, str, object]]:
    """Give everything inside a value, each thing with the path it lies at and its own name there."""
    match value:
        case dict():
            pairs = [(str(key), inner) for key, inner in value.items()]
        case list():
            pairs = [(str(index), inner) for index, inner in enumerate(value)]
        case _:
            return
    for key, inner in pairs:
        where = f"{path}.{key}".lstrip(".")
        yield where, key, inner
        yield from entries(inner, where)
