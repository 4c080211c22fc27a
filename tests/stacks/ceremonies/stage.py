"""
The stage of the ceremonies' tests: moto at the boto3 edge, and callers that watch or fail.

A caller comes in through the front door: whatever has `.client(service)`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from service.contract import CLIENT_INDEX, RegistryAttribute
from stacks import naming
from stacks.environment import Environment
from stacks.environment_file import load_environment

ROOT: Final = Path(__file__).resolve().parents[3]
LOCAL: Final = load_environment(ROOT / "environments" / "local.toml")
STAGING: Final = load_environment(ROOT / "environments" / "staging.toml")


class Caller:
    """One caller in one account; notes every call that is answered."""

    def __init__(self, environment: Environment = LOCAL) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._acts: list[tuple[str, Callable[[dict[str, Any]], None]]] = []
        self._region = environment.region
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Get the client of a service; the same one each time."""
        if service not in self._clients:
            self._clients[service] = client = session().client(service, region_name=self._region)
            client.meta.events.register("provide-client-params.*.*", self._note)
        return self._clients[service]

    def writes(self) -> list[str]:
        """The keys written to S3, in order."""
        return [facts["Key"] for operation, facts in self.calls if operation == "PutObject"]

    def before(self, operation: str, act: Callable[[dict[str, Any]], None]) -> None:
        """Let something happen just before an operation is called."""
        self._acts.append((operation, act))

    def _note(self, params: dict[str, Any], model: Any, **_: object) -> None:
        for operation, act in self._acts:
            if operation == model.name:
                act(params)
        self.calls.append((model.name, dict(params)))


@functools.cache
def session() -> Any:
    """Share one session among all tests: it keeps the service descriptions it has read."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")  # noqa: S106 -- of no account


def refuse(code: str, *, key: str | None = None) -> Callable[[dict[str, Any]], None]:
    """Answer an operation with an error of AWS, for one object key or for all."""

    def act(params: dict[str, Any]) -> None:
        if key is None or params.get("Key") == key:
            raise ClientError({"Error": {"Code": code, "Message": "as the test says"}}, "PutObject")

    return act


@contextmanager
def aws(environment: Environment = LOCAL, *, deployed: bool = True, versioned: bool = True) -> Iterator[Caller]:
    """Put up an account with the certificate bucket and the registry in it."""
    with mock_aws():
        caller = Caller(environment)
        if deployed:
            make_bucket(caller, environment, versioned=versioned)
            make_registry(caller, environment)
        caller.calls.clear()
        yield caller


def make_bucket(caller: Caller, environment: Environment = LOCAL, *, versioned: bool = True) -> None:
    bucket = naming.certificate_bucket(environment)
    caller.client("s3").create_bucket(Bucket=bucket)
    if versioned:
        caller.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def make_registry(caller: Caller, environment: Environment = LOCAL) -> None:
    names = (RegistryAttribute.FINGERPRINT.value, RegistryAttribute.CLIENT.value)
    caller.client("dynamodb").create_table(
        TableName=naming.client_registry_table(environment),
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[{"AttributeName": names[0], "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": CLIENT_INDEX,
                "KeySchema": [
                    {"AttributeName": names[1], "KeyType": "HASH"},
                    {"AttributeName": names[0], "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def body_of(caller: Caller, key: str, *, version: str | None = None) -> bytes:
    """Read an object, as it stands or as it stood."""
    extra = {"VersionId": version} if version else {}
    answer = caller.client("s3").get_object(Bucket=naming.certificate_bucket(LOCAL), Key=key, **extra)
    body: bytes = answer["Body"].read()
    return body


def keys_in_bucket(caller: Caller) -> set[str]:
    """List the objects that are not hidden."""
    listed = caller.client("s3").list_objects_v2(Bucket=naming.certificate_bucket(LOCAL))
    return {each["Key"] for each in listed.get("Contents", [])}
