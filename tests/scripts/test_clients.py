"""`clients.py` as customer success types it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import _terminal, clients
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


def test_before_a_yes_all_that_goes_is_named(desk: Desk, partner: Identity) -> None:
    """A certificate takes its key with it, and every other certificate of that key."""
    renewed = client(key=partner.key)
    _enroll(desk, partner.pem)
    _enroll(desk, renewed.pem)

    refused = desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint)

    assert f"to be revoked: key {partner.pin} of acme" in refused.err
    assert f"to be revoked: certificate {renewed.fingerprint} of acme" in refused.err
    assert _item(desk, renewed)[RegistryAttribute.STATE]["S"] == "active"


class Screen(io.StringIO):
    """A screen that somebody looks at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Keyboard(io.TextIOWrapper):
    """A keyboard that somebody sits at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(("word", "state"), [("yes", "revoked"), ("no", "active")])
def test_whoever_sits_there_is_asked(desk: Desk, partner: Identity, word: str, state: str) -> None:
    _enroll(desk, partner.pem)
    screen, keyboard = Screen(), Keyboard(io.BytesIO(f"{word}\n".encode()))
    terminal = _terminal.Terminal(out=io.StringIO(), err=screen, stdin=keyboard, variables={})

    exit_code = _terminal.run(
        lambda given, at: clients.main(given, at, open_operator=desk.open_operator),
        ("revoke", "--env", "local", partner.fingerprint),
        terminal,
    )

    assert exit_code == (0 if word == "yes" else 3)
    assert "for good?" in screen.getvalue()
    assert _item(desk, partner)[RegistryAttribute.STATE]["S"] == state


def test_a_key_that_is_safe_is_kept(desk: Desk, partner: Identity) -> None:
    renewed = client(key=partner.key)
    _enroll(desk, partner.pem)
    _enroll(desk, renewed.pem)

    desk.run(clients.main, "revoke", "--env", "local", partner.fingerprint, "--yes", "--keep-key")

    assert _item(desk, partner)[RegistryAttribute.STATE]["S"] == "revoked"
    assert _item(desk, renewed)[RegistryAttribute.STATE]["S"] == "active"


def _pin_forms(pin: str) -> list[str]:
    base64_text = base64.b64encode(bytes.fromhex(pin)).decode()
    return [pin, f"pin#{pin}", f"sha256//{base64_text}", f'pin-sha256="{base64_text}"']


@pytest.mark.parametrize("form", range(4))
def test_a_key_is_pinned_and_shown_however_its_pin_is_written(desk: Desk, partner: Identity, form: int) -> None:
    """Plain, as the table holds it, as curl writes it, and as browsers did."""
    said = desk.run(clients.main, "enroll", "--env", "local", "--client", "acme", "--pin-key", "-", pasted=partner.pem)
    assert f"any with key  SPKI SHA-256 {partner.pin}" in said.out

    shown = desk.run(clients.main, "show", "--env", "local", "--output", "json", _pin_forms(partner.pin)[form])

    (record,) = json.loads(shown.out)
    assert (record["kind"], record["spki_sha256"], record["state"]) == ("key", partner.pin, "active")


def test_a_pin_that_is_none_is_misuse(desk: Desk) -> None:
    assert desk.run(clients.main, "show", "--env", "local", "sha256//short").exit_code == 64


def test_a_pending_certificate_is_activated(desk: Desk, partner: Identity) -> None:
    desk.run(clients.main, "enroll", "--env", "local", "--client", "acme", "--pending", "-", pasted=partner.pem)
    assert _item(desk, partner)[RegistryAttribute.STATE]["S"] == "pending"

    said = desk.run(clients.main, "activate", "--env", "local", partner.fingerprint)

    assert said.exit_code == 0
    assert _item(desk, partner)[RegistryAttribute.STATE]["S"] == "active"


def test_a_client_gets_its_next_certificate(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)

    said = desk.run(
        clients.main, "rotate", "--env", "local", "--client", "acme", "--overlap-days", "7", "-", pasted=client().pem
    )

    assert said.exit_code == 0
    assert said.out.count("SPKI SHA-256") == 2
    assert _item(desk, partner)[RegistryAttribute.STATE]["S"] == "retiring"


def test_the_current_certificate_given_as_the_next_one_is_told_apart(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)

    said = desk.run(clients.main, "rotate", "--env", "local", "--client", "acme", "-", pasted=partner.pem)

    assert "nothing was changed" in said.err
    assert "retiring" not in said.err


def test_a_token_alone_goes_to_standard_output(desk: Desk, partner: Identity) -> None:
    """So that it can be piped to where it belongs, and stands in no transcript of the rest."""
    _enroll(desk, partner.pem, name="Mercy General")

    said = desk.run(
        clients.main, "issue-token", "--env", "local", "Mercy", "General", "--scope", "records:read", "--days", "7"
    )

    token = said.out.strip()
    assert re.fullmatch(r"mti_[A-Za-z0-9_-]{43}", token)
    assert token not in said.err
    assert f"bound to      {partner.fingerprint}" in said.err
    assert "shown once" in said.err


def test_a_token_is_listed_and_shown_and_revoked_without_ever_being_echoed(desk: Desk, partner: Identity) -> None:
    _enroll(desk, partner.pem)
    token = desk.run(clients.main, "issue-token", "--env", "local", "acme", "--unbound").out.strip()
    digest = hashlib.sha256(token.encode()).hexdigest()

    listed = desk.run(clients.main, "list", "--env", "local")
    shown = desk.run(clients.main, "show", "--env", "local", token)
    refused = desk.run(clients.main, "revoke", "--env", "local", token)
    revoked = desk.run(clients.main, "revoke", "--env", "local", f"token#{digest}", "--yes")
    (record,) = json.loads(desk.run(clients.main, "show", "--env", "local", "--output", "json", digest).out)

    assert f"token {digest}" in listed.out
    assert "bound to    no certificate" in shown.out
    assert (refused.exit_code, revoked.exit_code) == (3, 0)
    assert (record["kind"], record["token_sha256"], record["state"]) == ("token", digest, "revoked")
    assert token not in "".join(each.out + each.err for each in (listed, shown, refused, revoked))


def test_a_token_nobody_issued_is_not_echoed_either(desk: Desk) -> None:
    said = desk.run(clients.main, "show", "--env", "local", "mti_" + "A" * 43)

    assert said.exit_code == 5
    assert "mti_" not in said.out + said.err


def test_a_token_bound_and_unbound_is_misuse(desk: Desk, partner: Identity) -> None:
    said = desk.run(clients.main, "issue-token", "--env", "local", "acme", "--unbound", "--bind", partner.fingerprint)

    assert said.exit_code == 64


def _enroll(desk: Desk, pasted: bytes, *, name: str = "acme") -> Said:
    return desk.run(clients.main, "enroll", "--env", "local", "--client", name, "-", pasted=pasted)


def _item(desk: Desk, identity: Identity) -> dict[str, dict[str, str]]:
    item: dict[str, dict[str, str]] = desk.client("dynamodb").get_item(
        TableName=naming.client_registry_table(LOCAL),
        Key={RegistryAttribute.FINGERPRINT: {"S": identity.fingerprint}},
    )["Item"]
    return item
