"""Rows of alarms: on a metric, and on other alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacks.local_cloud.resource_types.calls import arguments, refuse_taken, tag_list, unless_gone
from stacks.local_cloud.row import Resource, Row, Setting

_KINDS = ["MetricAlarm", "CompositeAlarm"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    One kind of alarm, and how CloudWatch speaks of it.

    Attributes:
        name: In `describe_alarms`, `MetricAlarm`; its answers stand under the plural.
        put: The call that writes one whole.
        given: The properties that the call takes under the same names.
    """

    name: str
    put: str
    given: tuple[str, ...]

    def create(self, resource: Resource) -> str:
        """Make it; a name stands for one alarm of either kind."""
        name = str(resource.properties.take("AlarmName") or resource.generated_name(limit=255))
        found = resource.client("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=_KINDS)
        refuse_taken(resource, name, is_taken=bool(found["MetricAlarms"] or found["CompositeAlarms"]))
        self._write(resource, name)
        return name

    def set(self, resource: Resource) -> None:
        """Write it anew when it changes; creating has written it already."""
        if resource.previous is not None:
            self._write(resource, resource.physical_id)

    def set_tags(self, resource: Resource) -> None:
        """Let it wear the tags it should, and no other."""
        cloudwatch, arn, wanted = resource.client("cloudwatch"), self.arn(resource), resource.tags()
        worn = [tag["Key"] for tag in cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"]]
        if surplus := [key for key in worn if key not in wanted]:
            cloudwatch.untag_resource(ResourceARN=arn, TagKeys=surplus)
        if wanted:
            cloudwatch.tag_resource(ResourceARN=arn, Tags=tag_list(wanted))

    def arn(self, resource: Resource) -> str:
        """Say its ARN."""
        asked = {"AlarmNames": [resource.physical_id], "AlarmTypes": [self.name]}
        return str(resource.client("cloudwatch").describe_alarms(**asked)[f"{self.name}s"][0]["AlarmArn"])

    def _write(self, resource: Resource, name: str) -> None:
        """Write the alarm whole: what the template does not give is the service's default again."""
        cloudwatch = resource.client("cloudwatch")
        getattr(cloudwatch, self.put)(
            AlarmName=name, **arguments(cloudwatch, self.put, resource.properties, *self.given)
        )


def _delete(resource: Resource) -> None:
    with unless_gone("ResourceNotFound"):
        resource.client("cloudwatch").delete_alarms(AlarmNames=[resource.physical_id])


_METRIC = (
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluateLowSampleCountPercentile",
    "EvaluationPeriods",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Threshold",
    "ThresholdMetricId",
    "TreatMissingData",
    "Unit",
)
_COMPOSITE = (
    "ActionsEnabled",
    "ActionsSuppressor",
    "ActionsSuppressorExtensionPeriod",
    "ActionsSuppressorWaitPeriod",
    "AlarmActions",
    "AlarmDescription",
    "AlarmRule",
    "InsufficientDataActions",
    "OKActions",
)
_TYPES: Mapping[str, _Kind] = {
    "AWS::CloudWatch::Alarm": _Kind("MetricAlarm", "put_metric_alarm", _METRIC),
    "AWS::CloudWatch::CompositeAlarm": _Kind("CompositeAlarm", "put_composite_alarm", _COMPOSITE),
}

ROWS: tuple[Row, ...] = tuple(
    Row(
        type=each,
        create=kind.create,
        delete=_delete,
        settings=(Setting(kind.given, kind.set), Setting(("Tags",), kind.set_tags)),
        attributes={"Arn": kind.arn},
    )
    for each, kind in _TYPES.items()
)
