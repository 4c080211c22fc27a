"""The store: one contract for the bucket and its twin, and what S3's answers mean."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import boto3
import pytest
from botocore.config import Config

from service.boot.certificate_store import (
    MAX_OBJECT_BYTES,
    RETRY_WAITS_SECONDS,
    CertificateStore,
    InMemoryCertificateStore,
    S3CertificateStore,
    load_server_identity,
    read_manifest,
)
from service.boot.server_identity import Manifest
from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from service.errors import (
    ObjectRefusedError,
    ObjectTooLargeError,
    ServerIdentityError,
    StoreUnreachableError,
)
from tests.certificates import HOST_NAME, NOW, Authority, Identity, client
from tests.s3_answers import s3_that_answers

OWNER = "123456789012"
MakeStore = Callable[[dict[str, list[bytes]]], tuple[CertificateStore, dict[str, list[str]]]]


@pytest.fixture(params=["bucket", "twin"])
def make_store(request: pytest.FixtureRequest, moto_url: str, session: boto3.Session) -> MakeStore:
    """Make a store that holds objects, each with its versions oldest first; returns it with their ids."""

    def make_bucket(objects: dict[str, list[bytes]]) -> tuple[CertificateStore, dict[str, list[str]]]:
        s3, name = session.client("s3", endpoint_url=moto_url), uuid.uuid4().hex
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        ids = {
            key: [s3.put_object(Bucket=name, Key=key, Body=body)["VersionId"] for body in bodies]
            for key, bodies in objects.items()
        }
        return S3CertificateStore(s3, name, owner=OWNER, sleep=lambda _: None), ids

    def make_twin(objects: dict[str, list[bytes]]) -> tuple[CertificateStore, dict[str, list[str]]]:
        ids = {key: [str(number) for number in range(len(bodies))] for key, bodies in objects.items()}
        held: dict[str | tuple[str, str], bytes] = {}
        for key, bodies in objects.items():
            held |= {(key, each): body for each, body in zip(ids[key], bodies, strict=True)} | {key: bodies[-1]}
        return InMemoryCertificateStore(held), ids

    return make_bucket if request.param == "bucket" else make_twin


def test_an_object_is_read_as_it_stands(make_store: MakeStore) -> None:
    store, _ = make_store({"a": [b"old", b"new"]})

    assert store.read("a") == b"new"


def test_an_object_is_read_at_a_version(make_store: MakeStore) -> None:
    store, ids = make_store({"a": [b"old", b"new"]})

    assert store.read("a", version=ids["a"][0]) == b"old"


def test_a_missing_object_is_refused_by_name(make_store: MakeStore) -> None:
    store, _ = make_store({})

    with pytest.raises(ObjectRefusedError, match=r"missing\.pem"):
        store.read("missing.pem")


def test_a_missing_version_is_refused_by_name(make_store: MakeStore) -> None:
    store, _ = make_store({"a": [b"x"]})

    with pytest.raises(ObjectRefusedError, match=r"\(version 7c9e6679-7425-40de-944b-e07fc1f90ae7\)"):
        store.read("a", version="7c9e6679-7425-40de-944b-e07fc1f90ae7")


def test_a_store_that_was_closed_is_read_again(make_store: MakeStore) -> None:
    """It is closed before the workers are forked, and after each look."""
    store, _ = make_store({"a": [b"x"]})
    assert store.read("a") == b"x"

    store.close()

    assert store.read("a") == b"x"


def test_an_object_far_too_large_is_not_read(make_store: MakeStore) -> None:
    store, _ = make_store({"a": [b"x" * (MAX_OBJECT_BYTES + 1)]})

    with pytest.raises(ObjectTooLargeError):
        store.read("a")


def installed(server: Identity, *, named: Identity | None = None) -> dict[str | tuple[str, str], bytes]:
    """Objects as the ceremony leaves them; `named` is the leaf the manifest speaks of."""
    manifest = Manifest(HOST_NAME, server.chain_pem.decode(), "1", "2", (named or server).pin, NOW)
    return {
        MANIFEST_KEY: manifest.render(),
        (CHAIN_KEY, "1"): server.chain_pem,
        (PRIVATE_KEY_KEY, "2"): server.key_pem,
    }


def test_the_pair_in_force_is_loaded_by_its_manifest() -> None:
    server = Authority().server()

    store = InMemoryCertificateStore(installed(server))

    identity = load_server_identity(store, read_manifest(store), host_name=HOST_NAME, at=NOW)

    assert identity.leaf.fingerprint.hex == server.fingerprint


def test_a_pair_that_is_not_the_manifest_s_is_refused() -> None:
    """Somebody wrote a pair past the ceremony."""
    store = InMemoryCertificateStore(installed(Authority().server(), named=client()))

    with pytest.raises(ServerIdentityError, match="not the one the manifest names"):
        load_server_identity(store, read_manifest(store), host_name=HOST_NAME, at=NOW)


# -- what S3's answers mean ----------------------------------------------------


class Waits(list[float]):
    """A sleep that only notes how long."""

    def __call__(self, seconds: float) -> None:
        """Note it."""
        self.append(seconds)


def open_store(session: boto3.Session, url: str, waits: Waits) -> S3CertificateStore:
    """Make a store on an endpoint, its connections cut at the first fault."""
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    return S3CertificateStore(session.client("s3", endpoint_url=url, config=config), "bucket", owner=OWNER, sleep=waits)


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (429, "TooMany"), (400, "RequestTimeout")]
)
def test_what_passes_is_waited_for(session: boto3.Session, status: int, code: str) -> None:
    waits = Waits()

    with s3_that_answers(status, status, code=code) as url:
        assert open_store(session, url, waits).read("a") == b"object"

    assert tuple(waits) == RETRY_WAITS_SECONDS[:2]


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (301, "PermanentRedirect")])
def test_what_does_not_pass_is_said_at_once(session: boto3.Session, status: int, code: str) -> None:
    waits = Waits()

    with s3_that_answers(status, code=code) as url, pytest.raises(ObjectRefusedError, match=code):
        open_store(session, url, waits).read("a")

    assert waits == []


def test_a_store_that_never_answers_is_given_up_after_a_bounded_time(session: boto3.Session) -> None:
    waits = Waits()

    with pytest.raises(StoreUnreachableError, match=r"7 attempts\): EndpointConnectionError"):
        open_store(session, "http://127.0.0.1:9", waits).read("a")

    assert tuple(waits) == RETRY_WAITS_SECONDS
    assert sum(waits) < 20
