"""What happens and nobody is told, or is told in a way nobody reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from stacks.rules import told_events as rules
from stacks.rules.event_patterns import faults, matches
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, removed

RULE = "AWS::Events::Rule"


def rules_for(templates: Templates, word: str) -> list[Document]:
    """Find the rules for events whose pattern has a word in it."""
    found = [each["Properties"] for each in templates.resources(RULE)]
    return [each for each in found if word in json.dumps(each["EventPattern"])]


def without(word: str) -> Spoil:
    """Take away every rule whose pattern has a word in it."""

    def spoil(templates: Templates) -> None:
        for body in templates.bodies.values():
            for name, resource in list(body["Resources"].items()):
                if resource["Type"] == RULE and word in json.dumps(resource["Properties"]["EventPattern"]):
                    del body["Resources"][name]

    return spoil


def each_rule(word: str, **changes: object) -> Spoil:
    """Change every rule whose pattern has a word in it; `...` takes a property away."""

    def spoil(templates: Templates) -> None:
        for properties in rules_for(templates, word):
            for name, value in changes.items():
                if value is ...:
                    del properties[name]
                else:
                    properties[name] = value

    return spoil


def detail(word: str, **changes: object) -> Spoil:
    """Change what the patterns with a word in them ask of an event's detail."""

    def spoil(templates: Templates) -> None:
        for properties in rules_for(templates, word):
            for name, value in changes.items():
                if value is ...:
                    del properties["EventPattern"]["detail"][name]
                else:
                    properties["EventPattern"]["detail"][name] = value

    return spoil


def target(**changes: object) -> Spoil:
    """Change the target of the rule for stopped tasks."""

    def spoil(templates: Templates) -> None:
        (properties,) = rules_for(templates, "ECS Task State Change")
        for name, value in changes.items():
            if value is ...:
                del properties["Targets"][0][name]
            else:
                properties["Targets"][0][name] = value

    return spoil


def transformed(template: str, **paths: str) -> Spoil:
    return target(InputTransformer={"InputTemplate": template, "InputPathsMap": paths})


def _forget_the_registrys_key(templates: Templates) -> None:
    (properties,) = rules_for(templates, "DisableKey")
    properties["EventPattern"]["detail"]["resources"]["ARN"].remove({"Ref": "ClientRegistryKeyArn"})


def _another_source(templates: Templates) -> None:
    (properties,) = rules_for(templates, "ECS Task State Change")
    properties["EventPattern"]["source"] = ["ecs.amazonaws.com"]


def _trust_without_mfa(templates: Templates) -> None:
    for role in templates.resources("AWS::IAM::Role"):
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            if "MultiFactor" in json.dumps(statement):
                del statement["Condition"]


TOLD, BUCKET, KEYS, GLASS = (
    rules.what_goes_wrong_is_told,
    rules.changes_of_the_certificate_bucket_are_told,
    rules.the_end_of_a_key_is_told,
    rules.taking_break_glass_is_told,
)
REACH, SENTENCE, ALONE = (
    rules.rules_for_events_reach_a_topic,
    rules.events_are_told_in_a_sentence,
    rules.rules_tell_of_ours_alone,
)


def _twice_the_same_target(templates: Templates) -> None:
    targets = templates.properties(RULE)["Targets"]
    targets.append(targets[0])


CASES = [
    Case(TOLD, removed(RULE), "capacity.Cluster", "cannot be placed"),
    Case(TOLD, without("ECS Service Action"), "capacity.Cluster", "cannot be placed"),
    Case(TOLD, without("ECS Task State Change"), "capacity.Cluster", "EssentialContainerExited"),
    Case(
        TOLD, detail("ECS Task State Change", stopCode=["EssentialContainerExited"]), "capacity.Cluster", "health check"
    ),
    Case(TOLD, detail("ECS Task State Change", lastStatus=["Stopped"]), "capacity.Cluster", "a task that stops"),
    Case(
        TOLD, detail("ECS Task State Change", clusterArn=["arn:aws:ecs:us-east-1:111122223333:cluster/x"]), "capacity"
    ),
    Case(TOLD, detail("ECS Task State Change", clusterArn=[{"Ref": "ClusterName"}]), "capacity.Cluster"),
    Case(TOLD, _another_source, "capacity.Cluster", "a task that stops"),
    Case(TOLD, without("terminate Lifecycle"), "capacity.AutoScalingGroup", "terminates"),
    Case(TOLD, without("Launch Unsuccessful"), "capacity.AutoScalingGroup", "cannot be started"),
    Case(TOLD, each_rule("ECS Service Action", State="DISABLED"), "capacity.Cluster", "cannot be placed"),
    Case(TOLD, each_rule("ECS Service Action", EventBusName="ours"), "capacity.Cluster", "cannot be placed"),
    Case(TOLD, each_rule("ECS Service Action", Targets=[]), "capacity.Cluster", "cannot be placed"),
    Case(BUCKET, without("Object Created"), "certificate_store.CertificateBucket", "Object Deleted"),
    Case(BUCKET, detail("Object Created", object={"key": [{"prefix": "manifest/"}]}), "certificate_store", "Created"),
    Case(BUCKET, without("PutBucketPolicy"), "certificate_store.CertificateBucket", "DeleteBucketPolicy"),
    Case(BUCKET, detail("PutBucketPolicy", eventName=["PutBucketPolicy"]), "certificate_store", "DeleteBucketPolicy"),
    Case(BUCKET, detail("PutBucketPolicy", eventSource=["aws.s3"]), "certificate_store", "PutBucketPolicy"),
    Case(KEYS, without("DisableKey"), "certificate_store.CertificateKey", "DisableKey"),
    Case(KEYS, detail("DisableKey", eventName=["DisableKey"]), "client_registry", "ScheduleKeyDeletion"),
    Case(KEYS, _forget_the_registrys_key, "client_registry.ClientRegistryKey", "DisableKey"),
    Case(
        KEYS,
        detail("DisableKey", resources=..., requestParameters={"keyId": [{"Ref": "CertificateKeyArn"}]}),
        "certificate_store.CertificateKey",
    ),
    Case(GLASS, without("AssumeRole"), "identity", "AssumeRole"),
    Case(GLASS, each_rule("AssumeRole", State="ENABLED"), "identity", "AssumeRole"),
    Case(GLASS, each_rule("AssumeRole", State=...), "identity", "AssumeRole"),
    Case(GLASS, detail("AssumeRole", requestParameters={"roleArn": ["break-glass"]}), "identity"),
    Case(GLASS, _trust_without_mfa, "", "demands MFA"),
    Case(ALONE, detail("ECS Task State Change", clusterArn=...), "events.TaskEnded", "a task that stops"),
    Case(ALONE, detail("DisableKey", resources=...), "events.EncryptionKeyEndangered", "DisableKey"),
    Case(ALONE, detail("Object Created", bucket={"name": [{"exists": True}]}), "events", "Object Created"),
    Case(ALONE, detail("AssumeRole", requestParameters={"roleArn": [{"prefix": "arn:"}]}), "events", "AssumeRole"),
    Case(REACH, target(Arn="arn:aws:sns:us-east-1:111122223333:other"), "events.TaskEnded", "a topic of the templates"),
    Case(REACH, target(Arn={"Ref": "ClusterName"}), "events.TaskEnded", "a topic of the templates"),
    Case(REACH, target(RoleArn="arn:aws:iam::111122223333:role/events"), "events.TaskEnded", "none"),
    Case(REACH, each_rule("ECS Service Action", Targets=...), "events", "a topic"),
    Case(REACH, each_rule("ECS Service Action", State="Enabled"), "events", "ENABLED"),
    Case(REACH, each_rule("ECS Service Action", EventPattern=...), "events", "a table"),
    Case(REACH, each_rule("ECS Service Action", EventPattern="{"), "events", "a table"),
    Case(REACH, detail("ECS Service Action", eventName="SERVICE_TASK_PLACEMENT_FAILURE"), "events", "a list"),
    Case(REACH, detail("ECS Service Action", eventName=[{"starts-with": "SERVICE"}]), "events", "a value"),
    Case(SENTENCE, target(InputTransformer=...), "events.TaskEnded", "a text in quotes"),
    Case(SENTENCE, transformed("a task ended: docs/runbooks/x.md"), "events.TaskEnded", "a text in quotes"),
    Case(SENTENCE, transformed('"a task ended"'), "events.TaskEnded", "docs/runbooks"),
    Case(SENTENCE, transformed('{"text": "docs/runbooks/x.md"}'), "events.TaskEnded", "a text in quotes"),
    Case(SENTENCE, transformed('"<task> ended: docs/runbooks/x.md"'), "events.TaskEnded", "<task>"),
    Case(SENTENCE, transformed('"ended: docs/runbooks/x.md"', task="$.detail.taskArn"), "events.TaskEnded", "<task>"),
    Case(SENTENCE, transformed('"<task>: docs/runbooks/x.md"', task="detail.taskArn"), "events.TaskEnded", "$.a.path"),
    Case(rules.rules_for_events_reach_a_topic, target(Id=""), "events.", "an id"),
    Case(rules.rules_for_events_reach_a_topic, _twice_the_same_target, "events.", "an id of its own"),
    Case(
        rules.rules_for_events_reach_a_topic,
        each_rule("ECS Task State Change", ScheduleExpression="rate(1 day)"),
        "events.",
        "by the clock",
    ),
    Case(rules.events_are_told_in_a_sentence, target(Input="{}"), "events.", "InputTransformer alone"),
    Case(rules.events_are_told_in_a_sentence, target(InputPath="$.detail"), "events.", "InputTransformer alone"),
]
EVENT: Mapping[str, Any] = {
    "source": "aws.ecs",
    "detail": {"code": "Exit", "count": 5, "on": True, "empty": None, "from": "10.1.2.3", "list": [{"a": 1}, {"a": 2}]},
}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3", "aws.ecs"]},
        {"detail": {"code": [{"prefix": "Ex"}]}},
        {"detail": {"code": [{"prefix": {"equals-ignore-case": "eX"}}]}},
        {"detail": {"code": [{"suffix": "it"}]}},
        {"detail": {"code": [{"equals-ignore-case": "EXIT"}]}},
        {"detail": {"code": [{"wildcard": "E*t"}]}},
        {"detail": {"code": [{"anything-but": ["Other"]}]}},
        {"detail": {"code": [{"anything-but": {"prefix": "Oth"}}]}},
        {"detail": {"count": [{"numeric": [">", 0, "<=", 5]}]}},
        {"detail": {"from": [{"cidr": "10.0.0.0/8"}]}},
        {"detail": {"missing": [{"exists": False}]}},
        {"detail": {"code": [{"exists": True}]}},
        {"detail": {"empty": [None]}},
        {"detail": {"list": {"a": [2]}}},
        {"$or": [{"source": ["aws.s3"]}, {"detail": {"on": [True]}}]},
    ],
    ids=json.dumps,
)
def test_a_pattern_matches_as_eventbridge_says(pattern: Mapping[str, Any]) -> None:
    """EventBridge guide, comparison operators for use in event patterns."""
    assert matches(pattern, EVENT)
    assert list(faults(pattern)) == []


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["ecs"]},
        {"detail": {"code": ["exit"]}},
        {"detail": {"count": ["5"]}},
        {"detail": {"on": [1]}},
        {"detail": {"code": [{"anything-but": "Exit"}]}},
        {"detail": {"missing": [{"anything-but": "x"}]}},
        {"detail": {"missing": ["x"]}},
        {"detail": {"missing": {"a": ["x"]}}},
        {"detail": {"missing": [{"exists": True}]}},
        {"detail": {"count": [{"numeric": [">", 5]}]}},
        {"detail": {"on": [{"numeric": ["=", 1]}]}},
        {"detail": {"count": [{"prefix": "5"}]}},
        {"detail": {"from": [{"cidr": "192.0.2.0/24"}]}},
        {"detail": {"code": [{"cidr": "192.0.2.0/24"}]}},
        {"detail": {"list": {"a": [3]}}},
        {"$or": [{"source": ["aws.s3"]}, {"detail": {"on": [False]}}]},
    ],
    ids=json.dumps,
)
def test_a_pattern_does_not_match_as_eventbridge_says(pattern: Mapping[str, Any]) -> None:
    assert not matches(pattern, EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        None,
        {},
        [],
        {"source": "aws.ecs"},
        {"source": []},
        {"source": [["aws.ecs"]]},
        {"source": [{"starts-with": "aws"}]},
        {"$or": [{"source": ["aws.s3"]}]},
        {"$or": {"source": ["aws.s3"]}},
        {"detail": {"code": "x"}},
    ],
    ids=json.dumps,
)
def test_a_pattern_that_eventbridge_refuses_has_a_fault(pattern: object) -> None:
    assert list(faults(pattern)) != []
