"""docs/limits.md says of every limit what the code does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from service.contract import Variable
from service.settings import LIMITS, OPERATOR_LIMITS, SERVICE_LIMITS, Limits, parse_settings
from tests.service.test_settings import RIGHT

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
ROWS = {
    row[0].strip("`"): row
    for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines())
    if len(row) == 7 and row[0].startswith("`")
}


def test_every_limit_has_its_row_and_every_row_its_limit() -> None:
    assert list(ROWS) == list(OPERATOR_LIMITS)


@pytest.mark.parametrize("name", OPERATOR_LIMITS)
def test_a_row_says_variable_unit_default_and_bounds(name: str) -> None:
    safe = parse_settings(RIGHT)
    bound, default = OPERATOR_LIMITS[name], int(getattr(safe if name in SERVICE_LIMITS else safe.limits, name))

    assert ROWS[name][1:5] == [f"`{bound.variable}`", bound.unit, str(default), f"{bound.least}, {bound.most}"]
    assert bound.least <= default <= bound.most


@pytest.mark.parametrize("name", OPERATOR_LIMITS)
def test_a_row_says_why_and_what_the_peer_sees(name: str) -> None:
    assert all(len(cell) > 2 for cell in ROWS[name][5:])


def test_every_variable_of_a_limit_belongs_to_one() -> None:
    after = list(Variable)[list(Variable).index(Variable.PROXY_HEADER_SECONDS) :]
    belonging = {bound.variable for bound in LIMITS.values()}

    assert set(after) <= belonging
    assert {field.name for field in fields(Limits)} - set(LIMITS) == {"pipelined_requests", "linger_seconds"}
