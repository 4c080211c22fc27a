"""What goes wrong is seen, reaches somebody, and is on the dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from service.audit import SCHEMA, Event
from service.contract import METRIC_NAMESPACE, Dimension, Metric, Variable
from service.identity.verdict import Reason
from stacks.catalog import assemble
from stacks.environment import Capacity, Service
from stacks.environment_file import parse_environment
from stacks.naming import service_log_group, service_name
from stacks.templates.watches import UNKNOWN_CERTIFICATE
from tests.stacks.environments import NAMES, catalog, changed, environment, with_existing_network
from tests.stacks.templates.reading import of_type, properties, statements


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_reaches_the_topic_and_says_what_is_wrong(name: str) -> None:
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm").values()

    assert len(alarms) >= 15
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}] for alarm in alarms)
    assert all(re.search(r"\. Runbook: docs/runbooks/[a-z-]+\.md$", alarm["AlarmDescription"]) for alarm in alarms)


RUNBOOKS = {page.stem: page.read_text() for page in (Path(__file__).parents[3] / "docs" / "runbooks").glob("*.md")}
RUNBOOK = RUNBOOKS["alarms-of-the-service"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_an_alarm_names_knows_the_alarm(name: str) -> None:
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm") | of_type(
        catalog(name), "AWS::CloudWatch::CompositeAlarm"
    )
    pages = {title.rpartition(".")[2]: _page(alarm["AlarmDescription"]) for title, alarm in alarms.items()}

    assert {
        title: page for title, page in pages.items() if not re.search(rf"\b{title}\b", RUNBOOKS.get(page, ""))
    } == {}


def _page(text: str) -> str:
    (page,) = re.findall(r"docs/runbooks/([a-z-]+)\.md", text)
    return str(page)


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_on_what_the_service_measures_has_its_runbook(name: str) -> None:
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm")
    ours = {title.rpartition(".")[2] for title, alarm in alarms.items() if alarm.get("Namespace") == METRIC_NAMESPACE}

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
def test_the_dashboard_has_a_graph_for_every_alarm(name: str) -> None:
    """That it shows the alarm's very metric is a rule (O2)."""
    alarms = {title.rpartition(".")[2] for title in of_type(catalog(name), "AWS::CloudWatch::Alarm")}

    assert alarms <= {widget["properties"]["title"] for widget in _widgets(name)}


@pytest.mark.parametrize("name", NAMES)
def test_graphs_stand_in_rows_and_none_on_another(name: str) -> None:
    places = [(widget["x"], widget["y"]) for widget in _widgets(name)]

    assert len(set(places)) == len(places)
    assert {widget["x"] + widget["width"] for widget in _widgets(name)} == {8, 16, 24}


def _widgets(name: str) -> list[Mapping[str, Any]]:
    body = json.loads(properties(catalog(name), "dashboard", "Dashboard")["DashboardBody"]["Fn::Sub"])
    found: list[Mapping[str, Any]] = body["widgets"]
    return found


def _lines(name: str) -> list[list[Any]]:
    """Every metric on the dashboard, without its options."""
    return [
        [part for part in line if not isinstance(part, dict)]
        for widget in _widgets(name)
        for line in widget["properties"]["metrics"]
        if isinstance(line[0], str)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_dashboard_shows_the_same_things_the_alarms_watch(name: str) -> None:
    values = {part for line in _lines(name) for part in line[3::2]}

    taken = {value.strip("${}") for value in values if value.startswith("${")}
    assert taken == set(catalog(name)["dashboard"].template["Parameters"]) - {"ServiceLogGroupName"}


def test_the_ingress_is_down_when_nobody_answers_or_all_are_refused() -> None:
    """The alarm to be woken by; its children are in its own template."""
    rule = properties(catalog(), "observability", "IngressDown")["AlarmRule"]["Fn::Sub"]

    assert rule == (
        '(ALARM("${NoTaskHealthy}"))'
        ' OR (ALARM("${HealthyTasksTooFew}") AND ALARM("${ConnectionsSpilled}"))'
        ' OR (ALARM("${RegistryUnavailable}") AND ALARM("${RegistryFailing}"))'
    )


def test_silence_of_what_must_speak_is_an_alarm() -> None:
    """No registered instance gives no data at all, and that is the worst of cases."""
    alarms = of_type(catalog(), "AWS::CloudWatch::Alarm")
    breaching = {name.split(".")[1] for name, alarm in alarms.items() if alarm["TreatMissingData"] == "breaching"}

    assert breaching == {
        "NoTaskHealthy",
        "HealthyTasksTooFew",
        "TasksMissing",
        "InstancesTooFew",
        "ServerCertificateEndsSoon",
        "ServerCertificateEndsNow",
    }


def test_an_alarm_asks_for_no_more_points_than_it_looks_at() -> None:
    for alarm in of_type(catalog(), "AWS::CloudWatch::Alarm").values():
        assert 1 <= alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
        assert alarm["EvaluationPeriods"] * alarm.get("Period", 300) <= 24 * 3600


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
    "StrangersMany": (Metric.REFUSALS, "Sum", "GreaterThanThreshold", 50),
    "HandshakesFailing": (Metric.HANDSHAKES_FAILED, "Sum", "GreaterThanThreshold", 100),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_service_measures_is_watched_by_its_environment(name: str) -> None:
    """Wire tests show that a running service writes these metrics with these dimensions."""
    alarms = of_type(catalog(name), "AWS::CloudWatch::Alarm")
    ours = {title.split(".")[1]: alarm for title, alarm in alarms.items() if alarm.get("Namespace") == METRIC_NAMESPACE}

    assert {
        title: (alarm["MetricName"], alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"])
        for title, alarm in ours.items()
    } == OUR_OWN
    assert all({"Name": Dimension.ENVIRONMENT, "Value": name} in alarm["Dimensions"] for alarm in ours.values())
    assert [title for title, alarm in ours.items() if len(alarm["Dimensions"]) > 1] == ["StrangersMany"]


def test_strangers_are_counted_by_a_reason_there_is() -> None:
    assert Reason(UNKNOWN_CERTIFICATE) is Reason.UNKNOWN_CERTIFICATE


@pytest.mark.parametrize("name", NAMES)
def test_the_task_is_told_the_name_its_metrics_are_watched_by(name: str) -> None:
    (container,) = properties(catalog(name), "workload", "TaskDefinition")["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}

    assert variables[Variable.ENVIRONMENT_NAME] == name


@pytest.mark.parametrize("name", NAMES)
def test_everything_the_service_measures_is_on_the_dashboard(name: str) -> None:
    shown = {tuple(line) for line in _lines(name)}

    assert {(METRIC_NAMESPACE, metric, Dimension.ENVIRONMENT, name) for metric in Metric} <= shown


@pytest.mark.parametrize("name", NAMES)
def test_the_log_has_the_name_others_know_and_is_kept_as_long_as_said(name: str) -> None:
    group = properties(catalog(name), "observability", "ServiceLogGroup")

    assert group["LogGroupName"] == service_log_group(environment(name))
    assert group["RetentionInDays"] == environment(name).logs.retention_days
    assert group["KmsKeyId"] == {"Fn::GetAtt": ["LogKey", "Arn"]}


def test_the_service_is_watched_under_the_name_it_will_have() -> None:
    dimensions = properties(catalog(), "observability", "CpuHigh")["Dimensions"]

    assert {"Name": "ServiceName", "Value": service_name(environment())} in dimensions
    assert properties(catalog(), "workload", "Service")["ServiceName"] == service_name(environment())


def test_the_key_of_logs_lets_our_log_groups_in() -> None:
    found = statements(properties(catalog(), "observability", "LogKey")["KeyPolicy"])

    assert found["LogsEncrypt"]["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert found["LogsEncrypt"]["Condition"] == {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": (
                "arn:aws:logs:us-east-1:111122223333:log-group:/mtls-ingress/staging/*"
            )
        }
    }


def test_no_event_is_kept_from_the_topic_by_a_condition_it_cannot_meet() -> None:
    """EventBridge's requests bear no source; nothing would arrive, and nobody would hear of it (K16)."""
    key = statements(properties(catalog(), "observability", "AlarmKey")["KeyPolicy"])["EventsAreSent"]
    topic = statements(properties(catalog(), "observability", "AlarmTopicPolicy")["PolicyDocument"])["EventsPublish"]

    assert key["Principal"] == topic["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in {*key, *topic}


def test_only_our_alarms_publish_and_only_over_tls() -> None:
    found = statements(properties(catalog(), "observability", "AlarmTopicPolicy")["PolicyDocument"])

    assert found["AlarmsPublish"]["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    assert found["OnlyOverTls"]["Effect"] == "Deny"


ALARMS = """emails = ["ops@example.com"]
urls = ["https://pager.example.com/alarms"]
topic_arns = ["arn:aws:sns:us-east-1:999999999999:operations"]"""


def test_everybody_of_the_list_is_told() -> None:
    """By mail and by URL through our topic, and other topics directly."""
    made = assemble(changed(('emails = ["ops@example.com"]', ALARMS)))

    told = {(each["Protocol"], each["Endpoint"]) for each in of_type(made, "AWS::SNS::Subscription").values()}
    assert told == {("email", "ops@example.com"), ("https", "https://pager.example.com/alarms")}
    other = made["observability"].template["Parameters"]["OtherTopic1"]
    assert other["Default"] == "arn:aws:sns:us-east-1:999999999999:operations"
    for alarm in of_type(made, "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}, {"Ref": "OtherTopic1"}]


def test_saved_queries_ask_for_fields_and_events_that_are_written() -> None:
    known = {*Event, *Reason, *Metric, "@timestamp", *(field for fields in SCHEMA.values() for field in fields)}
    for query in of_type(catalog(), "AWS::Logs::QueryDefinition").values():
        text = query["QueryString"]
        names = set(re.findall(r"(?<![@\w\"])(?:@timestamp|[A-Za-z]\w+)(?![\w(\"])", re.sub(r'"[^"]*"', "", text)))
        words = {"fields", "filter", "stats", "sort", "desc", "asc", "limit", "by", "as", "and", "or", "in", "event"}
        renamed = set(re.findall(r"\bas (\w+)", text))

        assert names - words - renamed - known == set(), query["Name"]
        assert set(re.findall(r'event = "(\w+)"', text)) <= set(Event)


def test_no_saved_query_shows_what_was_asked_for() -> None:
    """A path may tell of a patient (O3)."""
    queries = of_type(catalog(), "AWS::Logs::QueryDefinition").values()

    assert len(queries) >= 5
    assert not any(re.search(r"\bpath\b|@message", query["QueryString"]) for query in queries)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_of_our_own_is_logged_into_the_log_bucket(name: str) -> None:
    flow_log = properties(catalog(name), "observability", "FlowLog")

    assert flow_log["LogDestination"] == {"Fn::Sub": "arn:aws:s3:::${LogBucketName}/flow/"}
    assert (flow_log["TrafficType"], flow_log["ResourceId"]) == ("ALL", {"Ref": "VpcId"})


def test_somebody_elses_network_is_his_to_log() -> None:
    existing = assemble(parse_environment(with_existing_network(), Path("staging.toml")))

    assert of_type(existing, "AWS::EC2::FlowLog") == {}


def test_as_many_as_may_be_told_fit_into_a_template() -> None:
    """51,200 bytes of a template handed over as text (CloudFormation quotas)."""
    emails = [f"somebody.of.the.operators.{number}@operations.health.example.com" for number in range(20)]
    urls = [f"https://pager.operations.health.example.com/services/alarms/{number}" for number in range(10)]
    topics = [f"arn:aws:sns:us-east-1:999999999999:{'operations' * 8}-{number}" for number in range(4)]
    told = f"emails = {json.dumps(emails)}\nurls = {json.dumps(urls)}\ntopic_arns = {json.dumps(topics)}"

    made = assemble(changed(('emails = ["ops@example.com"]', told)))

    assert len(made["observability"].body.encode()) < 51_200
