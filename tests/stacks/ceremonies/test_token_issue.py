"""`clients.py issue-token`: made here, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest

from service.contract import ClientState
from service.identity.certificate import Fingerprint
from service.identity.client_registry import parse_token_record
from stacks import naming
from stacks.ceremonies.enrollment import (
    EnrollmentRefusedError,
    Terms,
    UnknownCertificateError,
    enroll,
    show,
)
from stacks.ceremonies.revocation import revoke
from stacks.ceremonies.token_issue import Grant, issue_token
from tests.certificates import NOW, YESTERDAY, Identity, client
from tests.stacks.ceremonies.stage import LOCAL, Caller


@pytest.fixture
def partner(caller: Caller) -> Identity:
    """A client that is enrolled."""
    made = client()
    enroll(caller, LOCAL, "acme", made.pem, at=NOW)
    return made


def test_what_is_issued_is_what_the_service_reads(caller: Caller, partner: Identity) -> None:
    token = issue_token(caller, LOCAL, "acme", Grant(("send",), ("records:read", "a/b.c?d=e"), days=7), at=NOW)

    record = parse_token_record(_item(caller, token.record.key))
    assert record.digest == hashlib.sha256(token.text.encode()).hexdigest()
    assert (record.client, record.state) == ("acme", ClientState.ACTIVE)
    assert (record.roles, record.scopes) == (("send",), ("records:read", "a/b.c?d=e"))
    assert (record.not_before, record.not_after) == (NOW, NOW + timedelta(days=7))
    assert record.fingerprint == Fingerprint(partner.fingerprint)


@pytest.mark.usefixtures("partner")
def test_a_token_is_long_and_knowable_and_never_the_same(caller: Caller) -> None:
    texts = {issue_token(caller, LOCAL, "acme", Grant(), at=NOW).text for _ in range(5)}

    assert len(texts) == 5
    assert all(re.fullmatch(r"mti_[A-Za-z0-9_-]{43}", text) for text in texts)


@pytest.mark.usefixtures("partner")
def test_the_token_itself_is_kept_nowhere(caller: Caller) -> None:
    token = issue_token(caller, LOCAL, "acme", Grant(), at=NOW)

    items = caller.client("dynamodb").scan(TableName=naming.client_registry_table(LOCAL))["Items"]
    assert token.text not in str(items)
    assert token.text not in repr(token)


@pytest.mark.usefixtures("partner")
def test_a_token_may_count_without_a_certificate_if_that_is_said(caller: Caller) -> None:
    token = issue_token(caller, LOCAL, "acme", Grant(is_unbound=True), at=NOW)

    assert parse_token_record(_item(caller, token.record.key)).fingerprint is None


def test_of_several_certificates_one_must_be_named(caller: Caller, partner: Identity) -> None:
    other = client()
    enroll(caller, LOCAL, "acme", other.pem, at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="2 certificates in force"):
        issue_token(caller, LOCAL, "acme", Grant(), at=NOW)
    token = issue_token(caller, LOCAL, "acme", Grant(bound_to=Fingerprint(other.fingerprint)), at=NOW)

    assert token.record.bound_to == Fingerprint(other.fingerprint) != Fingerprint(partner.fingerprint)


@pytest.mark.usefixtures("partner")
def test_a_token_is_bound_to_no_certificate_of_somebody_else(caller: Caller) -> None:
    theirs, over = client(), client(not_after=YESTERDAY)
    enroll(caller, LOCAL, "umbrella", theirs.pem, at=NOW)
    enroll(caller, LOCAL, "acme", over.pem, at=NOW)

    for fingerprint in (theirs.fingerprint, over.fingerprint, "0" * 64):
        with pytest.raises(EnrollmentRefusedError, match="is none of acme's"):
            issue_token(caller, LOCAL, "acme", Grant(bound_to=Fingerprint(fingerprint)), at=NOW)


def test_who_is_not_enrolled_gets_no_token(caller: Caller) -> None:
    with pytest.raises(UnknownCertificateError):
        issue_token(caller, LOCAL, "nobody", Grant(is_unbound=True), at=NOW)


@pytest.mark.usefixtures("partner")
def test_who_is_revoked_gets_no_token(caller: Caller) -> None:
    revoke(caller, LOCAL, "acme", at=NOW)

    with pytest.raises(EnrollmentRefusedError, match="everything of the client acme is revoked"):
        issue_token(caller, LOCAL, "acme", Grant(is_unbound=True), at=NOW)


@pytest.mark.usefixtures("partner")
@pytest.mark.parametrize(
    "grant",
    [
        Grant(days=0),
        Grant(days=367),
        Grant(scopes=("a b",)),
        Grant(scopes=('a"b',)),
        Grant(scopes=("",)),
        Grant(scopes=tuple(f"s{number}" for number in range(33))),
        Grant(roles=("Admin",)),
    ],
    ids=["no day", "over a year", "a blank", "a quote", "nothing", "33 scopes", "no plain role"],
)
def test_what_no_token_may_say_is_refused(caller: Caller, grant: Grant) -> None:
    with pytest.raises(EnrollmentRefusedError):
        issue_token(caller, LOCAL, "acme", grant, at=NOW)

    assert len(show(caller, LOCAL, "acme")) == 1


def test_a_client_with_a_pinned_key_may_have_a_token(caller: Caller) -> None:
    enroll(caller, LOCAL, "pinned", client().pem, Terms(pin_days=1), at=NOW)

    assert issue_token(caller, LOCAL, "pinned", Grant(), at=NOW).record.client == "pinned"


def _item(caller: Caller, key: str) -> dict[str, Any]:
    item: dict[str, Any] = caller.client("dynamodb").get_item(
        TableName=naming.client_registry_table(LOCAL), Key={"fingerprint": {"S": key}}
    )["Item"]
    return item
