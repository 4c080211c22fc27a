"""docs/policy.md says what the code does: its examples are parsed, its tables compared."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from service.contract import Variable
from service.endpoints.problem import status_of
from service.errors import PolicyError
from service.identity.json_web_token import LEEWAY_SECONDS
from service.identity.key_set import ALGORITHMS
from service.identity.key_set_keeper import RETRY_SECONDS
from service.identity.policy import NOT_THERE_YET, Strategy, parse_policy, read_policy
from service.identity.verdict import Reason
from stacks.environment_file import find_environment, parse_environment

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced examples of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading."""
    _, _, below = PAGE.partition(f"\n{heading}\n")
    table = re.search(r"(^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.group().splitlines()[2:]]


def test_the_examples_are_policies() -> None:
    local = find_environment("local", ROOT).read_text(encoding="utf-8")
    first, *others = blocks("toml")

    found = parse_environment(local + first, Path("local.toml"))

    assert found.policy == parse_policy(blocks("json")[0])
    for other in others:
        assert read_policy(tomllib.loads(other)["routes"]).routes


def test_every_reason_has_its_row_with_its_status() -> None:
    assert {row[0]: row[1] for row in rows("## Reasons")} == {
        f"`{reason}`": str(int(status_of(reason))) for reason in Reason
    }


@pytest.mark.parametrize("written", [row[0].strip("`") for row in rows("## all_of and any_of") if "_of = " in row[0]])
def test_what_is_called_a_contradiction_is_one(written: str) -> None:
    route = tomllib.loads(written)

    with pytest.raises(PolicyError):
        read_policy([{"path": "/", **route}])


def test_every_strategy_has_its_section_and_those_to_come_are_named() -> None:
    assert re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE) == [strategy.value for strategy in Strategy]
    assert all(f"`{name}`" in PAGE for name in NOT_THERE_YET)


def test_every_variable_of_policy_and_tokens_is_named() -> None:
    ours = {f"`{name}`" for name in Variable if name.startswith(("MTLS_POLICY", "MTLS_TOKEN_"))}

    assert {row[0] for row in rows("## In the environment file")} == ours


def test_algorithms_and_numbers_are_the_codes() -> None:
    said = next(row[1] for row in rows("### `bearer_token`") if row[0] == "signature")

    named = {f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)} | {"EdDSA", "Ed25519"}
    assert named == ALGORITHMS
    assert said.startswith("RS256/384/512, PS256/384/512, ES256/384/512, EdDSA with Ed25519")
    assert f"differ by {LEEWAY_SECONDS} seconds" in PAGE
    assert f"every {RETRY_SECONDS:.0f} seconds" in PAGE
