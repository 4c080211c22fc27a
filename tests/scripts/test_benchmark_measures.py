"""The benchmark's own machinery, in one short round each: no promise about the figures, only that they are measured."""

from __future__ import annotations

import pytest

from scripts import _benchmark_service as service
from scripts._benchmark_figures import Figure
from scripts._benchmark_load import Mode
from scripts._benchmark_servers import load_core, pinned
from scripts._benchmark_stage import P256, open_stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not service.PROC.exists(), reason="CPU time and memory of a process are read from /proc"),
]


def values(figures: list[Figure]) -> dict[str, float]:
    """Leave what a peer that is not installed could not give."""
    return {figure.name: figure.value for figure in figures if figure.value is not None}


def test_boot_requests_and_memory_are_measured() -> None:
    works = (service.Work("handshake", Mode.NEW, P256, 0.3), service.Work("keepalive", Mode.KEEP, P256, 0.3))

    with pinned(load_core()), open_stage() as stage:
        boot = values(list(service.measure_boot(stage, 1)))
        requests = values(list(service.measure_requests(stage, 1, works)))
        memory = values(list(service.measure_memory(stage, 1, connections=100)))

    assert 0 < boot["boot_cpu_seconds"] < boot["boot_seconds"] <= boot["boot_to_answer_seconds"] < 30
    assert 0 < requests["keepalive_ours_us"] < requests["handshake_ours_us"] < 50_000
    assert requests["line_delay_ms"] >= 0
    assert 5 < memory["idle_memory_ours_kib"] < 500


def test_a_registry_is_measured_with_hardly_an_answer_from_the_cache() -> None:
    with pinned(load_core()):
        figures = values(list(service.measure_registry(1, sizes=(1_000, 2_000))))

    assert 0.1 < figures["registry_1m_vs_1k"] < 10
    assert figures["registry_1k_miss_share"] > 0.8
    assert figures["registry_1k_cached"] <= 2 * 64
