"""A data plane ends whatever it began, however far it got."""

from __future__ import annotations

import threading
from pathlib import Path

from stacks.local_cloud.data_plane import DataPlane, PlaneOptions


def no_door(_instance_id: str, _address: str) -> str:
    return "http://127.0.0.1:9"


def refuse(service: str) -> object:
    """Stand for a cloud that gives clients and answers nothing."""
    return _Mute(service)


class _Mute:
    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, call: str) -> object:
        raise OSError(f"{self._service} {call}: connection refused")


def test_stopping_what_was_never_started_is_no_error(tmp_path: Path) -> None:
    DataPlane(refuse, no_door, tmp_path).stop()


def test_stopping_without_a_cloud_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    plane = DataPlane(refuse, no_door, tmp_path)
    plane.start()

    plane.stop()

    assert set(threading.enumerate()) <= before


def test_a_fault_that_stays_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    is_told = threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        is_told.set()

    with DataPlane(refuse, no_door, tmp_path, PlaneOptions(report=hear, moving_seconds=0.01)):
        assert is_told.wait(10)

    assert said == ["ecs list_clusters: connection refused"]
