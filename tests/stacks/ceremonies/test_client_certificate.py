"""What is said about a partner's certificate at enrollment: what would surprise somebody later."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.identity.certificate import parse_certificate
from stacks.ceremonies.client_certificate import warnings_about
from tests.certificates import (
    CLIENT_AUTH,
    NOW,
    SERVER_AUTH,
    TOMORROW,
    YESTERDAY,
    Authority,
    Identity,
    client,
)


@pytest.mark.parametrize(
    "identity",
    [client(), Authority().client(), client(without_extensions=True), client(is_authority=True, purposes=())],
    ids=["self-signed", "of a private authority", "without extensions", "CA:TRUE without a purpose"],
)
def test_a_certificate_that_will_do_is_passed_in_silence(identity: Identity) -> None:
    assert _said(identity) == ()


def test_an_expired_certificate_is_named() -> None:
    (said,) = _said(client(not_after=YESTERDAY))

    assert "expired" in said


@pytest.mark.parametrize(("days", "is_said"), [(29, True), (31, False)])
def test_a_certificate_that_ends_within_a_month_is_named(days: int, is_said: bool) -> None:  # noqa: FBT001 -- pytest
    assert bool(_said(client(not_after=NOW + timedelta(days=days)))) is is_said


def test_a_certificate_from_tomorrow_is_named() -> None:
    (said,) = _said(client(not_before=TOMORROW))

    assert "not valid before" in said


def test_a_public_server_certificate_will_renew_and_break_its_pin() -> None:
    said = " ".join(_said(Authority().server(purposes=(SERVER_AUTH, CLIENT_AUTH))))

    assert "will renew every 367 days or sooner" in said
    assert "--pin-key" in said


def test_a_purpose_without_client_authentication_is_not_offered_by_dotnet_and_browsers() -> None:
    (said,) = _said(client(purposes=(SERVER_AUTH,)))

    assert "serverAuth and not clientAuth" in said


def test_an_authority_that_says_client_authentication_is_not_offered_by_browsers() -> None:
    (said,) = _said(client(is_authority=True))

    assert "CA:TRUE and clientAuth" in said


def _said(identity: Identity) -> tuple[str, ...]:
    return warnings_about(parse_certificate(identity.der), at=NOW)
