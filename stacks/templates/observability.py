"""
What is watched: the service's log, the alarms and whom they reach, and one dashboard made of the same list.

It stands before the workload does, so that the first line and the first fault
are seen; the service is known by the name it will have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from awacs import kms, sns
from awacs.aws import Action, ArnLike, Bool, StringEquals
from troposphere import GetAtt, Ref, Sub, Template
from troposphere.cloudwatch import Alarm, Dashboard, MetricDimension
from troposphere.kms import Key
from troposphere.logs import LogGroup
from troposphere.sns import SubscriptionResource, Topic, TopicPolicy

from service.contract import METRIC_NAMESPACE, Dimension, Metric
from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.permissions import Statement, allow, arn, deny, policy, service
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.retention import RETAINED

_MINUTE: Final = 60


def build(environment: Environment) -> Template:
    """Build the template of log, alarms and dashboard."""
    template = begin(environment, "what is watched")
    key = template.add_resource(
        encryption_key(
            environment, "ObservabilityKey", "The service's log and its alarms", *_service_grants(environment)
        )
    )
    template.add_resource(alias(environment, "ObservabilityKeyAlias", key, stack="observability"))
    log_group = template.add_resource(
        LogGroup(
            "ServiceLogGroup",
            LogGroupName=naming.service_log_group(environment),
            RetentionInDays=environment.logs.retention_days,
            KmsKeyId=GetAtt(key, "Arn"),
            **RETAINED,
        )
    )
    topic = _topic(template, environment, key)
    watches = _watches(environment)
    for watch in watches:
        template.add_resource(_alarm(template, environment, watch, topic))
    template.add_resource(_dashboard(environment, watches))
    offer(template, Output.SERVICE_LOG_GROUP_NAME, Ref(log_group))
    offer(template, Output.ALARM_TOPIC_ARN, Ref(topic))
    return template


def _service_grants(environment: Environment) -> list[Statement]:
    """
    Let the services that encrypt on our behalf use the key.

    Without the second, alarms go nowhere and nothing says so: CloudWatch
    publishes to the topic and is refused by the key.
    """
    log_groups = arn(environment, "logs", f"log-group:/{environment.project}/{environment.name}/*")
    return [
        allow(
            "LogsEncrypt",
            [
                kms.Encrypt,
                kms.Decrypt,
                Action("kms", "ReEncrypt*"),
                Action("kms", "GenerateDataKey*"),
                kms.DescribeKey,
            ],
            "*",
            to=service(f"logs.{environment.region}.amazonaws.com"),
            when=[ArnLike({"kms:EncryptionContext:aws:logs:arn": log_groups})],
        ),
        allow(
            "AlarmsAreSent",
            [kms.Decrypt, Action("kms", "GenerateDataKey*")],
            "*",
            to=service("cloudwatch.amazonaws.com", "events.amazonaws.com"),
            when=[StringEquals({"aws:SourceAccount": environment.account})],
        ),
    ]


# -- whom alarms reach -------------------------------------------------------------


def _topic(template: Template, environment: Environment, key: Key) -> Topic:
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
                deny("OnlyOverTls", [sns.Publish], Ref(topic), when=[Bool({"aws:SecureTransport": False})]),
            ),
        )
    )
    for number, address in enumerate(environment.alarms.emails, start=1):
        template.add_resource(
            SubscriptionResource(f"AlarmSubscription{number}", TopicArn=Ref(topic), Protocol="email", Endpoint=address)
        )
    return topic


# -- alarms ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Watch:
    """
    One metric and when it rouses somebody.

    Attributes:
        dimensions: Each an output of another stack, or a name.
        comparison: `<`, `>` or `>=`.
        of: Periods looked at; `breaches` of them must be over the threshold.
        missing: What silence means.
        meaning: What is wrong, and where to look first.
    """

    title: str
    namespace: str
    metric: str
    dimensions: Mapping[str, Output | str]
    statistic: str
    comparison: str
    threshold: float
    meaning: str
    period: int = _MINUTE
    breaches: int = 1
    of: int = 1
    missing: str = "notBreaching"


def _watches(environment: Environment) -> list[_Watch]:
    return [
        *_load_balancer_watches(environment),
        *_service_watches(environment),
        *_capacity_watches(environment),
        *_registry_watches(),
        *_certificate_watches(environment),
        *_measured_watches(environment),
    ]


def _load_balancer_watches(environment: Environment) -> list[_Watch]:
    namespace, load_balancer = "AWS/ELB", {"LoadBalancerName": Output.LOAD_BALANCER_NAME}
    return [
        _Watch(
            "HealthyTasksTooFew",
            *(namespace, "HealthyHostCount", load_balancer, "Minimum", "<", environment.service.tasks),
            "Fewer tasks answer the health check than there should be: see the service's events and log.",
            breaches=3,
            of=3,
            missing="breaching",  # no instance registered gives no data at all
        ),
        _Watch(
            "TasksUnhealthy",
            *(namespace, "UnHealthyHostCount", load_balancer, "Average", ">=", 1),
            "A task fails the health check: see its log.",
            breaches=3,
            of=5,
        ),
        _Watch(
            "ConnectionsSpilled",
            *(namespace, "SpilloverCount", load_balancer, "Sum", ">", 0),
            "The load balancer closed connections because its queue is full: more tasks are needed.",
        ),
        _Watch(
            "ConnectionsQueued",
            *(namespace, "SurgeQueueLength", load_balancer, "Maximum", ">", 100),
            "Connections wait for a task; at 1024 they are closed.",
        ),
        _Watch(
            "TaskConnectionErrors",
            *(namespace, "BackendConnectionErrors", load_balancer, "Sum", ">", 10),
            "The load balancer cannot connect to tasks: see security groups and the service's events.",
            period=5 * _MINUTE,
        ),
        _Watch(
            "TaskConnectionsSlow",
            *(namespace, "Latency", load_balancer, "p99", ">", 0.5),
            "Connecting to a task takes long: its accept queue is full.",
            breaches=3,
            of=5,
        ),
    ]


def _service_watches(environment: Environment) -> list[_Watch]:
    name = naming.service_name(environment)
    dimensions: dict[str, Output | str] = {"ClusterName": Output.CLUSTER_NAME, "ServiceName": name}
    return [
        _Watch(
            "TasksMissing",
            *("ECS/ContainerInsights", "RunningTaskCount", dimensions, "Minimum", "<", environment.service.tasks),
            "Fewer tasks run than there should: see the service's events.",
            breaches=5,
            of=5,
            missing="breaching",
        ),
        _Watch(
            "CpuHigh",
            *("AWS/ECS", "CPUUtilization", dimensions, "Average", ">", 80),
            "Tasks are short of CPU although they scale: see max_tasks.",
            period=5 * _MINUTE,
            breaches=2,
            of=2,
        ),
        _Watch(
            "MemoryHigh",
            *("AWS/ECS", "MemoryUtilization", dimensions, "Average", ">", 80),
            "Tasks are short of memory and will be killed when it is gone: see memory_mib and connections.",
            period=5 * _MINUTE,
            breaches=2,
            of=2,
        ),
    ]


def _capacity_watches(environment: Environment) -> list[_Watch]:
    group = {"AutoScalingGroupName": Output.AUTO_SCALING_GROUP_NAME}
    provider = {
        "ClusterName": Output.CLUSTER_NAME,
        "CapacityProviderName": Output.CAPACITY_PROVIDER_NAME,
    }
    return [
        _Watch(
            "PlacementStuck",
            *("AWS/ECS/ManagedScaling", "CapacityProviderReservation", provider, "Average", ">", 100),
            "Tasks wait for instances: see the Auto Scaling group's activities and max_instances.",
            breaches=15,
            of=15,
        ),
        _Watch(
            "InstancesTooFew",
            *("AWS/AutoScaling", "GroupInServiceInstances", group, "Minimum", "<", environment.capacity.min_instances),
            "Fewer instances are in service than min_instances: see the Auto Scaling group's activities.",
            breaches=5,
            of=5,
            missing="breaching",
        ),
        _Watch(
            "DrainStuck",
            *("AWS/AutoScaling", "GroupTerminatingInstances", group, "Minimum", ">", 0),
            "An instance has been terminating for two hours: no other has the task's port free.",
            period=5 * _MINUTE,
            breaches=24,
            of=24,
        ),
    ]


def _registry_watches() -> list[_Watch]:
    table = {"TableName": Output.CLIENT_REGISTRY_TABLE_NAME}
    return [
        _Watch(
            "RegistryThrottled",
            *("AWS/DynamoDB", "ReadThrottleEvents", table, "Sum", ">", 0),
            "The client registry refuses reads for their number: clients get 503.",
            period=5 * _MINUTE,
        ),
        _Watch(
            "RegistryFailing",
            *("AWS/DynamoDB", "SystemErrors", {**table, "Operation": "GetItem"}, "Sum", ">", 0),
            "DynamoDB fails: clients may get 503; see the AWS health dashboard.",
            period=5 * _MINUTE,
        ),
    ]


def _certificate_watches(environment: Environment) -> list[_Watch]:
    """
    Watch the days that certificates have left, as the service measures them (docs/metrics.md).

    No alarm can name a client it does not know, so the soonest end of all
    clients in use is watched; the log and the metric by client say whose it is.
    """
    server = (*_measured(environment, Metric.SERVER_CERTIFICATE_DAYS), "Minimum", "<")
    client = (*_measured(environment, Metric.CLIENT_CERTIFICATE_DAYS), "Minimum", "<")
    return [
        _Watch(
            "ServerCertificateEndsSoon",
            *(*server, 30),
            "The server certificate ends in less than 30 days, or no task says when: request and install another.",
            period=5 * _MINUTE,
            breaches=3,
            of=3,
            missing="breaching",  # a certificate nobody watches, and metrics that do not arrive
        ),
        _Watch(
            "ServerCertificateEndsNow",
            *(*server, 7),
            "The server certificate ends in less than 7 days, or no task says when: install another today.",
            period=5 * _MINUTE,
            breaches=3,
            of=3,
            missing="breaching",
        ),
        _Watch(
            "ClientCertificateEndsSoon",
            *(*client, 30),
            "A client in use will be refused in less than 30 days: see the metric by client, and ask for its next one.",
            period=5 * _MINUTE,
            breaches=3,
            of=3,
            missing="ignore",  # nobody called who would say otherwise
        ),
    ]


def _measured_watches(environment: Environment) -> list[_Watch]:
    """Watch what the service counts; it writes zeros, and if it is silent the server certificate's alarm says so."""

    def more_than(count: int, metric: Metric) -> tuple[str, str, dict[str, Output | str], str, str, float]:
        return *_measured(environment, metric), "Sum", ">", count

    return [
        _Watch(
            "RegistryUnavailable",
            *more_than(0, Metric.REGISTRY_ERRORS),
            "The client registry did not answer: clients get 503; see reason registry_unavailable in the log.",
            breaches=2,
            of=5,
        ),
        _Watch(
            "CertificateReloadFailing",
            *more_than(0, Metric.RELOAD_FAILURES),
            "A new server certificate cannot be taken, the old one serves on: see certificate_reload_failed.",
            breaches=2,
            of=5,
        ),
        _Watch(
            "KeySetFailing",
            *more_than(0, Metric.KEY_SET_FAILURES),
            "The keys of the tokens' issuer cannot be fetched, the last ones serve on: see key_set_failed.",
            period=5 * _MINUTE,
            breaches=2,
            of=3,
        ),
        _Watch(
            "AuditLinesLost",
            *more_than(0, Metric.AUDIT_LINES_LOST),
            "Decisions are missing in the log, because nobody read the tasks' output in time: see audit_lines_lost.",
        ),
        _Watch(
            "RequestsFailing",
            *more_than(20, Metric.REQUESTS_FAILED),
            "What is behind the gate fails clients that were let in: see decision failed and its cause in the log.",
            period=5 * _MINUTE,
            breaches=2,
            of=3,
        ),
        _Watch(
            "RefusalsMany",
            *more_than(100, Metric.REFUSALS),
            "Many requests are refused: the metric by reason and the log say which clients, and why.",
            period=5 * _MINUTE,
            breaches=3,
            of=3,
        ),
    ]


def _measured(environment: Environment, metric: Metric) -> tuple[str, str, dict[str, Output | str]]:
    """Name a metric of the service by the environment alone, as it writes all it counts and the soonest of all ends."""
    return METRIC_NAMESPACE, metric.value, {Dimension.ENVIRONMENT.value: environment.name}


_COMPARISONS: Final = {
    "<": "LessThanThreshold",
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
}


def _alarm(template: Template, environment: Environment, watch: _Watch, topic: Topic) -> Alarm:
    alarm = Alarm(
        watch.title,
        AlarmDescription=watch.meaning,
        Namespace=watch.namespace,
        MetricName=watch.metric,
        Dimensions=[
            MetricDimension(Name=name, Value=take(template, environment, value) if isinstance(value, Output) else value)
            for name, value in watch.dimensions.items()
        ],
        Period=watch.period,
        ComparisonOperator=_COMPARISONS[watch.comparison],
        Threshold=watch.threshold,
        EvaluationPeriods=watch.of,
        DatapointsToAlarm=watch.breaches,
        TreatMissingData=watch.missing,
        AlarmActions=[Ref(topic)],
        OKActions=[Ref(topic)],
    )
    if watch.statistic.startswith("p"):
        alarm.ExtendedStatistic = watch.statistic
    else:
        alarm.Statistic = watch.statistic
    return alarm


# -- the dashboard ------------------------------------------------------------------

_SHOWN: Final = {
    Metric.REQUESTS: "Sum",
    Metric.LATENCY: "p99",
    Metric.HANDSHAKES: "Sum",
    Metric.HANDSHAKES_FAILED: "Sum",
    Metric.CONNECTIONS_REFUSED: "Sum",
    Metric.CONNECTIONS_OPEN: "Average",
}
"""What the service measures and no alarm watches, with the statistic that tells something."""


def _dashboard(environment: Environment, watches: Sequence[_Watch]) -> Dashboard:
    shown = [
        _Watch(metric.value, *_measured(environment, metric), statistic, ">", 0, "Shown, not watched.")
        for metric, statistic in _SHOWN.items()
    ]
    widgets = [_widget(environment, watch, index) for index, watch in enumerate([*watches, *shown])]
    # Values of other stacks stand in the text as ${Parameter}; JSON has no such thing of its own.
    body = json.dumps({"widgets": widgets}, separators=(",", ":"))
    return Dashboard("Dashboard", DashboardBody=Sub(body))


def _widget(environment: Environment, watch: _Watch, index: int) -> dict[str, object]:
    dimensions = [
        part
        for name, value in watch.dimensions.items()
        for part in (name, f"${{{value}}}" if isinstance(value, Output) else value)
    ]
    column, row = index % 3, index // 3
    return {
        "type": "metric",
        "x": 8 * column,
        "y": 6 * row,
        "width": 8,
        "height": 6,
        "properties": {
            "title": watch.title,
            "region": environment.region,
            "period": watch.period,
            "stat": watch.statistic,
            "metrics": [[watch.namespace, watch.metric, *dimensions]],
        },
    }
