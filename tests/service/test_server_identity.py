"""Whether a chain and a key may be served, with every fault at once; and the manifest that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given
from hypothesis import strategies as st

from service.boot.server_identity import Manifest, check_server_identity, matches_host_name
from service.errors import ManifestError, ServerIdentityError
from tests.certificates import (
    CLIENT_AUTH,
    HOST_NAME,
    NOW,
    TOMORROW,
    YESTERDAY,
    Authority,
    Identity,
    client,
    new_key,
    rsa_key,
)

AUTHORITY = Authority()


def faults(identity: Identity, *, key_pem: bytes | None = None, host_name: str = HOST_NAME) -> tuple[str, ...]:
    """Check a pair with something wrong and return the faults."""
    with pytest.raises(ServerIdentityError) as caught:
        check_server_identity(identity.chain_pem, key_pem or identity.key_pem, host_name=host_name, at=NOW)
    return caught.value.faults


def test_a_right_pair_becomes_a_server_identity() -> None:
    """
    A chain of three, the root left out.

    leaf <- Test Intermediate <- (Test Root)
    """
    pair = AUTHORITY.intermediate().server()

    identity = check_server_identity(pair.chain_pem, pair.key_pem, host_name=HOST_NAME, at=NOW)

    assert identity.leaf.fingerprint.hex == pair.fingerprint
    assert identity.not_after == pair.certificate.not_valid_after_utc


def test_key_and_chain_are_hidden_from_repr() -> None:
    pair = AUTHORITY.server()

    identity = check_server_identity(pair.chain_pem, pair.key_pem, host_name=HOST_NAME, at=NOW)

    assert "PRIVATE KEY" not in repr(identity)


def test_a_key_of_another_certificate_is_refused() -> None:
    assert faults(AUTHORITY.server(), key_pem=client().key_pem) == ("the private key does not match the leaf",)


def test_an_expired_leaf_is_refused() -> None:
    (fault,) = faults(AUTHORITY.server(not_after=YESTERDAY))

    assert fault.startswith("expired at ")


def test_a_leaf_not_valid_yet_is_refused() -> None:
    (fault,) = faults(AUTHORITY.server(not_before=TOMORROW))

    assert fault.startswith("not valid before ")


def test_an_expired_intermediate_is_refused() -> None:
    (fault,) = faults(AUTHORITY.intermediate(not_after=YESTERDAY).server())

    assert fault.endswith("CN=Test Intermediate")


def test_a_leaf_for_another_host_is_refused() -> None:
    assert faults(AUTHORITY.server(), host_name="other.example") == (
        f"wrong host name: other.example expected, the leaf is for {HOST_NAME}",
    )


def test_a_leaf_without_names_is_refused() -> None:
    (fault,) = faults(AUTHORITY.server(dns_names=()))

    assert fault.endswith("no DNS name at all")


def test_a_chain_out_of_order_is_refused() -> None:
    """
    Two certificates swapped (RFC 8446, section 4.4.2, wants each signed by the next).

    leaf, Upper, Lower: the leaf was signed by Lower.
    """
    lower = AUTHORITY.intermediate(common_name="Upper").intermediate(common_name="Lower")
    leaf = lower.server()
    swapped = Identity(leaf.certificate, leaf.key, tuple(reversed(leaf.issuers)))

    assert faults(swapped)[0] == (
        "the chain is out of order: CN=ingress.local.test was not signed by CN=Upper after it"
    )


def test_an_issuer_of_the_right_name_with_another_key_is_refused() -> None:
    leaf = AUTHORITY.intermediate().server()
    impostor = Authority().intermediate().identity.certificate
    forged = Identity(leaf.certificate, leaf.key, (impostor,))

    assert len(faults(forged)) == 1


@pytest.mark.parametrize(
    ("key", "word"),
    [(rsa_key(1024), "RSA of 1024 bits"), (ec.generate_private_key(ec.SECP521R1()), "curve secp521r1")],
    ids=["short RSA", "unusual curve"],
)
def test_a_weak_or_unusual_key_is_refused(key: ec.EllipticCurvePrivateKey, word: str) -> None:
    (fault,) = faults(AUTHORITY.server(key=key))

    assert word in fault


def test_a_key_few_partners_could_verify_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    found = faults(AUTHORITY.server(), key_pem=pem)

    assert "the key is neither RSA nor ECDSA, and few partners could verify it" in found


def test_an_rsa_pair_is_right_too() -> None:
    pair = AUTHORITY.server(key=rsa_key())

    assert check_server_identity(pair.chain_pem, pair.key_pem, host_name=HOST_NAME, at=NOW).leaf.pin == pair.pin


def test_a_leaf_for_clients_only_is_refused() -> None:
    (fault,) = faults(AUTHORITY.server(purposes=(CLIENT_AUTH,)))

    assert fault == "the leaf is not for servers: its extended key usage is clientAuth"


def test_all_faults_are_shown_together() -> None:
    found = faults(AUTHORITY.server(not_after=YESTERDAY), key_pem=b"no key", host_name="other.example")

    assert len(found) == 3


@pytest.mark.parametrize(
    "chain", [b"", b"nothing", new_key().public_key().public_numbers().x.to_bytes(32)], ids=["empty", "a word", "noise"]
)
def test_what_is_no_chain_is_a_fault(chain: bytes) -> None:
    with pytest.raises(ServerIdentityError, match="the chain is not a readable certificate"):
        check_server_identity(chain, AUTHORITY.server().key_pem, host_name=HOST_NAME, at=NOW)


def test_a_chain_that_is_a_whole_bundle_is_refused() -> None:
    leaf = AUTHORITY.server()

    (fault,) = faults(Identity(leaf.certificate, leaf.key, (leaf.certificate,) * 8))

    assert fault == "the chain has 9 certificates, at most 8 expected"


@pytest.mark.parametrize(
    ("pattern", "host", "answer"),
    [
        ("a.example.com", "a.example.com", True),
        ("A.Example.COM.", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("a*.example.com", "ab.example.com", False),
        ("b.example.com", "a.example.com", False),
    ],
)
def test_a_wildcard_stands_for_one_whole_label(pattern: str, host: str, answer: bool) -> None:  # noqa: FBT001 -- a table
    """RFC 6125, section 6.4.3."""
    assert matches_host_name(pattern, host) is answer


TEXT = st.text(min_size=1, max_size=30)
VERSION_ID = st.from_regex(r"[!-~]{1,30}", fullmatch=True)
MANIFESTS = st.builds(
    Manifest,
    host_name=TEXT,
    chain=TEXT,
    chain_version_id=VERSION_ID,
    private_key_version_id=VERSION_ID,
    spki_sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    not_after=st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)),
)


@given(MANIFESTS)
def test_a_manifest_is_read_back_as_written(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.render()) == manifest


@given(st.binary(max_size=200))
@example(b"[]")
@example(b"[" * 100_000)
def test_no_bytes_raise_anything_but_our_own_error(data: bytes) -> None:
    with pytest.raises(ManifestError):
        Manifest.parse(data)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=4)


@given(MANIFESTS, st.dictionaries(st.sampled_from(["format", "chain", "not_after", "spki_sha256", "other"]), JSON))
def test_no_fields_raise_anything_but_our_own_error(manifest: Manifest, changed: Mapping[str, object]) -> None:
    document = json.loads(manifest.render()) | changed
    try:
        Manifest.parse(json.dumps(document).encode())
    except ManifestError as error:
        assert error.faults  # noqa: PT017 -- either outcome is right


def test_a_manifest_names_all_its_faults() -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(b'{"format": 2, "spki_sha256": "XY", "not_after": "tomorrow", "host_name": "a", "chain": "b"}')

    assert caught.value.faults == (
        "`format` must be 1",
        "`chain_version_id` must be a text that is not empty",
        "`private_key_version_id` must be a text that is not empty",
        "`spki_sha256` must be 64 lower-case hexadecimal digits",
        "`not_after` must be a time like 2026-11-23T10:00:00Z",
    )


@pytest.mark.parametrize("version", ["a b", "a\r\nb", "\ud800", "a" * 1025], ids=["blank", "line", "surrogate", "long"])
def test_a_version_that_cannot_be_asked_for_is_a_fault(version: str) -> None:
    """It goes into a URL and into the one line an operator reads."""
    manifest = Manifest("a", "b", version, "d", "0" * 64, NOW)

    with pytest.raises(ManifestError, match="`chain_version_id` must be an object version"):
        Manifest.parse(manifest.render())


def test_a_moment_in_another_zone_is_written_in_utc() -> None:
    moment = datetime(2026, 11, 23, 10, tzinfo=UTC) + timedelta(hours=1)
    manifest = Manifest("a", "b", "c", "d", "0" * 64, moment.astimezone())

    assert b'"2026-11-23T11:00:00Z"' in manifest.render()
