"""The scripts in another terminal find the embedded cloud by a small file, and only while it is up."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stacks.deployment.endpoint import (
    STATE_FILE,
    LocalCloudNotRunningError,
    LocalCloudUpError,
    LocalEndpoint,
    NotWritableError,
    announce,
    claim,
    find_local_endpoint,
    local_endpoint,
    withdraw,
)

ROOT = Path(__file__).resolve().parents[3]


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

    withdraw(tmp_path, endpoint(os.getpid()))
    withdraw(tmp_path, endpoint(os.getpid()))

    assert find_local_endpoint(tmp_path) is None


def test_only_its_owner_withdraws_a_file(tmp_path: Path) -> None:
    announce(tmp_path, endpoint(os.getpid()))

    withdraw(tmp_path, replace(endpoint(os.getpid()), pid=1))

    assert local_endpoint(tmp_path) == endpoint(os.getpid())


def test_a_second_cloud_of_the_same_tree_is_refused_while_the_first_is_up(tmp_path: Path) -> None:
    with claim(tmp_path):
        announce(tmp_path, endpoint(os.getpid()))

        with pytest.raises(LocalCloudUpError, match=f"up already, in process {os.getpid()}"), claim(tmp_path):
            pass

        assert local_endpoint(tmp_path) == endpoint(os.getpid())


def test_a_second_cloud_is_refused_while_the_first_is_still_coming_up(tmp_path: Path) -> None:
    with claim(tmp_path), pytest.raises(LocalCloudUpError, match="coming up"), claim(tmp_path):
        pass


def test_when_the_first_has_ended_the_next_may_come(tmp_path: Path) -> None:
    with claim(tmp_path):
        pass

    with claim(tmp_path):
        pass


def test_a_killed_cloud_stands_in_nobodys_way_and_its_file_goes(tmp_path: Path) -> None:
    """Even if its process id belongs to somebody else by now: the lock went with the process."""
    text = f"""
import sys, pathlib
from stacks.deployment.endpoint import claim
with claim(pathlib.Path({str(tmp_path)!r})):
    print("claimed", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        announce(tmp_path, endpoint(os.getpid()))
        with pytest.raises(LocalCloudUpError), claim(tmp_path):
            pass

        holder.kill()
        holder.wait()

    with claim(tmp_path):
        assert find_local_endpoint(tmp_path) is None


def test_a_tree_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE.parent).write_text("not a directory", encoding="utf-8")

    with pytest.raises(NotWritableError, match=r"\.local cannot be used: "), claim(tmp_path):
        pass
