"""A refusal is read by somebody else's engineer, who has nothing but its words."""

from __future__ import annotations

import re

import pytest

from service.endpoints.problem import detail_of
from service.identity.verdict import Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_what_is_wrong_and_then_what_to_do(reason: Reason) -> None:
    wrong, _, remedy = detail_of(reason).partition(". ")

    assert wrong
    assert re.match(r"(Ask|Check|Configure|Get|Make|Send|Show|Sign|Try|Wait)\b", remedy), detail_of(reason)


def test_who_may_not_is_not_told_that_it_is_known() -> None:
    """A path without a route is refused before anybody is asked who it is."""
    assert "known" not in detail_of(Reason.NOT_PERMITTED)
