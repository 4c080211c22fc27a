"""Which key protects what, who can use it, and that none is lost."""

from __future__ import annotations

import pytest

from stacks.rules import keys
from stacks.rules.rule import Rule
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, statements

KEY = "certificate_store.CertificateKey.Properties"


def certificate_key(templates: Templates) -> Document:
    found: Document = templates.bodies["certificate_store"]["Resources"]["CertificateKey"]["Properties"]
    return found


def with_key(name: str, value: object) -> Spoil:
    """Set a property of the certificate's key; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        if value is ...:
            del certificate_key(templates)[name]
        else:
            certificate_key(templates)[name] = value

    return spoil


def certificate_bucket(templates: Templates) -> Document:
    found: Document = templates.bodies["certificate_store"]["Resources"]["CertificateBucket"]["Properties"]
    return found


def _by_alias(templates: Templates) -> None:
    (rule,) = certificate_bucket(templates)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] = {"Ref": "CertificateKeyAlias"}


def _table_by_id(templates: Templates) -> None:
    templates.properties("AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"] = {"Ref": "ClientRegistryKey"}


def _log_into_certificates_key(templates: Templates) -> None:
    resource = templates.resource("AWS::Logs::LogGroup")
    resource["Properties"]["KmsKeyId"] = {"Ref": "CertificateKeyArn"}
    stack = next(body for body in templates.bodies.values() if resource in body["Resources"].values())
    stack.setdefault("Parameters", {})["CertificateKeyArn"] = {"Type": "String"}


def lock(change: object) -> Spoil:
    """Set the actions the certificate's key denies."""
    return lambda templates: statements(certificate_key(templates)["KeyPolicy"])["NoOtherReadsWithIt"].update(
        Action=change
    )


def _one_administrator_more(templates: Templates) -> None:
    condition = statements(certificate_key(templates)["KeyPolicy"])["NoOtherReadsWithIt"]["Condition"]
    condition["ArnNotLike"]["aws:PrincipalArn"].append("arn:aws:iam::111122223333:role/Admin")


def handed_on(condition: Document) -> Spoil:
    """Say when CloudFormation's role may hand on the use of keys that bear our tag."""
    ours = {"StringEquals": {"aws:ResourceTag/mtls-ingress:environment": "mtls-ingress-staging"}}

    def spoil(templates: Templates) -> None:
        policy = templates.bodies["bootstrap"]["Resources"]["ExecutionStores"]["Properties"]["PolicyDocument"]
        statements(policy)["HandKeysToServices"]["Condition"] = ours | condition

    return spoil


def decryption(condition: Document | None) -> Spoil:
    """Set the condition under which the task may decrypt its pair."""

    def spoil(templates: Templates) -> None:
        policy = templates.bodies["certificate_store"]["Resources"]["TaskReadsCertificate"]["Properties"]
        statement = statements(policy["PolicyDocument"])["DecryptThroughS3"]
        del statement["Condition"]
        if condition is not None:
            statement["Condition"] = condition

    return spoil


LOCKED = keys.the_certificates_key_is_locked
TURNS = keys.keys_turn_and_end_late
THROUGH = keys.roles_use_keys_through_services
TASK = "certificate_store.TaskReadsCertificate"

CASES = [
    Case(keys.keys_are_named_by_their_arn, _by_alias, "certificate_store.CertificateBucket", "the ARN of a key"),
    Case(keys.keys_are_named_by_their_arn, _table_by_id, "client_registry.ClientRegistry", "the ARN of a key"),
    Case(
        keys.keys_are_named_by_their_arn,
        put("AWS::SNS::Topic", "KmsMasterKeyId", "alias/aws/sns"),
        "observability.AlarmTopic",
        "alias/aws/sns",
    ),
    Case(
        keys.keys_are_named_by_their_arn,
        put("AWS::Logs::LogGroup", "KmsKeyId", "arn:aws:kms:us-east-1:111122223333:key/of-somebody"),
        "observability.",
    ),
    Case(
        keys.each_key_protects_one_kind_of_data, _log_into_certificates_key, "certificate_store.CertificateKey", "and"
    ),
    Case(LOCKED, lock(["kms:Decrypt", "kms:ReEncrypt*"]), f"{KEY}.KeyPolicy", "kms:GenerateDataKey"),
    Case(LOCKED, lock(["kms:Decrypt", "kms:GenerateDataKey*"]), f"{KEY}.KeyPolicy", "kms:ReEncryptFrom"),
    Case(LOCKED, lock(["kms:GenerateDataKey*", "kms:ReEncrypt*"]), f"{KEY}.KeyPolicy", "kms:Decrypt"),
    Case(LOCKED, _one_administrator_more, f"{KEY}.KeyPolicy", "nothing denies"),
    Case(keys.no_key_skips_the_safety_check, with_key("BypassPolicyLockoutSafetyCheck", value=True), KEY),
    Case(keys.no_key_skips_the_safety_check, with_key("BypassPolicyLockoutSafetyCheck", "true"), KEY),
    Case(THROUGH, decryption(None), TASK, "whatever way"),
    Case(THROUGH, decryption({"StringLike": {"kms:ViaService": "*"}}), TASK),
    Case(THROUGH, decryption({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}), TASK),
    Case(THROUGH, decryption({"StringEqualsIfExists": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}), TASK),
    Case(THROUGH, handed_on({}), "bootstrap.ExecutionStores", "kms:CreateGrant for whomever"),
    Case(THROUGH, handed_on({"Bool": {"kms:GrantIsForAWSResource": False}}), "bootstrap.ExecutionStores"),
    Case(THROUGH, handed_on({"BoolIfExists": {"kms:GrantIsForAWSResource": True}}), "bootstrap.ExecutionStores"),
    Case(
        keys.contexts_of_objects_are_their_buckets,
        decryption({"StringEquals": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::bucket/server/key.pem"}}),
        TASK,
        "a bucket's ARN",
    ),
    Case(TURNS, with_key("EnableKeyRotation", value=False), f"{KEY}.EnableKeyRotation"),
    Case(TURNS, with_key("EnableKeyRotation", ...), f"{KEY}.EnableKeyRotation"),
    Case(TURNS, with_key("EnableKeyRotation", "true"), f"{KEY}.EnableKeyRotation"),
    Case(TURNS, with_key("PendingWindowInDays", 7), f"{KEY}.PendingWindowInDays", "30"),
    Case(TURNS, with_key("RotationPeriodInDays", 2560), f"{KEY}.RotationPeriodInDays", "365"),
    Case(TURNS, with_key("RotationPeriodInDays", 0), f"{KEY}.RotationPeriodInDays", "365"),
    Case(TURNS, with_key("Enabled", value=False), f"{KEY}.Enabled"),
    Case(TURNS, with_key("KeySpec", "RSA_2048"), f"{KEY}.KeySpec"),
    Case(TURNS, with_key("Origin", "EXTERNAL"), f"{KEY}.Origin"),
    Case(TURNS, with_key("KeyUsage", "SIGN_VERIFY"), f"{KEY}.KeyUsage"),
    Case(TURNS, with_key("MultiRegion", value=True), f"{KEY}.MultiRegion"),
    Case(
        keys.aliases_are_of_keys_of_ours,
        put("AWS::KMS::Alias", "TargetKeyId", "00000000-0000-0000-0000-000000000000"),
        "",
        "a key of the templates",
    ),
    Case(keys.aliases_are_of_keys_of_ours, put("AWS::KMS::Alias", "AliasName", "alias/aws/s3"), "", "a name of ours"),
    Case(keys.aliases_are_of_keys_of_ours, put("AWS::KMS::Alias", "AliasName", "certificates"), "", "a name of ours"),
]


def _image_key_for_backups(templates: Templates) -> None:
    templates.properties("AWS::ECR::Repository")["EncryptionConfiguration"] = {"EncryptionType": "KMS"}


GOOD = [
    pytest.param(TURNS, with_key("RotationPeriodInDays", 180), id="turning sooner"),
    pytest.param(TURNS, with_key("Enabled", value=True), id="in force, and saying so"),
    pytest.param(
        keys.no_key_skips_the_safety_check, with_key("BypassPolicyLockoutSafetyCheck", value=False), id="checked"
    ),
    pytest.param(
        keys.contexts_of_objects_are_their_buckets,
        decryption({"StringEquals": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::bucket"}}),
        id="the bucket as context",
    ),
    pytest.param(keys.each_key_protects_one_kind_of_data, _image_key_for_backups, id="a key of AWS's own"),
]


@pytest.mark.parametrize(("rule", "change"), GOOD)
def test_what_is_right_in_another_way_is_left_alone(rule: Rule, change: Spoil) -> None:
    templates = Templates.of()
    change(templates)

    assert rule(templates.estate()) == []
