"""
Every rule fires where it must and rests where it must.

`CASES` of each test file of this directory are gathered here; a rule without a
case, or one whose body is gone, fails.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from stacks.catalog import assemble
from stacks.environment_file import parse_environment
from stacks.rules import book
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.rule import Rule
from tests.stacks.environments import NAMES, catalog, environment, with_every_setting, with_existing_network
from tests.stacks.rules.cases import Case, Templates

HERE = Path(__file__).parent


def _themes() -> list[ModuleType]:
    files = sorted(path.stem for path in HERE.glob("test_rules_on_*.py"))
    return [importlib.import_module(f"tests.stacks.rules.{name}") for name in files]


CASES: list[Case] = [case for theme in _themes() for case in theme.CASES]


def _said(case: Case, index: int) -> str:
    return f"{case.rule.requirement}-{case.rule.name}-{index}"


@pytest.mark.parametrize("case", [pytest.param(case, id=_said(case, index)) for index, case in enumerate(CASES)])
def test_a_mistake_is_reported_where_it_is(case: Case) -> None:
    templates = Templates.of(case.of)
    case.spoil(templates)

    findings = case.rule(templates.estate(environment(case.of)))

    assert findings, "the rule does not fire"
    near = [finding for finding in findings if finding.place.startswith(case.place)]
    assert near, [str(finding) for finding in findings]
    assert any(case.says in finding.message for finding in near), [finding.message for finding in near]
    assert {finding.requirement for finding in findings} == {case.rule.requirement}


@cache
def _good() -> tuple[Estate, ...]:
    """Give the estates no rule may object to, made once: each environment's, in somebody's VPC, with every setting."""
    existing = assemble(parse_environment(with_existing_network(), Path("staging.toml")))
    whole = assemble(parse_environment(with_every_setting(), Path("production.toml")))
    found = [*(catalog(name) for name in NAMES), existing, whole]
    return tuple(
        Estate({entry.name: entry.template for entry in each.every}, Place.of(each.environment)) for each in found
    )


@pytest.mark.parametrize("rule", book.RULES, ids=lambda rule: f"{rule.requirement}-{rule.name}")
def test_a_rule_rests_on_good_templates(rule: Rule) -> None:
    assert [str(finding) for estate in _good() for finding in rule(estate)] == []


def test_no_rule_rests_because_there_is_nothing_to_judge() -> None:
    """A rule over nothing rests whatever it says; network ACLs alone are of no environment."""
    idle = [rule.name for rule in book.RULES if not any(list(rule.trials(estate)) for estate in _good())]

    assert idle == ["no_network_acl_lets_the_world_to_operators_ports"]


def test_every_rule_has_a_case() -> None:
    tried = {case.rule.name for case in CASES}

    assert {rule.name for rule in book.RULES} - tried == set()


def test_every_rule_of_a_module_is_in_its_table() -> None:
    """A rule that nobody lists is never run."""
    for theme in book.THEMES:
        declared = {value for value in vars(theme).values() if isinstance(value, Rule)}
        assert declared == set(theme.RULES), theme.__name__


def test_names_and_words_of_rules_are_whole() -> None:
    names = [rule.name for rule in book.RULES]

    assert len(names) == len(set(names))
    for rule in book.RULES:
        assert rule.sentence.endswith("."), rule.name
        assert rule.why, rule.name
        assert not rule.why.endswith("."), rule.name
        assert rule.source, rule.name
