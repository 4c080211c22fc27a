"""The rules on alarms and dashboard: what must be watched is, every alarm can go off, and somebody can act on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stacks.rules.alarm_rule import alarms_in, is_in_alarm
from stacks.rules.demands import DEMANDS, Demand
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.metrics import KNOWN, Known, Side
from stacks.rules.register import Entry, exception, kept_elsewhere
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.values import flag, listed, number
from stacks.rules.watching import ALARM, COMPOSITE, Alarm, Series, alarms, misnamed, read_alarm, what_are_named

TOPIC: Final = "AWS::SNS::Topic"
DASHBOARD: Final = "AWS::CloudWatch::Dashboard"
QUERY: Final = "AWS::Logs::QueryDefinition"
_OPERATIONS: Final = "CloudWatch guide, using Amazon CloudWatch alarms"
_PAGE: Final = re.compile(r"docs/runbooks/[a-z0-9-]+\.md")
_SHORT_PERIODS: Final = (10, 20, 30)
_DAY: Final = 24 * 3600
_Line = tuple[str, str, frozenset[tuple[str, str]]]
"""A metric on a dashboard: namespace, name and dimensions."""
_SILENCES: Final = ("breaching", "notBreaching", "ignore", "missing")


# -- what must be watched ----------------------------------------------------------------


@rule(
    "O1",
    why="what nobody watches fails for days before a partner calls",
    source="requirements of operations; each metric's page is named in stacks/rules/metrics.py",
)
def what_can_fail_is_watched(estate: Estate) -> Iterator[Fault]:
    """
    Everything that can fail has an alarm, which goes off at a bad value and rests at a good one.

    Load balancer, tasks, capacity, instances, registry, certificate bucket, certificates, and what the service counts.
    """
    given = alarms(estate)
    for demand in DEMANDS:
        yield from _missing(estate, demand, given)


def _missing(estate: Estate, demand: Demand, given: Iterable[Alarm]) -> Iterator[Fault]:
    whose: list[Resource | None] = list(demand.whose(estate)) if demand.whose else [None]
    if not whose:
        yield absent(f"{demand.said}, which is not in the templates")
    for wanted in whose:
        on_it = [(alarm, series) for alarm in given if (series := _series_on(estate, demand, alarm, wanted))]
        if not on_it:
            yield absent(demand.said if wanted is None else f"{demand.said} ({wanted.name})")
            continue
        # Several may watch one metric for several things; it is enough that one does what is demanded.
        tries = [list(_shortcomings(estate, demand, alarm, series)) for alarm, series in on_it]
        yield from min(tries, key=len)


def _series_on(estate: Estate, demand: Demand, alarm: Alarm, wanted: Resource | None) -> Series | None:
    for series in alarm.series:
        is_of_it = wanted is None or wanted in what_are_named(estate, series)
        has_all = all(series.dimensions.get(name) == value for name, value in demand.having)
        is_total = bool(demand.having) or "reason" not in series.dimensions
        # What is reckoned of a metric has other values than the metric.
        is_itself = bool(demand.short_of) or not alarm.expressions
        if (series.namespace, series.metric) in demand.metrics and all((is_of_it, has_all, is_total, is_itself)):
            return series
    return None


def _shortcomings(estate: Estate, demand: Demand, alarm: Alarm, series: Series) -> Iterator[Fault]:
    resource, said = alarm.resource, demand.said
    bad, good = demand.bad(estate), demand.good(estate)
    if demand.short_of:
        yield from _falls_short(demand, alarm)
    if not alarm.fires_at(bad):
        found = _threshold(alarm)
        yield resource.fault("Threshold", found=found, expected=f"one that goes off at {bad:g}: {said}")
    if alarm.fires_at(good):
        found = _threshold(alarm)
        yield resource.fault("Threshold", found=found, expected=f"one that rests at {good:g}: {said}")
    if series.statistic not in demand.statistics:
        expected = " or ".join(demand.statistics)
        yield resource.fault("Statistic", found=series.statistic or None, expected=f"{expected}: {said}")
    if demand.silence and alarm.get("TreatMissingData") not in demand.silence:
        expected = " or ".join(demand.silence)
        yield resource.fault("TreatMissingData", found=alarm.get("TreatMissingData"), expected=f"{expected}: {said}")
    if not demand.least_seconds <= alarm.seconds <= demand.most_seconds:
        expected = f"{demand.least_seconds:g} to {demand.most_seconds:g} seconds until it goes off: {said}"
        yield resource.fault("DatapointsToAlarm", found=Said(f"{alarm.seconds:g} seconds"), expected=expected)


def _falls_short(demand: Demand, alarm: Alarm) -> Iterator[Fault]:
    """Object to a comparison with a number where it must be with what is asked for at the moment."""
    ids = {
        str(query["MetricStat"]["Metric"]["MetricName"]): str(query.get("Id"))
        for _, query in alarm.resource.tables("Metrics")
        if "MetricStat" in query
    }
    wanted, there = ids.get(demand.short_of), ids.get(demand.metrics[0][1])
    asked = [query for _, query in alarm.resource.tables("Metrics") if flag(query.get("ReturnData", True))]
    difference = re.compile(rf"\s*{wanted}\s*-\s*{there}\s*")
    if wanted is None or len(asked) != 1 or not difference.fullmatch(str(asked[0].get("Expression", ""))):
        expected = f"{demand.short_of} less {demand.metrics[0][1]} as the one result: {demand.said}"
        yield alarm.resource.fault("Metrics", found=Said("something else"), expected=expected)


def _threshold(alarm: Alarm) -> Said:
    return Said(f"{alarm.get('ComparisonOperator')} {alarm.get('Threshold')}")


@rule(
    "O1",
    why="partners that stop calling, or come all at once, are noticed by nobody else",
    source="CloudWatch guide, using CloudWatch anomaly detection; the load balancer reports only when traffic flows",
)
def unusual_traffic_is_watched(estate: Estate) -> Iterator[Fault]:
    """The load balancer's RequestCount has an alarm against what is usual, which silence does not change."""
    on_it = [alarm for alarm in alarms(estate) if any(each.name == "AWS/ELB RequestCount" for each in alarm.series)]
    if not on_it:
        yield absent("an alarm on AWS/ELB RequestCount of the load balancer")
    for alarm in on_it:
        if not alarm.is_band:
            found = _threshold(alarm)
            yield alarm.resource.fault("ThresholdMetricId", found=found, expected="an ANOMALY_DETECTION_BAND")
        elif "Lower" not in str(alarm.get("ComparisonOperator")):
            found = alarm.get("ComparisonOperator")
            yield alarm.resource.fault("ComparisonOperator", found=found, expected="less than the lower threshold too")
        if alarm.get("TreatMissingData") != "ignore":
            yield alarm.resource.fault("TreatMissingData", found=alarm.get("TreatMissingData"), expected='"ignore"')


# -- every alarm, whatever it is on --------------------------------------------------------


@rule_of(
    ALARM,
    requirement="O1",
    why="an alarm on a metric that does not exist is made without complaint and never goes off",
    source="each metric's page is named in stacks/rules/metrics.py",
)
def metrics_of_alarms_exist(resource: Resource) -> Iterator[Fault]:
    """Every alarm names a metric there is, by exactly the dimensions it is written by; none of the estimates of ELB."""
    alarm = read_alarm(resource)
    if not alarm.series:
        yield resource.fault("MetricName", found=None, expected="a metric")
    if resource.get("Unit") is not None:
        # Data of any other unit are not seen, and the alarm stays INSUFFICIENT_DATA (PutMetricAlarm, Unit).
        yield resource.fault("Unit", found=resource.get("Unit"), expected="none: every metric of the list has one unit")
    for series in alarm.series:
        known = KNOWN.get((series.namespace, series.metric))
        if known is None:
            near = sorted(name for namespace, name in KNOWN if namespace == series.namespace)
            expected = f"one of {', '.join(near)}" if near else "a namespace and metric of the list"
            if series.metric.startswith("Estimated"):
                expected = "a metric for alarms: AWS says that its estimates are not"
            yield resource.fault("MetricName", found=Said(series.name), expected=expected)
        elif frozenset(series.dimensions) not in known.dimensions:
            expected = " or ".join(" and ".join(sorted(each)) for each in known.dimensions)
            yield resource.fault(series.path, found=Said(" and ".join(series.dimensions) or "none"), expected=expected)


@rule_of(
    ALARM,
    requirement="O1",
    why="an alarm on the metric of something else, or of nothing, watches nothing of ours",
    source="measured: a dimension written by hand deploys and stays INSUFFICIENT_DATA",
)
def dimensions_name_what_there_is(resource: Resource) -> Iterator[Fault]:
    """Every dimension of an alarm names the balancer, cluster, service, group, table or bucket of the templates."""
    for series in read_alarm(resource).series:
        for dimension, expected in misnamed(resource.estate, series):
            yield resource.fault(
                series.path, found=Said(f"{dimension} {series.dimensions[dimension]}"), expected=expected
            )


@rule_of(
    ALARM,
    requirement="O1",
    why="a threshold on the wrong side, or one its metric cannot reach, is an alarm that never goes off or never ends",
    source=_OPERATIONS,
)
def thresholds_can_be_crossed(resource: Resource) -> Iterator[Fault]:
    """Every alarm compares towards its metric's bad side, with a statistic that tells something, and can rest."""
    alarm = read_alarm(resource)
    for series in alarm.series:
        known = KNOWN.get((series.namespace, series.metric))
        if known is None:
            continue
        statistic = "p" if re.fullmatch(r"p\d+(\.\d+)?", series.statistic) else series.statistic
        if statistic not in known.statistics:
            expected = f"{' or '.join(sorted(known.statistics))} of {series.name}"
            yield resource.fault("Statistic", found=series.statistic or None, expected=expected)
        if not alarm.expressions:
            yield from _wrong_side(alarm, series, known)
    if resource.get("Statistic") is not None and resource.get("ExtendedStatistic") is not None:
        found = Said("Statistic and ExtendedStatistic")
        yield resource.fault("ExtendedStatistic", found=found, expected="one of the two")


def _wrong_side(alarm: Alarm, series: Series, known: Known) -> Iterator[Fault]:
    # No metric of the list is below zero; each may rise without bound.
    lowest, highest = alarm.fires_at(0), alarm.fires_at(1e12)
    is_low_days = series.metric.endswith("DaysToExpiry")
    if known.side is Side.LOW and (not (lowest or is_low_days) or highest):
        yield alarm.resource.fault("Threshold", found=_threshold(alarm), expected="one that only low values cross")
    if known.side is Side.HIGH and (lowest or not highest):
        yield alarm.resource.fault("Threshold", found=_threshold(alarm), expected="one that only high values cross")


@rule_of(
    ALARM,
    requirement="O1",
    why="missing data that is taken the wrong way is silence when all is lost, or an alarm that never ends",
    source="CloudWatch guide, configuring how alarms treat missing data",
)
def silence_is_judged(resource: Resource) -> Iterator[Fault]:
    """Every alarm says what missing data means: never good where little is bad, never bad where data is sparse."""
    found, alarm = resource.get("TreatMissingData"), read_alarm(resource)
    if found not in _SILENCES:
        yield resource.fault("TreatMissingData", found=found, expected=" or ".join(_SILENCES))
        return
    for series in alarm.series:
        known = KNOWN.get((series.namespace, series.metric))
        if known is not None and not _is_right(known, found):
            expected = f"another meaning of silence for {series.name}"
            yield resource.fault("TreatMissingData", found=found, expected=expected)


def _is_right(known: Known, silence: object) -> bool:
    if known.side is Side.LOW:
        return silence not in {"notBreaching", "missing"}
    return not (known.is_sparse and silence in {"breaching", "missing"})


@rule_of(
    ALARM,
    requirement="O1",
    why="CloudWatch refuses the alarm, and with it the stack; or it asks for more points than it looks at",
    source="CloudWatch API reference, PutMetricAlarm",
)
def periods_of_alarms_are_taken(resource: Resource) -> Iterator[Fault]:
    """Every alarm looks at periods CloudWatch takes, a day at most, and needs no more points than it looks at."""
    alarm = read_alarm(resource)
    looked_at, needed = number(resource.get("EvaluationPeriods")), number(resource.get("DatapointsToAlarm"))
    if looked_at is None or looked_at < 1 or looked_at % 1:
        yield resource.fault("EvaluationPeriods", found=resource.get("EvaluationPeriods"), expected="1 or more")
        return
    if needed is not None and not (1 <= needed <= looked_at and needed % 1 == 0):
        yield resource.fault("DatapointsToAlarm", found=needed, expected=f"1 to {looked_at:g}")
    for series in alarm.series:
        period = series.period
        if period is None or period <= 0 or (period not in _SHORT_PERIODS and period % 60):
            yield resource.fault("Period", found=series.period, expected="10, 20, 30 or a multiple of 60 seconds")
        elif period * looked_at > _DAY:
            yield resource.fault(
                "EvaluationPeriods", found=looked_at, expected=f"at most a day, {_DAY} seconds, in all"
            )


# -- whom alarms reach -----------------------------------------------------------------------


@rule_of(
    ALARM,
    COMPOSITE,
    requirement="CLOUDWATCH_ALARM_ACTION_CHECK",
    why="an alarm that tells nobody is a light in an empty room",
    source="Config, cloudwatch-alarm-action-check; Security Hub, CloudWatch.15",
    also=("O1",),
)
def alarms_reach_a_topic(resource: Resource) -> Iterator[Fault]:
    """Every alarm tells a topic of the templates when it goes off and when it is over, and is not switched off."""
    for name in ("AlarmActions", "OKActions"):
        found = listed(resource.get(name))
        if not any(resource.estate.called(action, TOPIC) for action in found):
            yield resource.fault(name, found=found or None, expected="a topic of the templates")
    if flag(resource.get("ActionsEnabled")) is False:
        yield resource.fault("ActionsEnabled", found=False, expected="true, or nothing")


@rule_of(
    ALARM,
    COMPOSITE,
    requirement="O1",
    why="whoever is woken at night must not have to search for what to do",
    source=_OPERATIONS,
)
def alarms_say_what_to_do(resource: Resource) -> Iterator[Fault]:
    """Every alarm's description says what is wrong and names its page of docs/runbooks."""
    found = resource.get("AlarmDescription")
    if not isinstance(found, str) or not _PAGE.search(found) or len(_PAGE.sub("", found).split()) < 4:  # noqa: PLR2004
        yield resource.fault("AlarmDescription", found=found, expected="a sentence and docs/runbooks/PAGE.md")


@rule(
    "O1",
    why="one alarm must mean that clients do not get in, so that the others can wait until morning",
    source="CloudWatch guide, combining alarms",
)
def one_alarm_says_that_the_ingress_is_down(estate: Estate) -> Iterator[Fault]:
    """A composite alarm says that the ingress is down, made of alarms of the templates, healthy hosts among them."""
    composites = estate.of_type(COMPOSITE)
    if not composites:
        yield absent("a composite alarm that says that the ingress is down")
    for composite in composites:
        yield from _children(estate, composite)
        suppressor = composite.get("ActionsSuppressor")
        if suppressor is not None:
            yield composite.fault("ActionsSuppressor", found=suppressor, expected="none: nothing keeps it quiet")


def _children(estate: Estate, composite: Resource) -> Iterator[Fault]:
    text = str(composite.get("AlarmRule") or "")
    children = {name: estate.called(name, ALARM, COMPOSITE) for name in alarms_in(text)}
    for name in sorted(name for name, child in children.items() if child is None):
        yield composite.fault("AlarmRule", found=name, expected="an alarm of the templates")
    healths = {name for name, child in children.items() if child is not None and _is_of_health(child)}
    calm, unhealthy = is_in_alarm(text, set()), is_in_alarm(text, healths)
    if calm is None or unhealthy is None:
        yield composite.fault("AlarmRule", found=text, expected='ALARM("...") joined by AND, OR and NOT')
    elif calm or not unhealthy:
        expected = "one that goes off when the alarms on HealthyHostCount do, and rests when none does"
        yield composite.fault("AlarmRule", found=text, expected=expected)


def _is_of_health(alarm: Resource) -> bool:
    return any(each.metric == "HealthyHostCount" for each in read_alarm(alarm).series)


# -- what there is to see -----------------------------------------------------------------------


@rule(
    "O2",
    why="whoever is woken looks at the dashboard first, and what is missing there is looked for by hand",
    source="CloudWatch API reference, dashboard body structure and syntax",
)
def every_alarmed_metric_is_on_the_dashboard(estate: Estate) -> Iterator[Fault]:
    """A dashboard can be read as JSON and shows every metric of every alarm, by the same dimensions."""
    dashboards = [(each, _widgets(each)) for each in estate.of_type(DASHBOARD)]
    if not dashboards:
        yield absent("a dashboard")
    unreadable = [dashboard for dashboard, widgets in dashboards if widgets is None]
    for dashboard in unreadable:
        yield dashboard.fault("DashboardBody", found=Said("what is no dashboard"), expected="JSON with widgets")
    if dashboards and not unreadable:
        region = estate.place.region
        shown = {key for _, widgets in dashboards for widget in widgets or [] for key in _shown(widget, region)}
        yield from _unseen(estate, shown)


def _unseen(estate: Estate, shown: set[_Line]) -> Iterator[Fault]:
    for alarm in alarms(estate):
        for series in alarm.series:
            if (series.namespace, series.metric, frozenset(series.dimensions.items())) not in shown:
                expected = f"{series.name} by these dimensions on the dashboard"
                yield alarm.resource.fault(series.path, found=Said("a metric nobody sees"), expected=expected)


def _widgets(dashboard: Resource) -> list[Mapping[str, Any]] | None:
    try:
        read = json.loads(str(dashboard.get("DashboardBody")))
    except ValueError:
        return None
    widgets = read.get("widgets") if isinstance(read, dict) else None
    if not isinstance(widgets, list) or not all(isinstance(each, dict) and each.get("type") for each in widgets):
        return None
    return widgets or None


def _shown(widget: Mapping[str, Any], region: str) -> Iterator[_Line]:
    """Give the metrics of a widget of this region; `.` stands for what stood there in the line above."""
    given = widget.get("properties")
    properties = given if isinstance(given, dict) else {}
    is_seen = widget.get("type") == "metric" and properties.get("region", region) == region
    lines = properties.get("metrics") if is_seen else None
    above: list[str] = []
    for line in lines if isinstance(lines, list) else []:
        parts = [part for part in line if isinstance(part, str)] if isinstance(line, list) else []
        parts = [above[place] if part == "." and place < len(above) else part for place, part in enumerate(parts)]
        if len(parts) >= 2:  # noqa: PLR2004 -- an expression names no metric
            yield parts[0], parts[1], frozenset(zip(parts[2::2], parts[3::2], strict=False))
        above = parts or above


@rule(
    "O3",
    why="in the middle of a fault nobody writes a query that is right",
    source="CloudWatch Logs guide, saving queries",
)
def questions_to_the_log_are_saved(estate: Estate) -> Iterator[Fault]:
    """Queries on the tasks' log are saved: refusals by reason, by client, and certificates that end."""
    queries = estate.of_type(QUERY)
    texts = [str(query.get("QueryString") or "") for query in queries]
    for what, words in {
        "refusals by reason": r"by [^|]*\breason\b",
        "refusals by client": r"by [^|]*\bclient\b",
        "certificates that end soon": r"DaysToExpiry",
    }.items():
        if not any(re.search(words, text) for text in texts):
            yield absent(f"a saved query for {what}")
    for query in queries:
        named = query.texts("LogGroupNames")
        if not named or any(estate.called(name, "AWS::Logs::LogGroup") is None for name in named):
            yield query.fault("LogGroupNames", found=named or None, expected="log groups of the templates")


@rule_of(
    QUERY,
    "AWS::Logs::MetricFilter",
    requirement="O3",
    why="a path may tell of a patient, and a metric's dimension or a saved result outlives the log's lock",
    source="HIPAA, 45 CFR 164.502(b), minimum necessary",
)
def nothing_of_a_patient_leaves_the_log(resource: Resource) -> Iterator[Fault]:
    """No saved query shows, and no metric filter counts by, the path or the whole line of a request."""
    if resource.type == QUERY:
        texts = {"QueryString": str(resource.get("QueryString") or "")}
    else:
        transformations = resource.tables("MetricTransformations")
        texts = {
            f"{path}.{key}": str(each.get(key))
            for path, each in transformations
            for key in ("Dimensions", "MetricValue")
        }
    for path, text in texts.items():
        if re.search(r"\bpath\b|@message", text):
            yield resource.fault(path, found=text, expected="no path and no @message")


@rule_of(
    "AWS::Logs::LogGroup",
    requirement="O1",
    why="in a group of infrequent access no line becomes a metric, and alarms on what the service measures are blind",
    source="CloudWatch Logs guide, log classes: embedded metric format needs the standard class",
)
def lines_become_metrics(group: Resource) -> Iterator[Fault]:
    """Every log group is of the standard class."""
    if group.get("LogGroupClass") not in {None, "STANDARD"}:
        yield group.fault("LogGroupClass", found=group.get("LogGroupClass"), expected="STANDARD, or nothing")


RULES: Final[tuple[Rule, ...]] = (
    what_can_fail_is_watched,
    unusual_traffic_is_watched,
    metrics_of_alarms_exist,
    dimensions_name_what_there_is,
    thresholds_can_be_crossed,
    silence_is_judged,
    periods_of_alarms_are_taken,
    alarms_reach_a_topic,
    alarms_say_what_to_do,
    one_alarm_says_that_the_ingress_is_down,
    every_alarmed_metric_is_on_the_dashboard,
    questions_to_the_log_are_saved,
    nothing_of_a_patient_leaves_the_log,
    lines_become_metrics,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    kept_elsewhere(
        "ACM.1",
        "Certificates are renewed within a time before they end.",
        why="the server certificate is not in ACM: tasks end TLS themselves",
        instead="the service measures the days left, ServerCertificateEndsSoon and ...EndsNow watch them (O1), and"
        " `certificates.py status` shows them; `certificates.py install` refuses one that is over",
    ),
    exception(
        "CloudFormation.1",
        "Stacks tell a topic of their events.",
        why="the topic is itself in one of the stacks, and the deployer gives none of them anybody to tell yet",
        instead="the deployer watches every stack event itself and ends with a code that says what became of it",
    ),
    kept_elsewhere(
        "ACM_CERTIFICATE_EXPIRATION_CHECK",
        "Certificates in ACM do not end within a given time.",
        why="the server certificate is not in ACM",
        instead="as ACM.1",
    ),
)
