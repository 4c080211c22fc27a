"""
A token issuer's public keys, read from a JWK set (pure; RFC 7517).

Public keys of asymmetric algorithms and nothing else: a set that holds a
private or a symmetric key is refused whole, because whoever may read the set
could sign tokens with it. Keys we have no use for are passed over, as the
RFC demands; so is one that is too weak, and the tokens it signed name an
unknown key then.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from service.errors import KeySetError
from service.identity.certificate import MIN_RSA_BITS

MAX_KEY_SET_BYTES: Final = 64 * 1024
"""As much as the certificate store gives of one object; the largest issuers publish some 20 KiB."""
MAX_KEYS: Final = 100
MAX_KEY_ID: Final = 256
"""Characters of a `kid`."""
MAX_RSA_BITS: Final = 8192
"""A verification with a longer key takes over a millisecond; nobody issues them."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),  # RFC 8037 and its successor RFC 9864
}
ALGORITHMS: Final = frozenset({*_RSA, *(each for algorithms in _BY_CURVE.values() for each in algorithms)})
"""What a token may be signed with: digital signatures, for `none` and HMAC prove nothing to us (RFC 8725, 3.1, 3.2)."""

_MATERIAL: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
"""Members that only a private or symmetric key has (RFC 7518, section 6; RFC 8037; ML-DSA's `priv`)."""

Key = RSAKey | ECKey | OKPKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    One key of a set.

    Attributes:
        key_id: Its `kid`, or None.
        kind: `RSA 2048`, `EC P-256`.
        algorithms: What it may have signed with.
    """

    key_id: str | None
    kind: str
    algorithms: tuple[str, ...]
    key: Key = field(repr=False, compare=False)


class KeySet:
    """
    The usable keys of an issuer.

    Attributes:
        keys: In the set's order.
        verified: Claims of tokens whose signature held with these keys, by the token's SHA-256. A newer set begins
            with none.
    """

    def __init__(self, keys: tuple[PublicKey, ...]) -> None:
        self.keys = keys
        self.verified: dict[bytes, dict[str, Any]] = {}
        self._by_name = {(key.key_id, algorithm): key.key for key in keys for algorithm in key.algorithms}
        self._ids = frozenset(key.key_id for key in keys)

    def knows(self, key_id: str | None) -> bool:
        """Whether a key of this name is there at all; without a name, whether fetching anew could not help."""
        return key_id is None or key_id in self._ids

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """
        Find the key a token names.

        A token that names none is taken at its word only if a single key can
        have signed it: keys are not tried one after the other.
        """
        if key_id is not None:
            return self._by_name.get((key_id, algorithm))
        suitable = [key.key for key in self.keys if algorithm in key.algorithms]
        return suitable[0] if len(suitable) == 1 else None


def parse_key_set(data: bytes) -> KeySet:
    """
    Read a JWK set.

    Raises:
        KeySetError: With every fault; none tells anything of a key's material.
    """
    faults: list[str] = []
    keys: list[PublicKey] = []
    for number, value in enumerate(_listed(data), 1):
        key = _parse_key(value, number, faults)
        if key is None:
            continue
        if any(key.key_id == other.key_id and set(key.algorithms) & set(other.algorithms) for other in keys):
            faults.append(f"key {number} has the `kid` of another one")
        keys.append(key)
    if not keys and not faults:
        faults.append(f"it holds no key for {', '.join(sorted(ALGORITHMS))}")
    if faults:
        raise KeySetError(tuple(faults))
    return KeySet(tuple(keys))


def _listed(data: bytes) -> list[object]:
    if len(data) > MAX_KEY_SET_BYTES:
        raise KeySetError((f"it is longer than {MAX_KEY_SET_BYTES} bytes",))
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise KeySetError(("it is not JSON",)) from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise KeySetError((f"a JSON object with a list `keys` of 1 to {MAX_KEYS} expected",))
    return keys


def _parse_key(value: object, number: int, faults: list[str]) -> PublicKey | None:
    """Read one key; None for one that is of no use to us, or that has a fault."""
    if not isinstance(value, dict):
        faults.append(f"key {number} is no JSON object")
        return None
    fault = _fault_of(value)
    if fault is not None:
        faults.append(f"key {number} {fault}")
        return None
    try:
        algorithms = _algorithms(value)
        return _import(value, algorithms) if algorithms else None
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        faults.append(f"key {number} cannot be read")
        return None


def _fault_of(value: Mapping[str, object]) -> str | None:
    if value.get("kty") == "oct" or not _PRIVATE.isdisjoint(value):
        return "is not a public key: give out the public half alone"
    key_id = value.get("kid")
    if key_id is None or (isinstance(key_id, str) and key_id.isprintable() and len(key_id) <= MAX_KEY_ID):
        return None
    return f"must have a `kid` of at most {MAX_KEY_ID} printable characters"


def _import(value: Mapping[str, Any], algorithms: tuple[str, ...]) -> PublicKey | None:
    kind: str = value["kty"]
    size = _bits(value["n"]) if kind == "RSA" else value["crv"]
    if kind == "RSA" and not MIN_RSA_BITS <= size <= MAX_RSA_BITS:
        return None
    key = JWKRegistry.import_key({"kty": kind} | {name: value[name] for name in _MATERIAL[kind]})
    if not isinstance(key, Key):
        raise TypeError(f"{kind} is no kind of ours")  # pragma: no cover -- _MATERIAL names none but these
    return PublicKey(value.get("kid"), f"{kind} {size}", algorithms, key)


def _algorithms(value: Mapping[str, object]) -> tuple[str, ...]:
    """Tell what this key may have signed; empty when it is for something else (RFC 7517, 4.2 to 4.4)."""
    kind, operations, designed = value.get("kty"), value.get("key_ops"), value.get("alg")
    curve = (kind, value.get("crv"))
    if value.get("use", "sig") != "sig":
        return ()
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return ()
    possible = _RSA if kind == "RSA" else next((found for each, found in _BY_CURVE.items() if each == curve), ())
    return tuple(each for each in possible if designed in (None, each))


def _bits(modulus: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()
