"""Environments for tests: the three files, and any one of them with something changed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

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


EVERY_TABLE = """
[registry]
backup_days = 35

[deployer]
principals = ["arn:aws:iam::444455556666:role/deployers"]
github_repository = "example/ingress"

[names]
certificate_bucket = "example-ingress-certificate"
log_bucket = "example-ingress-logs"
trail_bucket = "example-ingress-trail"
repository = "edge/ingress"
client_registry = "edge-clients"
role_path = "/edge/ingress/"
"""


def with_every_setting() -> str:
    """Set what production leaves out: what nothing of the three environments has is judged nowhere else."""
    return (
        changed_text(
            ('egress = "endpoints"', 'egress = "endpoints"\nec2_endpoint = true'),
            ("[ingress]\n", '[ingress]\nhosted_zone_id = "Z0123456789ABC"\n'),
            ("[capacity]\n", "[capacity]\ntermination_protection = true\n"),
            ("[service]\n", '[service]\nforward_to = "http://10.22.9.9:8080"\nupstream_cidrs = ["10.22.9.0/24"]\n'),
            ("[alarms]\n", '[alarms]\nurls = ["https://pager.example.com/alarms"]\n'),
            name="production",
        )
        + EVERY_TABLE
        + TOKENS
    )


EXISTING_NETWORK = """\
[network]
vpc_id = "vpc-0123456789abcdef0"
public_subnet_ids = ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]
private_subnet_ids = ["subnet-2a1b2c3d", "subnet-3a1b2c3d"]
egress = "existing"
"""


def with_existing_network(text: str | None = None) -> str:
    """Put somebody else's VPC in the place of our own."""
    before, _, rest = (text or changed_text()).partition("[network]\n")
    _, _, after = rest.partition("[ingress]\n")
    return f"{before}{EXISTING_NETWORK}\n[ingress]\n{after}"
