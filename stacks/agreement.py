"""
What the facts of one environment promise each other.

Each fact may be fine and the whole still break on AWS. Every such promise is a
claim over several keys, kept here with the reason an operator is told.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from service.contract import KEY_SET_PREFIX
from service.identity.policy import find_token_faults
from service.settings import MAX_STOP_SECONDS
from stacks.environment import (
    LOCAL,
    UNHEALTHY_THRESHOLD,
    Architecture,
    BearerTokens,
    Capacity,
    Egress,
    Environment,
    ExistingNetwork,
    OwnNetwork,
    Service,
)

_PRIVATE_RANGES: Final = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
_HTTPS_ON_ITS_PORT: Final = re.compile(r"https://[^/:]+(:443)?(/.*)?")
_DOCKER_BRIDGE: Final = IPv4Network("172.17.0.0/16")
_LONGEST_PROJECT_AND_NAME: Final = 22
"""63 characters of a bucket name, less `certificate`, account, the longest region's name and the hyphens between."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One claim over several keys; told at the first of them, and only if each is sound by itself."""

    keys: tuple[str, ...]
    holds: bool
    expected: str
    found: str


def promises(environment: Environment, file_name: str) -> Iterator[Promise]:
    """Give every promise of an environment whose file has this name, kept or broken."""
    yield from _name_promises(environment, file_name)
    match environment.network:
        case OwnNetwork():
            yield from _own_network_promises(environment.network, environment.region)
        case ExistingNetwork():
            yield from _existing_network_promises(environment.network)
    yield from _ingress_promises(environment)
    if environment.bearer_token is not None:
        yield from _bearer_token_promises(environment, environment.bearer_token)
    yield from _capacity_promises(environment.capacity, environment.service)
    yield from _answering_promises(environment.service)


def _name_promises(environment: Environment, file_name: str) -> Iterator[Promise]:
    name, project = environment.name, environment.project
    yield Promise(("name",), name == file_name, f'"{file_name}", the name of the file', f'"{name}"')
    length = len(project) + len(name)
    yield Promise(
        ("project", "name"),
        length <= _LONGEST_PROJECT_AND_NAME,
        f"project and name of {_LONGEST_PROJECT_AND_NAME} characters together, or bucket names become too long",
        f"{length} characters",
    )


def _own_network_promises(network: OwnNetwork, region: str) -> Iterator[Promise]:
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
        any(cidr.subnet_of(private) for private in _PRIVATE_RANGES),
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


def _existing_network_promises(network: ExistingNetwork) -> Iterator[Promise]:
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


def _ingress_promises(environment: Environment) -> Iterator[Promise]:
    ingress, service = environment.ingress, environment.service
    for (_, one), (index, other) in itertools.combinations(enumerate(ingress.partner_cidrs), 2):
        yield Promise(
            (f"ingress.partner_cidrs.{index}", "ingress.partner_cidrs"),
            not one.overlaps(other),
            f"a network apart from {one}",
            f"{other}",
        )
    yield Promise(
        ("service.lame_duck_seconds", "ingress.health_check_interval_seconds"),
        service.lame_duck_seconds >= ingress.seconds_until_unhealthy or environment.name == LOCAL,
        f"at least {ingress.seconds_until_unhealthy} seconds: health_check_interval_seconds times"
        f" {UNHEALTHY_THRESHOLD} checks until the load balancer stops sending connections",
        f"{service.lame_duck_seconds}",
    )
    stop = service.lame_duck_seconds + service.drain_seconds
    yield Promise(
        ("service.drain_seconds", "service.lame_duck_seconds"),
        stop <= MAX_STOP_SECONDS,
        f"at most {MAX_STOP_SECONDS} seconds together with lame_duck_seconds",
        f"{stop}",
    )
    yield Promise(
        ("ingress.draining_seconds", "service.lame_duck_seconds", "service.drain_seconds"),
        ingress.draining_seconds <= stop,
        f"at most {stop} seconds: lame_duck_seconds and drain_seconds, after which the task is gone",
        f"{ingress.draining_seconds}",
    )


def _answering_promises(service: Service) -> Iterator[Promise]:
    yield Promise(
        ("service.forward_to", "service.application"),
        service.application is None or service.forward_to is None,
        "one of application and forward_to, for only one can answer",
        "both",
    )


def _bearer_token_promises(environment: Environment, tokens: BearerTokens) -> Iterator[Promise]:
    for fault in find_token_faults(environment.policy, settings_given=True):
        yield Promise((*fault.place, "routes"), holds=False, expected=fault.expected, found=fault.found)
    yield Promise(
        ("bearer_token.key_set_seconds",),
        tokens.key_set_seconds is None or tokens.issuer is not None,
        "it beside an issuer",
        f"{tokens.key_set_seconds} for no keys",
    )
    given = {"issuer": tokens.issuer, "audience": tokens.audience, "key_set": tokens.key_set}
    for name, value in given.items():
        others = " and ".join(other for other in given if given[other] is not None)
        yield Promise(
            (f"bearer_token.{name}",),
            value is not None or not others,
            f"it beside {others}",
            "nothing: the key is missing",
        )
    url = tokens.key_set if tokens.key_set is not None and tokens.key_set_object is None else ""
    yield Promise(
        ("bearer_token.key_set", "network.egress"),
        not url or environment.network.egress is not Egress.ENDPOINTS,
        f'an object below {KEY_SET_PREFIX}, for with egress "endpoints" tasks reach nothing outside AWS',
        f'"{url}"',
    )
    yield Promise(
        ("bearer_token.key_set", "name"),
        not url or environment.name == LOCAL or _HTTPS_ON_ITS_PORT.fullmatch(url) is not None,
        "https on port 443, the only one that tasks reach; http and other ports are for local alone",
        f'"{url}"',
    )


def _capacity_promises(capacity: Capacity, service: Service) -> Iterator[Promise]:
    yield Promise(
        ("capacity.max_instances", "capacity.min_instances"),
        capacity.max_instances >= capacity.min_instances,
        f"at least min_instances, {capacity.min_instances}",
        f"{capacity.max_instances}",
    )
    yield Promise(
        ("service.max_tasks", "service.tasks"),
        service.max_tasks >= service.tasks,
        f"at least tasks, {service.tasks}",
        f"{service.max_tasks}",
    )
    yield Promise(
        ("capacity.max_instances", "service.max_tasks"),
        capacity.max_instances >= service.max_tasks + 1,
        f"at least {service.max_tasks + 1}: one instance for each of max_tasks, and one more to move a task to",
        f"{capacity.max_instances}",
    )
    is_graviton = re.match(r"[a-z]+\d+g|a1\.", capacity.instance_type) is not None
    architecture = Architecture.ARM64 if is_graviton else Architecture.X86_64
    yield Promise(
        ("capacity.architecture", "capacity.instance_type"),
        capacity.architecture is architecture,
        f'"{architecture}" for {capacity.instance_type}',
        f'"{capacity.architecture}"',
    )
