"""What keeps the house in order: locks, addresses, links, the index of decisions."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import certificates, clients, deploy, probe
from stacks.deployment.endpoint import STATE_FILE, LocalEndpoint, announce
from stacks.environment_file import find_environment, load_environment

ROOT = Path(__file__).parent.parent
LOCKS = (
    *("requirements.lock", "service/requirements.lock", "tools/checkov.lock", "tools/parliament.lock"),
    *("tools/sslyze.lock", "tools/node.lock"),
)


def pins(lock: str) -> dict[str, set[str]]:
    """Read a lock: each requirement line without its markers, with its hashes."""
    found: dict[str, set[str]] = {}
    current = ""
    for line in (ROOT / lock).read_text().splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+==[^ ;\\]+)", line):
            current = pin[1]
            found[current] = set()
        elif digest := re.match(r"\s+--hash=(sha256:[0-9a-f]{64})", line):
            found[current].add(digest[1])
    return found


def tracked_files() -> list[Path]:
    """List the text files under version control."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    assert pins(lock)
    assert [pin for pin, hashes in pins(lock).items() if not hashes] == []


def test_the_image_installs_the_same_pins_as_the_operator() -> None:
    """The service's lock is a subset of the whole: what was tested is what runs."""
    whole = pins("requirements.lock")

    assert {pin: hashes for pin, hashes in pins("service/requirements.lock").items() if whole.get(pin) != hashes} == {}


def test_the_image_installs_nothing_that_deploys() -> None:
    names = {pin.split("==")[0] for pin in pins("service/requirements.lock")}

    assert names.isdisjoint({"troposphere", "awacs", "boto3", "moto", "cfn-lint", "pytest"})
    assert {"botocore", "cryptography", "httptools", "pyopenssl", "uvloop"} <= names


def test_no_file_names_a_package_index_or_somebodys_machine() -> None:
    """An address of an index or a developer's path works on one machine only."""
    index = "|".join(
        ("pypi" + r"\.org", "pythonhosted" + r"\.org", "--(extra-)?" + "index-url [^ ]*:", "registry" + r"\.npmjs")
    )
    machine = "|".join(("/(home|Users)" + r"/[a-z]", "/root" + "/", "/work" + "/", "/opt" + "/(pypi|wheels)"))
    forbidden = re.compile(f"{index}|{machine}")

    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if forbidden.search(line)
    ]

    assert found == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    indexed = set(re.findall(r"\(([0-9]{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text()))

    assert indexed == {path.name for path in folder.glob("[0-9]*.md")}


def typed_in_documents(pattern: str) -> list[Any]:
    """Find what the documents tell somebody to type, each as a test case named after its place."""
    return [
        pytest.param(*match.groups(), id=f"{path.relative_to(ROOT)}:{number}:{match[0].strip()}")
        for path in tracked_files()
        if path.suffix == ".md"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for match in re.finditer(pattern, line)
    ]


RUNBOOKS = {path.name: path.read_text() for path in sorted((ROOT / "docs" / "runbooks").glob("*.md"))}


def test_every_alarm_has_its_runbook() -> None:
    """Who is woken by a name finds that name on a page."""
    template = json.loads((ROOT / "tests" / "golden" / "production" / "observability.json").read_text())
    alarms = {name for name, each in template["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}

    assert {name for name in alarms if not any(re.search(rf"\b{name}\b", text) for text in RUNBOOKS.values())} == set()


@pytest.mark.parametrize("page", RUNBOOKS)
def test_every_runbook_says_when_what_to_see_to_do_and_to_verify(page: str) -> None:
    assert [word for word in ("When", "See", "Do", "Verify") if f"- **{word}:**" not in RUNBOOKS[page]] == []


def test_every_runbook_is_found_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()

    assert [page for page in RUNBOOKS if f"(docs/runbooks/{page})" not in readme] == []


COMMANDS = typed_in_documents(r"python scripts/([a-z]+)\.py([^`#|]*)")
READERS: dict[str, Callable[[list[str]], argparse.Namespace]] = {
    "deploy": deploy.read_options,
    "certificates": lambda words: certificates.parser().parse_args(words),
    "clients": lambda words: clients.parser().parse_args(words),
    "probe": lambda words: probe.parser().parse_args(words),
}


@pytest.mark.parametrize(("script", "arguments"), COMMANDS)
def test_every_command_in_the_documents_is_one_its_script_understands(script: str, arguments: str) -> None:
    options = READERS[script](shlex.split(arguments))

    if script != "probe":
        assert load_environment(find_environment(options.env, ROOT)).name == options.env


def test_the_documents_show_commands_of_every_script() -> None:
    assert {case.values[0] for case in COMMANDS} == set(READERS)


@pytest.mark.parametrize("target", typed_in_documents(r"(?:^|`)make ([a-z]+)"))
def test_every_make_target_in_the_documents_is_one_make_help_knows(target: str) -> None:
    assert f"make {target} " in make("help", directory=ROOT).stdout


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
        if not target.startswith(("http://", "https://")) and not (path.parent / target).exists()
    ]

    assert broken == []


CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def modules(*rooms: str) -> dict[str, ast.Module]:
    """Read every module of some rooms, by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text())
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py"
    }


def imported(module: ast.Module) -> set[str]:
    """The packages that a module imports, wherever in it."""
    return {
        name.partition(".")[0]
        for node in ast.walk(module)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }


def is_bound_by(contract: str, name: str) -> bool:
    return any(f"{name}.".startswith(f"{source}.") for source in CONTRACTS[contract]["source_modules"])


@pytest.mark.parametrize(
    ("contract", "library"),
    [
        ("botocore in the rooms of the service that call AWS", "botocore"),
        ("pyOpenSSL where TLS is ended and where its context is built", "OpenSSL"),
    ],
)
def test_whoever_does_not_use_a_library_is_bound_not_to(contract: str, library: str) -> None:
    """So that a new room cannot do so before somebody has decided it."""
    free = {name for name in modules("service") if not is_bound_by(contract, name)}

    assert free == {name for name, module in modules("service").items() if library in imported(module)}


def test_whoever_says_to_be_pure_is_held_to_it() -> None:
    says = {
        name for name, module in modules("service", "stacks").items() if "(pure)" in (ast.get_docstring(module) or "")
    }

    assert {name for name in says if not is_bound_by("pure modules take values and return values", name)} == set()


def make(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run our Makefile in another directory."""
    command = ["make", "-f", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True, timeout=30)  # noqa: S603


def announced(directory: Path, *, pid: int) -> Path:
    """Leave the file of an embedded cloud that is up in some process."""
    announce(directory, LocalEndpoint(pid, "http://127.0.0.1:1", "us-east-1", "123456789012"))
    return directory / STATE_FILE


def test_make_clean_takes_nothing_from_under_a_cloud_that_is_up(tmp_path: Path) -> None:
    file = announced(tmp_path, pid=os.getpid())

    done = make("clean", directory=tmp_path)

    assert f"error: make local is up here, in process {os.getpid()}, and runs from .venv\n" in done.stderr
    assert done.returncode != 0
    assert file.exists()


def test_new_pins_are_not_installed_under_a_cloud_that_is_up(tmp_path: Path) -> None:
    """Who pulls a change of the lock while it is up would take the libraries from under its tasks."""
    announced(tmp_path, pid=os.getpid())
    (tmp_path / "requirements.lock").write_text("")
    kept = tmp_path / ".venv" / "kept"
    kept.parent.mkdir()
    kept.write_text("")

    done = make("ready", directory=tmp_path)

    assert "hint: end it with Ctrl-C, then make ready\n" in done.stderr
    assert done.returncode != 0
    assert kept.exists()


def test_make_clean_removes_what_a_killed_cloud_left(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    file = announced(tmp_path, pid=dead.pid)

    assert make("clean", directory=tmp_path).returncode == 0
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("python", "hint"),
    [
        ("exit 1", "hint: apt-get install python3, or "),
        ('case "$2" in *venv*) exit 1;; esac', "hint: apt-get install python3-venv\n"),
    ],
)
def test_a_machine_without_what_python_needs_is_told_the_package(tmp_path: Path, python: str, hint: str) -> None:
    fake = tmp_path / "python3"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    (tmp_path / "requirements.lock").touch()

    done = make("local", f"PYTHON={fake}", directory=tmp_path)

    assert done.returncode != 0
    assert hint in done.stderr
    assert not (tmp_path / ".venv").exists()
