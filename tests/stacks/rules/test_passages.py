"""What a rule of a security group covers, whichever way it is written."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract import TRAFFIC_PORT
from stacks.rules import balanced_ports
from stacks.rules.estate import Estate
from stacks.rules.passages import Passage, Way
from tests.stacks.rules.cases import Templates

Rule = dict[str, Any]  # as it stands in a template
STRANGERS = (
    {"CidrIp": "0.0.0.0/0"},
    {"CidrIp": "10.0.0.0/8"},
    {"CidrIp": "198.51.100.7/32"},
    {"CidrIpv6": "2001:db8::/32"},
    {"SourcePrefixListId": "pl-0a1b2c3d"},
    {"SourceSecurityGroupId": "sg-0a1b2c3d"},
    {"SourceSecurityGroupId": {"Ref": "InstanceSecurityGroup"}},
    {"SourceSecurityGroupName": "default"},
)
PORTS = st.sampled_from([1, 22, 443, 8080, TRAFFIC_PORT - 1, TRAFFIC_PORT, TRAFFIC_PORT + 1, 65535])
PROTOCOLS = st.sampled_from(["tcp", "6", 6, "TCP", "-1", -1, "all"])


@st.composite
def rules_for_strangers(draw: st.DrawFn) -> Rule:
    """Draw a rule that lets somebody in who is not the load balancer, to some ports."""
    first, last = sorted((draw(PORTS), draw(PORTS)))
    write = draw(st.sampled_from([int, str]))
    ports = {"IpProtocol": draw(PROTOCOLS), "FromPort": write(first), "ToPort": write(last)}
    return {"Description": "New"} | ports | draw(st.sampled_from(STRANGERS))


def _inside(rule: Rule) -> Estate:
    templates = Templates.of()
    group = templates.bodies["ingress"]["Resources"]["InstanceSecurityGroup"]["Properties"]
    group["SecurityGroupIngress"] = [rule]
    return templates.estate()


def _beside(rule: Rule) -> Estate:
    templates = Templates.of()
    properties = rule | {"GroupId": {"Fn::GetAtt": ["InstanceSecurityGroup", "GroupId"]}}
    new = {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": properties}
    templates.bodies["ingress"]["Resources"]["Other"] = new
    return templates.estate()


@settings(max_examples=40, deadline=None)
@given(rules_for_strangers(), st.sampled_from([_inside, _beside]))
def test_no_stranger_reaches_the_traffic_port_unnoticed(rule: Rule, write: Any) -> None:
    """However somebody writes it: as a range, as text, for every protocol, in the group or beside it (E7)."""
    findings = balanced_ports.nobody_else_reaches_the_traffic_port(write(rule))

    is_every_port = str(rule["IpProtocol"]).lower() not in {"tcp", "6"}
    assert bool(findings) is (is_every_port or int(rule["FromPort"]) <= TRAFFIC_PORT <= int(rule["ToPort"]))


def _passage(**said: object) -> Passage:
    resource = Templates.of().estate().of_type("AWS::EC2::SecurityGroupIngress")[0]
    return Passage(resource, "", None, Way.INGRESS, said)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_a_range_covers_what_is_between_its_ends(first: int, last: int, port: int) -> None:
    assert _passage(IpProtocol="tcp", FromPort=first, ToPort=last).covers(port) is (first <= port <= last)


def test_what_says_no_ports_covers_every_one() -> None:
    for said in ({}, {"FromPort": -1, "ToPort": -1}, {"FromPort": 22}):
        assert all(_passage(IpProtocol="tcp", **said).covers(port) for port in (1, TRAFFIC_PORT, 65535))
