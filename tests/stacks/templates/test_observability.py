"""What goes wrong is seen, reaches somebody, and is on the dashboard."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from service.audit import Event
from service.contract import METRIC_NAMESPACE, Dimension, Metric, Variable
from service.identity.verdict import Reason
from stacks.environment import Capacity, Service
from stacks.naming import service_log_group, service_name
from tests.stacks.environments import NAMES, catalog, environment
from tests.stacks.templates.reading import of_type, properties, statements


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_reaches_the_topic_and_says_what_is_wrong(name: str) -> None:
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm").values()

    assert len(alarms) >= 15
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}] for alarm in alarms)
    assert all(alarm["AlarmDescription"].endswith(".") for alarm in alarms)


RUNBOOK = (Path(__file__).parents[3] / "docs" / "runbooks" / "alarms-of-the-service.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_on_what_the_service_measures_has_its_runbook(name: str) -> None:
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm")
    ours = {title.rpartition(".")[2] for title, alarm in alarms.items() if alarm["Namespace"] == METRIC_NAMESPACE}

    assert set(re.findall("^### (.+)$", RUNBOOK, re.MULTILINE)) == ours


def test_the_runbook_asks_for_events_and_reasons_that_are_written() -> None:
    assert set(re.findall('event = "([^"]+)"', RUNBOOK)) <= set(Event)
    assert set(re.findall(' reason = "([^"]+)"', RUNBOOK)) <= set(Reason)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_alarm_tells_to_look_at_exists(name: str) -> None:
    """A word with an underscore is an event, a reason, or a key of the environment file."""
    known = {*Event, *Reason, *(key.name for table in (Service, Capacity) for key in fields(table))}
    said = {
        word
        for alarm in of_type(catalog(name), "AWS::CloudWatch::Alarm").values()
        for word in re.findall(r"[a-z]+(?:_[a-z]+)+", alarm["AlarmDescription"])
    }

    assert said - known == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_is_on_the_dashboard(name: str) -> None:
    body = json.loads(properties(catalog(name), "observability", "Dashboard")["DashboardBody"]["Fn::Sub"])
    shown = {tuple(widget["properties"]["metrics"][0][:2]) for widget in body["widgets"]}
    watched = {
        (alarm["Namespace"], alarm["MetricName"]) for alarm in of_type(catalog(name), "AWS::CloudWatch::Alarm").values()
    }

    assert watched <= shown


@pytest.mark.parametrize("name", NAMES)
def test_the_dashboard_shows_the_same_things_the_alarms_watch(name: str) -> None:
    template = catalog(name)["observability"].template
    body = json.loads(properties(catalog(name), "observability", "Dashboard")["DashboardBody"]["Fn::Sub"])
    values = {part for widget in body["widgets"] for part in widget["properties"]["metrics"][0][3::2]}

    assert {value.strip("${}") for value in values if value.startswith("${")} == set(template["Parameters"])


def test_silence_of_what_must_speak_is_an_alarm() -> None:
    """No registered instance gives no data at all, and that is the worst of cases."""
    alarms = of_type(catalog(), "AWS::CloudWatch::Alarm")
    breaching = {name.split(".")[1] for name, alarm in alarms.items() if alarm["TreatMissingData"] == "breaching"}

    assert breaching == {
        "HealthyTasksTooFew",
        "TasksMissing",
        "InstancesTooFew",
        "ServerCertificateEndsSoon",
        "ServerCertificateEndsNow",
    }


def test_an_alarm_asks_for_no_more_points_than_it_looks_at() -> None:
    for alarm in of_type(catalog(), "AWS::CloudWatch::Alarm").values():
        assert 1 <= alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
        assert alarm["EvaluationPeriods"] * alarm["Period"] <= 24 * 3600


OUR_OWN = {
    "ServerCertificateEndsSoon": (Metric.SERVER_CERTIFICATE_DAYS, "Minimum", "LessThanThreshold", 30),
    "ServerCertificateEndsNow": (Metric.SERVER_CERTIFICATE_DAYS, "Minimum", "LessThanThreshold", 7),
    "ClientCertificateEndsSoon": (Metric.CLIENT_CERTIFICATE_DAYS, "Minimum", "LessThanThreshold", 30),
    "RegistryUnavailable": (Metric.REGISTRY_ERRORS, "Sum", "GreaterThanThreshold", 0),
    "CertificateReloadFailing": (Metric.RELOAD_FAILURES, "Sum", "GreaterThanThreshold", 0),
    "KeySetFailing": (Metric.KEY_SET_FAILURES, "Sum", "GreaterThanThreshold", 0),
    "AuditLinesLost": (Metric.AUDIT_LINES_LOST, "Sum", "GreaterThanThreshold", 0),
    "RequestsFailing": (Metric.REQUESTS_FAILED, "Sum", "GreaterThanThreshold", 20),
    "RefusalsMany": (Metric.REFUSALS, "Sum", "GreaterThanThreshold", 100),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_service_measures_is_watched_by_the_environment_alone(name: str) -> None:
    """Wire tests show that a running service writes these metrics with these dimensions."""
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm")
    ours = {title.split(".")[1]: alarm for title, alarm in alarms.items() if alarm["Namespace"] == METRIC_NAMESPACE}

    assert {
        title: (alarm["MetricName"], alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"])
        for title, alarm in ours.items()
    } == OUR_OWN
    assert all(alarm["Dimensions"] == [{"Name": Dimension.ENVIRONMENT, "Value": name}] for alarm in ours.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_task_is_told_the_name_its_metrics_are_watched_by(name: str) -> None:
    (container,) = properties(catalog(name), "workload", "TaskDefinition")["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}

    assert variables[Variable.ENVIRONMENT_NAME] == name


@pytest.mark.parametrize("name", NAMES)
def test_everything_the_service_measures_is_on_the_dashboard(name: str) -> None:
    body = json.loads(properties(catalog(name), "observability", "Dashboard")["DashboardBody"]["Fn::Sub"])
    shown = {tuple(widget["properties"]["metrics"][0]) for widget in body["widgets"]}

    assert {(METRIC_NAMESPACE, metric, Dimension.ENVIRONMENT, name) for metric in Metric} <= shown


@pytest.mark.parametrize("name", NAMES)
def test_the_log_has_the_name_others_know_and_is_kept_as_long_as_said(name: str) -> None:
    group = properties(catalog(name), "observability", "ServiceLogGroup")

    assert group["LogGroupName"] == service_log_group(environment(name))
    assert group["RetentionInDays"] == environment(name).logs.retention_days
    assert group["KmsKeyId"] == {"Fn::GetAtt": ["ObservabilityKey", "Arn"]}


def test_the_service_is_watched_under_the_name_it_will_have() -> None:
    dimensions = properties(catalog(), "observability", "CpuHigh")["Dimensions"]

    assert {"Name": "ServiceName", "Value": service_name(environment())} in dimensions
    assert properties(catalog(), "workload", "Service")["ServiceName"] == service_name(environment())


def test_the_key_lets_logs_in_and_alarms_out() -> None:
    """CloudWatch is refused by a key that does not know it, and nobody hears of it (K16)."""
    found = statements(properties(catalog(), "observability", "ObservabilityKey")["KeyPolicy"])

    assert found["LogsEncrypt"]["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert found["LogsEncrypt"]["Condition"] == {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": (
                "arn:aws:logs:us-east-1:111122223333:log-group:/mtls-ingress/staging/*"
            )
        }
    }
    assert found["AlarmsAreSent"]["Principal"] == {"Service": ["cloudwatch.amazonaws.com", "events.amazonaws.com"]}
    assert set(found["AlarmsAreSent"]["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}


def test_only_our_alarms_publish_and_only_over_tls() -> None:
    found = statements(properties(catalog(), "observability", "AlarmTopicPolicy")["PolicyDocument"])

    assert found["AlarmsPublish"]["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    assert found["OnlyOverTls"]["Effect"] == "Deny"


@pytest.mark.parametrize("name", NAMES)
def test_everybody_of_the_list_is_told(name: str) -> None:
    subscriptions = of_type(catalog(name), "AWS::SNS::Subscription").values()

    assert tuple(subscription["Endpoint"] for subscription in subscriptions) == environment(name).alarms.emails
