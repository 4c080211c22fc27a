"""
What to look at: the dashboard, made of the same list as the alarms, and the questions to the log that runbooks ask.

It has a stack of its own, for beside the alarms its text would not fit into
what CloudFormation takes as one template.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final

from troposphere import Sub, Template
from troposphere.cloudwatch import Dashboard

from stacks.environment import Environment
from stacks.naming import Output
from stacks.templates.joints import begin, take
from stacks.templates.saved_queries import add_saved_queries
from stacks.templates.watches import Comparison, Measure, Watch, shown, watches

_COLUMNS: Final = 3
_WIDTH: Final = 24 // _COLUMNS
"""A dashboard is 24 units wide (CloudWatch API reference, dashboard body structure)."""
_HEIGHT: Final = 6

Widget = dict[str, object]


def build(environment: Environment) -> Template:
    """Build the template of what to look at."""
    template = begin(environment, "what to look at")
    watched, measures = watches(environment), shown(environment)
    for measure in [*_measures(watched), *measures]:
        for value in measure.dimensions.values():
            if isinstance(value, Output):
                take(template, environment, value)
    template.add_resource(_dashboard(environment, watched, measures))
    add_saved_queries(template, environment)
    return template


def _dashboard(environment: Environment, watched: Sequence[Watch], measures: Sequence[Measure]) -> Dashboard:
    graphs = [_watch_graph(environment, watch) for watch in watched]
    graphs += [_graph(environment, measure.metric, 60, [_line(measure)]) for measure in measures]
    # Values of other stacks stand in the text as ${Parameter}; JSON has no such thing of its own.
    body = json.dumps({"widgets": _placed(graphs)}, separators=(",", ":"))
    return Dashboard("Dashboard", DashboardBody=Sub(body))


def _measures(watched: Sequence[Watch]) -> list[Measure]:
    both = ((watch.measure, watch.short_of) for watch in watched)
    return [measure for pair in both for measure in pair if measure is not None]


def _placed(graphs: Iterable[Widget]) -> list[Widget]:
    """Lay graphs row by row."""
    return [
        graph
        | {
            "x": _WIDTH * (place % _COLUMNS),
            "y": _HEIGHT * (place // _COLUMNS),
            "width": _WIDTH,
            "height": _HEIGHT,
        }
        for place, graph in zip(count(), graphs, strict=False)
    ]


def _watch_graph(environment: Environment, watch: Watch) -> Widget:
    if watch.comparison is Comparison.UNUSUAL:
        band = [{"expression": f"ANOMALY_DETECTION_BAND(m0, {watch.threshold})", "id": "e0"}]
        lines = [[*_line(watch.measure), {"id": "m0"}], band]
        return _graph(environment, watch.title, watch.period, lines)
    measures = [watch.measure] if watch.short_of is None else [watch.measure, watch.short_of]
    graph = _graph(environment, watch.title, watch.period, [_line(measure) for measure in measures])
    if watch.short_of is None:
        graph["properties"]["annotations"] = {"horizontal": [{"value": watch.threshold}]}  # type: ignore[index]  # a table
    return graph


def _graph(environment: Environment, title: str, period: int, lines: Sequence[object]) -> Widget:
    return {
        "type": "metric",
        "properties": {"title": title, "region": environment.region, "period": period, "metrics": lines},
    }


def _line(measure: Measure) -> list[object]:
    dimensions = [
        part
        for name, value in measure.dimensions.items()
        for part in (name, f"${{{value}}}" if isinstance(value, Output) else value)
    ]
    return [measure.namespace, measure.metric, *dimensions, {"stat": measure.statistic}]
