"""What a statement covers, and what in it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.access.faults import PolicyFaultError
from stacks.access.request import AttachedPolicy, Principal, PrincipalKind, Request, ResourcePolicy
from tests.stacks.access.asking import (
    ACCOUNT,
    ALLOW_ALL,
    BUCKET,
    OBJECT,
    ROLE,
    ask,
    attached,
    bucket_policy,
    document,
    holds,
    key_policy,
    role,
    statement,
    trust_policy,
    user,
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("s3:GetObject", True),
        ("S3:getobject", True),
        ("s3:Get*", True),
        ("s3:GetObjec?", True),
        ("*", True),
        ("s3:*", True),
        ("s3:GetObject?", False),
        ("kms:*", False),
        (["kms:*", "s3:GetObject"], True),
    ],
)
def test_actions_have_wildcards_and_no_case(pattern: object, expected: bool) -> None:  # noqa: FBT001
    """IAM guide, "IAM JSON policy elements: Action"."""
    assert ask(role(statement(Action=pattern))).is_allowed is expected
    assert ask(role(statement(NotAction=pattern))).is_allowed is not expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (OBJECT, True),
        (f"{BUCKET}/*", True),
        ("arn:aws:s3:::*/identity", True),
        ("arn:*/identity", True),
        ("arn:aws:s3:::buck?t/server/identity", True),
        ("arn:aws:s3:::BUCKET/server/identity", False),
        (BUCKET, False),
        (f"{BUCKET}/server", False),
        ([BUCKET, f"{BUCKET}/*"], True),
    ],
)
def test_resources_have_wildcards_that_reach_over_slashes_and_colons(pattern: object, expected: bool) -> None:  # noqa: FBT001
    """IAM guide, "IAM JSON policy elements: Resource"."""
    assert ask(role(statement(Resource=pattern))).is_allowed is expected
    assert ask(role(statement(NotResource=pattern))).is_allowed is not expected


def test_a_variable_is_filled_in_from_the_request() -> None:
    """IAM guide, "IAM policy elements: Variables and tags"."""
    own = statement(Resource=f"{BUCKET}/${{aws:username}}/*")

    assert ask(user(own), resource=f"{BUCKET}/ann/x").is_allowed
    assert not ask(user(own), resource=f"{BUCKET}/bob/x").is_allowed
    assert holds({"StringEquals": {"aws:SourceAccount": "${aws:PrincipalAccount}"}}, {"aws:SourceAccount": ACCOUNT})
    assert holds({"ArnLike": {"aws:SourceArn": "arn:aws:iam::${AWS:principalaccount}:*"}}, {"aws:SourceArn": ROLE})


def test_a_variables_value_is_no_wildcard() -> None:
    condition = {"StringLike": {"aws:SourceVpce": "${aws:PrincipalTag/team}"}}

    assert holds(condition, {"aws:SourceVpce": "*", "aws:PrincipalTag/team": "*"})
    assert not holds(condition, {"aws:SourceVpce": "a", "aws:PrincipalTag/team": "*"})


def test_a_variable_without_value_is_like_nothing_or_its_default() -> None:
    """IAM guide, "Policy variables with no value", "Specifying default values"."""
    condition = {"StringEquals": {"aws:SourceVpce": "${aws:PrincipalTag/team, 'none'}"}}

    assert holds(condition, {"aws:SourceVpce": "none"})
    assert holds(condition, {"aws:SourceVpce": "a", "aws:PrincipalTag/team": "a"})
    assert not ask(role(statement(Resource="${aws:username}*"))).is_allowed
    assert not holds({"StringLike": {"aws:SourceVpce": "*${aws:username}"}}, {"aws:SourceVpce": "a"})
    assert holds({"StringNotLike": {"aws:SourceVpce": "*${aws:username}"}}, {"aws:SourceVpce": "a"})
    assert not holds(
        {"StringLike": {"aws:SourceVpce": "${aws:TagKeys}"}}, {"aws:SourceVpce": "a", "aws:TagKeys": ("a", "b")}
    )


@pytest.mark.parametrize(
    ("written", "found", "other"), [("${*}", "*", "a"), ("${?}", "?", "a"), ("${$}{x}", "${x}", "a")]
)
def test_a_wildcards_character_can_be_meant_itself(written: str, found: str, other: str) -> None:
    """IAM guide, "IAM policy elements: Variables and tags", special characters."""
    for operator in ("StringLike", "StringEquals"):
        assert holds({operator: {"aws:SourceVpce": written}}, {"aws:SourceVpce": found})
        assert not holds({operator: {"aws:SourceVpce": written}}, {"aws:SourceVpce": other})


def test_the_old_version_knows_no_variables() -> None:
    """IAM guide, "IAM JSON policy elements: Version": without 2012-10-17 they are plain text."""
    condition = {"StringEquals": {"aws:SourceVpce": "${aws:PrincipalAccount}"}}

    assert not holds(condition, {"aws:SourceVpce": ACCOUNT}, version="2008-10-17")
    assert holds(condition, {"aws:SourceVpce": "${aws:PrincipalAccount}"}, version="2008-10-17")
    unversioned = AttachedPolicy("old", {"Statement": statement(Condition=condition)})
    reader = Principal(PrincipalKind.ROLE, ROLE, ACCOUNT, policies=[unversioned])
    assert ask(reader, aws__SourceVpce="${aws:PrincipalAccount}").is_allowed


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Effect": "allow"}, "Effect is Allow or Deny"),
        ({"Effect": None}, "Effect is Allow or Deny"),
        ({"Conditions": {}}, "element Conditions is unknown"),
        ({"Action": None}, "Action is a text"),
        ({"Action": []}, "Action is a text"),
        ({"Action": [{"Ref": "x"}]}, "Action is a text"),
        ({"Action": "GetObject"}, "an action is a service's"),
        ({"Action": ["s3:GetObject"], "NotAction": ["s3:*"]}, "both Action and NotAction"),
        ({"NotResource": "*", "Resource": "*"}, "both Resource and NotResource"),
        ({"Resource": None}, "names no resource"),
        ({"Resource": {"Fn::Sub": "x"}}, "Resource is a text"),
        ({"Principal": "*"}, "names a principal"),
        ({"Resource": "${aws:username"}, "does not end"),
        ({"Resource": "${username}"}, "no policy variable"),
        ({"Resource": "${}"}, "no policy variable"),
        ({"Resource": None, "NotResource": "${aws:username}"}, "variable in NotResource"),
    ],
)
def test_what_is_no_statement_is_refused(elements: dict[str, Any], reason: str) -> None:
    whole = {"Effect": "Allow", "Action": "*", "Resource": "*"} | elements
    spoiled = {name: value for name, value in whole.items() if value is not None}

    with pytest.raises(PolicyFaultError, match=reason):
        role(spoiled)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"Version": "2012-10-17", "Statements": []}, "element Statements is unknown"),
        ({"Version": "2020-01-01", "Statement": []}, "no Version"),
        ({"Version": "2012-10-17"}, "a statement is a table"),
        ([], "a policy is a table"),
        ({"Version": "2012-10-17", "Statement": ["Allow"]}, "a statement is a table"),
    ],
)
def test_what_is_no_policy_is_refused(policy: Any, reason: str) -> None:
    with pytest.raises(PolicyFaultError, match=reason) as refused:
        AttachedPolicy("mine", policy)

    assert str(refused.value).startswith("mine")


def test_a_fault_names_policy_statement_and_condition() -> None:
    with pytest.raises(PolicyFaultError) as refused:
        attached(ALLOW_ALL, statement(Sid="Second", Condition={"StringEqual": {"aws:k": "a"}}))

    assert str(refused.value) == "mine.Second StringEqual: the condition operator StringEqual is unknown"


@pytest.mark.parametrize(
    "principal",
    [
        {"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"},
        {"AWS": "arn:aws:iam::111111111111:role/*"},
        {"AWS": "AROAEXAMPLE"},
        {"AWS": "arn:aws:sts::111111111111:federated-user/bob"},
        {"AWS": ""},
        {"Service": "*"},
        {"Federated": "*"},
        "arn:aws:iam::111111111111:root",
        {"AWS": {"Ref": "Role"}},
    ],
)
def test_a_principal_we_do_not_know_is_refused(principal: object) -> None:
    """No wildcard matches part of a principal's name or ARN (IAM guide, "AWS JSON policy elements: Principal")."""
    with pytest.raises(PolicyFaultError, match=r"not supported|table|Principal is a text"):
        bucket_policy(statement(Principal=principal))


def test_a_policy_stands_where_it_belongs() -> None:
    with pytest.raises(PolicyFaultError, match="names no principal"):
        bucket_policy(ALLOW_ALL)
    with pytest.raises(PolicyFaultError, match="names no principal"):
        Request(role(), "s3:GetObject", OBJECT, ACCOUNT, endpoint_policies=[attached(ALLOW_ALL)])
    with pytest.raises(PolicyFaultError, match="names no resource"):
        key_policy(statement(Principal="*", Resource=None))
    with pytest.raises(PolicyFaultError, match="names a resource"):
        trust_policy(statement(Principal="*"))
    with pytest.raises(PolicyFaultError, match="names a principal"):
        role(boundary=attached(statement(Principal="*")))


def test_allow_with_not_principal_is_refused() -> None:
    """It means everybody else in the world ("AWS JSON policy elements: NotPrincipal")."""
    with pytest.raises(PolicyFaultError, match="NotPrincipal with Allow"):
        bucket_policy(statement(NotPrincipal={"AWS": ROLE}))


def test_an_answer_names_the_statement_by_its_sid_or_its_position() -> None:
    assert ask(role(statement(Action="kms:*"), statement())).statement == "mine.2"
    assert ask(role(statement(Sid="Read"))).statement == "mine.Read"
    unnamed = ResourcePolicy(AttachedPolicy("bucket", document(statement("Deny", Principal="*"))))
    assert ask(role(ALLOW_ALL), unnamed).statement == "bucket.1"
