"""
The rules on buckets: closed, owned, versioned, reached over TLS alone, and logged where the log is let in.

Every bucket is judged, whatever it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from service import contract
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.guarded import BUCKET, Bucket, Channel, Way, buckets
from stacks.rules.locked_buckets import answer, default_encryptions, is_denied, lifecycle
from stacks.rules.principals import administrator, anonymous, service
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.values import number

_S3_CONTROLS: Final = "Security Hub user guide, S3 controls"
_SOMEWHERE: Final = "elsewhere/object"


# -- every bucket ---------------------------------------------------------------------------

_CLOSED: Final = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


@rule_of(
    BUCKET,
    requirement="K12",
    why="one policy or access list written by mistake opens it to the world",
    source=_S3_CONTROLS,
    also=("S3.8", "CIS 3.1.4"),
)
def every_bucket_is_closed(bucket: Resource) -> Iterator[Fault]:
    """Every bucket blocks public access in all four ways."""
    for name in _CLOSED:
        path = f"PublicAccessBlockConfiguration.{name}"
        if bucket.get(path) is not True:
            yield bucket.fault(path, found=bucket.get(path), expected="true")


@rule_of(
    BUCKET,
    requirement="K12",
    why="an object's own access list or owner goes past the bucket's policy",
    source=_S3_CONTROLS,
    also=("S3.12",),
)
def no_bucket_knows_access_lists(bucket: Resource) -> Iterator[Fault]:
    """Every bucket owns all objects in it, so that access lists count for nothing."""
    ownership = [rule.get("ObjectOwnership") for _, rule in bucket.tables("OwnershipControls.Rules")]
    if ownership != ["BucketOwnerEnforced"]:
        yield bucket.fault("OwnershipControls.Rules", found=ownership, expected="BucketOwnerEnforced alone")
    if bucket.get("AccessControl") is not None:
        yield bucket.fault("AccessControl", found=bucket.get("AccessControl"), expected="none")


@rule_of(
    BUCKET,
    requirement="K12",
    why="what is written over or deleted cannot be gone back to, and no pair be named by its version",
    source=_S3_CONTROLS,
    also=("S3.14",),
)
def every_bucket_keeps_versions(bucket: Resource) -> Iterator[Fault]:
    """Every bucket keeps versions."""
    if bucket.get("VersioningConfiguration.Status") != "Enabled":
        found = bucket.get("VersioningConfiguration.Status")
        yield bucket.fault("VersioningConfiguration.Status", found=found, expected='"Enabled"')


@rule_of(
    BUCKET,
    requirement="K12",
    why="what nobody sees any more is paid for, and a lost key's copies stay, for ever",
    source=_S3_CONTROLS,
    also=("S3.10", "S3.13"),
)
def every_bucket_forgets_what_is_left_over(bucket: Resource) -> Iterator[Fault]:
    """Every bucket's lifecycle ends replaced versions and abandoned uploads, whatever their keys."""
    whole = [part for _, part in lifecycle(bucket) if not _is_partial(part)]
    for name, within in (
        ("NoncurrentVersionExpiration", "NoncurrentDays"),
        ("AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
    ):
        ends = [part[name].get(within) for part in whole if isinstance(part.get(name), dict)]
        if not any((number(days) or 0) > 0 for days in ends):
            expected = f"a rule in force for the whole bucket with {name}"
            yield bucket.fault("LifecycleConfiguration.Rules", found=Said("none"), expected=expected)


def _is_partial(part: Mapping[str, Any]) -> bool:
    return any(part.get(name) for name in ("Prefix", "TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan"))


@rule(
    "K6",
    why="what is read or written without TLS is everybody's on the way",
    source="Security Hub S3.5; CIS AWS Foundations 3.1.1",
    also=("S3.5", "K7", "CIS 3.1.1"),
)
def every_bucket_is_reached_over_tls_alone(estate: Estate) -> Iterator[Fault]:
    """Every bucket has one policy, which denies everybody without TLS 1.2 or newer, on bucket and objects."""
    for resource in estate.of_type(BUCKET):
        each = list(buckets(resource))
        for extra in each[1:]:
            expected = f"one policy of {resource.name} alone"
            yield extra.policy_resource.fault("Bucket", found=extra.policy_resource.get("Bucket"), expected=expected)
        for bucket in each:
            yield from _open_channels(bucket)


def _open_channels(bucket: Bucket) -> Iterator[Fault]:
    if bucket.policy is None:
        yield bucket.resource.fault("", found=Said("no AWS::S3::BucketPolicy of it"), expected="one that demands TLS")
        return
    everybody = (administrator(bucket.resource.estate.place), anonymous(), service("logging.s3.amazonaws.com"))
    for channel in (Channel.CLEAR, Channel.TLS11):
        way = Way(channel)
        for action, key in _REQUESTS:
            if any(not is_denied(bucket, who, (action, key), way=way) for who in everybody):
                found = Said(f"{action} on {key or 'the bucket'} with {channel}, which nothing denies")
                yield bucket.policy_resource.fault("PolicyDocument", found=found, expected="a denial for everybody")
                break


_REQUESTS: Final = (
    ("s3:GetObject", contract.PRIVATE_KEY_KEY),
    ("s3:GetObject", _SOMEWHERE),
    ("s3:PutObject", _SOMEWHERE),
    ("s3:ListBucket", ""),
)


@rule_of(
    BUCKET,
    requirement="K19",
    why="policies name a bucket before it is there, and a name of the world's can be somebody else's bucket",
    source="S3 guide, bucket naming rules; S3 API, expected bucket owner",
)
def every_bucket_has_a_name_of_ours(bucket: Resource) -> Iterator[Fault]:
    """Every bucket's name is spelt out as S3 takes it, or it lies in the account's own namespace."""
    name, prefix = bucket.get("BucketName"), bucket.get("BucketNamePrefix")
    if bucket.get("BucketNamespace") == "account-regional" and prefix is not None and name is None:
        return
    if not (isinstance(name, str) and _BUCKET_NAME.fullmatch(name)) or name.startswith(("xn--", "sthree-")):
        expected = "3 to 63 small letters, digits and hyphens"
        yield bucket.fault("BucketName", found=name, expected=expected)


@rule(
    "K19", why="the second cannot be made, or two stacks write into one bucket", source="S3 guide, bucket naming rules"
)
def no_two_buckets_share_a_name(estate: Estate) -> Iterator[Fault]:
    """No two buckets of the templates have the same name."""
    first: dict[str, Resource] = {}
    for bucket in estate.of_type(BUCKET):
        other = first.setdefault(estate.ref(bucket), bucket)
        if other is not bucket:
            found = bucket.get("BucketName")
            yield bucket.fault("BucketName", found=found, expected=f"another name than that of {other.name}")


_BUCKET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


# -- logs ---------------------------------------------------------------------------------------


@rule(
    "K22",
    why="who read or replaced the key, and when, is nowhere to be seen",
    source=_S3_CONTROLS,
    also=("S3.9", "S3_BUCKET_LOGGING_ENABLED"),
)
def every_bucket_but_the_logs_own_is_logged(estate: Estate) -> Iterator[Fault]:
    """Every bucket's requests are logged to another bucket of the templates, but those of the bucket of logs itself."""
    receiving = {log.resource.name for log in _log_buckets(estate)}
    for bucket in estate.of_type(BUCKET):
        into = estate.called(bucket.get("LoggingConfiguration.DestinationBucketName"), BUCKET)
        if into == bucket:
            yield bucket.fault(
                "LoggingConfiguration", found=Said("itself"), expected="another bucket, or it never ends"
            )
        elif into is None and bucket.name not in receiving:
            found = bucket.get("LoggingConfiguration")
            yield bucket.fault("LoggingConfiguration", found=found, expected="a bucket of the templates")


@rule("K23", why="S3 delivers no logs and says nothing", source="S3 guide, enabling server access logging")
def logs_of_requests_are_let_in(estate: Estate) -> Iterator[Fault]:
    """The policy of the bucket that requests are logged to lets S3 write there, for the bucket that is logged."""
    for bucket in estate.of_type(BUCKET):
        into = estate.called(bucket.get("LoggingConfiguration.DestinationBucketName"), BUCKET)
        prefix = str(bucket.get("LoggingConfiguration.LogFilePrefix") or "")
        for log in buckets(into) if into is not None and into != bucket else ():
            key = f"{prefix}2026-11-23-00-00-00-0"
            source = {"aws:SourceArn": estate.arn(bucket), "aws:SourceAccount": estate.place.account}
            if not answer(log, service("logging.s3.amazonaws.com"), ("s3:PutObject", key), more=source).is_allowed:
                found = Said(f"nothing that lets logging.s3.amazonaws.com write {key} for {bucket.name}")
                yield log.policy_resource.fault("PolicyDocument", found=found, expected="such a statement")


@rule("EC2.6", why="the flow log cannot be made, or delivers nothing", source="VPC guide, publish flow logs to S3")
def flow_logs_are_let_in(estate: Estate) -> Iterator[Fault]:
    """Flow logs to S3 go to a bucket of the templates, whose policy lets their delivery ask and write."""
    for flow in estate.of_type("AWS::EC2::FlowLog"):
        if flow.get("LogDestinationType") != "s3":
            continue
        arn, _, prefix = str(flow.get("LogDestination")).partition("/")
        into = estate.called(arn, BUCKET)
        if into is None:
            yield flow.fault("LogDestination", found=flow.get("LogDestination"), expected="a bucket of the templates")
            continue
        key = f"{prefix.rstrip('/')}/AWSLogs/{estate.place.account}/vpcflowlogs/log".lstrip("/")
        asked = [(log, each) for log in buckets(into) for each in (("s3:PutObject", key), ("s3:GetBucketAcl", ""))]
        for log, (action, where) in asked:
            if not _is_delivered(log, action, where):
                found = Said(f"nothing that allows delivery.logs.amazonaws.com {action} on {where or 'the bucket'}")
                yield log.policy_resource.fault("PolicyDocument", found=found, expected="such a statement")


def _is_delivered(log: Bucket, action: str, key: str) -> bool:
    place = log.resource.estate.place
    context = {"aws:SourceAccount": place.account, "aws:SourceArn": place.arn("logs", "*")}
    if key:
        context["s3:x-amz-acl"] = "bucket-owner-full-control"
    return answer(log, service("delivery.logs.amazonaws.com"), (action, key), more=context).is_allowed


@rule(
    "K23",
    why="load balancer and S3 deliver logs under S3's own keys alone, and into no bucket with a lock by default",
    source="Classic ELB guide, access logs; S3 guide, server access logging",
)
def log_buckets_take_what_is_delivered(estate: Estate) -> Iterator[Fault]:
    """
    A bucket that load balancers or S3 write logs to is encrypted with S3's own keys and locks no object.

    It keeps what is delivered for a year at least, as log groups do.
    """
    for log in _log_buckets(estate):
        bucket = log.resource
        for path, default in default_encryptions(bucket):
            if default.get("SSEAlgorithm") != "AES256":
                yield bucket.fault(f"{path}.SSEAlgorithm", found=default.get("SSEAlgorithm"), expected='"AES256"')
        if not default_encryptions(bucket):
            yield bucket.fault("BucketEncryption", found=None, expected="SSEAlgorithm AES256")
        for path, part in lifecycle(bucket):
            days = part.get("ExpirationInDays")
            if days is not None and (number(days) or 0) < _LEAST_DAYS_OF_LOGS:
                yield bucket.fault(f"{path}.ExpirationInDays", found=days, expected=f"{_LEAST_DAYS_OF_LOGS} at least")
        if bucket.get("ObjectLockConfiguration.Rule") is not None:
            yield bucket.fault("ObjectLockConfiguration.Rule", found=Said("a lock by default"), expected="none")


_LEAST_DAYS_OF_LOGS: Final = 365


def _log_buckets(estate: Estate) -> list[Bucket]:
    """Give the buckets that load balancers or S3 deliver logs to."""
    named = [
        *(bucket.get("LoggingConfiguration.DestinationBucketName") for bucket in estate.of_type(BUCKET)),
        *(
            balancer.get("AccessLoggingPolicy.S3BucketName")
            for balancer in estate.of_type("AWS::ElasticLoadBalancing::LoadBalancer")
        ),
    ]
    found = (estate.called(name, BUCKET) for name in named)
    receiving = {resource.name: resource for resource in found if resource is not None}
    return [bucket for resource in receiving.values() for bucket in buckets(resource)]


RULES: Final[tuple[Rule, ...]] = (
    every_bucket_is_closed,
    no_bucket_knows_access_lists,
    every_bucket_keeps_versions,
    every_bucket_forgets_what_is_left_over,
    every_bucket_is_reached_over_tls_alone,
    every_bucket_has_a_name_of_ours,
    no_two_buckets_share_a_name,
    every_bucket_but_the_logs_own_is_logged,
    logs_of_requests_are_let_in,
    flow_logs_are_let_in,
    log_buckets_take_what_is_delivered,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
