"""A task has a worker for each processor it may use, and not for each the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.connection.processors import count_processors

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000\n", ALLOWED),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        (f"{ALLOWED * 150000} 100000\n", ALLOWED),
        ("", ALLOWED),
        ("-1 0\n", ALLOWED),
        ("many of them", ALLOWED),
    ],
)
def test_a_quota_of_the_control_group_counts(tmp_path: Path, limit: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)

    assert count_processors(tmp_path) == expected


def test_the_older_form_counts_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")

    assert count_processors(tmp_path) == 1


def test_without_a_quota_it_is_what_we_may_run_on(tmp_path: Path) -> None:
    assert count_processors(tmp_path) == ALLOWED
