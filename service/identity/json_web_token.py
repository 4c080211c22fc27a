"""
A JSON Web Token: whom its issuer vouches for, or what is wrong with it (pure; RFC 7519, RFC 9068).

The signature is joserfc's work. Ours is to say beforehand what may be in
question at all: which algorithms, which key, which kinds of token, how large;
what a token says about where its own key is (`jku`, `jwk`, `x5u`, `x5c`) is
never looked at (RFC 8725, section 3).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joserfc import jws
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from service.identity.key_set import ALGORITHMS, KeySet
from service.identity.policy import RIGHT

LEEWAY_SECONDS: Final = 30
"""What two clocks may differ by; RFC 7519 speaks of a few minutes at most."""
MAX_REMEMBERED: Final = 500
"""Tokens of a key set whose signature need not be verified again, which takes 0.1 ms; the oldest goes first."""
MAX_REMEMBERED_BYTES: Final = 2048
"""Of each; so all together take a few MiB of each worker."""
MAX_NAME: Final = 256
"""Characters of a client's name."""
MAX_LISTED: Final = 100
"""Roles or scopes of one token."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""A token of another kind (`logout+jwt`, `dpop+jwt`) was never meant to open anything (RFC 8725, section 3.11)."""
_NAME_CLAIMS: Final = ("client_id", "azp", "sub")
"""RFC 9068 and RFC 8693; OpenID Connect's word for the same; last the subject, which may be a person's."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """
    What is wrong with a token, for the audit; never anything the token says.

    Attributes:
        names_unknown_key: A newer key set may know its key.
    """

    cause: str
    names_unknown_key: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """
    What a good token says.

    Attributes:
        client: Who it is for, in the issuer's names.
        confirmation: Its `cnf` as it is; None when it has none.
    """

    client: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    confirmation: object


class _Registry(JWSRegistry):
    """
    What joserfc may take.

    Attributes:
        max_header_length: In base64url; an embedded certificate chain would not fit, and nobody would look at it.
        max_payload_length: The same; the head of a request is smaller still.
        max_signature_length: The same; RSA of 8192 bits.
    """

    max_header_length = 2048
    max_payload_length = 64 * 1024
    max_signature_length = 1366

    def get_alg(self, name: str) -> Any:  # noqa: ANN401 -- joserfc exports no name for its models
        """Give an algorithm of our list; joserfc warns of EdDSA's old name at every call, which issuers still use."""
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


# What else a header says is to be ignored (RFC 7515, section 4), except `crit`, which we look at ourselves.
_REGISTRY: Final = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """
    Checks tokens of one issuer.

    Attributes:
        issuer: What `iss` must be, character for character.
        audience: What `aud` must hold.
    """

    issuer: str
    audience: str

    def verify(self, token: bytes, keys: KeySet, *, at: datetime) -> Claims | Wrong:
        """
        Say whom a token is for, or what is wrong with it; nothing it says is read before its signature holds.

        1. the header: algorithm, kind, nothing critical that we do not know;
        2. the key it names, of the issuer's set and no other;
        3. the signature;
        4. issuer, audience, dates;
        5. the client, its roles and scopes.
        """
        try:
            document = _verified(token, keys)
            if isinstance(document, Wrong):
                return document
            self._check_claims(document, at)
        except ClaimError as error:
            return Wrong(_words(error))
        except (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return Wrong("it is malformed")
        return _read_claims(document)

    def _check_claims(self, document: dict[str, Any], at: datetime) -> None:
        JWTClaimsRegistry(
            now=int(at.timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
        ).validate(document)


def is_bound_to(confirmation: object, certificate: bytes) -> bool:
    """
    Whether a token's `cnf` names this certificate and nothing else (RFC 8705, section 3.1).

    Another method beside it, such as DPoP's `jkt`, is a condition we cannot
    check, so it does not hold (RFC 9449, section 7.2).

    Args:
        confirmation: The claim as it came.
        certificate: SHA-256 of the DER leaf.
    """
    if not isinstance(confirmation, dict) or set(confirmation) != {"x5t#S256"}:
        return False
    expected = base64.urlsafe_b64encode(certificate).rstrip(b"=")
    return hmac.compare_digest(expected, str(confirmation["x5t#S256"]).encode(errors="replace"))


def digest_of(token: bytes) -> str:
    """Give the name under which the registry knows an opaque token: SHA-256, in lower-case hexadecimal digits."""
    return hashlib.sha256(token).hexdigest()


def _verified(token: bytes, keys: KeySet) -> dict[str, Any] | Wrong:
    """Give the claims once the signature holds; one that held with these keys is not computed again."""
    digest = hashlib.sha256(token).digest()
    known = keys.verified.get(digest)
    if known is not None:
        return known
    document = _verify(token, keys)
    if not isinstance(document, Wrong) and len(token) <= MAX_REMEMBERED_BYTES:
        keys.verified[digest] = document
        if len(keys.verified) > MAX_REMEMBERED:
            del keys.verified[next(iter(keys.verified))]
    return document


def _verify(token: bytes, keys: KeySet) -> dict[str, Any] | Wrong:
    parts = jws.extract_compact(token, registry=_REGISTRY)
    header = parts.headers()
    wrong = _check_header(header)
    if wrong is not None:
        return wrong
    key = keys.find(header.get("kid"), header["alg"])
    if key is None:
        return _no_key(keys, header.get("kid"))
    if not jws.validate_compact(parts, key, registry=_REGISTRY):
        return Wrong("its signature does not hold")
    document = json.loads(parts.payload)
    return document if isinstance(document, dict) else Wrong("it has no claims")


def _check_header(header: Mapping[str, object]) -> Wrong | None:
    if header.get("alg") not in ALGORITHMS:
        return Wrong("its algorithm is not allowed")
    if "crit" in header or "b64" in header:
        return Wrong("its header demands an extension")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        return Wrong("it is a token of another kind")
    if not isinstance(header.get("kid"), str | None):
        return Wrong("its `kid` is no text")
    return None


def _no_key(keys: KeySet, key_id: str | None) -> Wrong:
    if key_id is None:
        return Wrong("it names no key, and not exactly one fits")
    if keys.knows(key_id):
        return Wrong("its key is for another algorithm")
    return Wrong("its key is not in the issuer's set", names_unknown_key=True)


def _words(error: ClaimError) -> str:
    match error:
        case ExpiredTokenError():
            return "it has expired"
        case MissingClaimError():
            return f"it lacks `{error.claim}`"
        case _:
            return {"nbf": "it does not count yet", "iat": "it was issued in the future"}.get(
                error.claim, f"its `{error.claim}` is not ours"
            )


def _read_claims(document: Mapping[str, object]) -> Claims | Wrong:
    client = next((document[name] for name in _NAME_CLAIMS if document.get(name) is not None), None)
    if not _is_name(client):
        return Wrong(f"it names no client in {', '.join(_NAME_CLAIMS)}")
    scope = document.get("scope", document.get("scp", []))
    scopes = scope.split(" ") if isinstance(scope, str) else scope
    roles = document.get("roles", [])
    if not _are_texts(scopes) or not _are_texts(roles):
        return Wrong(f"its scopes or roles are no list of at most {MAX_LISTED} names")
    return Claims(str(client), _rights(roles), _rights(scopes), document.get("cnf"))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= MAX_NAME


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and len(values) <= MAX_LISTED and all(isinstance(each, str) for each in values)


def _rights(values: object) -> tuple[str, ...]:
    """Keep what can be a right of ours; an issuer may name others, which give nothing here."""
    return tuple(dict.fromkeys(each for each in values if RIGHT.fullmatch(each))) if isinstance(values, list) else ()
