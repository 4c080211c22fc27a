"""
Where the embedded cloud is, while it is up: a small file under `.local/`.

`make local` writes it when it stays up and removes it when it ends, so that
the scripts in another terminal act on the same cloud. A working tree has one
such cloud at a time: its process holds a lock on `.local/` for as long as it
lives, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stacks.errors import DeploymentError

STATE_FILE: Final = Path(".local") / "cloud.json"
"""Relative to the working tree."""


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """One embedded cloud that is up: whose process it is, where its APIs and its balancer listen."""

    pid: int
    endpoint_url: str
    region: str
    account: str
    balancer_address: str = ""
    balancer_port: int = 0


class LocalCloudNotRunningError(DeploymentError):
    """A command for the environment `local` found no embedded cloud to act on."""

    exit_code = 4

    def __init__(self) -> None:
        super().__init__("the embedded cloud is not up", hint="make local, and leave it running in another terminal")


class LocalCloudUpError(DeploymentError):
    """An embedded cloud is up for this working tree already."""

    exit_code = 4

    def __init__(self, other: LocalEndpoint | None) -> None:
        super().__init__(
            f"the embedded cloud is up already, in process {other.pid}"
            if other
            else "another embedded cloud is coming up here just now",
            hint="use it from here (python scripts/deploy.py status --env local), or end it there with Ctrl-C",
        )


class NotWritableError(DeploymentError):
    """The working tree has no place for the file."""

    exit_code = 64

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(
            f"{directory} cannot be used: {reason.lower()}",
            hint="make local ARGS=--once writes nothing to the working tree",
        )


@contextlib.contextmanager
def claim(root: Path) -> Iterator[None]:
    """
    Be the one embedded cloud of this working tree that others find.

    The directory is locked, not a file in it: nothing is left to be removed,
    and the kernel ends the claim with the process. Whatever file lies there
    once the lock is held was left by somebody who was killed.

    Raises:
        LocalCloudUpError: There is another one.
        NotWritableError: The directory cannot be made or opened.
    """
    directory = (root / STATE_FILE).parent
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise NotWritableError(directory, error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalCloudUpError(find_local_endpoint(root)) from error
        (root / STATE_FILE).unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def local_endpoint(root: Path) -> LocalEndpoint:
    """
    Find the embedded cloud that is up for this working tree.

    Raises:
        LocalCloudNotRunningError: There is none, or only the file of one that died.
    """
    endpoint = find_local_endpoint(root)
    if endpoint is None:
        raise LocalCloudNotRunningError
    return endpoint


def find_local_endpoint(root: Path) -> LocalEndpoint | None:
    """Find the embedded cloud that is up, or None; a file left by a process that died counts as none."""
    endpoint = _read(root)
    return endpoint if endpoint and _is_alive(endpoint.pid) else None


def announce(root: Path, endpoint: LocalEndpoint) -> None:
    """Write the file, whole or not at all."""
    path = root / STATE_FILE
    path.parent.mkdir(mode=0o700, exist_ok=True)
    state = {
        "pid": endpoint.pid,
        "endpoint_url": endpoint.endpoint_url,
        "region": endpoint.region,
        "account": endpoint.account,
        "balancer": {"address": endpoint.balancer_address, "port": endpoint.balancer_port},
    }
    temporary = path.with_suffix(f".{endpoint.pid}.tmp")
    temporary.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def withdraw(root: Path, endpoint: LocalEndpoint) -> None:
    """Remove the file if it is still this cloud's; one that is gone already is no error."""
    found = _read(root)
    if found and found.pid == endpoint.pid:
        (root / STATE_FILE).unlink(missing_ok=True)


def _read(root: Path) -> LocalEndpoint | None:
    try:
        state = json.loads((root / STATE_FILE).read_text(encoding="utf-8"))
        return LocalEndpoint(
            pid=int(state["pid"]),
            endpoint_url=state["endpoint_url"],
            region=state["region"],
            account=state["account"],
            balancer_address=state["balancer"]["address"],
            balancer_port=state["balancer"]["port"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
