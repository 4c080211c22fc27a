"""Intrinsics are resolved across stacks, references can be followed, and what cannot be told is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacks.rules import book
from stacks.rules.estate import Estate, Resource, UnresolvedError
from stacks.rules.identities import Place
from stacks.rules.rule import judge
from stacks.rules.values import Reference, Supplied, flag, number, shown
from tests.stacks.environments import NAMES, environment
from tests.stacks.rules.cases import Templates

PLACE = Place("aws", "eu-central-1", "111122223333", "ingress-test")


def topic(value: Any, **sections: Any) -> Resource:
    """Give a topic whose display name is a value, in a template with these sections."""
    body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": value}}}, **sections}
    (resource,) = Estate({"one": body, "two": OTHER}, PLACE).of_type("AWS::SNS::Topic")
    return resource


OTHER = {
    "Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "task", "Path": "/ingress/"}},
        "A": {"Type": "AWS::EC2::Subnet", "Properties": {}},
        "B": {"Type": "AWS::EC2::Subnet", "Properties": {}},
    },
    "Outputs": {
        "TaskRoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
        "SubnetIds": {"Value": {"Fn::Join": [",", [{"Ref": "A"}, {"Ref": "B"}]]}},
    },
}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("plain", "plain"),
        ({"Ref": "AWS::Region"}, "eu-central-1"),
        (
            {"Fn::Sub": "arn:${AWS::Partition}:s3:::${!literal}-${AWS::AccountId}"},
            "arn:aws:s3:::${literal}-111122223333",
        ),
        ({"Fn::Sub": ["${Name}!", {"Name": {"Ref": "AWS::Region"}}]}, "eu-central-1!"),
        ({"Fn::Join": ["-", ["a", {"Ref": "AWS::StackName"}]]}, "a-ingress-test-one"),
        ({"Fn::Select": [1, ["a", "b"]]}, "b"),
        ({"Fn::Select": ["0", {"Fn::Split": [",", "a,b"]}]}, "a"),
        ({"Fn::Base64": "text"}, "text"),
        ({"Ref": "Topic"}, None),
    ],
    ids=str,
)
def test_an_intrinsic_is_resolved(value: Any, told: str | None) -> None:
    found = topic(value).get("DisplayName")

    assert found == (told or "arn:aws:sns:eu-central-1:111122223333:ingress-test-one-Topic-" + found[-12:])


def test_a_parameter_is_followed_to_the_resource_of_another_stack() -> None:
    taken = topic({"Ref": "TaskRoleArn"}, Parameters={"TaskRoleArn": {"Type": "String"}})

    role = taken.target("DisplayName")

    assert role is not None
    assert role.name == "two.Role"
    assert taken.get("DisplayName") == "arn:aws:iam::111122223333:role/ingress/task"


def test_a_list_that_travelled_as_text_is_a_list_of_resources_again() -> None:
    taken = topic({"Ref": "SubnetIds"}, Parameters={"SubnetIds": {"Type": "List<AWS::EC2::Subnet::Id>"}})

    assert [resource.name for resource in taken.targets("DisplayName")] == ["two.A", "two.B"]


def test_an_alone_standing_variable_stays_a_reference() -> None:
    assert isinstance(topic({"Fn::Sub": "${Topic}"}).get("DisplayName"), Reference)


def test_a_default_is_known_to_be_one() -> None:
    taken = topic({"Ref": "Size"}, Parameters={"Size": {"Type": "String", "Default": "3"}})

    value = taken.get("DisplayName")

    assert isinstance(value, Supplied)
    assert value == "3"
    assert taken.estate.declaration(value) == {"Type": "String", "Default": "3"}


def test_no_value_is_no_property() -> None:
    assert topic({"Ref": "AWS::NoValue"}).get("DisplayName") is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"Fn::If": ["IsBig", "a", "b"]}, "Fn::If is decided by AWS"),
        ({"Fn::GetAZs": ""}, "Fn::GetAZs is decided by AWS"),
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue is decided by AWS"),
        ({"Ref": "Nobody"}, "there is no Nobody in this template"),
        ({"Ref": "AWS::StackId"}, "AWS::StackId is known to AWS alone"),
        ({"Fn::Sub": "x-${Nobody}"}, "there is no Nobody in this template"),
        ({"Fn::Join": [",", [{"Ref": "Nobody"}]]}, "there is no Nobody in this template"),
        ({"deep": [{"Ref": "Nobody"}]}, "there is no Nobody in this template"),
    ],
    ids=str,
)
def test_what_cannot_be_told_is_an_error_that_says_why(value: Any, why: str) -> None:
    with pytest.raises(UnresolvedError, match=why):
        topic(value).get("DisplayName")


def test_a_value_made_of_itself_is_no_end_of_it() -> None:
    parameters = {"Name": {"Type": "String"}}
    bodies = {
        "one": {"Resources": {}, "Parameters": parameters, "Outputs": {"Other": {"Value": {"Ref": "Name"}}}},
        "two": {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Other"}}}},
            "Parameters": {"Other": {"Type": "String"}},
            "Outputs": {"Name": {"Value": {"Ref": "Other"}}},
        },
    }
    (resource,) = Estate(bodies, PLACE).of_type("AWS::SNS::Topic")

    with pytest.raises(UnresolvedError, match="made of itself"):
        resource.get("DisplayName")


@pytest.mark.parametrize(("value", "read"), [("8443", 8443), (8443, 8443), ("x", None), (True, None), (None, None)])
def test_numbers_are_read_as_cloudformation_reads_them(value: object, read: float | None) -> None:
    assert number(value) == read


@pytest.mark.parametrize(("value", "read"), [("true", True), ("False", False), (True, True), ("yes", None), (1, None)])
def test_truth_values_are_read_as_cloudformation_reads_them(value: object, read: bool | None) -> None:  # noqa: FBT001
    assert flag(value) is read


@pytest.mark.parametrize(
    ("value", "words"), [(False, "false"), (True, "true"), (None, "nothing"), ("true", '"true"'), (0, "0")]
)
def test_a_finding_writes_values_as_the_template_does(value: object, words: str) -> None:
    assert shown(value) == words


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_whatever_a_hand_writes_no_rule_ends_the_check(data: st.DataObject) -> None:
    """Any property of any resource replaced by any JSON: findings, perhaps, and never a traceback."""
    templates = Templates.of(data.draw(st.sampled_from(NAMES)))
    body = templates.bodies[data.draw(st.sampled_from(sorted(templates.bodies)))]
    resource = body["Resources"][data.draw(st.sampled_from(sorted(body["Resources"])))]
    properties = resource.get("Properties", {})
    if properties:
        properties[data.draw(st.sampled_from(sorted(properties)))] = data.draw(JSON)

    judge(templates.estate(environment("staging")), book.RULES)


def test_a_policy_that_cannot_be_evaluated_is_a_finding_at_its_resource() -> None:
    templates = Templates.of()
    del templates.properties("AWS::KMS::Key")["KeyPolicy"]["Statement"][0]["Principal"]

    findings = judge(templates.estate(environment("staging")), book.RULES)

    assert any(finding.logical_id.endswith("Key") and "cannot be judged" in finding.message for finding in findings)
