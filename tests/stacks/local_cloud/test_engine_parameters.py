"""Parameters (Template reference, "CloudFormation template Parameters syntax" and its supplied types)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacks.local_cloud.engine.errors import TemplateError, ValidationError
from stacks.local_cloud.engine.parameters import Lookups, ParameterValue, parse_parameter, resolve_parameters
from tests.stacks.local_cloud.things import Json

_unhurried = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])

_STORE = {"/ami": "ami-1", "/subnets": "subnet-1,subnet-2"}
_IDS = {"vpc-1", "subnet-1", "subnet-2", "ami-1"}


def _resolve(
    declared: Mapping[str, Mapping[str, Any]],
    given: list[dict[str, Any]],
    previous: Mapping[str, ParameterValue] | None = None,
) -> dict[str, ParameterValue]:
    return resolve_parameters(
        {name: parse_parameter(name, entry) for name, entry in declared.items()},
        given,
        previous=previous or {},
        lookups=Lookups(stored=_STORE.get, exists=lambda _, name: name in _IDS),
    )


def _value(declared: Mapping[str, Any], text: str) -> Json:
    return _resolve({"P": declared}, [{"ParameterKey": "P", "ParameterValue": text}])["P"].value


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        ({"Type": "String"}, "a, b", "a, b"),
        ({"Type": "Number"}, "8443", "8443"),
        ({"Type": "CommaDelimitedList"}, "a, b", ["a", "b"]),
        ({"Type": "CommaDelimitedList"}, "", []),
        ({"Type": "List<Number>"}, "1,2", ["1", "2"]),
        ({"Type": "AWS::EC2::VPC::Id"}, "vpc-1", "vpc-1"),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, "subnet-1,subnet-2", ["subnet-1", "subnet-2"]),
        ({"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"}, "/ami", "ami-1"),
        ({"Type": "AWS::SSM::Parameter::Value<List<String>>"}, "/subnets", ["subnet-1", "subnet-2"]),
        ({"Type": "String", "AllowedPattern": "[a-z]+", "MinLength": 1, "MaxLength": "3"}, "abc", "abc"),
        ({"Type": "Number", "MinValue": 1, "MaxValue": "9"}, "9", "9"),
        ({"Type": "String", "AllowedValues": ["true", True, 1]}, "1", "1"),
    ],
)
def test_a_value_becomes_what_its_type_says(declared: Mapping[str, Any], text: str, value: Json) -> None:
    assert _value(declared, text) == value


@pytest.mark.parametrize(
    ("declared", "text", "sentence"),
    [
        ({"Type": "Number"}, "many", "'P' must be a number; found 'many'"),
        ({"Type": "Number", "MinValue": 3}, "2", "not less than 3"),
        ({"Type": "Number", "MaxValue": 3}, "4", "not greater than 3"),
        ({"Type": "List<Number>"}, "1,x", "must be a number; found 'x'"),
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", "be one of AllowedValues"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "abc1", "match pattern"),
        ({"Type": "String", "MinLength": 2}, "a", "at least 2 characters"),
        ({"Type": "String", "MaxLength": 2}, "abc", "at most 2 characters"),
        ({"Type": "String", "MaxLength": 2, "ConstraintDescription": "two letters"}, "abc", r"\(two letters\)"),
        ({"Type": "AWS::EC2::VPC::Id"}, "vpc-9", "vpc-9 for parameter name P does not exist"),
        ({"Type": "AWS::SSM::Parameter::Value<String>"}, "/absent", r"Unable to fetch parameters \[/absent\]"),
    ],
)
def test_a_value_that_breaks_a_constraint_is_refused(declared: Mapping[str, Any], text: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        _value(declared, text)


def test_a_default_is_checked_like_any_value() -> None:
    with pytest.raises(ValidationError, match="at most 1"):
        _resolve({"P": {"Type": "String", "Default": "ab", "MaxLength": 1}}, [])


def test_a_parameter_without_value_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"Parameters: \[A, B\] must have values"):
        _resolve({"B": {"Type": "String"}, "A": {"Type": "String"}, "C": {"Type": "String", "Default": ""}}, [])


def test_a_parameter_the_template_does_not_declare_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"Parameters: \[Q\] do not exist in the template"):
        _resolve({}, [{"ParameterKey": "Q", "ParameterValue": "x"}])


def test_the_previous_value_is_used_when_asked_for() -> None:
    previous = {"P": ParameterValue("P", "old", "old")}

    found = _resolve({"P": {"Type": "String"}}, [{"ParameterKey": "P", "UsePreviousValue": True}], previous)

    assert found["P"].value == "old"


def test_a_new_parameter_has_no_previous_value() -> None:
    with pytest.raises(ValidationError, match="Cannot use previous value"):
        _resolve({"P": {"Type": "String"}}, [{"ParameterKey": "P", "UsePreviousValue": True}])


def test_a_masked_parameter_is_never_shown() -> None:
    """NoEcho: the value is masked, also in the refusal."""
    declared = {"Type": "String", "NoEcho": True, "MaxLength": 10}

    assert _resolve({"P": declared}, [{"ParameterKey": "P", "ParameterValue": "secret"}])["P"].shown == "****"
    with pytest.raises(ValidationError) as refused:
        _value(declared, "longer than ten")
    assert "longer" not in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"Type": "Strang"}, "Unrecognized parameter type: 'Strang' of parameter P"),
        ({}, "Unrecognized parameter type"),
        ({"Type": "AWS::EC2::VPC::Cidr"}, "Unrecognized parameter type"),
        ({"Type": "String", "Minimum": 1}, "Minimum"),
        ({"Type": "String", "Default": ["a"]}, "strings or numbers"),
    ],
)
def test_a_bad_declaration_is_refused(declared: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        parse_parameter("P", declared)


@_unhurried
@given(st.lists(st.integers(), min_size=1))
def test_a_list_of_numbers_comes_back_item_by_item(numbers: list[int]) -> None:
    assert [int(item) for item in _value({"Type": "List<Number>"}, ", ".join(map(str, numbers)))] == numbers
