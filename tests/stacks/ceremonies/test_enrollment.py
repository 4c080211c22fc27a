"""`clients.py`: a certificate enters the registry, is found there, and leaves it for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from service.contract import ClientState, RegistryAttribute
from service.identity.certificate import Fingerprint
from service.identity.client_registry import parse_pin_record, parse_record
from stacks import naming
from stacks.ceremonies.access import NotDeployedError, NotPermittedError
from stacks.ceremonies.enrollment import (
    AlreadyEnrolledError,
    EnrollmentRefusedError,
    Terms,
    UnknownCertificateError,
    activate,
    enroll,
    list_clients,
    show,
)
from stacks.ceremonies.pasted import PrivateKeyPastedError
from stacks.ceremonies.registry_items import EnrolledCertificate, RecordUnreadableError
from stacks.ceremonies.revocation import revoke
from tests.certificates import (
    CLIENT_AUTH,
    NOW,
    SERVER_AUTH,
    YESTERDAY,
    Authority,
    Identity,
    client,
    rsa_key,
)
from tests.stacks.ceremonies.stage import LOCAL, Caller, aws, refuse


@pytest.fixture
def partner() -> Identity:
    return client()


def test_what_is_enrolled_is_what_the_service_reads(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, Terms(("records:read", "records:write")), at=NOW)

    record = parse_record(_item(caller, partner))
    assert record.fingerprint.hex == partner.fingerprint
    assert record.client == "acme"
    assert record.subject_public_key_info == partner.subject_public_key_info
    assert record.state is ClientState.ACTIVE
    assert record.roles == ("records:read", "records:write")
    assert (record.not_before, record.not_after) == (
        partner.certificate.not_valid_before_utc,
        partner.certificate.not_valid_after_utc,
    )


def test_the_whole_certificate_is_kept(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.der, at=NOW)

    item = _item(caller, partner)
    assert item[RegistryAttribute.CERTIFICATE]["B"] == partner.der
    assert item[RegistryAttribute.ENROLLED_AT]["S"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_came_of_it_is_told(caller: Caller, partner: Identity) -> None:
    enrollment = enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert enrollment.is_new
    assert enrollment.record.fingerprint.hex == partner.fingerprint
    assert enrollment.record.pin == partner.pin
    assert enrollment.warnings == ()


def test_an_expired_certificate_is_enrolled_with_a_warning(caller: Caller) -> None:
    enrollment = enroll(caller, LOCAL, "acme", client(not_after=YESTERDAY).pem, at=NOW)

    assert any("expired" in warning for warning in enrollment.warnings)


def test_the_same_again_changes_nothing_and_says_so(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, Terms(("a", "b")), at=NOW)
    before = _item(caller, partner)

    again = enroll(caller, LOCAL, "acme", partner.pem, Terms(("b", "a")), at=NOW + timedelta(days=1))

    assert not again.is_new
    assert _item(caller, partner) == before


def test_a_certificate_stays_with_the_client_it_was_enrolled_for(caller: Caller, partner: Identity) -> None:
    """Else whoever can enroll could take over another client's name, or give his own away."""
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="for the client acme"):
        enroll(caller, LOCAL, "umbrella", partner.pem, at=NOW)

    assert _item(caller, partner)[RegistryAttribute.CLIENT]["S"] == "acme"


def test_roles_are_not_changed_by_enrolling_again(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="with no roles"):
        enroll(caller, LOCAL, "acme", partner.pem, Terms(("admin",)), at=NOW)


def test_a_revoked_certificate_does_not_come_back(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="and revoked"):
        enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert {each.state for each in show(caller, LOCAL, "acme")} == {ClientState.REVOKED}


def test_a_client_may_have_its_next_certificate_beside_the_current_one(caller: Caller, partner: Identity) -> None:
    following = client(not_after=NOW + timedelta(days=700))
    enroll(caller, LOCAL, "acme", following.pem, at=NOW)
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert [each.key for each in show(caller, LOCAL, "acme")] == [
        partner.fingerprint,
        following.fingerprint,
    ]


def test_a_weak_key_is_refused(caller: Caller) -> None:
    with pytest.raises(EnrollmentRefusedError, match="RSA of 1024 bits"):
        enroll(caller, LOCAL, "acme", client(key=rsa_key(1024)).pem, at=NOW)

    assert list_clients(caller, LOCAL) == ()


@pytest.mark.parametrize("name", ["", " acme", "acme\n", "a" * 65, "acme\u202e", "ac/me", "-acme", "acme\x1b[2J"])
def test_a_name_that_would_confuse_a_log_is_refused(caller: Caller, partner: Identity, name: str) -> None:
    with pytest.raises(EnrollmentRefusedError) as caught:
        enroll(caller, LOCAL, name, partner.pem, at=NOW)

    assert str(caught.value).isprintable()


def test_a_name_of_great_length_is_not_thrown_back_whole(caller: Caller, partner: Identity) -> None:
    with pytest.raises(EnrollmentRefusedError, match=r"'x{64}'\.\.\. of 3000 characters cannot be used"):
        enroll(caller, LOCAL, "x" * 3000, partner.pem, at=NOW)


@pytest.mark.parametrize("role", ["", "Admin", "a b", "a," * 2, "r" * 64])
def test_a_role_that_is_no_plain_word_is_refused(caller: Caller, partner: Identity, role: str) -> None:
    with pytest.raises(EnrollmentRefusedError):
        enroll(caller, LOCAL, "acme", partner.pem, Terms((role,)), at=NOW)


def test_more_roles_than_anybody_needs_are_refused(caller: Caller, partner: Identity) -> None:
    with pytest.raises(EnrollmentRefusedError, match="33 roles"):
        enroll(caller, LOCAL, "acme", partner.pem, Terms(tuple(f"role-{number}" for number in range(33))), at=NOW)


def test_a_private_key_that_came_along_is_refused_and_nothing_kept(caller: Caller, partner: Identity) -> None:
    with pytest.raises(PrivateKeyPastedError):
        enroll(caller, LOCAL, "acme", partner.pem + partner.key_pem, at=NOW)

    assert list_clients(caller, LOCAL) == ()


def test_the_list_goes_by_client_and_leaves_certificates_out(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "umbrella", partner.pem, at=NOW)
    enroll(caller, LOCAL, "acme", client().pem, at=NOW)

    listed = list_clients(caller, LOCAL)

    assert [each.client for each in listed] == ["acme", "umbrella"]
    assert [isinstance(each, EnrolledCertificate) and each.certificate for each in listed] == [None, None]
    assert isinstance(listed[1], EnrolledCertificate)
    assert listed[1].pin == partner.pin


def test_one_certificate_is_shown_whole_by_its_fingerprint(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    (record,) = show(caller, LOCAL, Fingerprint(partner.fingerprint))

    assert isinstance(record, EnrolledCertificate)
    assert record.certificate is not None
    assert record.certificate.der == partner.der


@pytest.mark.parametrize("what", ["nobody", Fingerprint("0" * 64)])
def test_what_is_not_enrolled_is_said_with_the_command_that_lists(caller: Caller, what: Fingerprint | str) -> None:
    with pytest.raises(UnknownCertificateError) as caught:
        show(caller, LOCAL, what)

    assert caught.value.hint == "python scripts/clients.py list --env local"


def test_a_pending_certificate_counts_only_once_it_is_activated(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, Terms(is_pending=True), at=NOW)
    assert parse_record(_item(caller, partner)).state is ClientState.PENDING

    (activated,) = activate(caller, LOCAL, Fingerprint(partner.fingerprint))

    assert activated.state is ClientState.ACTIVE
    assert parse_record(_item(caller, partner)).state is ClientState.ACTIVE


def test_what_is_not_pending_is_not_activated(caller: Caller, partner: Identity) -> None:
    """Least of all what was revoked."""
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="is pending"):
        activate(caller, LOCAL, Fingerprint(partner.fingerprint))

    assert parse_record(_item(caller, partner)).state is ClientState.REVOKED


# -- keys --------------------------------------------------------------------------------


PINNED = Terms(("send",), pin_days=100)


def test_a_key_is_enrolled_with_its_certificate_and_for_days_of_its_own(caller: Caller, partner: Identity) -> None:
    enrollment = enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    record = parse_pin_record(_item(caller, partner, key=f"pin#{partner.pin}"))
    assert enrollment.key is not None
    assert (record.pin, record.client, record.roles) == (partner.pin, "acme", ("send",))
    assert record.subject_public_key_info == partner.subject_public_key_info
    assert (record.state, record.not_before, record.not_after) == (ClientState.ACTIVE, NOW, NOW + timedelta(days=100))


def test_a_key_may_be_pinned_later(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, Terms(("send",)), at=NOW)

    assert enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW).is_new
    assert not enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW).is_new
    assert [type(each).__name__ for each in show(caller, LOCAL, "acme")] == ["EnrolledKey", "EnrolledCertificate"]


def test_a_key_is_shown_by_its_pin(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    by_digits, by_name = show(caller, LOCAL, Fingerprint(partner.pin)), show(caller, LOCAL, f"pin#{partner.pin}")

    assert by_digits == by_name
    assert by_name[0].key == f"pin#{partner.pin}"


def test_a_pinned_key_stays_with_its_client(caller: Caller, partner: Identity) -> None:
    """Else a renewed certificate could be enrolled for whoever is quicker."""
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="for the client acme"):
        enroll(caller, LOCAL, "umbrella", client(key=partner.key).pem, at=NOW)


def test_a_pinned_key_keeps_its_roles(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="with the roles send"):
        enroll(caller, LOCAL, "acme", client(key=partner.key).pem, Terms(("admin",), pin_days=1), at=NOW)


@pytest.mark.parametrize("days", [0, -1, 1097])
def test_a_key_counts_neither_for_ever_nor_never(caller: Caller, partner: Identity, days: int) -> None:
    with pytest.raises(EnrollmentRefusedError, match="1 to 1096 expected"):
        enroll(caller, LOCAL, "acme", partner.pem, Terms(pin_days=days), at=NOW)

    assert list_clients(caller, LOCAL) == ()


def test_a_pin_over_another_key_is_named_and_not_guessed_at(caller: Caller, partner: Identity) -> None:
    """Somebody changed the table by hand, or wants a key enrolled under another one's pin."""
    enroll(caller, LOCAL, "acme", partner.pem, PINNED, at=NOW)
    forged = _item(caller, partner, key=f"pin#{partner.pin}") | {"fingerprint": {"S": "pin#" + "0" * 64}}
    caller.client("dynamodb").put_item(TableName=naming.client_registry_table(LOCAL), Item=forged)

    with pytest.raises(RecordUnreadableError, match="pin#0000"):
        list_clients(caller, LOCAL)


def test_a_public_certificate_is_no_worry_once_its_key_is_pinned(caller: Caller) -> None:
    public = Authority().server(purposes=(SERVER_AUTH, CLIENT_AUTH)).pem

    assert any("--pin-key" in each for each in enroll(caller, LOCAL, "acme", public, at=NOW).warnings)
    assert enroll(caller, LOCAL, "acme", public, Terms(pin_days=100), at=NOW).warnings == ()


def test_a_record_of_somebody_else_is_named_and_not_guessed_at(caller: Caller) -> None:
    caller.client("dynamodb").put_item(
        TableName=naming.client_registry_table(LOCAL), Item={RegistryAttribute.FINGERPRINT: {"S": "0" * 64}}
    )

    with pytest.raises(RecordUnreadableError, match="0" * 64):
        list_clients(caller, LOCAL)


def test_before_the_registry_is_deployed_the_error_says_how(partner: Identity) -> None:
    with aws(deployed=False) as caller, pytest.raises(NotDeployedError) as caught:
        enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert caught.value.hint == "python scripts/deploy.py deploy --env local"


def test_a_caller_who_may_not_is_told_so(caller: Caller, partner: Identity) -> None:
    caller.before("PutItem", refuse("AccessDeniedException"))

    with pytest.raises(NotPermittedError):
        enroll(caller, LOCAL, "acme", partner.pem, at=NOW)


def _item(caller: Caller, identity: Identity, *, key: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = caller.client("dynamodb").get_item(
        TableName=naming.client_registry_table(LOCAL),
        Key={RegistryAttribute.FINGERPRINT: {"S": key or identity.fingerprint}},
    )["Item"]
    return item
