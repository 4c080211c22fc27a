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
