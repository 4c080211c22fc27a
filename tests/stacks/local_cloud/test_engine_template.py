"""Templates are read strictly (Template reference, "Template sections" and "Resource attribute reference")."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacks.local_cloud.engine.errors import TemplateError
from stacks.local_cloud.engine.template import MAX_INLINE_BYTES, ResourceDeclaration, dependency_order, parse_template
from tests.stacks.local_cloud.things import Json

_unhurried = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])

_BUCKET = {"Type": "AWS::S3::Bucket"}


def _parse(**sections: Json) -> Json:
    return parse_template(json.dumps({"Resources": {"Bucket": _BUCKET}, **sections}))


def test_a_template_becomes_values() -> None:
    template = _parse(
        Description="what it is",
        Parameters={"Stage": {"Type": "String"}},
        Conditions={"Live": {"Fn::Equals": [{"Ref": "Stage"}, "live"]}},
        Resources={
            "Log": {**_BUCKET, "Condition": "Live", "DeletionPolicy": "RetainExceptOnCreate"},
            "Bucket": {**_BUCKET, "DependsOn": "Log", "UpdateReplacePolicy": "Retain"},
        },
        Outputs={"Name": {"Value": {"Ref": "Bucket"}}},
    )

    assert template.description == "what it is"
    assert template.resources["Bucket"].depends_on == ("Log",)
    assert template.resources["Bucket"].update_replace_policy == "Retain"
    assert template.resources["Log"].deletion_policy == "RetainExceptOnCreate"
    assert list(template.active({"Live": True})) == ["Log", "Bucket"]
    assert list(template.active({"Live": False})) == ["Bucket"]


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"Resource": {}}, r"section.*'Resource'"),
        ({"Transform": "AWS::Serverless"}, "Transform"),
        ({"AWSTemplateFormatVersion": "2011-01-01"}, "format version"),
        ({"Resources": {}}, "At least one Resources member"),
        ({"Resources": {"A": {}}}, r"/Resources/A.*must contain a Type"),
        ({"Resources": {"A-B": _BUCKET}}, "'A-B' is non alphanumeric"),
        ({"Resources": {"A": {**_BUCKET, "Property": {}}}}, r"resource A.*Property"),
        ({"Resources": {"A": {**_BUCKET, "UpdatePolicy": {}}}}, "UpdatePolicy"),
        ({"Resources": {"A": {**_BUCKET, "DeletionPolicy": "Snapshot"}}}, "DeletionPolicy of resource A is 'Snapshot'"),
        (
            {"Resources": {"A": {**_BUCKET, "UpdateReplacePolicy": "RetainExceptOnCreate"}}},
            "UpdateReplacePolicy of resource A",
        ),
        ({"Resources": {"A": {**_BUCKET, "DependsOn": "B"}}}, r"A depends on \['B'\]"),
        ({"Resources": {"A": {**_BUCKET, "Condition": "C"}}}, "condition C, which is not declared"),
        ({"Resources": {"A": {**_BUCKET, "Properties": {"X": {"Ref": "B"}}}}}, r"dependencies \[B\] in resource A"),
        ({"Resources": {"A": {**_BUCKET, "Properties": {"X": {"Fn::GetAtt": "B.C"}}}}}, "undefined resource B"),
        ({"Resources": {"A": {**_BUCKET, "Properties": {"X": {"Fn::Sub": "${B}"}}}}}, r"dependencies \[B\]"),
        ({"Resources": {"A": {**_BUCKET, "Properties": {"X": {"Fn::Odd": 1}}}}}, r"Fn::Odd.*\(in resource A\)"),
        ({"Resources": {"A": {**_BUCKET, "Properties": {"X": {"Ref": "AWS::Nation"}}}}}, "AWS::Nation"),
        (
            {"Resources": {"A": {**_BUCKET, "Properties": {"X": "{{resolve:ssm:/name}}"}}}},
            "resource A has a dynamic reference",
        ),
        ({"Outputs": {"O": {}}}, "Output O must contain a Value"),
        ({"Outputs": {"O": {"Value": "x", "Export": {"Name": "y"}}}}, "outputs handed in as parameters"),
    ],
)
def test_what_a_template_cannot_say_is_refused(sections: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        _parse(**sections)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "JSON not well-formed"),
        ("Resources: {}", "JSON not well-formed"),
        ("[]", "unsupported structure"),
        ('{"Resources": {"A": 1, "A": 2}}', "given twice: A"),
        (" " * (MAX_INLINE_BYTES + 1), "less than or equal to 51200"),
    ],
)
def test_a_body_that_is_no_template_is_refused(body: str, sentence: str) -> None:
    """The size is a quota ("CloudFormation quotas", template body size in a request)."""
    with pytest.raises(TemplateError, match=sentence):
        parse_template(body)


def test_a_circle_is_named() -> None:
    """Troubleshooting CloudFormation, "Circular dependency between resources"."""
    resources = {
        "A": {**_BUCKET, "Properties": {"X": {"Ref": "B"}}},
        "B": {**_BUCKET, "Properties": {"X": {"Fn::GetAtt": ["C", "Arn"]}}},
        "C": {**_BUCKET, "DependsOn": ["A"]},
        "Apart": _BUCKET,
    }

    with pytest.raises(TemplateError, match=r"Circular dependency between resources: \[") as refused:
        _parse(Resources=resources)

    assert "Apart" not in str(refused.value)


_NAMES = [f"R{number}" for number in range(8)]


@_unhurried
@given(st.lists(st.tuples(st.sampled_from(range(8)), st.sampled_from(range(8)))))
def test_each_resource_comes_after_what_it_stands_on(pairs: list[tuple[int, int]]) -> None:
    """Edges go from the higher to the lower number, so there is no circle."""
    edges = [(_NAMES[max(pair)], _NAMES[min(pair)]) for pair in pairs if pair[0] != pair[1]]
    resources = {
        name: ResourceDeclaration(name, "T", {}, depends_on=tuple(below for above, below in edges if above == name))
        for name in _NAMES
    }

    order = dependency_order(resources)

    assert sorted(order) == _NAMES
    assert all(order.index(below) < order.index(above) for above, below in edges)
