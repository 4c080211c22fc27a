"""Each request is read as the actions it needs; one that nobody knows is not let through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.s3.models import _VersionedKeyStore
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from stacks.local_cloud.authorizer.asked import UnknownCallError
from stacks.local_cloud.authorizer.deployed import Deployed
from stacks.local_cloud.authorizer.key_calls import KeyCalls, NoSuchKeyError
from stacks.local_cloud.authorizer.s3_calls import S3Calls
from stacks.local_cloud.authorizer.table_calls import TableCalls


class Shelf(Deployed):
    """An account with one bucket, without policies, keys or tables."""

    def __init__(self) -> None:
        super().__init__("us-east-1", "123456789012", "aws")

    def bucket(self, name: str) -> Any:
        """Find the bucket."""
        return _Bucket() if name == "b" else None

    def key(self, identity: str) -> Any:
        """Find no key."""
        del identity

    def table(self, name: str) -> Any:
        """Find no table."""
        del name

    def table_policies(self, arn: str) -> tuple[()]:
        """Find no policy."""
        del arn
        return ()


class _Bucket:
    policy = None
    encryption = None
    keys = _VersionedKeyStore()


def request_of(method: str, path: str, headers: dict[str, str], body: str) -> Request:
    return Request(EnvironBuilder(method=method, path=path, headers=Headers(headers), data=body.encode()).get_environ())


def actions(method: str, path: str, headers: dict[str, str] | None = None, body: str = "") -> list[str]:
    request = request_of(method, path, headers or {}, body)
    return [
        f"{asked.action} {asked.resource.removeprefix('arn:aws:s3:::')}" for asked in S3Calls(Shelf()).asked(request)
    ]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", ["s3:ListAllMyBuckets *"]),
        ("GET", "/b", ["s3:ListBucket b"]),
        ("HEAD", "/b", ["s3:ListBucket b"]),
        ("GET", "/b?list-type=2&prefix=x", ["s3:ListBucket b"]),
        ("GET", "/b?versions", ["s3:ListBucketVersions b"]),
        ("GET", "/b?uploads", ["s3:ListBucketMultipartUploads b"]),
        ("GET", "/b?policy", ["s3:GetBucketPolicy b"]),
        ("PUT", "/b?policy", ["s3:PutBucketPolicy b"]),
        ("DELETE", "/b?policy", ["s3:DeleteBucketPolicy b"]),
        ("PUT", "/b?versioning", ["s3:PutBucketVersioning b"]),
        ("DELETE", "/b?lifecycle", ["s3:PutLifecycleConfiguration b"]),
        ("DELETE", "/b?encryption", ["s3:PutEncryptionConfiguration b"]),
        ("PUT", "/new", ["s3:CreateBucket new"]),
        ("DELETE", "/b", ["s3:DeleteBucket b"]),
        ("GET", "/b/k", ["s3:GetObject b/k"]),
        ("HEAD", "/b/k", ["s3:GetObject b/k"]),
        ("GET", "/b/k?versionId=1", ["s3:GetObjectVersion b/k"]),
        ("GET", "/b/a/k?acl", ["s3:GetObjectAcl b/a/k"]),
        ("GET", "/b/k?tagging&versionId=1", ["s3:GetObjectVersionTagging b/k"]),
        ("PUT", "/b/k", ["s3:PutObject b/k"]),
        ("PUT", "/b/k?acl", ["s3:PutObjectAcl b/k"]),
        ("PUT", "/b/k?retention", ["s3:PutObjectRetention b/k"]),
        ("DELETE", "/b/k", ["s3:DeleteObject b/k"]),
        ("DELETE", "/b/k?versionId=1", ["s3:DeleteObjectVersion b/k"]),
        ("POST", "/b/k?uploads", ["s3:PutObject b/k"]),
        ("PUT", "/b/k?uploadId=1&partNumber=1", ["s3:PutObject b/k"]),
        ("GET", "/b/k?uploadId=1", ["s3:ListMultipartUploadParts b/k"]),
        ("DELETE", "/b/k?uploadId=1", ["s3:AbortMultipartUpload b/k"]),
        ("POST", "/b/k?restore", ["s3:RestoreObject b/k"]),
    ],
)
def test_the_action_of_each_operation_on_s3(method: str, path: str, expected: list[str]) -> None:
    """S3 User Guide, "Required permissions for Amazon S3 API operations"."""
    assert actions(method, path) == expected


def test_what_a_put_asks_for_beside_the_put() -> None:
    headers = {
        "x-amz-tagging": "a=b",
        "x-amz-acl": "public-read",
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-copy-source": "b/source?versionId=1",
    }

    assert actions("PUT", "/b/k", headers) == [
        "s3:PutObject b/k",
        "s3:PutObjectTagging b/k",
        "s3:PutObjectAcl b/k",
        "s3:PutObjectRetention b/k",
        "s3:GetObjectVersion b/source",
    ]


def test_each_object_of_a_deletion_is_asked_for() -> None:
    body = "<Delete><Object><Key>one</Key></Object><Object><Key>two</Key><VersionId>1</VersionId></Object></Delete>"

    assert actions("POST", "/b?delete", body=body) == ["s3:DeleteObject b/one", "s3:DeleteObjectVersion b/two"]
    escaped = "<Delete>\n <Object><Key>server&#47;a&amp;b</Key></Object></Delete>"
    assert actions("POST", "/b?delete", body=escaped) == ["s3:DeleteObject b/server/a&b"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        '<Delete><Object a="b"><Key>one</Key></Object></Delete>',
        "<Delete><Object><Key>other</Key><Key>one</Key></Object></Delete>",
        "<Delete><Object ><Key>one</Key></Object></Delete>",
        '<s:Delete xmlns:s="x"><s:Object><s:Key>one</s:Key></s:Object></s:Delete>',
        "<Delete><Object><Key><![CDATA[one]]></Key></Object></Delete>",
        "<Delete><!-- <Object><Key>other</Key></Object> --><Object ><Key>one</Key></Object></Delete>",
        '<!DOCTYPE x [<!ENTITY a "one">]><Delete><Object><Key>&a;</Key></Object></Delete>',
    ],
)
def test_a_deletion_that_could_be_read_otherwise_is_refused(body: str) -> None:
    with pytest.raises(UnknownCallError):
        actions("POST", "/b?delete", body=body)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/"), ("PATCH", "/b"), ("POST", "/b"), ("PATCH", "/b/k"), ("POST", "/b/k"), ("DELETE", "/b/k?acl")],
)
def test_a_request_nobody_knows_is_not_let_through(method: str, path: str) -> None:
    with pytest.raises(UnknownCallError):
        actions(method, path)


def called(calls: Any, operation: str, **given: Any) -> list[str]:
    headers = {"X-Amz-Target": f"Service_1.{operation}" if operation else ""}
    request = request_of("POST", "/", headers, json.dumps(given))
    return [f"{asked.action} {asked.resource.rpartition(':')[2]}" for asked in calls.asked(request)]


@pytest.mark.parametrize(
    ("operation", "given", "expected"),
    [
        ("ListTables", {}, ["dynamodb:ListTables *"]),
        ("Query", {"TableName": "t", "IndexName": "i"}, ["dynamodb:Query table/t/index/i"]),
        ("GetItem", {"TableName": "arn:aws:dynamodb:us-east-1:123456789012:table/t"}, ["dynamodb:GetItem table/t"]),
        ("BatchGetItem", {"RequestItems": {"t": {}, "u": {}}}, [f"dynamodb:BatchGetItem table/{t}" for t in "tu"]),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "t"}}, {"ConditionCheck": {"TableName": "u"}}]},
            ["dynamodb:PutItem table/t", "dynamodb:ConditionCheckItem table/u"],
        ),
    ],
)
def test_the_actions_of_each_operation_on_tables(operation: str, given: dict[str, Any], expected: list[str]) -> None:
    assert called(TableCalls(Shelf()), operation, **given) == expected


@pytest.mark.parametrize(("operation", "given"), [("ExecuteStatement", {"Statement": "x"}), ("", {"TableName": "t"})])
def test_a_call_of_dynamodb_nobody_knows_is_not_let_through(operation: str, given: dict[str, Any]) -> None:
    with pytest.raises(UnknownCallError):
        called(TableCalls(Shelf()), operation, **given)


def test_calls_of_kms() -> None:
    assert called(KeyCalls(Shelf()), "ListKeys") == ["kms:ListKeys *"]
    with pytest.raises(NoSuchKeyError):
        called(KeyCalls(Shelf()), "Decrypt", KeyId="alias/gone")
    for operation, given in (("Decrypt", {"CiphertextBlob": "é"}), ("", {"KeyId": "x"})):
        with pytest.raises(UnknownCallError):
            called(KeyCalls(Shelf()), operation, **given)
