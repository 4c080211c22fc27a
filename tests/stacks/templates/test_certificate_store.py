"""Two locks hold the private key, and neither shuts out those who must repair them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from service.contract import CHAIN_KEY, MANIFEST_KEY, PENDING_PRIVATE_KEY_KEY, PRIVATE_KEY_KEY
from stacks.catalog import assemble
from stacks.environment_file import parse_environment
from stacks.naming import RoleKind, certificate_bucket, role_arn
from tests.stacks.environments import NAMES, catalog, changed, environment, with_existing_network, with_tokens
from tests.stacks.templates.reading import denied_by, listed, of_type, properties, statements

ENDPOINT = "{'Ref': 'S3EndpointId'}"
"""The endpoint's id, as a policy is read that is not resolved yet."""
KEY_ARN = "{'Fn::GetAtt': ['CertificateKey', 'Arn']}"
OURS = {"task", "certificate-admin", "break-glass"}


def principals(name: str) -> dict[str, str]:
    facts = environment(name)
    ours = {kind: role_arn(facts, kind) for kind in get_args(RoleKind)}
    account = f"arn:aws:iam::{facts.account}"
    return ours | {
        "deployer": f"{account}:role/deploy",
        "administrator": f"{account}:role/administrator",
        "user": f"{account}:user/somebody",
        "root": f"{account}:root",
        "other account": "arn:aws:iam::999999999999:role/mtls-ingress-staging-task",
        "other environment": f"{account}:role/mtls-ingress-other-task",
        "longer name": role_arn(facts, "task") + "-2",
    }


def request(principal: str, **changes: str) -> dict[str, str]:
    """Describe a request as it should be, but for one thing."""
    good = {
        "aws:PrincipalArn": principal,
        "aws:SecureTransport": "true",
        "s3:TlsVersion": "1.3",
        "s3:authType": "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "aws:SourceVpce": ENDPOINT,
    }
    return {**good, **{name.replace("__", ":"): value for name, value in changes.items()}}


def bucket_policy(name: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = properties(catalog(name), "certificate_store", "CertificateBucketPolicy")[
        "PolicyDocument"
    ]
    return document


def address(name: str, key: str) -> str:
    return f"arn:aws:s3:::{certificate_bucket(environment(name))}/{key}"


def judge(name: str, action: str, key: str, context: Mapping[str, str]) -> set[str]:
    return denied_by(bucket_policy(name), action, address(name, key), context)


# -- the bucket's lock -----------------------------------------------------------


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAcl"])
@pytest.mark.parametrize("key", [CHAIN_KEY, PRIVATE_KEY_KEY, PENDING_PRIVATE_KEY_KEY])
def test_three_roles_read_key_objects_and_nobody_else(action: str, key: str) -> None:
    """An administrator of the account is nobody here, and so is its root (K4)."""
    readers = {who for who, arn in principals("staging").items() if not judge("staging", action, key, request(arn))}

    assert readers == OURS


@pytest.mark.parametrize(
    ("action", "writers"),
    [
        ("s3:PutObject", {"certificate-admin"}),
        ("s3:PutObjectTagging", {"certificate-admin"}),
        ("s3:RestoreObject", {"certificate-admin"}),
        ("s3:DeleteObject", {"certificate-admin", "break-glass"}),
        ("s3:DeleteObjectVersion", {"break-glass"}),
        ("s3:DeleteObjectVersionTagging", {"break-glass"}),
    ],
)
@pytest.mark.parametrize("key", [PRIVATE_KEY_KEY, MANIFEST_KEY, "elsewhere/object"])
def test_one_role_writes_and_one_other_purges(action: str, writers: set[str], key: str) -> None:
    """A lost key is purged with all its versions, by whoever broke the glass and nobody else (K20, K21)."""
    found = {who for who, arn in principals("staging").items() if not judge("staging", action, key, request(arn))}

    assert found == writers


@pytest.mark.parametrize("action", ["s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"])
def test_versions_are_forgotten_by_break_glass_alone_and_a_stack_can_still_be_changed(action: str) -> None:
    """In the place of MFA Delete and Object Lock (K20)."""
    bucket = address("staging", "").removesuffix("/")
    arns = principals("staging").items()

    found = {who for who, arn in arns if not denied_by(bucket_policy("staging"), action, bucket, request(arn))}

    assert found == {"break-glass", "cloudformation"}


def test_the_manifest_is_open_to_whom_the_account_lets_read_it() -> None:
    assert not judge("staging", "s3:GetObject", MANIFEST_KEY, request(principals("staging")["deployer"]))


@pytest.mark.parametrize(
    "action", ["s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutEncryptionConfiguration"]
)
def test_whoever_repairs_the_bucket_is_not_shut_out(action: str) -> None:
    """Denying these has locked out whole teams, their pipelines included (K3)."""
    bucket = address("staging", "").removesuffix("/")

    assert not denied_by(bucket_policy("staging"), action, bucket, request(principals("staging")["deployer"]))


@pytest.mark.parametrize(
    ("change", "value", "statement"),
    [
        ("aws__SecureTransport", "false", "OnlyOverTls"),
        ("s3__TlsVersion", "1.1", "OnlyOverTls12OrNewer"),
        ("s3__authType", "REST-QUERY-STRING", "NoPresignedAddress"),
        ("s3__signatureversion", "AWS", "OnlySignatureVersion4"),
        ("aws__SourceVpce", "vpce-of-somebody-else", "TaskOnlyThroughTheEndpoint"),
    ],
)
def test_even_the_task_is_denied(change: str, value: str, statement: str) -> None:
    task = principals("staging")["task"]

    found = judge("staging", "s3:GetObject", PRIVATE_KEY_KEY, request(task, **{change: value}))

    assert found == {statement}


def test_the_task_is_denied_from_outside_any_endpoint() -> None:
    context = request(principals("staging")["task"])
    del context["aws:SourceVpce"]

    assert judge("staging", "s3:GetObject", CHAIN_KEY, context) == {"TaskOnlyThroughTheEndpoint"}


def test_somebody_elses_endpoints_are_pinned_where_they_are_named() -> None:
    text = with_existing_network().replace("egress =", 's3_endpoint_ids = ["vpce-0123456789abcdef0"]\negress =')
    found = assemble(parse_environment(text, Path("staging.toml")))

    document = properties(found, "certificate_store", "CertificateBucketPolicy")["PolicyDocument"]
    task = principals("staging")["task"]
    through, beside = (
        denied_by(document, "s3:GetObject", address("staging", CHAIN_KEY), request(task, aws__SourceVpce=endpoint))
        for endpoint in ("vpce-0123456789abcdef0", "vpce-0000000000000000f")
    )
    assert not through
    assert beside == {"TaskOnlyThroughTheEndpoint"}


def test_somebody_elses_network_without_named_endpoints_has_none_to_pin() -> None:
    """Which endpoints the VPC has is not ours to know."""
    found = assemble(parse_environment(with_existing_network(), Path("staging.toml")))

    document = properties(found, "certificate_store", "CertificateBucketPolicy")["PolicyDocument"]
    assert "TaskOnlyThroughTheEndpoint" not in statements(document)
    assert "S3EndpointId" not in found["certificate_store"].template.get("Parameters", {})


# -- encryption --------------------------------------------------------------------

ENCRYPTION = "s3:x-amz-server-side-encryption"
KEY_ID = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.mark.parametrize(
    ("asked", "statements_denying"),
    [
        ({}, set()),
        ({ENCRYPTION: "aws:kms"}, {"OnlyWithANamedKey"}),
        ({ENCRYPTION: "aws:kms", KEY_ID: KEY_ARN}, set()),
        ({ENCRYPTION: "aws:kms", KEY_ID: "arn:aws:kms:us-east-1:1:key/other"}, {"OnlyEncryptedWithOurKey"}),
        ({ENCRYPTION: "AES256"}, {"OnlyEncryptedByKms"}),
    ],
)
def test_an_upload_has_the_buckets_encryption_or_none_of_its_own(
    asked: dict[str, str], statements_denying: set[str]
) -> None:
    """A negated condition holds for an absent key too: without its Null every plain upload would be denied (K9)."""
    context = request(principals("staging")["certificate-admin"]) | asked

    assert judge("staging", "s3:PutObject", PRIVATE_KEY_KEY, context) == statements_denying


def test_the_manifest_may_have_s3s_own_encryption() -> None:
    context = request(principals("staging")["certificate-admin"]) | {ENCRYPTION: "AES256"}

    assert not judge("staging", "s3:PutObject", MANIFEST_KEY, context)


def test_the_bucket_encrypts_with_our_key_by_its_arn() -> None:
    (rule,) = properties(catalog(), "certificate_store", "CertificateBucket")["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]

    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": {"Fn::GetAtt": ["CertificateKey", "Arn"]},
    }
    assert rule["BucketKeyEnabled"] is True
    assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}


# -- the key's lock ------------------------------------------------------------------


@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom"])
def test_three_roles_use_the_key_and_nobody_else(action: str) -> None:
    policy = properties(catalog(), "certificate_store", "CertificateKey")["KeyPolicy"]

    users = {
        who
        for who, arn in principals("staging").items()
        if not denied_by(policy, action, "*", {"aws:PrincipalArn": arn})
    }

    assert users == OURS


@pytest.mark.parametrize("action", ["kms:PutKeyPolicy", "kms:DescribeKey", "kms:ScheduleKeyDeletion"])
def test_the_key_can_always_be_managed(action: str) -> None:
    policy = properties(catalog(), "certificate_store", "CertificateKey")["KeyPolicy"]
    root = principals("staging")["root"]

    assert not denied_by(policy, action, "*", {"aws:PrincipalArn": root})
    assert statements(policy)["ManagedByTheAccount"]["Principal"] == {"AWS": root}


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_rotated_and_can_be_saved_from_deletion_for_a_month(name: str) -> None:
    keys = of_type(catalog(name), "AWS::KMS::Key")

    assert len(of_type(catalog(name), "AWS::KMS::Alias")) == len(keys)
    assert all(key["EnableKeyRotation"] is True and key["PendingWindowInDays"] == 30 for key in keys.values())


# -- grants ---------------------------------------------------------------------------


def test_the_task_reads_manifest_and_pair_and_lists_nothing() -> None:
    policy = properties(catalog(), "certificate_store", "TaskReadsCertificate")
    found = statements(policy["PolicyDocument"])

    assert policy["Roles"] == [{"Ref": "TaskRoleName"}]
    assert listed(found["ReadManifest"]["Resource"]) == [address("staging", MANIFEST_KEY)]
    assert listed(found["ReadPair"]["Resource"]) == [address("staging", key) for key in (CHAIN_KEY, PRIVATE_KEY_KEY)]
    assert found["DecryptThroughS3"]["Condition"] == {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    assert {action for statement in found.values() for action in statement["Action"]} == {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "kms:Decrypt",
    }


def test_the_certificates_keeper_may_what_the_ceremonies_do() -> None:
    policy = properties(catalog(), "certificate_store", "CertificateAdminKeepsCertificate")
    found = statements(policy["PolicyDocument"])

    assert policy["Roles"] == [{"Ref": "CertificateAdminRoleName"}]
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"} <= set(found["KeepObjects"]["Action"])
    assert set(found["EncryptAndDecryptThroughS3"]["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_whoever_breaks_the_glass_can_purge_and_mend() -> None:
    policy = properties(catalog(), "certificate_store", "BreakGlassMendsStore")
    found = statements(policy["PolicyDocument"])

    assert policy["Roles"] == [{"Ref": "BreakGlassRoleName"}]
    assert "s3:DeleteObjectVersion" in found["ReadAndPurgeVersions"]["Action"]
    assert {"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:ListBucketVersions"} <= set(
        found["MendBucket"]["Action"]
    )
    assert {"kms:PutKeyPolicy", "kms:EnableKey", "kms:CancelKeyDeletion"} <= set(found["MendKey"]["Action"])


# -- both buckets -----------------------------------------------------------------------


@pytest.mark.parametrize("bucket", ["CertificateBucket", "LogBucket"])
def test_a_bucket_is_closed_owned_and_versioned(bucket: str) -> None:
    found = properties(catalog(), "certificate_store", bucket)

    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    assert found["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}


def test_what_the_service_boots_with_never_expires() -> None:
    rules = properties(catalog(), "certificate_store", "CertificateBucket")["LifecycleConfiguration"]["Rules"]

    assert not [rule for rule in rules if "ExpirationInDays" in rule]
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule] == [
        {"NoncurrentDays": 90}
    ]


def test_the_log_bucket_has_s3s_own_encryption() -> None:
    """Logs of a load balancer are not delivered under any other (E13)."""
    (rule,) = properties(catalog(), "certificate_store", "LogBucket")["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]

    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_logs_are_delivered_by_service_and_in_older_regions_by_account() -> None:
    document = properties(catalog(), "certificate_store", "LogBucketPolicy")["PolicyDocument"]
    found = statements(document)

    assert document["Statement"][0]["Sid"] == "DeliverBucketAccessLogs"
    assert found["DeliverBucketAccessLogs"]["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert found["DeliverLoadBalancerLogs"]["Principal"] == {
        "Service": "logdelivery.elasticloadbalancing.amazonaws.com"
    }
    assert found["DeliverLoadBalancerLogsByAccount"]["Principal"] == {"AWS": "arn:aws:iam::127311923021:root"}
    assert found["DeliverLoadBalancerLogsByAccount"]["Resource"].endswith("/load-balancer/AWSLogs/111122223333/*")


def test_flow_logs_of_our_own_network_are_let_in() -> None:
    own = statements(properties(catalog(), "certificate_store", "LogBucketPolicy")["PolicyDocument"])
    foreign = assemble(parse_environment(with_existing_network(), Path("staging.toml")))
    others = statements(properties(foreign, "certificate_store", "LogBucketPolicy")["PolicyDocument"])

    assert own["DeliverFlowLogs"]["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    assert own["DeliverFlowLogs"]["Resource"].endswith("/flow/AWSLogs/111122223333/*")
    assert own["AskForTheAccessList"]["Action"] == ["s3:GetBucketAcl"]
    assert not {"DeliverFlowLogs", "AskForTheAccessList"} & set(others)


def test_a_change_of_an_object_is_an_event() -> None:
    found = properties(catalog(), "certificate_store", "CertificateBucket")["NotificationConfiguration"]

    assert found == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_in_a_region_of_today_no_account_delivers_logs() -> None:
    facts = changed(
        ('region = "us-east-1"', 'region = "ap-southeast-5"'),
        ('["us-east-1a", "us-east-1b"]', '["ap-southeast-5a", "ap-southeast-5b"]'),
    )

    document = properties(assemble(facts), "certificate_store", "LogBucketPolicy")["PolicyDocument"]

    assert "DeliverLoadBalancerLogsByAccount" not in statements(document)


def test_the_certificate_bucket_waits_until_it_may_write_its_log() -> None:
    template = catalog()["certificate_store"].template

    assert template["Resources"]["CertificateBucket"]["DependsOn"] == "LogBucketPolicy"


# -- a token issuer's keys ---------------------------------------------------------


KEYS = "tokens/issuer.json"


def judge_tokens(action: str, key: str, context: Mapping[str, str]) -> set[str]:
    document = properties(assemble(with_tokens()), "certificate_store", "CertificateBucketPolicy")["PolicyDocument"]
    return denied_by(document, action, address("staging", key), context)


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:RestoreObject", "s3:PutObjectTagging"])
def test_whoever_could_write_the_keys_could_sign_tokens_so_one_role_may(action: str) -> None:
    writers = {who for who, arn in principals("staging").items() if not judge_tokens(action, KEYS, request(arn))}

    assert writers == {"certificate-admin"}


def test_the_keys_are_read_signed_over_tls_and_through_the_endpoint() -> None:
    task = principals("staging")["task"]
    elsewhere = request(task, aws__SourceVpce="vpce-of-somebody-else")

    assert not judge_tokens("s3:GetObject", KEYS, request(task))
    assert judge_tokens("s3:GetObject", KEYS, elsewhere) == {"TaskOnlyThroughTheEndpoint"}
    assert judge_tokens("s3:GetObject", KEYS, request(task, s3__authType="REST-QUERY-STRING")) == {"NoPresignedAddress"}


def test_the_task_reads_that_one_object_and_only_where_keys_are_kept_here() -> None:
    found = assemble(with_tokens())
    by_file = statements(properties(found, "certificate_store", "TaskReadsCertificate")["PolicyDocument"])

    assert listed(by_file["ReadKeySet"]["Action"]) == ["s3:GetObject"]
    assert listed(by_file["ReadKeySet"]["Resource"]) == [address("staging", KEYS)]
    by_url = assemble(with_tokens((f'"{KEYS}"', '"https://issuer.example/keys"')))
    assert by_url["certificate_store"].body == catalog("staging")["certificate_store"].body
