"""How long the operator waits for `deploy.py` where it needs no cloud."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts import _terminal
from scripts._benchmark_figures import Figure

Progress = Callable[[str], None]


def measure(rounds: int, progress: Progress) -> Iterator[Figure]:
    """Give every figure of the deployment's side, each as soon as it is there."""
    progress(f"deploy.py, {rounds} rounds each")
    script = str(_terminal.ROOT / "scripts" / "deploy.py")
    yield _timed("help_seconds", rounds, lambda: _run(script, "--help"))
    with tempfile.TemporaryDirectory() as directory:
        fresh = (str(Path(directory) / str(number)) for number in range(rounds))
        yield _timed(
            "synth_seconds", rounds, lambda: _run(script, "synth", "--env", "production", "--out", next(fresh))
        )
    yield _timed("check_seconds", rounds, lambda: _run(script, "check", "--env", "production"))


def _timed(name: str, rounds: int, work: Callable[[], None]) -> Figure:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return Figure(name, statistics.median(seconds), "s")


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- our own script
