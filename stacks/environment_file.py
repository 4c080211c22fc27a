"""
One environment file, read into one frozen value.

A file holds facts an operator may change and no logic. Everything that can be
wrong with it is found here, before any template is built, and shown at once.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from service.contract import TokenBinding
from service.errors import PolicyError
from service.identity.policy import DEFAULT_POLICY, Policy, read_policy
from service.settings import APPLICATION, KEY_SET, KEY_SET_BOUND, OPERATOR_LIMITS, UPSTREAM
from stacks.agreement.whole import promises
from stacks.environment import (
    Alarms,
    Architecture,
    AuditTrail,
    BearerTokens,
    Capacity,
    Deployer,
    Egress,
    Environment,
    ExistingNetwork,
    GithubProvider,
    Ingress,
    LogDelivery,
    Logs,
    Names,
    OwnNetwork,
    Registry,
    Service,
)
from stacks.errors import DeploymentError
from stacks.fact_table import Fault, Report, Table
from stacks.instance_types import is_instance_type
from stacks.key_lines import locate_keys
from stacks.spelling import (
    https_or_none,
    is_bucket_name,
    is_host_name,
    is_issuer,
    is_region,
    is_repository,
    is_role_path,
    is_security_group,
    is_word,
    is_zone_id,
    matches,
    network_or_none,
    text_matching,
)

_LIMITS_ELSEWHERE: Final = frozenset({"idle_seconds"})
"""It follows from the load balancer's idle timeout, `Ingress.service_idle_timeout_seconds`."""
_LOG_RETENTION_DAYS: Final = (365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""What CloudWatch Logs takes (PutRetentionPolicy) and keeps for a year at least (Security Hub CloudWatch.16)."""
_RULES_OF_A_GROUP: Final = 60
"""For each direction, without asking AWS for more (VPC quotas, inbound or outbound rules per security group)."""
_AN_IPV4_NETWORK: Final = "an IPv4 network without host bits such as 198.51.100.0/24"


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
    promised = promises(environment, path.stem)
    for broken in [each for each in promised if not each.holds and report.is_sound(*each.keys)]:
        report.add(tuple(broken.keys[0].split(".")), broken.expected, broken.found)
    if report.faults:
        raise EnvironmentFileError(path, report.faults)
    return environment


# -- tables, in the order of the file ---------------------------------------


def _environment(file: Table) -> Environment:
    environment = Environment(
        # A hyphen would make `staging-2-...` one of the names that begin with `staging-`, and staging's to change.
        name=file.text("name", "a lower-case word without hyphens such as staging", matches(r"[a-z][a-z0-9]*")),
        project=file.text("project", "a lower-case word such as mtls-ingress", is_word),
        account=file.text("account", "an account id of 12 digits in quotes", matches(r"\d{12}")),
        region=file.text("region", "a region such as us-east-1", is_region),
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
            "vpc_cidr", "an IPv4 network such as 10.20.0.0/16", network_or_none, placeholder=IPv4Network("10.0.0.0/16")
        ),
        zones=table.texts(
            "zones", "an availability zone such as us-east-1a", text_matching(r"[a-z0-9-]+\d[a-h]"), least=2, most=6
        ),
        egress=table.choice("egress", Egress),
        ec2_endpoint=table.optional_boolean("ec2_endpoint"),
    )


def _existing_network(table: Table) -> ExistingNetwork:
    subnet = text_matching(r"subnet-[0-9a-f]{8,17}")
    endpoint = text_matching(r"vpce-[0-9a-f]{8,17}")
    return ExistingNetwork(
        vpc_id=table.text("vpc_id", "a VPC's id such as vpc-0123456789abcdef0", matches(r"vpc-[0-9a-f]{8,17}")),
        public_subnet_ids=table.texts("public_subnet_ids", "a subnet's id such as subnet-0a1b2c3d", subnet, least=2),
        private_subnet_ids=table.texts("private_subnet_ids", "a subnet's id such as subnet-0a1b2c3d", subnet, least=2),
        egress=table.choice("egress", Egress),
        s3_endpoint_ids=table.optional_texts(
            "s3_endpoint_ids", "a gateway endpoint's id such as vpce-0123456789abcdef0", endpoint, least=1
        ),
    )


def _ingress(table: Table) -> Ingress:
    ingress = Ingress(
        host_name=table.text("host_name", "a DNS name in lower case such as api.example.com", is_host_name),
        partner_cidrs=table.texts("partner_cidrs", _AN_IPV4_NETWORK, network_or_none, least=1, most=_RULES_OF_A_GROUP),
        hosted_zone_id=table.optional_text("hosted_zone_id", "a hosted zone's id such as Z0123456789ABC", is_zone_id),
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
            is_instance_type,
        ),
        architecture=table.choice("architecture", Architecture),
        min_instances=table.integer("min_instances", least=2, most=1000, unit="instances"),
        max_instances=table.integer("max_instances", least=3, most=1000, unit="instances"),
        termination_protection=table.optional_boolean("termination_protection"),
    )
    table.end()
    return capacity


def _service(table: Table) -> Service:
    service = Service(
        tasks=table.integer("tasks", least=2, most=500, unit="tasks"),
        max_tasks=table.integer("max_tasks", least=2, most=500, unit="tasks"),
        cpu_units=table.integer("cpu_units", least=128, most=98_304, unit="CPU units"),
        memory_mib=table.integer("memory_mib", least=256, most=393_216, unit="MiB"),
        workers=table.optional_integer("workers", least=1, most=64, unit="processes"),
        lame_duck_seconds=table.integer("lame_duck_seconds", least=0, most=600, unit="seconds"),
        drain_seconds=table.integer("drain_seconds", least=1, most=3600, unit="seconds"),
        application=table.optional_text(
            "application", "module:attribute of an ASGI application", matches(APPLICATION.pattern)
        ),
        forward_to=table.optional_text("forward_to", "http://host:port, without a path", matches(UPSTREAM.pattern)),
        upstream_security_group=table.optional_text(
            "upstream_security_group", "a security group's id such as sg-0123456789abcdef0", is_security_group
        ),
        upstream_cidrs=table.optional_texts(
            "upstream_cidrs", _AN_IPV4_NETWORK, network_or_none, least=1, most=_RULES_OF_A_GROUP - 10
        ),
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
    address = text_matching(r"[^@\s\"<>]+@[^@\s\"<>]+\.[^@\s\"<>]+")
    topic = text_matching(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}")
    alarms = Alarms(
        # More would make the template too long for CloudFormation; a mailing list takes as many as there are.
        emails=table.optional_texts("emails", "a mail address such as ops@example.com", address, most=20),
        urls=table.optional_texts(
            "urls", "an https URL such as https://pager.example.com/alarms", https_or_none, most=10
        ),
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
    policy = matches(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/([\w+=,.@-]+/)*[\w+=,.@-]{1,128}")
    role = text_matching(r"arn:aws[a-z-]*:iam::\d{12}:role/([\w+=,.@-]+/)*[\w+=,.@-]{1,64}")
    deployer = Deployer(
        permissions_boundary=table.optional_text(
            "permissions_boundary", "a policy's ARN such as arn:aws:iam::111122223333:policy/boundary", policy
        ),
        principals=table.optional_texts(
            "principals", "a role's ARN such as arn:aws:iam::111122223333:role/deployers", role, least=1, most=20
        ),
        github_repository=table.optional_text(
            "github_repository", "ORG/REPO without wildcards", matches(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}")
        ),
        github_environment=table.optional_text(
            "github_environment", "a GitHub environment's name without wildcards", matches(r"[\w.-]{1,255}")
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
        certificate_bucket=table.optional_text("certificate_bucket", bucket, is_bucket_name),
        log_bucket=table.optional_text("log_bucket", bucket, is_bucket_name),
        trail_bucket=table.optional_text("trail_bucket", bucket, is_bucket_name),
        repository=table.optional_text("repository", "a repository's name such as edge/mtls-ingress", is_repository),
        client_registry=table.optional_text(
            "client_registry", "a table's name of 3 to 255 letters, digits, _ . and -", matches(r"[\w.-]{3,255}")
        ),
        role_path=table.optional_text("role_path", "a path such as /edge/mtls-ingress/", is_role_path),
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
        issuer=table.optional_text("issuer", "what the tokens' `iss` says", is_issuer),
        audience=table.optional_text("audience", "what the tokens' `aud` says", is_issuer),
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
    if sentence.startswith("Cannot declare"):
        name = ".".join(re.findall(r"'([^']+)'", sentence))
        return f"a table that stands above already: [{name}]"
    if sentence == "Invalid value":
        return 'what is neither text in straight quotes "...", nor a number, true, false, [...]'
    if sentence.startswith("Illegal character"):
        return "text whose quotes are not closed on its line, or a character that TOML does not take"
    return f"a fault: {sentence[:1].lower()}{sentence[1:]}"
