"""`clients.py`: a certificate enters the registry, is found there, and leaves it for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from service.contract import ClientState, RegistryAttribute
from service.identity.certificate import Fingerprint
from service.identity.client_registry import parse_record
from stacks import naming
from stacks.ceremonies.access import NotDeployedError, NotPermittedError
from stacks.ceremonies.client_table import RecordUnreadableError
from stacks.ceremonies.enrollment import (
    AlreadyEnrolledError,
    EnrollmentRefusedError,
    UnknownCertificateError,
    enroll,
    list_clients,
    revoke,
    show,
)
from stacks.ceremonies.pasted import PrivateKeyPastedError
from tests.certificates import NOW, YESTERDAY, Identity, client, rsa_key
from tests.stacks.ceremonies.stage import LOCAL, Caller, aws, refuse


@pytest.fixture
def partner() -> Identity:
    return client()


def test_what_is_enrolled_is_what_the_service_reads(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, ["records:read", "records:write"], at=NOW)

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
    enroll(caller, LOCAL, "acme", partner.pem, ["a", "b"], at=NOW)
    before = _item(caller, partner)

    again = enroll(caller, LOCAL, "acme", partner.pem, ["b", "a"], at=NOW + timedelta(days=1))

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
        enroll(caller, LOCAL, "acme", partner.pem, ["admin"], at=NOW)


def test_a_revoked_certificate_does_not_come_back(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    with pytest.raises(AlreadyEnrolledError, match="and revoked"):
        enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert show(caller, LOCAL, "acme")[0].state is ClientState.REVOKED


def test_a_client_may_have_its_next_certificate_beside_the_current_one(caller: Caller, partner: Identity) -> None:
    following = client(not_after=NOW + timedelta(days=700))
    enroll(caller, LOCAL, "acme", following.pem, at=NOW)
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    assert [each.fingerprint.hex for each in show(caller, LOCAL, "acme")] == [
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
        enroll(caller, LOCAL, "acme", partner.pem, [role], at=NOW)


def test_more_roles_than_anybody_needs_are_refused(caller: Caller, partner: Identity) -> None:
    with pytest.raises(EnrollmentRefusedError, match="33 roles"):
        enroll(caller, LOCAL, "acme", partner.pem, [f"role-{number}" for number in range(33)], at=NOW)


def test_a_private_key_that_came_along_is_refused_and_nothing_kept(caller: Caller, partner: Identity) -> None:
    with pytest.raises(PrivateKeyPastedError):
        enroll(caller, LOCAL, "acme", partner.pem + partner.key_pem, at=NOW)

    assert list_clients(caller, LOCAL) == ()


def test_the_list_goes_by_client_and_leaves_certificates_out(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "umbrella", partner.pem, at=NOW)
    enroll(caller, LOCAL, "acme", client().pem, at=NOW)

    listed = list_clients(caller, LOCAL)

    assert [each.client for each in listed] == ["acme", "umbrella"]
    assert [each.certificate for each in listed] == [None, None]
    assert listed[1].pin == partner.pin


def test_one_certificate_is_shown_whole_by_its_fingerprint(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    (record,) = show(caller, LOCAL, Fingerprint(partner.fingerprint))

    assert record.certificate is not None
    assert record.certificate.der == partner.der


@pytest.mark.parametrize("what", ["nobody", Fingerprint("0" * 64)])
def test_what_is_not_enrolled_is_said_with_the_command_that_lists(caller: Caller, what: Fingerprint | str) -> None:
    with pytest.raises(UnknownCertificateError) as caught:
        show(caller, LOCAL, what)

    assert caught.value.hint == "python scripts/clients.py list --env local"


def test_revoking_keeps_date_and_reason(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)

    revocation = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), reason="laptop stolen", at=NOW)

    assert revocation.is_new
    assert revocation.record.state is ClientState.REVOKED
    assert (revocation.record.revoked_at, revocation.record.revocation_reason) == (NOW, "laptop stolen")
    assert parse_record(_item(caller, partner)).state is ClientState.REVOKED


def test_revoking_again_keeps_the_first_date_and_reason(caller: Caller, partner: Identity) -> None:
    enroll(caller, LOCAL, "acme", partner.pem, at=NOW)
    first = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), reason="laptop stolen", at=NOW)

    second = revoke(caller, LOCAL, Fingerprint(partner.fingerprint), reason="?", at=NOW + timedelta(days=1))

    assert not second.is_new
    assert second.record == first.record


def test_revoking_a_stranger_makes_no_record_of_him(caller: Caller, partner: Identity) -> None:
    with pytest.raises(UnknownCertificateError):
        revoke(caller, LOCAL, Fingerprint(partner.fingerprint), at=NOW)

    assert list_clients(caller, LOCAL) == ()


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


def _item(caller: Caller, identity: Identity) -> dict[str, Any]:
    item: dict[str, Any] = caller.client("dynamodb").get_item(
        TableName=naming.client_registry_table(LOCAL),
        Key={RegistryAttribute.FINGERPRINT: {"S": identity.fingerprint}},
    )["Item"]
    return item
