"""The figures of this machine: their names and form, what a missing peer gives, what a limit exceeded gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import _benchmark_service, benchmark
from scripts._benchmark_figures import LIMITS, Absent, Figure, median, ratio
from scripts._benchmark_load import Job, Mode
from tests.scripts.desk import Said, say


def run(*figures: Figure, arguments: tuple[str, ...] = ()) -> Said:
    """Run the benchmark over figures that were measured elsewhere."""

    def measure(_rounds: int, _progress: Callable[[str], None]) -> Iterator[Figure]:
        yield from figures

    return say(lambda given, terminal: benchmark.main(given, terminal, parts={"service": measure}), *arguments)


def lines(said: Said) -> list[dict[str, Any]]:
    """Read what it printed."""
    return [json.loads(line) for line in said.out.splitlines()]


def test_a_figure_is_one_line_of_json() -> None:
    said = run(Figure("handshake_vs_node", 0.66, "ratio"), arguments=("--json",))

    assert said.out == '{"type":"figure","name":"handshake_vs_node","value":0.66,"limit":0.7,"unit":"ratio"}\n'


def test_a_peer_that_is_not_installed_gives_no_value_and_the_reason() -> None:
    said = run(ratio("handshake_vs_nginx", [1.0], Absent("nginx is not installed: make peers")), arguments=("--json",))

    assert lines(said) == [
        {
            "type": "figure",
            "name": "handshake_vs_nginx",
            "value": None,
            "limit": 1.45,
            "unit": "ratio",
            "reason": "nginx is not installed: make peers",
        }
    ]
    assert said.exit_code == 0


def test_a_figure_for_people_says_its_limit() -> None:
    said = run(Figure("boot_seconds", 0.5, "s"), Figure("keepalive_vs_nginx", 2.5, "ratio"))

    assert [line.split() for line in said.out.splitlines()] == [
        ["boot_seconds", "0.500", "s", "(limit", "1)"],
        ["keepalive_vs_nginx", "2.500", "ratio"],
    ]


@pytest.mark.parametrize(("value", "exit_code"), [(1.0, 0), (1.01, 1)])
def test_a_figure_over_its_limit_fails_the_run(value: float, exit_code: int) -> None:
    assert run(Figure("boot_seconds", value, "s"), Figure("keepalive_vs_nginx", 9.0, "ratio")).exit_code == exit_code


def test_the_limits_are_those_that_were_promised() -> None:
    promised = {
        "handshake_vs_node": 0.70,
        "handshake_vs_nginx": 1.45,
        "keepalive_vs_node": 1.25,
        "registry_1m_vs_1k": 1.15,
        "idle_memory_vs_node": 0.9,
        "boot_seconds": 1.0,
        "line_delay_ms": 100.0,
    }

    assert promised == LIMITS


def test_a_ratio_is_the_middle_of_the_rounds_own_ratios() -> None:
    """The second round was slow for both, the third for ours alone; neither moves the figure."""
    figure = ratio("handshake_vs_node", [1.0, 4.0, 3.0], [2.0, 8.0, 2.0])

    assert figure.value == 0.5
    assert median("handshake_node_us", [2.0, 8.0, 2.5], "us").value == 2.5


def test_a_system_without_proc_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_benchmark_service, "PROC", Path("/nowhere"))

    figures = list(_benchmark_service.measure(1, lambda _: None))

    assert {figure.name for figure in figures} >= {*LIMITS} - {"line_delay_ms"} | {"keepalive_vs_nginx"}
    assert {figure.value for figure in figures} == {None}
    assert all("/proc" in str(figure.reason) for figure in figures)


def test_a_load_job_survives_its_way_into_a_process() -> None:
    job = Job(
        Mode.HOLD, ("127.0.0.1", 1), "ingress.local.test", "here", ("client",), has_proxy_header=True, connections=5
    )

    assert Job.parse(job.render()) == job


@pytest.mark.parametrize("arguments", [("--rounds", "0"), ("--rounds", "few"), ("--only", "nothing")])
def test_misuse_is_said(arguments: tuple[str, ...]) -> None:
    assert run(arguments=arguments).exit_code == 64
