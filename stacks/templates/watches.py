"""
What is watched: one list of metrics, from which alarms and dashboard are made.

In the order traffic meets them: load balancer, tasks, container instances,
registry, bucket, and last what the service itself measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.contract import METRIC_NAMESPACE, Dimension, Metric
from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output

MINUTE: Final = 60
UNKNOWN_CERTIFICATE: Final = "unknown_certificate"
"""The reason of a refusal whose number is watched by itself: somebody tries, or many partners were not enrolled."""

EVERY_REQUEST: Final = "every-request"
"""The id under which S3 counts all requests to the certificate bucket (S3 guide, metrics configurations)."""


class Comparison(StrEnum):
    """When a value is one to tell somebody of; the words are CloudWatch's."""

    BELOW = "LessThanThreshold"
    ABOVE = "GreaterThanThreshold"
    AT_LEAST = "GreaterThanOrEqualToThreshold"
    UNUSUAL = "LessThanLowerOrGreaterThanUpperThreshold"


class Silence(StrEnum):
    """What it means when there is no value; the words are CloudWatch's."""

    GOOD = "notBreaching"
    BAD = "breaching"
    KEEPS_STATE = "ignore"


@dataclass(frozen=True, slots=True)
class Measure:
    """
    One metric, and the statistic of it that tells something.

    Attributes:
        dimensions: Each an output of another stack, or a name.
    """

    namespace: str
    metric: str
    dimensions: Mapping[str, Output | str]
    statistic: str


@dataclass(frozen=True, slots=True)
class Watch:
    """
    A measure and when it rouses somebody.

    Attributes:
        title: The alarm's logical id, by which its runbook knows it.
        threshold: Of the measure's unit; for the unusual, how many standard deviations wide the usual is.
        meaning: What is wrong, in a sentence.
        runbook: The page of docs/runbooks that says what to do, without its suffix.
        short_of: If there is one, what is compared is how much the measure falls short of this other one.
        of: Periods looked at; `breaches` of them must be over the threshold.
    """

    title: str
    measure: Measure
    comparison: Comparison
    threshold: float
    meaning: str
    runbook: str
    short_of: Measure | None = None
    period: int = MINUTE
    breaches: int = 1
    of: int = 1
    silence: Silence = Silence.GOOD

    @property
    def description(self) -> str:
        """What whoever is woken reads."""
        return f"{self.meaning} Runbook: docs/runbooks/{self.runbook}.md"


def watches(environment: Environment) -> list[Watch]:
    """List everything that has an alarm."""
    return [
        *_load_balancer(environment),
        *_tasks(environment),
        *_container_instances(environment),
        *_registry(),
        _certificate_bucket(),
        *_certificates(environment),
        *_service(environment),
    ]


def shown(environment: Environment) -> list[Measure]:
    """
    List what is on the dashboard and has no alarm.

    What the load balancer estimates is "not for use with CloudWatch alarms" (Classic ELB guide, CloudWatch metrics).
    """
    statistics = {
        Metric.REQUESTS: "Sum",
        Metric.LATENCY: "p99",
        Metric.HANDSHAKES: "Sum",
        Metric.CONNECTIONS_REFUSED: "Sum",
        Metric.CONNECTIONS_OPEN: "Average",
    }
    return [
        *(_measured(environment, metric, statistic) for metric, statistic in statistics.items()),
        _of_load_balancer("EstimatedALBActiveConnectionCount", "Sum"),
        _of_load_balancer("EstimatedALBNewConnectionCount", "Sum"),
        _of_load_balancer("EstimatedProcessedBytes", "Sum"),
        _of_instances("AWS/EC2", "MetadataNoTokenRejected", "Sum"),
    ]


# -- the load balancer -------------------------------------------------------------


def _of_load_balancer(metric: str, statistic: str) -> Measure:
    return Measure("AWS/ELB", metric, {"LoadBalancerName": Output.LOAD_BALANCER_NAME}, statistic)


def _load_balancer(environment: Environment) -> list[Watch]:
    return [
        Watch(
            "NoTaskHealthy",
            _of_load_balancer("HealthyHostCount", "Maximum"),
            Comparison.BELOW,
            1,
            "No task answers the health check: nobody gets in.",
            "ingress-is-down",
            breaches=3,
            of=3,
            silence=Silence.BAD,  # no instance registered gives no data at all
        ),
        Watch(
            "HealthyTasksTooFew",
            _of_load_balancer("HealthyHostCount", "Minimum"),
            Comparison.BELOW,
            environment.service.tasks,
            "Fewer tasks answer the health check than there should be: see the service's events and log.",
            "a-task-does-not-start",
            breaches=3,
            of=3,
            silence=Silence.BAD,
        ),
        Watch(
            "TasksUnhealthy",
            # The balancer's nodes disagree for a moment: the average over them, and not its maximum.
            _of_load_balancer("UnHealthyHostCount", "Average"),
            Comparison.AT_LEAST,
            1,
            "A task fails the health check: see its log.",
            "a-task-does-not-start",
            breaches=3,
            of=5,
        ),
        *_traffic(),
    ]


def _traffic() -> list[Watch]:
    return [
        Watch(
            "ConnectionsSpilled",
            _of_load_balancer("SpilloverCount", "Sum"),
            Comparison.ABOVE,
            0,
            "The load balancer closed connections because its queue is full: more tasks are needed.",
            "a-spike-of-connections",
        ),
        Watch(
            "ConnectionsQueued",
            # A sum over the nodes means nothing; each has its own queue of 1024.
            _of_load_balancer("SurgeQueueLength", "Maximum"),
            Comparison.ABOVE,
            100,
            "Connections wait for a task; at 1024 they are closed.",
            "a-spike-of-connections",
        ),
        Watch(
            "TaskConnectionErrors",
            _of_load_balancer("BackendConnectionErrors", "Sum"),
            Comparison.ABOVE,
            10,
            "The load balancer cannot connect to tasks: see security groups and the service's events.",
            "a-task-does-not-start",
            period=5 * MINUTE,
        ),
        Watch(
            "TaskConnectionsSlow",
            _of_load_balancer("Latency", "p99"),
            Comparison.ABOVE,
            0.5,
            "Connecting to a task takes long: its accept queue is full.",
            "a-spike-of-connections",
            breaches=3,
            of=5,
        ),
        Watch(
            "TrafficUnusual",
            _of_load_balancer("RequestCount", "Sum"),
            Comparison.UNUSUAL,
            4,
            "Far fewer or far more connections come than at this hour of other days.",
            "a-spike-of-connections",
            period=5 * MINUTE,
            breaches=3,
            of=3,
            silence=Silence.KEEPS_STATE,  # nothing is written while nobody calls
        ),
    ]


# -- tasks and container instances ----------------------------------------------------


def _tasks(environment: Environment) -> list[Watch]:
    name = naming.service_name(environment)
    dimensions: dict[str, Output | str] = {"ClusterName": Output.CLUSTER_NAME, "ServiceName": name}
    return [
        Watch(
            "TasksMissing",
            Measure("ECS/ContainerInsights", "RunningTaskCount", dimensions, "Minimum"),
            Comparison.ABOVE,
            0,
            "Fewer tasks run than are asked for: see the service's events.",
            "a-task-does-not-start",
            short_of=Measure("ECS/ContainerInsights", "DesiredTaskCount", dimensions, "Minimum"),
            breaches=5,
            of=5,
            silence=Silence.BAD,
        ),
        Watch(
            "CpuHigh",
            Measure("AWS/ECS", "CPUUtilization", dimensions, "Average"),
            Comparison.ABOVE,
            80,
            "Tasks are short of CPU although they scale: see max_tasks.",
            "alarms-of-aws",
            period=5 * MINUTE,
            breaches=2,
            of=2,
        ),
        Watch(
            "MemoryHigh",
            Measure("AWS/ECS", "MemoryUtilization", dimensions, "Average"),
            Comparison.ABOVE,
            80,
            "Tasks are short of memory and will be killed when it is gone: see memory_mib and connections.",
            "alarms-of-aws",
            period=5 * MINUTE,
            breaches=2,
            of=2,
        ),
    ]


def _of_instances(namespace: str, metric: str, statistic: str) -> Measure:
    return Measure(namespace, metric, {"AutoScalingGroupName": Output.AUTO_SCALING_GROUP_NAME}, statistic)


def _container_instances(environment: Environment) -> list[Watch]:
    provider = {"ClusterName": Output.CLUSTER_NAME, "CapacityProviderName": Output.CAPACITY_PROVIDER_NAME}
    return [
        Watch(
            "PlacementStuck",
            Measure("AWS/ECS/ManagedScaling", "CapacityProviderReservation", provider, "Average"),
            Comparison.ABOVE,
            100,
            "Tasks wait for instances: see the Auto Scaling group's activities and max_instances.",
            "a-deployment-is-stuck",
            breaches=15,
            of=15,
        ),
        Watch(
            "InstancesTooFew",
            _of_instances("AWS/AutoScaling", "GroupInServiceInstances", "Minimum"),
            Comparison.BELOW,
            environment.capacity.min_instances,
            "Fewer instances are in service than min_instances: see the Auto Scaling group's activities.",
            "a-container-instance-fails",
            breaches=5,
            of=5,
            silence=Silence.BAD,
        ),
        Watch(
            "DrainStuck",
            _of_instances("AWS/AutoScaling", "GroupTerminatingInstances", "Minimum"),
            Comparison.ABOVE,
            0,
            "An instance has been terminating for two hours: no other has the task's port free.",
            "a-drain-is-stuck",
            period=5 * MINUTE,
            breaches=24,
            of=24,
        ),
        Watch(
            "InstanceFailing",
            _of_instances("AWS/EC2", "StatusCheckFailed", "Maximum"),
            Comparison.ABOVE,
            0,
            "A container instance fails EC2's status checks.",
            "a-container-instance-fails",
            breaches=3,
            of=5,
        ),
        Watch(
            "MetadataWithoutToken",
            _of_instances("AWS/EC2", "MetadataNoToken", "Sum"),
            Comparison.ABOVE,
            0,
            "An instance answered for its credentials without a token (IMDSv1), which its launch template forbids.",
            "alarms-of-aws",
            period=5 * MINUTE,
        ),
    ]


# -- what holds state -------------------------------------------------------------------


def _registry() -> list[Watch]:
    lookups: dict[str, Output | str] = {"TableName": Output.CLIENT_REGISTRY_TABLE_NAME, "Operation": "GetItem"}
    return [
        Watch(
            "RegistryThrottled",
            Measure("AWS/DynamoDB", "ThrottledRequests", lookups, "Sum"),
            Comparison.ABOVE,
            0,
            "The client registry refuses reads for their number: clients get 503.",
            "alarms-of-aws",
            period=5 * MINUTE,
        ),
        Watch(
            "RegistryFailing",
            Measure("AWS/DynamoDB", "SystemErrors", lookups, "Sum"),
            Comparison.ABOVE,
            0,
            "DynamoDB fails: clients may get 503; see the AWS health dashboard.",
            "alarms-of-aws",
            period=5 * MINUTE,
        ),
    ]


def _certificate_bucket() -> Watch:
    requests: dict[str, Output | str] = {"BucketName": Output.CERTIFICATE_BUCKET_NAME, "FilterId": EVERY_REQUEST}
    return Watch(
        "CertificateBucketRefuses",
        Measure("AWS/S3", "4xxErrors", requests, "Sum"),
        Comparison.ABOVE,
        5,  # one or two are an operator's question for an object that is not there yet
        "The certificate bucket refuses requests: tasks lack a right, or somebody tries who has none.",
        "the-certificate-bucket-changed",
        period=5 * MINUTE,
    )


# -- what the service measures ------------------------------------------------------------


def _measured(environment: Environment, metric: Metric, statistic: str, **by: str) -> Measure:
    """Name a metric of the service, as it writes all it counts and the soonest of all ends: by the environment."""
    return Measure(METRIC_NAMESPACE, metric.value, {Dimension.ENVIRONMENT.value: environment.name, **by}, statistic)


def _certificates(environment: Environment) -> list[Watch]:
    """
    Watch the days that certificates have left, as the service measures them (docs/metrics.md).

    No alarm can name a client it does not know, so the soonest end of all
    clients in use is watched; the log and the metric by client say whose it is.
    """
    server = _measured(environment, Metric.SERVER_CERTIFICATE_DAYS, "Minimum")
    client = _measured(environment, Metric.CLIENT_CERTIFICATE_DAYS, "Minimum")
    page = "alarms-of-the-service"
    return [
        Watch(
            "ServerCertificateEndsSoon",
            server,
            Comparison.BELOW,
            30,
            "The server certificate ends in less than 30 days, or no task says when: request and install another.",
            page,
            period=5 * MINUTE,
            breaches=3,
            of=3,
            silence=Silence.BAD,  # a certificate nobody watches, and metrics that do not arrive
        ),
        Watch(
            "ServerCertificateEndsNow",
            server,
            Comparison.BELOW,
            7,
            "The server certificate ends in less than 7 days, or no task says when: install another today.",
            page,
            period=5 * MINUTE,
            breaches=3,
            of=3,
            silence=Silence.BAD,
        ),
        Watch(
            "ClientCertificateEndsSoon",
            client,
            Comparison.BELOW,
            30,
            "A client in use will be refused in less than 30 days: see the metric by client, and ask for its next one.",
            page,
            period=5 * MINUTE,
            breaches=3,
            of=3,
            silence=Silence.KEEPS_STATE,  # nobody called who would say otherwise
        ),
    ]


def _service(environment: Environment) -> list[Watch]:
    """Watch what the service counts; it writes zeros, and if it is silent the server certificate's alarm says so."""

    def more_than(count: int, metric: Metric, **by: str) -> tuple[Measure, Comparison, int]:
        return _measured(environment, metric, "Sum", **by), Comparison.ABOVE, count

    page = "alarms-of-the-service"
    return [
        Watch(
            "RegistryUnavailable",
            *more_than(0, Metric.REGISTRY_ERRORS),
            "The client registry did not answer: clients get 503; see reason registry_unavailable in the log.",
            page,
            breaches=2,
            of=5,
        ),
        Watch(
            "CertificateReloadFailing",
            *more_than(0, Metric.RELOAD_FAILURES),
            "A new server certificate cannot be taken, the old one serves on: see certificate_reload_failed.",
            page,
            breaches=2,
            of=5,
        ),
        Watch(
            "KeySetFailing",
            *more_than(0, Metric.KEY_SET_FAILURES),
            "The keys of the tokens' issuer cannot be fetched, the last ones serve on: see key_set_failed.",
            page,
            period=5 * MINUTE,
            breaches=2,
            of=3,
        ),
        Watch(
            "AuditLinesLost",
            *more_than(0, Metric.AUDIT_LINES_LOST),
            "Decisions are missing in the log, because nobody read the tasks' output in time: see audit_lines_lost.",
            page,
        ),
        Watch(
            "RequestsFailing",
            *more_than(20, Metric.REQUESTS_FAILED),
            "What is behind the gate fails clients that were let in: see decision failed and its cause in the log.",
            page,
            period=5 * MINUTE,
            breaches=2,
            of=3,
        ),
        Watch(
            "RefusalsMany",
            *more_than(100, Metric.REFUSALS),
            "Many requests are refused: the metric by reason and the log say which clients, and why.",
            page,
            period=5 * MINUTE,
            breaches=3,
            of=3,
        ),
        Watch(
            "StrangersMany",
            *more_than(50, Metric.REFUSALS, **{Dimension.REASON.value: UNKNOWN_CERTIFICATE}),
            "Many certificates come that nobody enrolled: see unknown_certificate in the log.",
            page,
            period=5 * MINUTE,
            breaches=2,
            of=3,
        ),
        Watch(
            "HandshakesFailing",
            *more_than(100, Metric.HANDSHAKES_FAILED),
            "Many handshakes fail: see handshake_failed and its reason in the log.",
            page,
            period=5 * MINUTE,
            breaches=3,
            of=3,
        ),
    ]
