"""The scripts in another terminal find the embedded cloud by a small file, and only while it is up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.deployment.endpoint import (
    STATE_FILE,
    LocalCloudNotRunningError,
    LocalEndpoint,
    announce,
    find_local_endpoint,
    local_endpoint,
    withdraw,
)


def endpoint(pid: int) -> LocalEndpoint:
    return LocalEndpoint(pid, "http://127.0.0.1:5000", "us-east-1", "123456789012", "127.70.1.2", 1443)


def test_what_is_announced_is_found(tmp_path: Path) -> None:
    announce(tmp_path, endpoint(os.getpid()))

    assert local_endpoint(tmp_path) == endpoint(os.getpid())


def test_without_a_cloud_the_hint_is_make_local(tmp_path: Path) -> None:
    with pytest.raises(LocalCloudNotRunningError) as refused:
        local_endpoint(tmp_path)

    assert refused.value.hint is not None
    assert "make local" in refused.value.hint


def test_a_file_left_by_a_process_that_died_counts_as_none(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    announce(tmp_path, endpoint(dead.pid))

    assert find_local_endpoint(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_broken_file_counts_as_none(tmp_path: Path, text: str) -> None:
    announce(tmp_path, endpoint(os.getpid()))
    (tmp_path / STATE_FILE).write_text(text, encoding="utf-8")

    assert find_local_endpoint(tmp_path) is None


def test_what_is_withdrawn_is_gone_and_may_be_withdrawn_again(tmp_path: Path) -> None:
    announce(tmp_path, endpoint(os.getpid()))

    withdraw(tmp_path)
    withdraw(tmp_path)

    assert find_local_endpoint(tmp_path) is None
