"""Bearer tokens: who they name, to whom they are bound, and how they are attacked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from service.contract import ClientState, TokenBinding
from service.errors import RegistryUnavailableError
from service.identity.bearer_token import MAX_TOKEN_BYTES, BearerToken
from service.identity.bearer_token import Issuer as TrustedIssuer
from service.identity.certificate import Fingerprint
from service.identity.client_registry import InMemoryClientRegistry, TokenRecord
from service.identity.json_web_token import LEEWAY_SECONDS, MAX_LISTED, MAX_REMEMBERED, TokenVerifier, Wrong
from service.identity.key_set import KeySet, parse_key_set
from service.identity.peer import Peer
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict
from stacks.ceremonies.enrollment import EnrollmentRefusedError, checked_name
from tests.certificates import NOW, TOMORROW, YESTERDAY, Identity, client
from tests.tokens import AUDIENCE, ISSUER, Issuer, at, b64url, confirmation, key_set

ROOT = Path(__file__).parents[2]
PARTNER = client()
OTHER = client()
SIGNER = Issuer()
APP = Client("token:acme-app", (), is_named_by_registry=False)
OPAQUE = b"s3cr3t-opaque-token"


@dataclass
class Published:
    """Key sets as they are kept: one now, perhaps a newer one."""

    now: KeySet | None
    later: KeySet | None = None
    fault: str | None = None
    asked_for_newer: int = 0

    async def first(self) -> KeySet | None:
        """Give the one there is."""
        return self.now

    async def newer(self, than: KeySet) -> KeySet | None:
        """Give the newer one."""
        assert than is self.now
        self.asked_for_newer += 1
        return self.later


KEYS = parse_key_set(SIGNER.key_set)


def presented(*authorization: bytes, identity: Identity | None = PARTNER) -> Presented:
    """Show a request with these Authorization fields over a connection with this certificate."""

    async def read_body(_max_bytes: int) -> bytes:
        raise AssertionError("no strategy here needs the body")

    peer = Peer.of_handshake(
        identity.der if identity else None, verify_errors=(), tls_version="TLSv1.3", cipher="C", group=None
    )
    headers = [(b"host", b"ingress.local.test"), *((b"authorization", value) for value in authorization)]
    return Presented(peer, "GET", b"/", headers, read_body, NOW)


def verdict(
    *authorization: bytes,
    identity: Identity | None = PARTNER,
    published: Published | None = None,
    binding: TokenBinding = TokenBinding.REQUIRED,
    tokens: tuple[TokenRecord, ...] = (),
) -> Verdict:
    """Ask the strategy about one request."""
    issuer = TrustedIssuer(TokenVerifier(ISSUER, AUDIENCE), published or Published(KEYS))
    strategy = BearerToken(InMemoryClientRegistry(tokens=tokens), issuer=issuer, binding=binding)
    return asyncio.run(strategy.identify(presented(*authorization, identity=identity)))


def of_token(token: bytes, **said: Any) -> Verdict:
    """Ask about one token."""
    return verdict(b"Bearer " + token, **said)


def cause(found: Verdict, reason: Reason = Reason.TOKEN_INVALID) -> str:
    """Give the cause of a refusal for this reason."""
    assert isinstance(found, Refused), found
    assert found.reason is reason, found
    assert found.cause is not None
    return found.cause


# -- the Authorization field ---------------------------------------------------------


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"  Bearer   "])
def test_a_token_for_this_certificate_names_its_client(scheme: bytes) -> None:
    assert verdict(scheme + SIGNER.token(PARTNER)) == APP


def test_no_field_is_a_missing_token() -> None:
    assert verdict() == Refused(Reason.TOKEN_MISSING)


@pytest.mark.parametrize("field", [b"Basic YTpi", b"DPoP " + SIGNER.token(PARTNER), b"", b"Bearerx y", b"Negotiate"])
def test_another_scheme_is_a_missing_token(field: bytes) -> None:
    assert cause(verdict(field), Reason.TOKEN_MISSING) == "the Authorization field is of another scheme"


def test_two_fields_are_refused_even_if_both_are_right() -> None:
    """Whoever stands before or behind us might look at the other one."""
    field = b"Bearer " + SIGNER.token(PARTNER)

    assert cause(verdict(field, field)) == "there is more than one Authorization field"


@pytest.mark.parametrize("token", [b"", b"a b", b"a,b", b"\xff", b"a=b", b'"abc"', b"a, Bearer b"], ids=range(7))
def test_what_is_no_token_is_refused(token: bytes) -> None:
    assert cause(of_token(token)) == "it is malformed"


def test_an_oversized_token_is_refused_unread() -> None:
    assert cause(of_token(b"a" * (MAX_TOKEN_BYTES + 1))) == f"it is longer than {MAX_TOKEN_BYTES} bytes"


def test_a_token_in_the_query_counts_for_nothing() -> None:
    request = replace_target(presented(), b"/?access_token=" + SIGNER.token(PARTNER))

    assert asyncio.run(
        BearerToken(InMemoryClientRegistry(), issuer=None, binding=TokenBinding.REQUIRED).identify(request)
    ) == (Refused(Reason.TOKEN_MISSING))


# -- a JWT: what it says ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"client_id": "a", "azp": "b", "sub": "c"}, "a"),
        ({"client_id": None, "azp": "b", "sub": "c"}, "b"),
        ({"client_id": None, "sub": "c"}, "c"),
    ],
    ids=["client_id", "azp", "sub"],
)
def test_the_client_is_the_first_of_client_id_azp_sub(claims: dict[str, Any], named: str) -> None:
    found = of_token(SIGNER.token(PARTNER, **claims))

    assert isinstance(found, Client)
    assert (found.name, found.is_named_by_registry) == (f"token:{named}", False)


@pytest.mark.parametrize(
    ("claims", "scopes", "roles"),
    [
        ({"scope": "read write read"}, ("read", "write"), ()),
        ({"scp": ["read", "write"]}, ("read", "write"), ()),
        ({"scp": "read"}, ("read",), ()),
        ({"scope": "", "roles": ["send", "operate"]}, (), ("send", "operate")),
        ({"roles": ["send,operate", "a b", "\n", "", "\ud800", "Task.Read"]}, (), ("Task.Read",)),
    ],
    ids=["scope", "scp list", "scp text", "roles", "no rights of ours"],
)
def test_scopes_and_roles_are_the_tokens(
    claims: dict[str, Any], scopes: tuple[str, ...], roles: tuple[str, ...]
) -> None:
    found = of_token(SIGNER.token(PARTNER, **claims))

    assert isinstance(found, Client)
    assert (found.scopes, found.roles) == (scopes, roles)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://issuer.example/"}, "its `iss` is not ours"),
        ({"iss": [ISSUER]}, "its `iss` is not ours"),
        ({"iss": None}, "it lacks `iss`"),
        ({"aud": "https://elsewhere.example"}, "its `aud` is not ours"),
        ({"aud": []}, "its `aud` is not ours"),
        ({"aud": {AUDIENCE: 1}}, "its `aud` is not ours"),
        ({"aud": None}, "it lacks `aud`"),
        ({"exp": None}, "it lacks `exp`"),
        ({"exp": at(seconds=-LEEWAY_SECONDS)}, "it has expired"),
        ({"exp": "tomorrow"}, "its `exp` is not ours"),
        ({"exp": True}, "its `exp` is not ours"),
        ({"exp": float("nan")}, "its `exp` is not ours"),
        ({"nbf": at(seconds=LEEWAY_SECONDS + 1)}, "it does not count yet"),
        ({"iat": at(seconds=LEEWAY_SECONDS + 1)}, "it was issued in the future"),
        ({"client_id": None}, "it names no client in client_id, azp, sub"),
        ({"client_id": "a\nb"}, "it names no client in client_id, azp, sub"),
        ({"client_id": "\ud800"}, "it names no client in client_id, azp, sub"),
        ({"client_id": "é"}, "it names no client in client_id, azp, sub"),
        ({"client_id": "a" * 257}, "it names no client in client_id, azp, sub"),
        ({"client_id": 7}, "it names no client in client_id, azp, sub"),
        ({"scope": 7}, "its scopes or roles are no list of at most 100 names"),
        ({"roles": "operate"}, "its scopes or roles are no list of at most 100 names"),
        ({"roles": [["operate"]]}, "its scopes or roles are no list of at most 100 names"),
        ({"roles": ["r"] * (MAX_LISTED + 1)}, "its scopes or roles are no list of at most 100 names"),
    ],
    ids=range(24),
)
def test_a_claim_that_is_wrong_is_told_to_the_audit(claims: dict[str, Any], why: str) -> None:
    assert cause(of_token(SIGNER.token(PARTNER, **claims))) == why


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": at(seconds=1 - LEEWAY_SECONDS)},
        {"nbf": at(seconds=LEEWAY_SECONDS)},
        {"aud": ["https://elsewhere.example", AUDIENCE]},
        {"iat": None},
        {"validate": 1, "value": {}, "essential": []},
    ],
    ids=["clocks differ", "clocks differ too", "several audiences", "no iat", "strange claims"],
)
def test_what_is_right_is_taken(claims: dict[str, Any]) -> None:
    assert of_token(SIGNER.token(PARTNER, **claims)) == APP


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSAKey.generate_key(2048), "RS256"),
        (RSAKey.generate_key(2048), "PS384"),
        (ECKey.generate_key("P-384"), "ES384"),
        (ECKey.generate_key("P-521"), "ES512"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
    ],
    ids=["RS256", "PS384", "ES384", "ES512", "EdDSA", "Ed25519"],
)
def test_every_algorithm_of_the_list_is_verified(key: RSAKey | ECKey | OKPKey, algorithm: str) -> None:
    signer = Issuer(key, algorithm=algorithm)
    published = Published(parse_key_set(signer.key_set))

    assert of_token(signer.token(PARTNER), published=published) == APP
    assert cause(of_token(_with_payload(signer.token(PARTNER), client_id="root"), published=published)) == (
        "its signature does not hold"
    )


def test_an_issuers_client_is_never_taken_for_one_of_the_registry() -> None:
    """Its issuer may let anybody be called `acme`; the registry's names have no colon (`clients.py enroll`)."""
    found = of_token(SIGNER.token(PARTNER, client_id="acme"))

    assert isinstance(found, Client)
    assert found.name == "token:acme"
    with pytest.raises(EnrollmentRefusedError):
        checked_name(found.name)


# -- a JWT: attacks ------------------------------------------------------------------------


def test_a_token_without_a_signature_is_refused() -> None:
    payload = SIGNER.token(PARTNER).split(b".")[1]

    for name in ("none", "None", "NONE", "nOnE"):
        header = b64url(json.dumps({"alg": name, "kid": "key-1"}).encode())
        assert cause(of_token(header + b"." + payload + b".")) == "its algorithm is not allowed"


def test_the_public_key_does_not_serve_as_a_secret() -> None:
    """The classic: HS256 with the bytes of the RSA public key, which everybody has."""
    signer = Issuer(RSAKey.generate_key(2048), algorithm="RS256")
    published = Published(parse_key_set(signer.key_set))
    assert isinstance(signer.key, RSAKey)
    header = b64url(json.dumps({"alg": "HS256", "kid": "key-1"}).encode())
    signing_input = header + b"." + signer.token(PARTNER).split(b".")[1]
    for secret in (signer.key.as_pem(), signer.key.as_der(), signer.key_set):
        forged = signing_input + b"." + b64url(hmac.digest(secret, signing_input, "sha256"))
        assert cause(of_token(forged, published=published)) == "its algorithm is not allowed"


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"jwk": "own"},
        {"x5c": ["MIIB"]},
    ],
    ids=["jku", "x5u", "jwk", "x5c"],
)
def test_a_key_that_the_token_brings_along_is_not_looked_at(header: dict[str, object]) -> None:
    forger = Issuer()
    if "jwk" in header:
        header = {"jwk": forger.public}

    assert cause(of_token(forger.token(PARTNER, header=header))) == "its signature does not hold"
    assert of_token(SIGNER.token(PARTNER, header=header)) == APP


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"crit": ["exp"], "exp": 1}, "its header demands an extension"),
        ({"crit": []}, "its header demands an extension"),
        ({"b64": True}, "its header demands an extension"),
        ({"typ": "logout+jwt"}, "it is a token of another kind"),
        ({"typ": "dpop+jwt"}, "it is a token of another kind"),
        ({"typ": 7}, "it is a token of another kind"),
        ({"kid": 7}, "its `kid` is no text"),
        ({"kid": ["key-1"]}, "its `kid` is no text"),
        ({"kid": "../../dev/null"}, "its key is not in the issuer's set"),
        ({"kid": "key-2"}, "its key is not in the issuer's set"),
        ({"alg": "ES384"}, "its key is for another algorithm"),
        ({"alg": ["ES256"]}, "it is malformed"),
        ({"alg": None}, "it is malformed"),
        ({"jku": 7}, "it is malformed"),
        ({"x": "y" * 2048}, "it is malformed"),
    ],
    ids=range(15),
)
def test_a_header_that_is_wrong_is_refused(header: dict[str, object], why: str) -> None:
    assert cause(of_token(SIGNER.token(PARTNER, header=header))) == why


def test_a_token_without_a_kid_is_taken_if_one_key_fits() -> None:
    assert of_token(SIGNER.token(PARTNER, header={"kid": None})) == APP

    two = Published(parse_key_set(key_set(SIGNER.public, Issuer(key_id="key-2").public)))
    assert cause(of_token(SIGNER.token(PARTNER, header={"kid": None}), published=two)) == (
        "it names no key, and not exactly one fits"
    )


@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_can_be_exchanged(part: int) -> None:
    ours, theirs = SIGNER.token(PARTNER).split(b"."), SIGNER.token(OTHER, header={"typ": "JWT"}).split(b".")
    ours[part] = theirs[part]

    assert cause(of_token(b".".join(ours))) == "its signature does not hold"


@pytest.mark.parametrize(
    "payload",
    [b"[" * 10_000, b'{"a":' * 2_000, b"[]", b"7", b"", b"\xff\xfe", b'{"exp": ' + b"9" * 5000 + b"}"],
    ids=["deep list", "deep object", "list", "number", "empty", "bytes", "big number"],
)
def test_hostile_claims_are_only_invalid(payload: bytes) -> None:
    assert cause(of_token(SIGNER.sign(payload))) in {"it is malformed", "it has no claims"}


def test_a_deep_header_is_only_invalid() -> None:
    token = b64url(b"[" * 1500) + b".e30.AAAA"

    assert cause(of_token(token)) == "it is malformed"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_no_three_parts_raise_anything(header: bytes, payload: bytes, signature: bytes) -> None:
    cause(of_token(b".".join(map(b64url, (header + b"{}", payload + b"{}", signature + b"x")))))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "cty"]),
        st.sampled_from(["ES256", "key-1", "JWT", "none"]) | st.none() | st.integers() | st.lists(st.text()),
    )
)
def test_no_header_raises_anything(header: dict[str, object]) -> None:
    token = b64url(json.dumps(header).encode()) + b"." + b".".join(SIGNER.token(PARTNER).split(b".")[1:])

    cause(of_token(token))


def test_a_signature_that_held_is_remembered_and_everything_else_is_checked_again() -> None:
    keys = parse_key_set(SIGNER.key_set)
    published, token = Published(keys), SIGNER.token(PARTNER)
    verifier = TokenVerifier(ISSUER, AUDIENCE)

    assert of_token(token, published=published) == APP
    assert list(keys.verified) == [hashlib.sha256(token).digest()]
    assert of_token(token, published=published) == APP
    cause(of_token(token, published=published, identity=OTHER), Reason.TOKEN_NOT_BOUND)
    assert verifier.verify(token, keys, at=NOW + timedelta(days=1)) == Wrong("it has expired")
    assert TokenVerifier(ISSUER, "another").verify(token, keys, at=NOW) == Wrong("its `aud` is not ours")


def test_what_is_remembered_is_bounded_and_never_what_failed() -> None:
    keys = parse_key_set(SIGNER.key_set)
    published, forger = Published(keys), Issuer()

    of_token(forger.token(PARTNER), published=published)
    of_token(SIGNER.token(PARTNER, x="y" * 4096), published=published)
    assert keys.verified == {}

    for number in range(MAX_REMEMBERED + 3):
        keys.verified[number.to_bytes(32)] = {}
    del keys.verified[bytes(32)], keys.verified[(1).to_bytes(32)], keys.verified[(2).to_bytes(32)]
    of_token(SIGNER.token(PARTNER), published=published)
    assert len(keys.verified) == MAX_REMEMBERED


# -- a JWT: the binding ----------------------------------------------------------------------


def test_a_stolen_token_does_not_count_over_another_connection() -> None:
    stolen = SIGNER.token(PARTNER)

    for thief in (OTHER, None):
        for binding in TokenBinding:
            found = of_token(stolen, identity=thief, binding=binding)
            assert cause(found, Reason.TOKEN_NOT_BOUND) == "it is bound to another certificate, or in another way"


@pytest.mark.parametrize("identity", [PARTNER, None], ids=["certificate", "none"])
def test_an_unbound_token_counts_only_where_binding_is_optional(identity: Identity | None) -> None:
    unbound = SIGNER.token()

    assert of_token(unbound, identity=identity, binding=TokenBinding.OPTIONAL) == APP
    assert (
        cause(of_token(unbound, identity=identity), Reason.TOKEN_NOT_BOUND)
        == "it is bound to no certificate, and must be"
    )


@pytest.mark.parametrize(
    "cnf",
    [
        {},
        {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {**confirmation(PARTNER), "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"x5t#S256": confirmation(PARTNER)["x5t#S256"] + "="},
        {"x5t#S256": confirmation(PARTNER)["x5t#S256"][:-1]},
        {"x5t#S256": hashlib.sha256(PARTNER.der).hexdigest()},
        {"x5t#S256": ""},
        {"x5t#S256": None},
        {"x5t#S256": "\ud800"},
        {"x5t#S256": [confirmation(PARTNER)["x5t#S256"]]},
        {"x5t": confirmation(PARTNER)["x5t#S256"]},
        [confirmation(PARTNER)],
        confirmation(PARTNER)["x5t#S256"],
        False,
    ],
    ids=range(14),
)
def test_a_confirmation_that_does_not_match_exactly_is_refused_however_binding_is_set(cnf: object) -> None:
    found = of_token(SIGNER.token(cnf=cnf), binding=TokenBinding.OPTIONAL)

    cause(found, Reason.TOKEN_NOT_BOUND)


# -- a JWT: the issuer's keys ------------------------------------------------------------------


def test_without_any_key_set_it_is_our_fault() -> None:
    found = of_token(SIGNER.token(PARTNER), published=Published(None, fault="status 500"))

    assert cause(found, Reason.REGISTRY_UNAVAILABLE) == "no key set of the tokens' issuer yet: status 500"


def test_an_unknown_key_is_looked_for_in_a_newer_set() -> None:
    successor = Issuer(key_id="key-2")
    published = Published(KEYS, later=parse_key_set(key_set(SIGNER.public, successor.public)))

    assert of_token(successor.token(PARTNER), published=published) == APP


def test_only_an_unknown_key_asks_for_a_newer_set() -> None:
    published = Published(KEYS)

    of_token(_with_payload(SIGNER.token(PARTNER), client_id="root"), published=published)
    of_token(SIGNER.token(PARTNER, header={"alg": "ES384"}), published=published)
    assert published.asked_for_newer == 0

    cause(of_token(SIGNER.token(PARTNER, header={"kid": "key-2"}), published=published))
    assert published.asked_for_newer == 1


def test_a_jwt_without_a_configured_issuer_is_refused() -> None:
    strategy = BearerToken(InMemoryClientRegistry(), issuer=None, binding=TokenBinding.OPTIONAL)

    found = asyncio.run(strategy.identify(presented(b"Bearer " + SIGNER.token(PARTNER))))

    assert cause(found) == "it is a JWT, and no issuer is configured"


# -- an opaque token ------------------------------------------------------------------------------


def record(**changed: Any) -> TokenRecord:
    """A record of the token nothing can be said against."""
    right = TokenRecord(
        digest=hashlib.sha256(OPAQUE).hexdigest(),
        client="acme",
        state=ClientState.ACTIVE,
        roles=("send",),
        scopes=("records",),
        not_before=YESTERDAY,
        not_after=TOMORROW,
        fingerprint=Fingerprint(PARTNER.fingerprint),
    )
    return replace(right, **changed)


@pytest.mark.parametrize("state", [ClientState.ACTIVE, ClientState.RETIRING])
def test_an_opaque_token_names_the_client_of_its_record(state: ClientState) -> None:
    assert of_token(OPAQUE, tokens=(record(state=state),)) == Client("acme", ("send",), ("records",))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"state": ClientState.REVOKED}, "it is revoked"),
        ({"state": ClientState.PENDING}, "it is pending"),
        ({"not_before": NOW + timedelta(seconds=1)}, "it does not count yet"),
        ({"not_after": NOW - timedelta(seconds=1)}, "it has expired"),
        ({"digest": hashlib.sha256(b"another").hexdigest()}, "it is in no record of the registry"),
    ],
    ids=["revoked", "pending", "not yet", "expired", "unknown"],
)
def test_an_opaque_token_that_does_not_count_is_invalid(changed: dict[str, Any], why: str) -> None:
    assert cause(of_token(OPAQUE, tokens=(record(**changed),))) == why


@pytest.mark.parametrize("identity", [OTHER, None], ids=["another", "none"])
@pytest.mark.parametrize("binding", TokenBinding)
def test_a_bound_opaque_token_needs_its_certificate(identity: Identity | None, binding: TokenBinding) -> None:
    cause(of_token(OPAQUE, tokens=(record(),), identity=identity, binding=binding), Reason.TOKEN_NOT_BOUND)


def test_an_unbound_opaque_token_counts_only_where_binding_is_optional() -> None:
    unbound = (record(fingerprint=None),)

    assert isinstance(of_token(OPAQUE, tokens=unbound, binding=TokenBinding.OPTIONAL), Client)
    cause(of_token(OPAQUE, tokens=unbound), Reason.TOKEN_NOT_BOUND)


def test_a_registry_that_fails_refuses() -> None:
    class Unreachable:
        async def find_token(self, digest: str) -> TokenRecord | None:
            raise RegistryUnavailableError("timeout" if digest else "")

    strategy = BearerToken(Unreachable(), issuer=None, binding=TokenBinding.OPTIONAL)

    found = asyncio.run(strategy.identify(presented(b"Bearer " + OPAQUE)))

    assert found == Refused(Reason.REGISTRY_UNAVAILABLE, "timeout")


def replace_target(request: Presented, target: bytes) -> Presented:
    """Show the same request at another target."""
    return replace(request, target=target)


def _with_payload(token: bytes, **claims: object) -> bytes:
    """Change claims and leave the signature."""
    header, payload, signature = token.split(b".")
    document = json.loads(base64.urlsafe_b64decode(payload + b"=="))
    return b".".join((header, b64url(json.dumps(document | claims).encode()), signature))


def test_a_service_without_tokens_does_not_load_what_reads_them() -> None:
    """A tenth of a second of every boot is theirs alone who need it."""
    code = "import sys, service.__main__; sys.exit(' '.join({'joserfc', 'httpcore2'} & sys.modules.keys()) or 0)"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 -- ours

    assert (done.returncode, done.stderr) == (0, "")
