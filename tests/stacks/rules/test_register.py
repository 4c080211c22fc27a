"""
Every requirement there is has a rule, or an entry that says why it has none.

The table is the register as an auditor holds it: our own requirements by
letter and number, and the controls of Security Hub, AWS Config and CIS.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import pytest

from stacks.rules import book
from stacks.rules.register import Entry, Standing
from tests.stacks.environments import ROOT

OURS: Final = {"E": 16, "N": 7, "S": 22, "A": 18, "U": 4, "K": 25, "I": 5, "O": 3}
"""How many requirements each letter counts, from one without a gap."""
SECURITY_HUB: Final = {
    "ACM": (1,),
    "AutoScaling": (1, 2, 3, 4, 5, 6, 9),
    "CloudFormation": (1,),
    "CloudTrail": (1, 2, 3, 4, 5, 6, 7),
    "Config": (1,),
    "DynamoDB": (1, 2, 4, 6),
    "EC2": (2, 3, 6, 7, 8, 9, 10, 13, 14, 15, 18, 19, 21, 25, 28, 170),
    "ECR": (1, 2, 3, 5),
    "ECS": (1, 2, 3, 4, 5, 8, 9, 10, 12, 16, 17, 19, 20),
    "ELB": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 16, 17, 18),
    "GuardDuty": (1, 10),
    "IAM": (1, 21),
    "KMS": (1, 2, 3, 4, 5),
    "S3": (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 20),
    "SNS": (1, 4),
    "SSM": (1,),
}
CONFIG: Final = (
    "ACM_CERTIFICATE_EXPIRATION_CHECK",
    "CFN_NO_EXPLICIT_RESOURCE_NAMES",
    "CLOUDTRAIL_S3_DATAEVENTS_ENABLED",
    "CLOUDWATCH_ALARM_ACTION_CHECK",
    "CLOUDWATCH_LOG_GROUP_ENCRYPTED",
    "CW_LOGGROUP_RETENTION_PERIOD_CHECK",
    "DYNAMODB_TABLE_ENCRYPTED_KMS",
    "EBS_IN_BACKUP_PLAN",
    "EC2_INSTANCE_MANAGED_BY_SSM",
    "ELB_TLS_HTTPS_LISTENERS_ONLY",
    "IAM_NO_INLINE_POLICY_CHECK",
)
CIS: Final = (
    "3.1.1",
    "3.1.2",
    "3.1.4",
    "4.6",
    "4.7",
    "6.1.1",
    "6.3",
    "6.4",
    "6.5",
    "6.7",
    "2.13",
    "2.14",
    "2.16",
    "2.21",
)
REQUIREMENTS: Final = (
    *(f"{letter}{number}" for letter, count in OURS.items() for number in range(1, count + 1)),
    *(f"{service}.{number}" for service, numbers in SECURITY_HUB.items() for number in numbers),
    *CONFIG,
    *(f"CIS {number}" for number in CIS),
)

KEPT_BY_A_RULE: Final = {each for rule in book.RULES for each in (rule.requirement, *rule.also)}
ENTERED: Final = {entry.requirement for entry in book.ENTRIES}


def test_every_requirement_has_a_rule_or_an_entry() -> None:
    assert [each for each in REQUIREMENTS if each not in KEPT_BY_A_RULE | ENTERED] == []


def test_no_requirement_is_entered_twice() -> None:
    assert [each for each, count in Counter(entry.requirement for entry in book.ENTRIES).items() if count > 1] == []


def test_what_a_rule_keeps_is_entered_only_for_the_part_it_spares() -> None:
    """An auditor who reads both must find the one thing that is spared, by name."""
    entries = {entry.requirement: entry for entry in book.ENTRIES}

    both = KEPT_BY_A_RULE & ENTERED

    assert both == {"S3.9", "S3.17", "KMS.1"}
    assert all(entries[each].standing is Standing.EXCEPTION for each in both)
    assert entries["S3.9"].why.startswith("the log bucket alone")
    assert entries["S3.17"].why.startswith("the log bucket alone")
    assert "every other role" in entries["KMS.1"].instead


def test_an_entry_has_its_reason_and_what_stands_in_its_place() -> None:
    for entry in book.ENTRIES:
        assert entry.sentence.endswith("."), entry.requirement
        assert entry.why, entry.requirement
        assert bool(entry.instead) == (entry.standing is not Standing.NOT_APPLICABLE), entry.requirement


@pytest.mark.parametrize("entry", book.ENTRIES, ids=lambda entry: entry.requirement)
def test_what_an_entry_names_exists(entry: Entry) -> None:
    """A compensation that was renamed or never made is none."""
    words = f"{entry.why} {entry.instead}"

    assert [
        path for path in re.findall(r"`((?:stacks|service|tests)/[^`]*)`", words) if not (ROOT / path).exists()
    ] == []
    assert [
        name for name in re.findall(r"ADR (\d{4})", words) if not list((ROOT / "docs/adr").glob(f"{name}-*.md"))
    ] == []
    assert [title for title in re.findall(r"\(runbook, ([^)]*)\)", words) if not _runbooks_on(title)] == []
    assert [command for command in re.findall(r"`(\w+\.py \w+)", words) if not _is_taken(command)] == []
    assert {
        each for each in re.findall(r"\b[A-Z][A-Za-z0-9]*\.?\d+\b", words) if _is_an_id(each)
    } <= KEPT_BY_A_RULE | ENTERED


def _runbooks_on(title: str) -> list[str]:
    wanted = title.removeprefix("the ").replace(" ", "-")
    return [path.stem for path in (ROOT / "docs/runbooks").glob("*.md") if wanted in path.stem]


def _is_taken(command: str) -> bool:
    script, verb = command.split(" ")
    return f'"{verb}"' in (ROOT / "scripts" / script).read_text(encoding="utf-8")


def _is_an_id(word: str) -> bool:
    return re.match(rf"({'|'.join((*OURS, *SECURITY_HUB))})\.?\d", word) is not None and word != "S3"
