"""Subnets with room in a VPC that AWS takes, or somebody else's VPC given whole."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final, assert_never

from stacks.agreement.addresses import is_private
from stacks.agreement.promise import Promise
from stacks.environment import Egress, Environment, ExistingNetwork, OwnNetwork

_DOCKER_BRIDGE: Final = IPv4Network("172.17.0.0/16")
_TAKEN_OF_A_SUBNET: Final = 5 + 12
"""Addresses: AWS keeps five of every subnet (VPC user guide, subnet sizing); the rest are interface endpoints."""


def network_promises(environment: Environment) -> Iterator[Promise]:
    """Judge the network, whoever's it is."""
    match environment.network:
        case OwnNetwork():
            yield from _own(environment.network, environment.region)
            yield _room(environment.network, environment.capacity.max_instances)
        case ExistingNetwork():
            yield from _existing(environment.network)
        case _:
            assert_never(environment.network)


def _own(network: OwnNetwork, region: str) -> Iterator[Promise]:
    cidr = network.vpc_cidr
    yield Promise(
        ("network.egress",),
        network.egress is not Egress.EXISTING,
        '"nat" or "endpoints" with a VPC of our own ("existing" goes with vpc_id)',
        '"existing"',
    )
    yield Promise(
        ("network.vpc_cidr",),
        16 <= cidr.prefixlen <= 23,  # noqa: PLR2004  a VPC has /16 at most; a sixteenth of /23 is /27, the balancer's least
        "a network from /16 to /23",
        f"/{cidr.prefixlen}",
    )
    yield Promise(
        ("network.vpc_cidr",),
        is_private(cidr),
        "a private network (10/8, 172.16/12, 192.168/16 or 100.64/10)",
        f"{cidr}",
    )
    yield Promise(
        ("network.vpc_cidr",),
        not cidr.overlaps(_DOCKER_BRIDGE),
        f"a network apart from {_DOCKER_BRIDGE}, where Docker puts the containers",
        f"{cidr}",
    )
    for index, zone in enumerate(network.zones):
        yield Promise(
            (f"network.zones.{index}", "network.zones", "region"),
            zone[:-1] == region,
            f"an availability zone of {region}",
            f'"{zone}"',
        )


def _room(network: OwnNetwork, instances: int) -> Promise:
    room = len(network.zones) * max(network.addresses_of_a_subnet - _TAKEN_OF_A_SUBNET, 0)
    return Promise(
        ("capacity.max_instances", "network.vpc_cidr", "network.zones"),
        room >= instances or not 16 <= network.vpc_cidr.prefixlen <= 23,  # noqa: PLR2004  told above
        f"at most {room}, the addresses that the private subnets of {network.vpc_cidr} have for instances",
        f"{instances}",
    )


def _existing(network: ExistingNetwork) -> Iterator[Promise]:
    yield Promise(
        ("network.egress",),
        network.egress is Egress.EXISTING,
        '"existing" with a VPC given by vpc_id ("nat" and "endpoints" go with vpc_cidr)',
        f'"{network.egress}"',
    )
    shared = sorted(set(network.public_subnet_ids) & set(network.private_subnet_ids))
    yield Promise(
        ("network.private_subnet_ids", "network.public_subnet_ids"),
        not shared,
        "subnets that are not public ones too",
        ", ".join(shared),
    )
