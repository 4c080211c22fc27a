"""The rules on security groups."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from service.contract import PUBLIC_PORT, Variable
from service.settings import UPSTREAM
from stacks.agreement.addresses import WIDEST_PREFIX
from stacks.rules.balanced_ports import backends, ports_of
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.passages import (
    SECURITY_GROUP,
    STARTS_INSTANCES,
    Passage,
    Way,
    groups_of,
    passages,
    passages_of,
)
from stacks.rules.register import Entry, exception, kept_elsewhere
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.topology import LOAD_BALANCER
from stacks.rules.values import flag, listed, number

_EVERYBODY: Final = "Everybody"
"""What the description of a rule begins with that lets the whole world in on purpose."""
_TLS_PORT: Final = 443
_HTTP_PORT: Final = 80
_LOOPBACK: Final = IPv4Network("127.0.0.0/8")
_PORTS_OF_OPERATORS: Final = (22, 3389)
_DESCRIPTION: Final = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}")
_GROUPS: Final = "EC2 guide, security group rules"
_EGRESS: Final = "CloudFormation reference, AWS::EC2::SecurityGroup: without SecurityGroupEgress everything is let out"
_SECURITY_HUB: Final = "Security Hub, EC2 controls"


@rule("N1", why="more than the partners reach the load balancer, or they do not", source=_GROUPS)
def partners_alone_reach_the_load_balancer(estate: Estate) -> Iterator[Fault]:
    """
    Into the load balancer's security groups come networks of partners, each by TCP to port 443 and once.

    A rule that lets the whole world in says so: its description begins with "Everybody".
    """
    for balancer in estate.of_type(LOAD_BALANCER):
        found = passages_of(estate, groups_of([balancer]), Way.INGRESS)
        if not found:
            yield balancer.fault("", found=Said("no rule that lets anybody in"), expected="rules for partners")
        for passage in found:
            yield from _faults_of_partner(passage)
        ranged = [(passage, cidr) for passage in found if isinstance(cidr := passage.cidr, IPv4Network)]
        for (_, one), (passage, other) in itertools.combinations(ranged, 2):
            if one.overlaps(other):
                yield passage.fault(at="CidrIp", found=str(other), expected=f"a network apart from {one}")


def _faults_of_partner(passage: Passage) -> Iterator[Fault]:
    if not passage.is_exactly(PUBLIC_PORT):
        yield passage.fault(found=_span(passage), expected=f"TCP to port {PUBLIC_PORT} alone")
    if not isinstance(passage.cidr, IPv4Network):
        yield passage.fault(found=Said(_names(passage)), expected="one IPv4 network, as CidrIp")
    description = str(passage.said.get("Description", ""))
    if _is_wide(passage) and not description.startswith(_EVERYBODY):
        yield passage.fault(
            at="CidrIp", found=passage.said.get("CidrIp"), expected=f'a network, or a description with "{_EVERYBODY}"'
        )


@rule("N1", why="a load balancer taken over could reach anything", source=_EGRESS)
def the_load_balancer_reaches_instances_alone(estate: Estate) -> Iterator[Fault]:
    """Out of the load balancer's groups only the instances are reached, on the ports of traffic and of health."""
    instance_groups = groups_of(estate.of_type(*STARTS_INSTANCES))
    for balancer in estate.of_type(LOAD_BALANCER):
        ports = ports_of(balancer)
        for passage in passages_of(estate, groups_of([balancer]), Way.EGRESS):
            is_ours = passage.peer_group in instance_groups and passage.is_exactly(*ports)
            if not is_ours and not _leads_nowhere(passage):
                known = " or ".join(dict.fromkeys(f"{port:g}" for port in ports))
                yield passage.fault(
                    found=Said(f"{_span(passage)} to {_names(passage)}"), expected=f"TCP to instances on {known}"
                )


@rule("N2", why="whatever else listens on an instance can be reached", source=_GROUPS)
def instances_hear_the_load_balancer_alone(estate: Estate) -> Iterator[Fault]:
    """Into the instances' groups comes the load balancer's group by its id, on the ports of traffic and of health."""
    balancers = estate.of_type(LOAD_BALANCER)
    balancer_groups = groups_of(balancers)
    ports = [port for balancer in balancers for port in ports_of(balancer)]
    for passage in passages_of(estate, groups_of(estate.of_type(*STARTS_INSTANCES)), Way.INGRESS):
        if passage.peer_group not in balancer_groups or not passage.is_exactly(*ports):
            known = " or ".join(dict.fromkeys(f"{port:g}" for port in ports))
            yield passage.fault(
                found=Said(f"{_span(passage)} from {_names(passage)}"),
                expected=f"TCP on {known} from the load balancer's group",
            )


@rule("N2", why="what a task is made to send goes anywhere, or not even to AWS", source=_EGRESS)
def instances_reach_aws_and_the_upstream_alone(estate: Estate) -> Iterator[Fault]:
    """
    Out of the instances' groups goes TCP to port 443, and to the upstream's port where requests are forwarded.

    The upstream is a group or a network, never everybody.
    """
    groups = groups_of(estate.of_type(*STARTS_INSTANCES))
    upstream = _upstream_ports(estate)
    found = passages_of(estate, groups, Way.EGRESS)
    for passage in found:
        is_upstream = passage.is_exactly(*upstream) and not _is_wide(passage)
        if not (passage.is_exactly(_TLS_PORT) or is_upstream):
            ports = ", ".join(f"{port}" for port in sorted({_TLS_PORT, *upstream}))
            yield passage.fault(
                found=Said(f"{_span(passage)} to {_names(passage)}"),
                expected=f"TCP to {ports} alone, and an upstream by its group or network",
            )
    for port in sorted({_TLS_PORT, *upstream}):
        if groups and not any(passage.is_exactly(port) for passage in found):
            yield groups[0].fault("SecurityGroupEgress", found=Said(f"no way out to {port}"), expected="one")


@rule_of(
    SECURITY_GROUP,
    requirement="N1",
    why="AWS adds a rule that lets everything out where a group has none of its own",
    source=_EGRESS,
)
def every_group_says_what_it_lets_out(group: Resource) -> Iterator[Fault]:
    """
    Every security group has a list of egress rules in itself, be it of one that leads nowhere.

    None of its rules lets more than one port out to the world.
    """
    if not group.tables("SecurityGroupEgress"):
        yield group.fault("SecurityGroupEgress", found=group.get("SecurityGroupEgress"), expected="at least one rule")
    for passage in passages_of(group.estate, [group], Way.EGRESS):
        first, last = passage.ports
        if _is_wide(passage) and first != last:
            yield passage.fault(found=Said(f"{_span(passage)} to {_names(passage)}"), expected="one port")


@rule("N3", why="groups that name each other can be neither made nor removed", source=_GROUPS)
def rules_between_groups_stand_by_themselves(estate: Estate) -> Iterator[Fault]:
    """A rule that names another group of the templates is a resource beside both groups."""
    for passage in passages(estate):
        named = [value for value in passage.peers.values() if _is_group(estate, value)]
        if passage.path and named:
            kind = f"AWS::EC2::SecurityGroup{passage.way}"
            yield passage.fault(found=Said(f"a rule inside the group that names {named[0]}"), expected=kind)


@rule("N3", why="nobody can tell later what a rule is for and whether it may go", source=_GROUPS)
def every_rule_says_what_it_is_for(estate: Estate) -> Iterator[Fault]:
    """Every rule of a security group has a description, of characters EC2 takes."""
    for passage in passages(estate):
        found = passage.said.get("Description")
        if not isinstance(found, str) or not found.strip() or _DESCRIPTION.fullmatch(found) is None:
            expected = "1 to 255 letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*"
            yield passage.fault(at="Description", found=found, expected=expected)


@rule("N3", why="AWS refuses the rule, or it lets nothing through that anybody meant", source=_GROUPS)
def every_rule_names_ports_that_are(estate: Estate) -> Iterator[Fault]:
    """Every rule names one protocol, a first and a last port that is not below it, and one other side."""
    for passage in passages(estate):
        first, last = number(passage.said.get("FromPort")), number(passage.said.get("ToPort"))
        if not passage.is_tcp:
            yield passage.fault(at="IpProtocol", found=passage.said.get("IpProtocol"), expected="tcp")
        elif first is None or last is None or not 0 < first <= last <= 65535:  # noqa: PLR2004 -- the last port
            yield passage.fault(found=_span(passage), expected="a first port, and a last one that is not below it")
        if len(passage.peers) != 1:
            yield passage.fault(found=Said(_names(passage)), expected="one network or one group")
        for name in ("CidrIp", "CidrIpv6"):
            if set(passage.peers) == {name} and passage.cidr is None:
                yield passage.fault(at=name, found=passage.peers[name], expected="a network without host bits")


@rule(
    "EC2.18",
    also=("EC2.13", "EC2.14", "EC2.19", "CIS 6.3", "CIS 6.4"),
    why="the whole internet tries every port it finds open, those of SSH and RDP first",
    source=_SECURITY_HUB,
)
def the_world_reaches_the_public_port_alone(estate: Estate) -> Iterator[Fault]:
    """No security group is open to the world but the load balancer's, and that by TCP to port 443 alone."""
    public = groups_of(estate.of_type(LOAD_BALANCER))
    for group in estate.of_type(SECURITY_GROUP):
        for passage in passages_of(estate, [group], Way.INGRESS):
            if _is_wide(passage) and not (group in public and passage.is_exactly(PUBLIC_PORT)):
                found = Said(f"{_span(passage)} from {_names(passage)}")
                yield passage.fault(found=found, expected=f"the world on {PUBLIC_PORT} of the load balancer alone")


@rule_of(
    "AWS::EC2::NetworkAclEntry",
    requirement="EC2.21",
    why="an instance somebody adds with a group that is open is open to the world at once",
    source=_SECURITY_HUB,
)
def no_network_acl_lets_the_world_to_operators_ports(entry: Resource) -> Iterator[Fault]:
    """No rule of a network ACL lets the world in to port 22 or 3389."""
    first, last = number(entry.get("PortRange.From")), number(entry.get("PortRange.To"))
    is_tcp = number(entry.get("Protocol")) in {6, -1}
    covers = first is None or last is None or any(first <= port <= last for port in _PORTS_OF_OPERATORS)
    world = {"0.0.0.0/0", "::/0"} & {entry.get("CidrBlock"), entry.get("Ipv6CidrBlock")}
    is_allowed_in = not flag(entry.get("Egress")) and str(entry.get("RuleAction")).lower() == "allow"
    if is_allowed_in and is_tcp and covers and world:
        yield entry.fault(
            "", found=Said(f"ports {first} to {last} open to {world.pop()}"), expected="neither 22 nor 3389"
        )


def _upstream_ports(estate: Estate) -> list[int]:
    """Say where containers forward to, by the variable they read it from."""
    found = (UPSTREAM.fullmatch(str(backend.variable(Variable.FORWARD_TO))) for backend in backends(estate))
    return [int(parts["port"] or _HTTP_PORT) for parts in found if parts]


def _is_group(estate: Estate, value: object) -> bool:
    target = estate.target(value)
    return target is not None and target.type == SECURITY_GROUP


def _is_wide(passage: Passage) -> bool:
    """Whether a rule is for more addresses than anybody has; a prefix list can hold any."""
    if any("PrefixList" in name for name in passage.peers):
        return True
    cidr = passage.cidr
    if cidr is None:
        return "CidrIp" in passage.peers or "CidrIpv6" in passage.peers
    return cidr.prefixlen < WIDEST_PREFIX


def _leads_nowhere(passage: Passage) -> bool:
    return isinstance(passage.cidr, IPv4Network) and passage.cidr.subnet_of(_LOOPBACK)


def _span(passage: Passage) -> Said:
    first, last = passage.ports
    ports = f"port {first:g}" if first == last else f"ports {first:g} to {last:g}"
    return Said(f"protocol {passage.said.get('IpProtocol')}, {ports}")


def _names(passage: Passage) -> str:
    named = (f"{name} {', '.join(map(str, listed(value)))}" for name, value in passage.peers.items())
    return ", ".join(named) or "nobody named"


RULES: Final[tuple[Rule, ...]] = (
    partners_alone_reach_the_load_balancer,
    the_load_balancer_reaches_instances_alone,
    every_group_says_what_it_lets_out,
    instances_hear_the_load_balancer_alone,
    instances_reach_aws_and_the_upstream_alone,
    rules_between_groups_stand_by_themselves,
    every_rule_says_what_it_is_for,
    every_rule_names_ports_that_are,
    the_world_reaches_the_public_port_alone,
    no_network_acl_lets_the_world_to_operators_ports,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    kept_elsewhere(
        "N4",
        "A changed port replaces the rule of the security group, with a gap between.",
        why="it is the change that matters, and a template does not know what was before it",
        instead="the plan names every replacement before it is made",
    ),
    exception(
        "EC2.2",
        "The default security group of a VPC lets nothing in or out.",
        why="AWS makes that group with the VPC, and CloudFormation can take no rule out of it",
        instead="nothing is in it: load balancer, instances and endpoints have groups of these templates (E7, N6)",
    ),
)
