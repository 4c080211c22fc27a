"""
Whatever an operator may write, all of it holds together: it is read, rendered, joined, and no rule finds a fault.

An environment that a rule finds a fault with must be refused when it is read,
in the operator's words; or else the template or the rule is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from stacks.catalog import assemble
from stacks.environment_file import parse_environment
from stacks.rules.book import find_faults
from tests.stacks.any_environment import environment_texts

_BODY_LIMIT_BYTES: Final = 51_200
"""Of a template handed over as text (CloudFormation quotas)."""
_PATIENT: Final = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # A finding says its place by itself; to shrink what led to it would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@settings(_PATIENT, max_examples=8)
@given(environment_texts())
def test_any_valid_environment_is_whole(text: str) -> None:
    _assert_whole(text)


@pytest.mark.slow
@settings(_PATIENT, max_examples=120)
@given(environment_texts())
def test_many_valid_environments_are_whole(text: str) -> None:
    _assert_whole(text)


def _assert_whole(text: str) -> None:
    environment = parse_environment(text, Path("drawn.toml"))
    catalog = assemble(environment)

    seen: set[str] = set()
    for entry in catalog.stacks:
        assert entry.needs <= seen
        seen.add(entry.name)
    # White space counts, so change sets are asked for without.
    sizes = {entry.name: len(json.dumps(entry.template, separators=(",", ":"))) for entry in catalog.every}
    assert {name: size for name, size in sizes.items() if size >= _BODY_LIMIT_BYTES} == {}
    findings = find_faults({entry.name: entry.template for entry in catalog.every}, environment)
    assert [str(finding) for finding in findings] == []
