"""The alarms, one for each watch, and the one that says that nobody gets in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from troposphere import Parameter, Ref, Sub, Template
from troposphere.cloudwatch import Alarm, CompositeAlarm, Metric, MetricDataQuery, MetricDimension, MetricStat
from troposphere.sns import Topic

from stacks.environment import Environment
from stacks.naming import Output
from stacks.templates.joints import take
from stacks.templates.watches import Comparison, Measure, Watch

INGRESS_DOWN: Final = "IngressDown"
INGRESS_DOWN_RUNBOOK: Final = "ingress-is-down"
_DOWN: Final = (
    ("NoTaskHealthy",),
    ("HealthyTasksTooFew", "ConnectionsSpilled"),
    ("RegistryUnavailable", "RegistryFailing"),
)
"""
When the ingress is down for clients: nobody answers; those who are left turn connections away; or the registry
fails, and with it every client is refused. Each row is enough, of a row all must hold.
"""


def alarm(template: Template, environment: Environment, watch: Watch, actions: Sequence[Ref]) -> Alarm:
    """Describe the alarm of a watch."""
    made = Alarm(
        watch.title,
        AlarmDescription=watch.description,
        ComparisonOperator=watch.comparison.value,
        EvaluationPeriods=watch.of,
        DatapointsToAlarm=watch.breaches,
        TreatMissingData=watch.silence.value,
        AlarmActions=list(actions),
        OKActions=list(actions),
    )
    if watch.comparison is Comparison.UNUSUAL:
        # The threshold is what CloudWatch learned of the weeks before (CloudWatch guide, anomaly detection).
        made.Metrics = [
            _query("value", _stat(template, environment, watch.measure, watch.period), is_compared=True),
            MetricDataQuery(Id="usual", Expression=f"ANOMALY_DETECTION_BAND(value, {watch.threshold})"),
        ]
        made.ThresholdMetricId = "usual"
        return made
    made.Threshold = watch.threshold
    if watch.short_of is not None:
        made.Metrics = [
            _query("there", _stat(template, environment, watch.measure, watch.period)),
            _query("wanted", _stat(template, environment, watch.short_of, watch.period)),
            MetricDataQuery(Id="missing", Expression="wanted - there", ReturnData=True),
        ]
        return made
    made.Namespace, made.MetricName = watch.measure.namespace, watch.measure.metric
    made.Dimensions, made.Period = _dimensions(template, environment, watch.measure), watch.period
    if watch.measure.statistic.startswith("p"):
        made.ExtendedStatistic = watch.measure.statistic
    else:
        made.Statistic = watch.measure.statistic
    return made


def ingress_down(actions: Sequence[Ref]) -> CompositeAlarm:
    """Describe the alarm to be woken by at night."""
    rows = [" AND ".join(f'ALARM("${{{title}}}")' for title in row) for row in _DOWN]
    return CompositeAlarm(
        INGRESS_DOWN,
        AlarmDescription=(
            "Clients do not get in: no task is healthy, the few that are turn connections away, or the registry fails. "
            f"Runbook: docs/runbooks/{INGRESS_DOWN_RUNBOOK}.md"
        ),
        AlarmRule=Sub(" OR ".join(f"({row})" for row in rows)),
        AlarmActions=list(actions),
        OKActions=list(actions),
    )


def _query(name: str, stat: MetricStat, *, is_compared: bool = False) -> MetricDataQuery:
    return MetricDataQuery(Id=name, MetricStat=stat, ReturnData=is_compared)


def _stat(template: Template, environment: Environment, measure: Measure, period: int) -> MetricStat:
    metric = Metric(
        Namespace=measure.namespace,
        MetricName=measure.metric,
        Dimensions=_dimensions(template, environment, measure),
    )
    return MetricStat(Metric=metric, Period=period, Stat=measure.statistic)


def _dimensions(template: Template, environment: Environment, measure: Measure) -> list[MetricDimension]:
    return [
        MetricDimension(Name=name, Value=take(template, environment, value) if isinstance(value, Output) else value)
        for name, value in measure.dimensions.items()
    ]


def actions_of(template: Template, environment: Environment, topic: Topic) -> list[Ref]:
    """
    Name every topic that alarms are sent to: ours, and those of others.

    Those of others as parameters with a default: written out in each alarm their ARNs would make the template too long.
    """
    actions = [Ref(topic)]
    for number, arn in enumerate(environment.alarms.topic_arns, start=1):
        template.add_parameter(Parameter(f"OtherTopic{number}", Type="String", Default=arn))
        actions.append(Ref(f"OtherTopic{number}"))
    return actions
