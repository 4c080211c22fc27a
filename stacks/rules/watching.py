"""
Alarms as rules read them: the metrics they compare, joined to what those metrics are of.

A metric is joined by the text its dimension gives, so that a reference, a name
written out and a parameter are judged alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from service.contract import Dimension, Variable
from stacks.rules.estate import Estate, Resource, UnresolvedError
from stacks.rules.topology import TASK_DEFINITION, containers_of
from stacks.rules.values import number

ALARM: Final = "AWS::CloudWatch::Alarm"
COMPOSITE: Final = "AWS::CloudWatch::CompositeAlarm"
BUCKET: Final = "AWS::S3::Bucket"

_FIRES: Final = {
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
}

_NAMED_BY: Final[Mapping[str, tuple[str, str]]] = {
    "LoadBalancerName": ("AWS::ElasticLoadBalancing::LoadBalancer", "Ref"),
    "ClusterName": ("AWS::ECS::Cluster", "Ref"),
    "ServiceName": ("AWS::ECS::Service", "Name"),
    "CapacityProviderName": ("AWS::ECS::CapacityProvider", "Ref"),
    "AutoScalingGroupName": ("AWS::AutoScaling::AutoScalingGroup", "Ref"),
    "TableName": ("AWS::DynamoDB::Table", "Ref"),
    "BucketName": (BUCKET, "Ref"),
}
"""Which resource a dimension names, and what of it gives the name; `Ref` of a service is its ARN."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of an alarm, and the path in the alarm it is named at."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str
    period: float | None
    path: str

    @property
    def name(self) -> str:
        """Namespace and name."""
        return f"{self.namespace} {self.metric}"


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    An alarm on metrics.

    Attributes:
        expressions: What is reckoned of the metrics, by id.
    """

    resource: Resource
    series: tuple[Series, ...]
    expressions: Mapping[str, str]

    def get(self, path: str) -> Any:  # noqa: ANN401 -- whatever stands there
        """Read a property."""
        return self.resource.get(path)

    @property
    def is_band(self) -> bool:
        """Whether it compares with what is usual, and not with a number."""
        return "ANOMALY_DETECTION_BAND" in self.expressions.get(str(self.get("ThresholdMetricId")), "")

    def fires_at(self, value: float) -> bool:
        """Say whether a value is over its threshold; one nobody can read never is."""
        threshold = number(self.get("Threshold"))
        compare = _FIRES.get(str(self.get("ComparisonOperator")))
        return threshold is not None and compare is not None and bool(compare(value, threshold))

    @property
    def seconds(self) -> float:
        """How long it must be bad before the alarm goes off; 0 if that cannot be read."""
        periods = number(self.get("EvaluationPeriods")) or 0
        points = number(self.get("DatapointsToAlarm"))
        return (points if points is not None else periods) * max((each.period or 0 for each in self.series), default=0)


def alarms(estate: Estate) -> list[Alarm]:
    """Give every alarm on metrics that can be told; rules over each alarm by itself object to the others."""
    found: list[Alarm] = []
    for resource in estate.of_type(ALARM):
        with suppress(UnresolvedError):
            found.append(_alarm(resource))
    return found


def read_alarm(resource: Resource) -> Alarm:
    """Read one alarm."""
    return _alarm(resource)


def _alarm(resource: Resource) -> Alarm:
    queries = resource.tables("Metrics")
    expressions = {str(query.get("Id")): str(query["Expression"]) for _, query in queries if "Expression" in query}
    return Alarm(resource, tuple(_series(resource)), expressions)


def _series(resource: Resource) -> Iterator[Series]:
    if resource.get("MetricName") is not None:
        statistic = resource.get("Statistic") or resource.get("ExtendedStatistic") or ""
        yield Series(
            str(resource.get("Namespace") or ""),
            str(resource.get("MetricName")),
            _dimensions(resource.get("Dimensions")),
            str(statistic),
            number(resource.get("Period")),
            "Dimensions",
        )
    for path, query in resource.tables("Metrics"):
        stat = query.get("MetricStat")
        if isinstance(stat, dict) and isinstance(stat.get("Metric"), dict):
            metric = stat["Metric"]
            yield Series(
                str(metric.get("Namespace") or ""),
                str(metric.get("MetricName") or ""),
                _dimensions(metric.get("Dimensions")),
                str(stat.get("Stat") or ""),
                number(stat.get("Period")),
                f"{path}.MetricStat.Metric.Dimensions",
            )


def _dimensions(found: Any) -> dict[str, str]:  # noqa: ANN401 -- a hand may have written anything
    pairs = found if isinstance(found, list) else []
    return {str(pair.get("Name")): str(pair.get("Value")) for pair in pairs if isinstance(pair, dict)}


def what_is_named(estate: Estate, series: Series, dimension: str) -> Resource | None:
    """Give the resource that a dimension names; None if there is none of that name."""
    resource_type, attribute = _NAMED_BY[dimension]
    named = estate.of_type(resource_type)
    return next((each for each in named if name_of(each, attribute) == series.dimensions.get(dimension)), None)


def what_are_named(estate: Estate, series: Series) -> list[Resource | None]:
    """Give the resource of each dimension that names one."""
    return [what_is_named(estate, series, dimension) for dimension in series.dimensions if dimension in _NAMED_BY]


def name_of(resource: Resource, attribute: str = "Ref") -> str:
    """Say what a resource's metrics call it."""
    wanted = {"Ref": resource.logical_id} if attribute == "Ref" else {"Fn::GetAtt": [resource.logical_id, attribute]}
    return str(resource.estate.resolver.value(resource.stack, wanted))


def misnamed(estate: Estate, series: Series) -> Iterator[tuple[str, str]]:
    """Give the dimensions that name nothing there is, each with what it must be."""
    for dimension in series.dimensions:
        if dimension in _NAMED_BY and what_is_named(estate, series, dimension) is None:
            yield dimension, f"the name of a resource of type {_NAMED_BY[dimension][0]} in the templates"
    if Dimension.ENVIRONMENT in series.dimensions:
        names = told_to_tasks(estate, Variable.ENVIRONMENT_NAME)
        if series.dimensions[Dimension.ENVIRONMENT] not in names:
            yield Dimension.ENVIRONMENT, f"what tasks are told in {Variable.ENVIRONMENT_NAME}: {', '.join(names)}"
    if "FilterId" in series.dimensions and "BucketName" in series.dimensions:
        bucket = what_is_named(estate, series, "BucketName")
        filters = [str(table.get("Id")) for _, table in bucket.tables("MetricsConfigurations")] if bucket else []
        if series.dimensions["FilterId"] not in filters:
            yield "FilterId", "the id of a metrics configuration of the bucket"


def told_to_tasks(estate: Estate, variable: Variable) -> list[str]:
    """Give the values that containers get of an environment variable."""
    containers = (part for each in estate.of_type(TASK_DEFINITION) for _, part in containers_of(each))
    pairs = (pair for container in containers for pair in container.get("Environment") or [])
    return sorted({str(pair.get("Value")) for pair in pairs if isinstance(pair, dict) and pair.get("Name") == variable})
