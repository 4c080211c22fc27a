"""A key that is enrolled is the client in any certificate; a certificate that is enrolled is decided alone."""

from __future__ import annotations

import pytest

from service.contract import ClientState
from tests.certificates import NOW, YESTERDAY, Authority, Identity, client
from tests.wire.stage import DAY, Aws, Service, ask


def renewed(identity: Identity) -> Identity:
    """Renew a certificate with its key, as a CA does."""
    return Authority().client(key=identity.key)


def test_a_renewed_certificate_is_still_the_client(aws: Aws, service: Service) -> None:
    partner = client()
    aws.pin(partner, "acme")

    for shown in (partner, renewed(partner), client(key=partner.key, not_before=NOW - 2 * DAY, not_after=YESTERDAY)):
        answer = ask(service, shown)

        assert (answer.status, answer.document["client"]) == (200, "acme")


def test_another_key_is_nobody(aws: Aws, service: Service) -> None:
    partner = client()
    aws.pin(partner, "acme")

    assert ask(service, client()).document["reason"] == "unknown_certificate"


@pytest.mark.parametrize("state", [ClientState.REVOKED, ClientState.PENDING])
def test_a_pin_has_a_state_of_its_own(aws: Aws, service: Service, state: ClientState) -> None:
    partner = client()
    aws.pin(partner, "acme", state=state)

    assert ask(service, renewed(partner)).document["reason"] == state.value


def test_a_pin_does_not_revive_a_revoked_certificate(aws: Aws, service: Service) -> None:
    partner = client()
    aws.pin(partner, "acme")
    aws.enroll(partner, "acme", state=ClientState.REVOKED)

    assert ask(service, partner).document["reason"] == "revoked"
