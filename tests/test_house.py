"""What keeps the house in order: locks, addresses, links, the index of decisions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "service/requirements.lock", "tools/checkov.lock", "tools/sslyze.lock")


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

    assert names.isdisjoint({"troposphere", "awacs", "moto", "cfn-lint", "pytest"})
    assert {"boto3", "cryptography", "httptools", "pyopenssl", "uvicorn", "uvloop"} <= names


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


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
        if not target.startswith(("http://", "https://")) and not (path.parent / target).exists()
    ]

    assert broken == []
