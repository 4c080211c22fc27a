"""
The certificate bucket as the ceremonies use it: whole small objects, each write answered by its version.

Every call names the account that must own the bucket, so that a bucket of
the same name elsewhere is never written to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from stacks import naming
from stacks.ceremonies.access import Clients, calls_on, error_code
from stacks.environment import Environment
from stacks.errors import DeploymentError

STACK: Final = "certificate_store"

MAX_OBJECT_BYTES: Final = 256 * 1024
"""A chain of eight certificates is some 20 KiB; whatever is larger does not belong here."""

_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_CONFLICT: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its bytes (none when only asked about), and what S3 knows of it."""

    body: bytes = field(repr=False)
    etag: str
    last_modified: datetime
    metadata: Mapping[str, str]


class NotVersionedError(DeploymentError):
    """The bucket keeps no versions, so a pair could not be switched at once."""

    exit_code = 5

    def __init__(self, environment_name: str, bucket: str) -> None:
        super().__init__(
            f"the bucket {bucket} keeps no versions; what runs is unchanged",
            hint=f"python scripts/deploy.py deploy --env {environment_name} turns versioning on",
        )


class ObjectChangedError(DeploymentError):
    """Somebody else wrote the object between our look and our write."""

    exit_code = 5

    def __init__(self, resource: str) -> None:
        super().__init__(
            f"{resource} was changed by somebody else meanwhile; what runs is unchanged",
            hint="certificates.py status shows what is there now",
        )


class ObjectTooLargeError(DeploymentError):
    """The object is larger than anything that belongs there."""

    exit_code = 5

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource} is larger than {MAX_OBJECT_BYTES} bytes", hint="look who wrote it")


class CertificateBucket:
    """The certificate bucket of one environment, as one caller sees it."""

    def __init__(self, clients: Clients, environment: Environment) -> None:
        self._s3: Any = clients.client("s3")  # Any: see Clients
        self._environment = environment
        self.name = naming.certificate_bucket(environment)

    def get(self, key: str) -> StoredObject | None:
        """Read an object whole, or None if there is none."""
        resource = self._resource(key)
        with calls_on(self._environment, resource=resource, stack=STACK):
            try:
                answer = self._s3.get_object(**self._address(key))
            except ClientError as error:
                if error_code(error) in _ABSENT:
                    return None
                raise
            body = answer["Body"].read(MAX_OBJECT_BYTES + 1)
        if len(body) > MAX_OBJECT_BYTES:
            raise ObjectTooLargeError(resource)
        return _stored(answer, body)

    def look(self, key: str) -> StoredObject | None:
        """Ask about an object without reading it; it says the same of a missing bucket as of a missing object."""
        with calls_on(self._environment, resource=self._resource(key), stack=STACK):
            try:
                return _stored(self._s3.head_object(**self._address(key)), b"")
            except ClientError as error:
                if error_code(error) in _ABSENT:
                    return None
                raise

    def put(self, key: str, body: bytes, **settings: Any) -> str:  # noqa: ANN401 -- PutObject's own settings
        """
        Write an object and return its version.

        The bucket's default encrypts it with the store's own key unless the
        settings say otherwise.

        Raises:
            ObjectChangedError: The settings named a condition that does not hold.
            NotVersionedError: The bucket gave the object no version.
        """
        resource = self._resource(key)
        with calls_on(self._environment, resource=resource, stack=STACK):
            try:
                answer = self._s3.put_object(**self._address(key), Body=body, **settings)
            except ClientError as error:
                if error_code(error) in _CONFLICT:
                    raise ObjectChangedError(resource) from error
                raise
        version = str(answer.get("VersionId", "null"))
        if version == "null":
            raise NotVersionedError(self._environment.name, self.name)
        return version

    def hide(self, key: str, *, etag: str) -> None:
        """
        Put a delete marker over an object, provided it is still the one we read.

        Its versions stay until the bucket's lifecycle expires them.

        Raises:
            ObjectChangedError: It is another one by now; that one is left alone.
        """
        resource = self._resource(key)
        with calls_on(self._environment, resource=resource, stack=STACK):
            try:
                self._s3.delete_object(**self._address(key), IfMatch=etag)
            except ClientError as error:
                if error_code(error) in _CONFLICT:
                    raise ObjectChangedError(resource) from error
                raise

    def _address(self, key: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": key, "ExpectedBucketOwner": self._environment.account}

    def _resource(self, key: str) -> str:
        return f"s3://{self.name}/{key}"


def _stored(answer: Mapping[str, Any], body: bytes) -> StoredObject:
    return StoredObject(
        body=body,
        etag=answer["ETag"],
        last_modified=answer["LastModified"],
        metadata=dict(answer.get("Metadata", {})),
    )
