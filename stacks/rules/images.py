"""The rules on the image repository: what was tested is what runs, and can still run in a year."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.values import flag, listed, number

_REPOSITORY: Final = "AWS::ECR::Repository"
_LEAST_KEPT_IMAGES: Final = 10
"""Enough to go back some releases; a rollback whose image is gone is none."""
_LEAST_KEPT_DAYS: Final = 90
_GUIDE: Final = "ECR guide, encryption at rest"
_ECR_CONDITIONS: Final = {"kms:ViaService", "kms:CallerAccount"}
"""What the ECR guide's own key policy asks of a request; both hold for ECR's."""


@rule(
    "ECR.1",
    why="a hole that is known the day the image is pushed stays unseen until it is used",
    source="Security Hub, ECR.1",
)
def images_are_scanned(estate: Estate) -> Iterator[Fault]:
    """There is an image repository, and every one scans an image when it is pushed."""
    repositories = estate.of_type(_REPOSITORY)
    if not repositories:
        yield absent("an image repository")
    for repository in repositories:
        found = repository.get("ImageScanningConfiguration.ScanOnPush")
        if flag(found) is not True:
            yield repository.fault("ImageScanningConfiguration.ScanOnPush", found=found, expected="true")


@rule_of(
    _REPOSITORY,
    requirement="S14",
    why="a tag that moves makes of a release, and of what an auditor was shown, something else",
    source="Security Hub, ECR.2",
    also=("ECR.2",),
)
def tags_never_move(repository: Resource) -> Iterator[Fault]:
    """ImageTagMutability is IMMUTABLE, without exclusions."""
    found = repository.get("ImageTagMutability")
    if found != "IMMUTABLE":
        yield repository.fault("ImageTagMutability", found=found, expected='"IMMUTABLE"')
    excluded = repository.get("ImageTagMutabilityExclusionFilters")
    if excluded:
        yield repository.fault("ImageTagMutabilityExclusionFilters", found=excluded, expected="none")


@rule_of(
    _REPOSITORY,
    requirement="ECR.3",
    why="images are kept and paid for without end, or one that runs, or is to be gone back to, is gone",
    source="Security Hub, ECR.3; ECR guide, lifecycle policies",
)
def old_images_go_and_recent_ones_stay(repository: Resource) -> Iterator[Fault]:
    """The lifecycle policy lets old images expire, and keeps 10, or those of 90 days, at least."""
    path = "LifecyclePolicy.LifecyclePolicyText"
    text = repository.get(path)
    if flag(repository.get("EmptyOnDelete")):
        yield repository.fault("EmptyOnDelete", found=True, expected="false: images outlive their stack")
    rules = _lifecycle_rules(text)
    if not rules:
        yield repository.fault(path, found=text, expected="a policy as JSON with a rule that expires images")
    for each in rules:
        fault = _lifecycle_fault(each)
        if fault:
            yield repository.fault(path, found=Said(fault), expected="a rule that expires what is old, and that alone")


def _lifecycle_rules(text: object) -> list[dict[str, Any]]:
    try:
        policy = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return []
    rules = policy.get("rules") if isinstance(policy, dict) else None
    return [each for each in rules if isinstance(each, dict)] if isinstance(rules, list) else []


def _lifecycle_fault(given: dict[str, Any]) -> str | None:
    selection, action = given.get("selection") or {}, (given.get("action") or {}).get("type")
    count = number(selection.get("countNumber")) or 0
    if action != "expire":
        return f"the action {action}"
    if selection.get("tagStatus") == "untagged":
        return None  # nothing that was released: every release has a tag
    match selection.get("countType"):
        case "imageCountMoreThan":
            return None if count >= _LEAST_KEPT_IMAGES else f"one that keeps {count:g} images"
        case "sinceImagePushed" if selection.get("countUnit") != "days":
            return f"one by {selection.get('countUnit')}"
        case "sinceImagePushed":
            return None if count >= _LEAST_KEPT_DAYS else f"one that keeps {count:g} days"
        case other:
            return f"one by {other}"


@rule_of(
    _REPOSITORY,
    requirement="ECR.5",
    why="nobody sees, bounds or ends the use of a key that is AWS's; and a key without the grant lets no repository be"
    " made",
    source=f"Security Hub, ECR.5; {_GUIDE}",
)
def images_are_encrypted_with_a_key_of_ours(repository: Resource) -> Iterator[Fault]:
    """
    EncryptionConfiguration is KMS, with a symmetric key of the templates.

    Its policy lets principals of the account make grants, for ECR makes
    itself one as whoever makes the repository.
    """
    kind, given = (repository.get(f"EncryptionConfiguration.{name}") for name in ("EncryptionType", "KmsKey"))
    if kind not in {"KMS", "KMS_DSSE"}:
        yield repository.fault("EncryptionConfiguration.EncryptionType", found=kind, expected='"KMS"')
    key = repository.estate.target(given)
    if key is None or key.type != "AWS::KMS::Key":
        expected = "a reference to a key of the templates"
        yield repository.fault("EncryptionConfiguration.KmsKey", found=given, expected=expected)
        return
    if key.get("KeySpec") not in {None, "SYMMETRIC_DEFAULT"}:
        yield key.fault("KeySpec", found=key.get("KeySpec"), expected="a symmetric key, or ECR refuses it")
    if not _may_be_granted(repository.estate, key):
        found = Said("no statement that lets the account make a grant")
        yield key.fault("KeyPolicy", found=found, expected="kms:CreateGrant, DescribeKey and RetireGrant for it")


def _may_be_granted(estate: Estate, key: Resource) -> bool:
    place = estate.place
    whoever = {f"arn:{place.partition}:iam::{place.account}:root", place.account}
    let: set[str] = set()
    for _, statement in key.tables("KeyPolicy.Statement"):
        principal = statement.get("Principal")
        principals = set(map(str, listed(principal.get("AWS") if isinstance(principal, dict) else principal)))
        plain = not set((statement.get("Condition") or {}).get("StringEquals") or {}) - _ECR_CONDITIONS
        plain &= set(statement.get("Condition") or {}) <= {"StringEquals"}
        if statement.get("Effect") == "Allow" and principals & {*whoever, "*"} and plain:
            let |= {str(action).lower() for action in listed(statement.get("Action"))}
    return bool(let & {"*", "kms:*"}) or let >= {"kms:creategrant", "kms:describekey", "kms:retiregrant"}


RULES: Final[tuple[Rule, ...]] = (
    images_are_scanned,
    tags_never_move,
    old_images_go_and_recent_ones_stay,
    images_are_encrypted_with_a_key_of_ours,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
