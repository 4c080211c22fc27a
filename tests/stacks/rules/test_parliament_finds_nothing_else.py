"""A linter of policies we did not write reads every one; what it may find is named here with its reason."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.catalog import Catalog, assemble
from stacks.environment import AuditTrail, Deployer, Registry
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.statements import Document, Kind, documents
from tests.stacks.environments import NAMES, catalog, environment

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-parliament" / "bin" / "python"
# It speaks to a terminal, one policy at a time and a second each; so it is asked for all at once.
ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import parliament
found = []
for name, policy in json.load(sys.stdin).items():
    for finding in parliament.analyze_policy_string(json.dumps(policy)).findings:
        found.append([name, finding.issue, str(finding.detail)])
json.dump(found, sys.stdout)
"""
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("MISMATCHED_TYPE", "s3:TlsVersion"): "it takes whole numbers alone; the S3 guide writes 1.2",
    ("MISMATCHED_TYPE", "ArnLike requires"): "an encryption context that is an ARN, as the Logs guide compares it",
    ("MISMATCHED_TYPE_BUT_USABLE", "given Arn"): "an ARN without a wildcard is compared as a text",
    ("UNKNOWN_ACTION", "ecs:PutSystemLogEvents"): "newer than its table; cfn-lint's has it",
    ("UNKNOWN_ACTION", "ecs:StopServiceDeployment"): "newer than its table; cfn-lint's has it",
    ("UNKNOWN_ACTION", "cloudtrail:GetEventConfiguration"): "newer than its table; cfn-lint's has it",
    ("UNKNOWN_ACTION", "cloudtrail:PutEventConfiguration"): "newer than its table; cfn-lint's has it",
    (
        "UNKNOWN_CONDITION_FOR_ACTION",
        "token.actions.githubusercontent.com",
    ): "the provider's own keys (IAM guide, OIDC)",
    ("UNKNOWN_CONDITION_FOR_ACTION", "kms:ResourceAliases"): "newer than its table (KMS guide, condition keys)",
    ("UNKNOWN_CONDITION_FOR_ACTION", "elasticloadbalancing:CreateAction"): "newer than its table; cfn-lint's has it",
    ("UNKNOWN_CONDITION_FOR_ACTION", "s3:TlsVersion for action"): "a denial of s3:* means two that have no bucket",
    (
        "UNKNOWN_CONDITION_FOR_ACTION",
        "aws:logs:arn for action kms:DescribeKey",
    ): "the Logs guide's own statement, in which it is of no use and does no harm",
    ("RESOURCE_MISMATCH", "ssm:GetParameter"): "AWS's public parameters bear no account, which its pattern demands",
    (
        "RESOURCE_MISMATCH",
        "sns:GetSubscriptionAttributes",
    ): "its table is older than the topic as resource; cfn-lint's is not",
    ("RESOURCE_MISMATCH", "dynamodb:DeleteResourcePolicy"): "it wants a stream beside the table; there is none",
    ("RESOURCE_MISMATCH", "kms:CreateAlias"): "an alias and its key are granted in two statements, one for each",
    ("RESOURCE_POLICY_PRIVILEGE_ESCALATION", "s3:PutBucketPolicy"): "who mends a bucket's policy is not who uses it",
    (
        "RESOURCE_POLICY_PRIVILEGE_ESCALATION",
        "s3:PutLifecycleConfiguration",
    ): "who configures a bucket is not who deletes in it; the bucket's own policy has the last word (K20)",
    ("RESOURCE_STAR", "'ssm:GetDocument'"): "a boundary grants nothing",
    ("RESOURCE_STAR", "'application-autoscaling:DeleteScalingPolicy'"): "a boundary grants nothing",
    ("RESOURCE_STAR", "'cloudwatch:DescribeAlarms'"): "it lists",
    ("RESOURCE_STAR", "'ec2:DescribeVpcAttribute'"): "it describes",
    ("RESOURCE_STAR", "'ecs:RegisterTaskDefinition'"): "AWS's tables have not always given it a resource",
    ("RESOURCE_STAR", "'kms:TagResource'"): "with the making of a key, under the tag that it must bear",
}
"""By what it calls it and what it says: why that is right."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="parliament has an environment of its own: make prove sets it up"),
]


def catalogs() -> Iterator[Catalog]:
    """Give the three environments, and one with everything that has policies of its own."""
    yield from map(catalog, NAMES)
    yield assemble(
        dataclasses.replace(
            environment("staging"),
            registry=Registry(backup_days=30),
            audit_trail=AuditTrail(retention_days=365),
            deployer=Deployer(principals=("arn:aws:iam::111122223333:role/ops",), github_repository="org/ingress"),
        )
    )


def as_it_reads(document: Document) -> dict[str, Any]:
    """Write a policy as one that belongs to a principal, in texts: it knows no other."""
    policy: dict[str, Any] = copy.deepcopy(json.loads(json.dumps(document.raw)))
    for statement in policy["Statement"]:
        if document.kind is not Kind.IDENTITY:
            del statement["Principal"]
        if document.kind is Kind.TRUST or document.resource.type == "AWS::KMS::Key":  # whose `*` is the key
            statement["Resource"] = document.resource.estate.arn(document.resource)
        for keys in statement.get("Condition", {}).values():
            keys.update(
                {key: str(value).lower() for key, value in keys.items() if isinstance(value, (bool, float, int))}
            )
    return policy


@pytest.fixture(scope="module")
def found() -> list[tuple[str, str, str]]:
    """Ask it about every policy of every environment: the policy's name, the issue and what it says."""
    policies = {
        f"{index}.{document.resource.name}.{document.path}": as_it_reads(document)
        for index, each in enumerate(catalogs())
        for document in documents(
            Estate({entry.name: entry.template for entry in each.every}, Place.of(each.environment))
        )
    }
    assert len(policies) > 100
    ran = subprocess.run(  # noqa: S603 -- the pinned linter
        [str(PYTHON), "-c", ASK], input=json.dumps(policies), check=True, capture_output=True, text=True, timeout=180
    )
    return [(name, issue, said) for name, issue, said in json.loads(ran.stdout)]


def reason(issue: str, said: str) -> str | None:
    """Say why a finding is right; None if it is not."""
    return next((why for (kind, part), why in EXCEPTIONS.items() if kind == issue and part in said), None)


def test_it_finds_the_named_exceptions_alone(found: list[tuple[str, str, str]]) -> None:
    assert sorted({each for each in found if reason(*each[1:]) is None}) == []


def test_every_exception_is_still_needed(found: list[tuple[str, str, str]]) -> None:
    used = {key for key in EXCEPTIONS for _, issue, said in found if key[0] == issue and key[1] in said}

    assert set(EXCEPTIONS) - used == set()


def test_it_does_find_a_mistake() -> None:
    """A linter that reads nothing is clean as well."""
    statement = {"Effect": "Allow", "Action": "s3:GetObjekt", "Resource": "arn:aws:s3:::x/*"}
    ran = subprocess.run(  # noqa: S603 -- the pinned linter
        [str(PYTHON), "-c", ASK],
        input=json.dumps({"one": {"Version": "2012-10-17", "Statement": [statement]}}),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert [issue for _, issue, _ in json.loads(ran.stdout)] == ["UNKNOWN_ACTION"]
