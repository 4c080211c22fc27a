"""`clients.py rotate`: both certificates count for a while, then the old one has ended by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.contract import ClientState
from service.identity.certificate import Fingerprint
from stacks.ceremonies.enrollment import (
    EnrollmentRefusedError,
    Terms,
    UnknownCertificateError,
    enroll,
    list_clients,
    show,
)
from stacks.ceremonies.registry_items import Enrolled
from stacks.ceremonies.revocation import revoke
from stacks.ceremonies.rotation import rotate
from stacks.ceremonies.token_issue import Grant, issue_token
from tests.certificates import NOW, TOMORROW, Identity, client
from tests.stacks.ceremonies.stage import LOCAL, Caller


@pytest.fixture
def partner(caller: Caller) -> Identity:
    """A client that is enrolled."""
    made = client()
    enroll(caller, LOCAL, "acme", made.pem, Terms(("send", "receive")), at=NOW)
    return made


def entry(caller: Caller, key: str) -> Enrolled:
    """Find one entry by its key."""
    return next(each for each in list_clients(caller, LOCAL) if each.key == key)


def test_the_next_one_has_the_roles_of_the_current_one_which_gets_an_end(caller: Caller, partner: Identity) -> None:
    following = client()

    rotate(caller, LOCAL, "acme", following.pem, overlap_days=7, at=NOW)

    new, old = entry(caller, following.fingerprint), entry(caller, partner.fingerprint)
    assert (new.state, new.roles) == (ClientState.ACTIVE, ("send", "receive"))
    assert (old.state, old.not_after) == (ClientState.RETIRING, NOW + timedelta(days=7))


def test_nothing_counts_for_longer_than_before(caller: Caller) -> None:
    ending = client(not_after=TOMORROW)
    enroll(caller, LOCAL, "acme", ending.pem, at=NOW)

    rotate(caller, LOCAL, "acme", client().pem, overlap_days=30, at=NOW)

    assert entry(caller, ending.fingerprint).not_after == TOMORROW


def test_what_is_retiring_already_keeps_its_end(caller: Caller, partner: Identity) -> None:
    rotate(caller, LOCAL, "acme", client().pem, overlap_days=7, at=NOW)

    rotate(caller, LOCAL, "acme", client().pem, overlap_days=30, at=NOW + timedelta(days=1))

    assert entry(caller, partner.fingerprint).not_after == NOW + timedelta(days=7)


def test_rotating_to_the_same_again_ends_nothing(caller: Caller, partner: Identity) -> None:
    rotated = rotate(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert (rotated.enrollment.is_new, rotated.retiring) == (False, ())
    assert entry(caller, partner.fingerprint).state is ClientState.ACTIVE


def test_a_pinned_key_is_followed_by_a_pinned_key(caller: Caller) -> None:
    current, following = client(), client()
    enroll(caller, LOCAL, "acme", current.pem, Terms(pin_days=100), at=NOW)

    rotate(caller, LOCAL, "acme", following.pem, overlap_days=7, at=NOW)

    assert entry(caller, f"pin#{following.pin}").state is ClientState.ACTIVE
    retiring = entry(caller, f"pin#{current.pin}")
    assert (retiring.state, retiring.not_after) == (ClientState.RETIRING, NOW + timedelta(days=7))


def test_a_renewed_certificate_of_a_pinned_key_leaves_the_pin_in_force(caller: Caller) -> None:
    current = client()
    enroll(caller, LOCAL, "acme", current.pem, Terms(pin_days=100), at=NOW)

    rotate(caller, LOCAL, "acme", client(key=current.key).pem, at=NOW)

    assert entry(caller, f"pin#{current.pin}").state is ClientState.ACTIVE


@pytest.mark.usefixtures("partner")
def test_tokens_bound_to_the_old_one_are_thought_of(caller: Caller) -> None:
    issue_token(caller, LOCAL, "acme", Grant(), at=NOW)

    rotated = rotate(caller, LOCAL, "acme", client().pem, at=NOW)

    assert any("issue them anew" in each for each in rotated.warnings)


def test_a_client_without_anything_in_force_is_not_rotated(caller: Caller, partner: Identity) -> None:
    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="no certificate in force"):
        rotate(caller, LOCAL, "acme", client().pem, at=NOW)


def test_a_stranger_is_not_rotated(caller: Caller) -> None:
    with pytest.raises(UnknownCertificateError):
        rotate(caller, LOCAL, "nobody", client().pem, at=NOW)


@pytest.mark.usefixtures("partner")
def test_with_different_roles_somebody_must_say_which(caller: Caller) -> None:
    enroll(caller, LOCAL, "acme", client().pem, Terms(("other",)), at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="different roles"):
        rotate(caller, LOCAL, "acme", client().pem, at=NOW)

    assert len(show(caller, LOCAL, "acme")) == 2


def test_the_old_one_does_not_come_back_by_enrolling_it_again_and_who_types_that_is_told(
    caller: Caller, partner: Identity
) -> None:
    """Its own dates hold still, so only the record's end tells why its client goes on being refused."""
    rotate(caller, LOCAL, "acme", client(not_after=NOW + timedelta(days=700)).pem, overlap_days=1, at=NOW)

    again = enroll(caller, LOCAL, "acme", partner.pem, Terms(("send", "receive")), at=NOW + timedelta(days=2))

    assert not again.is_new
    assert any("its enrollment ended" in warning and "next certificate" in warning for warning in again.warnings)


def test_the_old_certificate_given_as_the_next_one_does_not_end_the_new_one(caller: Caller, partner: Identity) -> None:
    """Whoever attaches the wrong of two files would lock the client out thirty days later."""
    following = client()
    rotate(caller, LOCAL, "acme", following.pem, at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="is retiring already") as refused:
        rotate(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert "next certificate" in str(refused.value.hint)
    assert entry(caller, following.fingerprint).state is ClientState.ACTIVE
