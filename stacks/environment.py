"""
Everything an operator decides about one environment, as one frozen value.

It is read from a file by `environment_file`; what its facts promise each
other is in `agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Final

from service.contract import KEY_SET_PREFIX, TokenBinding
from service.identity.policy import DEFAULT_POLICY, Policy
from service.settings import UPSTREAM

LOCAL: Final = "local"
"""The environment of the embedded cloud; the one whose clients nobody cuts off by being quick."""
HEALTHY_THRESHOLD: Final = 2
UNHEALTHY_THRESHOLD: Final = 2
"""Health checks in a row until the load balancer changes its mind; 2 is the least it takes (Classic ELB guide)."""
SUBNET_BITS: Final = 4
"""A VPC of ours is cut in sixteen."""
_SERVICE_CLOSES_EARLIER_SECONDS: Final = 10
_HTTP_PORT: Final = 80


class Egress(StrEnum):
    """How the private subnets reach AWS."""

    NAT = "nat"
    ENDPOINTS = "endpoints"
    EXISTING = "existing"


class LogDelivery(StrEnum):
    """What becomes of a task whose log lines CloudWatch does not take."""

    NON_BLOCKING = "non-blocking"
    """It goes on, and lines beyond the buffer are lost."""
    BLOCKING = "blocking"
    """It stands still until they are taken, and none is lost."""


class GithubProvider(StrEnum):
    """The account's OIDC provider of GitHub, of which there can be one."""

    CREATE = "create"
    EXISTING = "existing"


class Architecture(StrEnum):
    """The processor of the container instances, and so of the image."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """
    A VPC of our own.

    Attributes:
        ec2_endpoint: Whether the VPC has an interface endpoint of the EC2 API too (EC2.10); we ourselves need none.
    """

    vpc_cidr: IPv4Network
    zones: tuple[str, ...]
    egress: Egress
    ec2_endpoint: bool = False

    @property
    def addresses_of_a_subnet(self) -> int:
        """How many addresses a subnet has, those that AWS keeps included."""
        return self.vpc_cidr.num_addresses >> SUBNET_BITS


@dataclass(frozen=True, slots=True)
class ExistingNetwork:
    """
    Somebody else's VPC, given by its ids; how it reaches AWS is its owner's affair.

    Attributes:
        s3_endpoint_ids: The gateway endpoints of S3 on the private subnets' routes; where they are given, the task
            role reads the certificate through them alone.
    """

    vpc_id: str
    public_subnet_ids: tuple[str, ...]
    private_subnet_ids: tuple[str, ...]
    egress: Egress = Egress.EXISTING
    s3_endpoint_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ingress:
    """The load balancer and who may come to it."""

    host_name: str
    partner_cidrs: tuple[IPv4Network, ...]
    hosted_zone_id: str | None
    idle_timeout_seconds: int
    draining_seconds: int
    health_check_interval_seconds: int
    access_log_interval_minutes: int
    open_to_the_internet: bool = False

    @property
    def health_check_timeout_seconds(self) -> int:
        """At most 5 seconds, and always less than the interval (Classic ELB guide, health checks)."""
        return min(5, self.health_check_interval_seconds - 1)

    @property
    def service_idle_timeout_seconds(self) -> int:
        """What the service waits on an idle connection: it closes first, so a client sees close_notify, not a reset."""
        return self.idle_timeout_seconds - _SERVICE_CLOSES_EARLIER_SECONDS

    @property
    def seconds_until_unhealthy(self) -> int:
        """How long the load balancer may go on sending connections to a task that answers 503."""
        return self.health_check_interval_seconds * UNHEALTHY_THRESHOLD


@dataclass(frozen=True, slots=True)
class Capacity:
    """
    The container instances.

    Attributes:
        termination_protection: Whether an instance that runs tasks is protected from scale-in (ECS.19); it then is
            replaced by hand, for its age no longer ends it.
    """

    instance_type: str
    architecture: Architecture
    min_instances: int
    max_instances: int
    termination_protection: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """
    The tasks; each takes port 8443 of an instance of its own.

    Attributes:
        workers: Processes of a task; None is one for each vCPU of its instance.
        application: `module:attribute` of the ASGI application in the image; None answers `/` with a welcome.
        forward_to: `http://host:port` of the upstream; None forwards nothing.
        upstream_security_group: The upstream's group; its port is opened to that group alone.
        upstream_cidrs: The upstream's networks where it has no group we can name.
    """

    tasks: int
    max_tasks: int
    cpu_units: int
    memory_mib: int
    workers: int | None
    lame_duck_seconds: int
    drain_seconds: int
    application: str | None = None
    forward_to: str | None = None
    upstream_security_group: str | None = None
    upstream_cidrs: tuple[IPv4Network, ...] = ()

    @property
    def stop_timeout_seconds(self) -> int:
        """From SIGTERM to SIGKILL: lame duck, drain, and 5 seconds to put the lights out."""
        return self.lame_duck_seconds + self.drain_seconds + 5

    @property
    def upstream_port(self) -> int | None:
        """Where the upstream listens; None where nothing is forwarded."""
        parts = UPSTREAM.fullmatch(self.forward_to or "")
        return int(parts["port"] or _HTTP_PORT) if parts else None


@dataclass(frozen=True, slots=True)
class Logs:
    """The log groups."""

    retention_days: int
    delivery: LogDelivery = LogDelivery.NON_BLOCKING


@dataclass(frozen=True, slots=True)
class Alarms:
    """
    Who is told.

    Attributes:
        emails: Subscribed to our topic; each must confirm the mail it gets.
        urls: Subscribed to our topic over https; each must confirm what is posted to it.
        topic_arns: Topics of others that every alarm is sent to beside ours.
    """

    emails: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    topic_arns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registry:
    """
    The client registry.

    Attributes:
        backup_days: How long a daily backup beside the point-in-time recovery is kept; None makes none.
    """

    backup_days: int | None = None


@dataclass(frozen=True, slots=True)
class Deployer:
    """
    Who deploys, and within what bounds.

    Attributes:
        permissions_boundary: A policy of the account's own that bounds every role; None is one of ours.
        principals: ARNs of the roles that may become the deploy role; none is whoever the account lets.
        github_repository: `ORG/REPO` whose workflows may become the deploy role.
        github_environment: The GitHub environment they must run in; None is named like this environment.
    """

    permissions_boundary: str | None = None
    principals: tuple[str, ...] = ()
    github_repository: str | None = None
    github_environment: str | None = None
    github_provider: GithubProvider = GithubProvider.CREATE


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """A CloudTrail trail of who read and wrote the certificate bucket's objects."""

    retention_days: int


@dataclass(frozen=True, slots=True)
class Names:
    """Names an account prescribes; None is the name we would give, which `naming` makes."""

    certificate_bucket: str | None = None
    log_bucket: str | None = None
    trail_bucket: str | None = None
    repository: str | None = None
    client_registry: str | None = None
    role_path: str | None = None


@dataclass(frozen=True, slots=True)
class BearerTokens:
    """
    Which bearer tokens count; issuer, audience and key set stand together or not at all.

    Attributes:
        issuer: Whose JWT are taken; None takes the registry's opaque tokens alone.
        audience: What they must be for.
        key_set: The issuer's public keys: an object of the certificate bucket, or a URL.
        binding: Whether a token counts only with the certificate it was issued for.
        key_set_seconds: How often the keys are fetched; None as often as the service does by itself.
    """

    issuer: str | None
    audience: str | None
    key_set: str | None
    binding: TokenBinding
    key_set_seconds: int | None = None

    @property
    def key_set_object(self) -> str | None:
        """The object of the certificate bucket that holds the keys, if they are there."""
        return self.key_set if self.key_set is not None and self.key_set.startswith(KEY_SET_PREFIX) else None


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything an operator decides about one environment."""

    name: str
    project: str
    account: str
    region: str
    tags: Mapping[str, str]
    network: OwnNetwork | ExistingNetwork
    ingress: Ingress
    capacity: Capacity
    service: Service
    logs: Logs
    alarms: Alarms
    registry: Registry = Registry()
    deployer: Deployer = Deployer()
    audit_trail: AuditTrail | None = None
    names: Names = Names()
    policy: Policy = DEFAULT_POLICY
    bearer_token: BearerTokens | None = None
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def github_environment(self) -> str:
        """The GitHub environment a deploying workflow must run in."""
        return self.deployer.github_environment or self.name

    @property
    def key_set_object(self) -> str | None:
        """The object of the certificate bucket that holds a token issuer's keys, if one does."""
        return self.bearer_token.key_set_object if self.bearer_token else None

    @property
    def partition(self) -> str:
        """The partition every ARN of this environment begins with."""
        prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for prefix, name in prefixes.items() if self.region.startswith(prefix)), "aws")
