"""The policies that stand are those that judge: changed, taken away, bounded, unreadable, and the key behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.contract import CHAIN_KEY, MANIFEST_KEY
from stacks import naming
from tests.stacks.deployment.small import LOCAL
from tests.stacks.local_cloud.authorizer.account import BUCKET, FINGERPRINT, TABLE, Deployed
from tests.stacks.local_cloud.authorizer.test_task_role import KEY, denied

Json = Any
TASK = naming.role_name(LOCAL, "task")


@contextmanager
def bucket_policy(deployed: Deployed, change: Callable[[list[Json]], None]) -> Iterator[None]:
    """Change the statements of the bucket's policy for a while."""
    s3 = deployed.cloud.client("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    policy = json.loads(before)
    change(policy["Statement"])
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=before)


@contextmanager
def boundary(deployed: Deployed, arn: str) -> Iterator[None]:
    """Bound the task role otherwise for a while."""
    iam = deployed.cloud.client("iam")
    before = iam.get_role(RoleName=TASK)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"]
    iam.put_role_permissions_boundary(RoleName=TASK, PermissionsBoundary=arn)
    try:
        yield
    finally:
        iam.put_role_permissions_boundary(RoleName=TASK, PermissionsBoundary=before)


def get(deployed: Deployed, key: str = CHAIN_KEY) -> Any:
    return deployed.as_role("task", "s3").get_object(Bucket=BUCKET, Key=key)


def test_a_change_counts_at_the_next_call(deployed: Deployed) -> None:
    denial = {
        "Sid": "Closed",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/{MANIFEST_KEY}",
    }

    with bucket_policy(deployed, lambda statements: statements.append(denial)):
        assert f"(statement Closed of bucket policy {BUCKET})" in denied(lambda: get(deployed, MANIFEST_KEY))

    assert get(deployed, MANIFEST_KEY)


def test_a_policy_taken_from_the_role_counts_no_more(deployed: Deployed) -> None:
    iam = deployed.cloud.client("iam")
    attached = iam.list_attached_role_policies(RoleName=TASK)["AttachedPolicies"]
    (arn,) = (each["PolicyArn"] for each in attached if "TaskReadsRegistry" in each["PolicyName"])
    iam.detach_role_policy(RoleName=TASK, PolicyArn=arn)
    try:
        message = denied(lambda: deployed.as_role("task", "dynamodb").get_item(TableName=TABLE, Key=KEY))
    finally:
        iam.attach_role_policy(RoleName=TASK, PolicyArn=arn)

    assert "because no identity-based policy allows the dynamodb:GetItem action" in message
    assert "Item" in deployed.as_role("task", "dynamodb").get_item(TableName=TABLE, Key=KEY)


def test_a_tables_own_policy_decides_too(deployed: Deployed) -> None:
    dynamodb = deployed.cloud.client("dynamodb")
    arn = dynamodb.describe_table(TableName=TABLE)["Table"]["TableArn"]
    denial = {"Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": arn}
    dynamodb.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [denial]}))
    try:
        message = denied(lambda: deployed.as_role("task", "dynamodb").get_item(TableName=TABLE, Key=KEY))
    finally:
        dynamodb.delete_resource_policy(ResourceArn=arn)

    assert f"(statement Closed of table policy {TABLE})" in message


def test_a_boundary_bounds(deployed: Deployed) -> None:
    with boundary(deployed, "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess"):
        message = denied(lambda: get(deployed))

    assert "because no permissions boundary allows the s3:GetObject action" in message


def test_a_boundary_that_is_not_there_lets_nothing_through(deployed: Deployed) -> None:
    with boundary(deployed, "arn:aws:iam::123456789012:policy/gone"):
        message = denied(lambda: get(deployed))

    assert "arn:aws:iam::123456789012:policy/gone, which does not exist" in message


def test_a_policy_nobody_can_read_lets_nothing_through(deployed: Deployed) -> None:
    """What cannot be judged is refused, and says so."""
    strange = {
        "Sid": "Strange",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "*",
        "Condition": {"StringMaybe": {"aws:PrincipalArn": "x"}},
    }

    with bucket_policy(deployed, lambda statements: statements.append(strange)):
        message = denied(lambda: get(deployed))

    assert "the condition operator StringMaybe is unknown" in message


def test_with_a_key_that_is_disabled_or_gone_nobody_reads(deployed: Deployed) -> None:
    kms, key = deployed.cloud.client("kms"), deployed.outputs["CertificateKeyArn"].rpartition("/")[2]
    found = []
    try:
        for spoil in (kms.disable_key, kms.schedule_key_deletion):
            spoil(KeyId=key)
            with pytest.raises(ClientError) as caught:
                get(deployed)
            found.append(caught.value.response["Error"]["Code"])
    finally:
        kms.cancel_key_deletion(KeyId=key)
        kms.enable_key(KeyId=key)

    assert found == ["KMS.DisabledException", "KMS.KMSInvalidStateException"]
    assert get(deployed)


def test_a_key_that_is_not_there_encrypts_nothing(deployed: Deployed) -> None:
    with pytest.raises(ClientError, match=r"KMS\.NotFoundException"):
        deployed.as_operator("s3").put_object(
            Bucket=naming.log_bucket(LOCAL), Key="x", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId="nobody"
        )


def test_keys_of_dynamodb_conditions_are_there(deployed: Deployed) -> None:
    """A role that may read one item alone, by dynamodb:LeadingKeys."""
    iam, name = deployed.cloud.client("iam"), "OneItem"
    only = {"ForAllValues:StringNotEquals": {"dynamodb:LeadingKeys": [FINGERPRINT]}}
    denial = {"Sid": "One", "Effect": "Deny", "Action": "dynamodb:*", "Resource": "*", "Condition": only}
    document = json.dumps({"Version": "2012-10-17", "Statement": [denial]})
    iam.put_role_policy(RoleName=TASK, PolicyName=name, PolicyDocument=document)
    try:
        table = deployed.as_role("task", "dynamodb")
        assert "Item" in table.get_item(TableName=TABLE, Key=KEY)
        message = denied(lambda: table.get_item(TableName=TABLE, Key={"fingerprint": {"S": "another"}}))
    finally:
        iam.delete_role_policy(RoleName=TASK, PolicyName=name)

    assert "with an explicit deny in an identity-based policy (statement One of OneItem)" in message
