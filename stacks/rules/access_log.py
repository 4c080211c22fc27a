"""
The rules on the access log of the load balancer.

A load balancer whose bucket refuses it is not created, or, worse, is created
and its log is empty. Whether the policy admits the delivery is asked of the
policy itself, as IAM would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stacks.access.request import Principal, PrincipalKind
from stacks.rules.admission import OVER_TLS, refusal_of
from stacks.rules.estate import Fault, Resource, Said
from stacks.rules.identities import Place
from stacks.rules.order import comes_after
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, rule_of
from stacks.rules.topology import LOAD_BALANCER
from stacks.rules.values import flag, number

_BUCKET: Final = "AWS::S3::Bucket"
_BUCKET_POLICY: Final = "AWS::S3::BucketPolicy"
_DELIVERY: Final = "logdelivery.elasticloadbalancing.amazonaws.com"
_INTERVALS: Final = (5, 60)
_STRANGER: Final = "999999999999"
_LOGS: Final = "Classic ELB guide, enable access logs"
ACCOUNTS: Final = {
    "af-south-1": "098369216593",
    "ap-east-1": "754344448648",
    "ap-northeast-1": "582318560864",
    "ap-northeast-2": "600734575887",
    "ap-northeast-3": "383597477331",
    "ap-south-1": "718504428378",
    "ap-southeast-1": "114774131450",
    "ap-southeast-2": "783225319266",
    "ap-southeast-3": "589379963580",
    "ca-central-1": "985666609251",
    "cn-north-1": "638102146993",
    "cn-northwest-1": "037604701340",
    "eu-central-1": "054676820928",
    "eu-north-1": "897822967062",
    "eu-south-1": "635631232127",
    "eu-west-1": "156460612806",
    "eu-west-2": "652711504416",
    "eu-west-3": "009996457667",
    "me-south-1": "076674570225",
    "sa-east-1": "507241528517",
    "us-east-1": "127311923021",
    "us-east-2": "033677994240",
    "us-gov-east-1": "190560391635",
    "us-gov-west-1": "048591011584",
    "us-west-1": "027434742980",
    "us-west-2": "797873946194",
}
"""
Elastic Load Balancing's own account in each region older than August 2022 (Classic ELB guide, enable access logs).

Written down here a second time: a digit wrong in the templates' list would be right by that list.
"""


@rule_of(
    LOAD_BALANCER,
    requirement="E12",
    also=("ELB.5",),
    why="nobody can tell afterwards who connected, or AWS refuses the load balancer",
    source=_LOGS,
)
def access_is_logged(balancer: Resource) -> Iterator[Fault]:
    """The access log is on, every 5 or 60 minutes, into a bucket and below a prefix that does not hold `AWSLogs`."""
    log = "AccessLoggingPolicy"
    if flag(balancer.get(f"{log}.Enabled")) is not True:
        yield balancer.fault(f"{log}.Enabled", found=balancer.get(f"{log}.Enabled"), expected="true")
    if number(balancer.get(f"{log}.EmitInterval")) not in _INTERVALS:
        yield balancer.fault(
            f"{log}.EmitInterval", found=balancer.get(f"{log}.EmitInterval"), expected="5 or 60 minutes"
        )
    prefix = balancer.get(f"{log}.S3BucketPrefix")
    if not isinstance(prefix, str) or not prefix or "AWSLogs" in prefix or prefix != prefix.strip("/"):
        expected = "a prefix without AWSLogs, which the load balancer adds, and without a slash at its ends"
        yield balancer.fault(f"{log}.S3BucketPrefix", found=prefix, expected=expected)


@rule_of(
    LOAD_BALANCER,
    requirement="E12",
    why="the load balancer tries the bucket when it is made, and is refused",
    source=_LOGS,
)
def the_log_buckets_policy_comes_first(balancer: Resource) -> Iterator[Fault]:
    """The bucket of the access log and its policy are made before the load balancer."""
    bucket = _log_bucket(balancer)
    if bucket is None:
        path = "AccessLoggingPolicy.S3BucketName"
        yield balancer.fault(path, found=balancer.get(path), expected="a bucket of these templates, in this region")
        return
    policies = _policies(bucket)
    if not policies:
        yield bucket.fault("", found=Said("no policy"), expected="a bucket policy that lets the load balancer write")
    for earlier in (bucket, *policies):
        if not comes_after(balancer, earlier):
            yield balancer.fault(
                "AccessLoggingPolicy.S3BucketName",
                found=Said(f"{earlier.name}, which may come later"),
                expected="DependsOn it, or a stack that is made after its stack",
            )


@rule_of(
    LOAD_BALANCER,
    requirement="E13",
    why="logs of a load balancer cannot be delivered under a key of KMS, and nobody is told",
    source=_LOGS,
)
def the_log_bucket_is_encrypted_by_s3(balancer: Resource) -> Iterator[Fault]:
    """The bucket of the access log is encrypted with S3's own keys."""
    bucket = _log_bucket(balancer)
    if bucket is None:
        return  # E12 tells
    base = "BucketEncryption.ServerSideEncryptionConfiguration"
    for path, each in bucket.tables(base):
        default = each.get("ServerSideEncryptionByDefault") or {}
        if default.get("SSEAlgorithm") != "AES256" or "KMSMasterKeyID" in default:
            yield bucket.fault(f"{path}.ServerSideEncryptionByDefault", found=default, expected="AES256")


@rule_of(
    LOAD_BALANCER,
    requirement="E13",
    why="which of the two writes depends on the region's age; refused, the log is empty and nobody is told",
    source=_LOGS,
)
def the_log_bucket_admits_the_delivery(balancer: Resource) -> Iterator[Fault]:
    """
    The policy of the log bucket lets Elastic Load Balancing write below prefix, `AWSLogs` and account.

    It comes as a service, and in regions older than August 2022 as an account
    of AWS, whose requests say nothing of their source.
    """
    bucket = _log_bucket(balancer)
    if bucket is None:
        return  # E12 tells
    place = balancer.estate.place
    for principal in _deliverers(place):
        refusal = _refusal(bucket, principal, _object(balancer, bucket, place.account))
        if refusal is not None:
            yield _policy_fault(bucket, Said(refusal), f"{principal.arn} to be let in with the load balancer's log")


@rule_of(
    LOAD_BALANCER,
    requirement="E13",
    why="whoever makes Elastic Load Balancing write for him fills or forges our log",
    source="IAM guide, the confused deputy problem",
)
def the_log_bucket_admits_nothing_else(balancer: Resource) -> Iterator[Fault]:
    """Elastic Load Balancing may not write elsewhere in the log bucket, and not the log of another account."""
    bucket = _log_bucket(balancer)
    if bucket is None:
        return  # E12 tells
    place = balancer.estate.place
    arn = balancer.estate.arn(bucket)
    for principal in _deliverers(place):
        for other in (_object(balancer, bucket, _STRANGER), f"{arn}/{_STRANGER}/log"):
            if _refusal(bucket, principal, other) is None:
                expected = f"{principal.arn} to write below prefix, AWSLogs and {place.account} alone"
                yield _policy_fault(bucket, Said(f"it may write {other}"), expected)


def _log_bucket(balancer: Resource) -> Resource | None:
    return balancer.estate.called(balancer.get("AccessLoggingPolicy.S3BucketName"), _BUCKET)


def _policies(bucket: Resource) -> list[Resource]:
    estate = bucket.estate
    return [
        policy for policy in estate.of_type(_BUCKET_POLICY) if estate.called(policy.get("Bucket"), _BUCKET) == bucket
    ]


def _policy_fault(bucket: Resource, found: Said, expected: str) -> Fault:
    policies = _policies(bucket)
    if not policies:
        return bucket.fault("", found=found, expected=expected)
    return policies[0].fault("PolicyDocument", found=found, expected=expected)


def _object(balancer: Resource, bucket: Resource, account: str) -> str:
    """Spell the ARN of an object as the load balancer names it, so that no other pattern than the true one fits."""
    place = balancer.estate.place
    prefix = balancer.get("AccessLoggingPolicy.S3BucketPrefix")
    head = f"{prefix}/" if prefix else ""
    day = f"elasticloadbalancing/{place.region}/2026/01/31"
    name = f"{account}_elasticloadbalancing_{place.region}_name_20260131T2340Z_192.0.2.1_3y4qcmgb.log"
    return f"{balancer.estate.arn(bucket)}/{head}AWSLogs/{account}/{day}/{name}"


def _deliverers(place: Place) -> list[Principal]:
    service = Principal(PrincipalKind.SERVICE, _DELIVERY, account="")
    account = ACCOUNTS.get(place.region)
    if account is None:
        return [service]
    return [service, Principal(PrincipalKind.ROOT, f"arn:{place.partition}:iam::{account}:root", account)]


def _refusal(bucket: Resource, principal: Principal, resource: str) -> str | None:
    place = bucket.estate.place
    says = {**OVER_TLS, "s3:x-amz-acl": "bucket-owner-full-control"}
    if principal.kind is PrincipalKind.SERVICE:
        balancers = place.arn("elasticloadbalancing", "loadbalancer/name")
        says |= {"aws:SourceAccount": place.account, "aws:SourceArn": balancers}
    return refusal_of(_policies(bucket), principal, action="s3:PutObject", resource=resource, says=says)


RULES: Final[tuple[Rule, ...]] = (
    access_is_logged,
    the_log_buckets_policy_comes_first,
    the_log_bucket_is_encrypted_by_s3,
    the_log_bucket_admits_the_delivery,
    the_log_bucket_admits_nothing_else,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
