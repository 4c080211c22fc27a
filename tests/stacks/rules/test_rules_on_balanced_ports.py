"""What load balancer, security groups, task definition and container must say alike."""

from __future__ import annotations

import copy
from typing import Any

from service.contract import Variable
from stacks.rules import balanced_ports
from tests.stacks.rules.cases import Case, Spoil, Templates, put
from tests.stacks.rules.test_rules_on_load_balancer import BALANCER, PROPERTIES, balancer

TASK = "AWS::ECS::TaskDefinition"
CONTAINER = "workload.TaskDefinition.Properties.ContainerDefinitions.0"
GROUP = "AWS::EC2::SecurityGroup"
INGRESS = f"{GROUP}Ingress"
EGRESS = f"{GROUP}Egress"


def container(path: str, value: object) -> Spoil:
    """Set a property of the container."""
    return put(TASK, f"ContainerDefinitions.0.{path}", value)


def variable(name: Variable, value: object) -> Spoil:
    """Set a variable of the container; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        definition = templates.properties(TASK)["ContainerDefinitions"][0]
        kept = [each for each in definition["Environment"] if each["Name"] != name]
        definition["Environment"] = kept if value is ... else [*kept, {"Name": str(name), "Value": value}]

    return spoil


def _said_twice(name: Variable, value: object) -> Spoil:
    """Set a variable once more, to something else; which one counts is Docker's secret."""

    def spoil(templates: Templates) -> None:
        definition = templates.properties(TASK)["ContainerDefinitions"][0]
        definition["Environment"].append({"Name": str(name), "Value": value})

    return spoil


def _ports_crossed(templates: Templates) -> None:
    one, other = templates.properties(TASK)["ContainerDefinitions"][0]["PortMappings"]
    one["ContainerPort"], other["ContainerPort"] = other["ContainerPort"], one["ContainerPort"]


def rule_of_instances(**said: object) -> Spoil:
    """Let somebody else in to the instances, by a resource of its own."""

    def spoil(templates: Templates) -> None:
        properties: dict[str, Any] = {
            "GroupId": {"Ref": "InstanceSecurityGroup"},
            "IpProtocol": "tcp",
            "FromPort": 8443,
            "ToPort": 8443,
            "Description": "Somebody else",
        }
        whole = {name: value for name, value in (properties | said).items() if value is not ...}
        templates.bodies["ingress"]["Resources"]["Other"] = {"Type": INGRESS, "Properties": whole}

    return spoil


def inline(logical_id: str, **said: object) -> Spoil:
    """Let somebody in to a group of the ingress, inside the group."""

    def spoil(templates: Templates) -> None:
        properties = templates.bodies["ingress"]["Resources"][logical_id]["Properties"]
        rule = {"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443, "Description": "Somebody else"} | said
        properties.setdefault("SecurityGroupIngress", []).append(rule)

    return spoil


def _without(resource_type: str, port: int) -> Spoil:
    def spoil(templates: Templates) -> None:
        body = templates.bodies["ingress"]
        found = body["Resources"]
        body["Resources"] = {
            name: each
            for name, each in found.items()
            if not (each["Type"] == resource_type and each["Properties"]["FromPort"] == port)
        }

    return spoil


def worn(path: str, value: object) -> Spoil:
    """Put the instances into other security groups."""
    return put("AWS::EC2::LaunchTemplate", f"LaunchTemplateData.{path}", value)


def _second_group(templates: Templates) -> None:
    """Put the instances into a group of the templates that is open, beside their own."""
    resources = templates.bodies["ingress"]["Resources"]
    rule = {"IpProtocol": "-1", "CidrIp": "10.0.0.0/8", "Description": "Operators"}
    resources["OperatorsGroup"] = copy.deepcopy(resources["InstanceSecurityGroup"])
    resources["OperatorsGroup"]["Properties"]["SecurityGroupIngress"] = [rule]
    templates.bodies["ingress"]["Outputs"]["OperatorsGroupId"] = {"Value": {"Ref": "OperatorsGroup"}}
    templates.bodies["capacity"]["Parameters"]["OperatorsGroupId"] = {"Type": "String"}
    interface = templates.properties("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["NetworkInterfaces"][0]
    interface["Groups"].append({"Ref": "OperatorsGroupId"})


def _wear_the_balancers(templates: Templates) -> None:
    templates.bodies["ingress"]["Outputs"]["BalancersGroupId"] = {"Value": {"Ref": "LoadBalancerSecurityGroup"}}
    templates.bodies["capacity"]["Parameters"]["BalancersGroupId"] = {"Type": "String"}
    interface = templates.properties("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["NetworkInterfaces"][0]
    interface["Groups"].append({"Ref": "BalancersGroupId"})


def _vpc_for_group(templates: Templates) -> None:
    output = templates.bodies["ingress"]["Outputs"]["InstanceSecurityGroupId"]
    output["Value"] = {"Fn::GetAtt": ["InstanceSecurityGroup", "VpcId"]}


def _second_proxy_policy(templates: Templates) -> None:
    policies = templates.properties(BALANCER)["Policies"]
    policies.append(policies[0] | {"PolicyName": "Health", "InstancePorts": ["8080"]})


_listener = balanced_ports.the_listeners_port_is_the_containers
_target = balanced_ports.health_is_asked_over_http_on_a_port_of_its_own
_health = balanced_ports.the_health_port_is_the_containers
_through = balanced_ports.security_groups_let_the_load_balancer_through
_nobody = balanced_ports.nobody_else_reaches_the_traffic_port
_alone = balanced_ports.nothing_else_is_in_the_load_balancers_group
_known = balanced_ports.every_group_of_an_instance_is_known
_header = balanced_ports.the_proxy_header_goes_to_the_listeners_port
_demand = balanced_ports.the_service_demands_the_proxy_header
_drained = balanced_ports.connections_are_drained
_drain_fits = balanced_ports.draining_fits_the_end_of_a_task
_idle = balanced_ports.the_idle_timeout_is_said
_closes = balanced_ports.the_service_closes_before_the_load_balancer
_INSTANCE_PORT = f"{PROPERTIES}.Listeners.0.InstancePort"
_TARGET_PATH = f"{PROPERTIES}.HealthCheck.Target"
_DRAIN_PATH = f"{PROPERTIES}.ConnectionDrainingPolicy"
_IDLE_PATH = f"{PROPERTIES}.ConnectionSettings.IdleTimeout"

CASES = [
    Case(_listener, balancer("Listeners.0.InstancePort", "9443"), _INSTANCE_PORT, "8443"),
    Case(_listener, container("PortMappings.0.HostPort", 0), _INSTANCE_PORT),
    Case(_listener, container("PortMappings.0.HostPort", ...), _INSTANCE_PORT),
    Case(_listener, container("PortMappings.0.HostPort", 9443), _INSTANCE_PORT, "9443"),
    Case(_listener, container("PortMappings.0.Protocol", "udp"), _INSTANCE_PORT),
    Case(_listener, container("PortMappings", ...), _INSTANCE_PORT, "none"),
    Case(_listener, container("PortMappings.0.ContainerPort", 9443), f"{CONTAINER}.Environment", "9443"),
    Case(_listener, variable(Variable.TRAFFIC_PORT, "9443"), f"{CONTAINER}.Environment", "9443"),
    Case(_listener, variable(Variable.TRAFFIC_PORT, ...), f"{CONTAINER}.Environment", "None"),
    Case(_target, balancer("HealthCheck.Target", "TCP:8443"), _TARGET_PATH),
    Case(_target, balancer("HealthCheck.Target", "SSL:8443"), _TARGET_PATH),
    Case(_target, balancer("HealthCheck.Target", "TPC:8443"), _TARGET_PATH),
    Case(_target, balancer("HealthCheck.Target", "HTTP:8080"), _TARGET_PATH),
    Case(_target, balancer("HealthCheck.Target", "http:8080/healthz"), _TARGET_PATH),
    Case(_target, balancer("HealthCheck.Target", "HTTP:8080/health"), _TARGET_PATH, "/healthz"),
    Case(_target, balancer("HealthCheck.Target", "HTTP:8443/healthz"), _TARGET_PATH, "another one"),
    Case(_target, balancer("HealthCheck.Target", "HTTPS:8080/healthz"), _TARGET_PATH),
    Case(_target, balancer("HealthCheck.Target", ...), _TARGET_PATH, "nothing"),
    Case(_health, balancer("HealthCheck.Target", "HTTP:8081/healthz"), _TARGET_PATH, "8081"),
    Case(_health, container("PortMappings.1.HostPort", 0), _TARGET_PATH),
    Case(_health, container("PortMappings.1.ContainerPort", 8081), f"{CONTAINER}.Environment", "8081"),
    Case(_health, variable(Variable.HEALTH_PORT, "8081"), f"{CONTAINER}.Environment", "MTLS_HEALTH_PORT = 8081"),
    Case(_through, _without(EGRESS, 8443), "ingress.LoadBalancerSecurityGroup", "port 8443 out of"),
    Case(_through, _without(EGRESS, 8080), "ingress.LoadBalancerSecurityGroup", "port 8080 out of"),
    Case(_through, _without(INGRESS, 8443), "ingress.InstanceSecurityGroup", "port 8443 into"),
    Case(_through, _without(INGRESS, 8080), "ingress.InstanceSecurityGroup", "port 8080 into"),
    Case(_through, put(EGRESS, "IpProtocol", "udp"), "ingress.LoadBalancerSecurityGroup"),
    Case(_through, put(INGRESS, "FromPort", 9443), "ingress.InstanceSecurityGroup"),
    Case(
        _through,
        put(EGRESS, "DestinationSecurityGroupId", {"Ref": "LoadBalancerSecurityGroup"}),
        "ingress.LoadBalancerSecurityGroup",
    ),
    Case(_through, balancer("SecurityGroups", ...), "ingress.LoadBalancer", "out of the load balancer"),
    Case(_nobody, rule_of_instances(CidrIp="0.0.0.0/0"), "ingress.Other", "0.0.0.0/0"),
    Case(_nobody, rule_of_instances(CidrIp="10.21.0.0/16", FromPort=8000, ToPort=9000), "ingress.Other"),
    Case(_nobody, rule_of_instances(CidrIp="10.21.0.0/16", FromPort=0, ToPort=65535), "ingress.Other"),
    Case(_nobody, rule_of_instances(CidrIp="10.21.0.0/16", IpProtocol="-1", FromPort=..., ToPort=...), "ingress.Other"),
    Case(_nobody, rule_of_instances(CidrIp="10.21.0.0/16", IpProtocol=-1), "ingress.Other"),
    Case(_nobody, rule_of_instances(CidrIp="10.21.0.0/16", IpProtocol="6"), "ingress.Other"),
    Case(_nobody, rule_of_instances(CidrIpv6="::/0"), "ingress.Other", "CidrIpv6"),
    Case(_nobody, rule_of_instances(SourcePrefixListId="pl-0123"), "ingress.Other", "pl-0123"),
    Case(_nobody, rule_of_instances(SourceSecurityGroupId="sg-0123"), "ingress.Other"),
    Case(_nobody, rule_of_instances(SourceSecurityGroupId={"Ref": "InstanceSecurityGroup"}), "ingress.Other", "sg-"),
    Case(
        _nobody,
        rule_of_instances(SourceSecurityGroupId={"Ref": "LoadBalancerSecurityGroup"}, CidrIp="10.0.0.0/8"),
        "ingress.Other",
    ),
    Case(
        _nobody,
        inline("InstanceSecurityGroup", CidrIp="10.21.0.0/16"),
        "ingress.InstanceSecurityGroup.Properties.SecurityGroupIngress.0",
    ),
    Case(_nobody, _second_group, "ingress.OperatorsGroup.Properties.SecurityGroupIngress.0", "10.0.0.0/8"),
    Case(_alone, _wear_the_balancers, "capacity.LaunchTemplate.Properties.LaunchTemplateData.NetworkInterfaces"),
    Case(_known, worn("NetworkInterfaces.0.Groups", ["sg-0123"]), "capacity.LaunchTemplate.Properties.Launch", "sg-"),
    Case(_known, worn("SecurityGroupIds", ["sg-0123"]), "capacity.LaunchTemplate.Properties.LaunchTemplateData.Sec"),
    Case(_known, worn("NetworkInterfaces.0.Groups", ...), "capacity.LaunchTemplate", "default"),
    Case(_known, balancer("SecurityGroups", []), "ingress.LoadBalancer", "default"),
    Case(_header, balancer("Policies", ...), f"{PROPERTIES}.Policies", "none"),
    Case(_header, balancer("Policies.0.InstancePorts", ["8080"]), f"{PROPERTIES}.Policies.0.InstancePorts"),
    Case(_header, balancer("Policies.0.InstancePorts", ["8443", "8080"]), f"{PROPERTIES}.Policies.0.InstancePorts"),
    Case(_header, balancer("Policies.0.InstancePorts", ...), f"{PROPERTIES}.Policies.0.InstancePorts"),
    Case(_header, _second_proxy_policy, f"{PROPERTIES}.Policies", "found 2"),
    Case(_header, balancer("Policies.0.Attributes.0.Value", "false"), f"{PROPERTIES}.Policies.0.Attributes"),
    Case(_header, balancer("Policies.0.Attributes", ...), f"{PROPERTIES}.Policies.0.Attributes"),
    Case(_header, balancer("Policies.0.Attributes", []), f"{PROPERTIES}.Policies.0.Attributes"),
    Case(_header, balancer("Policies.0.PolicyType", "ProxyProtocolPolicy"), f"{PROPERTIES}.Policies"),
    Case(_demand, variable(Variable.PROXY_PROTOCOL, "forbidden"), f"{CONTAINER}.Environment", "forbidden"),
    Case(_demand, _said_twice(Variable.PROXY_PROTOCOL, "forbidden"), f"{CONTAINER}.Environment", "and forbidden"),
    Case(_listener, _said_twice(Variable.TRAFFIC_PORT, "9443"), f"{CONTAINER}.Environment", "8443 and 9443"),
    Case(_listener, _ports_crossed, f"{CONTAINER}.Environment", "8080"),
    Case(_demand, variable(Variable.PROXY_PROTOCOL, ...), f"{CONTAINER}.Environment"),
    Case(_drained, balancer("ConnectionDrainingPolicy", ...), f"{_DRAIN_PATH}.Enabled"),
    Case(_drained, balancer("ConnectionDrainingPolicy.Enabled", "false"), f"{_DRAIN_PATH}.Enabled"),
    Case(_drained, balancer("ConnectionDrainingPolicy.Timeout", 7200), f"{_DRAIN_PATH}.Timeout", "1 to 3600"),
    Case(_drained, balancer("ConnectionDrainingPolicy.Timeout", ...), f"{_DRAIN_PATH}.Timeout"),
    Case(_drain_fits, balancer("ConnectionDrainingPolicy.Timeout", 300), f"{_DRAIN_PATH}.Timeout", "60 to 90"),
    Case(_drain_fits, balancer("ConnectionDrainingPolicy.Timeout", 30), f"{_DRAIN_PATH}.Timeout", "60 to 90"),
    Case(_drain_fits, container("StopTimeout", ...), f"{_DRAIN_PATH}.Timeout", "to 30"),
    Case(_idle, balancer("ConnectionSettings", ...), _IDLE_PATH),
    Case(_idle, balancer("ConnectionSettings.IdleTimeout", 5000), _IDLE_PATH),
    Case(_idle, balancer("ConnectionSettings.IdleTimeout", [60]), _IDLE_PATH),
    Case(_closes, variable(Variable.IDLE_TIMEOUT_SECONDS, "60"), f"{CONTAINER}.Environment", "less than"),
    Case(_closes, variable(Variable.IDLE_TIMEOUT_SECONDS, "soon"), f"{CONTAINER}.Environment"),
    Case(_closes, balancer("ConnectionSettings.IdleTimeout", 20), f"{CONTAINER}.Environment", "20 seconds"),
    Case(_header, balancer("Policies.0.PolicyName", ...), PROPERTIES),
    Case(
        _header,
        put(BALANCER, "Policies.0.LoadBalancerPorts", ["443"]),
        PROPERTIES,
        "LoadBalancerPorts",
    ),
    Case(balanced_ports.every_group_of_an_instance_is_known, _vpc_for_group, "capacity.LaunchTemplate"),
]


def test_without_a_word_the_service_closes_by_its_own_default() -> None:
    """50 seconds, which is before the load balancer's 60 and after 45."""
    templates = Templates.of()
    variable(Variable.IDLE_TIMEOUT_SECONDS, ...)(templates)

    assert _closes(templates.estate()) == []
    balancer("ConnectionSettings.IdleTimeout", 45)(templates)
    assert _closes(templates.estate())


def test_udp_reaches_no_tls() -> None:
    templates = Templates.of()
    rule_of_instances(CidrIp="10.21.0.0/16", IpProtocol="udp")(templates)

    assert _nobody(templates.estate()) == []
