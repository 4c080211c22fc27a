"""What an enrolled certificate says of itself decides nothing: the pin and the enrollment do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from service.contract import ClientState
from tests.certificates import NOW, SERVER_AUTH, TOMORROW, YESTERDAY, Authority, Identity, client
from tests.wire.stage import Aws, Service, ask

LONG_AGO = NOW - timedelta(days=30)

PINNED = {
    "expired": client(not_after=YESTERDAY),
    "not yet valid": client(not_before=TOMORROW),
    "for servers only": Authority().client(purposes=(SERVER_AUTH,)),
}


@pytest.mark.parametrize("partner", PINNED.values(), ids=PINNED.keys())
def test_an_odd_certificate_that_is_enrolled_is_answered(aws: Aws, service: Service, partner: Identity) -> None:
    aws.enroll(partner, "odd")

    assert ask(service, partner).document["client"] == "odd"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ClientState.ACTIVE, None),
        (ClientState.RETIRING, None),
        (ClientState.PENDING, "pending"),
        (ClientState.REVOKED, "revoked"),
    ],
)
def test_the_state_of_the_enrollment_decides(
    aws: Aws, service: Service, state: ClientState, status: str | None
) -> None:
    partner = client()
    aws.enroll(partner, "acme", state=state)

    assert ask(service, partner).document.get("reason") == status


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ((LONG_AGO, YESTERDAY), "expired"),
        ((TOMORROW, TOMORROW + timedelta(days=1)), "not_yet_valid"),
    ],
)
def test_the_dates_of_the_enrollment_decide(
    aws: Aws, service: Service, dates: tuple[datetime, datetime], reason: str
) -> None:
    partner = client()
    aws.enroll(partner, "acme", dates=dates)

    assert ask(service, partner).document["reason"] == reason


def test_another_key_under_the_same_fingerprint_is_refused(aws: Aws, service: Service) -> None:
    """The registry was tampered with, or SHA-256 was broken: either way nobody gets in."""
    partner = client()
    aws.enroll(partner, "acme", subject_public_key_info=client().subject_public_key_info)

    answer = ask(service, partner)

    assert (answer.status, answer.document["reason"]) == (403, "key_mismatch")


def test_a_client_may_have_several_certificates_each_with_a_state_of_its_own(aws: Aws, service: Service) -> None:
    """A rotation as partners live it: the old one still counts, the next one already does, an older one no more."""
    oldest, old, following = client(), client(), client()
    aws.enroll(oldest, "acme", state=ClientState.REVOKED)
    aws.enroll(old, "acme", state=ClientState.RETIRING, dates=(LONG_AGO, TOMORROW))
    aws.enroll(following, "acme")

    assert ask(service, oldest).document["reason"] == "revoked"
    assert [ask(service, each).document["client"] for each in (old, following)] == ["acme", "acme"]
