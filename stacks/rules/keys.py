"""
The rules on keys: who can use which, for what, and that none is lost.

A key that protects nothing, or too much, looks like any other; so each is
judged by what names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stacks.access.request import Verdict
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.guarded import BUCKET, KEY, TABLE, ask_key, certificate_buckets
from stacks.rules.policies import grants
from stacks.rules.principals import administrator, root
from stacks.rules.register import Entry, exception
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.statements import Document, Statement, rule_on_policies
from stacks.rules.values import listed, number

_KEY_POLICIES: Final = "KMS guide, key policies"
_KMS_CONTROLS: Final = "Security Hub user guide, KMS controls"
_DATA: Final = (
    *("kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyPair"),
    *("kms:GenerateDataKeyPairWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
)
_USING: Final = (*_DATA, "kms:Encrypt")
_LONGEST_WAIT_DAYS: Final = 30
"""Between the wish to delete a key and its end, the most KMS gives."""
_DAYS_OF_A_YEAR: Final = 365

# -- what is encrypted -----------------------------------------------------------------

_PROTECTED: Final[Mapping[str, str]] = {
    TABLE: "SSESpecification.KMSMasterKeyId",
    "AWS::Backup::BackupVault": "EncryptionKeyArn",
    "AWS::CloudTrail::Trail": "KMSKeyId",
    "AWS::ECR::Repository": "EncryptionConfiguration.KmsKey",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
}
_BY_ID_TOO: Final = frozenset({"AWS::SNS::Topic"})
"""What takes a key's id as well as its ARN."""


def _names_of_keys(resource: Resource) -> list[tuple[str, object]]:
    """Give what a resource says of the keys that protect it, each with its path."""
    if resource.type == BUCKET:
        rules = resource.tables("BucketEncryption.ServerSideEncryptionConfiguration")
        paths = [f"{path}.ServerSideEncryptionByDefault.KMSMasterKeyID" for path, _ in rules]
    else:
        paths = [_PROTECTED[resource.type]]
    return [(path, value) for path in paths if (value := resource.get(path)) is not None]


@rule_of(
    BUCKET,
    *_PROTECTED,
    requirement="K10",
    why="an alias means whatever key it is put on tomorrow, and in S3 the requester's own account's",
    source="S3 API, PutBucketEncryption; KMS guide, aliases",
)
def keys_are_named_by_their_arn(resource: Resource) -> Iterator[Fault]:
    """Whatever names a key that protects it names one of the templates, by its ARN and not by an alias."""
    estate = resource.estate
    for path, value in _names_of_keys(resource):
        key = estate.called(value, KEY)
        names = {} if key is None else {estate.arn(key), *([estate.ref(key)] if resource.type in _BY_ID_TOO else [])}
        if value not in names:
            yield resource.fault(path, found=value, expected="the ARN of a key of the templates")


@rule(
    "K15",
    why="the lock on the certificate's key shuts the services out that write logs, send alarms and serve the table",
    source=_KEY_POLICIES,
)
def each_key_protects_one_kind_of_data(estate: Estate) -> Iterator[Fault]:
    """The certificate, the data (registry, backups, logs, images) and what alarms and audits have a key each, apart."""
    certificates = {each.resource.name for each in certificate_buckets(estate)}
    kinds: dict[str, dict[str, Resource]] = {}
    for resource in estate.of_type(BUCKET, *_PROTECTED):
        kind = "certificate" if resource.name in certificates else _KINDS.get(resource.type, "operations")
        for _, value in _names_of_keys(resource):
            key = estate.called(value, KEY)
            if key is not None:
                kinds.setdefault(key.name, {}).setdefault(kind, resource)
    for key in estate.of_type(KEY):
        used = kinds.get(key.name, {})
        if len(used) > 1:
            found = Said(" and ".join(sorted(resource.name for resource in used.values())))
            yield key.fault("", found=found, expected="one kind of data behind each key")


_KINDS: Final = {
    TABLE: "data",
    "AWS::Backup::BackupVault": "data",
    "AWS::ECR::Repository": "data",
    "AWS::Logs::LogGroup": "data",
}


# -- the lock ------------------------------------------------------------------------------


@rule(
    "K14",
    why="an administrator who may use any key reads the private key from a copy of its object",
    source="KMS guide, key policies: an explicit denial overrides grants and identity policies",
)
def the_certificates_key_is_locked(estate: Estate) -> Iterator[Fault]:
    """The key of the certificate's bucket denies every use that gives data back to the account's own administrators."""
    keys = {each.key.resource.name: each.key for each in certificate_buckets(estate) if each.key is not None}
    for key in keys.values():
        everybody = (administrator(estate.place), root(estate.place))
        asked = [(action, who) for action in _DATA for who in everybody]
        for action in dict.fromkeys(
            action
            for action, who in asked
            if ask_key(key, who, action, through="s3").answer().verdict is not Verdict.DENIED
        ):
            found = Said(f"{action}, which nothing denies an administrator")
            yield key.resource.fault("KeyPolicy", found=found, expected="a denial to all but the readers")


@rule_of(
    KEY,
    requirement="K14",
    why="a policy that shuts its author out is taken, and nobody can ever manage the key",
    source="KMS API, PutKeyPolicy: BypassPolicyLockoutSafetyCheck",
)
def no_key_skips_the_safety_check(key: Resource) -> Iterator[Fault]:
    """No key's policy is put without KMS' own check that somebody can change it again."""
    if key.get("BypassPolicyLockoutSafetyCheck") not in {None, False}:
        found = key.get("BypassPolicyLockoutSafetyCheck")
        yield key.fault("BypassPolicyLockoutSafetyCheck", found=found, expected="none")


@rule_on_policies(
    "K13",
    why="the role could decrypt what it got from elsewhere, an object's copy or a backup",
    source="KMS guide, kms:ViaService",
)
def roles_use_keys_through_services(document: Document) -> Iterator[Fault]:
    """
    No policy of a role allows to use a key but through a service of this region that is named in a condition.

    Nor to hand its use on by a grant, but for a service of AWS.
    """
    if not grants(document):
        return
    place = document.resource.estate.place
    for statement in document.statements:
        used = [action for action in _USING if statement.allows and statement.means(action)]
        if used and not _is_through_service(statement, place.region):
            found = Said(f"{used[0]} by whatever way")
            yield statement.fault("Condition", found=found, expected="StringEquals kms:ViaService")
        if statement.allows and statement.means("kms:CreateGrant") and not _is_for_services(statement):
            found = Said("kms:CreateGrant for whomever")
            yield statement.fault("Condition", found=found, expected="Bool kms:GrantIsForAWSResource true")


def _is_for_services(statement: Statement) -> bool:
    found = [each for each in statement.on("kms:GrantIsForAWSResource") if each.operator == "Bool"]
    return bool(found) and all(value in {True, "true"} for each in found for value in each.values)


def _is_through_service(statement: Statement, region: str) -> bool:
    through = [each for each in statement.on("kms:ViaService") if each.operator == "StringEquals"]
    name = re.compile(rf"[a-z0-9-]+\.{region}\.amazonaws\.com(\.cn)?")
    return bool(through) and all(name.fullmatch(str(value)) for each in through for value in each.values)


@rule_on_policies(
    "K10",
    why="with a bucket key the context is the bucket's ARN, so a condition on an object's never holds",
    source="S3 guide, bucket keys: encryption context",
)
def contexts_of_objects_are_their_buckets(document: Document) -> Iterator[Fault]:
    """A condition on the encryption context of S3 names a bucket, and no object."""
    for statement in document.statements:
        for condition in statement.on("kms:EncryptionContext:aws:s3:arn"):
            for value in condition.values:
                if "/" in str(value):
                    yield statement.fault(condition.path, found=value, expected="a bucket's ARN")


# -- none is lost ------------------------------------------------------------------------------


@rule_of(
    KEY,
    requirement="K17",
    why="a key that is deleted takes all it protects along, and one that never turns is worth ever more",
    source=_KMS_CONTROLS,
    also=("KMS.3", "KMS.4", "CIS 4.6"),
)
def keys_turn_and_end_late(key: Resource) -> Iterator[Fault]:
    """Every key is in force, turns every year, and ends 30 days after somebody wished it to."""
    if key.get("EnableKeyRotation") is not True:
        yield key.fault("EnableKeyRotation", found=key.get("EnableKeyRotation"), expected="true")
    days = key.get("RotationPeriodInDays")
    if days is not None and not 0 < (number(days) or 0) <= _DAYS_OF_A_YEAR:
        yield key.fault("RotationPeriodInDays", found=days, expected=f"{_DAYS_OF_A_YEAR} at most")
    if number(key.get("PendingWindowInDays")) != _LONGEST_WAIT_DAYS:
        found = key.get("PendingWindowInDays")
        yield key.fault("PendingWindowInDays", found=found, expected=f"{_LONGEST_WAIT_DAYS}")
    yield from _unusual(key)


def _unusual(key: Resource) -> Iterator[Fault]:
    """Find what AWS does not turn, what is off, and what leaves its region."""
    expected: tuple[tuple[str, Any], ...] = (
        ("Enabled", True),
        ("KeySpec", "SYMMETRIC_DEFAULT"),
        ("KeyUsage", "ENCRYPT_DECRYPT"),
        ("Origin", "AWS_KMS"),
        ("MultiRegion", False),
    )
    for name, wanted in expected:
        found = key.get(name)
        if found is not None and found != wanted:
            yield key.fault(name, found=found, expected=f"{wanted}")


@rule_of(
    "AWS::KMS::Alias",
    requirement="K17",
    why="whoever looks the key up by its alias finds another, or none",
    source="KMS guide, aliases",
)
def aliases_are_of_keys_of_ours(alias: Resource) -> Iterator[Fault]:
    """Every alias is of a key of the templates, and does not take a name of AWS's."""
    if alias.estate.called(alias.get("TargetKeyId"), KEY) is None:
        yield alias.fault("TargetKeyId", found=alias.get("TargetKeyId"), expected="a key of the templates")
    names = [name for name in listed(alias.get("AliasName")) if str(name).startswith("alias/")]
    if not names or str(names[0]).startswith("alias/aws/"):
        yield alias.fault("AliasName", found=alias.get("AliasName"), expected='"alias/" and a name of ours')


RULES: Final[tuple[Rule, ...]] = (
    keys_are_named_by_their_arn,
    each_key_protects_one_kind_of_data,
    the_certificates_key_is_locked,
    no_key_skips_the_safety_check,
    roles_use_keys_through_services,
    contexts_of_objects_are_their_buckets,
    keys_turn_and_end_late,
    aliases_are_of_keys_of_ours,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    exception(
        "KMS.1",
        "No policy of a role allows to decrypt with every key.",
        why="CloudFormation's role makes the registry's key and its table in one stack, before the key has an id",
        instead="it decrypts through DynamoDB and its like alone, with keys that bear the tag of our stacks, and never"
        " with the certificate's, which denies it besides; every other role's keys are named by their ARN",
    ),
)
