"""
Real deployment mistakes, made one at a time in the real templates; each must be reported by the right requirement.

They are what other checkers were once tried on: of the first suite cfn-lint
caught 5 of 26 and no other tool one more; of the second cfn-lint, checkov and
parliament together missed 12 of 35.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from stacks.rules.book import RULES
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.linter import lint
from stacks.rules.rule import judge
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Document, Templates, put

LOAD_BALANCER = "AWS::ElasticLoadBalancing::LoadBalancer"
SERVICE = "AWS::ECS::Service"
TASKS = "AWS::ECS::TaskDefinition"
CONTAINER = "ContainerDefinitions.0"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
PROVIDER = "AWS::ECS::CapacityProvider"
LOG_GROUP = "AWS::Logs::LogGroup"
ALARM = "AWS::CloudWatch::Alarm"
BUCKET = "AWS::S3::Bucket"
BUCKET_POLICY = "AWS::S3::BucketPolicy"
TABLE = "AWS::DynamoDB::Table"
SUBNET = "AWS::EC2::Subnet"
LAUNCH_TEMPLATE = "AWS::EC2::LaunchTemplate"


@dataclass(frozen=True, slots=True)
class Mistake:
    """
    One mistake.

    Attributes:
        name: In a few words.
        requirement: Whose rule must report it; a linter's as `cfn-lint:E3002`.
        make: Makes it.
    """

    name: str
    requirement: str
    make: Callable[[Templates], object]


def several(*steps: Callable[[Templates], object]) -> Callable[[Templates], object]:
    def make(templates: Templates) -> None:
        for step in steps:
            step(templates)

    return make


def container(templates: Templates) -> Document:
    found: Document = templates.properties(TASKS)["ContainerDefinitions"][0]
    return found


def certificate_policy(templates: Templates) -> Document:
    """Give the policy of the bucket that the tasks read: the longest there is."""
    found = [each["Properties"]["PolicyDocument"] for each in templates.resources(BUCKET_POLICY)]
    return max(found, key=lambda document: len(document["Statement"]))


def condition_key(old: str, new: str) -> Callable[[Templates], object]:
    """Misspell a condition key of the certificate bucket's policy."""

    def make(templates: Templates) -> None:
        document = certificate_policy(templates)
        text = json.dumps(document["Statement"])
        assert old in text, old
        document["Statement"] = json.loads(text.replace(old, new))

    return make


def in_text(resource_type: str, old: str, new: str) -> Callable[[Templates], object]:
    """Replace a text everywhere in the first resource of a type that has it."""

    def make(templates: Templates) -> None:
        for resource in templates.resources(resource_type):
            text = json.dumps(resource["Properties"])
            if old in text:
                resource["Properties"] = json.loads(text.replace(old, new))
                return
        raise AssertionError(old)

    return make


def _host_port(port: int) -> Callable[[Templates], object]:
    return put(TASKS, f"{CONTAINER}.PortMappings.0.HostPort", port)


def _min_67(templates: Templates) -> None:
    templates.properties(SERVICE)["DesiredCount"] = 2
    templates.properties(SERVICE)["DeploymentConfiguration"].update(MinimumHealthyPercent=67, MaximumPercent=100)


def _min_100_max_100(templates: Templates) -> None:
    templates.properties(SERVICE)["DeploymentConfiguration"].update(MinimumHealthyPercent=100, MaximumPercent=100)


def _not_principal(templates: Templates) -> None:
    statement = certificate_policy(templates)["Statement"][0]
    del statement["Principal"]
    statement["NotPrincipal"] = {"AWS": "arn:aws:iam::111122223333:role/admin"}
    statement["Resource"] = "*"


def _protected_by_provider_alone(templates: Templates) -> None:
    templates.properties(PROVIDER)["AutoScalingGroupProvider"]["ManagedTerminationProtection"] = "ENABLED"


def _without_key_grants(templates: Templates, *services: str) -> None:
    for key in templates.resources("AWS::KMS::Key"):
        policy = key["Properties"]["KeyPolicy"]
        policy["Statement"] = [
            each
            for each in policy["Statement"]
            if not any(name in json.dumps(each.get("Principal")) for name in services)
        ]


def _public(templates: Templates) -> None:
    everything: Document = {
        "Sid": "Public",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "*",
    }
    certificate_policy(templates)["Statement"].append(everything)


def _ssh(templates: Templates) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0", "Description": "SSH"}
    for group in templates.resources("AWS::EC2::SecurityGroup"):
        group["Properties"].setdefault("SecurityGroupIngress", []).append(rule)


def _everything(templates: Templates) -> None:
    policy = templates.properties("AWS::IAM::ManagedPolicy")["PolicyDocument"]
    policy["Statement"].append({"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"})


def _ports_turned(templates: Templates) -> None:
    templates.properties("AWS::EC2::SecurityGroupIngress").update(FromPort=8443, ToPort=80)


def _overlapping(templates: Templates) -> None:
    one, other = templates.resources(SUBNET)[:2]
    other["Properties"]["CidrBlock"] = one["Properties"]["CidrBlock"]


def _import(templates: Templates) -> None:
    templates.properties(SERVICE)["Cluster"] = {"Fn::ImportValue": "cluster-of-nobody"}


def _dashboard(templates: Templates) -> None:
    templates.properties("AWS::CloudWatch::Dashboard")["DashboardBody"] = '{"widgets": ['


def _image_type(templates: Templates) -> None:
    (image,) = (
        facts
        for body in templates.bodies.values()
        for facts in body.get("Parameters", {}).values()
        if facts["Type"].startswith("AWS::SSM::")
    )
    image["Type"] = "AWS::SSM::Parameter::Value<AWS::EC2::Image:Id>"


def _without_effect(templates: Templates) -> None:
    del certificate_policy(templates)["Statement"][0]["Effect"]


def _unused_attribute(templates: Templates) -> None:
    templates.properties(TABLE)["AttributeDefinitions"].append({"AttributeName": "nobody", "AttributeType": "S"})


def _wait_for_each_other(templates: Templates) -> None:
    templates.resource(TASKS)["DependsOn"] = "Service"


FIRST_SUITE = [
    Mistake("awsvpc without network configuration", "S1", put(TASKS, "NetworkMode", "awsvpc")),
    Mistake("NotPrincipal", "K1", _not_principal),
    Mistake(
        "mistyped IAM action", "cfn-lint:W3037", in_text("AWS::IAM::ManagedPolicy", "s3:GetObject", "s3:GetObjekt")
    ),
    Mistake("tmpfs without a size", "S10", put(TASKS, f"{CONTAINER}.LinuxParameters.Tmpfs.0.Size", ...)),
    Mistake("log retention of no length", "CW_LOGGROUP_RETENTION_PERIOD_CHECK", put(LOG_GROUP, "RetentionInDays", 366)),
    Mistake("host port 0", "S2", _host_port(0)),
    Mistake("host port is not the balancer's", "E2", _host_port(9443)),
    Mistake("the balancer's container is not in the task", "E2", put(SERVICE, "LoadBalancers.0.ContainerName", "web")),
    Mistake("the balancer's container has no such port", "E2", put(SERVICE, "LoadBalancers.0.ContainerPort", 443)),
    Mistake("no task may stop and none start", "S5", _min_100_max_100),
    Mistake("two tasks of which 67 % must stay", "S5", _min_67),
    Mistake("launch type beside capacity provider", "S16", put(SERVICE, "LaunchType", "EC2")),
    Mistake("daemon", "S3", put(SERVICE, "SchedulingStrategy", "DAEMON")),
    Mistake("container health check", "S8", put(TASKS, f"{CONTAINER}.HealthCheck", {"Command": ["CMD", "true"]})),
    Mistake("zone rebalancing on", "S4", put(SERVICE, "AvailabilityZoneRebalancing", "ENABLED")),
    Mistake("zone rebalancing left to its default", "S4", put(SERVICE, "AvailabilityZoneRebalancing", ...)),
    Mistake("termination protection by the provider alone", "A2", _protected_by_provider_alone),
    Mistake("TCP in front, HTTP behind", "E1", put(LOAD_BALANCER, "Listeners.0.InstanceProtocol", "HTTP")),
    Mistake("PROXY policy on another port", "E6", put(LOAD_BALANCER, "Policies.0.InstancePorts", ["8080"])),
    Mistake("health timeout as long as its interval", "E5", put(LOAD_BALANCER, "HealthCheck.Timeout", "10")),
    Mistake("HTTP health check without a path", "E4", put(LOAD_BALANCER, "HealthCheck.Target", "HTTP:8080")),
    Mistake("access logs every 10 minutes", "E12", put(LOAD_BALANCER, "AccessLoggingPolicy.EmitInterval", 10)),
    Mistake("idle timeout over 4000 s", "E11", put(LOAD_BALANCER, "ConnectionSettings.IdleTimeout", 5000)),
    Mistake("draining over an hour", "E10", put(LOAD_BALANCER, "ConnectionDrainingPolicy.Timeout", 7200)),
    Mistake("no health check", "E3", put(LOAD_BALANCER, "HealthCheck", ...)),
    Mistake("misspelt condition key", "K7", condition_key("s3:TlsVersion", "s3:TLSVersion")),
    Mistake("no grant for alarms on the topic's key", "K16", lambda each: _without_key_grants(each, "cloudwatch.")),
    Mistake("no grant for events on the topic's key", "K16", lambda each: _without_key_grants(each, "events.")),
    Mistake("no grant for logs on their key", "K16", lambda each: _without_key_grants(each, "logs.")),
]
SECOND_SUITE = [
    Mistake("no protocol of the balancer", "E1", put(LOAD_BALANCER, "Listeners.0.Protocol", "UDP")),
    Mistake("unknown property", "cfn-lint:E3002", put(LOAD_BALANCER, "Colour", "blue")),
    Mistake("reference to nothing", "K18", put(LOAD_BALANCER, "Subnets", {"Ref": "Nobody"})),
    Mistake("no network", "cfn-lint:E3002", put(SUBNET, "CidrBlock", "10.300.0.0/20")),
    Mistake("overlapping subnets", "cfn-lint:E3060", _overlapping),
    Mistake("mistyped action", "cfn-lint:W3037", in_text("AWS::IAM::ManagedPolicy", "kms:Decrypt", "kms:Decrpyt")),
    Mistake("unknown condition operator", "K7", condition_key("StringNotEquals", "StringNotEqual")),
    Mistake("unused attribute", "cfn-lint:E3039", _unused_attribute),
    Mistake("more instances at least than at most", "A4", put(GROUP, "MinSize", "90")),
    Mistake("resources that wait for each other", "K18", _wait_for_each_other),
    Mistake("public bucket", "S3.2", _public),
    Mistake("log retention of 17 days", "CW_LOGGROUP_RETENTION_PERIOD_CHECK", put(LOG_GROUP, "RetentionInDays", 17)),
    Mistake("alarm without a metric", "O1", put(ALARM, "MetricName", ...)),
    Mistake("image looked up by a type that is none", "A11", _image_type),
    Mistake("statement without effect", "I4", _without_effect),
    Mistake("awsvpc with another host port", "S1", several(put(TASKS, "NetworkMode", "awsvpc"), _host_port(443))),
    Mistake("no public access block", "K12", put(BUCKET, "PublicAccessBlockConfiguration", ...)),
    Mistake("IMDSv1", "A12", put(LAUNCH_TEMPLATE, "LaunchTemplateData.MetadataOptions.HttpTokens", "optional")),
    Mistake("no access logs", "E12", put(LOAD_BALANCER, "AccessLoggingPolicy", ...)),
    Mistake("SSH open", "N2", _ssh),
    Mistake("everything allowed", "IAM.1", _everything),
    Mistake("no key rotation", "K17", put("AWS::KMS::Key", "EnableKeyRotation", False)),
    Mistake("PROXY policy on a port nobody listens on", "E6", put(LOAD_BALANCER, "Policies.0.InstancePorts", ["8444"])),
    Mistake("health timeout above its interval", "E5", put(LOAD_BALANCER, "HealthCheck.Timeout", 30)),
    Mistake("misspelt SecureTransport", "K6", condition_key("aws:SecureTransport", "aws:SecureTransprot")),
    Mistake("misspelt health target", "E4", put(LOAD_BALANCER, "HealthCheck.Target", "TPC:8443")),
    Mistake("container of another name", "E2", put(TASKS, f"{CONTAINER}.Name", "app")),
    Mistake("container on another port", "E2", put(TASKS, f"{CONTAINER}.PortMappings.0.ContainerPort", 8444)),
    Mistake("ports turned round", "N2", _ports_turned),
    Mistake("task without memory", "S10", put(TASKS, f"{CONTAINER}.Memory", ...)),
    Mistake("privileged", "S10", put(TASKS, f"{CONTAINER}.Privileged", True)),
    Mistake("writable root", "S10", put(TASKS, f"{CONTAINER}.ReadonlyRootFilesystem", False)),
    Mistake(
        "unencrypted disk", "A15", put(LAUNCH_TEMPLATE, "LaunchTemplateData.BlockDeviceMappings.0.Ebs.Encrypted", False)
    ),
    Mistake("one zone's instances alone", "E8", put(LOAD_BALANCER, "CrossZone", False)),
    Mistake("dashboard that is no JSON", "O2", _dashboard),
    Mistake("import of what nobody exports", "K18", _import),
]
MISTAKES = [*FIRST_SUITE, *SECOND_SUITE]
OURS = [mistake for mistake in MISTAKES if not mistake.requirement.startswith("cfn-lint:")]
LINTERS = [mistake for mistake in MISTAKES if mistake.requirement.startswith("cfn-lint:")]


def made(mistake: Mistake, name: str) -> dict[str, Any]:
    templates = Templates.of(name)
    before = copy.deepcopy(templates.bodies)
    mistake.make(templates)
    assert templates.bodies != before, "nothing was spoiled"
    return templates.bodies


@pytest.mark.parametrize("name", ["staging", pytest.param("production", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mistake", OURS, ids=lambda mistake: mistake.name)
def test_a_rule_reports_it(mistake: Mistake, name: str) -> None:
    asked = [rule for rule in RULES if mistake.requirement in (rule.requirement, *rule.also)]

    assert judge(Estate(made(mistake, name), Place.of(environment(name))), asked)


def test_the_linter_reports_the_rest() -> None:
    """All at once, for its rules are read but once: each spoiled template under the mistake's name."""
    good = {name: json.dumps(body) for name, body in Templates.of().bodies.items()}
    spoiled = {
        mistake.name: next(
            text for stack, body in made(mistake, "staging").items() if (text := json.dumps(body)) != good[stack]
        )
        for mistake in LINTERS
    }

    found = lint(spoiled, region="us-east-1")

    reported = {mistake.name: {each.requirement for each in found if each.stack == mistake.name} for mistake in LINTERS}
    assert {mistake.name for mistake in LINTERS if mistake.requirement not in reported[mistake.name]} == set(), reported
