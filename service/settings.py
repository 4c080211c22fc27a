"""
Names to values: the environment variables the service boots with (pure).

Everything is parsed before anything is started, and all faults are shown at
once. Where a value may be left out, the default is the safe direction. The
templates' task definition is tested with this same parser.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.contract import HEALTH_PORT, TRAFFIC_PORT, ProxyProtocol, Variable
from service.errors import SettingsError

REGION_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Where AWS puts the region; the first that is set wins."""

OUR_PREFIX: Final = "MTLS_"

MAX_STOP_SECONDS: Final = 300
"""Lame duck and drain together; an ECS instance that waits longer for a task holds up its own replacement."""

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What the service was told, typed and bounded.

    Attributes:
        environment_name: Which deployment this is; stands in the logs.
        region: Where the bucket and the table are.
        host_name: What the server certificate must be for.
        certificate_bucket: Holds manifest, chain and key.
        certificate_bucket_owner: The account that must own it, so that a bucket of the same name elsewhere is refused.
        client_registry_table: The DynamoDB table of enrolled certificates.
        proxy_protocol: Required unless said otherwise: without it every peer would wear the balancer's address.
        bind_address: All interfaces by default: in the container the network is the boundary.
        traffic_port: 0 takes any free port (tests).
        health_port: 0 takes any free port (tests).
        workers: Processes that share the listening sockets.
        idle_timeout_seconds: We close a silent connection after this. The default of 50 is under the load
            balancer's default of 60, so that the client sees close_notify from us and not a reset from it.
        lame_duck_seconds: After SIGTERM new connections are still answered this long, while the load balancer notices.
        drain_seconds: After that, requests in flight may take this long.
    """

    environment_name: str
    region: str
    host_name: str
    certificate_bucket: str
    certificate_bucket_owner: str
    client_registry_table: str
    proxy_protocol: ProxyProtocol
    bind_address: str
    traffic_port: int
    health_port: int
    workers: int
    idle_timeout_seconds: int
    lame_duck_seconds: int
    drain_seconds: int


def parse_settings(variables: Mapping[str, str]) -> Settings:
    """
    Read the settings out of environment variables.

    A variable with our prefix that we do not know is a fault: most likely a
    misspelt one, whose default would silently hold.

    Raises:
        SettingsError: With every fault, each naming its variable, what was expected and what was found.
    """
    reader = _Reader(variables)
    settings = Settings(
        environment_name=reader.text(Variable.ENVIRONMENT_NAME, _NAME, "a name like staging"),
        region=reader.region(),
        host_name=reader.text(Variable.HOST_NAME, _HOST_NAME, "a host name in lower case"),
        certificate_bucket=reader.text(Variable.CERTIFICATE_BUCKET, _BUCKET, "a bucket name"),
        certificate_bucket_owner=reader.text(Variable.CERTIFICATE_BUCKET_OWNER, _ACCOUNT, "an account of 12 digits"),
        client_registry_table=reader.text(Variable.CLIENT_REGISTRY_TABLE, _TABLE, "a table name"),
        proxy_protocol=reader.proxy_protocol(),
        bind_address=reader.address(),
        traffic_port=reader.integer(Variable.TRAFFIC_PORT, TRAFFIC_PORT, 0, 65535),
        health_port=reader.integer(Variable.HEALTH_PORT, HEALTH_PORT, 0, 65535),
        workers=reader.integer(Variable.WORKERS, 1, 1, 64),
        idle_timeout_seconds=reader.integer(Variable.IDLE_TIMEOUT_SECONDS, 50, 1, 4000),
        lame_duck_seconds=reader.integer(Variable.LAME_DUCK_SECONDS, 10, 0, MAX_STOP_SECONDS),
        drain_seconds=reader.integer(Variable.DRAIN_SECONDS, 20, 1, MAX_STOP_SECONDS),
    )
    reader.find_unknown()
    reader.faults += _contradictions(settings)
    if reader.faults:
        raise SettingsError(tuple(reader.faults))
    return settings


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    if settings.traffic_port == settings.health_port != 0:
        faults.append(
            f"{Variable.TRAFFIC_PORT} and {Variable.HEALTH_PORT} are both {settings.traffic_port}; they must differ"
        )
    together = settings.lame_duck_seconds + settings.drain_seconds
    if together > MAX_STOP_SECONDS:
        faults.append(
            f"{Variable.LAME_DUCK_SECONDS} and {Variable.DRAIN_SECONDS} are {together} together; "
            f"at most {MAX_STOP_SECONDS} expected"
        )
    return faults


class _Reader:
    """Takes one value after the other and keeps what was wrong with them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.faults: list[str] = []

    def text(self, name: Variable, pattern: re.Pattern[str], expected: str) -> str:
        value = self._variables.get(name, "")
        if not value:
            self.faults.append(f"{name} is not set; {expected} expected")
        elif not pattern.fullmatch(value):
            self.faults.append(f"{name} must be {expected}, found {value!r}")
        return value

    def integer(self, name: Variable, default: int, low: int, high: int) -> int:
        value = self._variables.get(name, "")
        if not value:
            return default
        number = int(value) if _DIGITS.fullmatch(value) else -1
        if not low <= number <= high:
            self.faults.append(f"{name} must be a whole number from {low} to {high}, found {value!r}")
            return default
        return number

    def proxy_protocol(self) -> ProxyProtocol:
        value = self._variables.get(Variable.PROXY_PROTOCOL, "") or ProxyProtocol.REQUIRED
        if value not in tuple(ProxyProtocol):
            self.faults.append(f"{Variable.PROXY_PROTOCOL} must be {' or '.join(ProxyProtocol)}, found {value!r}")
            return ProxyProtocol.REQUIRED
        return ProxyProtocol(value)

    def address(self) -> str:
        value = self._variables.get(Variable.BIND_ADDRESS, "") or "0.0.0.0"  # noqa: S104 -- see Settings.bind_address
        try:
            ipaddress.ip_address(value)
        except ValueError:
            self.faults.append(f"{Variable.BIND_ADDRESS} must be an IP address, found {value!r}")
        return value

    def region(self) -> str:
        value = next((self._variables[name] for name in REGION_VARIABLES if self._variables.get(name)), "")
        if not _REGION.fullmatch(value):
            found = f"found {value!r}" if value else "and neither it nor AWS_DEFAULT_REGION is set"
            self.faults.append(f"{REGION_VARIABLES[0]} must be a region like us-east-1, {found}")
        return value

    def find_unknown(self) -> None:
        known = tuple(Variable)
        for name in sorted(self._variables):
            if name.startswith(OUR_PREFIX) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                self.faults.append(f"{name} is no variable of ours" + (f"; is {near[0]} meant?" if near else ""))
