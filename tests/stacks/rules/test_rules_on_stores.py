"""The bucket of the server's certificate: what is written, kept and never forgotten in it."""

from __future__ import annotations

from stacks.rules import stores
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, removed, statements
from tests.stacks.rules.test_rules_on_buckets import STORE, having, lifecycle, policy_having, properties

BUCKET = f"{STORE}.CertificateBucket.Properties"
POLICY = f"{STORE}.CertificateBucketPolicy.Properties"
ENCRYPTION = "BucketEncryption.ServerSideEncryptionConfiguration.0"
ADMIN = "arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-certificate-admin"
SOMEBODY = "arn:aws:iam::111122223333:role/Admin"
STACKS = "arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-cloudformation"
BREAK_GLASS = "arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-break-glass"


def told(variable: str, value: object) -> Spoil:
    """Tell the service's container something else; `...` takes the variable away."""

    def spoil(templates: Templates) -> None:
        container = templates.properties("AWS::ECS::TaskDefinition")["ContainerDefinitions"][0]
        rest = [each for each in container["Environment"] if each["Name"] != variable]
        container["Environment"] = rest if value is ... else [*rest, {"Name": variable, "Value": value}]

    return spoil


def sparing(sid: str, *arns: str) -> Spoil:
    """Set whom a denial spares."""
    return policy_having("CertificateBucketPolicy", sid, Condition={"ArnNotLike": {"aws:PrincipalArn": list(arns)}})


def _without_mfa(templates: Templates) -> None:
    role = templates.properties("AWS::IAM::Role", RoleName="mtls-ingress-staging-break-glass")
    del role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]


def _an_administrator_too(templates: Templates) -> None:
    for sid in ("NoOtherDeletes", "NoOtherErasesVersions"):
        sparing(sid, BREAK_GLASS, SOMEBODY)(templates)


def _by_a_service_too(templates: Templates) -> None:
    role = templates.properties("AWS::IAM::Role", RoleName="mtls-ingress-staging-break-glass")
    for statement in role["AssumeRolePolicyDocument"]["Statement"]:
        statement["Principal"]["Service"] = "lambda.amazonaws.com"


def _two_encryptions(templates: Templates) -> None:
    rules = properties(templates, "CertificateBucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    rules.append(rules[0])


def _null_forgotten(templates: Templates) -> None:
    document = properties(templates, "CertificateBucketPolicy")["PolicyDocument"]
    del statements(document)["OnlyEncryptedByKms"]["Condition"]["Null"]


def _manifest_too(templates: Templates) -> None:
    document = properties(templates, "CertificateBucketPolicy")["PolicyDocument"]
    statement = statements(document)["OnlyEncryptedByKms"]
    statement["Resource"] = statement["Resource"].replace("server/*", "*")


def _presigned_manifest(templates: Templates) -> None:
    document = properties(templates, "CertificateBucketPolicy")["PolicyDocument"]
    statement = statements(document)["NoPresignedAddress"]
    statement["Resource"] = statement["Resource"].replace("/*", "/server/*")


def _two_buckets_told(templates: Templates) -> None:
    container = templates.properties("AWS::ECS::TaskDefinition")["ContainerDefinitions"][0]
    container["Name"] = "another"


def granting(policy: str, sid: str, actions: list[str]) -> Spoil:
    """Set the actions of a statement of a role's policy."""
    return lambda templates: statements(properties(templates, policy)["PolicyDocument"])[sid].update(Action=actions)


def _access_point(templates: Templates) -> None:
    point = {"Type": "AWS::S3::AccessPoint", "Properties": {"Bucket": {"Ref": "CertificateBucket"}}}
    templates.bodies[STORE]["Resources"]["Another"] = point


def _access_point_of_regions(templates: Templates) -> None:
    regions = {"Regions": [{"Bucket": {"Ref": "CertificateBucket"}}]}
    templates.bodies[STORE]["Resources"]["Another"] = {
        "Type": "AWS::S3::MultiRegionAccessPoint",
        "Properties": regions,
    }


WORK = stores.keeper_and_emergency_can_do_their_work
CHANGED = stores.nobody_changes_anything_of_an_object
LEADS = stores.nothing_else_leads_to_the_pair
EVENTS = "NotificationConfiguration.EventBridgeConfiguration"
EXPIRES = stores.the_pair_never_expires
ENCRYPTED = stores.the_certificate_is_encrypted_with_our_key
WRITTEN = stores.the_pair_is_written_with_our_key_alone
PRESIGNED = stores.presigned_addresses_are_denied
ERASED = stores.versions_are_erased_by_break_glass_alone
HERE = stores.the_service_has_its_stores
RULE: Document = {"Status": "Enabled"}
READING = policy_having("CertificateBucketPolicy", "NoOtherReadsTheKey", Action=["s3:GetObject", "s3:GetObjectVersion"])

CASES = [
    Case(HERE, told("MTLS_CERTIFICATE_BUCKET", "somebody-elses"), "workload.", "AWS::S3::Bucket of the templates"),
    Case(HERE, told("MTLS_CERTIFICATE_BUCKET", ...), "workload.", "nothing"),
    Case(HERE, told("MTLS_CLIENT_REGISTRY_TABLE", "clients"), "workload.", "AWS::DynamoDB::Table of the templates"),
    Case(HERE, removed("AWS::ECS::TaskDefinition"), "", "a container of the service"),
    Case(HERE, _two_buckets_told, "", "a container of the service"),
    Case(
        stores.the_service_knows_its_buckets_owner,
        told("MTLS_CERTIFICATE_BUCKET_OWNER", "999999999999"),
        "workload.",
        "111122223333",
    ),
    Case(stores.the_service_knows_its_buckets_owner, told("MTLS_CERTIFICATE_BUCKET_OWNER", ...), "workload."),
    Case(stores.changes_of_the_certificate_are_events, having("CertificateBucket", EVENTS, ...), BUCKET),
    Case(
        stores.changes_of_the_certificate_are_events,
        having("CertificateBucket", f"{EVENTS}.EventBridgeEnabled", value=False),
        BUCKET,
    ),
    # what expires
    Case(EXPIRES, lifecycle({**RULE, "ExpirationInDays": 365}), BUCKET, "the pair in force"),
    Case(EXPIRES, lifecycle({**RULE, "Prefix": "server/", "ExpirationDate": "2027-01-01T00:00:00Z"}), BUCKET),
    Case(EXPIRES, lifecycle({**RULE, "Transitions": [{"StorageClass": "GLACIER"}]}), f"{BUCKET}.Lifecycle"),
    Case(EXPIRES, lifecycle({**RULE, "Transition": {"StorageClass": "GLACIER"}}), f"{BUCKET}.Lifecycle"),
    Case(EXPIRES, lifecycle({**RULE, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}), BUCKET, "30 days"),
    Case(EXPIRES, lifecycle({**RULE, "NoncurrentVersionExpirationInDays": 7}), BUCKET, "30 days"),
    Case(
        EXPIRES,
        lifecycle({**RULE, "NoncurrentVersionTransitions": [{"StorageClass": "DEEP_ARCHIVE", "TransitionInDays": 1}]}),
        BUCKET,
        "an archive takes hours",
    ),
    Case(stores.nobody_changes_anything_of_an_object, READING, POLICY, "s3:GetObjectTagging"),
    Case(
        stores.nothing_else_leads_to_the_pair,
        having("CertificateBucket", "InventoryConfigurations", [{"Id": "all", "Enabled": True}]),
        BUCKET,
    ),
    # the default encryption
    Case(ENCRYPTED, having("CertificateBucket", "BucketEncryption", ...), f"{BUCKET}.BucketEncryption", "one rule"),
    Case(ENCRYPTED, having("CertificateBucket", f"{ENCRYPTION}.BucketKeyEnabled", value=False), BUCKET),
    Case(ENCRYPTED, having("CertificateBucket", f"{ENCRYPTION}.BlockedEncryptionTypes", ...), BUCKET, "SSE-C"),
    Case(
        ENCRYPTED,
        having("CertificateBucket", f"{ENCRYPTION}.BlockedEncryptionTypes", {"EncryptionType": ["NONE"]}),
        BUCKET,
    ),
    Case(
        ENCRYPTED,
        having("CertificateBucket", f"{ENCRYPTION}.ServerSideEncryptionByDefault", {"SSEAlgorithm": "AES256"}),
        BUCKET,
        "aws:kms",
    ),
    Case(
        ENCRYPTED,
        having("CertificateBucket", f"{ENCRYPTION}.ServerSideEncryptionByDefault.KMSMasterKeyID", ...),
        BUCKET,
        "the ARN of a key",
    ),
    Case(
        ENCRYPTED,
        having(
            "CertificateBucket",
            f"{ENCRYPTION}.ServerSideEncryptionByDefault.KMSMasterKeyID",
            {"Ref": "CertificateKeyAlias"},
        ),
        BUCKET,
        "the ARN of a key",
    ),
    Case(
        ENCRYPTED,
        having(
            "CertificateBucket",
            f"{ENCRYPTION}.ServerSideEncryptionByDefault.KMSMasterKeyID",
            {"Ref": "CertificateKey"},
        ),
        BUCKET,
        "the ARN of a key",
    ),
    Case(ENCRYPTED, _two_encryptions, f"{BUCKET}.BucketEncryption", "one rule"),
    Case(
        ENCRYPTED, having("CertificateBucket", f"{ENCRYPTION}.ServerSideEncryptionByDefault", ...), BUCKET, "one rule"
    ),
    # what may be written
    Case(WRITTEN, _null_forgotten, POLICY, "without asking"),
    Case(WRITTEN, _manifest_too, POLICY, "manifest/server.json written with AES256 is denied"),
    Case(WRITTEN, policy_having("CertificateBucketPolicy", "OnlyEncryptedByKms"), POLICY, "AES256 is let through"),
    Case(WRITTEN, policy_having("CertificateBucketPolicy", "OnlyEncryptedWithOurKey"), POLICY, "is let through"),
    Case(WRITTEN, policy_having("CertificateBucketPolicy", "OnlyWithANamedKey"), POLICY, "aws:kms is let through"),
    Case(
        WRITTEN,
        policy_having(
            "CertificateBucketPolicy",
            "OnlyEncryptedWithOurKey",
            Condition={
                "StringNotEquals": {
                    "s3:x-amz-server-side-encryption-aws-kms-key-id": {"Ref": "CertificateKeyAlias"},
                },
                "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": False},
            },
        ),
        POLICY,
        "is denied",
    ),
    Case(WRITTEN, sparing("NoOtherWrites", "arn:aws:iam::111122223333:role/nobody"), POLICY, "nobody who may write"),
    # how it is asked for
    Case(PRESIGNED, policy_having("CertificateBucketPolicy", "NoPresignedAddress"), POLICY, "presigned"),
    Case(PRESIGNED, policy_having("CertificateBucketPolicy", "OnlySignatureVersion4"), POLICY, "old signature"),
    Case(PRESIGNED, _presigned_manifest, POLICY, "manifest/server.json"),
    Case(
        PRESIGNED,
        policy_having("CertificateBucketPolicy", "NoPresignedAddress", Action=["s3:GetObject*"]),
        POLICY,
        "s3:PutObject",
    ),
    Case(
        PRESIGNED,
        policy_having(
            "CertificateBucketPolicy",
            "NoPresignedAddress",
            Condition={"StringEquals": {"s3:authType": "QUERY-STRING"}},
        ),
        POLICY,
    ),
    # what is never forgotten
    Case(ERASED, policy_having("CertificateBucketPolicy", "NoOtherErasesVersions"), POLICY, "s3:DeleteObjectVersion"),
    Case(ERASED, sparing("NoOtherErasesVersions", ADMIN), POLICY, "CertificateAdminRole"),
    Case(ERASED, sparing("NoOtherErasesVersions", BREAK_GLASS, ADMIN), POLICY, "CertificateAdminRole"),
    Case(ERASED, sparing("NoOtherErasesVersions", "arn:aws:iam::111122223333:role/nobody"), POLICY, "nobody of ours"),
    Case(ERASED, _an_administrator_too, POLICY, "s3:DeleteObjectVersion denied to all"),
    Case(ERASED, sparing("NoOtherForgetsVersions", BREAK_GLASS, STACKS, SOMEBODY), POLICY, "PutBucketVersioning not"),
    Case(ERASED, _without_mfa, POLICY, "with MFA"),
    Case(ERASED, _by_a_service_too, POLICY, "with MFA"),
    Case(ERASED, policy_having("CertificateBucketPolicy", "NoOtherForgetsVersions"), POLICY, "PutBucketVersioning"),
    Case(ERASED, sparing("NoOtherForgetsVersions", BREAK_GLASS), POLICY, "PutLifecycleConfiguration not denied to"),
    Case(
        ERASED,
        policy_having("CertificateBucketPolicy", "NoOtherForgetsVersions", Action=["s3:PutBucketVersioning"]),
        POLICY,
        "PutLifecycleConfiguration",
    ),
    # who must, can
    Case(
        WORK, granting("BreakGlassMendsStore", "ReadAndPurgeVersions", ["s3:GetObjectVersion"]), "identity.BreakGlass"
    ),
    Case(WORK, granting("BreakGlassMendsStore", "MendBucket", ["s3:ListBucketVersions"]), "identity.", "BucketPolicy"),
    Case(
        WORK, granting("CertificateAdminKeepsCertificate", "FindVersions", ["s3:GetBucketPolicy"]), "identity.", "List"
    ),
    Case(WORK, granting("CertificateAdminKeepsCertificate", "KeepObjects", ["s3:PutObject"]), "identity.", "GetObject"),
    Case(
        CHANGED, policy_having("CertificateBucketPolicy", "NoOtherWrites", Action=["s3:PutObject"]), POLICY, "Tagging"
    ),
    Case(CHANGED, policy_having("CertificateBucketPolicy", "NoOtherDeletes"), POLICY, "s3:DeleteObject "),
    Case(LEADS, having("CertificateBucket", "WebsiteConfiguration", {"IndexDocument": "x"}), BUCKET),
    Case(LEADS, having("CertificateBucket", "ReplicationConfiguration", {"Role": "x", "Rules": []}), BUCKET),
    Case(LEADS, _access_point, "certificate_store.Another", "a way to"),
    Case(LEADS, _access_point_of_regions, "certificate_store.Another", "a way to"),
    Case(stores.nothing_locks_the_pair, having("CertificateBucket", "ObjectLockEnabled", value=True), BUCKET),
    Case(stores.nothing_locks_the_pair, having("CertificateBucket", "ObjectLockConfiguration", {"a": 1}), BUCKET),
]
