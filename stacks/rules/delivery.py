"""
The rules on what carries alarms, events and lines: topics, log groups, and the keys of both.

Everything here fails in silence on AWS: the alarm goes off, and nobody hears
of it. So each sender is asked for as IAM would be asked, with the condition
keys that AWS sends for it and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stacks.access.evaluation import evaluate
from stacks.access.faults import PolicyFaultError
from stacks.access.request import (
    AttachedPolicy,
    Principal,
    PrincipalKind,
    Request,
    ResourcePolicy,
    ResourcePolicyKind,
)
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.values import Reference, listed, number
from stacks.rules.watching import ALARM, COMPOSITE

TOPIC: Final = "AWS::SNS::Topic"
TOPIC_POLICY: Final = "AWS::SNS::TopicPolicy"
KEY: Final = "AWS::KMS::Key"
ALIAS: Final = "AWS::KMS::Alias"
LOG_GROUP: Final = "AWS::Logs::LogGroup"
EVENT_RULE: Final = "AWS::Events::Rule"
ALARMS_SERVICE: Final = "cloudwatch.amazonaws.com"
EVENTS_SERVICE: Final = "events.amazonaws.com"
_SNS_KEYS: Final = "SNS guide, key management, compatibility between event sources and encrypted topics"
_LOG_KEYS: Final = "CloudWatch Logs guide, encrypt log data using KMS"
_SUBSCRIPTION: Final = "AWS::SNS::Subscription"
_PROTOCOLS: Final = ("email", "email-json", "https", "sms", "sqs", "lambda", "application", "firehose")
_SENDING: Final = ("kms:Decrypt", "kms:GenerateDataKey")
_LOGGING: Final = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey")
_LEAST_DAYS: Final = 365
_RETENTIONS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""What CloudWatch Logs takes (API reference, PutRetentionPolicy)."""


def key_of(resource: Resource, path: str) -> Resource | None:
    """Follow a property to the key it names, also by the key's alias; None if that is none of the templates."""
    value = resource.get(path)
    key = resource.estate.called(value, KEY)
    if key is not None or not isinstance(value, str):
        return key
    named = [each for each in resource.estate.of_type(ALIAS) if value == each.get("AliasName") or _is(each, value)]
    return resource.estate.called(named[0].get("TargetKeyId"), KEY) if named else None


def _is(alias: Resource, value: str) -> bool:
    return isinstance(value, Reference) and alias.estate.target(value) == alias


def senders(estate: Estate, topic: Resource) -> dict[str, Mapping[str, str]]:
    """Give the services that send to a topic, each with the condition keys its requests bear."""
    found: dict[str, Mapping[str, str]] = {}
    for alarm in estate.of_type(ALARM, COMPOSITE):
        actions = [action for name in ("AlarmActions", "OKActions") for action in listed(alarm.get(name))]
        if any(estate.called(action, TOPIC) == topic for action in actions):
            found[ALARMS_SERVICE] = {"aws:SourceAccount": estate.place.account, "aws:SourceArn": estate.arn(alarm)}
    for events in estate.of_type(EVENT_RULE):
        if any(estate.called(target.get("Arn"), TOPIC) == topic for _, target in events.tables("Targets")):
            # EventBridge sends no source of its own, to the topic and to its key.
            found[EVENTS_SERVICE] = {}
    return found


def refusal(
    policy: tuple[str, Any], kind: ResourcePolicyKind, sender: str, asked: tuple[str, str], says: Mapping[str, str]
) -> str | None:
    """
    Ask a resource's policy for a request of an AWS service; None if it lets it through, else why not.

    Args:
        policy: Its name and its document.
        kind: Whether it is a key's.
        sender: The service, `events.amazonaws.com`.
        asked: The action, and the ARN of what it is asked for.
        says: The condition keys the request bears, beside those that follow from the service.
    """
    name, document = policy
    account = asked[1].split(":")[4]
    principal = Principal(PrincipalKind.SERVICE, sender, "")
    request = Request(principal, asked[0], asked[1], account, {"aws:SecureTransport": "true", **says})
    try:
        decision = evaluate(request, [ResourcePolicy(AttachedPolicy(name, document), kind)])
    except PolicyFaultError as error:
        return str(error)
    return None if decision.is_allowed else decision.statement


# -- topics -----------------------------------------------------------------------------------


@rule_of(
    TOPIC,
    requirement="SNS.1",
    why="with no key what is sent lies in clear; AWS's own, alias/aws/sns, lets no alarm in",
    source=_SNS_KEYS,
    also=("K16",),
)
def topics_are_encrypted_with_a_key_of_ours(topic: Resource) -> Iterator[Fault]:
    """Every topic is encrypted with a key of the templates."""
    if key_of(topic, "KmsMasterKeyId") is None:
        yield topic.fault("KmsMasterKeyId", found=topic.get("KmsMasterKeyId"), expected="a key of the templates")


@rule(
    "K16",
    why="the alarm goes off, the key refuses it, and nothing says so",
    source=f"{_SNS_KEYS}: a condition on the source is not supported for EventBridge",
)
def keys_of_topics_let_their_senders_in(estate: Estate) -> Iterator[Fault]:
    """The key of a topic lets every service that sends to it decrypt and make data keys, as that service asks."""
    for topic in estate.of_type(TOPIC):
        key = key_of(topic, "KmsMasterKeyId")
        if key is not None:
            yield from _kept_from(key, senders(estate, topic))


def _kept_from(key: Resource, wanted: Mapping[str, Mapping[str, str]]) -> Iterator[Fault]:
    for sender, says in wanted.items():
        for action in _SENDING:
            asked = (action, key.estate.arn(key))
            why = refusal((key.name, key.get("KeyPolicy")), ResourcePolicyKind.KEY, sender, asked, says)
            if why is not None:
                yield key.fault("KeyPolicy", found=Said(why), expected=f"that {sender} may {action}")


@rule(
    "K16",
    why="the alarm goes off, the topic refuses it, and nothing says so",
    source="SNS guide, access policy; EventBridge guide, SNS permissions: a topic's policy takes no condition",
)
def topics_let_their_senders_in(estate: Estate) -> Iterator[Fault]:
    """The policy of a topic lets every service that sends to it publish, as that service asks."""
    for topic in estate.of_type(TOPIC):
        policies = [each for each in estate.of_type(TOPIC_POLICY) if topic in each.targets("Topics")]
        wanted = senders(estate, topic)
        if wanted and not policies:
            yield topic.fault("", found=Said("no topic policy"), expected=f"one that lets {', '.join(wanted)} publish")
        for policy in policies:
            for sender, says in wanted.items():
                asked = ("sns:Publish", estate.ref(topic))
                named = (policy.name, policy.get("PolicyDocument"))
                why = refusal(named, ResourcePolicyKind.OTHER, sender, asked, says)
                if why is not None:
                    yield policy.fault("PolicyDocument", found=Said(why), expected=f"that {sender} may sns:Publish")


@rule(
    "K16",
    why="alarms that reach no topic of ours reach nobody we know",
    source="CloudWatch guide, notify by Amazon SNS",
)
def there_is_a_topic_that_alarms_are_sent_to(estate: Estate) -> Iterator[Fault]:
    """There is a topic, and alarms and events are sent to it."""
    if not any(set(senders(estate, topic)) == {ALARMS_SERVICE, EVENTS_SERVICE} for topic in estate.of_type(TOPIC)):
        yield absent("a topic that alarms and events are sent to")


@rule_of(
    _SUBSCRIPTION,
    requirement="K16",
    why="the alarm goes off, the topic takes it, and nobody hears of it, or it goes out in clear",
    source="SNS guide, subscription filter policies: alarms have no attributes; SNS API reference, Subscribe",
)
def whoever_subscribes_hears_of_every_alarm(subscription: Resource) -> Iterator[Fault]:
    """Every subscription is to a topic of the templates, of all that is sent, and encrypted on its way."""
    if subscription.estate.called(subscription.get("TopicArn"), TOPIC) is None:
        found = subscription.get("TopicArn")
        yield subscription.fault("TopicArn", found=found, expected="a topic of the templates")
    if subscription.get("Protocol") not in _PROTOCOLS:
        found = subscription.get("Protocol")
        yield subscription.fault("Protocol", found=found, expected=" or ".join(_PROTOCOLS))
    if subscription.get("FilterPolicy"):
        found = subscription.get("FilterPolicy")
        yield subscription.fault("FilterPolicy", found=found, expected="none: every alarm is heard")


# -- log groups -------------------------------------------------------------------------------


@rule_of(
    LOG_GROUP,
    requirement="K16",
    why="the group is made and takes no line, or what clients did lies in clear",
    source=_LOG_KEYS,
    also=("CLOUDWATCH_LOG_GROUP_ENCRYPTED",),
)
def log_groups_are_encrypted(group: Resource) -> Iterator[Fault]:
    """Every log group has a key of the templates, which lets CloudWatch Logs in for it and for no other account's."""
    key = key_of(group, "KmsKeyId")
    if key is None:
        yield group.fault("KmsKeyId", found=group.get("KmsKeyId"), expected="a key of the templates")
        return
    place = group.estate.place
    sender = f"logs.{place.region}.amazonaws.com"
    policy, arn = (key.name, key.get("KeyPolicy")), group.estate.arn(key)
    ours = place.arn("logs", f"log-group:{group.estate.ref(group)}")
    for action in _LOGGING:
        says = {"kms:EncryptionContext:aws:logs:arn": ours}
        why = refusal(policy, ResourcePolicyKind.KEY, sender, (action, arn), says)
        if why is not None:
            yield key.fault("KeyPolicy", found=Said(why), expected=f"that {sender} may {action} for {ours}")
    others = ours.replace(place.account, "9" * 12)
    says = {"kms:EncryptionContext:aws:logs:arn": others}
    if refusal(policy, ResourcePolicyKind.KEY, sender, ("kms:Decrypt", arn), says) is None:
        expected = "that it may be used for log groups of this account alone"
        yield key.fault("KeyPolicy", found=Said(f"{sender} may use it for {others}"), expected=expected)


@rule_of(
    LOG_GROUP,
    requirement="CW_LOGGROUP_RETENTION_PERIOD_CHECK",
    why="what happened last spring is gone when it is asked for, or the stack stops at a number Logs does not take",
    source="Security Hub, CloudWatch.16; CloudWatch Logs API reference, PutRetentionPolicy",
    also=("CloudWatch.16",),
)
def log_groups_are_kept_for_a_year(group: Resource) -> Iterator[Fault]:
    """Every log group keeps its lines for a year at least, and for a number of days that CloudWatch Logs takes."""
    days = number(group.get("RetentionInDays"))
    if days is None or days < _LEAST_DAYS or days not in _RETENTIONS:
        taken = ", ".join(str(each) for each in _RETENTIONS if each >= _LEAST_DAYS)
        yield group.fault("RetentionInDays", found=group.get("RetentionInDays"), expected=f"one of {taken}")


RULES: Final[tuple[Rule, ...]] = (
    topics_are_encrypted_with_a_key_of_ours,
    keys_of_topics_let_their_senders_in,
    topics_let_their_senders_in,
    there_is_a_topic_that_alarms_are_sent_to,
    whoever_subscribes_hears_of_every_alarm,
    log_groups_are_encrypted,
    log_groups_are_kept_for_a_year,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
