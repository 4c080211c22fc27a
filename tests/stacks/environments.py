"""Environments for tests: the three files, any one of them with something changed, and any valid one at all."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from service.settings import OPERATOR_LIMITS
from stacks.catalog import Catalog, assemble
from stacks.environment import Environment
from stacks.environment_file import EnvironmentFileError, find_environment, load_environment, parse_environment
from stacks.fact_table import Fault

ROOT = Path(__file__).parents[2]
NAMES = ("local", "staging", "production")


@cache
def environment(name: str = "staging") -> Environment:
    """Load one of the three."""
    return load_environment(find_environment(name, ROOT))


@cache
def catalog(name: str = "staging") -> Catalog:
    """Assemble one of the three."""
    return assemble(environment(name))


def changed(*replacements: tuple[str, str], name: str = "staging") -> Environment:
    """Load a file in which texts are replaced by others."""
    return parse_environment(changed_text(*replacements, name=name), Path(f"{name}.toml"))


def changed_text(*replacements: tuple[str, str], name: str = "staging") -> str:
    """Replace texts of a file; each must be there."""
    text = find_environment(name, ROOT).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def faults(*replacements: tuple[str, str], name: str = "staging") -> tuple[Fault, ...]:
    """Tell what is wrong with a file in which texts are replaced by others."""
    return faults_of(changed_text(*replacements, name=name), name)


def faults_of(text: str, name: str = "staging") -> tuple[Fault, ...]:
    """Tell what is wrong with the text of a file."""
    try:
        parse_environment(text, Path(f"{name}.toml"))
    except EnvironmentFileError as error:
        return error.faults
    return ()


TOKENS = """
[[routes]]
path = "/"
all_of = ["pinned_certificate"]

[[routes]]
path = "/records"
all_of = ["pinned_certificate", "bearer_token"]
roles = ["send"]

[bearer_token]
issuer = "https://issuer.example"
audience = "https://ingress.local.test"
key_set = "tokens/issuer.json"
"""
"""Certificate and token on one route, the issuer's keys in the bucket."""


def with_tokens(*replacements: tuple[str, str], name: str = "staging") -> Environment:
    """Load a file with `TOKENS` at its end, in which texts are replaced by others."""
    return parse_environment(with_tokens_text(*replacements, name=name), Path(f"{name}.toml"))


def with_tokens_text(*replacements: tuple[str, str], name: str = "staging") -> str:
    """Put `TOKENS` at the end of a file and replace texts; each must be there."""
    text = changed_text(name=name) + TOKENS
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    return text


EXISTING_NETWORK = """\
[network]
vpc_id = "vpc-0123456789abcdef0"
public_subnet_ids = ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]
private_subnet_ids = ["subnet-2a1b2c3d", "subnet-3a1b2c3d"]
private_route_table_ids = ["rtb-0a1b2c3d"]
egress = "existing"
"""


def with_existing_network(text: str | None = None) -> str:
    """Put somebody else's VPC in the place of our own."""
    before, _, rest = (text or changed_text()).partition("[network]\n")
    _, _, after = rest.partition("[ingress]\n")
    return f"{before}{EXISTING_NETWORK}\n[ingress]\n{after}"


_WORKERS: st.SearchStrategy[dict[str, object]] = st.sampled_from([{}, {"workers": 1}, {"workers": 64}])


@st.composite
def environment_texts(draw: st.DrawFn) -> str:
    """Draw the text of any valid file named `drawn.toml`."""
    region = draw(st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-5", "us-gov-west-1"]))
    tasks = draw(st.integers(2, 40))
    max_tasks = draw(st.integers(tasks, 60))
    interval = draw(st.integers(5, 60))
    lame_duck = draw(st.integers(2 * interval, 130))
    drain = draw(st.integers(1, 160))
    architecture, instance_type = draw(st.sampled_from([("x86_64", "m7i.large"), ("arm64", "t4g.small")]))
    tables: dict[str, dict[str, object]] = {
        "tags": draw(
            st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text("a-b", max_size=5), max_size=3)
        ),
        "network": draw(_networks(region)),
        "ingress": {
            "host_name": "api.example.com",
            "partner_cidrs": draw(st.sampled_from([["0.0.0.0/0"], ["198.51.100.0/24", "203.0.113.7/32"]])),
            "idle_timeout_seconds": draw(st.integers(20, 4000)),
            "draining_seconds": draw(st.integers(1, lame_duck + drain)),
            "health_check_interval_seconds": interval,
            "access_log_interval_minutes": draw(st.sampled_from([5, 60])),
        }
        | draw(st.sampled_from([{}, {"hosted_zone_id": "Z0123456789ABC"}])),
        "capacity": {
            "instance_type": instance_type,
            "architecture": architecture,
            "min_instances": draw(st.integers(2, max_tasks + 1)),
            "max_instances": draw(st.integers(max_tasks + 1, 100)),
        },
        "service": {
            "tasks": tasks,
            "max_tasks": max_tasks,
            "cpu_units": draw(st.integers(128, 4096)),
            "memory_mib": draw(st.integers(256, 8192)),
            "lame_duck_seconds": lame_duck,
            "drain_seconds": drain,
        }
        | draw(_WORKERS),
        "logs": {"retention_days": draw(st.sampled_from([365, 3653]))},
        "alarms": {"emails": draw(st.sampled_from([[], ["ops@example.com"], ["a@example.com", "b@example.com"]]))},
    }
    if draw(st.booleans()):
        names = [name for name in OPERATOR_LIMITS if name != "idle_seconds"]
        tables["limits"] = {
            name: draw(st.integers(OPERATOR_LIMITS[name].least, OPERATOR_LIMITS[name].most))
            for name in draw(st.lists(st.sampled_from(names), unique=True))
        }
    head: dict[str, object] = {"name": "drawn", "project": "ingress", "account": "111122223333", "region": region}
    tokens = draw(st.sampled_from(["", TOKENS]))
    return _lines(head) + "".join(f"\n[{name}]\n{_lines(values)}" for name, values in tables.items()) + tokens


@st.composite
def _networks(draw: st.DrawFn, region: str) -> dict[str, object]:
    if draw(st.booleans()):
        zones = draw(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6, unique=True))
        prefix = draw(st.integers(16, 23))
        return {
            "vpc_cidr": f"10.{draw(st.integers(0, 255))}.0.0/{prefix}",
            "zones": [region + zone for zone in zones],
            "egress": draw(st.sampled_from(["nat", "endpoints"])),
        }
    return {
        "vpc_id": "vpc-0123456789abcdef0",
        "public_subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
        "private_subnet_ids": ["subnet-2a1b2c3d", "subnet-3a1b2c3d", "subnet-4a1b2c3d"],
        "private_route_table_ids": ["rtb-0a1b2c3d"],
        "egress": "existing",
    }


def _lines(values: dict[str, object]) -> str:
    # What JSON writes of texts, numbers, lists and booleans is TOML too.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
