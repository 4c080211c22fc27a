"""docs/environment.md says of every setting what the code does: its words are the faults', its examples are read."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from service.contract import TokenBinding
from stacks import environment as values
from stacks.catalog import assemble
from stacks.environment_file import EnvironmentFileError, parse_environment
from stacks.rules.linter import lint

PAGE: Final = (Path(__file__).parents[1] / "docs" / "environment.md").read_text(encoding="utf-8")
TABLES: Final[dict[str, type[Any]]] = {
    "network, a VPC of our own": values.OwnNetwork,
    "network, an existing VPC": values.ExistingNetwork,
    "ingress": values.Ingress,
    "capacity": values.Capacity,
    "service": values.Service,
    "logs": values.Logs,
    "alarms": values.Alarms,
    "registry": values.Registry,
    "deployer": values.Deployer,
    "audit_trail": values.AuditTrail,
    "names": values.Names,
    "bearer_token": values.BearerTokens,
}
"""By the heading of their section, without its brackets and backticks."""
HEAD: Final = ("name", "project", "account", "region")
OPTIONAL: Final[dict[str, object]] = {
    "ingress.hosted_zone_id": None,
    "service.workers": None,
    "bearer_token.issuer": None,
    "bearer_token.audience": None,
    "bearer_token.key_set": None,
    "bearer_token.binding": TokenBinding.REQUIRED,
}
"""What may be left out although the value has no default of its own."""


class Row(NamedTuple):
    """One setting as the page tells it."""

    setting: str
    takes: str
    default: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Section:
    """What stands below one heading."""

    text: str

    @property
    def rows(self) -> list[Row]:
        """The settings, in the order of the page."""
        lines = [line.strip("|").split("|") for line in self.text.splitlines() if line.startswith("| `")]
        return [Row(*(cell.strip() for cell in cells)) for cells in lines]

    @property
    def examples(self) -> list[str]:
        """The tables as an operator may write them."""
        return re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)


def _sections() -> dict[str, Section]:
    parts = re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)[1:]
    headings = [re.sub(r"[`\[\]]", "", heading) for heading in parts[::2]]
    return {heading.split(" and ")[0]: Section(text) for heading, text in zip(headings, parts[1::2], strict=True)}


SECTIONS: Final = _sections()


def _keys(heading: str) -> list[str]:
    table = heading.partition(",")[0]
    return [f"{table}.{field.name}" for field in dataclasses.fields(TABLES[heading])]


def _documented() -> Iterator[tuple[str, str, Row]]:
    """Give each setting with the section it stands in, the key a fault would name, and its row."""
    yield from (("The head", row.setting.strip("`"), row) for row in SECTIONS["The head"].rows)
    for heading in TABLES:
        for row in SECTIONS[heading].rows:
            yield heading, f"{heading.partition(',')[0]}.{row.setting.strip('`')}", row


def test_every_setting_has_its_row_and_every_row_its_setting() -> None:
    assert [row.setting.strip("`") for row in SECTIONS["The head"].rows] == list(HEAD)
    for heading in TABLES:
        assert [key for at, key, _ in _documented() if at == heading] == _keys(heading), heading


def test_every_table_of_an_environment_has_its_section() -> None:
    tables = {field.name for field in dataclasses.fields(values.Environment)} - set(HEAD) - {"policy"}

    assert {heading.partition(",")[0] for heading in SECTIONS} == tables | {"The head"}


@pytest.mark.parametrize("kind", ["network, a VPC of our own", "network, an existing VPC"])
def test_a_row_says_what_a_fault_would(kind: str) -> None:
    """Every key is given a date, which none takes; a list of dates has a fault in its elements."""
    headings = [heading for heading in TABLES if not heading.startswith("network") or heading == kind]
    told = [(key, row.takes) for at, key, row in _documented() if at in {"The head", *headings}]
    whole, one, two = (_expected(headings, value) for value in (_DATE, f"[{_DATE}]", f"[{_DATE}, {_DATE}]"))

    for key, takes in told:
        element = one.get(f"{key}[0]") or two.get(f"{key}[0]")
        assert takes == (f"{whole[key]}: {element}" if element else whole[key])


_DATE: Final = "1979-05-27"


def _expected(headings: list[str], value: str) -> dict[str, str]:
    text = "".join(f"{key} = {value}\n" for key in HEAD) + "[tags]\n"
    for heading in headings:
        text += f"[{heading.partition(',')[0]}]\n"
        text += "".join(f"{field.name} = {value}\n" for field in dataclasses.fields(TABLES[heading]))
    with pytest.raises(EnvironmentFileError) as refused:
        parse_environment(text, Path("example.toml"))
    return {fault.key: fault.expected for fault in refused.value.faults}


def test_a_row_says_the_default() -> None:
    for heading, key, row in _documented():
        assert row.default == _shown(_default(heading, key)), key


def _default(heading: str, key: str) -> object:
    if heading == "The head" or (heading, key) == ("network, an existing VPC", "network.egress"):
        return dataclasses.MISSING
    fields = {field.name: field for field in dataclasses.fields(TABLES[heading])}
    return OPTIONAL.get(key, fields[key.partition(".")[2]].default)


def _shown(default: object) -> str:
    if default is dataclasses.MISSING:
        return "required"
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, StrEnum):
        return f'"{default}"'
    assert default in (None, ())
    return "none"


def test_a_setting_without_a_default_cannot_be_left_out() -> None:
    """And one with a default can: the first examples, less one line, are read or not."""
    text = _file(0)
    for heading, key, row in _documented():
        if heading in {"network, an existing VPC", "bearer_token"}:
            continue
        line = re.compile(rf"^{row.setting.strip('`')} = .*\n", re.MULTILINE)
        section = SECTIONS[heading].examples[0]
        without = text.replace(section, line.sub("", section))
        if line.search(section) and "security_group" not in key:
            assert (key in _faults(without)) == (row.default == "required"), key


def test_the_examples_make_environments_and_use_every_setting() -> None:
    """An example after the first is another way to write its table; each is read with the first of the others."""
    texts = [_file(index) for index in range(3)] + [_file(0, network="network, an existing VPC")]

    assert [_faults(text) for text in texts] == [[]] * 4
    used = {
        f"{table}.{key}"
        for text in texts
        for table, content in tomllib.loads(text).items()
        if isinstance(content, dict)
        for key in content
    }
    assert {key for _, key, _ in _documented()} - used == set(HEAD)


@pytest.mark.slow
def test_the_examples_are_rendered_without_a_word_of_the_linter() -> None:
    """They use every setting, so every form that a template can take is among them."""
    files = [_file(0), _file(1), _file(0, network="network, an existing VPC")]

    for text in files:
        made = parse_environment(text, Path("example.toml"))
        assert lint({entry.name: entry.body for entry in assemble(made).every}, region=made.region) == []


def _file(index: int, network: str = "network, a VPC of our own") -> str:
    chosen = [
        section for heading, section in SECTIONS.items() if not heading.startswith("network") or heading == network
    ]
    return "\n".join(section.examples[min(index, len(section.examples) - 1)] for section in chosen)


def _faults(text: str) -> list[str]:
    try:
        parse_environment(text, Path("example.toml"))
    except EnvironmentFileError as error:
        return [fault.key for fault in error.faults]
    return []


def test_a_row_says_what_it_means() -> None:
    assert all(len(row.meaning) > 10 for _, _, row in _documented())
