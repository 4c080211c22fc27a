"""A route that demands certificate and token takes neither alone, and no token over another's certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from service.contract import KEY_SET_PREFIX, TOKEN_KEY_PREFIX, ClientState, RegistryAttribute, Variable
from tests.certificates import HOST_NAME, NOW, TOMORROW, YESTERDAY, Authority, Identity, client
from tests.tokens import AUDIENCE, ISSUER, Issuer, key_set
from tests.wire.conftest import StartService
from tests.wire.stage import TABLE, Answer, Aws, Connection, Service, connection, running, variables

KEYS = f"{KEY_SET_PREFIX}issuer.json"
POLICY = '{"routes":[{"path":"/","all_of":["pinned_certificate","bearer_token"]}]}'
TOKENS = {
    Variable.POLICY: POLICY,
    Variable.TOKEN_ISSUER: ISSUER,
    Variable.TOKEN_AUDIENCE: AUDIENCE,
    Variable.TOKEN_KEY_SET: KEYS,
    Variable.TOKEN_KEY_SET_SECONDS: "1",
}
SIGNER = Issuer()
PARTNER = client(common_name="with-token")
OTHER = client(common_name="other-with-token")


@pytest.fixture(scope="module")
def enrolled(aws: Aws, bucket: str) -> None:
    """Both partners are enrolled, and the issuer's keys are in the bucket."""
    aws.enroll(PARTNER, "acme")
    aws.enroll(OTHER, "bolt")
    aws.s3.put_object(Bucket=bucket, Key=KEYS, Body=SIGNER.key_set)


@pytest.fixture(scope="module")
def stacked(aws: Aws, bucket: str, authority: Authority, enrolled: None) -> Iterator[Service]:  # noqa: ARG001 -- the same
    with running(variables(aws, bucket, **TOKENS), trust=authority.pem) as service:
        service.event("key_set_taken", place=KEYS)
        yield service


def get(opened: Connection, token: bytes | None = None) -> Answer:
    """Ask `/` with a token or without."""
    field = b"" if token is None else b"authorization: Bearer %s\r\n" % token
    opened.send(b"GET / HTTP/1.1\r\nhost: %s\r\n%s\r\n" % (HOST_NAME.encode(), field))
    return opened.answer()


def ask(service: Service, identity: Identity | None, token: bytes | None = None) -> Answer:
    """Connect, ask, hang up."""
    with connection(service, identity) as opened:
        return get(opened, token)


def test_each_request_needs_both(stacked: Service) -> None:
    """One connection, one certificate; the token decides request by request."""
    with connection(stacked, PARTNER) as opened:
        alone = get(opened)
        both = get(opened, SIGNER.token(PARTNER))
        stolen = get(opened, SIGNER.token(OTHER))
        forged = get(opened, Issuer().token(PARTNER))
        again = get(opened, SIGNER.token(PARTNER))

    assert (alone.status, alone.document["reason"]) == (401, "token_missing")
    assert alone.headers["www-authenticate"] == 'Bearer realm="mtls-ingress"'
    assert (both.status, both.document["client"]) == (200, "acme")
    assert (stolen.status, stolen.document["reason"]) == (401, "token_not_bound")
    assert 'error="invalid_token"' in stolen.headers["www-authenticate"]
    assert (forged.status, forged.document["reason"]) == (401, "token_invalid")
    assert again.status == 200


def test_what_is_smuggled_beside_or_instead_of_the_field_counts_for_nothing(stacked: Service) -> None:
    """Two fields, another scheme, a query, a trailer: one connection tries them all."""
    token, host = SIGNER.token(PARTNER), HOST_NAME.encode()
    field = b"authorization: Bearer %s\r\n" % token
    attempts = {
        b"GET / HTTP/1.1\r\nhost: %s\r\n%sAuthorization: Basic YTpi\r\n\r\n" % (host, field): "token_invalid",
        b"GET / HTTP/1.1\r\nhost: %s\r\n%s%s\r\n" % (host, field, field): "token_invalid",
        b"GET / HTTP/1.1\r\nhost: %s\r\nauthorization: DPoP %s\r\n\r\n" % (host, token): "token_missing",
        b"GET /?access_token=%s HTTP/1.1\r\nhost: %s\r\n\r\n" % (token, host): "token_missing",
        b"POST / HTTP/1.1\r\nhost: %s\r\ntransfer-encoding: chunked\r\n\r\n0\r\n%s\r\n"
        % (host, field): "token_missing",
        b"GET / HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\n\r\n" % (host, b"a" * 20_000): "token_invalid",
    }

    with connection(stacked, PARTNER) as opened:
        answers = []
        for attempt in attempts:
            opened.send(attempt)
            answers.append(opened.answer())

    assert [answer.status for answer in answers] == [401] * len(attempts)
    assert [answer.document["reason"] for answer in answers] == list(attempts.values())


def test_a_token_without_its_certificate_opens_nothing(stacked: Service) -> None:
    assert ask(stacked, None, SIGNER.token(PARTNER)).document["reason"] == "no_certificate"
    assert ask(stacked, OTHER, SIGNER.token(PARTNER)).document["reason"] == "token_not_bound"


def test_the_audit_says_why_and_never_the_token_and_the_peer_learns_only_the_reason(stacked: Service) -> None:
    token = SIGNER.token(PARTNER, aud="https://elsewhere.example")

    answer = ask(stacked, PARTNER, token)

    line = stacked.event("request", request_id=answer.document["request_id"])
    assert (line["reason"], line["cause"]) == ("token_invalid", "its `aud` is not ours")
    assert "`aud` is not ours" not in str(answer.document)
    assert all(part not in str(stacked.events) for part in token.decode().split("."))


def test_a_new_key_of_the_issuer_is_taken_without_a_restart(stacked: Service, aws: Aws, bucket: str) -> None:
    successor = Issuer(key_id="key-2")
    assert ask(stacked, PARTNER, successor.token(PARTNER)).document["reason"] == "token_invalid"

    aws.s3.put_object(Bucket=bucket, Key=KEYS, Body=key_set(SIGNER.public, successor.public))
    stacked.event("key_set_taken", keys=["key-1", "key-2"])

    assert ask(stacked, PARTNER, successor.token(PARTNER)).status == 200
    assert ask(stacked, PARTNER, SIGNER.token(PARTNER)).status == 200


def test_without_the_issuers_keys_a_jwt_is_our_fault_and_a_certificate_counts_as_ever(
    start_service: StartService,
    enrolled: None,  # noqa: ARG001 -- for what it did
) -> None:
    policy = '{"routes":[{"path":"/","any_of":["pinned_certificate","bearer_token"]}]}'
    service = start_service(**{**TOKENS, Variable.POLICY: policy, Variable.TOKEN_KEY_SET: "tokens/missing.json"})
    service.event("key_set_failed", place="tokens/missing.json")

    assert ask(service, PARTNER).status == 200
    refused = ask(service, None, SIGNER.token(PARTNER))
    assert (refused.status, refused.document["reason"]) == (503, "registry_unavailable")


def test_an_opaque_token_counts_by_its_record(stacked: Service, aws: Aws) -> None:
    token = b"opaque-" + hashlib.sha256(str(NOW).encode()).hexdigest().encode()
    _issue(aws, token, "acme", PARTNER)
    foreign = b"foreign" + token
    _issue(aws, foreign, "bolt", PARTNER)

    assert ask(stacked, PARTNER, token).document["client"] == "acme"
    assert ask(stacked, OTHER, token).document["reason"] == "token_not_bound"
    assert ask(stacked, PARTNER, foreign).document["reason"] == "token_not_bound"
    assert ask(stacked, PARTNER, b"guessed").document["reason"] == "token_invalid"


def _issue(aws: Aws, token: bytes, name: str, bound_to: Identity) -> None:
    """Write a token's record, as the ceremony does."""
    aws.dynamodb.put_item(
        TableName=TABLE,
        Item={
            RegistryAttribute.FINGERPRINT: {"S": TOKEN_KEY_PREFIX + hashlib.sha256(token).hexdigest()},
            RegistryAttribute.CLIENT: {"S": name},
            RegistryAttribute.STATE: {"S": ClientState.ACTIVE.value},
            RegistryAttribute.ROLES: {"L": []},
            RegistryAttribute.SCOPES: {"L": [{"S": "records"}]},
            RegistryAttribute.NOT_BEFORE: {"S": YESTERDAY.isoformat()},
            RegistryAttribute.NOT_AFTER: {"S": TOMORROW.isoformat()},
            RegistryAttribute.BOUND_TO: {"S": bound_to.fingerprint},
        },
    )
