"""
The bucket that holds the server's pair, and its reading at boot.

The manifest is read first; it names the object versions of chain and key, so
that a pair being replaced this moment is never read half old, half new. What
comes goes to memory and never to a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from service.aws import S3, ClientMaker
from service.boot.server_identity import Manifest, ServerIdentity, check_server_identity
from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from service.errors import (
    CredentialsMissingError,
    ObjectRefusedError,
    ObjectTooLargeError,
    ServerIdentityError,
    StoreUnreachableError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_OBJECT_BYTES: Final = 64 * 1024
"""64 KiB: a chain of eight RSA certificates is about 16 KiB, and a manifest holds one."""

RETRY_WAITS_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""About 16 seconds in all; then the task ends and ECS starts another, which is a fresh route and fresh credentials."""

CONNECT_TIMEOUT_SECONDS: Final = 2
READ_TIMEOUT_SECONDS: Final = 5

_PASSING_CODES: Final = frozenset(
    {
        "InternalError",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "KMS.ThrottlingException",
    }
)
"""Error codes that waiting cures, beside every status of 500 and above and 429."""


class CertificateStore(Protocol):
    """Where the pair is read from."""

    def read(self, key: str, *, version: str | None = None) -> bytes:
        """
        Read one object, the current version or the one named.

        Raises:
            ObjectRefusedError: Denied or missing; waiting does not help.
            StoreUnreachableError: No answer after every retry.
            ObjectTooLargeError: It cannot be what belongs there.
            CredentialsMissingError: There is nobody to act as.
        """

    def close(self) -> None:
        """Let go of connections; the next read opens new ones."""


class InMemoryCertificateStore:
    """The twin for tests: objects by key, or by key and version."""

    def __init__(self, objects: Mapping[str | tuple[str, str], bytes], *, bucket: str = "in-memory") -> None:
        self._objects = objects
        self._bucket = bucket

    def read(self, key: str, *, version: str | None = None) -> bytes:
        """Read one object."""
        try:
            data = self._objects[key if version is None else (key, version)]
        except KeyError:
            raise ObjectRefusedError(bucket=self._bucket, key=key, version=version, code="NoSuchKey") from None
        return _bounded(data, bucket=self._bucket, key=key)

    def close(self) -> None:
        """Nothing is held."""


class S3CertificateStore:
    """
    The store as deployed.

    Args:
        owner: The account that must own the bucket; S3 refuses when it does not.
        sleep: Waits between attempts.
    """

    def __init__(self, client: S3Client, bucket: str, *, owner: str, sleep: Callable[[float], object]) -> None:
        self._client = client
        self._bucket = bucket
        self._owner = owner
        self._sleep = sleep

    def read(self, key: str, *, version: str | None = None) -> bytes:
        """Read one object, waiting for the store where that can help."""
        for wait in (*RETRY_WAITS_SECONDS, None):
            try:
                return _bounded(self._get(key, version), bucket=self._bucket, key=key)
            except (NoCredentialsError, PartialCredentialsError) as error:
                raise CredentialsMissingError(cause=str(error)) from error
            except (ClientError, BotoCoreError) as error:
                if not _is_passing(error):
                    raise ObjectRefusedError(
                        bucket=self._bucket, key=key, version=version, code=_code(error)
                    ) from error
                if wait is None:
                    tried = f"{len(RETRY_WAITS_SECONDS) + 1} attempts"
                    raise StoreUnreachableError(bucket=self._bucket, tried=tried, cause=_code(error)) from error
                self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def close(self) -> None:
        """Let go of the connections to S3; before a fork none may be left open."""
        self._client.close()

    def _get(self, key: str, version: str | None) -> bytes:
        which = {"VersionId": version} if version else {}
        answer = self._client.get_object(
            Bucket=self._bucket, Key=key, ExpectedBucketOwner=self._owner, **_request_part(which)
        )
        with answer["Body"] as body:
            return body.read(MAX_OBJECT_BYTES + 1)


def open_certificate_store(
    bucket: str,
    *,
    owner: str,
    session: ClientMaker,
    sleep: Callable[[float], object],
) -> S3CertificateStore:
    """Make the store as deployed; the retries are ours, so botocore makes none."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
    )
    client: S3Client = session.client(S3, config=config)
    return S3CertificateStore(client, bucket, owner=owner, sleep=sleep)


def read_manifest(store: CertificateStore) -> Manifest:
    """
    Read which pair is in force.

    Raises:
        ServiceError: See the store's `read` and `Manifest.parse`.
    """
    return Manifest.parse(store.read(MANIFEST_KEY))


def load_server_identity(
    store: CertificateStore, manifest: Manifest, *, host_name: str, at: datetime
) -> ServerIdentity:
    """
    Fetch the pair that a manifest names and check it.

    1. chain and key are read at the versions that belong together;
    2. they are checked against each other, the host name and the clock;
    3. and against what the manifest says of them.

    Raises:
        ServiceError: What is wrong and what to do; see the store's `read` and `check_server_identity`.
    """
    chain = store.read(CHAIN_KEY, version=manifest.chain_version_id)
    key = store.read(PRIVATE_KEY_KEY, version=manifest.private_key_version_id)
    identity = check_server_identity(chain, key, host_name=host_name, at=at)
    if identity.leaf.pin != manifest.spki_sha256:
        raise ServerIdentityError(("the leaf's key is not the one the manifest names",))
    return identity


def _bounded(data: bytes, *, bucket: str, key: str) -> bytes:
    if len(data) > MAX_OBJECT_BYTES:
        raise ObjectTooLargeError(bucket=bucket, key=key, max_bytes=MAX_OBJECT_BYTES)
    return data


def _request_part(which: dict[str, str]) -> Any:  # noqa: ANN401 -- the stubs want VersionId present or absent, not None
    return which


def _is_passing(error: ClientError | BotoCoreError) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or _code(error) in _PASSING_CODES  # noqa: PLR2004 -- RFC 9110, RFC 6585
    return not isinstance(error, ParamValidationError)


def _code(error: ClientError | BotoCoreError) -> str:
    match error:
        case ClientError():
            return str(error.response.get("Error", {}).get("Code", "unknown"))
        case HTTPClientError():
            return type(error).__name__
        case _:
            return f"{type(error).__name__}: {error}"
