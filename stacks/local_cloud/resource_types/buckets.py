"""Rows of the buckets and of the policies that lock them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError

from stacks.local_cloud.resource_types.calls import document, flag, refuse_taken, tag_list, unless_gone
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, Row, Setting

_NO_BUCKET, _NO_POLICY = "NoSuchBucket", "NoSuchBucketPolicy"
_CLASSIC_REGION = "us-east-1"
"""The one region whose buckets are made without a LocationConstraint (S3 API Reference, CreateBucket)."""
_SSE_S3 = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
"""How S3 encrypts what nobody asked it to, since January 2023 (S3 User Guide, "Default encryption FAQ")."""
_ALL_BLOCKED = dict.fromkeys(
    ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
)
"""How S3 makes new buckets since April 2023 (S3 User Guide, "Blocking public access")."""


def _create_bucket(resource: Resource) -> str:
    s3, properties = resource.client("s3"), resource.properties
    given: dict[str, Any] = {"Bucket": properties.take("BucketName") or resource.generated_name(limit=63).lower()}
    if resource.stack.region != _CLASSIC_REGION:
        given["CreateBucketConfiguration"] = {"LocationConstraint": resource.stack.region}
    if flag(properties.take("ObjectLockEnabled", default=False)):
        given["ObjectLockEnabledForBucket"] = True
    # In us-east-1 CreateBucket is content with a bucket the account owns already (S3 API Reference).
    refuse_taken(resource, given["Bucket"], is_taken=_is_there(s3, given["Bucket"]))
    s3.create_bucket(**given)
    return str(given["Bucket"])


def _is_there(s3: Any, bucket: str) -> bool:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _set_versioning(resource: Resource) -> None:
    status = resource.properties.branch("VersioningConfiguration").take("Status")
    if status is None and resource.previous is None:
        return
    # Versioning once on can only be suspended (S3 User Guide, "Using versioning in S3 buckets").
    given = {"Status": status or "Suspended"}
    resource.client("s3").put_bucket_versioning(Bucket=resource.physical_id, VersioningConfiguration=given)


def _set_encryption(resource: Resource) -> None:
    rules = []
    for rule in resource.properties.branch("BucketEncryption").branches("ServerSideEncryptionConfiguration"):
        default = rule.branch("ServerSideEncryptionByDefault")
        written: dict[str, Any] = {
            "ApplyServerSideEncryptionByDefault": default.same("SSEAlgorithm", "KMSMasterKeyID"),
        }
        if "BucketKeyEnabled" in rule:
            written["BucketKeyEnabled"] = flag(rule.take("BucketKeyEnabled"))
        if blocked := rule.branch("BlockedEncryptionTypes").same("EncryptionType"):
            written["BlockedEncryptionTypes"] = blocked
        rules.append(written)
    given = {"Rules": rules or _SSE_S3}
    resource.client("s3").put_bucket_encryption(Bucket=resource.physical_id, ServerSideEncryptionConfiguration=given)


def _set_public_access_block(resource: Resource) -> None:
    s3, bucket = resource.client("s3"), resource.physical_id
    block = resource.properties.branch("PublicAccessBlockConfiguration")
    given = {name: flag(block.take(name, default=False)) for name in _ALL_BLOCKED}
    if "PublicAccessBlockConfiguration" not in resource.properties:
        given = _ALL_BLOCKED
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=given)


def _set_ownership(resource: Resource) -> None:
    rules = resource.properties.branch("OwnershipControls").branches("Rules")
    # Without the property S3 enforces the bucket owner, since April 2023.
    given = [rule.same("ObjectOwnership") for rule in rules] or [{"ObjectOwnership": "BucketOwnerEnforced"}]
    resource.client("s3").put_bucket_ownership_controls(Bucket=resource.physical_id, OwnershipControls={"Rules": given})


def _set_logging(resource: Resource) -> None:
    given: dict[str, Any] = {}
    if "LoggingConfiguration" in resource.properties:
        logging = resource.properties.branch("LoggingConfiguration")
        # A bucket without DestinationBucketName logs to itself (template reference, LoggingConfiguration).
        target = logging.take("DestinationBucketName", resource.physical_id)
        given["LoggingEnabled"] = {"TargetBucket": target, "TargetPrefix": logging.take("LogFilePrefix", "")}
    elif resource.previous is None:
        return
    resource.client("s3").put_bucket_logging(Bucket=resource.physical_id, BucketLoggingStatus=given)


def _set_lifecycle(resource: Resource) -> None:
    s3, bucket = resource.client("s3"), resource.physical_id
    rules = [_lifecycle_rule(rule) for rule in resource.properties.branch("LifecycleConfiguration").branches("Rules")]
    if rules:
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    elif resource.previous is not None:
        s3.delete_bucket_lifecycle(Bucket=bucket)


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    written: dict[str, Any] = {
        **rule.pick(ID="Id", Status="Status"),
        "Filter": {"Prefix": rule.take("Prefix", "")},
    }
    expiration = {name: int(days) for name, days in rule.pick(Days="ExpirationInDays").items()}
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = flag(rule.take("ExpiredObjectDeleteMarker"))
    noncurrent = rule.branch("NoncurrentVersionExpiration").same("NoncurrentDays")
    noncurrent |= rule.pick(NoncurrentDays="NoncurrentVersionExpirationInDays")
    abort = rule.branch("AbortIncompleteMultipartUpload").same("DaysAfterInitiation")
    transitions = [
        {"StorageClass": move.require("StorageClass"), "Days": int(move.require("TransitionInDays"))}
        for move in rule.branches("Transitions")
    ]
    parts = {
        "Expiration": expiration,
        "NoncurrentVersionExpiration": {name: int(days) for name, days in noncurrent.items()},
        "AbortIncompleteMultipartUpload": {name: int(days) for name, days in abort.items()},
        "Transitions": transitions,
    }
    return written | {name: part for name, part in parts.items() if part}


def _set_notification(resource: Resource) -> None:
    """Tell EventBridge of objects, or nobody; queues, topics and functions are not carried."""
    s3, wanted = resource.client("s3"), resource.properties.branch("NotificationConfiguration")
    given: dict[str, Any] = {}
    if "EventBridgeConfiguration" in wanted:
        if flag(wanted.branch("EventBridgeConfiguration").require("EventBridgeEnabled")):
            given["EventBridgeConfiguration"] = {}
    elif resource.previous is None:
        return
    s3.put_bucket_notification_configuration(Bucket=resource.physical_id, NotificationConfiguration=given)


def _set_metrics(resource: Resource) -> None:
    s3, bucket = resource.client("s3"), resource.physical_id
    wanted = {item.require("Id"): _metrics(item) for item in resource.properties.branches("MetricsConfigurations")}
    if resource.previous is not None:
        for there in s3.list_bucket_metrics_configurations(Bucket=bucket).get("MetricsConfigurationList", []):
            if there["Id"] not in wanted:
                s3.delete_bucket_metrics_configuration(Bucket=bucket, Id=there["Id"])
    for identity, given in wanted.items():
        s3.put_bucket_metrics_configuration(Bucket=bucket, Id=identity, MetricsConfiguration=given)


def _metrics(item: Properties) -> dict[str, Any]:
    """Write what is counted: everything, or what one filter or several together let through."""
    filters: dict[str, Any] = item.same("Prefix", "AccessPointArn")
    tags = [tag.same("Key", "Value") for tag in item.branches("TagFilters")]
    configuration: dict[str, Any] = {"Id": item.require("Id")}
    if len(filters) + len(tags) > 1:
        configuration["Filter"] = {"And": filters | ({"Tags": tags} if tags else {})}
    elif filters or tags:
        configuration["Filter"] = filters or {"Tag": tags[0]}
    return configuration


def _set_bucket_tags(resource: Resource) -> None:
    """Set the tags that a caller may set: S3 refuses `aws:` ones from outside, and so does moto from our engine."""
    s3, bucket = resource.client("s3"), resource.physical_id
    wanted = {key: value for key, value in resource.tags().items() if not key.startswith("aws:")}
    if wanted:
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tag_list(wanted)})
    elif resource.previous is not None:
        s3.delete_bucket_tagging(Bucket=bucket)


def _delete_bucket(resource: Resource) -> None:
    """Remove the bucket if it is empty; BucketNotEmpty otherwise, as on AWS."""
    with unless_gone(_NO_BUCKET):
        resource.client("s3").delete_bucket(Bucket=resource.physical_id)


def _domain(resource: Resource) -> str:
    return f"{resource.physical_id}.s3.amazonaws.com"


def _regional_domain(resource: Resource) -> str:
    return f"{resource.physical_id}.s3.{resource.stack.region}.amazonaws.com"


_BUCKET = Row(
    type="AWS::S3::Bucket",
    create=_create_bucket,
    delete=_delete_bucket,
    settings=(
        Setting(("VersioningConfiguration",), _set_versioning),
        Setting(("BucketEncryption",), _set_encryption),
        Setting(("PublicAccessBlockConfiguration",), _set_public_access_block),
        Setting(("OwnershipControls",), _set_ownership),
        Setting(("LoggingConfiguration",), _set_logging),
        Setting(("LifecycleConfiguration",), _set_lifecycle),
        Setting(("NotificationConfiguration",), _set_notification),
        Setting(("MetricsConfigurations",), _set_metrics),
        Setting(("Tags",), _set_bucket_tags),
    ),
    attributes={
        "Arn": lambda resource: f"arn:{resource.stack.partition}:s3:::{resource.physical_id}",
        "DomainName": _domain,
        "RegionalDomainName": _regional_domain,
    },
)

# -- bucket policies ---------------------------------------------------------


def _create_policy(resource: Resource) -> str:
    bucket = str(resource.properties.require("Bucket"))
    if _has_policy(resource, bucket):
        raise ResourceFailedError(f"The bucket policy already exists on bucket {bucket}.")
    _put_policy(resource, bucket)
    return bucket


def _has_policy(resource: Resource, bucket: str) -> bool:
    try:
        resource.client("s3").get_bucket_policy(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == _NO_POLICY:
            return False
        raise
    return True


def _set_policy(resource: Resource) -> None:
    if resource.previous is not None:
        _put_policy(resource, resource.physical_id)


def _put_policy(resource: Resource, bucket: str) -> None:
    text = document(resource.properties.require("PolicyDocument"))
    resource.client("s3").put_bucket_policy(Bucket=bucket, Policy=text)


def _delete_policy(resource: Resource) -> None:
    with unless_gone(_NO_BUCKET, _NO_POLICY):
        resource.client("s3").delete_bucket_policy(Bucket=resource.physical_id)


_BUCKET_POLICY = Row(
    type="AWS::S3::BucketPolicy",
    create=_create_policy,
    delete=_delete_policy,
    settings=(Setting(("PolicyDocument",), _set_policy),),
)

ROWS: tuple[Row, ...] = (_BUCKET, _BUCKET_POLICY)
