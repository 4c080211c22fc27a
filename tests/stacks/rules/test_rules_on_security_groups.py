"""Who security groups let in and out, and how that is written."""

from __future__ import annotations

from typing import Any

from service.contract import Variable
from stacks.rules import security_groups
from tests.stacks.rules.cases import Case, Spoil, Templates, put
from tests.stacks.rules.test_rules_on_balanced_ports import EGRESS, INGRESS, inline, rule_of_instances, variable
from tests.stacks.rules.test_rules_on_load_balancer import balancer

BALANCERS = "ingress.LoadBalancerSecurityGroup.Properties"
INSTANCES = "ingress.InstanceSecurityGroup.Properties"
NEW_GROUP = {"GroupDescription": "New", "VpcId": {"Ref": "VpcId"}}


def group(name: str, path: str, value: object) -> Spoil:
    """Set a property of a group of the ingress."""

    def spoil(templates: Templates) -> None:
        found: Any = templates.bodies["ingress"]["Resources"][name]["Properties"]
        *way, last = path.split(".")
        for part in way:
            found = found[int(part)] if isinstance(found, list) else found[part]
        if value is ...:
            del found[int(last) if isinstance(found, list) else last]
        else:
            found[int(last) if isinstance(found, list) else last] = value

    return spoil


def partners(path: str, value: object) -> Spoil:
    """Set something of the first rule for partners."""
    return group("LoadBalancerSecurityGroup", f"SecurityGroupIngress.0.{path}", value)


def out(name: str, **said: object) -> Spoil:
    """Let a group of the ingress out somewhere else, inside the group."""

    def spoil(templates: Templates) -> None:
        rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": "Elsewhere"} | said
        properties = templates.bodies["ingress"]["Resources"][name]["Properties"]
        properties["SecurityGroupEgress"].append({key: value for key, value in rule.items() if value is not ...})

    return spoil


def with_everybody(description: str) -> Spoil:
    """Let the world in to the load balancer in the partners' place."""
    said = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0", "Description": description}
    return group("LoadBalancerSecurityGroup", "SecurityGroupIngress", [said])


def forwarding(*, port: int, **said: object) -> Spoil:
    """Forward requests to a port, and let instances out to it."""

    def spoil(templates: Templates) -> None:
        variable(Variable.FORWARD_TO, f"http://a.internal:{port}")(templates)
        if said:
            out("InstanceSecurityGroup", FromPort=port, ToPort=port, **said)(templates)

    return spoil


def another_group(**said: object) -> Spoil:
    """Add a group that nothing is in."""

    def spoil(templates: Templates) -> None:
        templates.bodies["ingress"]["Resources"]["Another"] = {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": NEW_GROUP | said,
        }

    return spoil


def _open(**said: object) -> Spoil:
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": "New"} | said
    return another_group(SecurityGroupIngress=[rule])


def acl(**said: object) -> Spoil:
    """Add a rule of a network ACL that lets the world in to SSH, with something changed."""

    def spoil(templates: Templates) -> None:
        properties: dict[str, object] = {
            "NetworkAclId": "acl-0a1b2c3d",
            "RuleNumber": 100,
            "Protocol": 6,
            "RuleAction": "allow",
            "CidrBlock": "0.0.0.0/0",
            "PortRange": {"From": 22, "To": 22},
        }
        whole = {name: value for name, value in (properties | said).items() if value is not ...}
        templates.bodies["network"]["Resources"]["Acl"] = {"Type": "AWS::EC2::NetworkAclEntry", "Properties": whole}

    return spoil


_partners = security_groups.partners_alone_reach_the_load_balancer
_reaches = security_groups.the_load_balancer_reaches_instances_alone
_says = security_groups.every_group_says_what_it_lets_out
_hear = security_groups.instances_hear_the_load_balancer_alone
_out = security_groups.instances_reach_aws_and_the_upstream_alone
_apart = security_groups.rules_between_groups_stand_by_themselves
_for = security_groups.every_rule_says_what_it_is_for
_ports = security_groups.every_rule_names_ports_that_are
_world = security_groups.the_world_reaches_the_public_port_alone
_acl = security_groups.no_network_acl_lets_the_world_to_operators_ports
_IN = f"{BALANCERS}.SecurityGroupIngress.0"
_INTO = "LoadBalancerSecurityGroup"
_FROM = "InstanceSecurityGroup"

CASES = [
    Case(_partners, group(_INTO, "SecurityGroupIngress", []), "ingress.LoadBalancer", "no rule"),
    Case(_partners, balancer("SecurityGroups", ...), "ingress.LoadBalancer", "no rule"),
    Case(_partners, partners("ToPort", 8443), _IN, "443"),
    Case(_partners, partners("FromPort", 80), _IN, "443"),
    Case(_partners, partners("IpProtocol", "-1"), _IN, "443"),
    Case(_partners, partners("CidrIp", "0.0.0.0/0"), f"{_IN}.CidrIp", "Everybody"),
    Case(_partners, partners("CidrIp", "198.0.0.0/7"), f"{_IN}.CidrIp", "Everybody"),
    Case(_partners, partners("CidrIp", ...), _IN, "one IPv4 network"),
    Case(_partners, partners("CidrIpv6", "2001:db8::/32"), _IN, "one IPv4 network"),
    Case(
        _partners,
        inline(_INTO, CidrIp="198.51.100.128/25", FromPort=443, ToPort=443),
        f"{BALANCERS}.SecurityGroupIngress.1.CidrIp",
        "apart from 198.51.100.0/24",
    ),
    Case(
        _partners,
        inline(_INTO, CidrIp="0.0.0.0/0", FromPort=443, ToPort=443, Description="Everybody"),
        f"{BALANCERS}.SecurityGroupIngress.1.CidrIp",
        "apart",
    ),
    Case(_partners, rule_of_instances(GroupId={"Ref": _INTO}, CidrIp="192.0.2.0/24"), "ingress.Other", "443"),
    Case(_reaches, out(_INTO, CidrIp="0.0.0.0/0"), f"{BALANCERS}.SecurityGroupEgress.1", "0.0.0.0/0"),
    Case(_reaches, out(_INTO, CidrIp="0.0.0.0/0", IpProtocol="-1"), f"{BALANCERS}.SecurityGroupEgress.1"),
    Case(_reaches, put(EGRESS, "ToPort", 9999), "ingress.", "8443"),
    Case(_reaches, put(EGRESS, "DestinationSecurityGroupId", "sg-0123"), "ingress.", "sg-0123"),
    Case(_says, group(_INTO, "SecurityGroupEgress", ...), f"{BALANCERS}.SecurityGroupEgress", "nothing"),
    Case(_says, group(_FROM, "SecurityGroupEgress", []), f"{INSTANCES}.SecurityGroupEgress"),
    Case(_says, another_group(), "ingress.Another"),
    Case(_says, out(_FROM, CidrIp="0.0.0.0/0", FromPort=1, ToPort=65535), f"{INSTANCES}.SecurityGroupEgress.1"),
    Case(_says, out(_FROM, CidrIpv6="::/0", IpProtocol="-1"), f"{INSTANCES}.SecurityGroupEgress.1"),
    Case(_hear, rule_of_instances(CidrIp="10.21.0.0/16", FromPort=22, ToPort=22), "ingress.Other", "port 22"),
    Case(_hear, inline(_FROM, CidrIp="10.21.0.0/16"), f"{INSTANCES}.SecurityGroupIngress.0"),
    Case(_hear, put(INGRESS, "ToPort", 9000), "ingress."),
    Case(_hear, put(INGRESS, "IpProtocol", "-1"), "ingress."),
    Case(_out, out(_FROM, CidrIp="0.0.0.0/0", IpProtocol="-1"), f"{INSTANCES}.SecurityGroupEgress.1"),
    Case(_out, out(_FROM, CidrIp="0.0.0.0/0", FromPort=80, ToPort=80), f"{INSTANCES}.SecurityGroupEgress.1"),
    Case(_out, out(_FROM, CidrIp="0.0.0.0/0", IpProtocol="udp"), f"{INSTANCES}.SecurityGroupEgress.1", "udp"),
    Case(_out, group(_FROM, "SecurityGroupEgress.0.FromPort", 1), f"{INSTANCES}.SecurityGroupEgress", "no way out"),
    Case(_out, forwarding(port=9000), f"{INSTANCES}.SecurityGroupEgress", "no way out to 9000"),
    Case(_out, forwarding(port=9000, CidrIp="0.0.0.0/0"), f"{INSTANCES}.SecurityGroupEgress.1", "0.0.0.0/0"),
    Case(_out, forwarding(port=9000, CidrIp="0.0.0.0/1"), f"{INSTANCES}.SecurityGroupEgress.1", "0.0.0.0/1"),
    Case(_out, forwarding(port=9000, DestinationPrefixListId="pl-01"), f"{INSTANCES}.SecurityGroupEgress.1", "pl-01"),
    Case(
        _apart,
        inline(_FROM, SourceSecurityGroupId={"Ref": _INTO}),
        f"{INSTANCES}.SecurityGroupIngress.0",
        "AWS::EC2::SecurityGroupIngress",
    ),
    Case(
        _apart,
        out(_INTO, DestinationSecurityGroupId={"Fn::GetAtt": [_FROM, "GroupId"]}),
        f"{BALANCERS}.SecurityGroupEgress.1",
        "AWS::EC2::SecurityGroupEgress",
    ),
    Case(_for, partners("Description", ...), f"{_IN}.Description", "nothing"),
    Case(_for, partners("Description", " "), f"{_IN}.Description"),
    Case(_for, partners("Description", ""), f"{_IN}.Description"),
    Case(_for, partners("Description", "the partners' network"), f"{_IN}.Description", "1 to 255"),
    Case(_for, put(INGRESS, "Description", ...), "ingress.", "nothing"),
    Case(_for, put(EGRESS, "Description", "x" * 256), "ingress."),
    Case(_ports, put(INGRESS, "FromPort", 9000), "ingress.", "not below it"),
    Case(_ports, partners("ToPort", 1), _IN, "not below it"),
    Case(_ports, partners("ToPort", ...), _IN),
    Case(_ports, partners("FromPort", "https"), _IN),
    Case(_ports, partners("ToPort", 70000), _IN),
    Case(_ports, put(EGRESS, "IpProtocol", "-1"), "ingress.", "tcp"),
    Case(_ports, put(EGRESS, "IpProtocol", ...), "ingress.", "tcp"),
    Case(_ports, put(EGRESS, "CidrIp", "10.0.0.0/8"), "ingress.", "one network or one group"),
    Case(_ports, put(INGRESS, "SourceSecurityGroupId", ...), "ingress.", "nobody named"),
    Case(_ports, partners("CidrIp", "198.51.100.7/24"), f"{_IN}.CidrIp", "host bits"),
    Case(_world, _open(CidrIp="0.0.0.0/0", FromPort=22, ToPort=22), "ingress.Another", "port 22"),
    Case(_world, _open(CidrIp="0.0.0.0/0", FromPort=3389, ToPort=3389), "ingress.Another", "port 3389"),
    Case(_world, _open(CidrIp="0.0.0.0/0"), "ingress.Another"),
    Case(_world, _open(CidrIpv6="::/0"), "ingress.Another"),
    Case(_world, _open(CidrIp="128.0.0.0/1"), "ingress.Another"),
    Case(_world, _open(SourcePrefixListId="pl-0123"), "ingress.Another"),
    Case(_world, _open(CidrIp="anywhere"), "ingress.Another"),
    Case(_world, _open(CidrIpv6="anywhere"), "ingress.Another"),
    Case(_world, inline(_INTO, CidrIp="0.0.0.0/0", FromPort=20, ToPort=25), f"{BALANCERS}.SecurityGroupIngress.1"),
    Case(_world, rule_of_instances(CidrIp="0.0.0.0/0", FromPort=443, ToPort=443), "ingress.Other"),
    Case(_acl, acl(), "network.Acl", "22"),
    Case(_acl, acl(PortRange={"From": 1024, "To": 65535}), "network.Acl"),
    Case(_acl, acl(Protocol="-1", PortRange=...), "network.Acl"),
    Case(_acl, acl(CidrBlock=..., Ipv6CidrBlock="::/0"), "network.Acl", "::/0"),
]


def test_the_world_may_be_let_in_on_purpose() -> None:
    templates = Templates.of()
    with_everybody("Everybody")(templates)

    assert _partners(templates.estate()) == []
    assert _world(templates.estate()) == []


def test_a_whole_eighth_is_still_somebodys() -> None:
    templates = Templates.of()
    partners("CidrIp", "17.0.0.0/8")(templates)

    assert _partners(templates.estate()) == []


def test_a_group_may_let_a_range_of_ports_out_to_a_network() -> None:
    templates = Templates.of()
    out("InstanceSecurityGroup", CidrIp="10.9.0.0/24", FromPort=1, ToPort=9000)(templates)

    assert _says(templates.estate()) == []


def test_an_upstream_is_let_out_to_by_network_or_group() -> None:
    for port, said in ((9000, {"CidrIp": "10.9.0.0/24"}), (80, {"DestinationSecurityGroupId": "sg-0123"})):
        templates = Templates.of()
        forwarding(port=port, **said)(templates)

        assert _out(templates.estate()) == []


def test_what_an_acl_denies_or_lets_out_is_not_let_in() -> None:
    for said in ({"RuleAction": "deny"}, {"Egress": True}, {"Protocol": 17}, {"CidrBlock": "10.0.0.0/8"}):
        templates = Templates.of()
        acl(**said)(templates)

        assert _acl(templates.estate()) == []
