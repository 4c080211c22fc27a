"""`clients.py revoke`: whoever stole a key gains nothing by any certificate he makes with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from service.contract import ClientState
from service.identity.certificate import Fingerprint
from service.identity.client_registry import DynamoDbClientRegistry, parse_record
from service.identity.peer import Peer
from service.identity.pinned_certificate import PinnedCertificate
from service.identity.presented import Presented
from service.identity.verdict import Client
from stacks import naming
from stacks.ceremonies.enrollment import (
    AlreadyEnrolledError,
    EnrollmentRefusedError,
    Terms,
    UnknownCertificateError,
    enroll,
    list_clients,
    show,
)
from stacks.ceremonies.revocation import plan_revocation, revoke
from stacks.ceremonies.token_issue import Grant, issue_token, key_of
from tests.certificates import NOW, Identity, client
from tests.stacks.ceremonies.stage import LOCAL, Caller

PINNED = Terms(pin_days=100)


@pytest.fixture
def partner() -> Identity:
    return client()


def judged(caller: Caller, identity: Identity) -> str:
    """Ask the service's own code who shows this certificate: a client's name, or why it is refused."""

    async def no_body(_max_bytes: int) -> bytes:
        return b""

    registry = DynamoDbClientRegistry(caller.client("dynamodb"), naming.client_registry_table(LOCAL))
    peer = Peer.of_handshake(identity.der, verify_errors=(), tls_version="TLSv1.3", cipher="any", group=None)
    presented = Presented(peer, "GET", b"/", headers=(), read_body=no_body, at=NOW + timedelta(hours=1))
    verdict = asyncio.run(PinnedCertificate(registry).identify(presented))
    registry.close()
    return verdict.name if isinstance(verdict, Client) else verdict.reason.value


def states(caller: Caller) -> dict[str, ClientState]:
    """Give the state of everything in the registry."""
    return {each.key: each.state for each in list_clients(caller, LOCAL)}


def test_a_stolen_key_is_worth_nothing_once_its_certificate_is_revoked(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)
    made_by_the_thief = client(key=partner.key)
    assert judged(caller, made_by_the_thief) == "acme"

    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert judged(caller, partner) == "revoked"
    assert judged(caller, made_by_the_thief) == "revoked"


def test_every_certificate_of_the_key_goes_with_it(caller: Caller, partner: Identity) -> None:
    renewed, unrelated = client(key=partner.key), client()
    for each in (partner, renewed, unrelated):
        enroll(caller, LOCAL, "acme", each.pem, at=NOW)

    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert [judged(caller, each) for each in (partner, renewed, unrelated)] == ["revoked", "revoked", "acme"]


def test_tokens_bound_to_a_revoked_certificate_go_with_it(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    bound = issue_token(caller, LOCAL, "acme", Grant(), at=NOW)
    unbound = issue_token(caller, LOCAL, "acme", Grant(is_unbound=True), at=NOW)

    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert states(caller)[bound.record.key] is ClientState.REVOKED
    assert states(caller)[unbound.record.key] is ClientState.ACTIVE


@pytest.mark.parametrize("name", ["acme", "umbrella"])
def test_a_revoked_key_is_enrolled_for_nobody_again(caller: Caller, partner: Identity, name: str) -> None:
    """Also when it was never pinned: it is written down as revoked."""
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="and revoked"):
        enroll(caller, LOCAL, name, client(key=partner.key).pem, at=NOW)


def test_who_knows_that_the_key_is_safe_keeps_it(caller: Caller, partner: Identity) -> None:
    """The old certificate after a renewal with the same key."""
    renewed = client(key=partner.key)
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)
    enroll(caller, LOCAL, "acme", renewed.pem, at=NOW)

    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), keeps_key=True, at=NOW)

    assert [judged(caller, each) for each in (partner, renewed, client(key=partner.key))] == ["revoked", "acme", "acme"]


def test_a_key_cannot_be_revoked_and_kept(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="revoked and kept"):
        revoke(caller, LOCAL, f"pin#{partner.pin}", keeps_key=True, at=NOW)


def test_a_key_is_revoked_with_its_certificates(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    revoke(caller, LOCAL, f"pin#{partner.pin}", at=NOW)

    assert set(states(caller).values()) == {ClientState.REVOKED}


def test_a_client_is_revoked_whole(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)
    enroll(caller, LOCAL, "acme", client().pem, at=NOW)
    issue_token(caller, LOCAL, "acme", Grant(is_unbound=True), at=NOW)
    enroll(caller, LOCAL, "umbrella", client().pem, at=NOW)

    revoke(caller, LOCAL, "acme", at=NOW)

    assert {each.client: each.state for each in list_clients(caller, LOCAL)} == {
        "acme": ClientState.REVOKED,
        "umbrella": ClientState.ACTIVE,
    }


def test_a_token_is_revoked_alone_also_by_itself(caller: Caller, partner: Identity) -> None:
    """Whoever finds a token somewhere can have it revoked without knowing whose it is."""
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    token = issue_token(caller, LOCAL, "acme", Grant(), at=NOW)

    revoke(caller, LOCAL, key_of(token.text), at=NOW)

    assert states(caller) == {partner.fingerprint: ClientState.ACTIVE, token.record.key: ClientState.REVOKED}


def test_what_goes_is_said_before_it_goes(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    plan = plan_revocation(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert [each.key for each in plan.pending] == [f"pin#{partner.pin}", partner.fingerprint]
    assert states(caller) == {partner.fingerprint: ClientState.ACTIVE}


def test_date_and_reason_are_kept(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    done = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), reason="laptop stolen", at=NOW)

    assert {(each.state, each.revoked_at, each.revocation_reason) for each in done.pending} == {
        (ClientState.REVOKED, NOW, "laptop stolen")
    }
    assert parse_record(_item(caller, partner)).state is ClientState.REVOKED


def test_revoking_again_keeps_the_first_date_and_reason(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    first = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), reason="laptop stolen", at=NOW)

    second = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), reason="?", at=NOW + timedelta(days=1))

    assert second.pending == ()
    assert second.entries == first.entries


def test_revoking_a_stranger_makes_no_record_of_him(caller: Caller, partner: Identity) -> None:
    with pytest.raises(UnknownCertificateError):
        revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert list_clients(caller, LOCAL) == ()


def test_the_key_goes_first(caller: Caller, partner: Identity) -> None:
    """Interrupted half way, nothing is left that looks revoked and is not."""
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    done = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert [each.key for each in done.entries] == [f"pin#{partner.pin}", partner.fingerprint]
    assert show(caller, LOCAL, f"pin#{partner.pin}")[0].is_revoked


def _item(caller: Caller, identity: Identity) -> dict[str, Any]:
    item: dict[str, Any] = caller.client("dynamodb").get_item(
        TableName=naming.client_registry_table(LOCAL), Key={"fingerprint": {"S": identity.fingerprint}}
    )["Item"]
    return item
