"""A JWK set becomes public keys, or is refused whole."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from service.errors import KeySetError
from service.identity.key_set import ALGORITHMS, MAX_KEY_SET_BYTES, MAX_KEYS, parse_key_set
from tests.certificates import rsa_key
from tests.tokens import Issuer, key_set

EC = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
ED = OKPKey.generate_key("Ed25519")


def jwk(key: ECKey | RSAKey | OKPKey | OctKey, **members: object) -> dict[str, Any]:
    """Write the public half, with more members."""
    return {**key.as_dict(private=False), "kid": "key-1"} | members


def faults(data: bytes) -> tuple[str, ...]:
    """Parse what is wrong and return the faults."""
    with pytest.raises(KeySetError) as caught:
        parse_key_set(data)
    return caught.value.faults


@pytest.mark.parametrize(
    ("key", "algorithms", "kind"),
    [
        (RSA, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA 2048"),
        (EC, ("ES256",), "EC P-256"),
        (ECKey.generate_key("P-384"), ("ES384",), "EC P-384"),
        (ECKey.generate_key("P-521"), ("ES512",), "EC P-521"),
        (ED, ("EdDSA", "Ed25519"), "OKP Ed25519"),
    ],
    ids=["rsa", "p256", "p384", "p521", "ed25519"],
)
def test_a_key_is_for_the_algorithms_of_its_kind(
    key: ECKey | RSAKey | OKPKey, algorithms: tuple[str, ...], kind: str
) -> None:
    (found,) = parse_key_set(key_set(jwk(key))).keys

    assert (found.key_id, found.kind, found.algorithms) == ("key-1", kind, algorithms)


def test_a_key_that_says_its_algorithm_is_for_that_alone() -> None:
    keys = parse_key_set(key_set(jwk(RSA, alg="PS256")))

    assert keys.find("key-1", "PS256") is not None
    assert keys.find("key-1", "RS256") is None


def test_none_and_hmac_are_no_algorithms() -> None:
    assert not {each for each in ALGORITHMS if each == "none" or each.startswith("HS")}


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "AKP"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"alg": "ES384"},
        {"crv": "secp256k1"},
        {"kty": ["EC"]},
        {"crv": ["P-256"]},
    ],
    ids=["post-quantum", "encryption", "signing", "another algorithm", "another curve", "kind", "curve"],
)
def test_a_key_for_something_else_is_passed_over(members: dict[str, object]) -> None:
    """RFC 7517, section 5: what is not understood is ignored, so that an issuer can publish new kinds beside old."""
    keys = parse_key_set(key_set(jwk(EC, **members), jwk(ED, kid="key-2")))

    assert [key.key_id for key in keys.keys] == ["key-2"]


def test_a_weak_key_is_passed_over() -> None:
    numbers = rsa_key(1024).public_key().public_numbers()
    weak = {"kty": "RSA", "e": "AQAB", "n": _number(numbers.n), "kid": "weak"}

    assert [key.key_id for key in parse_key_set(key_set(weak, jwk(EC))).keys] == ["key-1"]


@pytest.mark.parametrize(
    "private",
    [EC.as_dict(private=True), RSA.as_dict(private=True), ED.as_dict(private=True), {"kty": "oct", "k": "c2VjcmV0"}],
    ids=["ec", "rsa", "ed25519", "symmetric"],
)
def test_a_set_with_a_private_key_is_refused_whole(private: dict[str, Any]) -> None:
    (fault,) = faults(key_set(jwk(EC), private))

    assert fault == "key 2 is not a public key: give out the public half alone"
    assert str(private.get("d", private.get("k"))) not in fault


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "it is not JSON"),
        (b"[" * 20_000, "it is not JSON"),
        (b"[]", "a JSON object with a list `keys` of 1 to 100 expected"),
        (b'{"keys": []}', "a JSON object with a list `keys` of 1 to 100 expected"),
        (key_set(*[jwk(EC)] * (MAX_KEYS + 1)), "a JSON object with a list `keys` of 1 to 100 expected"),
        (b" " * (MAX_KEY_SET_BYTES + 1), "it is longer than 65536 bytes"),
        (key_set(jwk(EC), jwk(ECKey.generate_key("P-256"))), "key 2 has the `kid` of another one"),
        (key_set(jwk(EC, kid=7)), "key 1 must have a `kid` of at most 256 printable characters"),
        (key_set(jwk(EC, x="!")), "key 1 cannot be read"),
        (key_set({"kty": "RSA", "n": 7, "e": "AQAB"}), "key 1 cannot be read"),
        (b'{"keys": [7]}', "key 1 is no JSON object"),
        (key_set({"kty": "AKP"}), f"it holds no key for {', '.join(sorted(ALGORITHMS))}"),
    ],
    ids=["empty", "deep", "list", "none", "many", "long", "twice", "kid", "x", "n", "number", "useless"],
)
def test_what_is_no_set_is_refused(data: bytes, fault: str) -> None:
    assert faults(data) == (fault,)


def test_without_a_name_a_key_is_found_only_if_no_other_fits() -> None:
    one = parse_key_set(key_set(jwk(EC), jwk(ED, kid="key-2")))
    two = parse_key_set(key_set(jwk(EC), jwk(ECKey.generate_key("P-256"), kid="key-2")))

    assert one.find(None, "ES256") is not None
    assert two.find(None, "ES256") is None


def test_two_keys_may_share_a_name_if_their_algorithms_differ() -> None:
    keys = parse_key_set(key_set(jwk(EC), jwk(ED)))

    assert keys.find("key-1", "ES256") is not keys.find("key-1", "EdDSA") is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["RSA", "EC", "OKP", "P-256"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "alg", "key_ops"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64) | st.lists(JSON, max_size=3).map(lambda keys: json.dumps({"keys": keys}).encode()))
def test_no_bytes_raise_anything_but_a_key_set_error(data: bytes) -> None:
    with contextlib.suppress(KeySetError):
        parse_key_set(data)


def test_an_issuers_set_is_read() -> None:
    assert parse_key_set(Issuer().key_set).knows("key-1")


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()
