"""The load balancer passes TCP through, says where it came from, and asks on a second port whether all is well."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from service.contract import HEALTH_PATH, HEALTH_PORT, PUBLIC_PORT, TRAFFIC_PORT
from stacks.catalog import assemble
from tests.stacks.environments import NAMES, catalog, changed, environment
from tests.stacks.templates.reading import of_type, properties, resource

pytestmark = pytest.mark.parametrize("name", NAMES)


def test_one_listener_passes_tcp_through(name: str) -> None:
    load_balancer = properties(catalog(name), "ingress", "LoadBalancer")

    assert load_balancer["Listeners"] == [
        {
            "LoadBalancerPort": str(PUBLIC_PORT),
            "Protocol": "TCP",
            "InstancePort": str(TRAFFIC_PORT),
            "InstanceProtocol": "TCP",
        }
    ]


def test_the_proxy_header_goes_to_the_traffic_port_alone(name: str) -> None:
    load_balancer = properties(catalog(name), "ingress", "LoadBalancer")

    (policy,) = load_balancer["Policies"]

    assert policy["PolicyType"] == "ProxyProtocolPolicyType"
    assert policy["Attributes"] == [{"Name": "ProxyProtocol", "Value": "true"}]
    assert policy["InstancePorts"] == [str(TRAFFIC_PORT)]


def test_health_is_asked_over_http_on_a_second_port(name: str) -> None:
    check = properties(catalog(name), "ingress", "LoadBalancer")["HealthCheck"]

    assert check["Target"] == f"HTTP:{HEALTH_PORT}{HEALTH_PATH}"
    assert 2 <= int(check["Timeout"]) < int(check["Interval"]) <= 300
    assert (check["HealthyThreshold"], check["UnhealthyThreshold"]) == ("2", "2")


def test_every_zone_is_served_from_every_zone(name: str) -> None:
    load_balancer = properties(catalog(name), "ingress", "LoadBalancer")

    assert load_balancer["Scheme"] == "internet-facing"
    assert load_balancer["CrossZone"] is True
    assert load_balancer["Subnets"] == {"Ref": "PublicSubnetIds"}


def test_no_name_is_fixed_that_would_block_a_replacement(name: str) -> None:
    assert "LoadBalancerName" not in properties(catalog(name), "ingress", "LoadBalancer")


def test_connections_are_drained_and_idle_ones_cut_after_the_service_closed_them(name: str) -> None:
    facts, load_balancer = environment(name).ingress, properties(catalog(name), "ingress", "LoadBalancer")

    assert load_balancer["ConnectionDrainingPolicy"] == {"Enabled": True, "Timeout": facts.draining_seconds}
    assert load_balancer["ConnectionSettings"] == {"IdleTimeout": facts.idle_timeout_seconds}
    assert facts.service_idle_timeout_seconds < facts.idle_timeout_seconds


def test_access_is_logged_to_the_log_bucket(name: str) -> None:
    log = properties(catalog(name), "ingress", "LoadBalancer")["AccessLoggingPolicy"]

    assert log["Enabled"] is True
    assert log["EmitInterval"] in {5, 60}
    assert log["S3BucketName"] == {"Ref": "LogBucketName"}
    assert "AWSLogs" not in log["S3BucketPrefix"]


def test_partners_alone_come_in_and_on_one_port(name: str) -> None:
    group = properties(catalog(name), "ingress", "LoadBalancerSecurityGroup")

    assert [(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupIngress"]] == [
        (PUBLIC_PORT, PUBLIC_PORT)
    ] * len(environment(name).ingress.partner_cidrs)
    assert {IPv4Network(rule["CidrIp"]) for rule in group["SecurityGroupIngress"]} == set(
        environment(name).ingress.partner_cidrs
    )


def test_the_load_balancer_reaches_container_instances_alone(name: str) -> None:
    (inline,) = properties(catalog(name), "ingress", "LoadBalancerSecurityGroup")["SecurityGroupEgress"]
    rules = of_type(catalog(name), "AWS::EC2::SecurityGroupEgress").values()

    assert inline["CidrIp"] == "127.0.0.1/32"  # in the place of the rule AWS would add
    assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == {
        (TRAFFIC_PORT, TRAFFIC_PORT),
        (HEALTH_PORT, HEALTH_PORT),
    }
    assert {str(rule["DestinationSecurityGroupId"]) for rule in rules} == {
        str({"Fn::GetAtt": ["InstanceSecurityGroup", "GroupId"]})
    }


def test_container_instances_hear_the_load_balancer_alone(name: str) -> None:
    """The PROXY header is believed, so nobody else may reach the port that reads it (E7)."""
    group = properties(catalog(name), "ingress", "InstanceSecurityGroup")
    rules = of_type(catalog(name), "AWS::EC2::SecurityGroupIngress").values()

    assert "SecurityGroupIngress" not in group
    assert {rule["FromPort"] for rule in rules} == {TRAFFIC_PORT, HEALTH_PORT}
    assert all(rule["SourceSecurityGroupId"]["Fn::GetAtt"][0] == "LoadBalancerSecurityGroup" for rule in rules)
    assert all("CidrIp" not in rule for rule in rules)


def test_container_instances_speak_tls_to_aws_and_nothing_else(name: str) -> None:
    (rule,) = properties(catalog(name), "ingress", "InstanceSecurityGroup")["SecurityGroupEgress"]

    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


def _forwarding(name: str, upstream: str, **way: object) -> list[dict[str, object]]:
    """Give the instances' ways out where requests are forwarded."""
    facts = environment(name)
    service = replace(facts.service, forward_to=upstream, **way)  # type: ignore[arg-type]  # fields by their names
    forwarding = assemble(replace(facts, service=service))
    found: list[dict[str, object]] = properties(forwarding, "ingress", "InstanceSecurityGroup")["SecurityGroupEgress"]
    return found


def test_an_upstream_is_let_out_to_by_its_networks_and_port(name: str) -> None:
    """Else every request that is forwarded would wait for a connection that cannot come."""
    networks = (IPv4Network("10.9.0.0/24"), IPv4Network("10.9.8.0/24"))

    _, *upstream = _forwarding(name, "http://a.internal:8080", upstream_cidrs=networks)

    assert [(rule["FromPort"], rule["ToPort"]) for rule in upstream] == [(8080, 8080)] * 2
    assert [rule["CidrIp"] for rule in upstream] == ["10.9.0.0/24", "10.9.8.0/24"]


def test_an_upstream_is_let_out_to_by_its_group(name: str) -> None:
    _, upstream = _forwarding(name, "http://a.internal", upstream_security_group="sg-0123456789abcdef0")

    assert (upstream["FromPort"], upstream["ToPort"]) == (80, 80)
    assert upstream["DestinationSecurityGroupId"] == "sg-0123456789abcdef0"
    assert "CidrIp" not in upstream


def test_an_upstream_without_a_network_is_on_this_machine(name: str) -> None:
    """Only the local environment may leave it out; the world is opened to nobody."""
    _, upstream = _forwarding(name, "http://127.0.0.1:9000")

    assert (upstream["FromPort"], upstream["CidrIp"]) == (9000, "127.0.0.1/32")


def test_an_upstream_on_the_port_of_tls_needs_no_more(name: str) -> None:
    assert len(_forwarding(name, "http://a.internal:443")) == 1


def test_who_opens_the_ingress_to_all_reads_so_at_the_rule(name: str) -> None:
    facts = environment(name).ingress
    everybody = replace(facts, partner_cidrs=(IPv4Network("0.0.0.0/0"),), open_to_the_internet=True)
    opened = assemble(replace(environment(name), ingress=everybody))

    (rule,) = properties(opened, "ingress", "LoadBalancerSecurityGroup")["SecurityGroupIngress"]

    assert rule["CidrIp"] == "0.0.0.0/0"
    assert rule["Description"].startswith("Everybody")


def test_the_host_name_is_an_alias_where_the_zone_is_ours(name: str) -> None:
    with_zone = assemble(changed(("[capacity]", 'hosted_zone_id = "Z0123456789ABC"\n\n[capacity]'), name=name))

    alias = resource(with_zone, "ingress", "HostNameAlias")["Properties"]

    assert alias["Name"] == f"{environment(name).ingress.host_name}."
    assert alias["AliasTarget"]["DNSName"] == {"Fn::GetAtt": ["LoadBalancer", "DNSName"]}
    assert not of_type(catalog(name), "AWS::Route53::RecordSet")
