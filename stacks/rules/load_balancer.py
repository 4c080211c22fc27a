"""The rules on the load balancer by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from service.contract import PUBLIC_PORT
from stacks.naming import Output
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.register import Entry, exception, kept_elsewhere, not_applicable
from stacks.rules.routes import SUBNET, is_on_the_internet, subnets, zone
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.topology import LOAD_BALANCER
from stacks.rules.values import Reference, flag, listed, number

_OTHER_KIND: Final = "AWS::ElasticLoadBalancingV2::LoadBalancer"
PROXY_POLICY: Final = "ProxyProtocolPolicyType"
_RECORDS: Final = ("AWS::Route53::RecordSet", "AWS::Route53::RecordSetGroup")
_SCHEMES: Final = ("internet-facing", "internal")
_ADDRESS_TYPES: Final = ("A", "AAAA")
_OUTPUTS: Final = {
    Output.LOAD_BALANCER_DNS_NAME.value: "DNSName",
    Output.LOAD_BALANCER_ZONE_ID.value: "CanonicalHostedZoneNameID",
    Output.LOAD_BALANCER_NAME.value: "Ref",
}
"""What the deployer, and whoever makes an alias, read each by its name."""
_LONGEST_NAME: Final = 32
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,32}(?<!-)")
_LEAST_ZONES: Final = 2
_TIMES: Final = {
    "Interval": (5, 300),
    "Timeout": (2, 60),
    "HealthyThreshold": (2, 10),
    "UnhealthyThreshold": (2, 10),
}
"""What a health check takes, the first two in seconds (Classic ELB guide, health check configuration)."""
_LISTENERS: Final = "Classic ELB guide, listeners: with TCP in front the back is TCP or SSL, and TLS passes through"
_CHECKS: Final = "Classic ELB guide, configure health checks"
_SCHEMA: Final = "CloudFormation reference, AWS::ElasticLoadBalancing::LoadBalancer: update requires"
_ALIAS: Final = "Route 53 guide, values for alias records: ELB load balancer"
_IPV6: Final = "Classic ELB guide, IP address types: IPv6 was for EC2-Classic alone"


def whole(value: object, least: float, most: float) -> bool:
    """Whether a value is a whole number within bounds, or as text the digits of one, which is all the API takes."""
    given = number(value)
    is_written = not isinstance(value, str) or value.isdecimal()
    return given is not None and is_written and given.is_integer() and least <= given <= most


@rule("E1", why="there is no way in, or one that nobody judged", source=_LISTENERS)
def there_is_one_load_balancer(estate: Estate) -> Iterator[Fault]:
    """There is exactly one Classic Load Balancer, and none of another kind."""
    found = estate.of_type(LOAD_BALANCER)
    if not found:
        yield absent("a Classic Load Balancer")
    for another in (*found[1:], *estate.of_type(_OTHER_KIND)):
        yield another.fault("", found=Said("a second way in"), expected="one Classic Load Balancer and no other")


@rule_of(
    LOAD_BALANCER, requirement="E1", why="TLS would end at the load balancer, or not pass at all", source=_LISTENERS
)
def one_listener_passes_tcp_through(balancer: Resource) -> Iterator[Fault]:
    """The load balancer has one listener: TCP on port 443 to TCP on the instance, with no certificate and no policy."""
    listeners = balancer.tables("Listeners")
    if len(listeners) != 1:
        yield balancer.fault("Listeners", found=Said(f"{len(listeners)} listeners"), expected="one listener")
    for path, listener in listeners:
        yield from _faults_of_listener(balancer, path, listener)
    for name in ("AppCookieStickinessPolicy", "LBCookieStickinessPolicy"):
        if listed(balancer.get(name)):
            yield balancer.fault(name, found=balancer.get(name), expected="nothing: there is no cookie in TCP")
    for path, policy in balancer.tables("Policies"):
        if policy.get("PolicyType") != PROXY_POLICY:
            yield balancer.fault(
                f"{path}.PolicyType", found=policy.get("PolicyType"), expected=f"{PROXY_POLICY} and no policy of TLS"
            )


def _faults_of_listener(balancer: Resource, path: str, listener: dict[str, Any] | Any) -> Iterator[Fault]:  # noqa: ANN401
    if number(listener.get("LoadBalancerPort")) != PUBLIC_PORT:
        yield balancer.fault(
            f"{path}.LoadBalancerPort", found=listener.get("LoadBalancerPort"), expected=str(PUBLIC_PORT)
        )
    for name in ("Protocol", "InstanceProtocol"):
        if listener.get(name) != "TCP":
            yield balancer.fault(f"{path}.{name}", found=listener.get(name), expected="TCP")
    if not whole(listener.get("InstancePort"), 1, 65535):
        yield balancer.fault(f"{path}.InstancePort", found=listener.get("InstancePort"), expected="a port")
    for name in ("SSLCertificateId", "PolicyNames"):
        if listener.get(name):
            yield balancer.fault(f"{path}.{name}", found=listener.get(name), expected="nothing: TLS passes through")


@rule_of(
    LOAD_BALANCER,
    requirement="E3",
    why="a check added later replaces the load balancer, and its DNS name changes",
    source=_SCHEMA,
)
def health_is_checked_from_the_start(balancer: Resource) -> Iterator[Fault]:
    """The load balancer has a health check from its creation on."""
    if not isinstance(balancer.get("HealthCheck"), dict):
        yield balancer.fault("HealthCheck", found=balancer.get("HealthCheck"), expected="a health check")


@rule_of(
    LOAD_BALANCER,
    requirement="E5",
    why="AWS refuses the load balancer, or its defaults take five minutes until an instance is in service",
    source=_CHECKS,
)
def times_of_the_health_check_fit(balancer: Resource) -> Iterator[Fault]:
    """Interval, timeout and both thresholds of the health check are set and in bounds; the timeout is the shorter."""
    check = balancer.get("HealthCheck")
    if not isinstance(check, dict):
        return  # E3 tells
    for name, (least, most) in _TIMES.items():
        if not whole(check.get(name), least, most):
            yield balancer.fault(f"HealthCheck.{name}", found=check.get(name), expected=f"{least} to {most}")
    interval, timeout = number(check.get("Interval")), number(check.get("Timeout"))
    if interval is not None and timeout is not None and timeout >= interval:
        yield balancer.fault(
            "HealthCheck.Timeout", found=check.get("Timeout"), expected=f"less than the interval, {interval:g}"
        )


@rule_of(
    LOAD_BALANCER,
    requirement="E8",
    also=("ELB.9",),
    why="a zone's share of connections falls on the instances of that zone alone",
    source="Classic ELB guide, cross-zone load balancing: off by default for load balancers made by the API",
)
def every_zone_is_served_from_every_zone(balancer: Resource) -> Iterator[Fault]:
    """Cross-zone load balancing is on."""
    if flag(balancer.get("CrossZone")) is not True:
        yield balancer.fault("CrossZone", found=balancer.get("CrossZone"), expected="true")


@rule_of(
    LOAD_BALANCER,
    requirement="E8",
    also=("ELB.10",),
    why="with one zone the ingress is gone",
    source="Security Hub, ELB.10: Classic Load Balancers should span multiple Availability Zones",
)
def the_load_balancer_spans_zones(balancer: Resource) -> Iterator[Fault]:
    """The load balancer stands in subnets of at least two availability zones, one in each."""
    given = listed(balancer.get("Subnets"))
    if len(set(map(str, given))) < _LEAST_ZONES:
        yield balancer.fault("Subnets", found=given or None, expected="subnets of two zones or more")
    zones = [zone(subnet) for subnet in subnets(balancer, "Subnets")]
    if len(set(zones)) < len(zones):
        yield balancer.fault(
            "Subnets", found=Said(f"subnets of {', '.join(zones)}"), expected="one subnet in each zone"
        )
    if listed(balancer.get("AvailabilityZones")):
        yield balancer.fault(
            "AvailabilityZones", found=balancer.get("AvailabilityZones"), expected="nothing: in a VPC subnets say it"
        )


@rule_of(
    LOAD_BALANCER,
    requirement="E8",
    why="what is left out or changed later replaces the load balancer, and in private subnets no partner reaches it",
    source=_SCHEMA,
)
def the_scheme_is_said_and_fits_the_subnets(balancer: Resource) -> Iterator[Fault]:
    """The scheme is written out; a load balancer that faces the internet stands in subnets with a way there."""
    scheme = balancer.get("Scheme")
    if scheme not in _SCHEMES:
        yield balancer.fault("Scheme", found=scheme, expected=" or ".join(_SCHEMES))
    if scheme != "internet-facing":
        return
    for index, value in enumerate(listed(balancer.get("Subnets"))):
        subnet = balancer.estate.target(value)
        if subnet is not None and not (subnet.type == SUBNET and is_on_the_internet(subnet)):
            yield balancer.fault(
                f"Subnets.{index}",
                found=Said(f"{subnet.name}, which has no way out to an internet gateway"),
                expected="a public subnet",
            )


@rule_of(
    LOAD_BALANCER,
    requirement="E9",
    why="a name cannot be changed: whatever replaces the load balancer fails, for the old one still has the name",
    source=_SCHEMA,
)
def the_load_balancer_has_no_name_of_its_own(balancer: Resource) -> Iterator[Fault]:
    """The load balancer has no fixed name; one that is derived has at most 32 letters, digits and hyphens."""
    name = balancer.get("LoadBalancerName")
    if name is None:
        return
    raw = balancer.raw.get("Properties", {}).get("LoadBalancerName")
    if raw == name or (isinstance(raw, dict) and name in raw.values()):
        yield balancer.fault("LoadBalancerName", found=name, expected="no name, or one derived from the stack's")
    elif _NAME.fullmatch(str(name)) is None:
        yield balancer.fault(
            "LoadBalancerName",
            found=name,
            expected=f"at most {_LONGEST_NAME} letters, digits and hyphens, none at the ends",
        )


@rule_of(LOAD_BALANCER, requirement="E14", why="nobody can find the load balancer but by looking", source=_ALIAS)
def the_load_balancers_name_is_offered(balancer: Resource) -> Iterator[Fault]:
    """The DNS name of the load balancer and the id of its hosted zone are outputs of its stack, each under its name."""
    named = balancer.estate.bodies[balancer.stack].get("Outputs", {})
    outputs = named.values()
    values = [balancer.estate.resolver.value(balancer.stack, output.get("Value")) for output in outputs]
    offered = {value.attribute for value in values if balancer.estate.target(value) == balancer}
    for attribute in ("DNSName", "CanonicalHostedZoneNameID"):
        if attribute not in offered:
            yield balancer.fault("", found=Said(f"no output of its {attribute}"), expected="an output of it")
    for name, attribute in _OUTPUTS.items():
        found = balancer.estate.resolver.value(balancer.stack, (named.get(name) or {}).get("Value"))
        if isinstance(found, Reference) and found.attribute != attribute:
            words = Said(f"the output {name} of its {found.attribute}")
            yield balancer.fault("", found=words, expected=f"{attribute} under that name")


@rule_of(
    *_RECORDS,
    requirement="E14",
    why="a Classic Load Balancer has no address that stays; a name that is not its alias leads nowhere one day",
    source=_ALIAS,
)
def names_of_the_ingress_are_aliases(records: Resource) -> Iterator[Fault]:
    """Every address record is an alias of a load balancer, by its own DNS name and the id of its own hosted zone."""
    for path, record in _records(records):
        at = f"{path}." if path else ""
        alias = record.get("AliasTarget")
        if record.get("Type") not in _ADDRESS_TYPES or not isinstance(alias, dict):
            yield records.fault(
                f"{at}Type",
                found=Said(f"a record of type {record.get('Type')}, not an alias"),
                expected="an alias, type A",
            )
            continue
        wanted = {"DNSName": "DNSName", "HostedZoneId": "CanonicalHostedZoneNameID"}
        for name, attribute in wanted.items():
            if _attribute_of_balancer(records.estate, alias.get(name)) != attribute:
                yield records.fault(
                    f"{at}AliasTarget.{name}", found=alias.get(name), expected=f"{attribute} of the load balancer"
                )


def _attribute_of_balancer(estate: Estate, value: object) -> str | None:
    """Say which attribute of a load balancer a value is; a prefix before the name does not hide it."""
    for balancer in estate.of_type(LOAD_BALANCER):
        for attribute in ("DNSName", "CanonicalHostedZoneNameID"):
            own = estate.resolver.value(balancer.stack, {"Fn::GetAtt": [balancer.logical_id, attribute]})
            if isinstance(value, str) and (value == own or value.endswith(f".{own}")):
                return attribute
    return None


def _records(resource: Resource) -> list[tuple[str, Any]]:
    return resource.tables("RecordSets") if resource.type.endswith("Group") else [("", resource.get())]


@rule("E15", why="no partner gets through over IPv6, and what its addresses look like nobody has tried", source=_IPV6)
def nothing_promises_ipv6(estate: Estate) -> Iterator[Fault]:
    """No record and no subnet of the load balancer promises IPv6, which Classic Load Balancers of a VPC do not have."""
    for resource in estate.of_type(*_RECORDS):
        for path, record in _records(resource):
            at = f"{path}." if path else ""
            if record.get("Type") == "AAAA":
                yield resource.fault(f"{at}Type", found="AAAA", expected="A")
            name = (record.get("AliasTarget") or {}).get("DNSName")
            if isinstance(name, str) and not isinstance(name, Reference) and _attribute_of_balancer(estate, name):
                yield resource.fault(f"{at}AliasTarget.DNSName", found=name, expected="the name as it is, for IPv4")
    for balancer in estate.of_type(LOAD_BALANCER):
        for subnet in subnets(balancer, "Subnets"):
            if subnet.get("Ipv6CidrBlock") or flag(subnet.get("AssignIpv6AddressOnCreation")):
                yield subnet.fault("Ipv6CidrBlock", found=subnet.get("Ipv6CidrBlock"), expected="IPv4 alone")


@rule_of(
    SUBNET,
    requirement="E16",
    why="a zone that AWS picks can be one without Classic Load Balancers, and can be another one next time",
    source="Classic ELB guide, availability zones: not every zone takes load balancers",
)
def subnets_name_their_zone(subnet: Resource) -> Iterator[Fault]:
    """Every subnet says in which availability zone of the region it is."""
    found = zone(subnet)
    region = subnet.estate.place.region
    if not (re.fullmatch(rf"{re.escape(region)}[a-z]", found) or re.fullmatch(r"[a-z]+\d+-az\d+", found)):
        yield subnet.fault("AvailabilityZone", found=found or None, expected=f"a zone of {region}")


RULES: Final[tuple[Rule, ...]] = (
    there_is_one_load_balancer,
    one_listener_passes_tcp_through,
    health_is_checked_from_the_start,
    times_of_the_health_check_fit,
    every_zone_is_served_from_every_zone,
    the_load_balancer_spans_zones,
    the_scheme_is_said_and_fits_the_subnets,
    the_load_balancer_has_no_name_of_its_own,
    the_load_balancers_name_is_offered,
    names_of_the_ingress_are_aliases,
    nothing_promises_ipv6,
    subnets_name_their_zone,
)
_NO_SUCH_LISTENER: Final = "there is no HTTPS or SSL listener: TCP is passed through, and E1 allows no other"
_OTHER_BALANCERS: Final = "it speaks of Application, Network and Gateway Load Balancers; ours is a Classic one"
_TLS_INSTEAD: Final = (
    "the service itself ends TLS 1.2 or newer and demands a client certificate it has enrolled; no byte of a "
    "request leaves the TLS session between partner and service, and no third party holds the key. Suppress the "
    "finding with this note"
)
ENTRIES: Final[tuple[Entry, ...]] = (
    not_applicable(
        "ELB.2",
        "HTTPS and SSL listeners of Classic Load Balancers use a certificate of ACM.",
        why=_NO_SUCH_LISTENER,
    ),
    exception(
        "ELB.3",
        "Listeners of Classic Load Balancers are HTTPS or SSL.",
        why="such a listener would end TLS at the load balancer, and the client's certificate would never reach us",
        instead=_TLS_INSTEAD,
    ),
    exception(
        "ELB_TLS_HTTPS_LISTENERS_ONLY",
        "Listeners of Classic Load Balancers are HTTPS or SSL (AWS Config).",
        why="ELB.3 under another name: the listener passes TCP through",
        instead=_TLS_INSTEAD,
    ),
    not_applicable(
        "ELB.8",
        "SSL listeners of Classic Load Balancers use a predefined policy of TLS 1.2.",
        why=f"{_NO_SUCH_LISTENER}; which versions are spoken the service says",
    ),
    kept_elsewhere(
        "ELB.14",
        "The desync mitigation mode of a Classic Load Balancer is defensive or strictest.",
        why="CloudFormation has no property for it, and the mode matters to HTTP listeners alone",
        instead="AWS's default, which is defensive; the service refuses ambiguous requests by itself",
    ),
    not_applicable("ELB.1", "Application Load Balancers redirect HTTP to HTTPS.", why=_OTHER_BALANCERS),
    not_applicable("ELB.4", "Application Load Balancers drop invalid HTTP headers.", why=_OTHER_BALANCERS),
    not_applicable(
        "ELB.6",
        "Application, Gateway and Network Load Balancers have deletion protection.",
        why=f"{_OTHER_BALANCERS}, which has no such attribute;"
        " the deployer stops before it is replaced or removed (U1)",
    ),
    not_applicable("ELB.12", "Application Load Balancers have a desync mitigation mode.", why=_OTHER_BALANCERS),
    not_applicable("ELB.13", "Load balancers of the newer kinds span several zones.", why=_OTHER_BALANCERS),
    not_applicable("ELB.16", "Application Load Balancers have a web ACL.", why=_OTHER_BALANCERS),
    not_applicable("ELB.17", "Listeners of the newer kinds use recommended security policies.", why=_OTHER_BALANCERS),
    not_applicable("ELB.18", "Listeners of the newer kinds encrypt in transit.", why=_OTHER_BALANCERS),
)
