"""The doctor's words: what the server saw, why it refused, and who can mend it."""

from __future__ import annotations

import pytest

from service.identity.verdict import Reason
from stacks.ceremonies.doctor import describe, explain
from stacks.ceremonies.probe import Answer

OWN = "ab" * 32


def answer(status: int, /, **document: object) -> Answer:
    reason, fingerprint = document.get("reason"), document.get("fingerprint")
    return Answer(
        status=status,
        reason=reason if isinstance(reason, str) else None,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        body=b"",
        local_address=("127.0.0.1", 1),
        server_certificate_sha256="00" * 32,
        tls_version="TLSv1.3",
        document=document,
    )


def test_an_accepted_client_is_called_by_its_name() -> None:
    words = explain(answer(200, client="acme", fingerprint=OWN), own_fingerprint=OWN)

    assert words == ("accepted as client acme", f"the server saw certificate SHA-256 {OWN}")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_the_service_has_its_words(reason: Reason) -> None:
    first = explain(answer(403, reason=reason.value), own_fingerprint=OWN)[0]

    assert first.startswith(f"refused, {reason}: ")


def test_a_reason_of_a_later_day_is_passed_on() -> None:
    assert explain(answer(403, reason="too_beautiful"), own_fingerprint=OWN)[0] == "refused, too_beautiful"


def test_a_stranger_is_told_how_to_be_enrolled() -> None:
    words = explain(
        answer(403, reason="unknown_certificate", fingerprint=OWN), own_fingerprint=OWN, certificate="client.pem"
    )

    assert words[-1].endswith("clients.py enroll --env ENV --client NAME client.pem")


def test_one_who_showed_nothing_is_told_how_to_show_something() -> None:
    assert explain(answer(403, reason="no_certificate"), own_fingerprint=None)[-1] == "show one: --cert FILE --key FILE"


def test_a_certificate_that_did_not_arrive_points_at_what_stands_between() -> None:
    assert "between" in explain(answer(403, reason="no_certificate"), own_fingerprint=OWN)[-1]


def test_another_certificate_than_ours_points_at_what_stands_between() -> None:
    words = explain(answer(200, client="proxy", fingerprint="cd" * 32), own_fingerprint=OWN)

    assert words[-1] == "something between ends TLS and starts it anew"


def test_an_answer_without_a_reason_is_not_one_of_ours() -> None:
    assert explain(answer(502), own_fingerprint=OWN) == ("the server answered 502 without a reason code",)


# -- the doctor's own page, /whoami -------------------------------------------------

PAGE = {
    "schema": 1,
    "decision": "refused",
    "status": 403,
    "reason": "unknown_certificate",
    "client": None,
    "roles": [],
    "fingerprint": OWN,
    "certificate": {
        "sha256": OWN,
        "subject": "CN=\x1b[2Jx",
        "alternative_names": ["DNS:a", "DNS:b"],
        "is_in_date": True,
    },
    "connection": {"address": "192.0.2.7", "port": 1},
    "enroll": {"command": "clients.py enroll", "certificate": "-----BEGIN\nMII\n-----END\n"},
}


def test_a_page_that_says_refused_is_a_refusal_although_it_was_answered() -> None:
    asked = answer(200, **PAGE)

    assert not asked.is_accepted
    assert explain(asked, own_fingerprint=OWN)[0].startswith("refused, unknown_certificate: ")


def test_a_page_that_says_allowed_is_accepted() -> None:
    assert answer(200, decision="allowed", client="acme").is_accepted


def test_the_page_is_read_line_by_line_and_the_certificate_can_be_copied() -> None:
    lines = list(describe(PAGE))

    assert "  certificate sha256: " + OWN in lines
    assert "  certificate alternative names: DNS:a, DNS:b" in lines
    assert "  certificate is in date: yes" in lines
    assert "  connection address: 192.0.2.7" in lines
    assert "  roles: none" in lines
    assert lines[-3:] == ["-----BEGIN", "MII", "-----END"]
    assert not any("\x1b" in line for line in lines)
