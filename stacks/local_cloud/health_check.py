"""
The load balancer's health check: one question over the wire, and what a row of answers means.

Only an exact 200 with a body whose end is told passes (Classic Load Balancer
guide, "Configure health checks"); no PROXY header is sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from stacks.local_cloud.balancer_settings import HealthCheckSettings
from stacks.local_cloud.ledger import InstanceHealth

_MAX_ANSWER_BYTES: Final = 64 * 1024


class HealthState:
    """
    In service or not, by consecutive answers.

    An instance starts out of service with reason ELB (registration in
    progress); after failing checks the reason is Instance (ELB API
    reference, InstanceState).
    """

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._passed = 0
        self._failed = 0
        self._is_in_service = False
        self._has_failed = False

    def record(self, *, passed: bool, check: HealthCheckSettings) -> None:
        """Count one answer; a threshold reached changes the state."""
        self._passed, self._failed = (self._passed + 1, 0) if passed else (0, self._failed + 1)
        if self._passed >= check.healthy_threshold:
            self._is_in_service, self._has_failed = True, False
        elif self._failed >= check.unhealthy_threshold:
            self._is_in_service, self._has_failed = False, True

    def view(self) -> InstanceHealth:
        """Say the state in the API's words."""
        if self._is_in_service:
            return InstanceHealth(self._instance_id, "InService", "N/A", "N/A")
        if self._has_failed:
            told = "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."
            return InstanceHealth(self._instance_id, "OutOfService", "Instance", told)
        return InstanceHealth(self._instance_id, "OutOfService", "ELB", "Instance registration is still in progress.")


@dataclass(frozen=True, slots=True)
class Probe:
    """One check of one instance: where to, and from which of the balancer's addresses."""

    address: str
    source: str
    timeout: float


async def passes(check: HealthCheckSettings, probe: Probe) -> bool:
    """Ask once; anything but the right answer in time is a failure, never an error."""
    try:
        async with asyncio.timeout(probe.timeout):
            reader, writer = await asyncio.open_connection(
                probe.address, check.port, local_addr=(probe.source, 0), limit=_MAX_ANSWER_BYTES
            )
            try:
                return check.protocol == "TCP" or await _answers_ok(reader, writer, check=check, host=probe.address)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False


async def _answers_ok(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, check: HealthCheckSettings, host: str
) -> bool:
    writer.write(
        f"GET {check.path} HTTP/1.1\r\nHost: {host}:{check.port}\r\n"
        "User-Agent: ELB-HealthChecker/1.0\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, status, *_ = [*head[0].split(" "), ""]
    if not version.startswith("HTTP/1.") or status != "200":
        return False
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        await _read_chunks(reader)
        return True
    if "content-length" not in headers:
        return False
    await reader.readexactly(min(int(headers["content-length"]), _MAX_ANSWER_BYTES))
    return True


async def _read_chunks(reader: asyncio.StreamReader) -> None:
    for _ in range(_MAX_ANSWER_BYTES):
        size = int((await reader.readline()).split(b";")[0], 16)
        await reader.readexactly(min(size, _MAX_ANSWER_BYTES) + 2)
        if size == 0:
            return
    raise ValueError("the answer has no end")
