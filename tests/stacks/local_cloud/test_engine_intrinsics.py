"""Intrinsic functions (Template reference, "Intrinsic function reference" and "Condition functions")."""

from __future__ import annotations

import base64
import ipaddress
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacks.local_cloud.engine.errors import TemplateError
from stacks.local_cloud.engine.intrinsics import UNKNOWN, Scope, check, decide, evaluate, references
from tests.stacks.local_cloud.things import Json

_unhurried = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])

_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("RefX", max_size=4).filter("Ref".__ne__), inner, max_size=3)
    ),
    max_leaves=8,
)
_WORDS = st.text(st.characters(exclude_characters=",$"), min_size=1)


def _evaluate(value: Json, conditions: Mapping[str, bool] | None = None) -> Json:
    resources = {"Vpc": "vpc-1", "Later": UNKNOWN}
    return evaluate(
        value,
        Scope(
            values={"Port": "8443", "Zones": ["a", "b"], "AWS::Region": "us-east-1", "AWS::Partition": "aws"},
            mappings={"Images": {"us-east-1": {"arm64": "ami-1"}}},
            conditions=conditions or {"Yes": True, "No": False},
            ref=resources.__getitem__,
            attribute=lambda name, attribute: f"{resources[name]}.{attribute}",
            zones=lambda region: [f"{region}a", f"{region}b"],
        ),
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "Port"}, "8443"),
        ({"Ref": "Zones"}, ["a", "b"]),
        ({"Ref": "Vpc"}, "vpc-1"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Fn::GetAtt": ["Vpc", "CidrBlock"]}, "vpc-1.CidrBlock"),
        ({"Fn::GetAtt": "Vpc.Endpoint.Port"}, "vpc-1.Endpoint.Port"),
        ({"Fn::Sub": "${AWS::Partition}:${Vpc}:${Vpc.Arn}:${!Kept}"}, "aws:vpc-1:vpc-1.Arn:${Kept}"),
        ({"Fn::Sub": ["${Port}-${Name}", {"Name": {"Ref": "Vpc"}}]}, "8443-vpc-1"),
        ({"Fn::Join": [",", ["a", {"Ref": "Port"}, 1, True]]}, "a,8443,1,true"),
        ({"Fn::Join": ["-", {"Ref": "Zones"}]}, "a-b"),
        ({"Fn::Select": ["1", {"Ref": "Zones"}]}, "b"),
        ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, "us-east-1a"),
        ({"Fn::GetAZs": {"Ref": "AWS::Region"}}, ["us-east-1a", "us-east-1b"]),
        ({"Fn::Split": ["|", "a|b|"]}, ["a", "b", ""]),
        ({"Fn::If": ["Yes", 1, {"Ref": "Absent"}]}, 1),
        ({"Fn::If": ["No", 1, {"Ref": "Port"}]}, "8443"),
        ({"Fn::FindInMap": ["Images", {"Ref": "AWS::Region"}, "arm64"]}, "ami-1"),
        ({"Fn::Base64": {"Fn::Sub": "port ${Port}"}}, base64.b64encode(b"port 8443").decode()),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
        ({"Fn::Select": ["2", {"Fn::Cidr": ["10.0.0.0/16", "4", "5"]}]}, "10.0.0.64/27"),
        ({"Fn::Cidr": ["fd00::/56", 1, 64]}, ["fd00::/64"]),
    ],
)
def test_a_function_gives_what_the_reference_says(expression: Json, value: Json) -> None:
    assert _evaluate(expression) == value


def test_no_value_takes_its_entry_away() -> None:
    """Template reference, "Pseudo parameters reference", AWS::NoValue: in objects and in lists."""
    gone = {"Fn::If": ["No", "here", {"Ref": "AWS::NoValue"}]}

    assert _evaluate({"Kept": 1, "Gone": gone, "List": ["a", gone, "b"]}) == {"Kept": 1, "List": ["a", "b"]}


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ({"Fn::Nonsense": 1}, "Fn::Nonsense is no function this engine knows"),
        ({"Fn::ImportValue": "x"}, "outputs handed in as parameters"),
        ({"Fn::Equals": ["a", "a"]}, "belongs in the Conditions section"),
        ({"Ref": "Port", "Beside": 1}, "must stand alone"),
        ({"Fn::Select": [2, ["a", "b"]]}, "nonexistent value at index 2"),
        ({"Fn::Select": [0, "text"]}, "works on a list"),
        ({"Fn::Split": ["", "a"]}, "delimiter"),
        ({"Fn::FindInMap": ["Images", "eu-west-1", "arm64"]}, "Unable to get mapping for Images::eu-west-1::arm64"),
        ({"Fn::If": ["Maybe", 1, 2]}, "condition Maybe"),
        ({"Fn::GetAtt": ["Vpc"]}, "names a resource and an attribute"),
        ({"Fn::Cidr": ["10.0.0.0/30", 8, 1]}, "cannot take 8 blocks"),
        ({"Fn::Cidr": ["ten", 1, 1]}, "cannot divide ten"),
        ({"Fn::Join": [",", ["a", {"deep": 1}]]}, "expected a string"),
        ({"Fn::Sub": {"a": "b"}}, "takes a string"),
    ],
)
def test_a_misused_function_is_an_error(expression: Json, sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        _evaluate(expression)


def test_an_unknown_function_is_found_in_a_branch_that_is_not_taken() -> None:
    with pytest.raises(TemplateError, match="Nonsense"):
        check({"A": [{"Fn::If": ["Yes", 1, {"Fn::Nonsense": 2}]}]})


@pytest.mark.parametrize("function", ["Fn::Base64", "Fn::Split", "Fn::Select", "Fn::Cidr"])
def test_what_is_known_only_later_stays_unknown(function: str) -> None:
    """Nothing is computed from a value that a change set shows as {{changeSet:KNOWN_AFTER_APPLY}}."""
    later = {"Ref": "Later"}
    arguments: dict[str, Any] = {
        "Fn::Base64": later,
        "Fn::Split": [",", later],
        "Fn::Select": [0, later],
        "Fn::Cidr": [later, 1, 1],
    }

    assert _evaluate({function: arguments[function]}) == UNKNOWN


@_unhurried
@given(_DATA)
def test_data_without_functions_is_left_as_it_is(data: Json) -> None:
    assert _evaluate(data) == data


@_unhurried
@given(st.lists(_WORDS, min_size=1))
def test_split_undoes_join(words: list[str]) -> None:
    assert _evaluate({"Fn::Split": [",", {"Fn::Join": [",", words]}]}) == words


@_unhurried
@given(st.text(st.characters(exclude_characters="$")))
def test_sub_without_variables_is_the_text(text: str) -> None:
    assert _evaluate({"Fn::Sub": text}) == text


@_unhurried
@given(st.integers(1, 64), st.integers(2, 10))
def test_cidr_gives_neighbours_that_do_not_overlap(count: int, bits: int) -> None:
    blocks = [ipaddress.ip_network(block) for block in _evaluate({"Fn::Cidr": ["10.0.0.0/8", count, bits]})]

    assert len(blocks) == count
    assert {block.prefixlen for block in blocks} == {32 - bits}
    assert all(a.broadcast_address + 1 == b.network_address for a, b in itertools.pairwise(blocks))


def _decide(conditions: Mapping[str, Any]) -> dict[str, bool]:
    return decide(conditions, values={"Stage": "production", "Count": "2"}, mappings={})


def test_conditions_stand_on_each_other() -> None:
    """Template reference, "Condition functions": Equals, And, Or, Not, Condition."""
    decided = _decide(
        {
            "Neither": {"Fn::Not": [{"Fn::Or": [{"Condition": "Live"}, {"Condition": "Two"}]}]},
            "Live": {"Fn::Equals": [{"Ref": "Stage"}, "production"]},
            "Two": {"Fn::Equals": [{"Ref": "Count"}, 2]},
            "Both": {"Fn::And": [{"Condition": "Live"}, {"Condition": "Two"}]},
        }
    )

    assert decided == {"Neither": False, "Live": True, "Two": True, "Both": True}


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({"A": {"Condition": "B"}, "B": {"Condition": "A"}}, "A -> B -> A"),
        ({"A": {"Condition": "Absent"}}, "Absent is not in the Conditions section"),
        ({"A": {"Fn::Equals": [{"Ref": "Vpc"}, "x"]}}, "cannot depend on resource Vpc"),
        ({"A": {"Fn::Equals": ["x"]}}, "not a condition"),
        ({"A": {"Fn::And": [{"Fn::Equals": [1, 1]}]}}, "not a condition"),
        ({"A": "yes"}, "not a condition"),
    ],
)
def test_a_bad_condition_is_an_error(conditions: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        _decide(conditions)


def test_references_name_everything_an_expression_stands_on() -> None:
    found = references({"A": [{"Ref": "X"}], "B": {"Fn::Sub": ["${Y.Arn}${Z}${!No}", {"Z": {"Fn::GetAtt": "W.Id"}}]}})

    assert set(found) == {("X", None), ("Y", "Arn"), ("W", "Id")}
