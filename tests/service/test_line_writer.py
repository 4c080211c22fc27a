"""Lines reach a pipe whole and in order; a reader that is slow costs nobody's time, one that is gone is noticed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.line_writer import MAX_LINE_BYTES, LineWriter

pytestmark = pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux lets a test make a pipe small")

LINE = "x" * 999 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of the smallest size there is, 4 KiB; its reading end does not wait."""
    readable, writable = os.pipe()
    fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, MAX_LINE_BYTES)
    os.set_blocking(readable, False)
    yield readable, writable
    for descriptor in (readable, writable):
        try:
            os.close(descriptor)
        except OSError:
            continue


def numbered(number: int) -> str:
    """Make a line of 1,000 bytes that knows its place."""
    return f"{number:06d}".ljust(999, ".") + "\n"


def read_all(readable: int) -> list[str]:
    """Read what is there, as lines."""
    chunks = []
    try:
        while chunk := os.read(readable, 1 << 20):
            chunks.append(chunk)
    except BlockingIOError:
        pass
    return b"".join(chunks).decode().splitlines(keepends=True)


def test_a_line_is_with_the_kernel_when_the_call_returns(pipe: tuple[int, int]) -> None:
    readable, writable = pipe

    lost = LineWriter(writable).write(LINE)

    assert lost == 0
    assert read_all(readable) == [LINE]


def test_what_a_full_pipe_does_not_take_follows_in_order_once_it_is_read(pipe: tuple[int, int]) -> None:
    readable, writable = pipe
    lines = [numbered(number) for number in range(50)]

    async def write_and_read() -> list[str]:
        writer, read = LineWriter(writable), list[str]()
        assert [writer.write(line) for line in lines] == [0] * len(lines)
        async with asyncio.timeout(5):
            while len(read) < len(lines):
                read += read_all(readable)
                await asyncio.sleep(0)
        return read

    assert asyncio.run(write_and_read()) == lines


def test_a_reader_that_sleeps_does_not_hold_up_the_loop(pipe: tuple[int, int]) -> None:
    _, writable = pipe

    async def write_much() -> float:
        writer, loop = LineWriter(writable), asyncio.get_running_loop()
        began = loop.time()
        for number in range(100):
            writer.write(numbered(number))
        return loop.time() - began

    assert asyncio.run(write_much()) < 1


def test_over_the_bound_lines_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    readable, writable = pipe

    async def overflow() -> tuple[list[int], int]:
        writer = LineWriter(writable, max_waiting_bytes=10_000)
        lost = [writer.write(numbered(number)) for number in range(20)]
        read_all(readable)
        return lost, writer.finish(0)

    lost, left = asyncio.run(overflow())

    assert lost == [0] * 14 + [1] * 6
    assert left == 10 - 4


def test_after_a_drop_lines_are_taken_again_once_the_reader_has_caught_up(pipe: tuple[int, int]) -> None:
    """Not before: with a reader that trickles there would be a hole after every line."""
    readable, writable = pipe

    async def overflow_and_recover() -> tuple[int, int, list[str]]:
        writer = LineWriter(writable, max_waiting_bytes=6_000)
        lost = sum(writer.write(numbered(number)) for number in range(20))
        read_all(readable)
        meanwhile = writer.write(numbered(20))
        read = read_all(readable)
        writer.finish(0)
        read += read_all(readable)
        assert writer.write(numbered(21)) == 0
        return lost, meanwhile, read + read_all(readable)

    lost, meanwhile, read = asyncio.run(overflow_and_recover())

    assert (lost, meanwhile) == (10, 1)
    assert [int(line[:6]) for line in read] == [4, 5, 6, 7, 8, 9, 21]


def test_a_reader_that_is_gone_is_noticed_and_nobody_dies_of_it(pipe: tuple[int, int]) -> None:
    readable, writable = pipe
    writer = LineWriter(writable)
    os.close(readable)

    assert [writer.write(LINE), writer.write(LINE)] == [1, 1]


def test_what_waits_for_a_reader_that_goes_is_counted_as_lost(pipe: tuple[int, int]) -> None:
    readable, writable = pipe

    async def fill_and_close() -> int:
        writer = LineWriter(writable)
        for number in range(10):
            writer.write(numbered(number))
        os.close(readable)
        return writer.write(LINE)

    assert asyncio.run(fill_and_close()) == 6 + 1


def test_without_a_loop_a_full_pipe_is_waited_for_a_moment_only(pipe: tuple[int, int]) -> None:
    """The listener has no loop; its lines are rare."""
    _, writable = pipe
    writer = LineWriter(writable)

    assert [writer.write(LINE) for _ in range(5)] == [0, 0, 0, 0, 1]


def test_several_writers_never_tear_a_line() -> None:
    """Workers share the pipe; pipe(7) takes a line of up to PIPE_BUF bytes whole or not at all."""
    readable, writable = os.pipe()
    program = """
async def main():
    writer = LineWriter(1)
    lost = sum(writer.write(sys.argv[1] * (100 + 37 * number % 3900) + "\\n") for number in range(500))
    return lost + writer.finish(5)
"""
    writers = [start(program, worker, stdout=writable) for worker in "abc"]
    os.close(writable)

    with os.fdopen(readable) as stream:
        lines = stream.read().splitlines()

    assert [writer.wait(10) for writer in writers] == [0, 0, 0]
    assert sorted(lines) == sorted(worker * (100 + 37 * number % 3900) for worker in "abc" for number in range(500))


def test_a_full_disk_gets_its_lines_when_there_is_room_again(tmp_path: Path) -> None:
    """What was begun is ended first, or the next line would be glued to it."""
    program = """
import resource, signal
async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, resource.RLIM_INFINITY))
    writer = LineWriter(1)
    lost = sum(writer.write(str(number) * 999 + "\\n") for number in range(5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return lost + writer.write("5" * 999 + "\\n") + writer.finish(1)
"""
    path = tmp_path / "lines"

    with path.open("wb") as disk:
        assert start(program, stdout=disk.fileno()).wait(10) == 0

    assert path.read_text() == "".join(str(number) * 999 + "\n" for number in range(6))


def start(program: str, *arguments: str, stdout: int) -> subprocess.Popen[bytes]:
    """Run a `main` in a process of its own; its result is the exit code."""
    text = f"import asyncio, sys\nfrom service.line_writer import LineWriter\n{program}\nsys.exit(asyncio.run(main()))"
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.Popen(command, stdout=stdout, cwd=Path(__file__).parents[2])  # noqa: S603 -- our own text


def test_a_full_disk_is_told_at_once_and_once_on_standard_error(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be written cannot say so on the same way: without this the first word of it came at the end."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = LineWriter(full)
        for _ in range(3):
            writer.write(LINE)
    finally:
        os.close(full)

    assert [record.getMessage() for record in caplog.records] == [
        "audit lines cannot be written to standard output: No space left on device; what waits beyond 4 MiB is lost"
    ]


def test_a_reader_that_is_slow_is_no_fault_to_tell(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    _, writable = pipe
    writer = LineWriter(writable)

    for number in range(10):
        writer.write(numbered(number))

    assert caplog.records == []
