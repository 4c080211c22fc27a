"""Composite alarms of CloudWatch: kept, described, and in the state their rule has from the alarms it looks at."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from moto.cloudwatch.models import cloudwatch_backends
from werkzeug.wrappers import Response

from stacks.local_cloud.forwarding import Forward
from stacks.local_cloud.unserved.alarm_rules import AlarmRule, AlarmRuleError
from stacks.local_cloud.unserved.answers import Document, JsonCalls, RefusedCallError, is_well

_KEPT: Final = (
    "ActionsEnabled",
    "ActionsSuppressor",
    "ActionsSuppressorExtensionPeriod",
    "ActionsSuppressorWaitPeriod",
    "AlarmActions",
    "AlarmDescription",
    "AlarmName",
    "AlarmRule",
    "InsufficientDataActions",
    "OKActions",
)
_DEFAULTS: Final[Document] = {
    "ActionsEnabled": True,
    "AlarmActions": [],
    "InsufficientDataActions": [],
    "OKActions": [],
}
_METRIC, _COMPOSITE = "MetricAlarm", "CompositeAlarm"
_INVALID: Final = "ValidationError"


class CompositeAlarms:
    """The composite alarms of one account and region."""

    def __init__(self, region: str, account: str, partition: str) -> None:
        self._prefix = f"arn:{partition}:cloudwatch:{region}:{account}:alarm:"
        self._place = (account, region)
        self._alarms: dict[str, Document] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def stand_in(self) -> JsonCalls:
        """Give what stands before moto's CloudWatch."""
        return JsonCalls(
            "monitoring",
            {
                "PutCompositeAlarm": self._put,
                "DescribeAlarms": self._describe,
                "DeleteAlarms": self._delete,
                "TagResource": self._tag,
                "UntagResource": self._untag,
                "ListTagsForResource": self._list_tags,
            },
        )

    def _put(self, asked: Document, _forward: Forward) -> Document:
        """Keep the alarm; one whose rule looks at alarms that are not there is refused, as CloudWatch does."""
        name, rule = asked["AlarmName"], _read(asked["AlarmRule"])
        there = self._states()
        if missing := [alarm for alarm in rule.alarms if alarm not in there or alarm == name]:
            raise RefusedCallError(
                _INVALID,
                f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm rule do not exist",
            )
        if name not in self._alarms:
            self._tags[name] = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", [])}
        self._alarms[name] = _DEFAULTS | {field: asked[field] for field in _KEPT if field in asked}
        self._alarms[name]["AlarmConfigurationUpdatedTimestamp"] = datetime.now(UTC).timestamp()
        return {}

    def _describe(self, asked: Document, forward: Forward) -> Document | Response:
        response = forward()
        if not is_well(response):
            return response
        told: Document = json.loads(response.get_data())
        types = asked.get("AlarmTypes") or [_METRIC]  # CloudWatch API Reference, DescribeAlarms: metric alarms alone
        states = self._states()
        shown = [self._shown(name, states) for name in self._alarms if _is_asked(name, asked)]
        told["CompositeAlarms"] = shown if _COMPOSITE in types else []
        told["MetricAlarms"] = told.get("MetricAlarms", []) if _METRIC in types else []
        return told

    def _delete(self, asked: Document, forward: Forward) -> Document | Response:
        """Remove alarms; one that a composite alarm looks at is refused, and so are two composite ones at once."""
        names = asked["AlarmNames"]
        for name in names:
            if [each for each in self._alarms if each not in names and name in _read(self._rule(each)).alarms]:
                raise RefusedCallError(
                    _INVALID, f"Cannot delete {name} as there are composite alarm(s) depending on it."
                )
        if not set(names) & set(self._alarms):
            return forward()
        if len(names) > 1:
            raise RefusedCallError(_INVALID, "DeleteAlarms accepts one composite alarm, and nothing beside it")
        del self._alarms[names[0]], self._tags[names[0]]
        return {}

    def _tag(self, asked: Document, forward: Forward) -> Document | Response:
        tags = self._tags_of(asked["ResourceARN"])
        if tags is None:
            return forward()
        tags.update({tag["Key"]: tag["Value"] for tag in asked["Tags"]})
        return {}

    def _untag(self, asked: Document, forward: Forward) -> Document | Response:
        tags = self._tags_of(asked["ResourceARN"])
        if tags is None:
            return forward()
        for key in asked["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _list_tags(self, asked: Document, forward: Forward) -> Document | Response:
        tags = self._tags_of(asked["ResourceARN"])
        if tags is None:
            return forward()
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _tags_of(self, arn: str) -> dict[str, str] | None:
        return self._tags.get(arn.removeprefix(self._prefix))

    def _rule(self, name: str) -> str:
        return str(self._alarms[name]["AlarmRule"])

    def _states(self) -> dict[str, str]:
        """Say which alarm is in which state; a composite one may look at others of its kind made before it."""
        account, region = self._place
        backend: Any = cloudwatch_backends[account][region]
        states = {name: str(alarm.state_value) for name, alarm in backend.alarms.items()}
        for name in self._alarms:
            states[name] = "ALARM" if _read(self._rule(name)).holds(states) else "OK"
        return states

    def _shown(self, name: str, states: dict[str, str]) -> Document:
        reason = f"arn of the alarms looked at, evaluated: {self._rule(name)}"
        return {
            **self._alarms[name],
            "AlarmArn": self._prefix + name,
            "StateValue": states[name],
            "StateReason": reason,
        }


def _is_asked(name: str, asked: Document) -> bool:
    names = asked.get("AlarmNames")
    return name in names if names else name.startswith(asked.get("AlarmNamePrefix", ""))


def _read(text: str) -> AlarmRule:
    try:
        return AlarmRule(text)
    except AlarmRuleError as error:
        raise RefusedCallError(_INVALID, f"AlarmRule must be a valid alarm rule: {error}") from error
