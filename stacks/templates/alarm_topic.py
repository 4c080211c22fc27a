"""
Whom alarms and events reach: the topic, its key, its policy, and who subscribed.

Two services publish to it, and each must be let in twice, by the topic's policy
and by the key's. If one of the four grants is missing, nothing arrives and
nothing says so.
"""

from __future__ import annotations

from awacs import kms, sns
from awacs.aws import Action, Bool, StringEquals
from troposphere import Ref, Template
from troposphere.kms import Key
from troposphere.sns import SubscriptionResource, Topic, TopicPolicy

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import Statement, allow, deny, policy, service
from stacks.templates.encryption import alias, encryption_key


def alarm_key(template: Template, environment: Environment) -> Key:
    """
    Describe the key of what is sent; it encrypts nothing else.

    EventBridge's request bears no source of its own: a condition on
    `aws:SourceAccount` would shut it out (SNS guide, key management,
    compatibility between event sources and encrypted topics). So this key is
    not the one of the logs.
    """
    key = template.add_resource(
        encryption_key(environment, "AlarmKey", "Alarms on their way to whom they reach", *_key_grants(environment))
    )
    template.add_resource(alias(environment, "AlarmKeyAlias", key, stack="alarms"))
    return key


def _key_grants(environment: Environment) -> list[Statement]:
    sends = [kms.Decrypt, Action("kms", "GenerateDataKey*")]
    return [
        allow(
            "AlarmsAreSent",
            sends,
            "*",
            to=service("cloudwatch.amazonaws.com"),
            when=[StringEquals({"aws:SourceAccount": environment.account})],
        ),
        allow("EventsAreSent", sends, "*", to=service("events.amazonaws.com")),
    ]


def alarm_topic(template: Template, environment: Environment, key: Key) -> Topic:
    """Describe the topic, who may publish to it, and who hears of it."""
    topic = template.add_resource(
        Topic("AlarmTopic", TopicName=naming.topic_name(environment), KmsMasterKeyId=Ref(key))
    )
    template.add_resource(
        TopicPolicy(
            "AlarmTopicPolicy",
            Topics=[Ref(topic)],
            PolicyDocument=policy(
                allow(
                    "AlarmsPublish",
                    [sns.Publish],
                    Ref(topic),
                    to=service("cloudwatch.amazonaws.com"),
                    when=[StringEquals({"aws:SourceAccount": environment.account})],
                ),
                # Without a condition: EventBridge takes none in a topic's policy (EventBridge guide, SNS permissions).
                allow("EventsPublish", [sns.Publish], Ref(topic), to=service("events.amazonaws.com")),
                deny("OnlyOverTls", [sns.Publish], Ref(topic), when=[Bool({"aws:SecureTransport": False})]),
            ),
        )
    )
    _subscribe(template, environment, topic)
    return topic


def _subscribe(template: Template, environment: Environment, topic: Topic) -> None:
    alarms = environment.alarms
    wanted = [("email", address) for address in alarms.emails] + [("https", url) for url in alarms.urls]
    for number, (protocol, endpoint) in enumerate(wanted, start=1):
        template.add_resource(
            SubscriptionResource(
                f"AlarmSubscription{number}", TopicArn=Ref(topic), Protocol=protocol, Endpoint=endpoint
            )
        )
