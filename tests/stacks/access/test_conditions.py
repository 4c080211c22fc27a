"""
Condition operators, each as the IAM guide tells it.

The page is "IAM JSON policy elements: Condition operators" where a test names
no other.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.access.faults import PolicyFaultError
from tests.stacks.access.asking import holds

K = "aws:SourceVpce"

CASES: list[tuple[str, object, object, bool]] = [
    # operator, what the policy wants, what the request has (None: no such key), does it hold
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a*", "ab", False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", "a", "a", False),
    ("StringEqualsIgnoreCase", "a", "A", True),
    ("StringNotEqualsIgnoreCase", "a", "A", False),
    ("StringNotEqualsIgnoreCase", "a", "B", True),
    ("StringLike", "vpce-*", "vpce-1", True),
    ("StringLike", "vpce-?", "vpce-12", False),
    ("StringLike", "VPCE-*", "vpce-1", False),
    ("StringNotLike", "vpce-*", "vpce-1", False),
    ("StringNotLike", "vpce-*", "other", True),
    ("NumericEquals", 5, "5.0", True),
    ("NumericEquals", "5", "6", False),
    ("NumericNotEquals", 5, "6", True),
    ("NumericNotEquals", 5, "5", False),
    ("NumericLessThan", 1.2, "1.1", True),
    ("NumericLessThan", "1.2", "1.2", False),
    ("NumericLessThanEquals", 1.2, "1.2", True),
    ("NumericGreaterThan", 1.2, "1.3", True),
    ("NumericGreaterThan", 1.2, "1.2", False),
    ("NumericGreaterThanEquals", 1.2, "1.2", True),
    ("NumericLessThan", 1.2, "none", False),
    ("DateEquals", "2026-11-23T00:00:00Z", "2026-11-23", True),
    ("DateNotEquals", "2026-11-23", "2026-11-24", True),
    ("DateLessThan", "2026-11-23T12:00:00Z", "2026-11-23T13:59:00+02:00", True),
    ("DateLessThan", "2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z", False),
    ("DateLessThanEquals", "2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z", True),
    ("DateGreaterThan", "2026-11-23T12:00:00Z", "1795435201", True),
    ("DateGreaterThanEquals", "2026-11-23", "2026-11-22", False),
    ("Bool", "false", "false", True),
    ("Bool", False, "false", True),
    ("Bool", "False", "false", True),
    ("Bool", True, "false", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.9", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.9", False),
    ("IpAddress", "203.0.113.9", "203.0.113.9", True),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
    ("IpAddress", "2001:db8::/32", "203.0.113.9", False),
    ("IpAddress", "203.0.113.0/24", "no address", False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", True),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.9", False),
    ("ArnEquals", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a/b", True),
    ("ArnLike", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b", False),
    ("ArnNotEquals", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a", False),
    ("ArnNotLike", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b", True),
    ("Null", "true", None, True),
    ("Null", True, None, True),
    ("Null", "false", None, False),
    ("Null", False, "x", True),
    ("Null", True, "x", False),
]


@pytest.mark.parametrize(("operator", "wanted", "found", "expected"), CASES)
def test_an_operator_compares(operator: str, wanted: object, found: Any, expected: bool) -> None:  # noqa: FBT001
    context = {} if found is None else {K: found}

    assert holds({operator: {K: wanted}}, context) is expected


@pytest.mark.parametrize(
    ("operator", "wanted"),
    [
        ("StringEquals", "a"),
        ("StringEqualsIgnoreCase", "a"),
        ("StringLike", "*"),
        ("NumericLessThan", "1"),
        ("NumericEquals", "1"),
        ("DateLessThan", "2026-11-23"),
        ("Bool", "true"),
        ("IpAddress", "0.0.0.0/0"),
        ("ArnLike", "*"),
        ("ArnEquals", "*"),
    ],
)
def test_an_absent_key_is_like_nothing(operator: str, wanted: str) -> None:
    """If the key is not present, the values do not match and the condition is false."""
    assert not holds({operator: {K: wanted}}, {})
    assert holds({f"{operator}IfExists": {K: wanted}}, {})


@pytest.mark.parametrize(
    ("operator", "wanted"),
    [
        ("StringNotEquals", "a"),
        ("StringNotEqualsIgnoreCase", "a"),
        ("StringNotLike", "*"),
        ("NumericNotEquals", "1"),
        ("DateNotEquals", "2026-11-23"),
        ("NotIpAddress", "0.0.0.0/0"),
        ("ArnNotLike", "*"),
        ("ArnNotEquals", "*"),
    ],
)
def test_an_absent_key_is_unlike_everything(operator: str, wanted: str) -> None:
    """A negated operator holds without its key, so a denial by it needs `Null` beside it: the trap of K9."""
    assert holds({operator: {K: wanted}}, {})
    assert holds({f"{operator}IfExists": {K: wanted}}, {})
    assert not holds({operator: {K: wanted}, "Null": {K: "false"}}, {})


def test_if_exists_still_compares_what_exists() -> None:
    assert not holds({"StringEqualsIfExists": {K: "a"}}, {K: "b"})
    assert holds({"StringNotEqualsIfExists": {K: "a"}}, {K: "b"})


def test_one_of_several_values_is_enough_and_none_of_them_for_a_negated_operator() -> None:
    """IAM guide, "Conditions with multiple context keys or values": OR, and NOR."""
    assert holds({"StringEquals": {K: ["a", "b"]}}, {K: "b"})
    assert holds({"StringNotEquals": {K: ["a", "b"]}}, {K: "c"})
    assert not holds({"StringNotEquals": {K: ["a", "b"]}}, {K: "b"})


def test_every_operator_and_every_key_must_hold() -> None:
    """IAM guide, "Conditions with multiple context keys or values": AND."""
    condition = {"StringEquals": {K: "a", "aws:SourceVpc": "v"}, "Bool": {"aws:SecureTransport": "true"}}
    request: dict[str, Any] = {K: "a", "aws:SourceVpc": "v", "aws:SecureTransport": "true"}

    assert holds(condition, request)
    for key in request:
        assert not holds(condition, {**request, key: "false"}), key


def test_a_keys_name_is_the_same_in_any_case() -> None:
    """IAM guide, "IAM JSON policy elements: Condition": names of keys are not case-sensitive."""
    assert holds({"StringEquals": {"AWS:sourcevpce": "a"}}, {"aws:SourceVpce": "a"})


TAGS = "aws:TagKeys"


@pytest.mark.parametrize(
    ("operator", "found", "expected"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringEquals", None, True),
        ("ForAllValues:StringEquals", (), True),
        ("ForAllValues:StringEquals", ("",), True),
        ("ForAllValues:StringNotEquals", ("c", "d"), True),
        ("ForAllValues:StringNotEquals", ("a", "d"), False),
        ("ForAnyValue:StringEquals", ("a", "c"), True),
        ("ForAnyValue:StringEquals", ("c", "d"), False),
        ("ForAnyValue:StringEquals", None, False),
        ("ForAnyValue:StringNotEquals", ("a", "c"), True),
        ("ForAnyValue:StringNotEquals", None, False),
        ("ForAllValues:StringEqualsIfExists", None, True),
        ("ForAnyValue:StringLike", ("a",), True),
    ],
)
def test_set_operators_go_over_keys_of_several_values(operator: str, found: Any, expected: bool) -> None:  # noqa: FBT001
    """IAM guide, "Set operators for multivalued context keys"."""
    context = {} if found is None else {TAGS: found}

    assert holds({operator: {TAGS: ["a", "b"]}}, context) is expected


def test_several_values_without_a_set_operator_are_refused() -> None:
    """IAM guide, "Set operators for multivalued context keys": they require one."""
    with pytest.raises(PolicyFaultError, match="ForAllValues and ForAnyValue"):
        holds({"StringEquals": {TAGS: "a"}}, {TAGS: ("a", "b")})

    assert holds({"StringEquals": {TAGS: "a"}}, {TAGS: ("a",)})


@pytest.mark.parametrize(
    ("pattern", "arn", "expected"),
    [
        ("arn:aws:iam::*:role/a", "arn:aws:iam::1:role/a", True),
        ("arn:aws:iam::*", "arn:aws:iam::1:role/a", False),
        ("arn:aws:iam::1:*", "arn:aws:iam::1:role/a", True),
        ("arn:aws:*:role/a", "arn:aws:iam::1:role/a", False),
        ("arn:aws:logs:r:1:log-group:*", "arn:aws:logs:r:1:log-group:a:*", True),
        ("arn:aws:iam::1:role/?", "arn:aws:iam::1:role/a", True),
        ("*", "arn:aws:iam::1:role/a", True),
        ("role/a", "arn:aws:iam::1:role/a", False),
        ("*", "arn:aws:iam::1:root", True),
    ],
)
def test_arns_are_compared_segment_by_segment(pattern: str, arn: str, expected: bool) -> None:  # noqa: FBT001
    """Each of the six segments between colons is checked by itself ("ARN condition operators")."""
    assert holds({"ArnLike": {"aws:SourceArn": pattern}}, {"aws:SourceArn": arn}) is expected


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"BinaryEquals": {"aws:k": "QQ=="}}, "BinaryEquals is unknown"),
        ({"StringEqual": {"aws:k": "a"}}, "StringEqual is unknown"),
        ({"stringequals": {"aws:k": "a"}}, "stringequals is unknown"),
        ({"ForSomeValues:StringEquals": {"aws:k": "a"}}, "unknown"),
        ({"NullIfExists": {"aws:k": "true"}}, "Null stands alone"),
        ({"ForAllValues:Null": {"aws:k": "true"}}, "Null stands alone"),
        ({"ForAnyValue:StringEqualsIfExists": {"aws:k": "true"}}, "contradict each other"),
        ({"StringEquals": {"SourceVpce": "a"}}, "no condition key"),
        ({"StringEquals": {"aws:k": []}}, "no value"),
        ({"StringEquals": {"aws:k": {"Ref": "Bucket"}}}, "no text, number or truth value"),
        ({"StringEquals": "a"}, "no table"),
        ({"Bool": {"aws:k": "yes"}}, "not what it compares"),
        ({"Null": {"aws:k": "absent"}}, "not what it compares"),
        ({"NumericLessThan": {"aws:k": "TLS1.2"}}, "not what it compares"),
        ({"DateLessThan": {"aws:k": "tomorrow"}}, "not what it compares"),
        ({"IpAddress": {"aws:k": "10.0.0.0/99"}}, "not what it compares"),
        ({"NumericLessThan": {"aws:k": "${aws:username}"}}, "not what it compares"),
        ({"Bool": ["aws:k"]}, "no table"),
    ],
)
def test_what_is_no_condition_is_refused_and_never_passed_over(condition: Any, reason: str) -> None:
    with pytest.raises(PolicyFaultError, match=reason):
        holds(condition, {"aws:k": "a"})


WORDS = st.text(alphabet="ab*?", max_size=4)


@given(
    wanted=st.lists(WORDS, min_size=1, max_size=3), found=st.none() | WORDS, kind=st.sampled_from(["Equals", "Like"])
)
def test_a_negated_operator_says_the_opposite_where_the_key_exists_and_where_it_does_not(
    wanted: list[str], found: str | None, kind: str
) -> None:
    context = {} if found is None else {K: found}

    positive, negated = (
        holds({f"String{kind}": {K: wanted}}, context),
        holds({f"StringNot{kind}": {K: wanted}}, context),
    )

    assert positive is not negated
