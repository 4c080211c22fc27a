"""
Our evaluation against one that nobody here wrote, question by question.

`make prove` installs the other where there is npm; elsewhere these are skipped
and say so.
"""

from __future__ import annotations

import pytest

from stacks.access.request import PrincipalKind, Verdict
from stacks.rules import access_page
from stacks.rules.guarded import Channel, Question
from tests.stacks.access import generated, independent
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Templates

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(independent.why_not() is not None, reason=str(independent.why_not())),
]

_REPAIRS = {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}


def is_roots_repair(question: Question) -> bool:
    """Tell what S3 lets the root user do whatever the policy says (S3 API, PutBucketPolicy); the other does not."""
    request = question.request
    return request.principal.kind is PrincipalKind.ROOT and request.action in _REPAIRS


@pytest.mark.parametrize("name", ["staging", "production"])
def test_every_cell_of_the_access_matrix(name: str) -> None:
    estate = Templates.of(name).estate(environment(name))
    asked = list(access_page.questions(estate))

    others = independent.answers([question for _, question in asked])

    ours = [question.answer().verdict for _, question in asked]
    differ = [
        (label, str(our), str(other))
        for (label, question), our, other in zip(asked, ours, others, strict=True)
        if our != other and not is_roots_repair(question)
    ]
    assert differ == []
    assert len(asked) > 2000
    assert {Verdict.ALLOWED, Verdict.DENIED, Verdict.NOT_ALLOWED} <= set(others)


def test_the_root_users_repair_is_all_they_differ_in() -> None:
    """It is asked in the clear, which the policy denies to everybody."""
    estate = Templates.of("staging").estate(environment("staging"))
    asked = [
        each for label, each in access_page.questions(estate) if label.endswith(Channel.CLEAR) and is_roots_repair(each)
    ]

    assert {question.answer().verdict for question in asked} == {Verdict.ALLOWED}
    assert set(independent.answers(asked)) == {Verdict.DENIED}


def test_policies_by_chance() -> None:
    drawn = list(generated.questions(4000, seed=20261123))
    anything = next(iter(Templates.of("staging").estate(environment("staging")).resources))
    asked = [Question(request, policies, anything) for request, policies in drawn]

    others = independent.answers(asked)

    differ = [
        (question.request, [each.policy.document for each in question.policies], str(answer.verdict), str(other))
        for question, other in zip(asked, others, strict=True)
        if (answer := question.answer()).verdict != other
    ]
    assert differ == []
    assert {Verdict.ALLOWED, Verdict.DENIED, Verdict.NOT_ALLOWED} == set(others)
