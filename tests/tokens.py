"""
The one builder of tokens: everything right unless a test says what is wrong.

`Issuer().token(PARTNER)` is a JWT nothing can be said against, bound to that
certificate; a test names the single fact it changes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tests.certificates import NOW, Identity

ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "https://ingress.local.test"
KEY_ID: Final = "key-1"

AnyKey = RSAKey | ECKey | OKPKey | OctKey


class _Anything(JWSRegistry):
    """Signs with whatever a test wants, and warns of nothing."""

    max_header_length = max_payload_length = 10**7

    def get_alg(self, name: str) -> Any:
        """Give any algorithm there is."""
        return self.algorithms[name]


class Issuer:
    """Signs tokens; `key_set` is what it publishes."""

    def __init__(self, key: AnyKey | None = None, *, key_id: str | None = KEY_ID, algorithm: str = "ES256") -> None:
        self.key: AnyKey = key or ECKey.generate_key("P-256")
        self.key_id = key_id
        self.algorithm = algorithm

    @property
    def public(self) -> dict[str, Any]:
        """The public key, as it is published."""
        named = {} if self.key_id is None else {"kid": self.key_id}
        return {**self.key.as_dict(private=False), **named, "use": "sig"}

    @property
    def key_set(self) -> bytes:
        """The JWK set."""
        return key_set(self.public)

    def token(
        self, bound_to: Identity | None = None, *, header: dict[str, Any] | None = None, **claims: object
    ) -> bytes:
        """Sign a token; a claim or header given as None is left out."""
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "client_id": "acme-app",
            "iat": at(),
            "exp": at(hours=8),  # from the beginning of the tests, and they take their time
            "cnf": None if bound_to is None else confirmation(bound_to),
        } | claims
        return self.sign(json.dumps(_said(said)).encode(), header=header)

    def sign(self, payload: bytes, *, header: dict[str, Any] | None = None) -> bytes:
        """Sign any bytes."""
        named = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.key_id} | (header or {})
        registry = _Anything(algorithms=[self.algorithm], strict_check_header=False)
        token = jws.serialize_compact({"alg": self.algorithm}, payload, self.key, registry=registry)
        if header is None and self.key_id is None:
            named = {"alg": self.algorithm}
        # Put together by hand: joserfc would not write every header a test wants.
        signing_input = b".".join((b64url(json.dumps(_said(named)).encode()), token.split(".")[1].encode()))
        signature = registry.get_alg(self.algorithm).sign(signing_input, self.key)
        return signing_input + b"." + b64url(signature)


def key_set(*keys: dict[str, Any]) -> bytes:
    """Write a JWK set."""
    return json.dumps({"keys": list(keys)}).encode()


def confirmation(identity: Identity) -> dict[str, str]:
    """Name a certificate as RFC 8705 does."""
    return {"x5t#S256": b64url(hashlib.sha256(identity.der).digest()).decode()}


def at(**later: float) -> int:
    """Give a moment as tokens write it."""
    moment: datetime = NOW + timedelta(**later)
    return int(moment.timestamp())


def b64url(data: bytes) -> bytes:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
