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
from enum import StrEnum
from typing import Final, TypeVar

from service.contract import HEALTH_PORT, TRAFFIC_PORT, ProxyProtocol, TokenBinding, Variable
from service.errors import PolicyError, SettingsError
from service.identity.policy import DEFAULT_POLICY, Policy, find_token_faults, parse_policy

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
_DIGITS: Final = re.compile(r"[0-9]{1,13}")
APPLICATION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
UPSTREAM: Final = re.compile(
    r"http://(?P<host>[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])"
    r"(:(?P<port>[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?"
)
ISSUER: Final = re.compile(r"[!-~]{1,512}")
"""What `iss` and `aud` may be; environment files are held to the same."""
KEY_SET: Final = re.compile(
    r"tokens/[A-Za-z0-9._/-]{1,200}"
    r"|https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[!-~]{0,500})?"
    r"|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[!-~]{0,500})?"
)
"""Where keys may be: an object, an https URL, and for what runs on one machine http on loopback."""

_TOKEN_VARIABLES: Final = (
    Variable.TOKEN_ISSUER,
    Variable.TOKEN_AUDIENCE,
    Variable.TOKEN_KEY_SET,
    Variable.TOKEN_KEY_SET_SECONDS,
    Variable.TOKEN_BINDING,
)

_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How much and how long a peer may take; each is a setting of its own.

    Attributes:
        proxy_header_seconds: The load balancer sends the header with its first segment; 5 s covers a retransmission.
        handshake_seconds: For the whole handshake, not for each read; 10 s covers a slow link and a smart card.
        head_seconds: From the first chance to send a request, or its first byte, to the end of its header fields.
            The rest of a body that was answered unread has as long.
        head_bytes: Request line and header fields together; 32 KiB takes a SAML assertion in a header. Trailers too.
        body_seconds: From the end of the header fields to the end of the body; a large document on a slow line.
        body_bytes: 64 MiB takes a document with images in it; no body is ever held whole.
        answer_seconds: A peer that takes nothing of its answer for so long is gone.
        idle_seconds: Between requests. The default of 50 is under the load balancer's default of 60, so that the
            client sees close_notify from us and not a reset from it.
        connection_seconds: After this a connection ends with the answer under way, so that no peer outlives a
            rotation or a scale-in for ever; an answer that is not out after as long again is cut off.
        connections: At once in all of the task's workers; 8,000 idle ones are about 320 MiB.
        connections_per_source: At once from one address (IPv4) or one /64 (IPv6): one partner cannot take all.
        pipelined_requests: That may wait behind the one being answered; hardly any client sends a second.
        linger_seconds: After our last byte we read and drop what the peer still sends, so that the kernel does not
            answer it with a reset that overtakes our alert or response (RFC 9112, section 9.6).
    """

    proxy_header_seconds: float = 5
    handshake_seconds: float = 10
    head_seconds: float = 10
    head_bytes: int = 32 * 1024
    body_seconds: float = 300
    body_bytes: int = 64 * 1024 * 1024
    answer_seconds: float = 30
    idle_seconds: int = 50
    connection_seconds: float = 3600
    connections: int = 8000
    connections_per_source: int = 1000
    pipelined_requests: int = 16
    linger_seconds: float = 2


@dataclass(frozen=True, slots=True)
class Bound:
    """
    Where and between which values an operator may set a limit.

    Attributes:
        unit: Empty for a mere number.
    """

    variable: Variable
    unit: str
    least: int
    most: int


LIMITS: Final[Mapping[str, Bound]] = {
    "proxy_header_seconds": Bound(Variable.PROXY_HEADER_SECONDS, "seconds", 1, 60),
    "handshake_seconds": Bound(Variable.HANDSHAKE_SECONDS, "seconds", 1, 60),
    "head_seconds": Bound(Variable.HEAD_SECONDS, "seconds", 1, 300),
    "head_bytes": Bound(Variable.HEAD_BYTES, "bytes", 1024, 1024 * 1024),
    "body_seconds": Bound(Variable.BODY_SECONDS, "seconds", 1, 86_400),
    "body_bytes": Bound(Variable.BODY_BYTES, "bytes", 0, 2**40),
    "answer_seconds": Bound(Variable.ANSWER_SECONDS, "seconds", 1, 3600),
    "idle_seconds": Bound(Variable.IDLE_TIMEOUT_SECONDS, "seconds", 1, 4000),
    "connection_seconds": Bound(Variable.CONNECTION_SECONDS, "seconds", 1, 604_800),
    "connections": Bound(Variable.CONNECTIONS, "connections", 1, 1_000_000),
    "connections_per_source": Bound(Variable.CONNECTIONS_PER_SOURCE, "connections", 1, 1_000_000),
}
"""The limits of a connection that are settings, by their names in `Limits`; docs/limits.md has a row for each."""

SERVICE_LIMITS: Final[Mapping[str, Bound]] = {
    "revocation_seconds": Bound(Variable.REVOCATION_SECONDS, "seconds", 0, 300),
    "stale_seconds": Bound(Variable.STALE_SECONDS, "seconds", 0, 86_400),
    "registry_cache_entries": Bound(Variable.REGISTRY_CACHE_ENTRIES, "entries", 1, 1_000_000),
    "upstream_seconds": Bound(Variable.UPSTREAM_SECONDS, "seconds", 1, 4000),
    "whoami_per_minute": Bound(Variable.WHOAMI_PER_MINUTE, "questions", 1, 60_000),
}
"""The limits of what is remembered of peers, by their names in `Settings`; they have their rows there too."""

OPERATOR_LIMITS: Final[Mapping[str, Bound]] = {**LIMITS, **SERVICE_LIMITS}
"""All that an environment file may set in its table `[limits]`."""

KEY_SET_BOUND: Final = Bound(Variable.TOKEN_KEY_SET_SECONDS, "seconds", 1, 86_400)


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """
    Who signs the bearer tokens (JWT) we take.

    Attributes:
        issuer: What `iss` must be, character for character.
        audience: What `aud` must hold.
        key_set: The issuer's public keys (JWKS): an object of the bucket below `tokens/`, or an https URL.
        key_set_seconds: How often the keys are fetched anew; a token with an unknown key asks for it earlier.
    """

    issuer: str
    audience: str
    key_set: str
    key_set_seconds: int


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
        workers: Processes that share the listening sockets; None is one for each vCPU.
        lame_duck_seconds: After SIGTERM new connections are still answered this long, while the load balancer notices.
        drain_seconds: After that, requests in flight may take this long.
        reload_seconds: How often the manifest is asked whether another pair is in force.
        metrics_seconds: How often metrics are written.
        policy: Which strategies a request must pass, by route.
        revocation_seconds: A revocation bites after at most this long, also on open connections; as long an answer of
            the registry is used again. 0 asks the registry for each request.
        stale_seconds: How much longer an answer may be used while the registry cannot be reached; 0 refuses at once.
        registry_cache_entries: Answers of the registry that each worker keeps at most, of certificates, keys and tokens
            each; 10,000 commonly take 13 MiB.
        token_issuer: None takes no JWT, only opaque tokens of the registry.
        token_binding: Whether a token counts only with the certificate it was issued for.
        application: `module:attribute` of the ASGI application behind the gate; None answers `/` by itself.
        forward_to: `http://host:port` of the upstream behind the gate; None forwards nothing.
        upstream_seconds: To the beginning of the upstream's answer, and between its pieces.
        whoami_per_minute: Questions to `/whoami` from one source that each worker answers.
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
    workers: int | None
    lame_duck_seconds: int
    drain_seconds: int
    reload_seconds: int
    metrics_seconds: int
    policy: Policy
    revocation_seconds: int
    stale_seconds: int
    registry_cache_entries: int
    token_issuer: TokenIssuer | None
    token_binding: TokenBinding
    application: str | None
    forward_to: str | None
    upstream_seconds: int
    whoami_per_minute: int
    limits: Limits


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
        proxy_protocol=reader.choice(Variable.PROXY_PROTOCOL, ProxyProtocol.REQUIRED),
        bind_address=reader.address(),
        traffic_port=reader.integer(Variable.TRAFFIC_PORT, TRAFFIC_PORT, 0, 65535),
        health_port=reader.integer(Variable.HEALTH_PORT, HEALTH_PORT, 0, 65535),
        workers=reader.integer(Variable.WORKERS, 0, 1, 64) or None,
        lame_duck_seconds=reader.integer(Variable.LAME_DUCK_SECONDS, 10, 0, MAX_STOP_SECONDS),
        drain_seconds=reader.integer(Variable.DRAIN_SECONDS, 20, 1, MAX_STOP_SECONDS),
        reload_seconds=reader.integer(Variable.RELOAD_SECONDS, 60, 1, 3600),
        metrics_seconds=reader.integer(Variable.METRICS_SECONDS, 60, 1, 300),
        policy=reader.policy(),
        revocation_seconds=reader.bounded(SERVICE_LIMITS["revocation_seconds"], 5),
        stale_seconds=reader.bounded(SERVICE_LIMITS["stale_seconds"], 0),
        registry_cache_entries=reader.bounded(SERVICE_LIMITS["registry_cache_entries"], 10_000),
        token_issuer=reader.token_issuer(),
        token_binding=reader.choice(Variable.TOKEN_BINDING, TokenBinding.REQUIRED),
        application=reader.optional(Variable.APPLICATION, APPLICATION, "module:attribute of an ASGI application"),
        forward_to=reader.optional(Variable.FORWARD_TO, UPSTREAM, "http://host:port, without a path"),
        upstream_seconds=reader.bounded(SERVICE_LIMITS["upstream_seconds"], 60),
        whoami_per_minute=reader.bounded(SERVICE_LIMITS["whoami_per_minute"], 60),
        limits=_limits(reader),
    )
    reader.find_unknown()
    reader.faults += _contradictions(settings)
    reader.check_token_settings(settings.policy)
    if reader.faults:
        raise SettingsError(tuple(reader.faults))
    return settings


def _limits(reader: _Reader) -> Limits:
    safe = Limits()
    return Limits(**{name: reader.bounded(bound, int(getattr(safe, name))) for name, bound in LIMITS.items()})


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
    if settings.application and settings.forward_to:
        faults.append(f"{Variable.APPLICATION} and {Variable.FORWARD_TO} are both set; only one can answer")
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

    def bounded(self, bound: Bound, default: int) -> int:
        return self.integer(bound.variable, default, bound.least, bound.most)

    def optional(self, name: Variable, pattern: re.Pattern[str], expected: str) -> str | None:
        return self.text(name, pattern, expected) if self._variables.get(name) else None

    def choice(self, name: Variable, default: _Choice) -> _Choice:
        value, choices = self._variables.get(name, "") or default, type(default)
        if value not in tuple(choices):
            self.faults.append(f"{name} must be {' or '.join(choices)}, found {value!r}")
            return default
        return choices(value)

    def policy(self) -> Policy:
        text = self._variables.get(Variable.POLICY, "")
        if not text:
            return DEFAULT_POLICY
        try:
            return parse_policy(text)
        except PolicyError as error:
            self.faults += [f"{Variable.POLICY}: {fault}" for fault in error.faults]
            return DEFAULT_POLICY

    def check_token_settings(self, policy: Policy) -> None:
        if any(fault.startswith(Variable.POLICY) for fault in self.faults):
            return  # Nobody knows what it was to demand.
        given = any(self._variables.get(name) for name in _TOKEN_VARIABLES)
        self.faults += [f"{Variable.POLICY}: {fault}" for fault in find_token_faults(policy, settings_given=given)]

    def token_issuer(self) -> TokenIssuer | None:
        if not any(self._variables.get(name) for name in _TOKEN_VARIABLES if name is not Variable.TOKEN_BINDING):
            return None
        return TokenIssuer(
            issuer=self.text(Variable.TOKEN_ISSUER, ISSUER, "what the tokens' `iss` says"),
            audience=self.text(Variable.TOKEN_AUDIENCE, ISSUER, "what the tokens' `aud` says"),
            key_set=self.text(Variable.TOKEN_KEY_SET, KEY_SET, "an object like tokens/keys.json or an https URL"),
            key_set_seconds=self.bounded(KEY_SET_BOUND, 300),
        )

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
