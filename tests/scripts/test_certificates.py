"""`certificates.py` as an operator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scripts import certificates
from scripts._operator import session_name
from tests.certificates import Authority
from tests.scripts.desk import Desk
from tests.stacks.ceremonies.stage import ROOT, STAGING, aws
from tests.stacks.environments import with_tokens
from tests.tokens import Issuer, key_set


@pytest.fixture
def desk() -> Iterator[Desk]:
    with aws():
        yield Desk()


@pytest.fixture
def authority() -> Authority:
    return Authority().intermediate()


def test_the_request_alone_is_on_standard_output_and_the_next_command_is_told(desk: Desk) -> None:
    said = desk.run(certificates.main, "request", "--env", "local")

    assert said.exit_code == 0
    assert x509.load_pem_x509_csr(said.out.encode()).is_signature_valid
    assert "python scripts/certificates.py install --env local --chain FILE" in said.err


def test_the_request_goes_to_a_file_on_demand(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "ingress.csr"

    said = desk.run(certificates.main, "request", "--env", "local", "--out", str(out), "--organization", "ACME")

    assert said.out == ""
    assert x509.load_pem_x509_csr(out.read_bytes()).subject.rfc4514_string() == "CN=ingress.local.test,O=ACME"


def test_a_request_whose_file_cannot_be_written_is_not_lost(desk: Desk, tmp_path: Path) -> None:
    """Its key is pending already; without its request it would be worthless."""
    said = desk.run(certificates.main, "request", "--env", "local", "--out", str(tmp_path / "no" / "such"))

    assert said.exit_code == 64
    assert x509.load_pem_x509_csr(said.out.encode()).is_signature_valid


def test_no_private_key_is_ever_said(desk: Desk, authority: Authority, tmp_path: Path) -> None:
    said = [desk.run(certificates.main, "request", "--env", "local")]
    chain = _file(tmp_path / "chain.pem", authority.sign(said[0].out.encode()))
    said.append(desk.run(certificates.main, "install", "--env", "local", "--chain", chain))
    said.append(desk.run(certificates.main, "status", "--env", "local", "--output", "json"))

    assert [each.exit_code for each in said] == [0, 0, 0]
    assert not any("PRIVATE" in each.out + each.err for each in said)


def test_a_second_request_is_refused_with_the_way_out(desk: Desk) -> None:
    desk.run(certificates.main, "request", "--env", "local")

    refused = desk.run(certificates.main, "request", "--env", "local")
    replaced = desk.run(certificates.main, "request", "--env", "local", "--replace-pending")

    assert refused.exit_code == 5
    assert "--replace-pending" in refused.err
    assert replaced.exit_code == 0


def test_the_answer_of_the_ca_is_installed_from_separate_files(
    desk: Desk, authority: Authority, tmp_path: Path
) -> None:
    request = desk.run(certificates.main, "request", "--env", "local").out
    leaf, intermediate = x509.load_pem_x509_certificates(authority.sign(request.encode()))
    files = [
        _file(tmp_path / "leaf.pem", leaf.public_bytes(Encoding.PEM).rstrip()),
        _file(tmp_path / "ca.pem", intermediate.public_bytes(Encoding.PEM)),
    ]

    said = desk.run(certificates.main, "install", "--env", "local", "--chain", files[0], "--chain", files[1])

    assert said.exit_code == 0
    assert "in force for local; running tasks take it within a minute, without a restart" in said.err
    assert "CN=ingress.local.test" in said.out


def test_the_answer_of_the_ca_is_installed_from_a_paste(desk: Desk, authority: Authority) -> None:
    request = desk.run(certificates.main, "request", "--env", "local").out
    pasted = b"Hello,\r\n" + authority.sign(request.encode()).replace(b"\n", b"\r\n")

    said = desk.run(certificates.main, "install", "--env", "local", "--chain", "-", pasted=pasted)

    assert said.exit_code == 0


def test_a_chain_for_another_request_is_refused_and_says_so(desk: Desk, authority: Authority, tmp_path: Path) -> None:
    desk.run(certificates.main, "request", "--env", "local")
    chain = _file(tmp_path / "chain.pem", authority.server().chain_pem)

    said = desk.run(certificates.main, "install", "--env", "local", "--chain", chain)

    assert said.exit_code == 5
    assert "hint: this chain answers another request" in said.err
    assert said.out == ""


def test_a_file_that_is_not_there_is_said_before_anything_is_called(desk: Desk, tmp_path: Path) -> None:
    said = desk.run(certificates.main, "install", "--env", "local", "--chain", str(tmp_path / "missing"))

    assert said.exit_code == 64
    assert "no such file" in said.err
    assert desk.opened == []


def test_standard_input_is_read_once(desk: Desk) -> None:
    said = desk.run(certificates.main, "install", "--env", "local", "--chain", "-", "--chain", "-")

    assert said.exit_code == 64


def test_for_local_one_command_does_it_all_and_prints_what_to_trust(desk: Desk) -> None:
    said = desk.run(certificates.main, "install", "--env", "local", "--development")

    root = x509.load_pem_x509_certificate(said.out.encode())
    assert said.exit_code == 0
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert _status(desk)["in_force"] is not None


def test_the_development_authority_signs_for_no_other_environment() -> None:
    with aws(STAGING):
        desk = Desk(STAGING)
        said = desk.run(certificates.main, "install", "--env", "staging", "--development")

    assert said.exit_code == 4
    assert desk.opened == []


def test_the_status_of_a_new_store_is_that_nothing_is_there(desk: Desk) -> None:
    said = desk.run(certificates.main, "status", "--env", "local")

    assert said.exit_code == 0
    assert said.out.splitlines() == ["host name  ingress.local.test", "in force   none yet", "pending    no key"]


def test_the_status_for_programs_holds_every_fact(desk: Desk, authority: Authority, tmp_path: Path) -> None:
    request = desk.run(certificates.main, "request", "--env", "local").out
    signed = authority.sign(request.encode())
    desk.run(certificates.main, "install", "--env", "local", "--chain", _file(tmp_path / "chain.pem", signed))
    desk.run(certificates.main, "request", "--env", "local")

    status = _status(desk)

    in_force, pending = status["in_force"], status["pending"]
    assert isinstance(in_force, dict)
    assert isinstance(pending, dict)
    assert in_force["dns_names"] == ["ingress.local.test"]
    assert 363 <= in_force["days_left"] <= 365
    assert in_force["chain"] == signed.decode()
    assert in_force["spki_sha256"] != pending["spki_sha256"]


def test_the_session_in_the_audit_trail_is_named_after_the_person() -> None:
    name = session_name("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_0/jane.doe@example.com")

    assert name == "certificates-jane.doe@example.com"


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        ("arn:aws:iam::111122223333:user/ops/jane", "certificates-jane"),
        ("arn:aws:iam::111122223333:root", "certificates-root"),
        (f"arn:aws:sts::111122223333:assumed-role/ci/{'x' * 64}", f"certificates-{'x' * 51}"),
        ("arn:aws:sts::111122223333:assumed-role/ci/jä ne", "certificates-j--ne"),
    ],
)
def test_any_caller_makes_a_session_name_sts_takes(caller: str, name: str) -> None:
    assert session_name(caller) == name


def test_the_role_is_assumed_for_every_verb(desk: Desk) -> None:
    called: list[str] = []
    desk.client("sts").meta.events.register("before-call.sts.*", lambda model, **_: called.append(model.name))

    desk.run(certificates.main, "status", "--env", "local")

    assert called == ["GetCallerIdentity", "AssumeRole"]


def test_help_answers_without_an_account() -> None:
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, str(ROOT / "scripts" / "certificates.py"), "install", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0
    assert "--development" in done.stdout


def _status(desk: Desk) -> dict[str, object]:
    status: dict[str, object] = json.loads(
        desk.run(certificates.main, "status", "--env", "local", "--output", "json").out
    )
    return status


def _file(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


# -- a token issuer's keys ------------------------------------------------------------


def test_the_keys_of_a_token_issuer_are_installed_and_shown() -> None:
    old, new = Issuer(), Issuer(key_id="key-2")
    with aws():
        desk = Desk(with_tokens(name="local"))
        before = desk.run(certificates.main, "status", "--env", "local")
        first = desk.run(certificates.main, "install-key-set", "-", "--env", "local", pasted=old.key_set)
        second = desk.run(certificates.main, "install-key-set", "-", "--env", "local", pasted=new.key_set)
        shown = desk.run(certificates.main, "status", "--env", "local", "--output", "json")

    assert "key set  none yet in tokens/issuer.json" in before.out
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.out.endswith(": key-1 (EC P-256)\n")
    assert "tokens signed with key-1 are refused from now on" in second.err
    assert json.loads(shown.out)["key_set"]["keys"] == [{"kid": "key-2", "kind": "EC P-256", "algorithms": ["ES256"]}]


def test_a_private_key_is_not_installed_and_not_repeated() -> None:
    secret = str(Issuer().key.as_dict(private=True)["d"])
    with aws():
        said = Desk(with_tokens(name="local")).run(
            certificates.main, "install-key-set", "-", "--env", "local", pasted=key_set({"kty": "EC", "d": secret})
        )

    assert said.exit_code == 5
    assert "key 1 is not a public key" in said.err
    assert secret not in said.out + said.err


def test_an_environment_without_a_key_set_says_where_to_name_it(desk: Desk) -> None:
    said = desk.run(certificates.main, "install-key-set", "-", "--env", "local", pasted=Issuer().key_set)

    assert said.exit_code == 5
    assert "environments/local.toml, [bearer_token] key_set" in said.err
    assert "key set" not in desk.run(certificates.main, "status", "--env", "local").out
