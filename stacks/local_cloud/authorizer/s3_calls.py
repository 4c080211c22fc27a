"""
What a request to S3 asks for: its action, its resource, and the call of KMS behind it.

Actions by operation: S3 User Guide, "Required permissions for Amazon S3 API
operations". What the table does not know is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any, Final
from urllib.parse import unquote

from werkzeug.wrappers import Request

from stacks.local_cloud.authorizer.asked import Asked, UnknownCallError
from stacks.local_cloud.authorizer.context import Context
from stacks.local_cloud.authorizer.deployed import Deployed
from stacks.local_cloud.authorizer.key_calls import key_call

_SIGNATURE: Final = "AWS4-HMAC-SHA256"
_KMS: Final = ("aws:kms", "aws:kms:dsse")
_CONDITIONAL: Final = ("if-match", "if-none-match")

_OBJECT: Final = {
    "GET": "GetObject",
    "HEAD": "GetObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}
_OBJECT_PARTS: Final = {
    "acl": ("GetObjectAcl", "PutObjectAcl", ""),
    "attributes": ("GetObjectAttributes", "", ""),
    "legal-hold": ("GetObjectLegalHold", "PutObjectLegalHold", ""),
    "retention": ("GetObjectRetention", "PutObjectRetention", ""),
    "tagging": ("GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"),
    "torrent": ("GetObjectTorrent", "", ""),
}
"""By subresource: the actions to read, write and delete it."""
_OF_VERSIONS: Final = {
    "DeleteObject": "DeleteObjectVersion",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObject": "GetObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "GetObjectTorrent": "GetObjectVersionTorrent",
    "PutObjectAcl": "PutObjectVersionAcl",
    "PutObjectTagging": "PutObjectVersionTagging",
}
_BUCKET: Final = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_BUCKET_PARTS: Final = {
    "accelerate": ("GetAccelerateConfiguration", "PutAccelerateConfiguration", ""),
    "acl": ("GetBucketAcl", "PutBucketAcl", ""),
    "cors": ("GetBucketCORS", "PutBucketCORS", "PutBucketCORS"),
    "encryption": ("GetEncryptionConfiguration", "PutEncryptionConfiguration", "PutEncryptionConfiguration"),
    "inventory": ("GetInventoryConfiguration", "PutInventoryConfiguration", "PutInventoryConfiguration"),
    "lifecycle": ("GetLifecycleConfiguration", "PutLifecycleConfiguration", "PutLifecycleConfiguration"),
    "location": ("GetBucketLocation", "", ""),
    "logging": ("GetBucketLogging", "PutBucketLogging", ""),
    "metrics": ("GetMetricsConfiguration", "PutMetricsConfiguration", "PutMetricsConfiguration"),
    "notification": ("GetBucketNotification", "PutBucketNotification", ""),
    "object-lock": ("GetBucketObjectLockConfiguration", "PutBucketObjectLockConfiguration", ""),
    "ownershipControls": (
        "GetBucketOwnershipControls",
        "PutBucketOwnershipControls",
        "PutBucketOwnershipControls",
    ),
    "policy": ("GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"),
    "policyStatus": ("GetBucketPolicyStatus", "", ""),
    "publicAccessBlock": (
        "GetBucketPublicAccessBlock",
        "PutBucketPublicAccessBlock",
        "PutBucketPublicAccessBlock",
    ),
    "replication": ("GetReplicationConfiguration", "PutReplicationConfiguration", "PutReplicationConfiguration"),
    "requestPayment": ("GetBucketRequestPayment", "PutBucketRequestPayment", ""),
    "tagging": ("GetBucketTagging", "PutBucketTagging", "PutBucketTagging"),
    "uploads": ("ListBucketMultipartUploads", "", ""),
    "versioning": ("GetBucketVersioning", "PutBucketVersioning", ""),
    "versions": ("ListBucketVersions", "", ""),
    "website": ("GetBucketWebsite", "PutBucketWebsite", "DeleteBucketWebsite"),
}
_POSITIONS: Final = {"GET": 0, "HEAD": 0, "PUT": 1, "DELETE": 2}
_DELETION: Final = re.compile(
    rb"\s*(?:<\?xml[^<>]*\?>)?\s*<Delete(?:\s+xmlns=(?:\"[^\"<>]*\"|'[^'<>]*'))?>"
    rb"(?:\s*(?:<Object>(?:\s*<(Key|VersionId|ETag|LastModifiedTime|Size)>[^<]*</\1>)+\s*</Object>"
    rb"|<Quiet>[^<]*</Quiet>))+\s*</Delete>\s*"
)
"""A deletion as the S3 API writes it. One written otherwise might delete what nobody read in it, and is refused."""
_DELETED: Final = re.compile(rb"<Object>.*?</Object>", re.DOTALL)
_DELETED_KEY: Final = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """The bucket and the object of a request; either may be empty."""

    bucket: str
    key: str

    @classmethod
    def of(cls, path: str) -> Target:
        """Read a path in the style of paths, `/bucket/key`."""
        bucket, _, key = path.lstrip("/").partition("/")
        return cls(bucket, key)


class S3Calls:
    """Reads requests to S3."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed

    def asked(self, request: Request) -> Iterator[Asked]:
        """
        Say what a request asks for, in the order S3 checks it.

        Raises:
            UnknownCallError: Nobody knows.
        """
        target, context = Target.of(request.path), _keys(request)
        if self.is_of_no_bucket(request):
            return
        if not target.bucket:
            yield self._of_account(request, context)
        elif not target.key:
            yield from self._of_bucket(request, target.bucket, context)
        else:
            yield from self._of_object(request, target, context)

    def listing(self, request: Request) -> Asked | None:
        """Say what decides whether a missing object is told to be missing; None for what reads no object."""
        target = Target.of(request.path)
        if request.method not in {"GET", "HEAD"} or not target.key or self.is_of_no_bucket(request):
            return None
        return self._on(target.bucket, "", "ListBucket", _keys(request))

    def is_of_no_bucket(self, request: Request) -> bool:
        """Tell a request to a bucket that is not there: S3 says so to everybody."""
        target = Target.of(request.path)
        is_creation = request.method == "PUT" and not target.key and not request.args
        return bool(target.bucket) and not is_creation and self._deployed.bucket(target.bucket) is None

    # -- accounts and buckets --------------------------------------------------------
    def _of_account(self, request: Request, context: Context) -> Asked:
        if request.method != "GET":
            raise UnknownCallError(f"{request.method} {request.path}")
        return Asked("s3:ListAllMyBuckets", "*", context)

    def _of_bucket(self, request: Request, bucket: str, context: Context) -> Iterator[Asked]:
        if request.method == "POST":
            yield from self._posted(request, bucket, context)
            return
        part = next((name for name in _BUCKET_PARTS if name in request.args), None)
        action = _BUCKET.get(request.method, "") if part is None else _part(_BUCKET_PARTS[part], request)
        if not action:
            raise UnknownCallError(f"{request.method} ?{part}")
        yield self._on(bucket, "", action, context | _list_keys(request))

    def _posted(self, request: Request, bucket: str, context: Context) -> Iterator[Asked]:
        if "delete" not in request.args:
            raise UnknownCallError("an upload by a form")
        body = request.get_data()
        if _DELETION.fullmatch(body) is None or body.count(b"<Key>") != body.count(b"<Object>"):
            raise UnknownCallError("a deletion that is not written as the S3 API does")
        for element in _DELETED.findall(body):
            key = _DELETED_KEY.search(element)
            action = "DeleteObjectVersion" if b"<VersionId>" in element else "DeleteObject"
            yield self._on(bucket, unescape(key[1].decode()) if key else "", action, context)

    # -- objects -----------------------------------------------------------------------
    def _of_object(self, request: Request, target: Target, context: Context) -> Iterator[Asked]:
        upload = request.args.get("uploadId") or ("" if "uploads" in request.args else None)
        if upload is not None:
            yield from self._of_upload(request, target, context, upload)
            return
        if request.method == "POST":
            action = {"restore": "RestoreObject", "select": "GetObject"}
            name = next((action[part] for part in action if part in request.args), None)
            if name is None:
                raise UnknownCallError(f"POST {request.path}")
            yield self._on(target.bucket, target.key, name, context)
            return
        yield from self._read_or_written(request, target, context)

    def _read_or_written(self, request: Request, target: Target, context: Context) -> Iterator[Asked]:
        part = next((name for name in _OBJECT_PARTS if name in request.args), None)
        action = _OBJECT.get(request.method, "") if part is None else _part(_OBJECT_PARTS[part], request)
        if not action:
            raise UnknownCallError(f"{request.method} ?{part}")
        version = request.args.get("versionId")
        if version is not None:
            context = context | {"s3:versionid": version}
            action = _OF_VERSIONS.get(action, action)
        yield self._on(target.bucket, target.key, action, context)
        if part is not None:
            return
        if action == "PutObject":
            yield from self._beside_a_put(request, target, context)
            yield from self._data_key(request, target)
        elif request.method == "GET" or (request.method == "HEAD" and request.headers.get("x-amz-checksum-mode")):
            # A HEAD reads no data; its checksum is encrypted too (S3 API Reference, HeadObject, "ChecksumMode").
            yield from self._decryption(target, version)

    def _beside_a_put(self, request: Request, target: Target, context: Context) -> Iterator[Asked]:
        """Say what a put asks for beside the put: what it copies, and what else it sets."""
        if request.headers.get("x-amz-tagging"):
            yield self._on(target.bucket, target.key, "PutObjectTagging", context)
        if request.headers.get("x-amz-acl"):
            yield self._on(target.bucket, target.key, "PutObjectAcl", context)
        if request.headers.get("x-amz-object-lock-mode"):
            yield self._on(target.bucket, target.key, "PutObjectRetention", context)
        if copied := request.headers.get("x-amz-copy-source"):
            path, _, version = unquote(copied).partition("?versionId=")
            source = Target.of(path)
            action = "GetObjectVersion" if version else "GetObject"
            yield self._on(source.bucket, source.key, action, context)
            yield from self._decryption(source, version or None)

    def _of_upload(self, request: Request, target: Target, context: Context, upload: str) -> Iterator[Asked]:
        """Say what a part of a multipart upload asks for (S3 User Guide, "Multipart upload API and permissions")."""
        action = {"GET": "ListMultipartUploadParts", "DELETE": "AbortMultipartUpload"}.get(request.method, "PutObject")
        yield self._on(target.bucket, target.key, action, context)
        if action != "PutObject":
            return
        yield from self._beside_a_put(request, target, context)
        yield from self._data_key(request, target)
        if upload and request.method == "POST":
            yield from self._data_key(request, target, action="Decrypt")

    # -- encryption ----------------------------------------------------------------------
    def _decryption(self, target: Target, version: str | None) -> Iterator[Asked]:
        """Say what S3 asks of KMS to read an object: nothing, if it is encrypted by S3's own keys."""
        stored = self._object(target, version)
        if stored is None or stored.encryption not in _KMS or not stored.kms_key_id:
            return
        resource = self._arn(target, is_bucket_key=_is_true(stored.bucket_key_enabled))
        yield self._key_call("Decrypt", stored.kms_key_id, resource)

    def _data_key(self, request: Request, target: Target, *, action: str = "GenerateDataKey") -> Iterator[Asked]:
        """Say what S3 asks of KMS to write an object: by the request, or else by the bucket's default."""
        rule = self._default(target.bucket)
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        asked = request.headers.get("x-amz-server-side-encryption")
        key = request.headers.get("x-amz-server-side-encryption-aws-kms-key-id") or default.get("KMSMasterKeyID")
        if (asked or default.get("SSEAlgorithm")) not in _KMS or not key:
            return
        by_bucket = request.headers.get("x-amz-server-side-encryption-bucket-key-enabled", rule.get("BucketKeyEnabled"))
        yield self._key_call(action, key, self._arn(target, is_bucket_key=_is_true(by_bucket)))

    def _default(self, bucket: str) -> dict[str, Any]:
        found = self._deployed.bucket(bucket)
        return dict(found.encryption["Rule"]) if found is not None and found.encryption else {}

    def _key_call(self, action: str, key: str, resource: str) -> Asked:
        encryption_context = {"aws:s3:arn": resource}
        return key_call(self._deployed, action, key, encryption_context, service="s3")

    def _object(self, target: Target, version: str | None) -> Any:
        bucket = self._deployed.bucket(target.bucket)
        if bucket is None:
            return None
        versions = bucket.keys.getlist(target.key, default=[])
        wanted = [each for each in versions if version in {None, str(each.version_id)}]
        stored = wanted[-1] if wanted else None
        return stored if hasattr(stored, "encryption") else None  # a delete marker holds nothing

    # -- ARNs ------------------------------------------------------------------------------
    def _on(self, bucket: str, key: str, action: str, context: Context) -> Asked:
        target = Target(bucket, key)
        resource = self._arn(target, is_bucket_key=not key)
        return Asked(f"s3:{action}", resource, context, self._deployed.bucket_policies(bucket))

    def _arn(self, target: Target, *, is_bucket_key: bool) -> str:
        bucket = f"arn:{self._deployed.partition}:s3:::{target.bucket}"
        return bucket if is_bucket_key else f"{bucket}/{target.key}"


def _part(actions: tuple[str, str, str], request: Request) -> str:
    position = _POSITIONS.get(request.method)
    return "" if position is None else actions[position]


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _keys(request: Request) -> Context:
    """Gather S3's own condition keys (Service Authorization Reference, "Condition keys for Amazon S3")."""
    keys: Context = {"s3:tlsversion": "1.3", "s3:authtype": "REST-HEADER"}
    signed = request.headers.get("Authorization", "")
    if signed:
        keys["s3:signatureversion"] = _SIGNATURE if signed.startswith(_SIGNATURE) else "AWS"
    elif {"X-Amz-Signature", "Signature"} & set(request.args):
        is_new = "X-Amz-Signature" in request.args
        keys |= {"s3:authtype": "REST-QUERY-STRING", "s3:signatureversion": _SIGNATURE if is_new else "AWS"}
    for name, value in request.headers.items():
        if name.lower().startswith("x-amz-") or name.lower() in _CONDITIONAL:
            keys[f"s3:{name.lower()}"] = value
    return keys


def _list_keys(request: Request) -> Context:
    return {f"s3:{name}": request.args[name] for name in ("prefix", "delimiter", "max-keys") if name in request.args}
