"""
Which metrics there are to watch, what their dimensions name, and when each is bad.

An alarm on a metric that does not exist is made without complaint and never
changes its state; so is one whose threshold its metric cannot reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from service.contract import METRIC_NAMESPACE, Dimension, Metric

_ELB: Final = "Classic ELB guide, CloudWatch metrics for your Classic Load Balancer"
_ECS: Final = "ECS guide, CloudWatch metrics"
_INSIGHTS: Final = "CloudWatch guide, Container Insights metrics of ECS"
_SCALING: Final = "ECS guide, cluster auto scaling"
_GROUP: Final = "EC2 Auto Scaling guide, CloudWatch metrics"
_EC2: Final = "EC2 guide, CloudWatch metrics that are available for your instances"
_TABLE: Final = "DynamoDB guide, DynamoDB metrics and dimensions"
_BUCKET: Final = "S3 guide, metrics and dimensions, request metrics"
_OURS: Final = "docs/metrics.md"


class Side(Enum):
    """Which values of a metric are bad."""

    LOW = auto()
    HIGH = auto()
    EITHER = auto()


@dataclass(frozen=True, slots=True)
class Known:
    """
    A metric there is.

    Attributes:
        dimensions: Every set of dimensions it is written by that an alarm can name.
        side: Where its bad values lie.
        statistics: Those that tell something; `p` is any percentile.
        source: The page that lists it.
        is_sparse: Whether it is written only when there is something to tell, so that silence is good.
    """

    dimensions: tuple[frozenset[str], ...]
    side: Side
    statistics: frozenset[str]
    source: str
    is_sparse: bool = False


def _known(
    dimensions: str | tuple[str, ...], side: Side, statistics: str, source: str, *, is_sparse: bool = False
) -> Known:
    sets = (dimensions,) if isinstance(dimensions, str) else dimensions
    return Known(
        tuple(frozenset(each.split()) for each in sets), side, frozenset(statistics.split()), source, is_sparse
    )


_BALANCER: Final = "LoadBalancerName"
_SERVICE: Final = "ClusterName ServiceName"
_ASG: Final = "AutoScalingGroupName"
_OPERATION: Final = "TableName Operation"
_ENVIRONMENT: Final = Dimension.ENVIRONMENT.value
_LOW, _HIGH = Side.LOW, Side.HIGH


def _ours(side: Side, statistics: str, *by: Dimension) -> Known:
    return _known((_ENVIRONMENT, *(f"{_ENVIRONMENT} {each}" for each in by)), side, statistics, _OURS)


KNOWN: Final[Mapping[tuple[str, str], Known]] = {
    ("AWS/ELB", "HealthyHostCount"): _known(_BALANCER, _LOW, "Minimum Maximum Average", _ELB),
    ("AWS/ELB", "UnHealthyHostCount"): _known(_BALANCER, _HIGH, "Average Minimum Maximum", _ELB),
    ("AWS/ELB", "SpilloverCount"): _known(_BALANCER, _HIGH, "Sum", _ELB, is_sparse=True),
    ("AWS/ELB", "SurgeQueueLength"): _known(_BALANCER, _HIGH, "Maximum", _ELB, is_sparse=True),
    ("AWS/ELB", "BackendConnectionErrors"): _known(_BALANCER, _HIGH, "Sum", _ELB, is_sparse=True),
    ("AWS/ELB", "Latency"): _known(_BALANCER, _HIGH, "Average Maximum p", _ELB, is_sparse=True),
    ("AWS/ELB", "RequestCount"): _known(_BALANCER, Side.EITHER, "Sum", _ELB, is_sparse=True),
    ("AWS/ECS", "CPUUtilization"): _known(_SERVICE, _HIGH, "Average Maximum", _ECS),
    ("AWS/ECS", "MemoryUtilization"): _known(_SERVICE, _HIGH, "Average Maximum", _ECS),
    ("ECS/ContainerInsights", "RunningTaskCount"): _known(_SERVICE, _LOW, "Minimum Average", _INSIGHTS),
    ("ECS/ContainerInsights", "DesiredTaskCount"): _known(_SERVICE, _LOW, "Minimum Average", _INSIGHTS),
    ("ECS/ContainerInsights", "PendingTaskCount"): _known(_SERVICE, _HIGH, "Minimum Average Maximum", _INSIGHTS),
    ("AWS/ECS/ManagedScaling", "CapacityProviderReservation"): _known(
        "ClusterName CapacityProviderName", _HIGH, "Average Minimum Maximum", _SCALING
    ),
    ("AWS/AutoScaling", "GroupInServiceInstances"): _known(_ASG, _LOW, "Minimum Average", _GROUP),
    ("AWS/AutoScaling", "GroupTerminatingInstances"): _known(_ASG, _HIGH, "Minimum Average", _GROUP),
    ("AWS/EC2", "StatusCheckFailed"): _known(_ASG, _HIGH, "Maximum Sum", _EC2),
    ("AWS/EC2", "StatusCheckFailed_Instance"): _known(_ASG, _HIGH, "Maximum Sum", _EC2),
    ("AWS/EC2", "StatusCheckFailed_System"): _known(_ASG, _HIGH, "Maximum Sum", _EC2),
    ("AWS/EC2", "MetadataNoToken"): _known(_ASG, _HIGH, "Sum Maximum", _EC2),
    ("AWS/EC2", "MetadataNoTokenRejected"): _known(_ASG, _HIGH, "Sum Maximum", _EC2),
    ("AWS/DynamoDB", "ThrottledRequests"): _known(_OPERATION, _HIGH, "Sum", _TABLE, is_sparse=True),
    ("AWS/DynamoDB", "ReadThrottleEvents"): _known("TableName", _HIGH, "Sum", _TABLE, is_sparse=True),
    ("AWS/DynamoDB", "SystemErrors"): _known(_OPERATION, _HIGH, "Sum", _TABLE, is_sparse=True),
    ("AWS/S3", "4xxErrors"): _known("BucketName FilterId", _HIGH, "Sum Average", _BUCKET, is_sparse=True),
    ("AWS/S3", "5xxErrors"): _known("BucketName FilterId", _HIGH, "Sum Average", _BUCKET, is_sparse=True),
    (METRIC_NAMESPACE, Metric.SERVER_CERTIFICATE_DAYS): _ours(_LOW, "Minimum"),
    (METRIC_NAMESPACE, Metric.CLIENT_CERTIFICATE_DAYS): _ours(_LOW, "Minimum", Dimension.CLIENT),
    (METRIC_NAMESPACE, Metric.HANDSHAKES): _ours(Side.EITHER, "Sum", Dimension.TLS_VERSION, Dimension.GROUP),
    (METRIC_NAMESPACE, Metric.HANDSHAKES_FAILED): _ours(_HIGH, "Sum"),
    (METRIC_NAMESPACE, Metric.CONNECTIONS_REFUSED): _ours(_HIGH, "Sum", Dimension.REASON),
    (METRIC_NAMESPACE, Metric.CONNECTIONS_OPEN): _ours(_HIGH, "Average Maximum"),
    (METRIC_NAMESPACE, Metric.REQUESTS): _ours(Side.EITHER, "Sum", Dimension.DECISION),
    (METRIC_NAMESPACE, Metric.REQUESTS_FAILED): _ours(_HIGH, "Sum"),
    (METRIC_NAMESPACE, Metric.REFUSALS): _ours(_HIGH, "Sum", Dimension.REASON),
    (METRIC_NAMESPACE, Metric.LATENCY): _ours(_HIGH, "Average Maximum p"),
    (METRIC_NAMESPACE, Metric.RELOAD_FAILURES): _ours(_HIGH, "Sum"),
    (METRIC_NAMESPACE, Metric.REGISTRY_ERRORS): _ours(_HIGH, "Sum"),
    (METRIC_NAMESPACE, Metric.KEY_SET_FAILURES): _ours(_HIGH, "Sum"),
    (METRIC_NAMESPACE, Metric.AUDIT_LINES_LOST): _ours(_HIGH, "Sum"),
}
"""By namespace and name. None of `EstimatedALB...` is here: AWS says that they are not for alarms."""
