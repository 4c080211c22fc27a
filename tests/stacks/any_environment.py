"""The text of any valid environment file: every setting that there is, present or absent."""

from __future__ import annotations

import json
from typing import Final

from hypothesis import strategies as st

from service.settings import OPERATOR_LIMITS
from tests.stacks.environments import TOKENS

Facts = dict[str, object]
Table = st.SearchStrategy[Facts]

_REGIONS: Final = ("us-east-1", "eu-central-1", "ap-southeast-5", "us-gov-west-1", "cn-north-1")
"""One whose load balancers log by an account, one of after 2022, and each partition."""
_TYPES: Final = (
    ("m7i.large", "x86_64", 2048, 7536),
    ("t3a.medium", "x86_64", 2048, 3768),
    ("t4g.small", "arm64", 2048, 1884),
    ("r8g.medium", "arm64", 1024, 7536),
    ("x2gd.large", "arm64", 2048, 16384),
)
"""With what they have for tasks."""
_ACCOUNT: Final = "111122223333"
_NOTHING: Facts = {}


@st.composite
def environment_texts(draw: st.DrawFn) -> str:
    """Draw the text of any valid file named `drawn.toml`."""
    region = draw(st.sampled_from(_REGIONS))
    project = draw(st.sampled_from(["ingress", "a-project-so-long"]))
    head = {"name": "drawn", "project": project, "account": _ACCOUNT, "region": region}
    tables = {name: values for name, values in draw(_tables(region)).items() if values is not None}
    written = "".join(f"\n[{name}]\n{_lines(values)}" for name, values in tables.items())
    return _lines(head) + written + draw(st.sampled_from(["", TOKENS]))


@st.composite
def _tables(draw: st.DrawFn, region: str) -> dict[str, Facts | None]:
    partition = _partition(region)
    interval = draw(st.integers(5, 60))
    lame_duck, drain = draw(st.integers(2 * interval, 130)), draw(st.integers(1, 160))
    instance_type, architecture, cpu_units, memory_mib = draw(st.sampled_from(_TYPES))
    memory = draw(st.integers(320, memory_mib))
    tasks = draw(st.integers(2, 12))
    max_tasks = draw(st.integers(tasks, 20))
    audit_trail = draw(st.none() | _audit_trails())
    return {
        "tags": draw(_tags()),
        "network": draw(_own_networks(region) | _existing_networks()),
        "ingress": {
            "host_name": "api.example.com",
            "idle_timeout_seconds": draw(st.integers(20, 4000)),
            "draining_seconds": draw(st.integers(drain, lame_duck + drain)),
            "health_check_interval_seconds": interval,
            "access_log_interval_minutes": draw(st.sampled_from([5, 60])),
        }
        | draw(_partners())
        | draw(_some({"hosted_zone_id": st.just("Z0123456789ABC")})),
        "capacity": {
            "instance_type": instance_type,
            "architecture": architecture,
            "min_instances": draw(st.integers(2, max_tasks + 1)),
            "max_instances": draw(st.integers(max_tasks + 1, 30)),
        }
        | draw(_some({"termination_protection": st.booleans()})),
        "service": {
            "tasks": tasks,
            "max_tasks": max_tasks,
            "cpu_units": draw(st.integers(128, cpu_units)),
            "memory_mib": memory,
            "lame_duck_seconds": lame_duck,
            "drain_seconds": drain,
        }
        | draw(_some({"workers": st.integers(1, 64)}))
        | draw(_answers()),
        "logs": {"retention_days": draw(st.sampled_from([365, 2192, 3653]))}
        | draw(_some({"delivery": st.sampled_from(["non-blocking", "blocking"])})),
        "alarms": draw(_alarms(partition, region)),
        "registry": draw(st.none() | _some({"backup_days": st.integers(1, 3650)})),
        "deployer": draw(st.none() | _deployers(partition)),
        "audit_trail": audit_trail,
        "names": draw(st.none() | _names(has_trail=audit_trail is not None)),
        "limits": draw(st.none() | _limits(memory)),
    }


def _tags() -> Table:
    words = st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(lambda key: key != "name")
    return st.dictionaries(words, st.text("a-b ", max_size=5), max_size=3).map(dict)


@st.composite
def _own_networks(draw: st.DrawFn, region: str) -> Facts:
    zones = draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6, unique=True))
    return {
        "vpc_cidr": f"10.{draw(st.integers(0, 255))}.0.0/{draw(st.integers(16, 23))}",
        "zones": [region + zone for zone in zones],
        "egress": draw(st.sampled_from(["nat", "endpoints"])),
    } | draw(_some({"ec2_endpoint": st.booleans()}))


def _existing_networks() -> Table:
    endpoints = st.sampled_from([["vpce-0a1b2c3d"], ["vpce-0a1b2c3d", "vpce-0123456789abcdef0"]])
    given: Facts = {
        "vpc_id": "vpc-0123456789abcdef0",
        "public_subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
        "private_subnet_ids": ["subnet-2a1b2c3d", "subnet-3a1b2c3d", "subnet-4a1b2c3d"],
        "egress": "existing",
    }
    return _some({"s3_endpoint_ids": endpoints}).map(lambda facts: given | facts)


def _partners() -> Table:
    return st.sampled_from(
        [
            {"partner_cidrs": ["0.0.0.0/0"], "open_to_the_internet": True},
            {"partner_cidrs": ["198.51.100.0/24", "203.0.113.7/32"]},
            {"partner_cidrs": ["198.51.100.0/24"], "open_to_the_internet": False},
        ]
    )


def _answers() -> Table:
    return st.sampled_from(
        [
            _NOTHING,
            {"application": "partner.app:app"},
            {"forward_to": "http://records.internal:443"},
            {"forward_to": "http://records.internal", "upstream_cidrs": ["10.200.0.0/16", "172.20.0.0/24"]},
            {"forward_to": "http://10.200.0.7:8080", "upstream_cidrs": ["10.200.0.0/16"]},
            {"forward_to": "http://records.internal:8080", "upstream_security_group": "sg-0123456789abcdef0"},
        ]
    )


def _audit_trails() -> Table:
    return st.integers(365, 3653).map(lambda days: {"retention_days": days})


@st.composite
def _alarms(draw: st.DrawFn, partition: str, region: str) -> Facts:
    topic = f"arn:{partition}:sns:{region}:{_ACCOUNT}:"
    targets: Facts = {
        "emails": ["ops@example.com", "night@example.com"],
        "urls": ["https://pager.example.com/alarms?key=1"],
        "topic_arns": [f"{topic}on-call", f"{topic}chat"],
    }
    chosen = draw(st.sets(st.sampled_from(sorted(targets)), min_size=1))
    return {name: targets[name] for name in sorted(chosen)}


def _deployers(partition: str) -> Table:
    iam = f"arn:{partition}:iam::{_ACCOUNT}"
    repository = {"github_repository": "example/mtls-ingress"}
    github: Table = st.sampled_from(
        [
            _NOTHING,
            repository,
            repository | {"github_environment": "live", "github_provider": "existing"},
            repository | {"github_provider": "create"},
        ]
    )
    rest = _some(
        {
            "permissions_boundary": st.just(f"{iam}:policy/bounds/ours"),
            "principals": st.just([f"{iam}:role/deployers", f"{iam}:role/ci/runner"]),
        }
    )
    return st.tuples(github, rest).map(lambda parts: parts[0] | parts[1])


def _names(*, has_trail: bool) -> Table:
    names = {
        "certificate_bucket": "acme-edge-pairs",
        "log_bucket": "acme-edge-logs",
        "trail_bucket": "acme-edge-trail",
        "repository": "edge/mtls-ingress",
        "client_registry": "Edge.Clients_1",
        "role_path": "/edge/ingress/",
    }
    return _some({key: st.just(name) for key, name in names.items() if has_trail or key != "trail_bucket"})


def _limits(memory_mib: int) -> Table:
    bounds = {name: (bound.least, bound.most) for name, bound in OPERATOR_LIMITS.items() if name != "idle_seconds"}
    # 40 KiB for each connection.
    bounds["connections"] = (1, memory_mib * 1024 // 40)
    return _some({name: st.integers(*both) for name, both in bounds.items()})


def _some(optional: dict[str, st.SearchStrategy[object]]) -> Table:
    """Draw a table that has any of these keys, all or none."""
    return st.fixed_dictionaries({}, optional=optional).map(dict)


def _partition(region: str) -> str:
    return {"us-gov-west-1": "aws-us-gov", "cn-north-1": "aws-cn"}.get(region, "aws")


def _lines(values: Facts | dict[str, str]) -> str:
    # What JSON writes of texts, numbers, lists and booleans is TOML too.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
