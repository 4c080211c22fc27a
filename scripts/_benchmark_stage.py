"""
The stage of the benchmark: a directory with everybody's certificates, and an embedded cloud in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts import _terminal
from scripts._benchmark_load import Job
from service.identity.certificate import parse_certificate
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment

P256: Final = "client"
RSA_2048: Final = "client-rsa"
WITNESS: Final = "witness"
"""Asks now and then while others load, and looks when its line arrives."""

PEER_CLIENTS: Final = (P256, RSA_2048, WITNESS)
"""Enrolled everywhere."""

_STOP_SECONDS: Final = 30.0


def numbered_client(number: int) -> str:
    """Name one of the many who are enrolled in our registry alone."""
    return f"{P256}-{number}"


@dataclass(frozen=True, slots=True)
class Stage:
    """
    Where a benchmark takes place.

    Attributes:
        directory: `authority.crt`, `server.crt` and `server.key`, `NAME.crt` and `NAME.key` of each client.
        endpoint_url: Of the embedded AWS.
    """

    environment: Environment
    directory: Path
    endpoint_url: str
    _cloud: Dialog

    @property
    def host_name(self) -> str:
        """What the server certificate is for."""
        return self.environment.ingress.host_name

    def sha1(self, name: str) -> str:
        """Give a client's fingerprint in the form nginx knows."""
        return parse_certificate((self.directory / f"{name}.crt").read_bytes()).sha1

    def lookups(self) -> int:
        """Count what was read from the registry so far, item by item."""
        return int(self._cloud.ask()["lookups"])


class Dialog:
    """A process of ours that answers with lines of JSON."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self._process = process
        self._name = name

    def read(self) -> Mapping[str, Any]:
        """Read the next line."""
        if self._process.stdout is None:
            raise RuntimeError("standard output is a pipe")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended before its answer")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def ask(self) -> Mapping[str, Any]:
        """Send an empty line and read the answer."""
        if self._process.stdin is None:
            raise RuntimeError("standard input is a pipe")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.read()


@contextlib.contextmanager
def open_stage(*, clients: int = len(PEER_CLIENTS), certificates: int = 0) -> Iterator[Stage]:
    """
    Build the stage; it is gone at the end.

    Args:
        clients: Certificates in the registry.
        certificates: How many of those exist besides the three of everybody; each with its key as `client-0` and on.
    """
    environment = load_environment(find_environment("local", _terminal.ROOT))
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as directory,
        dialog("scripts._benchmark_cloud", directory, str(clients), str(certificates)) as cloud,
    ):
        yield Stage(environment, Path(directory), cloud.read()["endpoint_url"], cloud)


@contextlib.contextmanager
def dialog(module: str, *arguments: str) -> Iterator[Dialog]:
    """Run one of our modules; it ends when its standard input does."""
    process = subprocess.Popen(  # noqa: S603 -- our own module
        [sys.executable, "-m", module, *arguments],
        cwd=_terminal.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Dialog(process, module)
        except BaseException:
            process.terminate()
            raise
        process.communicate(timeout=_STOP_SECONDS)


def load(job: Job) -> Mapping[str, Any]:
    """Run a load that ends by itself."""
    with dialog("scripts._benchmark_load", job.render()) as running:
        return running.read()
