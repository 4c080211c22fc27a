"""What alarms and dashboard watch is what a running service writes, name by name and dimension by dimension."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from service.contract import METRIC_NAMESPACE, Dimension, Metric, Variable
from tests.certificates import Authority, Identity, client
from tests.embedded_metrics import Published, published
from tests.stacks.environments import catalog
from tests.stacks.templates.reading import of_type, properties
from tests.wire.stage import PROXY, WAIT_SECONDS, Aws, ask, read_to_end, running, variables

ENVIRONMENT = "staging"
Key = tuple[str, str, frozenset[tuple[str, str]]]


@pytest.fixture(scope="module")
def partner(aws: Aws) -> Identity:
    identity = client()
    aws.enroll(identity, "acme")
    return identity


@pytest.fixture(scope="module")
def measured(aws: Aws, bucket: str, authority: Authority, partner: Identity) -> Iterator[list[Published]]:
    """What a service of the name staging wrote after a client, a stranger, a missing header and half a handshake."""
    changed = {Variable.ENVIRONMENT_NAME: ENVIRONMENT, Variable.METRICS_SECONDS: "1"}
    with running(variables(aws, bucket, **changed), trust=authority.pem) as service:
        assert ask(service, partner).status == 200
        assert ask(service, client()).status == 403
        for opening in (b"GET / HTTP/1.1\r\n\r\n", PROXY + b"no ClientHello\r\n"):
            with socket.create_connection(service.address, timeout=WAIT_SECONDS) as plain:
                plain.sendall(opening)
                read_to_end(plain)
        with socket.create_connection(service.address, timeout=WAIT_SECONDS):
            service.event("metrics", **{Metric.CONNECTIONS_OPEN: 1})
        assert service.stop() == 0
        service.event("stopped")
        yield [each for line in service.events for each in published(line)]


def keys_of(measured: list[Published]) -> set[Key]:
    """Tell metrics apart as CloudWatch does."""
    return {(each.namespace, each.name, each.dimensions) for each in measured}


def test_every_alarm_on_our_metrics_watches_one_that_is_written(measured: list[Published]) -> None:
    alarms = of_type(catalog(ENVIRONMENT), "AWS::CloudWatch::Alarm").values()
    watched = {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            frozenset((each["Name"], each["Value"]) for each in alarm["Dimensions"]),
        )
        for alarm in alarms
        if alarm.get("Namespace") == METRIC_NAMESPACE
    }

    assert len(watched) >= 7
    assert watched - keys_of(measured) == set()


def test_every_widget_on_our_metrics_shows_one_that_is_written(measured: list[Published]) -> None:
    body = json.loads(properties(catalog(ENVIRONMENT), "dashboard", "Dashboard")["DashboardBody"]["Fn::Sub"])
    lines = [
        [part for part in line if isinstance(part, str)]
        for widget in body["widgets"]
        for line in widget["properties"]["metrics"]
    ]
    shown = {
        (namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True)))
        for namespace, name, *dimensions in filter(None, lines)
        if namespace == METRIC_NAMESPACE
    }

    assert {name for _, name, _ in shown} == set(Metric)
    assert shown - keys_of(measured) == set()


@pytest.mark.parametrize(
    ("metric", "others", "is_right"),
    [
        (Metric.HANDSHAKES, {Dimension.TLS_VERSION: "TLSv1.3", Dimension.GROUP: None}, lambda value: value == 2),
        (Metric.HANDSHAKES, {}, lambda value: value == 2),
        (Metric.REQUESTS, {Dimension.DECISION: "answered"}, lambda value: value == 1),
        (Metric.REFUSALS, {Dimension.REASON: "unknown_certificate"}, lambda value: value == 1),
        (Metric.REFUSALS, {}, lambda value: value == 1),
        (Metric.HANDSHAKES_FAILED, {}, lambda value: value == 1),
        (Metric.CONNECTIONS_REFUSED, {Dimension.REASON: "proxy_header"}, lambda value: value == 1),
        (Metric.CONNECTIONS_REFUSED, {}, lambda value: value == 1),
        (Metric.REGISTRY_ERRORS, {}, lambda value: value == 0),
        (Metric.AUDIT_LINES_LOST, {}, lambda value: value == 0),
        (Metric.CLIENT_CERTIFICATE_DAYS, {Dimension.CLIENT: "acme"}, lambda value: 0 < value <= 1),
        (Metric.CLIENT_CERTIFICATE_DAYS, {}, lambda value: 0 < value <= 1),
        (Metric.SERVER_CERTIFICATE_DAYS, {}, lambda value: value > 1),
        (Metric.LATENCY, {}, lambda value: value == 2),
    ],
    ids=lambda value: value.value if isinstance(value, Metric) else " ".join(value) if isinstance(value, dict) else "",
)
def test_what_happened_is_what_is_measured(
    measured: list[Published], metric: Metric, others: dict[Dimension, str | None], is_right: Callable[[float], bool]
) -> None:
    """`None` stands for any value: which group is agreed on is the client's affair too."""
    found = [
        each.value["Count"] if metric is Metric.LATENCY else each.value
        for each in measured
        if each.name == metric
        and {name for name, _ in each.dimensions} == {Dimension.ENVIRONMENT, *others}
        and all(value is None or (name, value) in each.dimensions for name, value in others.items())
    ]

    gauges = {Metric.CLIENT_CERTIFICATE_DAYS, Metric.SERVER_CERTIFICATE_DAYS}
    summed = found[-1] if metric in gauges else sum(found)
    assert is_right(summed)
