"""`clients.py` as customer success types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import clients
from service.contract import RegistryAttribute
from stacks import naming
from tests.certificates import YESTERDAY, Identity, client
from tests.scripts.desk import Desk, Said
from tests.stacks.ceremonies.stage import LOCAL, aws


@pytest.fixture
def desk() -> Iterator[Desk]:
    with aws():
        yield Desk()


@pytest.fixture
def partner() -> Identity:
    return client()


def test_a_certificate_is_enrolled_from_a_file_and_what_was_enrolled_is_shown(
    desk: Desk, partner: Identity, tmp_path: Path
) -> None:
    certificate, _ = partner.write(tmp_path)

    said = desk.run(clients.main, "enroll", "--env", "local", "--client", "acme", "--role", "read", str(certificate))

    assert said.exit_code == 0
    assert f"SHA-256 {partner.fingerprint}" in said.out
    assert f"SPKI SHA-256 {partner.pin}" in said.out
    assert "CN=partner.example" in said.out
    assert "enrolled in local" in said.err


def test_a_certificate_is_enrolled_from_a_paste(desk: Desk, partner: Identity) -> None:
    mail = b"Hi,\r\nhere it is:\r\n\r\n> " + partner.pem.replace(b"\n", b"\r\n> ") + b"\r\nBest, Jo"

    said = _enroll(desk, mail)

    assert said.exit_code == 0
    assert partner.fingerprint in said.out


def test_warnings_go_beside_the_result_and_not_into_it(desk: Desk) -> None:
    said = _enroll(desk, client(not_after=YESTERDAY).pem)

    assert said.exit_code == 0
    assert "warning: it expired" in said.err
    assert "warning" not in said.out


def test_a_private_key_is_refused_loudly_and_never_echoed(desk: Desk, partner: Identity) -> None:
    said = _enroll(desk, partner.key_pem)

    assert said.exit_code == 5
    assert "must never leave its owner" in said.err
    assert partner.key_pem.decode().splitlines()[1] not in said.out + said.err


def test_enrolling_twice_says_so(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)

    again = _enroll(desk, partner.pem)

    assert again.exit_code == 0
    assert "before; nothing was changed" in again.err


def test_enrolling_for_another_client_is_refused(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)

    said = _enroll(desk, partner.pem, name="umbrella")

    assert said.exit_code == 5
    assert "for the client acme" in said.err


def test_an_empty_registry_lists_nothing(desk: Desk) -> None:
    text = desk.run(clients.main, "list", "--env", "local")
    programs = desk.run(clients.main, "list", "--env", "local", "--output", "json")

    assert (text.exit_code, text.out, text.err) == (0, "", "nobody is enrolled yet\n")
    assert json.loads(programs.out) == []


def test_the_list_has_a_line_for_each_certificate(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)
    _enroll(desk, client().pem, name="umbrella")

    lines = desk.run(clients.main, "list", "--env", "local").out.splitlines()

    assert [line.split()[0] for line in lines] == ["CLIENT", "acme", "umbrella"]
    assert partner.fingerprint in lines[1]


def test_the_list_for_programs_has_stable_names(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)

    (record,) = json.loads(desk.run(clients.main, "list", "--env", "local", "--output", "json").out)

    assert record["client"] == "acme"
    assert record["fingerprint"] == partner.fingerprint
    assert record["spki_sha256"] == partner.pin
    assert (record["state"], record["roles"], record["revoked_at"]) == ("active", [], None)


def _written_forms(fingerprint: str) -> list[list[str]]:
    pairs = [fingerprint[place : place + 2] for place in range(0, 64, 2)]
    return [
        [fingerprint],
        [fingerprint.upper()],
        [":".join(pairs).upper()],
        [f"sha256 Fingerprint={':'.join(pairs).upper()}"],
        ["\u200e" + " ".join(pairs)],
        pairs,
    ]


@pytest.mark.parametrize("form", range(6))
def test_a_certificate_is_shown_by_its_fingerprint_however_it_is_written(
    desk: Desk, partner: Identity, form: int
) -> None:
    """Plain, upper case, with colons, as openssl prints it, as Windows copies it, and not even quoted."""
    _enroll(desk, partner.pem)

    said = desk.run(clients.main, "show", "--env", "local", *_written_forms(partner.fingerprint)[form])

    assert said.exit_code == 0
    assert partner.fingerprint in said.out


def test_all_certificates_of_a_client_are_shown_by_its_name(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem, name="Acme West")
    _enroll(desk, client().pem, name="Acme West")

    text = desk.run(clients.main, "show", "--env", "local", "Acme", "West")
    programs = desk.run(clients.main, "show", "--env", "local", "Acme West", "--output", "json")

    assert text.out.count("SPKI SHA-256") == 2
    assert partner.pem.decode() in {record["certificate"] for record in json.loads(programs.out)}


def test_a_client_may_be_called_like_hexadecimal(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem, name="beef")

    assert desk.run(clients.main, "show", "--env", "local", "beef").exit_code == 0


@pytest.mark.parametrize("verb", ["show", "revoke"])
def test_a_sha1_is_recognized_and_explained(desk: Desk, verb: str) -> None:
    """Windows shows no other; the message says what to ask for."""
    said = desk.run(clients.main, verb, "--env", "local", "AB:" * 19 + "AB")

    assert said.exit_code == 64
    assert "SHA-1" in said.err
    assert "openssl x509 -in FILE -noout -fingerprint -sha256" in said.err


def test_revoking_without_anybody_to_ask_wants_yes(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)

    refused = desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint)
    done = desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint, "--yes", "--reason", "laptop stolen")

    assert refused.exit_code == 3
    assert "hint: the same command with --yes" in refused.err
    assert done.exit_code == 0
    assert "laptop stolen" in done.out
    assert _item(desk, partner)[RegistryAttribute.STATE]["S"] == "revoked"


def test_revoking_again_asks_nothing_and_changes_nothing(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)
    desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint, "--yes")
    before = _item(desk, partner)

    said = desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint)

    assert said.exit_code == 0
    assert "before; nothing was changed" in said.err
    assert _item(desk, partner) == before


def test_revoking_a_stranger_is_refused(desk: Desk, partner: Identity) -> None:
    said = desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint, "--yes")

    assert said.exit_code == 5
    assert "python scripts/clients.py list --env local" in said.err


def test_a_reason_of_a_whole_page_is_misuse(desk: Desk, partner: Identity) -> None:
    said = desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint, "--yes", "--reason", "x" * 257)

    assert said.exit_code == 64


def test_more_than_a_certificate_and_its_mail_is_not_read(desk: Desk) -> None:
    said = _enroll(desk, b"x" * 600_000)

    assert said.exit_code == 64
    assert desk.opened == []


def _enroll(desk: Desk, pasted: bytes, *, name: str = "acme") -> Said:
    return desk.run(clients.main, "enroll", "--env", "local", "--client", name, "-", pasted=pasted)


def _item(desk: Desk, identity: Identity) -> dict[str, dict[str, str]]:
    item: dict[str, dict[str, str]] = desk.client("dynamodb").get_item(
        TableName=naming.client_registry_table(LOCAL),
        Key={RegistryAttribute.FINGERPRINT: {"S": identity.fingerprint}},
    )["Item"]
    return item
