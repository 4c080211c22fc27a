"""
The task's role reads its pair, its manifest and one client at a time, and nothing else.

Every denial here is an attack by somebody who has the task's credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from tests.stacks.local_cloud.authorizer.account import BUCKET, FINGERPRINT, TABLE, Client, Deployed

Attack = Callable[[Client], Any]
KEY = {"fingerprint": {"S": FINGERPRINT}}
SELECTION = f'SELECT * FROM "{TABLE}"'  # noqa: S608 - PartiQL, and nobody's input in it


def denied(call: Callable[[], Any]) -> str:
    """Make a call that must be denied; tells what AWS says."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] in {"AccessDenied", "AccessDeniedException", "403"}, error
    return error.get("Message", "")


@pytest.mark.parametrize("key", [MANIFEST_KEY, CHAIN_KEY, PRIVATE_KEY_KEY])
def test_it_reads_its_objects(deployed: Deployed, key: str) -> None:
    task = deployed.as_role("task", "s3")

    assert task.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    assert deployed.refusals == []


@pytest.mark.parametrize("key", [CHAIN_KEY, PRIVATE_KEY_KEY])
def test_it_reads_the_version_that_the_manifest_names(deployed: Deployed, key: str) -> None:
    version = deployed.cloud.client("s3").head_object(Bucket=BUCKET, Key=key)["VersionId"]

    assert deployed.as_role("task", "s3").get_object(Bucket=BUCKET, Key=key, VersionId=version)


def test_it_finds_one_client(deployed: Deployed) -> None:
    assert "Item" in deployed.as_role("task", "dynamodb").get_item(TableName=TABLE, Key=KEY)
    assert deployed.refusals == []


@pytest.mark.parametrize(
    "attack",
    [
        lambda s3: s3.get_object(Bucket=BUCKET, Key="server/pending.key"),
        lambda s3: s3.get_object(Bucket=BUCKET, Key="elsewhere/other"),
        lambda s3: s3.get_object(Bucket=BUCKET, Key=f"{MANIFEST_KEY}/beside"),
        lambda s3: s3.get_object_acl(Bucket=BUCKET, Key=CHAIN_KEY),
        lambda s3: s3.get_object_tagging(Bucket=BUCKET, Key=CHAIN_KEY),
        lambda s3: s3.head_object(Bucket=BUCKET, Key="server/pending.key"),
        lambda s3: s3.list_objects_v2(Bucket=BUCKET),
        lambda s3: s3.list_object_versions(Bucket=BUCKET),
        lambda s3: s3.head_bucket(Bucket=BUCKET),
        lambda s3: s3.list_buckets(),
        lambda s3: s3.get_bucket_policy(Bucket=BUCKET),
        lambda s3: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda s3: s3.put_object(Bucket=BUCKET, Key=CHAIN_KEY, Body=b"another"),
        lambda s3: s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": CHAIN_KEY}),
        lambda s3: s3.create_multipart_upload(Bucket=BUCKET, Key=CHAIN_KEY),
        lambda s3: s3.delete_object(Bucket=BUCKET, Key=CHAIN_KEY),
        lambda s3: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": CHAIN_KEY}]}),
    ],
)
def test_it_does_nothing_else_with_the_bucket(deployed: Deployed, attack: Attack) -> None:
    denied(lambda: attack(deployed.as_role("task", "s3")))

    assert deployed.cloud.client("s3").get_object(Bucket=BUCKET, Key=CHAIN_KEY)["Body"].read() == CHAIN_KEY.encode()


@pytest.mark.parametrize(
    "attack",
    [
        lambda table: table.scan(TableName=TABLE),
        lambda table: table.query(
            TableName=TABLE,
            KeyConditionExpression="fingerprint = :one",
            ExpressionAttributeValues={":one": {"S": FINGERPRINT}},
        ),
        lambda table: table.put_item(TableName=TABLE, Item=KEY),
        lambda table: table.delete_item(TableName=TABLE, Key=KEY),
        lambda table: table.batch_get_item(RequestItems={TABLE: {"Keys": [KEY]}}),
        lambda table: table.batch_write_item(RequestItems={TABLE: [{"DeleteRequest": {"Key": KEY}}]}),
        lambda table: table.transact_write_items(TransactItems=[{"Delete": {"TableName": TABLE, "Key": KEY}}]),
        lambda table: table.execute_statement(Statement=SELECTION),
        lambda table: table.get_item(TableName="another", Key=KEY),
        lambda table: table.describe_table(TableName=TABLE),
        lambda table: table.delete_table(TableName=TABLE),
        lambda table: table.list_tables(),
    ],
)
def test_it_does_nothing_else_with_the_registry(deployed: Deployed, attack: Attack) -> None:
    denied(lambda: attack(deployed.as_role("task", "dynamodb")))

    assert "Item" in deployed.cloud.client("dynamodb").get_item(TableName=TABLE, Key=KEY)


@pytest.mark.parametrize("output", ["CertificateKeyArn", "ClientRegistryKeyArn"])
def test_it_does_not_use_the_keys_itself(deployed: Deployed, output: str) -> None:
    """What was encrypted elsewhere is not decrypted for it, with the key named or not."""
    key, kms = deployed.outputs[output], deployed.as_role("task", "kms")
    blob = deployed.cloud.client("kms").encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    attacks: list[Callable[[], Any]] = [
        lambda: kms.decrypt(CiphertextBlob=blob),
        lambda: kms.decrypt(CiphertextBlob=blob, KeyId=key),
        lambda: kms.encrypt(KeyId=key, Plaintext=b"x"),
        lambda: kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
        lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key),
        lambda: kms.describe_key(KeyId=key),
        lambda: kms.put_key_policy(KeyId=key, PolicyName="default", Policy="{}"),
        lambda: kms.create_grant(KeyId=key, GranteePrincipal="arn:aws:iam::123456789012:root", Operations=["Decrypt"]),
        lambda: kms.schedule_key_deletion(KeyId=key),
        kms.list_keys,
    ]

    for attack in attacks:
        denied(attack)


def test_its_credentials_are_worth_nothing_outside_the_vpc(deployed: Deployed) -> None:
    """Carried off, they meet the pin of the bucket's policy."""
    outside = deployed.as_role("task", "s3", inside=False)

    message = denied(lambda: outside.get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY))

    assert "with an explicit deny in a resource-based policy" in message
    assert f"(statement TaskOnlyThroughTheEndpoint of bucket policy {BUCKET})" in message
    assert deployed.refusals == [message]


@pytest.mark.parametrize(
    ("context", "statement"),
    [
        ({"aws:SecureTransport": "false"}, "OnlyOverTls"),
        ({"aws:SourceVpce": "vpce-00000000000000000"}, "TaskOnlyThroughTheEndpoint"),
        ({"aws:SourceVpce": None}, "TaskOnlyThroughTheEndpoint"),
        ({"s3:TlsVersion": "1.1"}, "OnlyOverTls12OrNewer"),
        ({"s3:signatureversion": "AWS"}, "OnlySignatureVersion4"),
        ({"s3:authType": "REST-QUERY-STRING"}, "NoPresignedAddress"),
    ],
)
def test_it_reads_only_as_the_bucket_wants_it(deployed: Deployed, context: dict[str, Any], statement: str) -> None:
    """What loopback cannot be otherwise, a header says to be."""
    task = deployed.as_role("task", "s3", context=context)

    message = denied(lambda: task.get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY))

    assert f"(statement {statement} of bucket policy {BUCKET})" in message


def test_a_missing_object_is_denied_to_who_may_not_list(deployed: Deployed) -> None:
    """S3 keeps to itself which objects there are: 404 is for those who may list the bucket (S3 API, GetObject)."""
    deployed.cloud.client("s3").delete_object(Bucket=BUCKET, Key=CHAIN_KEY)
    try:
        task = deployed.as_role("task", "s3")
        message = denied(lambda: task.get_object(Bucket=BUCKET, Key=CHAIN_KEY))
        keeper = deployed.as_role("certificate-admin", "s3", inside=False)
        with pytest.raises(keeper.exceptions.NoSuchKey):
            keeper.get_object(Bucket=BUCKET, Key=CHAIN_KEY)
    finally:
        deployed.fill()

    assert "s3:ListBucket" in message
