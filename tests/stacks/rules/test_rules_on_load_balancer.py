"""What must hold of the load balancer by itself."""

from __future__ import annotations

import copy
from typing import Any

from stacks.rules import load_balancer
from tests.stacks.rules.cases import Case, Spoil, Templates, put, removed

BALANCER = "AWS::ElasticLoadBalancing::LoadBalancer"
PLACE = "ingress.LoadBalancer"
PROPERTIES = f"{PLACE}.Properties"


def balancer(path: str, value: object) -> Spoil:
    """Set a property of the load balancer."""
    return put(BALANCER, path, value)


def _second_balancer(templates: Templates) -> None:
    resources = templates.bodies["ingress"]["Resources"]
    resources["Second"] = copy.deepcopy(resources["LoadBalancer"])


def _network_balancer(templates: Templates) -> None:
    new = {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Type": "network"}}
    templates.bodies["ingress"]["Resources"]["Network"] = new


def _outputs_crossed(templates: Templates) -> None:
    outputs = templates.bodies["ingress"]["Outputs"]
    name, zone = outputs["LoadBalancerDnsName"], outputs["LoadBalancerZoneId"]
    name["Value"], zone["Value"] = zone["Value"], name["Value"]


def _second_listener(templates: Templates) -> None:
    listeners = templates.properties(BALANCER)["Listeners"]
    listeners.append({"LoadBalancerPort": "80", "Protocol": "TCP", "InstancePort": "8443", "InstanceProtocol": "TCP"})


def _cookie(templates: Templates) -> None:
    templates.properties(BALANCER)["LBCookieStickinessPolicy"] = [{"PolicyName": "cookie"}]


def _tls_policy(templates: Templates) -> None:
    policy = {"PolicyName": "tls", "PolicyType": "SSLNegotiationPolicyType", "Attributes": []}
    templates.properties(BALANCER)["Policies"].append(policy)


def _in(*subnets: str) -> Spoil:
    return balancer("Subnets", [{"Ref": subnet} for subnet in subnets])


def _in_private_subnets(templates: Templates) -> None:
    body = templates.bodies["ingress"]
    body["Parameters"]["PrivateSubnetIds"] = dict(body["Parameters"]["PublicSubnetIds"])
    templates.properties(BALANCER)["Subnets"] = {"Ref": "PrivateSubnetIds"}


def _way_to_one_network_alone(templates: Templates) -> None:
    templates.properties("AWS::EC2::Route", GatewayId={"Ref": "InternetGateway"})["DestinationCidrBlock"] = "8.0.0.0/8"


def _in_one_zone(templates: Templates) -> None:
    for subnet in templates.resources("AWS::EC2::Subnet"):
        subnet["Properties"]["AvailabilityZone"] = "us-east-1a"


def _in_security_groups(templates: Templates) -> None:
    templates.properties(BALANCER)["Subnets"] = [{"Ref": "LoadBalancerSecurityGroup"}, {"Ref": "InstanceSecurityGroup"}]


def _zone(value: object) -> Spoil:
    return put("AWS::EC2::Subnet", "AvailabilityZone", value)


def record(**said: object) -> Spoil:
    """Add a record of the host's name: an alias of the load balancer, with something changed."""

    def spoil(templates: Templates) -> None:
        alias: dict[str, object] = {
            "DNSName": {"Fn::GetAtt": ["LoadBalancer", "DNSName"]},
            "HostedZoneId": {"Fn::GetAtt": ["LoadBalancer", "CanonicalHostedZoneNameID"]},
        }
        properties: dict[str, Any] = {"Name": "a.example.com.", "Type": "A", "AliasTarget": alias, "HostedZoneId": "Z1"}
        for name, value in said.items():
            (alias if name in {"DNSName", "HostedZoneId"} else properties)[name] = value
        templates.bodies["ingress"]["Resources"]["Record"] = {
            "Type": "AWS::Route53::RecordSet",
            "Properties": {name: value for name, value in properties.items() if value is not ...},
        }

    return spoil


def _record_group(templates: Templates) -> None:
    records = [{"Name": "a.example.com.", "Type": "A", "ResourceRecords": ["192.0.2.1"], "TTL": "60"}]
    templates.bodies["ingress"]["Resources"]["Record"] = {
        "Type": "AWS::Route53::RecordSetGroup",
        "Properties": {"HostedZoneId": "Z1", "RecordSets": records},
    }


def _no_output(value: str) -> Spoil:
    def spoil(templates: Templates) -> None:
        outputs = templates.bodies["ingress"]["Outputs"]
        name = next(name for name, output in outputs.items() if value in str(output["Value"]))
        outputs[name]["Value"] = "something else"

    return spoil


def _ipv6_subnets(name: str, value: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        for subnet in templates.resources("AWS::EC2::Subnet"):
            subnet["Properties"][name] = value

    return spoil


_one = load_balancer.there_is_one_load_balancer
_listener = load_balancer.one_listener_passes_tcp_through
_times = load_balancer.times_of_the_health_check_fit
_cross = load_balancer.every_zone_is_served_from_every_zone
_spans = load_balancer.the_load_balancer_spans_zones
_scheme = load_balancer.the_scheme_is_said_and_fits_the_subnets
_name = load_balancer.the_load_balancer_has_no_name_of_its_own
_offered = load_balancer.the_load_balancers_name_is_offered
_alias = load_balancer.names_of_the_ingress_are_aliases
_ipv6 = load_balancer.nothing_promises_ipv6
_zones = load_balancer.subnets_name_their_zone

CASES = [
    Case(_one, removed(BALANCER), "", "a Classic Load Balancer"),
    Case(_one, _second_balancer, "ingress.Second"),
    Case(_one, _network_balancer, "ingress.Network", "second way in"),
    Case(_listener, _second_listener, f"{PROPERTIES}.Listeners", "2 listeners"),
    Case(_listener, balancer("Listeners", []), f"{PROPERTIES}.Listeners"),
    Case(_listener, balancer("Listeners", ...), f"{PROPERTIES}.Listeners"),
    Case(_listener, balancer("Listeners.0.LoadBalancerPort", "8443"), f"{PROPERTIES}.Listeners.0.LoadBalancerPort"),
    Case(_listener, balancer("Listeners.0.Protocol", "SSL"), f"{PROPERTIES}.Listeners.0.Protocol", '"SSL"'),
    Case(_listener, balancer("Listeners.0.Protocol", "HTTPS"), f"{PROPERTIES}.Listeners.0.Protocol"),
    Case(_listener, balancer("Listeners.0.InstanceProtocol", "HTTP"), f"{PROPERTIES}.Listeners.0.InstanceProtocol"),
    Case(_listener, balancer("Listeners.0.InstanceProtocol", ...), f"{PROPERTIES}.Listeners.0.InstanceProtocol"),
    Case(_listener, balancer("Listeners.0.InstancePort", "0"), f"{PROPERTIES}.Listeners.0.InstancePort"),
    Case(_listener, balancer("Listeners.0.SSLCertificateId", "arn:x"), f"{PROPERTIES}.Listeners.0.SSLCertificateId"),
    Case(_listener, balancer("Listeners.0.PolicyNames", ["tls"]), f"{PROPERTIES}.Listeners.0.PolicyNames"),
    Case(_listener, _cookie, f"{PROPERTIES}.LBCookieStickinessPolicy"),
    Case(_listener, _tls_policy, f"{PROPERTIES}.Policies.1.PolicyType"),
    Case(load_balancer.health_is_checked_from_the_start, balancer("HealthCheck", ...), f"{PROPERTIES}.HealthCheck"),
    Case(load_balancer.health_is_checked_from_the_start, balancer("HealthCheck", "TCP:8443"), f"{PROPERTIES}.HealthC"),
    Case(_times, balancer("HealthCheck.Timeout", "10"), f"{PROPERTIES}.HealthCheck.Timeout", "less than"),
    Case(_times, balancer("HealthCheck.Timeout", "1"), f"{PROPERTIES}.HealthCheck.Timeout", "2 to 60"),
    Case(_times, balancer("HealthCheck.Interval", ...), f"{PROPERTIES}.HealthCheck.Interval", "nothing"),
    Case(_times, balancer("HealthCheck.Interval", "301"), f"{PROPERTIES}.HealthCheck.Interval", "5 to 300"),
    Case(_times, balancer("HealthCheck.Interval", "10s"), f"{PROPERTIES}.HealthCheck.Interval"),
    Case(_times, balancer("HealthCheck.Interval", "10.0"), f"{PROPERTIES}.HealthCheck.Interval"),
    Case(_times, balancer("HealthCheck.HealthyThreshold", 1), f"{PROPERTIES}.HealthCheck.HealthyThreshold"),
    Case(_times, balancer("HealthCheck.UnhealthyThreshold", 2.5), f"{PROPERTIES}.HealthCheck.UnhealthyThreshold"),
    Case(_cross, balancer("CrossZone", False), f"{PROPERTIES}.CrossZone"),
    Case(_cross, balancer("CrossZone", "false"), f"{PROPERTIES}.CrossZone"),
    Case(_cross, balancer("CrossZone", ...), f"{PROPERTIES}.CrossZone", "nothing"),
    Case(_spans, balancer("Subnets", ["subnet-0a1b2c3d"]), f"{PROPERTIES}.Subnets", "two zones"),
    Case(_spans, balancer("Subnets", ["subnet-0a1b2c3d", "subnet-0a1b2c3d"]), f"{PROPERTIES}.Subnets"),
    Case(_spans, balancer("Subnets", ...), f"{PROPERTIES}.Subnets"),
    Case(_spans, _in_one_zone, f"{PROPERTIES}.Subnets", "one subnet in each zone"),
    Case(_spans, balancer("AvailabilityZones", ["us-east-1a"]), f"{PROPERTIES}.AvailabilityZones"),
    Case(_scheme, balancer("Scheme", ...), f"{PROPERTIES}.Scheme"),
    Case(_scheme, balancer("Scheme", "public"), f"{PROPERTIES}.Scheme"),
    Case(_scheme, _in_private_subnets, f"{PROPERTIES}.Subnets.0", "a public subnet"),
    Case(_scheme, removed("AWS::EC2::Route"), f"{PROPERTIES}.Subnets.0", "no way out"),
    Case(_scheme, _way_to_one_network_alone, f"{PROPERTIES}.Subnets.0", "no way out"),
    Case(_scheme, _in_security_groups, f"{PROPERTIES}.Subnets.1", "a public subnet"),
    Case(_name, balancer("LoadBalancerName", "ingress"), f"{PROPERTIES}.LoadBalancerName", "no name"),
    Case(_name, balancer("LoadBalancerName", {"Fn::Sub": "ingress"}), f"{PROPERTIES}.LoadBalancerName", "no name"),
    Case(
        _name,
        balancer("LoadBalancerName", {"Fn::Sub": "${AWS::StackName}-load-balancer"}),
        f"{PROPERTIES}.LoadBalancerName",
        "at most 32",
    ),
    Case(_offered, _no_output("DNSName"), PLACE, "DNSName"),
    Case(_offered, _no_output("CanonicalHostedZoneNameID"), PLACE, "CanonicalHostedZoneNameID"),
    Case(_alias, record(Type="CNAME"), "ingress.Record.Properties.Type", "CNAME"),
    Case(_alias, record(AliasTarget=..., ResourceRecords=["192.0.2.1"]), "ingress.Record.Properties.Type"),
    Case(_alias, _record_group, "ingress.Record.Properties.RecordSets.0.Type"),
    Case(_alias, record(HostedZoneId="Z35SXDOTRQ7X7K"), "ingress.Record.Properties.AliasTarget.HostedZoneId"),
    Case(_alias, record(DNSName="a.us-east-1.elb.amazonaws.com"), "ingress.Record.Properties.AliasTarget.DNSName"),
    Case(
        _alias,
        record(HostedZoneId={"Fn::GetAtt": ["LoadBalancer", "CanonicalHostedZoneName"]}),
        "ingress.Record.Properties.AliasTarget.HostedZoneId",
    ),
    Case(
        _alias,
        record(DNSName={"Fn::GetAtt": ["LoadBalancer", "CanonicalHostedZoneNameID"]}),
        "ingress.Record.Properties.AliasTarget.DNSName",
        "DNSName of the load balancer",
    ),
    Case(_ipv6, record(Type="AAAA"), "ingress.Record.Properties.Type", "AAAA"),
    Case(
        _ipv6, record(DNSName={"Fn::Sub": "dualstack.${LoadBalancer.DNSName}"}), "ingress.Record.Properties.AliasTarget"
    ),
    Case(_ipv6, _ipv6_subnets("AssignIpv6AddressOnCreation", True), "network.PublicSubnetA"),
    Case(_ipv6, _ipv6_subnets("Ipv6CidrBlock", "2001:db8::/64"), "network.PublicSubnetA"),
    Case(_zones, _zone({"Fn::Select": [0, {"Fn::GetAZs": ""}]}), "network.", "GetAZs"),
    Case(_zones, _zone(...), "network.", "a zone of us-east-1"),
    Case(_zones, _zone("us-west-2a"), "network.", "us-west-2a"),
    Case(load_balancer.the_load_balancers_name_is_offered, _outputs_crossed, PLACE, "under that name"),
]


def test_an_alias_by_its_own_names_is_right() -> None:
    templates = Templates.of()
    record()(templates)

    assert _alias(templates.estate()) == []
    assert _ipv6(templates.estate()) == []


def test_a_zone_may_be_said_by_its_id() -> None:
    templates = Templates.of()
    for subnet in templates.resources("AWS::EC2::Subnet"):
        del subnet["Properties"]["AvailabilityZone"]
        subnet["Properties"]["AvailabilityZoneId"] = "use1-az4"

    assert _zones(templates.estate()) == []


def test_a_derived_name_that_fits_is_right() -> None:
    """A short stack name leaves room; what is derived changes with the stack."""
    templates = Templates.of()
    balancer("LoadBalancerName", {"Fn::Sub": "lb-${AWS::AccountId}"})(templates)

    assert _name(templates.estate()) == []


def test_an_internal_load_balancer_may_stand_in_private_subnets() -> None:
    templates = Templates.of()
    _in_private_subnets(templates)
    balancer("Scheme", "internal")(templates)

    assert _scheme(templates.estate()) == []
