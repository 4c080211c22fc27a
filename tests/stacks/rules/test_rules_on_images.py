"""What was tested is what runs, and can still run in a year."""

from __future__ import annotations

import json

import pytest

from stacks.rules import images
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, removed

REPOSITORY = "AWS::ECR::Repository"
AT = "images.Repository.Properties"
POLICY = "LifecyclePolicy.LifecyclePolicyText"
KEY = "EncryptionConfiguration.KmsKey"
ACCOUNT = "arn:aws:iam::111122223333:root"
GRANT: Document = {
    "Effect": "Allow",
    "Principal": {"AWS": ACCOUNT},
    "Action": ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"],
    "Resource": "*",
}


def expiring(**selection: object) -> str:
    """Write a lifecycle policy of one rule that expires."""
    rule = {"rulePriority": 1, "selection": {"tagStatus": "any"} | selection, "action": {"type": "expire"}}
    return json.dumps({"rules": [rule]})


def key_policy(*statements: Document) -> Spoil:
    """Give the repository's key another policy."""

    def spoil(templates: Templates) -> None:
        key = templates.bodies["images"]["Resources"]["RepositoryKey"]
        key["Properties"]["KeyPolicy"]["Statement"] = list(statements)

    return spoil


def _asymmetric(templates: Templates) -> None:
    templates.bodies["images"]["Resources"]["RepositoryKey"]["Properties"]["KeySpec"] = "RSA_2048"


CASES = [
    Case(images.images_are_scanned, removed(REPOSITORY), "", "an image repository"),
    Case(images.images_are_scanned, put(REPOSITORY, "ImageScanningConfiguration", ...), AT),
    Case(images.images_are_scanned, put(REPOSITORY, "ImageScanningConfiguration.ScanOnPush", "false"), AT),
    Case(images.tags_never_move, put(REPOSITORY, "ImageTagMutability", "MUTABLE"), f"{AT}.ImageTagMutability"),
    Case(images.tags_never_move, put(REPOSITORY, "ImageTagMutability", ...), f"{AT}.ImageTagMutability"),
    Case(
        images.tags_never_move,
        put(REPOSITORY, "ImageTagMutability", "IMMUTABLE_WITH_EXCLUSION"),
        f"{AT}.ImageTagMutability",
    ),
    Case(
        images.tags_never_move,
        put(REPOSITORY, "ImageTagMutabilityExclusionFilters", [{"ImageTagMutabilityExclusionFilterValue": "*"}]),
        f"{AT}.ImageTagMutabilityExclusionFilters",
    ),
    Case(images.old_images_go_and_recent_ones_stay, put(REPOSITORY, "LifecyclePolicy", ...), AT),
    Case(images.old_images_go_and_recent_ones_stay, put(REPOSITORY, POLICY, "{rules: []}"), AT),
    Case(images.old_images_go_and_recent_ones_stay, put(REPOSITORY, POLICY, '{"rules": []}'), AT),
    Case(images.old_images_go_and_recent_ones_stay, put(REPOSITORY, POLICY, "[]"), AT),
    Case(
        images.old_images_go_and_recent_ones_stay,
        put(REPOSITORY, POLICY, expiring(countType="imageCountMoreThan", countNumber=1)),
        AT,
        "keeps 1 images",
    ),
    Case(
        images.old_images_go_and_recent_ones_stay,
        put(REPOSITORY, POLICY, expiring(countType="sinceImagePushed", countUnit="days", countNumber=14)),
        AT,
        "keeps 14 days",
    ),
    Case(
        images.old_images_go_and_recent_ones_stay,
        put(REPOSITORY, POLICY, expiring(countType="sinceImagePulled", countNumber=365)),
        AT,
        "sinceImagePulled",
    ),
    Case(
        images.old_images_go_and_recent_ones_stay,
        put(REPOSITORY, POLICY, expiring(countType="imageCountMoreThan", countNumber=99).replace("expire", "archive")),
        AT,
        "archive",
    ),
    Case(images.images_are_encrypted_with_a_key_of_ours, put(REPOSITORY, "EncryptionConfiguration", ...), AT),
    Case(
        images.images_are_encrypted_with_a_key_of_ours,
        put(REPOSITORY, "EncryptionConfiguration.EncryptionType", "AES256"),
        f"{AT}.EncryptionConfiguration.EncryptionType",
    ),
    Case(images.images_are_encrypted_with_a_key_of_ours, put(REPOSITORY, KEY, ...), f"{AT}.{KEY}"),
    Case(images.images_are_encrypted_with_a_key_of_ours, put(REPOSITORY, KEY, "alias/aws/ecr"), f"{AT}.{KEY}"),
    Case(images.images_are_encrypted_with_a_key_of_ours, _asymmetric, "images.RepositoryKey.Properties.KeySpec"),
    Case(images.images_are_encrypted_with_a_key_of_ours, key_policy(), "images.RepositoryKey.Properties.KeyPolicy"),
    Case(
        images.images_are_encrypted_with_a_key_of_ours,
        key_policy(GRANT | {"Action": ["kms:CreateGrant", "kms:DescribeKey"]}),
        "images.RepositoryKey.Properties.KeyPolicy",
    ),
    Case(
        images.images_are_encrypted_with_a_key_of_ours,
        key_policy(GRANT | {"Effect": "Deny"}),
        "images.RepositoryKey.Properties.KeyPolicy",
    ),
    Case(
        images.images_are_encrypted_with_a_key_of_ours,
        key_policy(GRANT | {"Principal": {"Service": "ecr.amazonaws.com"}}),
        "images.RepositoryKey.Properties.KeyPolicy",
    ),
    Case(
        images.images_are_encrypted_with_a_key_of_ours,
        key_policy(GRANT | {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "x"}}}),
        "images.RepositoryKey.Properties.KeyPolicy",
    ),
    Case(
        images.images_are_encrypted_with_a_key_of_ours,
        key_policy(GRANT | {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": True}}}),
        "images.RepositoryKey.Properties.KeyPolicy",
    ),
    Case(
        images.old_images_go_and_recent_ones_stay,
        put(REPOSITORY, POLICY, expiring(countType="sinceImagePushed", countUnit="hours", countNumber=2400)),
        AT,
        "by hours",
    ),
    Case(images.old_images_go_and_recent_ones_stay, put(REPOSITORY, "EmptyOnDelete", "true"), f"{AT}.EmptyOnDelete"),
]


@pytest.mark.parametrize(
    "policy",
    [
        expiring(countType="imageCountMoreThan", countNumber=10),
        expiring(countType="sinceImagePushed", countUnit="days", countNumber=90),
        expiring(tagStatus="untagged", countType="sinceImagePushed", countUnit="days", countNumber=1),
    ],
)
def test_what_was_released_lately_may_stay(policy: str) -> None:
    """What has no tag was never released."""
    templates = Templates.of()
    put(REPOSITORY, POLICY, policy)(templates)

    assert images.old_images_go_and_recent_ones_stay(templates.estate()) == []


def _symmetric_by_name(templates: Templates) -> None:
    templates.bodies["images"]["Resources"]["RepositoryKey"]["Properties"]["KeySpec"] = "SYMMETRIC_DEFAULT"


@pytest.mark.parametrize(
    "spoil",
    [_symmetric_by_name, put(REPOSITORY, "EncryptionConfiguration.EncryptionType", "KMS_DSSE"), key_policy(GRANT)],
)
def test_what_ecr_takes_is_fine(spoil: Spoil) -> None:
    templates = Templates.of()
    spoil(templates)

    assert images.images_are_encrypted_with_a_key_of_ours(templates.estate()) == []


def test_the_key_policy_of_the_guide_will_do() -> None:
    """The ECR guide grants through the service, to the account."""
    templates = Templates.of()
    through = {"kms:ViaService": "ecr.us-east-1.amazonaws.com", "kms:CallerAccount": "111122223333"}
    key_policy(GRANT | {"Condition": {"StringEquals": through}})(templates)

    assert images.images_are_encrypted_with_a_key_of_ours(templates.estate()) == []
