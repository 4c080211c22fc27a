"""What happens is told in a sentence, with the page that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stacks.naming import role_arn
from tests.stacks.environments import NAMES, catalog, environment
from tests.stacks.templates.reading import of_type, properties

RUNBOOKS = {page.stem: page.read_text() for page in (Path(__file__).parents[3] / "docs" / "runbooks").glob("*.md")}


def _transformer(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    (target,) = rule["Targets"]
    found: Mapping[str, Any] = target["InputTransformer"]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_event_is_told_in_a_sentence_of_its_environment(name: str) -> None:
    rules = of_type(catalog(name), "AWS::Events::Rule")

    assert len(rules) >= 8
    for rule in rules.values():
        sentence = json.loads(_transformer(rule)["InputTemplate"])
        assert sentence.startswith(f"mtls-ingress {name}: ")
        assert set(re.findall("<([^>]+)>", sentence)) == set(_transformer(rule)["InputPathsMap"])


def test_the_page_of_an_event_knows_its_sentence() -> None:
    unknown = []
    for title, rule in of_type(catalog(), "AWS::Events::Rule").items():
        sentence = json.loads(_transformer(rule)["InputTemplate"])
        (page,) = re.findall(r"Runbook: docs/runbooks/([a-z-]+)\.md$", sentence)
        said = re.split("[(,:]", sentence.partition(": ")[2])[0].strip()
        if said not in RUNBOOKS.get(page, ""):
            unknown.append((title, page, said))

    assert unknown == []


@pytest.mark.parametrize("name", NAMES)
def test_taking_the_break_glass_role_is_told_although_it_changes_nothing(name: str) -> None:
    """Rules see calls that CloudTrail counts as reading only where they say so."""
    rule = properties(catalog(name), "events", "BreakGlassTaken")

    assert rule["EventPattern"]["detail"]["requestParameters"] == {
        "roleArn": [role_arn(environment(name), "break-glass")]
    }
    assert rule["State"] == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"


def test_no_target_takes_a_role() -> None:
    """With one, messages to an encrypted topic may not be delivered (EventBridge guide)."""
    targets = [target for rule in of_type(catalog(), "AWS::Events::Rule").values() for target in rule["Targets"]]

    assert all("RoleArn" not in target for target in targets)


def test_the_trails_own_key_is_watched_where_there_is_a_trail() -> None:
    keys = properties(catalog("production"), "events", "EncryptionKeyEndangered")["EventPattern"]["detail"]["resources"]

    assert {"Ref": "TrailKeyArn"} in keys["ARN"]
    assert "TrailKeyArn" not in catalog("local")["events"].body
