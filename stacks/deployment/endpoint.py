"""
Where the embedded cloud is, while it is up: a small file under `.local/`.

`make local` writes it when it stays up and removes it when it ends, so that
the scripts in another terminal act on the same cloud.
"""

from __future__ import annotations

import json
import os
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
    try:
        state = json.loads((root / STATE_FILE).read_text(encoding="utf-8"))
        endpoint = LocalEndpoint(
            pid=int(state["pid"]),
            endpoint_url=state["endpoint_url"],
            region=state["region"],
            account=state["account"],
            balancer_address=state["balancer"]["address"],
            balancer_port=state["balancer"]["port"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return endpoint if _is_alive(endpoint.pid) else None


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


def withdraw(root: Path) -> None:
    """Remove the file; one that is gone already is no error."""
    (root / STATE_FILE).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
