"""
What must have an alarm, and what each alarm must be able to tell apart.

A demand says no threshold: it says at which value somebody must be told and at
which nobody may be, so that an alarm written in another way is judged alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.contract import METRIC_NAMESPACE, Dimension, Metric, Variable
from stacks.rules.estate import Estate, Resource
from stacks.rules.topology import GROUP, LOAD_BALANCER, PROVIDER, SERVICE
from stacks.rules.values import number
from stacks.rules.watching import BUCKET, told_to_tasks

_GOOD: Final = ("notBreaching",)
_BAD: Final = ("breaching",)
_DAY: Final = 24 * 3600
Facts = Callable[[Estate], float]


@dataclass(frozen=True, slots=True)
class Demand:
    """
    One thing that must be watched.

    Attributes:
        metrics: Any of these serves; namespace and name.
        of: What of the templates its dimensions name, in words.
        bad: A value at which the alarm must go off.
        good: A value at which it must not.
        statistics: Those that serve.
        silence: How missing data may be treated; empty is any way.
        least_seconds: How long it must be bad at the least, at the most before somebody is told.
        having: Further dimensions, with their values.
        whose: The resources that must be watched, each by itself; None where the metric is of no resource.
    """

    metrics: tuple[tuple[str, str], ...]
    of: str
    bad: Facts
    good: Facts
    statistics: tuple[str, ...]
    silence: tuple[str, ...] = ()
    least_seconds: float = 10
    most_seconds: float = 1800
    having: tuple[tuple[str, str], ...] = ()
    short_of: str = ""
    whose: Callable[[Estate], list[Resource]] | None = None

    @property
    def said(self) -> str:
        """What is demanded, for a finding."""
        names = " or ".join(f"{namespace} {metric}" for namespace, metric in self.metrics)
        by = "".join(f", {name} {value}" for name, value in self.having)
        return f"an alarm on {names} of {self.of}{by}"


def _always(value: float) -> Facts:
    return lambda _: value


def _tasks(estate: Estate) -> float:
    return max((number(each.get("DesiredCount")) or 0 for each in estate.of_type(SERVICE)), default=0)


def _instances(estate: Estate) -> float:
    return max((number(each.get("MinSize")) or 0 for each in estate.of_type(GROUP)), default=0)


def _less(facts: Facts) -> Facts:
    return lambda estate: facts(estate) - 1


def _every(resource_type: str) -> Callable[[Estate], list[Resource]]:
    return lambda estate: estate.of_type(resource_type)


def certificate_buckets(estate: Estate) -> list[Resource]:
    """Give the buckets that tasks are told to fetch the certificate from."""
    told = told_to_tasks(estate, Variable.CERTIFICATE_BUCKET)
    return [bucket for bucket in estate.of_type(BUCKET) if estate.ref(bucket) in told]


def registries(estate: Estate) -> list[Resource]:
    """Give the tables that tasks are told to look clients up in."""
    told = told_to_tasks(estate, Variable.CLIENT_REGISTRY_TABLE)
    return [table for table in estate.of_type("AWS::DynamoDB::Table") if estate.ref(table) in told]


def _balancer(metric: str, bad: Facts, good: Facts, statistics: str, silence: tuple[str, ...] = _GOOD) -> Demand:
    served = tuple(statistics.split())
    return Demand((("AWS/ELB", metric),), "the load balancer", bad, good, served, silence, whose=_every(LOAD_BALANCER))


def _cluster_service(metric: str) -> Demand:
    return Demand(
        (("AWS/ECS", metric),),
        "the service",
        _always(81),
        _always(50),
        ("Average",),
        most_seconds=1200,
        whose=_every(SERVICE),
    )


def _ours(metric: Metric, bad: float, good: float, statistic: str = "Sum", silence: tuple[str, ...] = _GOOD) -> Demand:
    return Demand(((METRIC_NAMESPACE, metric),), "the environment", _always(bad), _always(good), (statistic,), silence)


_OF_GROUP: Final = "the Auto Scaling group"


def _of_instances(metric: str) -> Demand:
    served = ("Sum", "Maximum")
    return Demand((("AWS/EC2", metric),), _OF_GROUP, _always(1), _always(0), served, _GOOD, whose=_every(GROUP))


DEMANDS: Final[tuple[Demand, ...]] = (
    _balancer("HealthyHostCount", _less(_tasks), _tasks, "Minimum", _BAD),
    _balancer("UnHealthyHostCount", _always(1), _always(0), "Average Minimum"),
    _balancer("SpilloverCount", _always(1), _always(0), "Sum"),
    _balancer("SurgeQueueLength", _always(101), _always(10), "Maximum"),
    _balancer("BackendConnectionErrors", _always(11), _always(1), "Sum"),
    _balancer("Latency", _always(0.51), _always(0.05), "p99 p95 p99.9"),
    _cluster_service("CPUUtilization"),
    _cluster_service("MemoryUtilization"),
    Demand(
        (("ECS/ContainerInsights", "RunningTaskCount"),),
        "the service",
        _always(1),
        _always(0),
        ("Minimum", "Average"),
        _BAD,
        most_seconds=600,
        short_of="DesiredTaskCount",
        whose=_every(SERVICE),
    ),
    Demand(
        (("AWS/ECS/ManagedScaling", "CapacityProviderReservation"),),
        "the capacity provider",
        _always(101),
        _always(100),
        ("Average", "Minimum", "Maximum"),
        least_seconds=300,
        whose=_every(PROVIDER),
    ),
    Demand(
        (("AWS/AutoScaling", "GroupInServiceInstances"),),
        _OF_GROUP,
        _less(_instances),
        _instances,
        ("Minimum", "Average"),
        _BAD,
        whose=_every(GROUP),
    ),
    Demand(
        (("AWS/AutoScaling", "GroupTerminatingInstances"),),
        _OF_GROUP,
        _always(1),
        _always(0),
        ("Minimum", "Average"),
        _GOOD,
        least_seconds=7200,
        most_seconds=14400,
        whose=_every(GROUP),
    ),
    _of_instances("StatusCheckFailed"),
    _of_instances("MetadataNoToken"),
    Demand(
        (("AWS/DynamoDB", "ThrottledRequests"), ("AWS/DynamoDB", "ReadThrottleEvents")),
        "the client registry",
        _always(10),
        _always(0),
        ("Sum",),
        _GOOD,
        whose=registries,
    ),
    Demand(
        (("AWS/DynamoDB", "SystemErrors"),),
        "the client registry",
        _always(10),
        _always(0),
        ("Sum",),
        _GOOD,
        whose=registries,
    ),
    Demand(
        (("AWS/S3", "4xxErrors"),),
        "the certificate bucket",
        _always(20),
        _always(0),
        ("Sum",),
        _GOOD,
        whose=certificate_buckets,
    ),
    _ours(Metric.SERVER_CERTIFICATE_DAYS, 29, 31, "Minimum", _BAD),
    _ours(Metric.SERVER_CERTIFICATE_DAYS, 6, 8, "Minimum", _BAD),
    _ours(Metric.CLIENT_CERTIFICATE_DAYS, 29, 31, "Minimum", ("breaching", "ignore")),
    _ours(Metric.HANDSHAKES_FAILED, 1000, 0),
    Demand(
        ((METRIC_NAMESPACE, Metric.REFUSALS),),
        "the environment",
        _always(1000),
        _always(0),
        ("Sum",),
        _GOOD,
        having=((Dimension.REASON, "unknown_certificate"),),
    ),
    _ours(Metric.REGISTRY_ERRORS, 5, 0),
    _ours(Metric.RELOAD_FAILURES, 1, 0),
    _ours(Metric.AUDIT_LINES_LOST, 1, 0),
)
"""The alarms of section "operations"; the traffic's own, which has no threshold, is a rule of its own."""
