"""A log nobody reads stops no answer and tears no line; what is lost in the end is said."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pytest

from tests.audit_lines import read_line
from tests.certificates import Authority, client
from tests.wire.stage import ROOT, WAIT_SECONDS, Aws, Connection, client_context, variables

pytestmark = pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux lets a test make a pipe small")

REQUESTS = 60
"""Their lines are seven times what the pipe below takes."""


@dataclass(frozen=True)
class Unread:
    """A service whose standard output is a pipe of 4 KiB that is read when the test does so, and an open connection."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    opened: Connection

    def ask_often(self) -> list[str]:
        """Ask again and again; gives the requests' ids."""
        return [str(self.opened.get().document["request_id"]) for _ in range(REQUESTS)]


@contextmanager
def unread_service(environment: dict[str, str], context: ssl.SSLContext) -> Iterator[Unread]:
    """Run one until the block ends."""
    readable, writable = os.pipe()
    fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-m", "service"]
    process = subprocess.Popen(  # noqa: S603 -- our own module
        command, cwd=ROOT, env=environment, stdout=writable, stderr=subprocess.PIPE
    )
    os.close(writable)
    with process, os.fdopen(readable, "rb") as output:
        try:
            port = next(port for line in output if (port := json.loads(line).get("traffic_port")))
            plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
            opened = Connection.over(plain, context)
            yield Unread(process, output, opened)
            opened.close()
        finally:
            process.kill()


@pytest.fixture
def unread(aws: Aws, bucket: str, authority: Authority) -> Iterator[Unread]:
    partner = client()
    aws.enroll(partner, "acme")
    with unread_service(variables(aws, bucket), client_context(authority.pem, partner)) as started:
        yield started


def test_answers_go_on_and_every_line_follows_whole_and_in_order(unread: Unread) -> None:
    answered = unread.ask_often()

    lines = (read_line(line.decode()) for line in unread.output)
    written = (line["request_id"] for line in lines if line["event"] == "request")
    assert [next(written) for _ in range(REQUESTS)] == answered


def test_the_drain_waits_for_no_reader_and_standard_error_says_what_was_lost(unread: Unread) -> None:
    unread.ask_often()
    unread.opened.close()

    unread.process.terminate()

    assert unread.process.wait(WAIT_SECONDS) == 0
    assert unread.process.stderr is not None
    assert b"audit lines were lost: standard output did not take them" in unread.process.stderr.read()


def test_without_any_reader_answers_go_on(unread: Unread) -> None:
    unread.output.close()

    assert len(unread.ask_often()) == REQUESTS
