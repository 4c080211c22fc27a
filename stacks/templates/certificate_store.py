"""
The certificate store: the bucket of the server's certificate and key, its encryption key, and the log bucket.

Two locks hold the private key, the bucket's policy and the key's. Each denies
the data actions to everybody but the task role and the certificate's keeper,
an administrator included; neither denies what is needed to repair it.
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
    LifecycleConfiguration,
    LifecycleRule,
    LoggingConfiguration,
    NoncurrentVersionExpiration,
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
from stacks.permissions import PolicyDocument, Statement, allow, deny, policy, service
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.log_delivery import LOAD_BALANCER_LOG_PREFIX, load_balancer_log_principals
from stacks.templates.retention import RETAINED

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

    @classmethod
    def of(cls, environment: Environment) -> _Store:
        buckets = f"arn:{environment.partition}:s3:::"
        return cls(
            environment=environment,
            bucket=buckets + naming.certificate_bucket(environment),
            log_bucket=buckets + naming.log_bucket(environment),
            task_role=naming.role_arn(environment, "task"),
            certificate_admin_role=naming.role_arn(environment, "certificate-admin"),
        )

    @property
    def readers(self) -> list[str]:
        return [self.task_role, self.certificate_admin_role]

    @property
    def key_objects(self) -> str:
        return f"{self.bucket}/{contract.SERVER_PREFIX}*"

    @property
    def manifests(self) -> str:
        return f"{self.bucket}/{contract.MANIFEST_PREFIX}*"

    @property
    def everything(self) -> list[str]:
        """What is locked; a token issuer's keys with it where they are kept here."""
        key_sets = [f"{self.bucket}/{contract.KEY_SET_PREFIX}*"] if self.environment.key_set_object else []
        return [self.key_objects, self.manifests, *key_sets]

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
    account = environment.account
    s3_delivery = allow(
        "DeliverBucketAccessLogs",
        [s3_actions.PutObject],
        f"{store.log_bucket}/{_BUCKET_ACCESS_LOG_PREFIX}*",
        to=service("logging.s3.amazonaws.com"),
        when=[
            StringEquals({"aws:SourceAccount": account}),
            ArnLike({"aws:SourceArn": store.bucket}),
        ],
    )
    load_balancer_logs = f"{store.log_bucket}/{LOAD_BALANCER_LOG_PREFIX}/AWSLogs/{account}/*"
    load_balancer_delivery = [
        allow(sid, [s3_actions.PutObject], load_balancer_logs, to=principal)
        for sid, principal in load_balancer_log_principals(environment).items()
    ]
    return BucketPolicy(
        "LogBucketPolicy",
        Bucket=Ref(bucket),
        PolicyDocument=policy(s3_delivery, *load_balancer_delivery, *_only_encrypted_transport(store.log_bucket)),
    )


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
        LoggingConfiguration=LoggingConfiguration(
            DestinationBucketName=Ref("LogBucket"), LogFilePrefix=_BUCKET_ACCESS_LOG_PREFIX
        ),
        DependsOn=log_bucket_policy,
        **RETAINED,
    )


def _bucket_lock(store: _Store, key: Key, pin: Sequence[Statement]) -> PolicyDocument:
    reading = [Action("s3", "GetObject*")]
    writing = [Action("s3", "PutObject*"), Action("s3", "DeleteObject*"), Action("s3", "RestoreObject")]
    return policy(
        *_only_encrypted_transport(store.bucket),
        deny(
            "NoOtherReadsTheKey",
            reading,
            store.key_objects,
            when=[ArnNotLike({"aws:PrincipalArn": store.readers})],
        ),
        deny(
            "NoOtherWrites",
            writing,
            store.everything,
            when=[ArnNotLike({"aws:PrincipalArn": store.certificate_admin_role})],
        ),
        *_only_our_encryption(store, key),
        *_only_signed_requests([*reading, *writing], store.everything),
        *pin,
    )


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
    ]


def _only_signed_requests(actions: Sequence[Action], resources: Sequence[str]) -> list[Statement]:
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
    """Pin the task role to the VPC's endpoint, so that credentials carried off are worth nothing elsewhere."""
    if not isinstance(store.environment.network, OwnNetwork):
        return []
    endpoint = take(template, store.environment, Output.S3_ENDPOINT_ID)
    return [
        deny(
            "TaskOnlyThroughTheEndpoint",
            [Action("s3", "GetObject*")],
            store.everything,
            when=[ArnLike({"aws:PrincipalArn": store.task_role}), StringNotEquals({"aws:SourceVpce": endpoint})],
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
        Roles=[take(template, store.environment, Output.TASK_ROLE_NAME)],
        PolicyDocument=policy(
            allow("ReadManifest", [s3_actions.GetObject], store.object(contract.MANIFEST_KEY)),
            allow("ReadPair", [s3_actions.GetObject, s3_actions.GetObjectVersion], pair),
            *key_set_grants,
            allow("DecryptThroughS3", [kms.Decrypt], GetAtt(key, "Arn"), when=[_through_s3(store.environment)]),
        ),
    )


def _certificate_admin_policy(template: Template, store: _Store, key: Key) -> ManagedPolicy:
    return ManagedPolicy(
        "CertificateAdminKeepsCertificate",
        Roles=[take(template, store.environment, Output.CERTIFICATE_ADMIN_ROLE_NAME)],
        PolicyDocument=policy(
            allow(
                "KeepObjects",
                [s3_actions.GetObject, s3_actions.GetObjectVersion, s3_actions.PutObject, s3_actions.DeleteObject],
                store.everything,
            ),
            allow("FindVersions", [s3_actions.ListBucket, s3_actions.ListBucketVersions], store.bucket),
            allow(
                "EncryptAndDecryptThroughS3",
                [kms.Decrypt, kms.GenerateDataKey],
                GetAtt(key, "Arn"),
                when=[_through_s3(store.environment)],
            ),
        ),
    )


def _through_s3(environment: Environment) -> StringEquals:
    return StringEquals({"kms:ViaService": f"s3.{environment.region}.amazonaws.com"})
