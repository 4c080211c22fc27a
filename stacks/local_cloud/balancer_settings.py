"""
What a Classic Load Balancer was told, read back from the API's own words.

Pure: descriptions in, one frozen value out. What the local balancer cannot do
is a fault with its name, never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Description = Mapping[str, Any]  # one member of an ELB API answer

_PROXY_POLICY_TYPE: Final = "ProxyProtocolPolicyType"
_TARGET: Final = re.compile(r"(?P<protocol>TCP|HTTP|HTTPS|SSL):(?P<port>\d{1,5})(?P<path>/.*)?")


_UNDECLARED_CHECK: Final = {"Interval": 30, "Timeout": 5, "HealthyThreshold": 10, "UnhealthyThreshold": 2}
"""Classic Load Balancer guide, "Health check configuration", defaults."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One front port and where on the instances it leads."""

    load_balancer_port: int
    instance_port: int
    sends_proxy_header: bool


@dataclass(frozen=True, slots=True)
class HealthCheckSettings:
    """The health check as declared; times in seconds."""

    protocol: str
    port: int
    path: str
    interval: float
    timeout: float
    healthy_threshold: int
    unhealthy_threshold: int


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """All the balancer follows of one load balancer."""

    name: str
    listeners: tuple[ListenerSettings, ...]
    health_check: HealthCheckSettings | None
    idle_timeout: float
    draining_timeout: float
    """How long a connection may outlive its instance's registration; 0 when draining is off."""
    instance_ids: tuple[str, ...]
    faults: tuple[str, ...] = ()
    """What the load balancer was told and this balancer cannot do."""


def read_settings(
    description: Description, *, policies: Iterable[Description], attributes: Description
) -> BalancerSettings:
    """
    Read one load balancer.

    Args:
        description: A member of DescribeLoadBalancers.
        policies: PolicyDescriptions of DescribeLoadBalancerPolicies for it.
        attributes: LoadBalancerAttributes of it.
    """
    faults: list[str] = []
    proxy_ports = _ports_with_proxy_header(description, policies)
    draining = attributes.get("ConnectionDraining", {})
    return BalancerSettings(
        name=description["LoadBalancerName"],
        listeners=tuple(_read_listeners(description["ListenerDescriptions"], proxy_ports, faults)),
        health_check=_read_health_check(_declared_check(description), faults),
        idle_timeout=float(attributes.get("ConnectionSettings", {}).get("IdleTimeout", 60)),
        draining_timeout=float(draining.get("Timeout", 300)) if draining.get("Enabled") else 0.0,
        instance_ids=tuple(dict.fromkeys(instance["InstanceId"] for instance in description["Instances"])),
        faults=tuple(faults),
    )


def _ports_with_proxy_header(description: Description, policies: Iterable[Description]) -> set[int]:
    """Find the instance ports a policy with ProxyProtocol=true is bound to; a policy bound nowhere does nothing."""
    enabling = {policy["PolicyName"] for policy in policies if _adds_proxy_header(policy)}
    return {
        backend["InstancePort"]
        for backend in description.get("BackendServerDescriptions", [])
        if enabling.intersection(backend["PolicyNames"])
    }


def _adds_proxy_header(policy: Description) -> bool:
    return policy["PolicyTypeName"] == _PROXY_POLICY_TYPE and any(
        attribute["AttributeName"] == "ProxyProtocol" and attribute["AttributeValue"].lower() == "true"
        for attribute in policy["PolicyAttributeDescriptions"]
    )


def _read_listeners(
    descriptions: Sequence[Description], proxy_ports: set[int], faults: list[str]
) -> Iterable[ListenerSettings]:
    for description in descriptions:
        listener = description["Listener"]
        port, protocols = listener["LoadBalancerPort"], (listener["Protocol"], listener["InstanceProtocol"])
        if protocols != ("TCP", "TCP"):
            faults.append(
                f"listener {port} is {protocols[0]} to {protocols[1]}; the local balancer passes TCP to TCP only"
            )
            continue
        yield ListenerSettings(
            load_balancer_port=port,
            instance_port=listener["InstancePort"],
            sends_proxy_header=listener["InstancePort"] in proxy_ports,
        )


def _declared_check(description: Description) -> Description:
    """Give the health check, or what ELB has where nobody declared one: TCP to the first listener's instance port."""
    first_port = description["ListenerDescriptions"][0]["Listener"]["InstancePort"]
    return description.get("HealthCheck") or {**_UNDECLARED_CHECK, "Target": f"TCP:{first_port}"}


def _read_health_check(check: Description, faults: list[str]) -> HealthCheckSettings | None:
    target = _TARGET.fullmatch(check["Target"])
    if target is None or target["protocol"] not in {"TCP", "HTTP"}:
        faults.append(f"health check {check['Target']}: the local balancer checks TCP:port and HTTP:port/path only")
        return None
    return HealthCheckSettings(
        protocol=target["protocol"],
        port=int(target["port"]),
        path=target["path"] or "/",
        interval=float(check["Interval"]),
        timeout=float(check["Timeout"]),
        healthy_threshold=check["HealthyThreshold"],
        unhealthy_threshold=check["UnhealthyThreshold"],
    )
