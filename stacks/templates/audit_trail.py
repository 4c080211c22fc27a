"""
The audit trail: who read and wrote the certificate bucket's objects, and every call that manages something.

Made only where the environment has `[audit_trail]`. It logs the whole account's
management events in every region: role, key and policy events of one deployment
cannot be told apart before they are logged, and the rules for events
(`events`) hear of calls only where a trail logs them.
"""

from __future__ import annotations

from typing import Final

from awacs import kms
from awacs import s3 as s3_actions
from awacs.aws import Action, Bool, NumericLessThan, StringEquals, StringLike
from troposphere import GetAtt, Ref, Sub, Template
from troposphere.cloudtrail import AdvancedEventSelector, AdvancedFieldSelector, Trail
from troposphere.kms import Key
from troposphere.s3 import (
    AbortIncompleteMultipartUpload,
    BlockedEncryptionTypes,
    Bucket,
    BucketEncryption,
    BucketPolicy,
    EventBridgeConfiguration,
    LifecycleConfiguration,
    LifecycleRule,
    LoggingConfiguration,
    NoncurrentVersionExpiration,
    NotificationConfiguration,
    OwnershipControls,
    OwnershipControlsRule,
    PublicAccessBlockConfiguration,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionRule,
    VersioningConfiguration,
)

from stacks import naming
from stacks.environment import AuditTrail, Environment
from stacks.naming import Output
from stacks.permissions import Statement, allow, arn, deny, policy, service
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.log_delivery import TRAIL_BUCKET_LOG_PREFIX
from stacks.templates.retention import RETAINED

_SERVICE: Final = "cloudtrail.amazonaws.com"


def build(environment: Environment) -> Template:
    """Build the template of the trail; without `[audit_trail]` it has no resource."""
    template = begin(environment, "the audit trail")
    facts = environment.audit_trail
    if facts is None:
        return template
    key = template.add_resource(
        encryption_key(environment, "TrailKey", "The audit trail", *_trail_encrypts(environment))
    )
    template.add_resource(alias(environment, "TrailKeyAlias", key, stack="audit_trail"))
    bucket = template.add_resource(_bucket(template, environment, facts, key))
    bucket_policy = template.add_resource(_bucket_policy(environment, bucket))
    template.add_resource(_trail(template, environment, (bucket, bucket_policy, key)))
    offer(template, Output.TRAIL_KEY_ARN, GetAtt(key, "Arn"))
    return template


def _trail_arn(environment: Environment) -> str:
    return arn(environment, "cloudtrail", f"trail/{naming.trail_name(environment)}")


def _trail(template: Template, environment: Environment, into: tuple[Bucket, BucketPolicy, Key]) -> Trail:
    bucket, bucket_policy, key = into
    take(template, environment, Output.CERTIFICATE_BUCKET_NAME)
    objects = Sub(f"arn:{environment.partition}:s3:::${{{Output.CERTIFICATE_BUCKET_NAME}}}/")
    return Trail(
        "Trail",
        TrailName=naming.trail_name(environment),
        S3BucketName=Ref(bucket),
        KMSKeyId=GetAtt(key, "Arn"),
        IsLogging=True,
        # Roles are taken and keys are replaced in other regions too; what is global is logged in one of them.
        IsMultiRegionTrail=True,
        IncludeGlobalServiceEvents=True,
        EnableLogFileValidation=True,
        AdvancedEventSelectors=[
            _events("Every call that manages something, reads too", eventCategory=["Management"]),
            AdvancedEventSelector(
                Name="Every access to an object of the certificate bucket",
                FieldSelectors=[
                    AdvancedFieldSelector(Field="eventCategory", Equals=["Data"]),
                    AdvancedFieldSelector(Field="resources.type", Equals=["AWS::S3::Object"]),
                    AdvancedFieldSelector(Field="resources.ARN", StartsWith=[objects]),
                ],
            ),
        ],
        # CloudTrail tries the bucket when the trail is made.
        DependsOn=bucket_policy,
    )


def _events(name: str, **fields: list[str]) -> AdvancedEventSelector:
    selectors = [AdvancedFieldSelector(Field=field, Equals=values) for field, values in fields.items()]
    return AdvancedEventSelector(Name=name, FieldSelectors=selectors)


def _trail_encrypts(environment: Environment) -> list[Statement]:
    """Let the trail, and no other, encrypt (CloudTrail guide, configure AWS KMS key policies)."""
    ours = StringEquals({"aws:SourceArn": _trail_arn(environment)})
    trails = f"arn:{environment.partition}:cloudtrail:*:{environment.account}:trail/*"
    return [
        allow(
            "TrailEncrypts",
            [Action("kms", "GenerateDataKey*")],
            "*",
            to=service(_SERVICE),
            when=[ours, StringLike({"kms:EncryptionContext:aws:cloudtrail:arn": trails})],
        ),
        allow("TrailLooksAtTheKey", [kms.DescribeKey], "*", to=service(_SERVICE), when=[ours]),
    ]


def _bucket(template: Template, environment: Environment, facts: AuditTrail, key: Key) -> Bucket:
    return Bucket(
        "TrailBucket",
        BucketName=naming.trail_bucket(environment),
        BucketEncryption=_encryption(key),
        LifecycleConfiguration=LifecycleConfiguration(Rules=_expiry(facts)),
        LoggingConfiguration=LoggingConfiguration(
            DestinationBucketName=take(template, environment, Output.LOG_BUCKET_NAME),
            LogFilePrefix=TRAIL_BUCKET_LOG_PREFIX,
        ),
        NotificationConfiguration=NotificationConfiguration(
            EventBridgeConfiguration=EventBridgeConfiguration(EventBridgeEnabled=True)
        ),
        OwnershipControls=OwnershipControls(Rules=[OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]),
        PublicAccessBlockConfiguration=PublicAccessBlockConfiguration(
            BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
        ),
        VersioningConfiguration=VersioningConfiguration(Status="Enabled"),
        **RETAINED,
    )


def _encryption(key: Key) -> BucketEncryption:
    default = ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms", KMSMasterKeyID=GetAtt(key, "Arn"))
    rule = ServerSideEncryptionRule(
        ServerSideEncryptionByDefault=default,
        # Off: CloudTrail encrypts under a context of its own, which the key's policy demands.
        BucketKeyEnabled=False,
        BlockedEncryptionTypes=BlockedEncryptionTypes(EncryptionType=["SSE-C"]),
    )
    return BucketEncryption(ServerSideEncryptionConfiguration=[rule])


def _expiry(facts: AuditTrail) -> list[LifecycleRule]:
    return [
        LifecycleRule(
            Id="ExpireTrail",
            Status="Enabled",
            ExpirationInDays=facts.retention_days,
            # What was overwritten or removed stays for as long as it would have stayed untouched.
            NoncurrentVersionExpiration=NoncurrentVersionExpiration(NoncurrentDays=facts.retention_days),
        ),
        LifecycleRule(
            Id="AbortAbandonedUploads",
            Status="Enabled",
            AbortIncompleteMultipartUpload=AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
        ),
    ]


def _bucket_policy(environment: Environment, bucket: Bucket) -> BucketPolicy:
    whole = f"arn:{environment.partition}:s3:::{naming.trail_bucket(environment)}"
    ours = StringEquals({"aws:SourceArn": _trail_arn(environment)})
    everything, every_action = [whole, f"{whole}/*"], [Action("s3", "*")]
    return BucketPolicy(
        "TrailBucketPolicy",
        Bucket=Ref(bucket),
        PolicyDocument=policy(
            allow("TrailAsks", [s3_actions.GetBucketAcl], whole, to=service(_SERVICE), when=[ours]),
            allow(
                "TrailWrites",
                [s3_actions.PutObject],
                f"{whole}/AWSLogs/{environment.account}/*",
                to=service(_SERVICE),
                when=[ours, StringEquals({"s3:x-amz-acl": "bucket-owner-full-control"})],
            ),
            deny("OnlyOverTls", every_action, everything, when=[Bool({"aws:SecureTransport": False})]),
            deny("OnlyOverTls12OrNewer", every_action, everything, when=[NumericLessThan({"s3:TlsVersion": 1.2})]),
        ),
    )
