"""`certificates.py status`: what is in force and what waits, and no private key is read for it."""

from __future__ import annotations

import pytest

from service.contract import MANIFEST_KEY, PENDING_PRIVATE_KEY_KEY
from stacks import naming
from stacks.ceremonies import server_certificate
from stacks.ceremonies.access import NotDeployedError
from stacks.ceremonies.certificate_bucket import MAX_OBJECT_BYTES, ObjectTooLargeError
from stacks.ceremonies.server_certificate import ManifestUnusableError, Status
from stacks.ceremonies.signing_request import KeyKind
from tests.certificates import NOW, Authority
from tests.stacks.ceremonies.stage import LOCAL, Caller, aws


def test_a_new_store_holds_nothing(caller: Caller) -> None:
    assert server_certificate.status(caller, LOCAL) == Status(None, None, None)


def test_a_key_that_waits_is_shown_by_its_pin(caller: Caller) -> None:
    server_certificate.request(caller, LOCAL, key_kind=KeyKind.P256)

    pending = server_certificate.status(caller, LOCAL).pending

    assert pending is not None
    assert pending.spki_sha256 is not None
    assert len(pending.spki_sha256) == 64
    assert pending.kind == "p-256"


def test_a_pair_in_force_is_shown_by_its_leaf(caller: Caller) -> None:
    chain = Authority().intermediate().sign(server_certificate.request(caller, LOCAL))
    manifest = server_certificate.install(caller, LOCAL, chain, at=NOW)

    found = server_certificate.status(caller, LOCAL)

    assert found.manifest == manifest
    assert found.leaf is not None
    assert found.leaf.dns_names == ("ingress.local.test",)
    assert found.pending is None


def test_no_private_key_is_read(caller: Caller) -> None:
    server_certificate.request(caller, LOCAL)
    caller.calls.clear()

    server_certificate.status(caller, LOCAL)

    assert [(name, facts["Key"]) for name, facts in caller.calls] == [
        ("GetObject", MANIFEST_KEY),
        ("HeadObject", PENDING_PRIVATE_KEY_KEY),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"format": 2}', b"[]"])
def test_a_manifest_of_somebody_else_is_not_believed(caller: Caller, body: bytes) -> None:
    caller.client("s3").put_object(Bucket=naming.certificate_bucket(LOCAL), Key=MANIFEST_KEY, Body=body)

    with pytest.raises(ManifestUnusableError):
        server_certificate.status(caller, LOCAL)


def test_an_object_too_large_to_be_ours_is_not_read(caller: Caller) -> None:
    body = b" " * (MAX_OBJECT_BYTES + 1)
    caller.client("s3").put_object(Bucket=naming.certificate_bucket(LOCAL), Key=MANIFEST_KEY, Body=body)

    with pytest.raises(ObjectTooLargeError):
        server_certificate.status(caller, LOCAL)


def test_before_the_store_is_deployed_the_error_says_so() -> None:
    with aws(deployed=False) as caller, pytest.raises(NotDeployedError):
        server_certificate.status(caller, LOCAL)
