"""Who answers behind the gate, and whether tasks can reach him."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from service.settings import UPSTREAM
from stacks.agreement.addresses import WIDEST_PREFIX, apart, is_private, is_wide
from stacks.agreement.promise import Promise
from stacks.environment import LOCAL, Egress, Environment, Service

_HTTPS_PORT: Final = 443
_INSTANCE_METADATA: Final = IPv4Network("169.254.0.0/16")
"""Link-local: where an instance and a task ask for their credentials (EC2 and ECS guides)."""
_ONESELF: Final = IPv4Network("127.0.0.0/8")


def answering_promises(environment: Environment) -> Iterator[Promise]:
    """Judge application and upstream, and the way to the upstream."""
    service = environment.service
    yield Promise(
        ("service.forward_to", "service.application"),
        service.application is None or service.forward_to is None,
        "one of application and forward_to, for only one can answer",
        "both",
    )
    yield from _way_promises(service)
    yield from _network_promises(environment)
    if environment.name != LOCAL and service.forward_to is not None and service.application is None:
        yield _opened(service)
    if service.forward_to is not None:
        yield from _host_promises(environment, service.forward_to)


def _way_promises(service: Service) -> Iterator[Promise]:
    """What is opened to the upstream is opened for something, once, and is not open already."""
    group, networks = service.upstream_security_group, service.upstream_cidrs
    yield Promise(
        ("service.upstream_cidrs", "service.upstream_security_group"),
        group is None or not networks,
        "one of upstream_security_group and upstream_cidrs",
        "both",
    )
    for key, is_given in (("upstream_security_group", group is not None), ("upstream_cidrs", bool(networks))):
        yield Promise(
            (f"service.{key}", "service.forward_to"),
            not is_given or service.forward_to is not None,
            "forward_to beside it",
            "none: nothing is passed on, so nothing needs to be open",
        )
        yield Promise(
            (f"service.{key}", "service.forward_to"),
            not is_given or service.upstream_port != _HTTPS_PORT,
            f"an upstream on a port other than {_HTTPS_PORT}, which instances reach everywhere for AWS",
            f"port {_HTTPS_PORT}: nothing is left to open",
        )


def _opened(service: Service) -> Promise:
    is_open = service.upstream_security_group is not None or bool(service.upstream_cidrs)
    return Promise(
        ("service.forward_to", "service.upstream_security_group", "service.upstream_cidrs"),
        is_open or service.upstream_port == _HTTPS_PORT,
        f"upstream_security_group or upstream_cidrs beside it: port {service.upstream_port} is opened to them alone",
        "neither",
    )


def _network_promises(environment: Environment) -> Iterator[Promise]:
    networks = environment.service.upstream_cidrs
    yield from apart("service.upstream_cidrs", networks)
    for index, network in enumerate(networks):
        key = f"service.upstream_cidrs.{index}"
        yield Promise(
            (key, "service.upstream_cidrs"),
            not is_wide(network),
            f"the upstream's network, /{WIDEST_PREFIX} or narrower",
            f"{network}",
        )
        yield Promise(
            (key, "service.upstream_cidrs", "network.egress"),
            environment.network.egress is not Egress.ENDPOINTS or is_private(network) or is_wide(network),
            'a private network, for with egress "endpoints" tasks reach nothing on the internet',
            f"{network}",
        )


def _host_promises(environment: Environment, forward_to: str) -> Iterator[Promise]:
    """Judge an upstream given by its address; a name has addresses that nobody knows here."""
    parts = UPSTREAM.fullmatch(forward_to)
    host = parts["host"] if parts else ""
    yield Promise(
        ("service.forward_to", "name"),
        not host.startswith("[") or environment.name == LOCAL,
        "a name or an IPv4 address: the way to an upstream is opened for IPv4 alone",
        f'"{forward_to}"',
    )
    address = _address_or_none(host)
    if address is None:
        return
    networks = environment.service.upstream_cidrs
    yield Promise(
        ("service.forward_to",),
        address not in _INSTANCE_METADATA,
        "an upstream's address, not where tasks and instances ask for their credentials",
        f'"{forward_to}"',
    )
    yield Promise(
        ("service.forward_to", "name"),
        address not in _ONESELF or environment.name == LOCAL,
        "an upstream's address; in its container a task is alone",
        f'"{forward_to}"',
    )
    yield Promise(
        ("service.forward_to", "service.upstream_cidrs"),
        not networks or any(address in network for network in networks),
        f"an address in {', '.join(map(str, networks))}, which upstream_cidrs opens",
        f'"{forward_to}"',
    )


def _address_or_none(host: str) -> IPv4Address | None:
    try:
        return IPv4Address(host)
    except ValueError:
        return None
