"""The rules on events: what must be told as it happens is, of ours alone, and it reaches the topic in a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stacks.rules.delivery import EVENT_RULE, TOPIC
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.event_patterns import faults, matches
from stacks.rules.happenings import Happening, break_glass_roles, of_break_glass, of_certificates, of_keys, operational
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of

_ENABLED: Final = ("ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
_READ_ONLY_TOO: Final = _ENABLED[1]
_CLOUDTRAIL: Final = "EventBridge guide, events of AWS services via CloudTrail"
_NAME: Final = re.compile(r"<([^<>]+)>")


@rule(
    "O1",
    why="a task that does not start or an instance that does not come is noticed when it is missed",
    source="ECS guide, Amazon ECS events; EC2 Auto Scaling guide, event types",
)
def what_goes_wrong_is_told(estate: Estate) -> Iterator[Fault]:
    """Tasks that end or find no place, instances that go or do not come, are told by a rule for their event."""
    yield from _untold(estate, operational(estate))


@rule(
    "K22",
    why="a key that is replaced or a lock that is opened rouses nobody",
    source=f"S3 guide, Amazon S3 Event Notifications with EventBridge; {_CLOUDTRAIL}",
    also=("O1",),
)
def changes_of_the_certificate_bucket_are_told(estate: Estate) -> Iterator[Fault]:
    """Objects written or deleted in the certificate bucket, and its policy put or deleted, are told."""
    yield from _untold(estate, of_certificates(estate))


@rule("K17", why="a key is gone for good, and with it all it encrypts, before anybody looks", source=_CLOUDTRAIL)
def the_end_of_a_key_is_told(estate: Estate) -> Iterator[Fault]:
    """Disabling a key of the templates, or scheduling its deletion, is told, of every key there is."""
    yield from _untold(estate, of_keys(estate))


@rule(
    "K5",
    why="break-glass is taken and nobody knows",
    source="EventBridge guide, receiving read-only management events; CloudTrail counts AssumeRole as one",
)
def taking_break_glass_is_told(estate: Estate) -> Iterator[Fault]:
    """There is a role that demands MFA, and its taking is told."""
    if not break_glass_roles(estate):
        yield absent("a break-glass role that demands MFA of whoever takes it")
    yield from _untold(estate, of_break_glass(estate))


def _untold(estate: Estate, happenings: Iterable[Happening]) -> Iterator[Fault]:
    rules = [each for each in estate.of_type(EVENT_RULE) if _tells(each)]
    for happening in happenings:
        if not any(_hears(each, happening) for each in rules):
            expected = f"an enabled rule that tells the topic of {happening.what}"
            yield Fault(happening.of.stack, happening.of.logical_id, "", "none", expected)


def _tells(events: Resource) -> bool:
    targets = (target.get("Arn") for _, target in events.tables("Targets"))
    return any(events.estate.called(target, TOPIC) for target in targets)


def _hears(events: Resource, happening: Happening) -> bool:
    states = (_READ_ONLY_TOO,) if happening.is_read_only else _ENABLED
    is_on = events.get("State") in states or (events.get("State") is None and not happening.is_read_only)
    is_default = events.get("EventBusName") in {None, "default"}
    return is_on and is_default and matches(_pattern(events), happening.event)


def _pattern(events: Resource) -> Any:  # noqa: ANN401 -- any JSON
    """Give the pattern of a rule, also where it was written as text."""
    found = events.get("EventPattern")
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except ValueError:
        return None


@rule(
    "O1",
    why="whoever is told of everybody's events soon reads none of them",
    source="EventBridge guide, best practices for event patterns",
)
def rules_tell_of_ours_alone(estate: Estate) -> Iterator[Fault]:
    """No rule for events tells of another environment's cluster, group, bucket, key or role."""
    happenings = [
        *operational(estate),
        *of_certificates(estate),
        *of_keys(estate),
        *of_break_glass(estate),
    ]
    for events in estate.of_type(EVENT_RULE):
        heard = next((each for each in happenings if matches(_pattern(events), each.other)), None)
        if heard is not None:
            expected = "a pattern that names resources of the templates"
            yield events.fault(
                "EventPattern", found=Said(f"one that hears of others': {heard.what}"), expected=expected
            )


@rule_of(
    EVENT_RULE,
    requirement="K16",
    why="EventBridge refuses the rule, or hears of nothing and tells nobody",
    source="EventBridge API reference, PutRule and PutTargets; EventBridge guide, using resource-based policies",
)
def rules_for_events_reach_a_topic(events: Resource) -> Iterator[Fault]:
    """Every rule for events is enabled, has a pattern EventBridge takes, and tells a topic of ours without a role."""
    if events.get("State") not in {None, *_ENABLED}:
        yield events.fault("State", found=events.get("State"), expected=" or ".join(_ENABLED))
    for path, expected in faults(_pattern(events)):
        yield events.fault(path, found=Said("what EventBridge refuses"), expected=expected)
    targets = events.tables("Targets")
    yield from _never_made(events)
    if not targets:
        yield events.fault("Targets", found=None, expected="a topic of the templates")
    for path, target in targets:
        if events.estate.called(target.get("Arn"), TOPIC) is None:
            yield events.fault(f"{path}.Arn", found=target.get("Arn"), expected="a topic of the templates")
        if target.get("RoleArn") is not None:
            yield events.fault(
                f"{path}.RoleArn", found=target.get("RoleArn"), expected="none: the topic's policy opens it"
            )


def _never_made(events: Resource) -> Iterator[Fault]:
    """Object to what EventBridge refuses, or does by the clock."""
    if events.get("ScheduleExpression") is not None:
        found = events.get("ScheduleExpression")
        yield events.fault(
            "ScheduleExpression", found=found, expected="none: a message by the clock is none of an event"
        )
    ids = [target.get("Id") for _, target in events.tables("Targets")]
    for index, name in enumerate(ids):
        if not name or name in ids[:index]:
            yield events.fault(f"Targets.{index}.Id", found=name, expected="an id of its own")


@rule_of(
    EVENT_RULE,
    requirement="O1",
    why="whoever is woken gets a page of JSON, or EventBridge cannot make the message and sends none",
    source="EventBridge guide, Amazon EventBridge input transformation",
)
def events_are_told_in_a_sentence(events: Resource) -> Iterator[Fault]:
    """Every rule's message is a text with what happened, made of paths it names, and the page of docs/runbooks."""
    for path, target in events.tables("Targets"):
        for name in ("Input", "InputPath"):
            if name in target:
                yield events.fault(f"{path}.{name}", found=target[name], expected="InputTransformer alone")
        given = target.get("InputTransformer")
        transformer = given if isinstance(given, dict) else {}
        yield from _unsaid(events, f"{path}.InputTransformer", transformer)


def _unsaid(events: Resource, path: str, transformer: Mapping[str, Any]) -> Iterator[Fault]:
    template = transformer.get("InputTemplate")
    try:
        sentence = json.loads(str(template))
    except ValueError:
        sentence = None
    if not isinstance(sentence, str) or "docs/runbooks/" not in sentence:
        expected = "a text in quotes that names docs/runbooks/PAGE.md"
        yield events.fault(f"{path}.InputTemplate", found=template, expected=expected)
        return
    paths = transformer.get("InputPathsMap") or {}
    for name in sorted(set(_NAME.findall(sentence)) ^ set(paths)):
        expected = "a path for each name of the text, and no other"
        yield events.fault(f"{path}.InputPathsMap", found=Said(f"<{name}>"), expected=expected)
    for name, found in paths.items():
        if not str(found).startswith("$."):
            yield events.fault(f"{path}.InputPathsMap.{name}", found=found, expected="$.a.path")


RULES: Final[tuple[Rule, ...]] = (
    what_goes_wrong_is_told,
    changes_of_the_certificate_bucket_are_told,
    the_end_of_a_key_is_told,
    taking_break_glass_is_told,
    rules_tell_of_ours_alone,
    rules_for_events_reach_a_topic,
    events_are_told_in_a_sentence,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
