"""
The certificate store: the bucket of the server's certificate and key, its encryption key, and the log bucket.

Two locks hold the private key, the bucket's policy and the key's. Each denies
the data actions to everybody but the task role, the certificate's keeper and
the role for emergencies, an administrator included; neither denies what is
needed to repair it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from awacs import kms
from awacs import s3 as s3_actions
from awacs.aws import (
    Action,
    ArnLike,
    ArnNotLike,
    Bool,
    Null,
    NumericLessThan,
    StringEquals,
    StringNotEquals,
)
from troposphere import GetAtt, Ref, Template
from troposphere.iam import ManagedPolicy
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
    MetricsConfiguration,
    NoncurrentVersionExpiration,
    NotificationConfiguration,
    OwnershipControls,
    OwnershipControlsRule,
    PublicAccessBlockConfiguration,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionRule,
    VersioningConfiguration,
)

from service import contract
from stacks import naming
from stacks.environment import Environment, OwnNetwork
from stacks.naming import Output
from stacks.permissions import PolicyDocument, Statement, allow, arn, deny, policy, service, via
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.log_delivery import (
    FLOW_LOG_PREFIX,
    LOAD_BALANCER_LOG_PREFIX,
    TRAIL_BUCKET_LOG_PREFIX,
    load_balancer_log_principals,
)
from stacks.templates.retention import RETAINED
from stacks.templates.watches import EVERY_REQUEST

_BUCKET_ACCESS_LOG_PREFIX: Final = "certificate-bucket/"
_ROLLBACK_WINDOW_DAYS: Final = 90
"""How long a replaced version of the pair can be gone back to."""


def build(environment: Environment) -> Template:
    """Build the template of the certificate store."""
    template = begin(environment, "the server's certificate and key, and the logs of access")
    store = _Store.of(environment)
    key = template.add_resource(
        encryption_key(
            environment, "CertificateKey", "The server's private key in its bucket", _deny_others_the_key(store)
        )
    )
    template.add_resource(alias(environment, "CertificateKeyAlias", key, stack="certificate_store"))
    log_bucket = template.add_resource(_closed_and_versioned(_log_bucket(environment)))
    log_bucket_policy = template.add_resource(_log_bucket_policy(environment, store, log_bucket))
    bucket = template.add_resource(_closed_and_versioned(_certificate_bucket(environment, key, log_bucket_policy)))
    pin = _deny_task_outside_the_vpc(template, store)
    template.add_resource(
        BucketPolicy("CertificateBucketPolicy", Bucket=Ref(bucket), PolicyDocument=_bucket_lock(store, key, pin))
    )
    template.add_resource(_task_policy(template, store, key))
    template.add_resource(_certificate_admin_policy(template, store, key))
    template.add_resource(_break_glass_policy(template, store, key))
    offer(template, Output.CERTIFICATE_BUCKET_NAME, Ref(bucket))
    offer(template, Output.CERTIFICATE_KEY_ARN, GetAtt(key, "Arn"))
    offer(template, Output.LOG_BUCKET_NAME, Ref(log_bucket))
    return template


@dataclass(frozen=True, slots=True)
class _Store:
    """Whom and what the policies name, spelled out: none of it needs to exist when they are written."""

    environment: Environment
    bucket: str
    log_bucket: str
    task_role: str
    certificate_admin_role: str
    break_glass_role: str
    cloudformation_role: str

    @classmethod
    def of(cls, environment: Environment) -> _Store:
        buckets = f"arn:{environment.partition}:s3:::"
        return cls(
            environment=environment,
            bucket=buckets + naming.certificate_bucket(environment),
            log_bucket=buckets + naming.log_bucket(environment),
            task_role=naming.role_arn(environment, "task"),
            certificate_admin_role=naming.role_arn(environment, "certificate-admin"),
            break_glass_role=naming.role_arn(environment, "break-glass"),
            cloudformation_role=naming.role_arn(environment, "cloudformation"),
        )

    @property
    def readers(self) -> list[str]:
        return [self.task_role, self.certificate_admin_role, self.break_glass_role]

    @property
    def key_objects(self) -> str:
        return f"{self.bucket}/{contract.SERVER_PREFIX}*"

    @property
    def objects(self) -> str:
        """Every object: key material, manifest, and a token issuer's keys where they are kept here."""
        return f"{self.bucket}/*"

    def object(self, key: str) -> str:
        return f"{self.bucket}/{key}"


# -- the encryption key --------------------------------------------------------


def _deny_others_the_key(store: _Store) -> Statement:
    # Conditions and not principals: a principal must exist before the policy that names it.
    return deny(
        "NoOtherReadsWithIt",
        [kms.Decrypt, Action("kms", "GenerateDataKey*"), Action("kms", "ReEncrypt*")],
        "*",
        when=[ArnNotLike({"aws:PrincipalArn": store.readers})],
    )


# -- the bucket of access logs -----------------------------------------------------


def _log_bucket(environment: Environment) -> Bucket:
    # Encrypted with S3's own keys: the load balancer's logs cannot be delivered under any other (Classic ELB guide).
    return Bucket(
        "LogBucket",
        BucketName=naming.log_bucket(environment),
        BucketEncryption=_encryption(ServerSideEncryptionByDefault(SSEAlgorithm="AES256")),
        LifecycleConfiguration=_lifecycle(
            LifecycleRule(
                Id="ExpireLogs",
                Status="Enabled",
                ExpirationInDays=environment.logs.retention_days,
                NoncurrentVersionExpiration=NoncurrentVersionExpiration(NoncurrentDays=1),
            )
        ),
        **RETAINED,
    )


def _log_bucket_policy(environment: Environment, store: _Store, bucket: Bucket) -> BucketPolicy:
    return BucketPolicy(
        "LogBucketPolicy",
        Bucket=Ref(bucket),
        PolicyDocument=policy(
            *_bucket_access_logs(environment, store),
            *_load_balancer_logs(environment, store),
            *_flow_logs(environment, store),
            *_only_encrypted_transport(store.log_bucket),
        ),
    )


def _bucket_access_logs(environment: Environment, store: _Store) -> list[Statement]:
    """Let S3 tell of the requests to our buckets, of each under its prefix."""
    logged = {"DeliverBucketAccessLogs": (store.bucket, _BUCKET_ACCESS_LOG_PREFIX)}
    if environment.audit_trail is not None:
        trail_bucket = f"arn:{environment.partition}:s3:::{naming.trail_bucket(environment)}"
        logged["DeliverTrailBucketAccessLogs"] = (trail_bucket, TRAIL_BUCKET_LOG_PREFIX)
    return [
        allow(
            sid,
            [s3_actions.PutObject],
            f"{store.log_bucket}/{prefix}*",
            to=service("logging.s3.amazonaws.com"),
            when=[StringEquals({"aws:SourceAccount": environment.account}), ArnLike({"aws:SourceArn": bucket})],
        )
        for sid, (bucket, prefix) in logged.items()
    ]


def _load_balancer_logs(environment: Environment, store: _Store) -> list[Statement]:
    logs = f"{store.log_bucket}/{LOAD_BALANCER_LOG_PREFIX}/AWSLogs/{environment.account}/*"
    return [
        allow(sid, [s3_actions.PutObject], logs, to=principal)
        for sid, principal in load_balancer_log_principals(environment).items()
    ]


def _flow_logs(environment: Environment, store: _Store) -> list[Statement]:
    """Let VPC flow logs in, which ask for the bucket's access list before they write (VPC guide, flow logs to S3)."""
    if not isinstance(environment.network, OwnNetwork):
        return []
    delivery = service("delivery.logs.amazonaws.com")
    ours = [
        StringEquals({"aws:SourceAccount": environment.account}),
        ArnLike({"aws:SourceArn": arn(environment, "logs", "*")}),
    ]
    logs = f"{store.log_bucket}/{FLOW_LOG_PREFIX}/AWSLogs/{environment.account}/*"
    return [
        allow(
            "DeliverFlowLogs",
            [s3_actions.PutObject],
            logs,
            to=delivery,
            when=[*ours, StringEquals({"s3:x-amz-acl": "bucket-owner-full-control"})],
        ),
        allow("AskForTheAccessList", [s3_actions.GetBucketAcl], store.log_bucket, to=delivery, when=ours),
    ]


# -- the bucket of certificate and key -------------------------------------------------


def _certificate_bucket(environment: Environment, key: Key, log_bucket_policy: BucketPolicy) -> Bucket:
    return Bucket(
        "CertificateBucket",
        BucketName=naming.certificate_bucket(environment),
        BucketEncryption=_encryption(
            ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms", KMSMasterKeyID=GetAtt(key, "Arn"))
        ),
        # What is current never expires: it is what the service boots with.
        LifecycleConfiguration=_lifecycle(
            LifecycleRule(
                Id="ExpireReplacedVersions",
                Status="Enabled",
                NoncurrentVersionExpiration=NoncurrentVersionExpiration(NoncurrentDays=_ROLLBACK_WINDOW_DAYS),
            )
        ),
        NotificationConfiguration=NotificationConfiguration(
            EventBridgeConfiguration=EventBridgeConfiguration(EventBridgeEnabled=True)
        ),
        LoggingConfiguration=LoggingConfiguration(
            DestinationBucketName=Ref("LogBucket"), LogFilePrefix=_BUCKET_ACCESS_LOG_PREFIX
        ),
        # What the bucket refuses is counted only where requests are (S3 guide, metrics configurations).
        MetricsConfigurations=[MetricsConfiguration(Id=EVERY_REQUEST)],
        DependsOn=log_bucket_policy,
        **RETAINED,
    )


def _bucket_lock(store: _Store, key: Key, pin: Sequence[Statement]) -> PolicyDocument:
    reading = [Action("s3", "GetObject*")]
    writing = [Action("s3", "PutObject*"), Action("s3", "RestoreObject")]
    deleting = [Action("s3", "DeleteObject*")]
    admin, break_glass = store.certificate_admin_role, store.break_glass_role
    return policy(
        *_only_encrypted_transport(store.bucket),
        _only_for("NoOtherReadsTheKey", reading, store.key_objects, store.readers),
        _only_for("NoOtherWrites", writing, store.objects, [admin]),
        _only_for("NoOtherDeletes", deleting, store.objects, [admin, break_glass]),
        *_only_break_glass_forgets(store),
        *_only_our_encryption(store, key),
        *_only_signed_requests([*reading, *writing, *deleting], store.objects),
        *pin,
    )


def _only_for(sid: str, actions: Sequence[Action], resources: str, roles: Sequence[str]) -> Statement:
    return deny(sid, actions, resources, when=[ArnNotLike({"aws:PrincipalArn": list(roles)})])


def _only_break_glass_forgets(store: _Store) -> list[Statement]:
    """
    Keep every version from everybody's hand, in the place of MFA Delete and Object Lock (ADR 0017).

    CloudFormation's own role must be able to set versioning and lifecycle, or
    no change of the stack goes through. The policy itself is never locked:
    whoever may replace it can mend it.
    """
    configuring = [s3_actions.PutBucketVersioning, s3_actions.PutLifecycleConfiguration]
    return [
        _only_for(
            "NoOtherErasesVersions", [Action("s3", "DeleteObjectVersion*")], store.objects, [store.break_glass_role]
        ),
        _only_for(
            "NoOtherForgetsVersions",
            configuring,
            store.bucket,
            [store.break_glass_role, store.cloudformation_role],
        ),
    ]


def _only_encrypted_transport(bucket: str) -> list[Statement]:
    # All of s3 and not the data actions alone: whoever repairs the policy comes over TLS as well.
    whole = [bucket, f"{bucket}/*"]
    every_action = [Action("s3", "*")]
    return [
        deny("OnlyOverTls", every_action, whole, when=[Bool({"aws:SecureTransport": False})]),
        deny("OnlyOverTls12OrNewer", every_action, whole, when=[NumericLessThan({"s3:TlsVersion": 1.2})]),
    ]


def _only_our_encryption(store: _Store, key: Key) -> list[Statement]:
    """
    Refuse an upload that asks for another encryption than the bucket's own; one that asks for none gets the bucket's.

    A negated operator holds where its key is absent too, so each has its
    `Null` beside it (IAM guide, condition operators).
    """
    encryption = "s3:x-amz-server-side-encryption"
    key_id = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    uploads = [s3_actions.PutObject]
    return [
        deny(
            "OnlyEncryptedByKms",
            uploads,
            store.key_objects,
            when=[StringNotEquals({encryption: "aws:kms"}), Null({encryption: False})],
        ),
        deny(
            "OnlyEncryptedWithOurKey",
            uploads,
            store.key_objects,
            when=[StringNotEquals({key_id: GetAtt(key, "Arn")}), Null({key_id: False})],
        ),
        # Asked for KMS and told no key, S3 takes its own and not the bucket's (S3 API, PutObject).
        deny(
            "OnlyWithANamedKey",
            uploads,
            store.key_objects,
            when=[StringEquals({encryption: "aws:kms"}), Null({key_id: True})],
        ),
    ]


def _only_signed_requests(actions: Sequence[Action], resources: str) -> list[Statement]:
    # A presigned address is a bearer token: whoever finds it reads the key.
    return [
        deny("NoPresignedAddress", actions, resources, when=[StringEquals({"s3:authType": "REST-QUERY-STRING"})]),
        deny(
            "OnlySignatureVersion4",
            actions,
            resources,
            when=[StringNotEquals({"s3:signatureversion": "AWS4-HMAC-SHA256"})],
        ),
    ]


def _deny_task_outside_the_vpc(template: Template, store: _Store) -> list[Statement]:
    """
    Pin the task role to the VPC's endpoint, so that credentials carried off are worth nothing elsewhere.

    In somebody else's VPC the operator says which endpoints these are, or
    leaves the role unpinned.
    """
    network = store.environment.network
    endpoints: object
    if isinstance(network, OwnNetwork):
        endpoints = take(template, store.environment, Output.S3_ENDPOINT_ID)
    else:
        endpoints = list(network.s3_endpoint_ids)
    if not endpoints:
        return []
    return [
        deny(
            "TaskOnlyThroughTheEndpoint",
            [Action("s3", "GetObject*")],
            store.objects,
            when=[ArnLike({"aws:PrincipalArn": store.task_role}), StringNotEquals({"aws:SourceVpce": endpoints})],
        )
    ]


def _encryption(default: ServerSideEncryptionByDefault) -> BucketEncryption:
    rule = ServerSideEncryptionRule(
        ServerSideEncryptionByDefault=default,
        BucketKeyEnabled=default.SSEAlgorithm == "aws:kms",
        BlockedEncryptionTypes=BlockedEncryptionTypes(EncryptionType=["SSE-C"]),
    )
    return BucketEncryption(ServerSideEncryptionConfiguration=[rule])


def _lifecycle(rule: LifecycleRule) -> LifecycleConfiguration:
    abandoned = LifecycleRule(
        Id="AbortAbandonedUploads",
        Status="Enabled",
        AbortIncompleteMultipartUpload=AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
    )
    return LifecycleConfiguration(Rules=[rule, abandoned])


def _closed_and_versioned(bucket: Bucket) -> Bucket:
    bucket.OwnershipControls = OwnershipControls(Rules=[OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")])
    bucket.PublicAccessBlockConfiguration = PublicAccessBlockConfiguration(
        BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
    )
    bucket.VersioningConfiguration = VersioningConfiguration(Status="Enabled")
    return bucket


# -- who may ---------------------------------------------------------------------------


def _task_policy(template: Template, store: _Store, key: Key) -> ManagedPolicy:
    # No ListBucket: the task knows its objects by name, and learns of no other.
    pair = [store.object(contract.CHAIN_KEY), store.object(contract.PRIVATE_KEY_KEY)]
    key_set = store.environment.key_set_object
    key_set_grants = [] if key_set is None else [allow("ReadKeySet", [s3_actions.GetObject], store.object(key_set))]
    return ManagedPolicy(
        "TaskReadsCertificate",
        Path=naming.role_path(store.environment),
        Roles=[take(template, store.environment, Output.TASK_ROLE_NAME)],
        PolicyDocument=policy(
            allow("ReadManifest", [s3_actions.GetObject], store.object(contract.MANIFEST_KEY)),
            allow("ReadPair", [s3_actions.GetObject, s3_actions.GetObjectVersion], pair),
            *key_set_grants,
            allow("DecryptThroughS3", [kms.Decrypt], GetAtt(key, "Arn"), when=[via(store.environment, "s3")]),
        ),
    )


def _certificate_admin_policy(template: Template, store: _Store, key: Key) -> ManagedPolicy:
    return ManagedPolicy(
        "CertificateAdminKeepsCertificate",
        Path=naming.role_path(store.environment),
        Roles=[take(template, store.environment, Output.CERTIFICATE_ADMIN_ROLE_NAME)],
        PolicyDocument=policy(
            allow(
                "KeepObjects",
                [s3_actions.GetObject, s3_actions.GetObjectVersion, s3_actions.PutObject, s3_actions.DeleteObject],
                store.objects,
            ),
            allow("FindVersions", [s3_actions.ListBucket, s3_actions.ListBucketVersions], store.bucket),
            allow(
                "EncryptAndDecryptThroughS3",
                [kms.Decrypt, kms.GenerateDataKey],
                GetAtt(key, "Arn"),
                when=[via(store.environment, "s3")],
            ),
        ),
    )


def _break_glass_policy(template: Template, store: _Store, key: Key) -> ManagedPolicy:
    """
    Allow what an emergency needs: a version purged, the bucket's policy or the key mended.

    Not to write objects: a new pair is the certificate's keeper's.
    """
    return ManagedPolicy(
        "BreakGlassMendsStore",
        Path=naming.role_path(store.environment),
        Roles=[take(template, store.environment, Output.BREAK_GLASS_ROLE_NAME)],
        PolicyDocument=policy(
            allow(
                "ReadAndPurgeVersions",
                [
                    s3_actions.GetObject,
                    s3_actions.GetObjectVersion,
                    s3_actions.DeleteObject,
                    s3_actions.DeleteObjectVersion,
                ],
                store.objects,
            ),
            allow(
                "MendBucket",
                [
                    s3_actions.ListBucket,
                    s3_actions.ListBucketVersions,
                    s3_actions.GetBucketPolicy,
                    s3_actions.PutBucketPolicy,
                    s3_actions.DeleteBucketPolicy,
                    s3_actions.GetBucketVersioning,
                    s3_actions.PutBucketVersioning,
                    s3_actions.GetLifecycleConfiguration,
                    s3_actions.PutLifecycleConfiguration,
                ],
                store.bucket,
            ),
            allow("DecryptThroughS3", [kms.Decrypt], GetAtt(key, "Arn"), when=[via(store.environment, "s3")]),
            allow(
                "MendKey",
                [kms.DescribeKey, kms.GetKeyPolicy, kms.PutKeyPolicy, kms.EnableKey, kms.CancelKeyDeletion],
                GetAtt(key, "Arn"),
            ),
        ),
    )
