"""
What S3 answers when a bucket's lock is tried: by whom, over which channel, with which encryption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stacks.access.request import Decision, Principal, Verdict
from stacks.rules.estate import Resource
from stacks.rules.guarded import FROM_OUTSIDE, Bucket, Way, ask_bucket
from stacks.rules.principals import RoleOfOurs, all_powerful
from stacks.rules.topology import inner_tables

Asked = tuple[str, str]
"""An action of S3, and an object's key; empty for the bucket itself."""
Context = Mapping[str, str]
"""Condition keys beside those of the way a request comes."""
NOTHING: Final[Context] = {}


def is_denied(
    bucket: Bucket, who: Principal, asked: Asked, *, way: Way = FROM_OUTSIDE, more: Context = NOTHING
) -> bool:
    """Say whether a statement denies somebody something."""
    return answer(bucket, who, asked, way=way, more=more).verdict is Verdict.DENIED


def answer(
    bucket: Bucket, who: Principal, asked: Asked, *, way: Way = FROM_OUTSIDE, more: Context = NOTHING
) -> Decision:
    """
    Answer as S3 does.

    Raises:
        UnresolvedError: A condition cannot be judged.
    """
    action, key = asked
    question = ask_bucket(bucket, who, action, key=key, way=way)
    request = replace(question.request, context={**question.request.context, **more})
    return replace(question, request=request).answer()


def any_of(role: RoleOfOurs) -> Principal:
    """Give a role as if everything were granted it: what holds it back then is the lock alone."""
    return all_powerful(role.arn)


def default_encryptions(bucket: Resource) -> list[tuple[str, Mapping[str, Any]]]:
    """Give the encryptions a bucket takes by default, each with its path."""
    rules = bucket.tables("BucketEncryption.ServerSideEncryptionConfiguration")
    return [part for path, each in rules for part in inner_tables(path, each, "ServerSideEncryptionByDefault")]


def lifecycle(bucket: Resource) -> list[tuple[str, Mapping[str, Any]]]:
    """Give the rules of a bucket's lifecycle that are in force, each with its path."""
    rules = bucket.tables("LifecycleConfiguration.Rules")
    return [(path, part) for path, part in rules if part.get("Status") == "Enabled"]
