"""Provider schemas (CloudFormation CLI User Guide, "Resource type schema") and the way a change takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacks.local_cloud.engine.difference import Way, decide_way, differences
from stacks.local_cloud.engine.intrinsics import UNKNOWN
from stacks.local_cloud.engine.schemas import Recreation, Schema, Schemas
from stacks.local_cloud.row import ResourceFailedError
from tests.stacks.local_cloud.things import SCHEMA, Json, Shelf

_unhurried = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])

_THING = Schema(SCHEMA)
_ROW = Shelf().row()
_JSON = st.recursive(
    st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas("us-east-1", extra={"Test::Thing": SCHEMA})


def test_the_shipped_schemas_are_found(schemas: Schemas) -> None:
    assert "AWS::S3::Bucket" in schemas
    assert "AWS::S3::Buckett" not in schemas
    assert schemas.of("AWS::S3::Bucket").own_name == ("BucketName",)
    assert schemas.of("AWS::EC2::VPC").recreation(("CidrBlock",)) is Recreation.ALWAYS
    assert schemas.of("AWS::ElasticLoadBalancing::LoadBalancer").recreation(("Subnets",)) is Recreation.CONDITIONALLY
    assert schemas.of("AWS::EC2::VPC").recreation(("Tags", 0, "Value")) is Recreation.NEVER


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({}, "Test::Thing: property Kind is required"),
        ({"Kind": "box", "Colour": "red"}, "property Colour is unknown"),
        ({"Kind": "box", "Color": "pink"}, "property Color is 'pink', which is not one of red, green, blue, grey"),
        ({"Kind": "box", "Size": "big"}, "property Size is 'big' where integer is expected"),
        ({"Kind": "box", "Size": 0}, "property Size has value 0, where at least 1 is expected"),
        ({"Kind": "box", "Name": "x" * 21}, "property Name has length 21, where at most 20 is expected"),
        ({"Kind": ["box"]}, "property Kind is"),
        ({"Kind": "box", "Parts": {"Name": "lid"}}, "where array is expected"),
        ({"Kind": "box", "Parts": [{"Count": 1}]}, "property Parts.0.Name is required"),
        ({"Kind": "box", "Parts": [{"Name": "lid", "Amount": 1}]}, "property Parts.0.Amount is unknown"),
        ({"Kind": "box", "Arn": "arn:mine"}, "property Arn is read-only"),
    ],
)
def test_a_property_that_cannot_be_is_a_fault_with_its_place(properties: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in _THING.faults(_THING.normalize(properties)))


def test_scalars_take_the_type_the_schema_wants() -> None:
    """CloudFormation accepts a number or boolean written as text, and a text written as a number."""
    normalized = _THING.normalize(
        {"Kind": 7, "Size": "3", "Open": "true", "Parts": [{"Name": True, "Count": "2"}], "Color": UNKNOWN}
    )

    assert normalized == {
        "Kind": "7",
        "Size": 3,
        "Open": True,
        "Parts": [{"Name": "true", "Count": 2}],
        "Color": UNKNOWN,
    }
    assert _THING.faults(normalized) == []


@_unhurried
@given(_JSON, _JSON)
def test_differences_are_none_if_and_only_if_nothing_differs(before: Json, after: Json) -> None:
    found = list(differences({"P": before}, {"P": after}))

    assert (found == []) == (before == after)
    assert list(differences({"P": before}, {"P": before})) == []


def test_differences_go_as_deep_as_both_sides_agree() -> None:
    before = {"Parts": [{"Name": "lid", "Count": 1}], "Open": True, "Beside": ["a"]}
    after = {"Parts": [{"Name": "lid", "Count": 2}], "Size": 1, "Beside": ["a", "b"]}

    found = {difference.pointer: str(difference.kind) for difference in differences(before, after)}

    assert found == {
        "/Properties/Beside": "Modify",
        "/Properties/Open": "Remove",
        "/Properties/Parts/0/Count": "Modify",
        "/Properties/Size": "Add",
    }


@pytest.mark.parametrize(
    ("after", "way"),
    [
        ({"Kind": "box", "Color": "red"}, Way.NOTHING),
        ({"Kind": "box", "Color": "blue"}, Way.IN_PLACE),
        ({"Kind": "box"}, Way.IN_PLACE),
        ({"Kind": "bag", "Color": "red"}, Way.REPLACE),
        ({"Kind": "box", "Color": "red", "Frame": {"Width": 2}}, Way.REPLACE),
        ({"Kind": "box", "Color": "red", "Mood": "gay"}, Way.IN_PLACE),
        ({"Kind": "box", "Color": "red", "Place": "here"}, Way.REPLACE),
        ({"Kind": UNKNOWN, "Color": "red"}, Way.NOTHING),
    ],
    ids=[
        "same",
        "set",
        "unset",
        "create-only",
        "above create-only",
        "conditional, set",
        "conditional, not set",
        "later",
    ],
)
def test_the_way_follows_from_schema_and_row(after: dict[str, Any], way: Way) -> None:
    """Resource type schema: createOnlyProperties, conditionalCreateOnlyProperties; the row says what it sets."""
    assert decide_way(_ROW, _THING, {"Kind": "box", "Color": "red"}, after).way is way


def test_a_nested_property_beside_a_create_only_one_is_set_in_place() -> None:
    before = {"Kind": "box", "Frame": {"Material": "oak", "Width": 1}}

    assert (
        decide_way(_ROW, _THING, before, {"Kind": "box", "Frame": {"Material": "oak", "Width": 2}}).way is Way.IN_PLACE
    )
    assert (
        decide_way(_ROW, _THING, before, {"Kind": "box", "Frame": {"Material": "ash", "Width": 1}}).way is Way.REPLACE
    )


def test_a_property_the_row_does_not_update_is_refused_by_name() -> None:
    with pytest.raises(ResourceFailedError, match="Test::Thing: the embedded cloud does not update Weight in place"):
        decide_way(_ROW, _THING, {"Kind": "box", "Weight": 1}, {"Kind": "box", "Weight": 2})


def test_a_named_resource_cannot_be_replaced_under_its_own_name() -> None:
    """Troubleshooting CloudFormation: "custom-named resource requires replacing"."""
    with pytest.raises(ResourceFailedError, match="Rename mine and update the stack again"):
        decide_way(_ROW, _THING, {"Kind": "box", "Name": "mine"}, {"Kind": "bag", "Name": "mine"})
