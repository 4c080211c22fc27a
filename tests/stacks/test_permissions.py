"""Policies are written as they are meant."""

from __future__ import annotations

from awacs import s3
from awacs.aws import ArnNotLike, Bool, StringEquals, StringNotEquals

from stacks.permissions import allow, deny, policy, service, trust_account, trust_service, trust_tasks
from tests.stacks.environments import environment


def test_conditions_of_one_operator_stand_side_by_side() -> None:
    """In JSON the second of two equal keys hides the first, and a denial would be wider or narrower than it reads."""
    statement = deny("No", [s3.GetObject], "*", when=[StringNotEquals({"a": "1"}), StringNotEquals({"b": "2"})])

    assert statement["Condition"] == {"StringNotEquals": {"a": "1", "b": "2"}}


def test_a_truth_value_is_written_as_one() -> None:
    """AWS takes the text "false" too, but a rule of AWS Config's makers does not."""
    statement = deny("No", [s3.GetObject], "*", when=[Bool({"aws:SecureTransport": False})])

    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}


def test_a_denial_is_for_everybody_the_condition_holds_for() -> None:
    statement = deny("No", [s3.GetObject], "*", when=[ArnNotLike({"aws:PrincipalArn": "arn:aws:iam::1:role/a"})])

    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")


def test_a_grant_of_an_identity_names_nobody() -> None:
    document = policy(allow("Read", [s3.GetObject], "arn:aws:s3:::bucket/*"))

    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::bucket/*"}
        ],
    }


def test_a_service_is_named_as_one() -> None:
    statement = allow("Write", [s3.PutObject], "*", to=service("logging.s3.amazonaws.com"))

    assert statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}


def test_tasks_of_this_account_and_region_alone_take_a_tasks_role() -> None:
    (statement,) = _statements(trust_tasks(environment("staging")))

    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ecs:us-east-1:111122223333:*"},
    }


def test_the_account_decides_itself_who_of_its_own_takes_a_role() -> None:
    (statement,) = _statements(trust_account(environment("staging")))

    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:SetSourceIdentity"]


def test_a_service_takes_a_role_under_a_condition_or_without() -> None:
    (free,) = _statements(trust_service("ec2.amazonaws.com"))
    (bound,) = _statements(trust_service("ec2.amazonaws.com", StringEquals({"aws:SourceAccount": "1"})))

    assert "Condition" not in free
    assert bound["Condition"] == {"StringEquals": {"aws:SourceAccount": "1"}}


def _statements(document: object) -> list[dict[str, object]]:
    assert isinstance(document, dict)
    statements: list[dict[str, object]] = document["Statement"]
    return statements
