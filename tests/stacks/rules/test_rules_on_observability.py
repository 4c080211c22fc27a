"""What nobody watches, and what is watched in a way that tells nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.contract import Variable
from stacks.rules import observability as rules
from stacks.rules.alarm_rule import is_in_alarm
from stacks.rules.demands import DEMANDS
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, removed

ALARM = "AWS::CloudWatch::Alarm"
COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
DASHBOARD = "AWS::CloudWatch::Dashboard"
QUERY = "AWS::Logs::QueryDefinition"


def alarms_on(templates: Templates, metric: str) -> dict[str, Document]:
    """Find alarms by what they watch, as a stranger would."""
    return {
        name: resource
        for body in templates.bodies.values()
        for name, resource in body["Resources"].items()
        if resource["Type"] == ALARM and f'"MetricName": "{metric}"' in json.dumps(resource)
    }


def unwatched(metric: str) -> Spoil:
    """Take away every alarm on a metric."""

    def spoil(templates: Templates) -> None:
        for name in alarms_on(templates, metric):
            for body in templates.bodies.values():
                body["Resources"].pop(name, None)

    return spoil


def every(metric: str, **properties: object) -> Spoil:
    """Change every alarm on a metric; `...` takes a property away."""

    def spoil(templates: Templates) -> None:
        for alarm in alarms_on(templates, metric).values():
            for name, value in properties.items():
                if value is ...:
                    del alarm["Properties"][name]
                else:
                    alarm["Properties"][name] = value

    return spoil


def with_dimensions(metric: str, **dimensions: object) -> Spoil:
    """Give every alarm on a metric these dimensions."""
    return every(metric, Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()])


def _compare_the_wrong_way(templates: Templates) -> None:
    (alarm,) = alarms_on(templates, "RunningTaskCount").values()
    alarm["Properties"]["Metrics"][2]["Expression"] = "there - wanted"


def _give_two_results(templates: Templates) -> None:
    (alarm,) = alarms_on(templates, "RunningTaskCount").values()
    alarm["Properties"]["Metrics"][0]["ReturnData"] = True


def _compare_traffic_with_a_number(templates: Templates) -> None:
    (alarm,) = alarms_on(templates, "RequestCount").values()
    properties = alarm["Properties"]
    metric = properties.pop("Metrics")[0]["MetricStat"]["Metric"]
    del properties["ThresholdMetricId"]
    properties |= metric | {
        "Threshold": 0,
        "ComparisonOperator": "LessThanThreshold",
        "Statistic": "Sum",
        "Period": 300,
    }


def _strangers_counted_in_all(templates: Templates) -> None:
    for alarm in alarms_on(templates, "Refusals").values():
        alarm["Properties"]["Dimensions"] = alarm["Properties"]["Dimensions"][:1]


def _reckon_with_health(templates: Templates) -> None:
    """A sum that can never be below the threshold."""
    for alarm in alarms_on(templates, "HealthyHostCount").values():
        properties = alarm["Properties"]
        metric = {name: properties.pop(name) for name in ("Namespace", "MetricName", "Dimensions")}
        stat = {"Metric": metric, "Period": properties.pop("Period"), "Stat": properties.pop("Statistic")}
        properties["Metrics"] = [
            {"Id": "health", "MetricStat": stat, "ReturnData": False},
            {"Id": "reckoned", "Expression": "health + 100"},
        ]


def _add_another_balancer(templates: Templates) -> None:
    balancer = templates.resource("AWS::ElasticLoadBalancing::LoadBalancer")
    templates.bodies["ingress"]["Resources"]["Another"] = balancer


def _tell_tasks_of_another_registry(templates: Templates) -> None:
    (container,) = templates.properties("AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    for variable in container["Environment"]:
        if variable["Name"] == Variable.CLIENT_REGISTRY_TABLE:
            variable["Value"] = "another"


def _watch_another_bucket(templates: Templates) -> None:
    (alarm,) = alarms_on(templates, "4xxErrors").values()
    taken = {"LogBucketName": {"Type": "String"}}
    templates.bodies["observability"]["Parameters"] |= taken
    alarm["Properties"]["Dimensions"][0]["Value"] = {"Ref": "LogBucketName"}


def _composite_of(rule: object) -> Spoil:
    return put(COMPOSITE, "AlarmRule", rule)


def _widgets(change: Callable[[list[Any]], Any]) -> Spoil:
    def spoil(templates: Templates) -> None:
        dashboard = templates.properties(DASHBOARD)
        body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
        change(body["widgets"])
        dashboard["DashboardBody"] = {"Fn::Sub": json.dumps(body)}

    return spoil


def _show_another_balancer(widgets: list[Any]) -> None:
    for widget in widgets:
        for line in widget["properties"]["metrics"]:
            if "LoadBalancerName" in line:
                line[3] = "another"


def _hide_the_first_three(widgets: list[Any]) -> None:
    del widgets[:3]


def _count_no_requests(templates: Templates) -> None:
    for bucket in templates.resources("AWS::S3::Bucket"):
        bucket["Properties"].pop("MetricsConfigurations", None)


def _query_without(word: str) -> Spoil:
    def spoil(templates: Templates) -> None:
        for query in templates.resources(QUERY):
            query["Properties"]["QueryString"] = query["Properties"]["QueryString"].replace(word, "cause")

    return spoil


def _count_paths(templates: Templates) -> None:
    transformation = {
        "MetricName": "Paths",
        "MetricNamespace": "ours",
        "MetricValue": "1",
        "Dimensions": [{"Key": "path", "Value": "$.path"}],
    }
    templates.bodies["observability"]["Resources"]["Paths"] = {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {"LogGroupName": "x", "FilterPattern": "", "MetricTransformations": [transformation]},
    }


WATCHED = rules.what_can_fail_is_watched


def _dashboard_of(old: str, new: str) -> Spoil:
    def spoil(templates: Templates) -> None:
        body = templates.properties(DASHBOARD)["DashboardBody"]
        assert old in body["Fn::Sub"]
        body["Fn::Sub"] = body["Fn::Sub"].replace(old, new)

    return spoil


CASES = [
    # Each demand once: nothing watches it, and it is watched so that it goes off too late or always.
    *(Case(WATCHED, unwatched(metric), "", metric) for metric in sorted({demand.metrics[0][1] for demand in DEMANDS})),
    Case(WATCHED, every("HealthyHostCount", Threshold=1), "observability.HealthyTasksTooFew", "goes off at 1"),
    Case(WATCHED, every("HealthyHostCount", Threshold=3), "observability", "rests at 2"),
    Case(WATCHED, every("HealthyHostCount", Statistic="Average"), "observability", "Minimum"),
    Case(WATCHED, every("HealthyHostCount", TreatMissingData="ignore"), "observability", "breaching"),
    Case(WATCHED, every("HealthyHostCount", Period=3600), "observability", "seconds until it goes off"),
    Case(WATCHED, every("HealthyHostCount", DatapointsToAlarm=0), "observability"),
    Case(WATCHED, every("HealthyHostCount", Threshold=...), "observability", "goes off"),
    Case(WATCHED, every("HealthyHostCount", ComparisonOperator="LessThan"), "observability", "goes off"),
    Case(WATCHED, every("UnHealthyHostCount", ComparisonOperator="GreaterThanThreshold"), "observability"),
    Case(WATCHED, every("SurgeQueueLength", Threshold=1024), "observability", "goes off at 101"),
    Case(WATCHED, every("SurgeQueueLength", Statistic="Sum"), "observability", "Maximum"),
    Case(WATCHED, every("Latency", Threshold=500), "observability", "goes off at 0.51"),
    Case(WATCHED, every("CPUUtilization", Threshold=0.8), "observability", "rests at 50"),
    Case(WATCHED, every("GroupTerminatingInstances", DatapointsToAlarm=1), "observability", "7200"),
    Case(WATCHED, every("RunningTaskCount", TreatMissingData="notBreaching"), "observability", "breaching"),
    Case(WATCHED, _compare_the_wrong_way, "observability.TasksMissing", "DesiredTaskCount less RunningTaskCount"),
    Case(WATCHED, _give_two_results, "observability.TasksMissing", "the one result"),
    Case(WATCHED, every("ServerCertDaysToExpiry", Threshold=7), "observability", "goes off at 29"),
    Case(WATCHED, every("ServerCertDaysToExpiry", Threshold=30), "observability", "rests at 8"),
    Case(WATCHED, every("ServerCertDaysToExpiry", TreatMissingData="notBreaching"), "observability", "breaching"),
    Case(WATCHED, _strangers_counted_in_all, "", "reason unknown_certificate"),
    Case(WATCHED, _add_another_balancer, "", "ingress.Another"),
    Case(WATCHED, _tell_tasks_of_another_registry, "", "not in the templates"),
    Case(WATCHED, _reckon_with_health, "", "HealthyHostCount"),
    Case(WATCHED, _watch_another_bucket, "", "certificate bucket"),
    Case(rules.unusual_traffic_is_watched, unwatched("RequestCount"), "", "RequestCount"),
    Case(rules.unusual_traffic_is_watched, _compare_traffic_with_a_number, "observability", "ANOMALY_DETECTION_BAND"),
    Case(rules.unusual_traffic_is_watched, every("RequestCount", TreatMissingData="missing"), "observability"),
    Case(
        rules.unusual_traffic_is_watched,
        every("RequestCount", ComparisonOperator="GreaterThanUpperThreshold"),
        "observability",
        "lower",
    ),
    Case(rules.metrics_of_alarms_exist, every("HealthyHostCount", MetricName="HealthyHosts"), "observability"),
    Case(rules.metrics_of_alarms_exist, every("HealthyHostCount", Namespace="AWS/ApplicationELB"), "observability"),
    Case(rules.metrics_of_alarms_exist, every("Refusals", Namespace="mtls"), "observability", "mtls Refusals"),
    Case(
        rules.metrics_of_alarms_exist,
        every("SpilloverCount", MetricName="EstimatedProcessedBytes"),
        "observability",
        "estimates are not",
    ),
    Case(rules.metrics_of_alarms_exist, every("HealthyHostCount", MetricName=...), "observability", "a metric"),
    Case(rules.metrics_of_alarms_exist, every("Latency", Unit="Milliseconds"), "observability", "Milliseconds"),
    Case(rules.metrics_of_alarms_exist, with_dimensions("HealthyHostCount"), "observability", "LoadBalancerName"),
    Case(
        rules.metrics_of_alarms_exist,
        with_dimensions("HealthyHostCount", LoadBalancer={"Ref": "LoadBalancerName"}),
        "observability",
        "found LoadBalancer",
    ),
    Case(
        rules.metrics_of_alarms_exist,
        with_dimensions("CPUUtilization", ClusterName={"Ref": "ClusterName"}),
        "observability",
        "ServiceName",
    ),
    Case(
        rules.dimensions_name_what_there_is,
        with_dimensions("HealthyHostCount", LoadBalancerName="ingress"),
        "observability",
        "LoadBalancerName ingress",
    ),
    Case(
        rules.dimensions_name_what_there_is,
        with_dimensions("HealthyHostCount", LoadBalancerName={"Ref": "ClusterName"}),
        "observability",
    ),
    Case(
        rules.dimensions_name_what_there_is,
        with_dimensions("CPUUtilization", ClusterName={"Ref": "ClusterName"}, ServiceName="service"),
        "observability",
        "AWS::ECS::Service",
    ),
    Case(rules.dimensions_name_what_there_is, with_dimensions("RegistryErrors", environment="prod"), "observability"),
    Case(
        rules.dimensions_name_what_there_is,
        with_dimensions("4xxErrors", BucketName={"Ref": "CertificateBucketName"}, FilterId="all"),
        "observability",
        "metrics configuration",
    ),
    Case(
        rules.dimensions_name_what_there_is,
        _count_no_requests,
        "observability.CertificateBucketRefuses",
        "FilterId",
    ),
    Case(rules.thresholds_can_be_crossed, every("HealthyHostCount", Threshold=0), "observability", "only low"),
    Case(
        rules.thresholds_can_be_crossed,
        every("HealthyHostCount", ComparisonOperator="GreaterThanThreshold"),
        "observability",
        "only low",
    ),
    Case(
        rules.thresholds_can_be_crossed,
        every("SpilloverCount", ComparisonOperator="GreaterThanOrEqualToThreshold"),
        "observability",
        "only high",
    ),
    Case(
        rules.thresholds_can_be_crossed,
        every("BackendConnectionErrors", ComparisonOperator="LessThanThreshold"),
        "observability",
        "only high",
    ),
    Case(rules.thresholds_can_be_crossed, every("SurgeQueueLength", Statistic="Sum"), "observability", "Maximum"),
    Case(rules.thresholds_can_be_crossed, every("Latency", ExtendedStatistic="99"), "observability", "Average"),
    Case(rules.thresholds_can_be_crossed, every("Latency", Statistic="Average"), "observability", "one of the two"),
    Case(rules.silence_is_judged, every("HealthyHostCount", TreatMissingData="notBreaching"), "observability"),
    Case(rules.silence_is_judged, every("HealthyHostCount", TreatMissingData=...), "observability", "breaching"),
    Case(rules.silence_is_judged, every("SpilloverCount", TreatMissingData="breaching"), "observability"),
    Case(rules.silence_is_judged, every("Refusals", TreatMissingData="NotBreaching"), "observability"),
    Case(rules.periods_of_alarms_are_taken, every("Latency", DatapointsToAlarm=6), "observability", "1 to 5"),
    Case(rules.periods_of_alarms_are_taken, every("Latency", DatapointsToAlarm=0), "observability", "1 to 5"),
    Case(rules.periods_of_alarms_are_taken, every("Latency", EvaluationPeriods=...), "observability", "1 or more"),
    Case(rules.periods_of_alarms_are_taken, every("Latency", Period=90), "observability", "multiple of 60"),
    Case(rules.periods_of_alarms_are_taken, every("Latency", Period=...), "observability", "multiple of 60"),
    Case(rules.periods_of_alarms_are_taken, every("Latency", Period=86400), "observability", "at most a day"),
    Case(rules.alarms_reach_a_topic, every("Latency", AlarmActions=[]), "observability", "a topic"),
    Case(rules.alarms_reach_a_topic, every("Latency", OKActions=...), "observability", "a topic"),
    Case(rules.alarms_reach_a_topic, every("Latency", AlarmActions=[{"Ref": "ServiceLogGroup"}]), "observability"),
    Case(
        rules.alarms_reach_a_topic,
        every("Latency", AlarmActions=["arn:aws:sns:us-east-1:111122223333:other"]),
        "observability",
    ),
    Case(rules.alarms_reach_a_topic, every("Latency", ActionsEnabled="false"), "observability", "true"),
    Case(rules.alarms_reach_a_topic, put(COMPOSITE, "AlarmActions", ...), "observability", "a topic"),
    Case(rules.alarms_say_what_to_do, every("Latency", AlarmDescription=...), "observability", "sentence"),
    Case(rules.alarms_say_what_to_do, every("Latency", AlarmDescription="Latency is too high."), "observability"),
    Case(rules.alarms_say_what_to_do, every("Latency", AlarmDescription="docs/runbooks/x.md"), "observability"),
    Case(rules.alarms_say_what_to_do, put(COMPOSITE, "AlarmDescription", "down"), "observability"),
    Case(rules.one_alarm_says_that_the_ingress_is_down, removed(COMPOSITE), "", "composite"),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "ALARM(${NoTaskHealthy}) OR ALARM(other)"}),
        "observability.IngressDown",
        "an alarm of the templates",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "ALARM(${RefusalsMany})"}),
        "observability.IngressDown",
        "HealthyHostCount",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "OK(${NoTaskHealthy})"}),
        "observability.IngressDown",
        "HealthyHostCount",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "NOT ALARM(${NoTaskHealthy})"}),
        "observability.IngressDown",
        "rests when none does",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "ALARM(${NoTaskHealthy}) AND ALARM(${RefusalsMany})"}),
        "observability.IngressDown",
        "goes off when",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "ALARM(${NoTaskHealthy}) OR TRUE"}),
        "observability.IngressDown",
        "joined by",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        _composite_of({"Fn::Sub": "ALARM(${NoTaskHealthy}) || ALARM(${RefusalsMany})"}),
        "observability.IngressDown",
        "joined by",
    ),
    Case(rules.one_alarm_says_that_the_ingress_is_down, _composite_of(""), "observability.IngressDown", "joined by"),
    Case(rules.every_alarmed_metric_is_on_the_dashboard, removed(DASHBOARD), "", "a dashboard"),
    Case(rules.every_alarmed_metric_is_on_the_dashboard, put(DASHBOARD, "DashboardBody", "{"), "dashboard", "JSON"),
    Case(
        rules.every_alarmed_metric_is_on_the_dashboard, put(DASHBOARD, "DashboardBody", '{"widgets": []}'), "dashboard"
    ),
    Case(
        rules.every_alarmed_metric_is_on_the_dashboard,
        put(DASHBOARD, "DashboardBody", '{"widgets": [{"properties": {}}]}'),
        "dashboard",
    ),
    Case(
        rules.every_alarmed_metric_is_on_the_dashboard,
        _widgets(_hide_the_first_three),
        "observability",
        "on the dashboard",
    ),
    Case(
        rules.every_alarmed_metric_is_on_the_dashboard,
        _widgets(_show_another_balancer),
        "observability",
        "nobody sees",
    ),
    Case(rules.questions_to_the_log_are_saved, removed(QUERY), "", "a saved query"),
    Case(rules.questions_to_the_log_are_saved, _query_without("reason"), "", "refusals by reason"),
    Case(rules.questions_to_the_log_are_saved, _query_without("client"), "", "refusals by client"),
    Case(rules.questions_to_the_log_are_saved, _query_without("DaysToExpiry"), "", "end soon"),
    Case(rules.questions_to_the_log_are_saved, put(QUERY, "LogGroupNames", ["/another/log"]), "dashboard"),
    Case(rules.questions_to_the_log_are_saved, put(QUERY, "LogGroupNames", ...), "dashboard", "log groups"),
    Case(rules.nothing_of_a_patient_leaves_the_log, put(QUERY, "QueryString", "stats count() by path"), "dashboard"),
    Case(rules.nothing_of_a_patient_leaves_the_log, put(QUERY, "QueryString", "fields @message"), "dashboard"),
    Case(rules.nothing_of_a_patient_leaves_the_log, _count_paths, "observability.Paths", "no path"),
    Case(
        rules.lines_become_metrics,
        put("AWS::Logs::LogGroup", "LogGroupClass", "INFREQUENT_ACCESS"),
        "observability.ServiceLogGroup",
        "STANDARD",
    ),
    Case(
        rules.every_alarmed_metric_is_on_the_dashboard,
        _dashboard_of('"region":"us-east-1"', '"region":"eu-west-1"'),
        "observability.",
        "nobody sees",
    ),
    Case(
        rules.every_alarmed_metric_is_on_the_dashboard,
        _dashboard_of('"type":"metric"', '"type":"text"'),
        "observability.",
        "nobody sees",
    ),
    Case(
        rules.one_alarm_says_that_the_ingress_is_down,
        put(COMPOSITE, "ActionsSuppressor", {"Ref": "CpuHigh"}),
        "observability.IngressDown.Properties.ActionsSuppressor",
    ),
    Case(
        rules.alarms_reach_a_topic,
        put(ALARM, "AlarmActions", [{"Fn::GetAtt": ["AlarmTopic", "TopicName"]}]),
        "observability.",
        "TopicName",
    ),
]


@pytest.mark.parametrize(
    ("rule", "gone_off", "said"),
    [
        ("ALARM(a)", {"a"}, True),
        ('ALARM("a")', {"b"}, False),
        ("OK(a)", set(), True),
        ("INSUFFICIENT_DATA(a)", {"a"}, False),
        ("NOT ALARM(a)", {"a"}, False),
        ("ALARM(a) AND ALARM(b)", {"a"}, False),
        ("ALARM(a) OR ALARM(b) AND ALARM(c)", {"a"}, True),
        ("(ALARM(a) OR ALARM(b)) AND ALARM(c)", {"a"}, False),
        ("ALARM(c) AND ALARM(b) OR ALARM(a)", {"a"}, True),
        ("NOT (ALARM(a) OR ALARM(b)) OR ALARM(c)", {"b"}, False),
        ("NOT ALARM(a) AND ALARM(b)", {"b"}, True),
        ("ALARM(a) ALARM(b)", {"a"}, None),
        ("ALARM(a) AND", {"a"}, None),
        ("(ALARM(a)", {"a"}, None),
        ("alarm(a)", {"a"}, None),
        ("", set(), None),
    ],
)
def test_a_composite_alarms_rule_says_what_cloudwatch_says(rule: str, gone_off: set[str], said: object) -> None:
    """CloudWatch API reference, PutCompositeAlarm."""
    assert is_in_alarm(rule, gone_off) is said
