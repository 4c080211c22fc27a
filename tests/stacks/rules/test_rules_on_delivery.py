"""What keeps an alarm, an event or a line from arriving, and says nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stacks.rules import delivery as rules
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put

KEY, TOPIC, POLICY, GROUP = "AWS::KMS::Key", "AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::Logs::LogGroup"


SUBSCRIPTION = "AWS::SNS::Subscription"


def _grants(templates: Templates, service: str) -> list[tuple[list[Any], Document]]:
    """Find what lets a service use a key or a topic, each with the list it stands in."""
    documents = [each["Properties"]["KeyPolicy"] for each in templates.resources(KEY)]
    documents += [each["Properties"]["PolicyDocument"] for each in templates.resources(POLICY)]
    return [
        (document["Statement"], statement)
        for document in documents
        for statement in document["Statement"]
        if service in str(statement["Principal"])
    ]


def without(service: str) -> Spoil:
    """Take every grant of a service away."""

    def spoil(templates: Templates) -> None:
        for statements, statement in _grants(templates, service):
            statements.remove(statement)

    return spoil


def granted(service: str, **changes: object) -> Spoil:
    """Change every grant of a service; `...` takes an element away."""

    def spoil(templates: Templates) -> None:
        for _, statement in _grants(templates, service):
            for name, value in changes.items():
                if value is ...:
                    statement.pop(name, None)
                else:
                    statement[name] = value

    return spoil


def _deny_everybody_else(templates: Templates) -> None:
    """The lock of a certificate key, copied to a key that services need (K15)."""
    denial = {
        "Sid": "NoOtherReadsWithIt",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::111122223333:role/task"]}},
    }
    for key in templates.resources(KEY):
        key["Properties"]["KeyPolicy"]["Statement"].append(denial)


def _share_one_key(templates: Templates) -> None:
    """The topic under the key of the logs."""
    topic = templates.properties(TOPIC)
    topic["KmsMasterKeyId"] = {"Ref": "LogKey"}


def _add_a_log_group_of_another_name(templates: Templates) -> None:
    resources = templates.bodies["observability"]["Resources"]
    resources["Another"] = copy.deepcopy(templates.resource(GROUP))
    resources["Another"]["Properties"]["LogGroupName"] = "/another/application"


def _forget_the_policys_topic(templates: Templates) -> None:
    templates.properties(POLICY)["Topics"] = ["arn:aws:sns:us-east-1:111122223333:another"]


def _send_events_elsewhere(templates: Templates) -> None:
    for rule in templates.resources("AWS::Events::Rule"):
        rule["Properties"]["Targets"] = []


OURS = {"StringEquals": {"aws:SourceAccount": "111122223333"}}
THEIRS = {"StringEquals": {"aws:SourceAccount": "999999999999"}}
KEYS, TOPICS, GROUPS = (
    rules.keys_of_topics_let_their_senders_in,
    rules.topics_let_their_senders_in,
    rules.log_groups_are_encrypted,
)
CASES = [
    Case(rules.topics_are_encrypted_with_a_key_of_ours, put(TOPIC, "KmsMasterKeyId", ...), "observability.AlarmTopic"),
    Case(
        rules.topics_are_encrypted_with_a_key_of_ours,
        put(TOPIC, "KmsMasterKeyId", "alias/aws/sns"),
        "observability.AlarmTopic",
        "alias/aws/sns",
    ),
    Case(
        rules.topics_are_encrypted_with_a_key_of_ours,
        put(TOPIC, "KmsMasterKeyId", {"Ref": "ServiceLogGroup"}),
        "observability.AlarmTopic",
    ),
    Case(KEYS, without("cloudwatch."), "observability", "cloudwatch.amazonaws.com may kms:Decrypt"),
    Case(KEYS, without("events."), "observability", "events.amazonaws.com may kms:GenerateDataKey"),
    Case(KEYS, granted("cloudwatch.", Action=["kms:Decrypt"]), "observability", "kms:GenerateDataKey"),
    Case(KEYS, granted("events.", Action="kms:GenerateDataKey*"), "observability", "kms:Decrypt"),
    Case(KEYS, granted("cloudwatch.", Condition=THEIRS), "observability", "cloudwatch"),
    Case(KEYS, granted("events.", Condition=OURS), "observability", "events"),
    Case(
        KEYS,
        granted("events.", Condition={"ArnLike": {"aws:SourceArn": "arn:aws:events:us-east-1:111122223333:rule/*"}}),
        "observability",
        "events",
    ),
    Case(KEYS, granted("events.", Effect="Deny"), "observability", "events"),
    Case(KEYS, granted("cloudwatch.", Principal={"Service": "monitoring.amazonaws.com"}), "observability"),
    Case(KEYS, granted("cloudwatch.", Effect="allow"), "observability"),
    Case(KEYS, _deny_everybody_else, "observability.AlarmKey", "NoOtherReadsWithIt"),
    Case(KEYS, _share_one_key, "observability.LogKey", "cloudwatch"),
    Case(TOPICS, without("cloudwatch."), "observability", "cloudwatch.amazonaws.com may sns:Publish"),
    Case(TOPICS, without("events."), "observability", "events.amazonaws.com may sns:Publish"),
    Case(TOPICS, granted("events.", Condition=OURS), "observability.AlarmTopicPolicy", "events"),
    Case(TOPICS, granted("events.", Action=["sns:Subscribe"]), "observability.AlarmTopicPolicy", "sns:Publish"),
    Case(
        TOPICS,
        granted("cloudwatch.", Resource="arn:aws:sns:us-east-1:111122223333:another"),
        "observability.AlarmTopicPolicy",
        "cloudwatch",
    ),
    Case(TOPICS, _forget_the_policys_topic, "observability.AlarmTopic", "no topic policy"),
    Case(rules.there_is_a_topic_that_alarms_are_sent_to, _send_events_elsewhere, "", "a topic"),
    Case(rules.there_is_a_topic_that_alarms_are_sent_to, lambda templates: templates.remove(TOPIC), "", "a topic"),
    Case(GROUPS, put(GROUP, "KmsKeyId", ...), "observability.ServiceLogGroup", "a key of the templates"),
    Case(GROUPS, put(GROUP, "KmsKeyId", "alias/aws/logs"), "observability.ServiceLogGroup"),
    Case(GROUPS, without("logs."), "observability.LogKey", "kms:Encrypt"),
    Case(GROUPS, granted("logs.", Action=["kms:Encrypt", "kms:Decrypt"]), "observability.LogKey", "GenerateDataKey"),
    Case(GROUPS, granted("logs.", Principal={"Service": "logs.amazonaws.com"}), "observability.LogKey", "us-east-1"),
    Case(
        GROUPS,
        granted("logs.", Principal={"Service": "logs.eu-central-1.amazonaws.com"}),
        "observability.LogKey",
        "us-east-1",
    ),
    Case(GROUPS, granted("logs.", Condition=OURS), "observability.LogKey", "kms:Encrypt"),
    Case(GROUPS, granted("logs.", Condition=...), "observability.LogKey", "this account alone"),
    Case(GROUPS, _add_a_log_group_of_another_name, "observability.LogKey", "/another/application"),
    Case(rules.log_groups_are_kept_for_a_year, put(GROUP, "RetentionInDays", ...), "observability.ServiceLogGroup"),
    Case(rules.log_groups_are_kept_for_a_year, put(GROUP, "RetentionInDays", 180), "observability.ServiceLogGroup"),
    Case(rules.log_groups_are_kept_for_a_year, put(GROUP, "RetentionInDays", 366), "observability.ServiceLogGroup"),
    Case(rules.log_groups_are_kept_for_a_year, put(GROUP, "RetentionInDays", "2 years"), "observability"),
    Case(
        rules.whoever_subscribes_hears_of_every_alarm,
        put(SUBSCRIPTION, "TopicArn", "arn:aws:sns:us-east-1:111122223333:other"),
        "observability.",
    ),
    Case(rules.whoever_subscribes_hears_of_every_alarm, put(SUBSCRIPTION, "Protocol", "http"), "", "https"),
    Case(
        rules.whoever_subscribes_hears_of_every_alarm,
        put(SUBSCRIPTION, "FilterPolicy", {"severity": ["page"]}),
        "observability.",
        "every alarm",
    ),
]


@pytest.mark.parametrize("name", ["alias/mtls-ingress-staging-alarms", {"Ref": "AlarmKeyAlias"}])
def test_a_key_may_be_named_by_its_alias(name: object) -> None:
    templates = Templates.of()
    templates.properties(TOPIC)["KmsMasterKeyId"] = name

    assert [finding for rule in rules.RULES for finding in rule(templates.estate())] == []
