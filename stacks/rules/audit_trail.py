"""The rules on the audit trail, where there is one: it logs what it must, and nobody can change it unnoticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stacks.access.request import ResourcePolicyKind
from stacks.rules.delivery import key_of, refusal
from stacks.rules.demands import certificate_buckets
from stacks.rules.estate import Fault, Resource, Said
from stacks.rules.locked_buckets import lifecycle
from stacks.rules.register import Entry, exception, kept_elsewhere
from stacks.rules.rule import Rule, rule_of
from stacks.rules.values import flag, listed, number

TRAIL: Final = "AWS::CloudTrail::Trail"
BUCKET: Final = "AWS::S3::Bucket"
BUCKET_POLICY: Final = "AWS::S3::BucketPolicy"
_SERVICE: Final = "cloudtrail.amazonaws.com"
_ALL_OBJECTS: Final = "AWS::S3::Object"
_GUIDE: Final = "CloudTrail guide"


@rule_of(
    TRAIL,
    requirement="CloudTrail.1",
    why="who took a role, replaced a policy or disabled a key, here or in another region, is nowhere to be read",
    source="Security Hub, CloudTrail.1; CloudTrail guide, logging management events",
    also=("CloudTrail.3",),
)
def trails_log_every_call(trail: Resource) -> Iterator[Fault]:
    """Every trail is on, in all regions with what is global, and logs all management events, reads too."""
    for name in ("IsLogging", "IsMultiRegionTrail", "IncludeGlobalServiceEvents"):
        if flag(trail.get(name)) is not True:
            yield trail.fault(name, found=trail.get(name), expected="true")
    if not any(_is_of_management(fields) for fields in _advanced(trail)) and not _classic_management(trail):
        expected = "a selector of management events that leaves none out"
        yield trail.fault("AdvancedEventSelectors", found=Said("none"), expected=expected)


def _advanced(trail: Resource) -> list[dict[str, Mapping[str, Any]]]:
    """Give the advanced selectors: what each asks of each field."""
    found: list[dict[str, Mapping[str, Any]]] = []
    for _, selector in trail.tables("AdvancedEventSelectors"):
        fields = [each for each in listed(selector.get("FieldSelectors")) if isinstance(each, dict)]
        found.append({str(each.get("Field")): each for each in fields})
    return found


def _is_of_management(fields: Mapping[str, Mapping[str, Any]]) -> bool:
    return set(fields) == {"eventCategory"} and fields["eventCategory"].get("Equals") == ["Management"]


def _classic_management(trail: Resource) -> bool:
    selectors = [table for _, table in trail.tables("EventSelectors")]
    return any(
        flag(each.get("IncludeManagementEvents", True)) is True
        and each.get("ReadWriteType", "All") == "All"
        and not each.get("ExcludeManagementEventSources")
        for each in selectors
    )


@rule_of(
    TRAIL,
    requirement="K22",
    why="whoever read the server's private key is not among what was logged",
    source="CloudTrail guide, logging data events; Config, cloudtrail-s3-dataevents-enabled",
    also=("CLOUDTRAIL_S3_DATAEVENTS_ENABLED",),
)
def trails_log_who_reads_the_key(trail: Resource) -> Iterator[Fault]:
    """Every trail logs all data events, reads and writes, of every object of the certificate bucket."""
    for bucket in certificate_buckets(trail.estate):
        objects = f"{trail.estate.arn(bucket)}/"
        is_logged = any(_is_of_objects(fields, objects) for fields in _advanced(trail))
        if not is_logged and not _classic_objects(trail, objects):
            expected = f"a selector of data events of {objects}, reads and writes"
            yield trail.fault("AdvancedEventSelectors", found=Said("none"), expected=expected)


def _is_of_objects(fields: Mapping[str, Mapping[str, Any]], objects: str) -> bool:
    if not set(fields) <= {"eventCategory", "resources.type", "resources.ARN"}:
        return False  # readOnly, eventName and the like leave something out
    category, kind = fields.get("eventCategory", {}).get("Equals"), fields.get("resources.type", {}).get("Equals")
    # An ARN with the slash: without it another bucket whose name begins alike would be logged too (CloudTrail guide).
    where = fields.get("resources.ARN")
    is_there = where is None or (set(where) == {"Field", "StartsWith"} and objects in where["StartsWith"])
    return category == ["Data"] and kind == [_ALL_OBJECTS] and is_there


def _classic_objects(trail: Resource, objects: str) -> bool:
    for _, selector in trail.tables("EventSelectors"):
        for resource in listed(selector.get("DataResources")):
            values = listed(resource.get("Values")) if isinstance(resource, dict) else []
            if selector.get("ReadWriteType", "All") == "All" and objects in values:
                return True
    return False


@rule_of(
    TRAIL,
    requirement="CloudTrail.4",
    why="a log file that was changed or removed afterwards looks like any other",
    source="Security Hub, CloudTrail.4",
)
def trails_can_be_validated(trail: Resource) -> Iterator[Fault]:
    """Every trail writes digests by which its log files can be validated."""
    if flag(trail.get("EnableLogFileValidation")) is not True:
        found = trail.get("EnableLogFileValidation")
        yield trail.fault("EnableLogFileValidation", found=found, expected="true")


@rule_of(
    TRAIL,
    requirement="CloudTrail.2",
    why="the trail cannot be made, or what it writes lies under a key that anybody's trail may use",
    source="Security Hub, CloudTrail.2; CloudTrail guide, configure AWS KMS key policies for CloudTrail",
)
def trails_are_encrypted(trail: Resource) -> Iterator[Fault]:
    """Every trail is encrypted with a key of the templates, which lets this trail in and no other."""
    key = key_of(trail, "KMSKeyId")
    if key is None:
        yield trail.fault("KMSKeyId", found=trail.get("KMSKeyId"), expected="a key of the templates")
        return
    policy, arn = (key.name, key.get("KeyPolicy")), trail.estate.arn(key)
    for action in ("kms:GenerateDataKey", "kms:DescribeKey"):
        says = _says(trail.estate.arn(trail), is_encrypting=action == "kms:GenerateDataKey")
        why = refusal(policy, ResourcePolicyKind.KEY, _SERVICE, (action, arn), says)
        if why is not None:
            yield key.fault("KeyPolicy", found=Said(why), expected=f"that {_SERVICE} may {action} for the trail")
    others = _says(trail.estate.arn(trail).replace(_account(trail), "9" * 12), is_encrypting=True)
    if refusal(policy, ResourcePolicyKind.KEY, _SERVICE, ("kms:GenerateDataKey", arn), others) is None:
        yield key.fault("KeyPolicy", found=Said("any trail may use it"), expected="that this trail alone may use it")


def _account(trail: Resource) -> str:
    return trail.estate.place.account


def _says(arn: str, *, is_encrypting: bool = False) -> dict[str, str]:
    """Give the condition keys CloudTrail sends for a trail."""
    says = {"aws:SourceArn": arn, "aws:SourceAccount": arn.split(":")[4]}
    return says | ({"kms:EncryptionContext:aws:cloudtrail:arn": arn} if is_encrypting else {})


@rule_of(
    TRAIL,
    requirement="CloudTrail.6",
    why="the trail cannot be made: CloudTrail tries the bucket first; or another account's trail writes into ours",
    source="CloudTrail guide, Amazon S3 bucket policy for CloudTrail; Security Hub, CloudTrail.6",
)
def trails_are_let_into_their_bucket(trail: Resource) -> Iterator[Fault]:
    """Every trail writes into a bucket of the templates, whose policy is there before it and lets in no other."""
    bucket = trail.estate.called(trail.get("S3BucketName"), BUCKET)
    if bucket is None:
        yield trail.fault("S3BucketName", found=trail.get("S3BucketName"), expected="a bucket of the templates")
        return
    policies = [
        each
        for each in trail.estate.of_type(BUCKET_POLICY)
        if trail.estate.called(each.get("Bucket"), BUCKET) == bucket
    ]
    if not policies:
        yield bucket.fault("", found=Said("no bucket policy"), expected=f"one that lets {_SERVICE} in")
    for policy in policies:
        yield from _not_let_in(trail, bucket, policy)
        if policy not in trail.depends_on:
            yield Fault(trail.stack, trail.logical_id, "DependsOn", "nothing", f"{policy.logical_id}, made before it")


def _not_let_in(trail: Resource, bucket: Resource, policy: Resource) -> Iterator[Fault]:
    arn, prefix = trail.estate.arn(bucket), str(trail.get("S3KeyPrefix") or "")
    files = f"{arn}/{prefix}/AWSLogs/{_account(trail)}/CloudTrail/x".replace("//", "/")
    acl = {"s3:x-amz-acl": "bucket-owner-full-control", "s3:TlsVersion": "1.3"}
    mine, document = _says(trail.estate.arn(trail)), (policy.name, policy.get("PolicyDocument"))
    for action, where, says in (("s3:GetBucketAcl", arn, mine), ("s3:PutObject", files, mine | acl)):
        why = refusal(document, ResourcePolicyKind.OTHER, _SERVICE, (action, where), says)
        if why is not None:
            yield policy.fault("PolicyDocument", found=Said(why), expected=f"that {_SERVICE} may {action}")
    others = _says(trail.estate.arn(trail).replace(_account(trail), "9" * 12)) | acl
    if refusal(document, ResourcePolicyKind.OTHER, _SERVICE, ("s3:PutObject", files), others) is None:
        yield policy.fault("PolicyDocument", found=Said("any trail may write"), expected="that this trail alone may")


@rule_of(
    TRAIL,
    requirement="CloudTrail.7",
    why="who looked into the trail, or removed of it, is not to be seen",
    source="Security Hub, CloudTrail.7",
)
def requests_to_the_trails_bucket_are_logged(trail: Resource) -> Iterator[Fault]:
    """The requests to a trail's bucket are logged into another bucket of the templates."""
    bucket = trail.estate.called(trail.get("S3BucketName"), BUCKET)
    if bucket is not None:
        into = trail.estate.called(bucket.get("LoggingConfiguration.DestinationBucketName"), BUCKET)
        if into is None or into == bucket:
            found = bucket.get("LoggingConfiguration")
            yield bucket.fault("LoggingConfiguration", found=found, expected="another bucket of the templates")


@rule_of(
    TRAIL,
    requirement="K22",
    why="who read the key is asked when it is found elsewhere, months later",
    source="Security Hub, CloudWatch.16: a year at least, as for log groups",
)
def trails_are_kept_a_year(trail: Resource) -> Iterator[Fault]:
    """What a trail writes, replaced and removed versions too, is kept for a year at least."""
    bucket = trail.estate.called(trail.get("S3BucketName"), BUCKET)
    for path, part in lifecycle(bucket) if bucket is not None else ():
        noncurrent = part.get("NoncurrentVersionExpiration")
        kept = {"ExpirationInDays": part.get("ExpirationInDays")}
        kept |= {"NoncurrentVersionExpiration.NoncurrentDays": (noncurrent or {}).get("NoncurrentDays")}
        for name, days in kept.items():
            if days is not None and (number(days) or 0) < _LEAST_DAYS and bucket is not None:
                yield bucket.fault(f"{path}.{name}", found=days, expected=f"{_LEAST_DAYS} at least")


_LEAST_DAYS: Final = 365


RULES: Final[tuple[Rule, ...]] = (
    trails_log_every_call,
    trails_log_who_reads_the_key,
    trails_can_be_validated,
    trails_are_encrypted,
    trails_are_let_into_their_bucket,
    requests_to_the_trails_bucket_are_logged,
    trails_are_kept_a_year,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    exception(
        "CloudTrail.5",
        "Trails are sent to CloudWatch Logs as well.",
        why="the lines would be kept twice, and what must be noticed at once is told by EventBridge, in less time",
        instead="rules for the events themselves (K5, K17, K22), and digests beside the log files (CloudTrail.4)",
    ),
    exception(
        "CIS 6.5",
        "The default security group of a VPC restricts all traffic.",
        why="as EC2.2: CloudFormation can take no rule out of the group AWS makes with the VPC",
        instead="nothing is in it: load balancer, instances and endpoints have groups of these templates (E7, N6)",
    ),
    kept_elsewhere(
        "Config.1",
        "AWS Config records the account's resources.",
        why="it is one recorder for a whole account and region, and none of one environment's stacks",
        instead="whoever keeps the account; CloudFormation looks for drift (runbook, what was changed by hand)",
    ),
    kept_elsewhere(
        "GuardDuty.1",
        "GuardDuty is on.",
        why="it is one detector for a whole account and region",
        instead="whoever keeps the account",
    ),
    kept_elsewhere(
        "GuardDuty.10",
        "GuardDuty watches data events of S3.",
        why="it is a feature of the account's one detector",
        instead="whoever keeps the account; the audit trail logs the certificate bucket's by itself (K22)",
    ),
)
