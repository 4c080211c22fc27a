"""Every bucket, whatever it is for: closed, owned, versioned, reached over TLS alone, logged."""

from __future__ import annotations

from typing import Any

from stacks.rules import buckets
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, statements

STORE = "certificate_store"
CERTIFICATES = f"{STORE}.CertificateBucket.Properties"
LOGS = f"{STORE}.LogBucket.Properties"
LOG_POLICY = f"{STORE}.LogBucketPolicy.Properties"


def properties(templates: Templates, logical_id: str) -> Document:
    found: Document = templates.bodies[STORE]["Resources"][logical_id]["Properties"]
    return found


def having(logical_id: str, path: str, value: object) -> Spoil:
    """Set a property of a resource of the store by its dotted path; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        *way, last = path.split(".")
        found: Any = properties(templates, logical_id)
        for part in way:
            found = found[int(part)] if isinstance(found, list) else found.setdefault(part, {})
        if value is ...:
            del found[last]
        else:
            found[last] = value

    return spoil


def without(logical_id: str) -> Spoil:
    """Take a resource of the store away."""
    return lambda templates: templates.bodies[STORE]["Resources"].pop(logical_id)


def policy_having(logical_id: str, sid: str, **changes: object) -> Spoil:
    """Change elements of a statement of a bucket's policy; `...` takes the statement away."""

    def spoil(templates: Templates) -> None:
        document = properties(templates, logical_id)["PolicyDocument"]
        statement = statements(document)[sid]
        if changes:
            statement.update(changes)
        else:
            document["Statement"].remove(statement)

    return spoil


def _policy_of_another(templates: Templates) -> None:
    properties(templates, "CertificateBucketPolicy")["Bucket"] = {"Ref": "LogBucket"}


def _second_bucket(templates: Templates) -> None:
    templates.bodies["images"]["Resources"]["Other"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "x-1"}}


def _named_alike(templates: Templates) -> None:
    properties(templates, "LogBucket")["BucketName"] = properties(templates, "CertificateBucket")["BucketName"]


def only_on(what: str) -> Spoil:
    """Have the denial without TLS name the bucket alone, or its objects."""

    def spoil(templates: Templates) -> None:
        document = properties(templates, "CertificateBucketPolicy")["PolicyDocument"]
        for sid in ("OnlyOverTls", "OnlyOverTls12OrNewer"):
            statement = statements(document)[sid]
            statement["Resource"] = [arn for arn in statement["Resource"] if arn.endswith("/*") is (what == "objects")]

    return spoil


def lifecycle(*rules: Document) -> Spoil:
    """Set the lifecycle of the certificate's bucket."""
    return having("CertificateBucket", "LifecycleConfiguration", {"Rules": list(rules)})


ABORTS = {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
FORGETS = {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 90}}
ACCOUNT = {"aws:SourceAccount": "111122223333"}

CLOSED = buckets.every_bucket_is_closed
OWNED = buckets.no_bucket_knows_access_lists
KEPT = buckets.every_bucket_keeps_versions
FORGOTTEN = buckets.every_bucket_forgets_what_is_left_over
OVER_TLS = buckets.every_bucket_is_reached_over_tls_alone
NAMED = buckets.every_bucket_has_a_name_of_ours
LOGGED = buckets.every_bucket_but_the_logs_own_is_logged
LET_IN = buckets.logs_of_requests_are_let_in
FLOW = buckets.flow_logs_are_let_in
TAKES = buckets.log_buckets_take_what_is_delivered
BLOCK = "PublicAccessBlockConfiguration"

CASES = [
    Case(CLOSED, having("CertificateBucket", f"{BLOCK}.BlockPublicAcls", value=False), f"{CERTIFICATES}.{BLOCK}"),
    Case(CLOSED, having("LogBucket", f"{BLOCK}.BlockPublicPolicy", "true"), f"{LOGS}.{BLOCK}.BlockPublicPolicy"),
    Case(CLOSED, having("LogBucket", f"{BLOCK}.IgnorePublicAcls", ...), f"{LOGS}.{BLOCK}.IgnorePublicAcls"),
    Case(CLOSED, having("LogBucket", f"{BLOCK}.RestrictPublicBuckets", "True"), f"{LOGS}.{BLOCK}"),
    Case(CLOSED, having("LogBucket", BLOCK, ...), f"{LOGS}.{BLOCK}"),
    Case(CLOSED, _second_bucket, "images.Other"),
    Case(OWNED, having("LogBucket", "OwnershipControls", ...), LOGS),
    Case(OWNED, having("LogBucket", "OwnershipControls.Rules", [{"ObjectOwnership": "ObjectWriter"}]), LOGS),
    Case(OWNED, having("LogBucket", "AccessControl", "LogDeliveryWrite"), f"{LOGS}.AccessControl"),
    Case(KEPT, having("CertificateBucket", "VersioningConfiguration.Status", "Suspended"), CERTIFICATES, "Suspended"),
    Case(KEPT, having("LogBucket", "VersioningConfiguration", ...), LOGS, "nothing"),
    Case(FORGOTTEN, having("CertificateBucket", "LifecycleConfiguration", ...), CERTIFICATES, "Noncurrent"),
    Case(FORGOTTEN, lifecycle(FORGETS), CERTIFICATES, "AbortIncompleteMultipartUpload"),
    Case(FORGOTTEN, lifecycle(ABORTS, {**FORGETS, "Status": "Disabled"}), CERTIFICATES, "NoncurrentVersionExpiration"),
    Case(FORGOTTEN, lifecycle(ABORTS, {**FORGETS, "Prefix": "server/"}), CERTIFICATES, "NoncurrentVersionExpiration"),
    Case(FORGOTTEN, lifecycle(ABORTS, {**FORGETS, "NoncurrentVersionExpiration": {"NoncurrentDays": 0}}), CERTIFICATES),
    Case(OVER_TLS, without("CertificateBucketPolicy"), f"{STORE}.CertificateBucket", "no AWS::S3::BucketPolicy"),
    Case(OVER_TLS, without("LogBucketPolicy"), f"{STORE}.LogBucket", "no AWS::S3::BucketPolicy"),
    Case(OVER_TLS, _policy_of_another, f"{STORE}.CertificateBucket", "no AWS::S3::BucketPolicy"),
    Case(OVER_TLS, _policy_of_another, f"{STORE}.", "one policy of certificate_store.LogBucket alone"),
    Case(OVER_TLS, policy_having("CertificateBucketPolicy", "OnlyOverTls"), f"{STORE}.CertificateBucketPolicy"),
    Case(OVER_TLS, policy_having("LogBucketPolicy", "OnlyOverTls12OrNewer"), LOG_POLICY, "TLS 1.1"),
    Case(OVER_TLS, policy_having("LogBucketPolicy", "OnlyOverTls", Effect="Allow"), LOG_POLICY, "no TLS"),
    Case(OVER_TLS, policy_having("LogBucketPolicy", "OnlyOverTls", Action=["s3:GetObject"]), LOG_POLICY, "PutObject"),
    Case(
        OVER_TLS,
        policy_having("LogBucketPolicy", "OnlyOverTls", Principal={"AWS": "111122223333"}),
        LOG_POLICY,
        "nothing denies",
    ),
    Case(OVER_TLS, only_on("bucket"), f"{STORE}.CertificateBucketPolicy", "s3:GetObject"),
    Case(OVER_TLS, only_on("objects"), f"{STORE}.CertificateBucketPolicy", "s3:ListBucket"),
    Case(NAMED, having("LogBucket", "BucketName", "Logs_of_Ours"), f"{LOGS}.BucketName", "small letters"),
    Case(NAMED, having("LogBucket", "BucketName", ...), f"{LOGS}.BucketName", "nothing"),
    Case(NAMED, having("LogBucket", "BucketName", "a" * 64), f"{LOGS}.BucketName"),
    Case(NAMED, having("LogBucket", "BucketName", "xn--logs"), f"{LOGS}.BucketName"),
    Case(buckets.no_two_buckets_share_a_name, _named_alike, STORE, "another name than that of certificate_store."),
    Case(LOGGED, having("CertificateBucket", "LoggingConfiguration", ...), f"{CERTIFICATES}.LoggingConfiguration"),
    Case(
        LOGGED,
        having("CertificateBucket", "LoggingConfiguration.DestinationBucketName", {"Ref": "CertificateBucket"}),
        CERTIFICATES,
        "itself",
    ),
    Case(LOGGED, having("CertificateBucket", "LoggingConfiguration.DestinationBucketName", "others"), CERTIFICATES),
    Case(LOGGED, _second_bucket, "images.Other", "a bucket of the templates"),
    Case(LET_IN, policy_having("LogBucketPolicy", "DeliverBucketAccessLogs"), LOG_POLICY, "logging.s3.amazonaws.com"),
    Case(LET_IN, having("CertificateBucket", "LoggingConfiguration.LogFilePrefix", "elsewhere/"), LOG_POLICY),
    Case(
        LET_IN,
        policy_having(
            "LogBucketPolicy",
            "DeliverBucketAccessLogs",
            Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::another"}, "StringEquals": ACCOUNT},
        ),
        LOG_POLICY,
    ),
    Case(FLOW, policy_having("LogBucketPolicy", "DeliverFlowLogs"), LOG_POLICY, "s3:PutObject"),
    Case(
        FLOW,
        put("AWS::EC2::FlowLog", "LogDestination", "arn:aws:s3:::somebody-elses/flow/"),
        "observability.",
        "a bucket of the templates",
    ),
    Case(FLOW, policy_having("LogBucketPolicy", "AskForTheAccessList"), LOG_POLICY, "s3:GetBucketAcl"),
    Case(
        FLOW,
        policy_having("LogBucketPolicy", "DeliverFlowLogs", Principal={"Service": "vpc-flow-logs.amazonaws.com"}),
        LOG_POLICY,
    ),
    Case(
        TAKES,
        having(
            "LogBucket",
            "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault",
            {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["CertificateKey", "Arn"]}},
        ),
        LOGS,
        "AES256",
    ),
    Case(TAKES, having("LogBucket", "LifecycleConfiguration.Rules.0.ExpirationInDays", 90), LOGS, "365 at least"),
    Case(TAKES, having("LogBucket", "BucketEncryption", ...), f"{LOGS}.BucketEncryption"),
    Case(
        TAKES,
        having(
            "LogBucket", "ObjectLockConfiguration", {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
        ),
        f"{LOGS}.ObjectLockConfiguration",
    ),
]


def test_a_bucket_in_the_accounts_own_namespace_needs_no_name() -> None:
    templates = Templates.of()
    bucket = properties(templates, "LogBucket")
    del bucket["BucketName"]
    bucket |= {"BucketNamespace": "account-regional", "BucketNamePrefix": "logs"}

    assert NAMED(templates.estate()) == []
