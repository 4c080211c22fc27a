"""
One environment file, read into one frozen value.

A file holds facts an operator may change and no logic. Everything that can be
wrong with it is found here, before any template is built, and shown at once.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from service.contract import KEY_SET_PREFIX, TokenBinding
from service.errors import PolicyError
from service.identity.policy import DEFAULT_POLICY, Policy, find_token_faults, read_policy
from service.settings import APPLICATION, ISSUER, KEY_SET, KEY_SET_BOUND, MAX_STOP_SECONDS, OPERATOR_LIMITS, UPSTREAM
from stacks.errors import DeploymentError
from stacks.fact_table import Fault, Report, Table
from stacks.key_lines import locate_keys

LOCAL: Final = "local"
_HTTP_PORT: Final = 80
"""The environment of the embedded cloud; the one whose clients nobody cuts off by being quick."""
HEALTHY_THRESHOLD: Final = 2
UNHEALTHY_THRESHOLD: Final = 2
"""Health checks in a row until the load balancer changes its mind; 2 is the least it takes (Classic ELB guide)."""
_SERVICE_CLOSES_EARLIER_SECONDS: Final = 10
_LIMITS_ELSEWHERE: Final = frozenset({"idle_seconds"})
"""It follows from the load balancer's idle timeout, `Ingress.service_idle_timeout_seconds`."""
_LOG_RETENTION_DAYS: Final = (365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""What CloudWatch Logs takes (PutRetentionPolicy) and keeps for a year at least (Security Hub CloudWatch.16)."""
_PRIVATE_RANGES: Final = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
_AN_IPV4_NETWORK: Final = "an IPv4 network without host bits such as 198.51.100.0/24"
_HTTPS_ON_ITS_PORT: Final = re.compile(r"https://[^/:]+(:443)?(/.*)?")
_DOCKER_BRIDGE: Final = IPv4Network("172.17.0.0/16")
_LONGEST_PROJECT_AND_NAME: Final = 22
"""63 characters of a bucket name, less `certificate`, account, the longest region's name and the hyphens between."""


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
    private_route_table_ids: tuple[str, ...]
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


class EnvironmentFileError(DeploymentError):
    """The file cannot be an environment; `faults` says why, all of it."""

    exit_code = 5

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        self.path = path
        self.faults = tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{path} has {count}", *(f"  {fault}" for fault in faults)]))


class UnknownEnvironmentError(DeploymentError):
    """There is no file of that name."""

    exit_code = 64

    def __init__(self, name: str, known: Sequence[str], directory: Path) -> None:
        self.name = name
        self.known = tuple(known)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}" if near else f"write {directory / 'NAME.toml'} after one of those"
        super().__init__(f"no environment {name!r}: there are {', '.join(known) or 'none'} in {directory}", hint=hint)


def find_environment(name: str, root: Path) -> Path:
    """
    Find the file of an environment below the project's directory.

    Raises:
        UnknownEnvironmentError: No such file; it lists those that exist.
    """
    directory = root / "environments"
    files = {path.stem: path for path in sorted(directory.glob("*.toml"))}
    if name not in files:
        raise UnknownEnvironmentError(name, list(files), directory)
    return files[name]


def load_environment(path: Path) -> Environment:
    """
    Read an environment from its file.

    Raises:
        EnvironmentFileError: With every fault of the file, by line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentFileError(path, [Fault(None, "", "a readable file", reason)]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise EnvironmentFileError(
            path, [Fault(line, "", "text in UTF-8", f"byte {error.object[error.start]:#x}")]
        ) from error
    return parse_environment(text, path)


def parse_environment(text: str, path: Path) -> Environment:
    """
    Make an environment of the text of its file; the file's name must be the environment's.

    Raises:
        EnvironmentFileError: With every fault of the text, by line.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentFileError(path, [_syntax_fault(error, text)]) from error
    report = Report(locate_keys(text))
    environment = _environment(Table(values, report))
    broken = [rule for rule in _rules(environment, path.stem) if not rule.holds and report.is_sound(*rule.keys)]
    for rule in broken:
        report.add(tuple(rule.keys[0].split(".")), rule.expected, rule.found)
    if report.faults:
        raise EnvironmentFileError(path, report.faults)
    return environment


# -- tables, in the order of the file ---------------------------------------


def _environment(file: Table) -> Environment:
    environment = Environment(
        name=file.text("name", "a lower-case word such as staging", _is_word),
        project=file.text("project", "a lower-case word such as mtls-ingress", _is_word),
        account=file.text("account", "an account id of 12 digits in quotes", _matches(r"\d{12}")),
        region=file.text("region", "a region such as us-east-1", _matches(r"[a-z]{2}(-[a-z]+)+-\d")),
        tags=_tags(file.table("tags")),
        network=_network(file.table("network")),
        ingress=_ingress(file.table("ingress")),
        capacity=_capacity(file.table("capacity")),
        service=_service(file.table("service")),
        logs=_logs(file.table("logs")),
        alarms=_alarms(file.table("alarms")),
        registry=_registry(file.optional_table("registry")),
        deployer=_deployer(file.optional_table("deployer")),
        audit_trail=_audit_trail(file.optional_table("audit_trail")),
        names=_names(file.optional_table("names")),
        policy=_policy(file),
        bearer_token=_bearer_token(file.optional_table("bearer_token")),
        limits=_limits(file.optional_table("limits")),
    )
    file.end()
    return environment


def _tags(table: Table) -> dict[str, str]:
    key = re.compile(r"(?!aws:)[\w .:/=+@-]{1,128}", re.IGNORECASE)
    value = re.compile(r"[\w .:/=+@-]{0,256}")
    expected = "tags of letters, digits and _.:/=+-@, no key in aws:"
    return table.names(lambda text: bool(key.fullmatch(text)), lambda text: bool(value.fullmatch(text)), expected)


def _network(table: Table) -> OwnNetwork | ExistingNetwork:
    network = _existing_network(table) if "vpc_id" in table else _own_network(table)
    table.end()
    return network


def _own_network(table: Table) -> OwnNetwork:
    return OwnNetwork(
        vpc_cidr=table.parsed(
            "vpc_cidr", "an IPv4 network such as 10.20.0.0/16", _network_or_none, placeholder=IPv4Network("10.0.0.0/16")
        ),
        zones=table.texts(
            "zones", "an availability zone such as us-east-1a", _text_matching(r"[a-z0-9-]+\d[a-h]"), least=2, most=6
        ),
        egress=table.choice("egress", Egress),
        ec2_endpoint=table.optional_boolean("ec2_endpoint"),
    )


def _existing_network(table: Table) -> ExistingNetwork:
    subnet = _text_matching(r"subnet-[0-9a-f]{8,17}")
    route_table = _text_matching(r"rtb-[0-9a-f]{8,17}")
    endpoint = _text_matching(r"vpce-[0-9a-f]{8,17}")
    return ExistingNetwork(
        vpc_id=table.text("vpc_id", "a VPC's id such as vpc-0123456789abcdef0", _matches(r"vpc-[0-9a-f]{8,17}")),
        public_subnet_ids=table.texts("public_subnet_ids", "a subnet's id such as subnet-0a1b2c3d", subnet, least=2),
        private_subnet_ids=table.texts("private_subnet_ids", "a subnet's id such as subnet-0a1b2c3d", subnet, least=2),
        private_route_table_ids=table.texts(
            "private_route_table_ids", "a route table's id such as rtb-0a1b2c3d", route_table, least=1
        ),
        egress=table.choice("egress", Egress),
        s3_endpoint_ids=table.optional_texts(
            "s3_endpoint_ids", "a gateway endpoint's id such as vpce-0123456789abcdef0", endpoint, least=1
        ),
    )


def _ingress(table: Table) -> Ingress:
    ingress = Ingress(
        host_name=table.text("host_name", "a DNS name in lower case such as api.example.com", _is_host_name),
        partner_cidrs=table.texts("partner_cidrs", _AN_IPV4_NETWORK, _network_or_none, least=1),
        hosted_zone_id=table.optional_text("hosted_zone_id", "a hosted zone's id such as Z0123456789ABC", _is_zone_id),
        # The service closes 10 seconds earlier and must leave a client time to speak.
        idle_timeout_seconds=table.integer("idle_timeout_seconds", least=20, most=4000, unit="seconds"),
        draining_seconds=table.integer("draining_seconds", least=1, most=3600, unit="seconds"),
        health_check_interval_seconds=table.integer("health_check_interval_seconds", least=5, most=300, unit="seconds"),
        access_log_interval_minutes=table.one_of("access_log_interval_minutes", (5, 60)),
        open_to_the_internet=table.optional_boolean("open_to_the_internet"),
    )
    table.end()
    return ingress


def _capacity(table: Table) -> Capacity:
    capacity = Capacity(
        instance_type=table.text(
            "instance_type",
            "an EC2 instance type such as t3.small",
            _matches(r"[a-z][a-z0-9-]*\d[a-z0-9-]*\.[a-z0-9-]+"),
        ),
        architecture=table.choice("architecture", Architecture),
        min_instances=table.integer("min_instances", least=2, most=1000),
        max_instances=table.integer("max_instances", least=3, most=1000),
        termination_protection=table.optional_boolean("termination_protection"),
    )
    table.end()
    return capacity


def _service(table: Table) -> Service:
    service = Service(
        tasks=table.integer("tasks", least=2, most=500),
        max_tasks=table.integer("max_tasks", least=2, most=500),
        cpu_units=table.integer("cpu_units", least=128, most=98_304),
        memory_mib=table.integer("memory_mib", least=256, most=393_216, unit="MiB"),
        workers=table.optional_integer("workers", least=1, most=64),
        lame_duck_seconds=table.integer("lame_duck_seconds", least=0, most=600, unit="seconds"),
        drain_seconds=table.integer("drain_seconds", least=1, most=3600, unit="seconds"),
        application=table.optional_text(
            "application", "module:attribute of an ASGI application", _matches(APPLICATION.pattern)
        ),
        forward_to=table.optional_text("forward_to", "http://host:port, without a path", _matches(UPSTREAM.pattern)),
        upstream_security_group=table.optional_text(
            "upstream_security_group", "a security group's id such as sg-0123456789abcdef0", _is_security_group
        ),
        upstream_cidrs=table.optional_texts("upstream_cidrs", _AN_IPV4_NETWORK, _network_or_none, least=1),
    )
    table.end()
    return service


def _logs(table: Table) -> Logs:
    logs = Logs(
        retention_days=table.one_of("retention_days", _LOG_RETENTION_DAYS),
        delivery=table.optional_choice("delivery", LogDelivery.NON_BLOCKING),
    )
    table.end()
    return logs


def _alarms(table: Table) -> Alarms:
    address = _text_matching(r"[^@\s\"<>]+@[^@\s\"<>]+\.[^@\s\"<>]+")
    topic = _text_matching(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}")
    alarms = Alarms(
        emails=table.optional_texts("emails", "a mail address such as ops@example.com", address),
        urls=table.optional_texts("urls", "an https URL such as https://pager.example.com/alarms", _https_or_none),
        # CloudWatch calls 5 actions of an alarm at most (PutMetricAlarm); one is our own topic.
        topic_arns=table.optional_texts(
            "topic_arns", "a topic's ARN such as arn:aws:sns:us-east-1:111122223333:on-call", topic, most=4
        ),
    )
    table.end()
    return alarms


def _registry(table: Table | None) -> Registry:
    if table is None:
        return Registry()
    # AWS Backup keeps what it makes for a day at least; ten years are more than a registry's past is worth.
    registry = Registry(backup_days=table.optional_integer("backup_days", least=1, most=3650, unit="days"))
    table.end()
    return registry


def _deployer(table: Table | None) -> Deployer:
    if table is None:
        return Deployer()
    policy = _matches(r"arn:aws[a-z-]*:iam::\d{12}:policy/([!-~]{1,510}/)?[\w+=,.@-]{1,128}")
    role = _text_matching(r"arn:aws[a-z-]*:iam::\d{12}:role/([!-~]{1,510}/)?[\w+=,.@-]{1,64}")
    deployer = Deployer(
        permissions_boundary=table.optional_text(
            "permissions_boundary", "a policy's ARN such as arn:aws:iam::111122223333:policy/boundary", policy
        ),
        principals=table.optional_texts(
            "principals", "a role's ARN such as arn:aws:iam::111122223333:role/deployers", role, least=1, most=20
        ),
        github_repository=table.optional_text(
            "github_repository", "ORG/REPO without wildcards", _matches(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}")
        ),
        github_environment=table.optional_text(
            "github_environment", "a GitHub environment's name without wildcards", _matches(r"[\w.-]{1,255}")
        ),
        github_provider=table.optional_choice("github_provider", GithubProvider.CREATE),
    )
    table.end()
    return deployer


def _audit_trail(table: Table | None) -> AuditTrail | None:
    if table is None:
        return None
    trail = AuditTrail(retention_days=table.integer("retention_days", least=365, most=3653, unit="days"))
    table.end()
    return trail


def _names(table: Table | None) -> Names:
    if table is None:
        return Names()
    bucket = "a bucket's name of 3 to 63 lower-case letters, digits and hyphens"
    names = Names(
        certificate_bucket=table.optional_text("certificate_bucket", bucket, _is_bucket_name),
        log_bucket=table.optional_text("log_bucket", bucket, _is_bucket_name),
        trail_bucket=table.optional_text("trail_bucket", bucket, _is_bucket_name),
        repository=table.optional_text("repository", "a repository's name such as edge/mtls-ingress", _is_repository),
        client_registry=table.optional_text(
            "client_registry", "a table's name of 3 to 255 letters, digits, _ . and -", _matches(r"[\w.-]{3,255}")
        ),
        role_path=table.optional_text("role_path", "a path such as /edge/mtls-ingress/", _is_role_path),
    )
    table.end()
    return names


def _policy(file: Table) -> Policy:
    """Read the routes with the service's own parser; without any an enrolled certificate is demanded everywhere."""
    routes = file.anything("routes")
    if routes is None:
        return DEFAULT_POLICY
    try:
        return read_policy(routes)
    except PolicyError as error:
        for fault in error.faults:
            file.report.add(fault.place, fault.expected, fault.found)
        return DEFAULT_POLICY


def _bearer_token(table: Table | None) -> BearerTokens | None:
    if table is None:
        return None
    key_set = "an object like tokens/keys.json or an https URL"
    tokens = BearerTokens(
        issuer=table.optional_text("issuer", "what the tokens' `iss` says", _is_issuer),
        audience=table.optional_text("audience", "what the tokens' `aud` says", _is_issuer),
        key_set=table.optional_text("key_set", key_set, lambda text: KEY_SET.fullmatch(text) is not None),
        binding=table.optional_choice("binding", TokenBinding.REQUIRED),
        key_set_seconds=table.optional_integer(
            "key_set_seconds", least=KEY_SET_BOUND.least, most=KEY_SET_BOUND.most, unit=KEY_SET_BOUND.unit
        ),
    )
    table.end()
    return tokens


def _limits(table: Table | None) -> dict[str, int]:
    """Read what peers may take, where it is not the service's default; its own bounds hold."""
    if table is None:
        return {}
    bounds = {name: bound for name, bound in OPERATOR_LIMITS.items() if name not in _LIMITS_ELSEWHERE}
    read = {
        name: table.optional_integer(name, least=bound.least, most=bound.most, unit=bound.unit)
        for name, bound in bounds.items()
    }
    table.end()
    return {name: value for name, value in read.items() if value is not None}


# -- what must hold between facts -------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    """One claim over several keys; told at the first of them, and only if each is sound by itself."""

    keys: tuple[str, ...]
    holds: bool
    expected: str
    found: str


def _rules(environment: Environment, file_name: str) -> Iterator[_Rule]:
    yield from _name_rules(environment, file_name)
    match environment.network:
        case OwnNetwork():
            yield from _own_network_rules(environment.network, environment.region)
        case ExistingNetwork():
            yield from _existing_network_rules(environment.network)
    yield from _ingress_rules(environment)
    if environment.bearer_token is not None:
        yield from _bearer_token_rules(environment, environment.bearer_token)
    yield from _capacity_rules(environment.capacity, environment.service)
    yield from _answering_rules(environment.service)


def _name_rules(environment: Environment, file_name: str) -> Iterator[_Rule]:
    name, project = environment.name, environment.project
    yield _Rule(("name",), name == file_name, f'"{file_name}", the name of the file', f'"{name}"')
    length = len(project) + len(name)
    yield _Rule(
        ("project", "name"),
        length <= _LONGEST_PROJECT_AND_NAME,
        f"project and name of {_LONGEST_PROJECT_AND_NAME} characters together, or bucket names become too long",
        f"{length} characters",
    )


def _own_network_rules(network: OwnNetwork, region: str) -> Iterator[_Rule]:
    cidr = network.vpc_cidr
    yield _Rule(
        ("network.egress",),
        network.egress is not Egress.EXISTING,
        '"nat" or "endpoints" with a VPC of our own ("existing" goes with vpc_id)',
        '"existing"',
    )
    yield _Rule(
        ("network.vpc_cidr",),
        16 <= cidr.prefixlen <= 23,  # noqa: PLR2004  a VPC has /16 at most; a sixteenth of /23 is /27, the balancer's least
        "a network from /16 to /23",
        f"/{cidr.prefixlen}",
    )
    yield _Rule(
        ("network.vpc_cidr",),
        any(cidr.subnet_of(private) for private in _PRIVATE_RANGES),
        "a private network (10/8, 172.16/12, 192.168/16 or 100.64/10)",
        f"{cidr}",
    )
    yield _Rule(
        ("network.vpc_cidr",),
        not cidr.overlaps(_DOCKER_BRIDGE),
        f"a network apart from {_DOCKER_BRIDGE}, where Docker puts the containers",
        f"{cidr}",
    )
    for index, zone in enumerate(network.zones):
        yield _Rule(
            (f"network.zones.{index}", "network.zones", "region"),
            zone[:-1] == region,
            f"an availability zone of {region}",
            f'"{zone}"',
        )


def _existing_network_rules(network: ExistingNetwork) -> Iterator[_Rule]:
    yield _Rule(
        ("network.egress",),
        network.egress is Egress.EXISTING,
        '"existing" with a VPC given by vpc_id ("nat" and "endpoints" go with vpc_cidr)',
        f'"{network.egress}"',
    )
    shared = sorted(set(network.public_subnet_ids) & set(network.private_subnet_ids))
    yield _Rule(
        ("network.private_subnet_ids", "network.public_subnet_ids"),
        not shared,
        "subnets that are not public ones too",
        ", ".join(shared),
    )


def _ingress_rules(environment: Environment) -> Iterator[_Rule]:
    ingress, service = environment.ingress, environment.service
    for (_, one), (index, other) in itertools.combinations(enumerate(ingress.partner_cidrs), 2):
        yield _Rule(
            (f"ingress.partner_cidrs.{index}", "ingress.partner_cidrs"),
            not one.overlaps(other),
            f"a network apart from {one}",
            f"{other}",
        )
    yield _Rule(
        ("service.lame_duck_seconds", "ingress.health_check_interval_seconds"),
        service.lame_duck_seconds >= ingress.seconds_until_unhealthy or environment.name == LOCAL,
        f"at least {ingress.seconds_until_unhealthy} seconds: health_check_interval_seconds times"
        f" {UNHEALTHY_THRESHOLD} checks until the load balancer stops sending connections",
        f"{service.lame_duck_seconds}",
    )
    stop = service.lame_duck_seconds + service.drain_seconds
    yield _Rule(
        ("service.drain_seconds", "service.lame_duck_seconds"),
        stop <= MAX_STOP_SECONDS,
        f"at most {MAX_STOP_SECONDS} seconds together with lame_duck_seconds",
        f"{stop}",
    )
    yield _Rule(
        ("ingress.draining_seconds", "service.lame_duck_seconds", "service.drain_seconds"),
        ingress.draining_seconds <= stop,
        f"at most {stop} seconds: lame_duck_seconds and drain_seconds, after which the task is gone",
        f"{ingress.draining_seconds}",
    )


def _answering_rules(service: Service) -> Iterator[_Rule]:
    yield _Rule(
        ("service.forward_to", "service.application"),
        service.application is None or service.forward_to is None,
        "one of application and forward_to, for only one can answer",
        "both",
    )


def _bearer_token_rules(environment: Environment, tokens: BearerTokens) -> Iterator[_Rule]:
    for fault in find_token_faults(environment.policy, settings_given=True):
        yield _Rule((*fault.place, "routes"), holds=False, expected=fault.expected, found=fault.found)
    yield _Rule(
        ("bearer_token.key_set_seconds",),
        tokens.key_set_seconds is None or tokens.issuer is not None,
        "it beside an issuer",
        f"{tokens.key_set_seconds} for no keys",
    )
    given = {"issuer": tokens.issuer, "audience": tokens.audience, "key_set": tokens.key_set}
    for name, value in given.items():
        others = " and ".join(other for other in given if given[other] is not None)
        yield _Rule(
            (f"bearer_token.{name}",),
            value is not None or not others,
            f"it beside {others}",
            "nothing: the key is missing",
        )
    url = tokens.key_set if tokens.key_set is not None and tokens.key_set_object is None else ""
    yield _Rule(
        ("bearer_token.key_set", "network.egress"),
        not url or environment.network.egress is not Egress.ENDPOINTS,
        f'an object below {KEY_SET_PREFIX}, for with egress "endpoints" tasks reach nothing outside AWS',
        f'"{url}"',
    )
    yield _Rule(
        ("bearer_token.key_set", "name"),
        not url or environment.name == LOCAL or _HTTPS_ON_ITS_PORT.fullmatch(url) is not None,
        "https on port 443, the only one that tasks reach; http and other ports are for local alone",
        f'"{url}"',
    )


def _capacity_rules(capacity: Capacity, service: Service) -> Iterator[_Rule]:
    yield _Rule(
        ("capacity.max_instances", "capacity.min_instances"),
        capacity.max_instances >= capacity.min_instances,
        f"at least min_instances, {capacity.min_instances}",
        f"{capacity.max_instances}",
    )
    yield _Rule(
        ("service.max_tasks", "service.tasks"),
        service.max_tasks >= service.tasks,
        f"at least tasks, {service.tasks}",
        f"{service.max_tasks}",
    )
    yield _Rule(
        ("capacity.max_instances", "service.max_tasks"),
        capacity.max_instances >= service.max_tasks + 1,
        f"at least {service.max_tasks + 1}: one instance for each of max_tasks, and one more to move a task to",
        f"{capacity.max_instances}",
    )
    is_graviton = re.match(r"[a-z]+\d+g|a1\.", capacity.instance_type) is not None
    architecture = Architecture.ARM64 if is_graviton else Architecture.X86_64
    yield _Rule(
        ("capacity.architecture", "capacity.instance_type"),
        capacity.architecture is architecture,
        f'"{architecture}" for {capacity.instance_type}',
        f'"{capacity.architecture}"',
    )


# -- single values ----------------------------------------------------------


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _text_matching(pattern: str) -> Callable[[str], str | None]:
    accept = _matches(pattern)
    return lambda text: text if accept(text) else None


_is_issuer = _matches(ISSUER.pattern)
_is_word = _matches(r"[a-z](-?[a-z0-9])*")
_is_zone_id = _matches(r"Z[A-Z0-9]{1,31}")
_is_security_group = _matches(r"sg-[0-9a-f]{8,17}")
_is_role_path = _matches(r"/([\w+=,.@-]{1,64}/){1,7}")
_https_or_none = _text_matching(r"https://[^\s/:@?#]+(:\d{1,5})?(/[^\s#]*)?")
_is_repository = _matches(r"(?=.{2,256}$)[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*")


def _is_host_name(text: str) -> bool:
    label = _matches(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
    return len(text) <= 253 and "." in text and all(label(part) for part in text.split("."))  # noqa: PLR2004  RFC 1035


def _is_bucket_name(text: str) -> bool:
    """Tell what S3 takes, less the dots, which no certificate of S3's covers (bucket naming rules)."""
    reserved = ("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")
    fits = _matches(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")(text)
    return fits and not text.startswith(reserved[0]) and not text.endswith(reserved[1])


def _network_or_none(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text)
    except ValueError:
        return None


def _syntax_fault(error: tomllib.TOMLDecodeError, text: str) -> Fault:
    # tomllib says the place in its sentence; the attributes came with Python 3.14.
    sentence = str(error)
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", sentence)
    if place is None:
        return Fault(None, "", "TOML", _in_our_words(sentence))
    line = int(place.group(1)) if place.group(1) else text.count("\n") + 1
    return Fault(line, "", "TOML", _in_our_words(sentence[: place.start()]))


def _in_our_words(sentence: str) -> str:
    if sentence.startswith("Cannot overwrite"):
        return "a key that stands above already"
    return f"a fault: {sentence[:1].lower()}{sentence[1:]}"
