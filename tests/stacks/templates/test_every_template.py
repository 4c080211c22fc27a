"""What holds for each template of each environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stacks.catalog import assemble
from stacks.environment_file import parse_environment
from stacks.rules.linter import lint
from tests.stacks.environments import NAMES, ROOT, catalog, with_existing_network

GOLDEN = ROOT / "tests" / "golden"
STATEFUL = {
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_is_what_was_reviewed(name: str) -> None:
    """A difference here is a difference in AWS: read it, then `make golden`."""
    rendered = {f"{entry.name}.json": entry.body for entry in catalog(name).every}
    reviewed = {path.name: path.read_text(encoding="utf-8") for path in (GOLDEN / name).iterdir()}

    assert rendered == reviewed


def test_another_process_renders_the_same_bytes() -> None:
    """Nothing follows the order of a set or of a hash."""
    script = (
        "from tests.stacks.environments import catalog\n"
        "import hashlib\n"
        "print(hashlib.sha256(''.join(entry.body for entry in catalog('production').stacks).encode()).hexdigest())\n"
    )

    digests = {
        subprocess.run(  # noqa: S603  this interpreter, with a script of ours
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1


def test_the_linter_finds_nothing() -> None:
    """One call over every form a stack takes; `deploy.py check` goes over each environment whole."""
    existing = assemble(parse_environment(with_existing_network(), Path("staging.toml")))
    forms = {entry.name: entry.body for entry in catalog("production").stacks}
    forms["network with NAT"] = catalog("staging")["network"].body
    for name in ("certificate_store", "ingress", "capacity"):
        forms[f"{name} in an existing network"] = existing[name].body

    assert lint(forms, region="us-east-1") == []


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_state_is_kept(name: str) -> None:
    """Kept when its stack goes, and yet removed after a failed first creation (U2)."""
    resources = [resource for _, resource in _resources(name) if resource["Type"] in STATEFUL]

    assert {resource["Type"] for resource in resources} == STATEFUL
    assert {resource.get("DeletionPolicy") for resource in resources} == {"RetainExceptOnCreate"}
    assert {resource.get("UpdateReplacePolicy") for resource in resources} == {"Retain"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_exported_and_nothing_is_decided_in_aws(name: str) -> None:
    for entry in catalog(name).every:
        assert "Fn::ImportValue" not in entry.body
        assert '"Export"' not in entry.body
        assert "Conditions" not in entry.template


@pytest.mark.parametrize("name", NAMES)
def test_no_policy_says_whom_it_is_not_for(name: str) -> None:
    """NotPrincipal needs every session's ARN and always denies who has a permissions boundary (K1)."""
    assert "NotPrincipal" not in "".join(entry.body for entry in catalog(name).every)


@pytest.mark.parametrize("name", NAMES)
def test_every_denial_by_a_resource_has_a_condition(name: str) -> None:
    """Of a resource: without one it would shut out those who must repair it. A role's own policy denies that role."""
    denials = [
        statement
        for statement in _statements([entry.template for entry in catalog(name).every])
        if statement["Effect"] == "Deny" and "Principal" in statement
    ]

    assert denials
    assert all(statement["Condition"] for statement in denials)


@pytest.mark.parametrize("name", NAMES)
def test_every_security_group_rule_says_what_it_is_for(name: str) -> None:
    rules = [
        resource["Properties"]
        for _, resource in _resources(name)
        if resource["Type"] in {"AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"}
    ]
    for _, resource in _resources(name):
        if resource["Type"] == "AWS::EC2::SecurityGroup":
            rules += resource["Properties"].get("SecurityGroupIngress", [])
            rules += resource["Properties"]["SecurityGroupEgress"]

    assert all(rule["Description"] for rule in rules)


def _resources(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in catalog(name).every:
        yield from entry.template["Resources"].items()


def _statements(value: object) -> Iterator[Mapping[str, Any]]:
    """Find every statement of every policy, wherever it lies."""
    match value:
        case dict():
            if {"Effect", "Action"} <= set(value):
                yield value
            for inner in value.values():
                yield from _statements(inner)
        case list():
            for inner in value:
                yield from _statements(inner)
