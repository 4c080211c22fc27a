"""The matrix as a page: what a cell says, and that it covers what it must."""

from __future__ import annotations

import pytest

from stacks.rules import access_page
from stacks.rules.guarded import Channel
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Templates

STAGING = Templates.of("staging").estate(environment("staging"))
SECTIONS = {section.title: section for section in access_page.sections(STAGING)}
WHO = access_page.actors(STAGING)


def row(title: str, act: str) -> dict[str, str]:
    """Give a column of the page, by who."""
    section = SECTIONS[title]
    found = next(each for each in section.acts if each.name == act)
    return {name: access_page.cell(section, found, principal) for name, principal in WHO.items()}


def those_who(title: str, act: str) -> dict[str, str]:
    return {name: word for name, word in row(title, act).items() if word != "-"}


def test_three_read_the_key_and_the_task_from_inside_alone() -> None:
    expected = {"task": "inside", "certificate-admin": "yes", "break-glass": "yes"}

    for act in ("GetObject key", "GetObjectVersion key"):
        assert those_who("Objects of the certificate bucket", act) == expected


def test_one_writes_the_key_and_never_under_another_encryption() -> None:
    assert set(those_who("Objects of the certificate bucket", "PutObject key")) == {"certificate-admin"}
    for act in ("PutObject key, another encryption key", "PutObject key, SSE-S3"):
        assert those_who("Objects of the certificate bucket", act) == {}


def test_nobody_decrypts_by_themselves() -> None:
    assert those_who("The certificate's key", "Decrypt") == {}


def test_the_task_finds_one_client_and_lists_none() -> None:
    assert row("The client registry", "GetItem")["task"] == "yes"
    for act in ("Query", "Scan", "PutItem", "DeleteItem", "Query by client"):
        assert row("The client registry", act)["task"] == "-"


@pytest.mark.parametrize("who", ["task of another environment", "stranger", "a service of AWS", "nobody"])
def test_a_stranger_does_nothing_at_all(who: str) -> None:
    assert all(row(title, act.name)[who] == "-" for title, section in SECTIONS.items() for act in section.acts)


def test_the_page_asks_for_a_dozen_of_every_kind() -> None:
    assert len(WHO) >= 12
    assert {"task", "execution", "instance", "deploy", "cloudformation", "certificate-admin", "break-glass"} <= set(WHO)
    asked = {question.request.action for _, question in access_page.questions(STAGING)}
    assert {"s3:ListBucket", "s3:PutLifecycleConfiguration", "kms:PutKeyPolicy", "dynamodb:DeleteTable"} <= asked
    channels = {label.rpartition(", ")[2] for label, _ in access_page.questions(STAGING)}
    assert {Channel.TLS11, Channel.CLEAR, Channel.PRESIGNED} <= channels


def test_the_environments_that_answer_alike_share_a_chapter() -> None:
    page = access_page.render([("staging", STAGING), ("again", STAGING)])

    assert "## staging and again" in page


def test_a_lock_that_is_gone_shows_on_the_page() -> None:
    spoiled = Templates.of("staging")
    for policy in spoiled.resources("AWS::S3::BucketPolicy"):
        document = policy["Properties"]["PolicyDocument"]
        document["Statement"] = [each for each in document["Statement"] if not each["Sid"].startswith("NoOther")]
    estate = spoiled.estate(environment("staging"))

    page = access_page.render([("staging", estate)])

    assert page != access_page.render([("staging", STAGING)])
    assert "| administrator | - | - | yes |" in page
