"""
The ingress: a Classic Load Balancer that passes TCP 443 through to the service untouched.

It adds one thing, a PROXY protocol header that says where a connection came
from; the service believes it because nobody else can reach its port.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Final

from troposphere import GetAtt, Ref, Tags, Template
from troposphere.ec2 import SecurityGroup, SecurityGroupEgress, SecurityGroupIngress, SecurityGroupRule
from troposphere.elasticloadbalancing import (
    AccessLoggingPolicy,
    ConnectionDrainingPolicy,
    ConnectionSettings,
    HealthCheck,
    Listener,
    LoadBalancer,
    Policy,
    PolicyItem,
)
from troposphere.route53 import RecordSetType
from troposphere.validators.route53 import AliasTarget

from service.contract import HEALTH_PATH, HEALTH_PORT, PUBLIC_PORT, TRAFFIC_PORT
from stacks.agreement.addresses import is_wide
from stacks.environment import HEALTHY_THRESHOLD, UNHEALTHY_THRESHOLD, Environment
from stacks.naming import Output
from stacks.templates.joints import begin, offer, take
from stacks.templates.log_delivery import LOAD_BALANCER_LOG_PREFIX

_TRAFFIC: Final = "TLS and PROXY header"
_HEALTH: Final = "health checks"
_TLS_PORT: Final = 443
_LOOPBACK: Final = IPv4Network("127.0.0.1/32")


def build(environment: Environment) -> Template:
    """Build the template of the load balancer, and of the security groups on both of its sides."""
    template = begin(environment, "the load balancer")
    vpc = take(template, environment, Output.VPC_ID)
    load_balancer_group = template.add_resource(_load_balancer_security_group(environment, vpc))
    instance_group = template.add_resource(_instance_security_group(environment, vpc))
    for egress, ingress, port, what in (
        ("TrafficEgress", "TrafficIngress", TRAFFIC_PORT, _TRAFFIC),
        ("HealthEgress", "HealthIngress", HEALTH_PORT, _HEALTH),
    ):
        template.add_resource(_egress(egress, port, what))
        template.add_resource(_ingress(ingress, port, what))
    load_balancer = template.add_resource(_load_balancer(template, environment, load_balancer_group))
    if environment.ingress.hosted_zone_id is not None:
        template.add_resource(_alias(environment.ingress.host_name, environment.ingress.hosted_zone_id))
    offer(template, Output.LOAD_BALANCER_NAME, Ref(load_balancer))
    offer(template, Output.LOAD_BALANCER_DNS_NAME, GetAtt(load_balancer, "DNSName"))
    offer(template, Output.LOAD_BALANCER_ZONE_ID, GetAtt(load_balancer, "CanonicalHostedZoneNameID"))
    offer(template, Output.INSTANCE_SECURITY_GROUP_ID, GetAtt(instance_group, "GroupId"))
    return template


def _load_balancer_security_group(environment: Environment, vpc: Ref) -> SecurityGroup:
    return SecurityGroup(
        "LoadBalancerSecurityGroup",
        GroupDescription="The load balancer: partners in, container instances out",
        VpcId=vpc,
        SecurityGroupIngress=[
            SecurityGroupRule(
                IpProtocol="tcp",
                FromPort=PUBLIC_PORT,
                ToPort=PUBLIC_PORT,
                CidrIp=str(partner),
                Description=_whom(partner),
            )
            for partner in environment.ingress.partner_cidrs
        ],
        # A group without a rule of its own here gets one from AWS that allows everything.
        SecurityGroupEgress=[
            SecurityGroupRule(
                IpProtocol="tcp",
                FromPort=1,
                ToPort=1,
                CidrIp="127.0.0.1/32",
                Description="Nowhere, in place of everywhere",
            )
        ],
        Tags=Tags(Name=f"{environment.project}-{environment.name}-load-balancer"),
    )


def _instance_security_group(environment: Environment, vpc: Ref) -> SecurityGroup:
    return SecurityGroup(
        "InstanceSecurityGroup",
        GroupDescription="Container instances: the load balancer in, AWS out",
        VpcId=vpc,
        SecurityGroupEgress=[
            SecurityGroupRule(
                IpProtocol="tcp", FromPort=_TLS_PORT, ToPort=_TLS_PORT, CidrIp="0.0.0.0/0", Description="AWS over TLS"
            ),
            *_upstream_egress(environment),
        ],
        Tags=Tags(Name=f"{environment.project}-{environment.name}-instance"),
    )


def _whom(partner: IPv4Network) -> str:
    """Say in a rule's description who comes through it; what is open to all says so, and nobody overlooks it."""
    return "Everybody, as the environment says" if is_wide(partner) else "Partners"


def _upstream_egress(environment: Environment) -> list[SecurityGroupRule]:
    """
    Let tasks out to what they forward to, and to nobody else on its port.

    On this machine the upstream is beside the tasks, and nothing more is opened
    than the port of loopback.
    """
    facts = environment.service
    port = facts.upstream_port
    if port in {None, _TLS_PORT}:
        return []
    networks = facts.upstream_cidrs or ((_LOOPBACK,) if facts.upstream_security_group is None else ())
    to: list[dict[str, str]] = [{"CidrIp": str(network)} for network in networks]
    if facts.upstream_security_group is not None:
        to.append({"DestinationSecurityGroupId": facts.upstream_security_group})
    return [
        SecurityGroupRule(IpProtocol="tcp", FromPort=port, ToPort=port, Description="The upstream", **whom)
        for whom in to
    ]


def _egress(title: str, port: int, what: str) -> SecurityGroupEgress:
    return SecurityGroupEgress(
        title,
        GroupId=GetAtt("LoadBalancerSecurityGroup", "GroupId"),
        DestinationSecurityGroupId=GetAtt("InstanceSecurityGroup", "GroupId"),
        IpProtocol="tcp",
        FromPort=port,
        ToPort=port,
        Description=f"To container instances: {what}",
    )


def _ingress(title: str, port: int, what: str) -> SecurityGroupIngress:
    return SecurityGroupIngress(
        title,
        GroupId=GetAtt("InstanceSecurityGroup", "GroupId"),
        SourceSecurityGroupId=GetAtt("LoadBalancerSecurityGroup", "GroupId"),
        IpProtocol="tcp",
        FromPort=port,
        ToPort=port,
        Description=f"From the load balancer: {what}",
    )


def _load_balancer(template: Template, environment: Environment, security_group: SecurityGroup) -> LoadBalancer:
    facts = environment.ingress
    return LoadBalancer(
        "LoadBalancer",
        Scheme="internet-facing",
        Subnets=take(template, environment, Output.PUBLIC_SUBNET_IDS),
        SecurityGroups=[GetAtt(security_group, "GroupId")],
        CrossZone=True,
        Listeners=[
            Listener(
                LoadBalancerPort=str(PUBLIC_PORT),
                Protocol="TCP",
                InstancePort=str(TRAFFIC_PORT),
                InstanceProtocol="TCP",
            )
        ],
        Policies=[
            Policy(
                PolicyName="ProxyProtocol",
                PolicyType="ProxyProtocolPolicyType",
                Attributes=[PolicyItem(Name="ProxyProtocol", Value="true")],
                InstancePorts=[str(TRAFFIC_PORT)],
            )
        ],
        # A second port: the load balancer has no client certificate, and sends no PROXY header with HTTP checks.
        HealthCheck=HealthCheck(
            Target=f"HTTP:{HEALTH_PORT}{HEALTH_PATH}",
            Interval=str(facts.health_check_interval_seconds),
            Timeout=str(facts.health_check_timeout_seconds),
            HealthyThreshold=str(HEALTHY_THRESHOLD),
            UnhealthyThreshold=str(UNHEALTHY_THRESHOLD),
        ),
        ConnectionSettings=ConnectionSettings(IdleTimeout=facts.idle_timeout_seconds),
        ConnectionDrainingPolicy=ConnectionDrainingPolicy(Enabled=True, Timeout=facts.draining_seconds),
        AccessLoggingPolicy=AccessLoggingPolicy(
            Enabled=True,
            EmitInterval=facts.access_log_interval_minutes,
            S3BucketName=take(template, environment, Output.LOG_BUCKET_NAME),
            S3BucketPrefix=LOAD_BALANCER_LOG_PREFIX,
        ),
    )


def _alias(host_name: str, hosted_zone_id: str) -> RecordSetType:
    return RecordSetType(
        "HostNameAlias",
        Name=f"{host_name}.",
        Type="A",
        HostedZoneId=hosted_zone_id,
        AliasTarget=AliasTarget(  # type: ignore[no-untyped-call]  # troposphere ships no types
            DNSName=GetAtt("LoadBalancer", "DNSName"),
            HostedZoneId=GetAtt("LoadBalancer", "CanonicalHostedZoneNameID"),
            EvaluateTargetHealth=False,
        ),
    )
