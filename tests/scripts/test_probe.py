"""`probe.py` as a partner's engineer types it, in a process of its own where that shows something."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import probe
from tests.certificates import HOST_NAME, Authority, client
from tests.scripts.desk import Said, say
from tests.stacks.ceremonies.scripted_server import answering, http_answer, serving
from tests.stacks.ceremonies.stage import ROOT

PROBLEM = {"reason": "unknown_certificate", "fingerprint": "ab" * 32, "detail": "\x1b[2Jnobody"}


class Ingress:
    """A stand-in of the ingress on loopback, and the options a client needs for it."""

    def __init__(self, port: int, trust: Path) -> None:
        self.url = f"https://{HOST_NAME}:{port}/whoami"
        self.options = ("--cacert", str(trust), "--resolve", f"{HOST_NAME}:{port}:127.0.0.1")
        self.port = port

    def ask(self, *more: str) -> Said:
        """Probe it in this process."""
        return say(probe.main, self.url, *self.options, *more)


@pytest.fixture
def trust(tmp_path: Path) -> tuple[Path, Authority]:
    authority = Authority()
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.pem)
    return file, authority


@pytest.fixture
def refusing(trust: tuple[Path, Authority], tmp_path: Path) -> Iterator[Ingress]:
    refusal = http_answer("403 Forbidden", PROBLEM, kind="application/problem+json")
    with serving(answering(trust[1].server(), tmp_path / "server", lambda *_: refusal)) as port:
        yield Ingress(port, trust[0])


@pytest.fixture
def accepting(trust: tuple[Path, Authority], tmp_path: Path) -> Iterator[Ingress]:
    answer = http_answer("200 OK", {"client": "acme", "roles": ["read", "write"]})
    with serving(answering(trust[1].server(), tmp_path / "server", lambda *_: answer)) as port:
        yield Ingress(port, trust[0])


def test_an_accepted_client_exits_0_and_sees_what_the_server_sees(accepting: Ingress) -> None:
    said = accepting.ask()

    assert said.exit_code == 0
    assert said.out.splitlines() == ["200 accepted as client acme", "  client: acme", "  roles: read, write"]
    assert "asked from 127.0.0.1 port" in said.err


def test_a_refusal_exits_1_and_says_why_and_what_to_do(refusing: Ingress, tmp_path: Path) -> None:
    certificate, key = client().write(tmp_path / "client")

    said = refusing.ask("--cert", str(certificate), "--key", str(key))

    assert said.exit_code == 1
    assert said.out.startswith("403 refused, unknown_certificate: ")
    assert f"clients.py enroll --env ENV --client NAME {certificate}" in said.out


def test_what_a_server_says_of_nothing_is_none(trust: tuple[Path, Authority], tmp_path: Path) -> None:
    answer = http_answer("200 OK", {"client": "acme", "roles": [], "fingerprint": None})

    with serving(answering(trust[1].server(), tmp_path / "server", lambda *_: answer)) as port:
        said = Ingress(port, trust[0]).ask()

    assert said.out.splitlines()[1:] == ["  client: acme", "  roles: none", "  fingerprint: none"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("alone", "holds no private key\nhint: give it with --key FILE"),
        ("directory", "cannot be read: is a directory"),
        ("key.pem", "holds a private key and no certificate\nhint: give the certificate with --cert, and its key with"),
        ("table.csv", "holds no certificate in PEM\nhint: DER becomes PEM with: openssl x509"),
    ],
)
def test_a_file_that_is_no_certificate_is_told_from_one_without_its_key(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "alone").write_bytes(client().write(tmp_path / "client")[0].read_bytes())
    (tmp_path / "key.pem").write_bytes(client().key_pem)
    (tmp_path / "directory").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")

    said = say(probe.main, "https://127.0.0.1:9/", "--cert", str(tmp_path / name))

    assert said.exit_code == 64
    assert f"error: {tmp_path / name} {words}" in said.err


def test_what_a_server_sends_cannot_move_the_cursor(refusing: Ingress) -> None:
    assert "\x1b" not in refusing.ask().out


def test_programs_get_one_line_of_json(refusing: Ingress) -> None:
    record = json.loads(refusing.ask("--output", "json").out)

    assert (record["status"], record["reason"]) == (403, "unknown_certificate")
    assert record["answer"]["fingerprint"] == PROBLEM["fingerprint"]
    assert record["local_address"][0] == "127.0.0.1"


def test_it_connects_from_the_address_it_was_given(accepting: Ingress) -> None:
    assert "asked from 127.0.0.99 port" in accepting.ask("--source", "127.0.0.99").err


def test_a_port_where_nothing_listens_exits_1_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    text = say(probe.main, f"https://127.0.0.1:{port}/")
    programs = say(probe.main, f"https://127.0.0.1:{port}/", "--output", "json")

    assert text.exit_code == programs.exit_code == 1
    assert "nothing listens there" in text.err
    assert "hint:" in text.err
    assert json.loads(programs.out)["fault"] == "connection_refused"


@pytest.mark.parametrize(
    "arguments",
    [
        ("http://a.example/",),
        ("https://a.example/", "--resolve", "a.example:443"),
        ("https://a.example/", "--resolve", "a.example:443:localhost"),
        ("https://a.example/", "--resolve", "b.example:443:127.0.0.1"),
        ("https://a.example/", "--resolve", "a.example:8443:127.0.0.1"),
        ("https://a.example/", "--timeout", "0"),
        ("https://a.example/", "--timeout", "soon"),
        ("https://a.example/", "--cert", "missing.pem"),
        ("https://a.example/", "--surprise"),
        (),
    ],
)
def test_misuse_exits_64_and_asks_nobody(arguments: tuple[str, ...]) -> None:
    said = say(probe.main, *arguments)

    assert said.exit_code == 64
    assert said.out == ""
    assert said.err.startswith("error: ")


def test_it_runs_from_any_directory_as_a_process_of_its_own(accepting: Ingress, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, str(ROOT / "scripts" / "probe.py"), accepting.url, *accepting.options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0
    assert done.stdout.startswith("200 accepted as client acme\n")
