"""A task's process is heard to its last line and never outlives who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.local_cloud.task_output import MAX_LINE_BYTES
from stacks.local_cloud.task_process import Launch, TaskProcess, Watchdog
from tests.stacks.local_cloud.data_plane.stage import eventually

ROOT = Path(__file__).parents[4]

FORKS_AND_WAITS = """
import os, time
print(os.fork() or os.getpid(), flush=True)
time.sleep(60)
"""

STARTS_A_TASK = f"""
import sys, time
from pathlib import Path
from stacks.local_cloud.task_process import Launch, TaskProcess, Watchdog
watchdog = Watchdog()
watchdog.start()
def tell(stream, text):
    print(text, flush=True)
launch = Launch([sys.executable, "-c", {FORKS_AND_WAITS!r}], {{}}, Path("/"))
TaskProcess(launch, watchdog=watchdog, on_line=tell, on_exit=lambda: None)
time.sleep(60)
"""


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog()
    watchdog.start()
    yield watchdog
    watchdog.stop()


def run(program: str, watchdog: Watchdog) -> tuple[TaskProcess, list[tuple[str, str]], threading.Event]:
    """Run a program; give the process, its lines as they come and what is set when it is over."""
    lines: list[tuple[str, str]] = []
    is_over = threading.Event()
    process = TaskProcess(
        Launch([sys.executable, "-c", program], {}, Path("/")),
        watchdog=watchdog,
        on_line=lambda stream, text: lines.append((stream, text)),
        on_exit=is_over.set,
    )
    return process, lines, is_over


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than a zombie nobody has reaped yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_every_line_is_told_with_its_stream(watchdog: Watchdog) -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.stdout.write('no newline')"

    process, lines, is_over = run(program, watchdog)

    assert is_over.wait(20)
    assert sorted(lines) == [("stderr", "err"), ("stdout", "no newline"), ("stdout", "out")]
    assert process.exit_code == 0


def test_a_line_without_end_is_cut(watchdog: Watchdog) -> None:
    _, lines, is_over = run(f"print('x' * {3 * MAX_LINE_BYTES})", watchdog)

    assert is_over.wait(20)
    assert [len(text) for _, text in lines if text] == [MAX_LINE_BYTES] * 3


def test_a_signal_is_told_as_docker_tells_it(watchdog: Watchdog) -> None:
    process, lines, is_over = run("import time; print('up', flush=True); time.sleep(60)", watchdog)
    eventually(lambda: lines)

    process.ask_to_stop()

    assert is_over.wait(20)
    assert process.exit_code == 128 + signal.SIGTERM


def test_what_a_task_started_ends_with_it(watchdog: Watchdog) -> None:
    """A container ends when its first process does."""
    process, lines, is_over = run(FORKS_AND_WAITS, watchdog)
    eventually(lambda: len(lines) == 2)

    os.kill(process.pid, signal.SIGKILL)

    assert is_over.wait(20)
    eventually(lambda: not any(is_running(int(pid)) for _, pid in lines))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_tasks_end_when_their_starter_is_killed() -> None:
    """`kill -9` of `make local` leaves no service process around, not even the workers it forked."""
    starter = subprocess.Popen(  # noqa: S603 - our own interpreter, and a program of ours
        [sys.executable, "-c", STARTS_A_TASK], cwd=ROOT, stdout=subprocess.PIPE, text=True, process_group=0
    )
    assert starter.stdout is not None
    pids = [int(starter.stdout.readline()) for _ in range(2)]
    assert all(is_running(pid) for pid in pids)

    os.kill(starter.pid, signal.SIGKILL)
    starter.wait(20)
    starter.stdout.close()

    eventually(lambda: not any(is_running(pid) for pid in pids))


def test_a_stop_at_the_moment_of_its_end_loses_no_end(watchdog: Watchdog) -> None:
    """Whoever sends the signal must not be the one who reaps it."""
    for _ in range(40):
        is_over = threading.Event()
        launch = Launch(["/bin/true"], {}, Path("/"))
        process = TaskProcess(launch, watchdog=watchdog, on_line=lambda *_: None, on_exit=is_over.set)
        deadline = time.monotonic() + 5
        while not is_over.is_set() and time.monotonic() < deadline:
            process.ask_to_stop()

        assert is_over.is_set()
