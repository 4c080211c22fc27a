"""Short words to ask the evaluation with: good defaults, of which a test changes the one thing it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.access.evaluation import evaluate
from stacks.access.matching import ContextValue
from stacks.access.request import (
    AttachedPolicy,
    Decision,
    Principal,
    PrincipalKind,
    Request,
    ResourcePolicy,
    ResourcePolicyKind,
)

ACCOUNT, OTHER_ACCOUNT = "111111111111", "222222222222"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/app/reader"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
BUCKET = "arn:aws:s3:::bucket"
OBJECT = f"{BUCKET}/server/identity"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"

Statement = Mapping[str, Any]


def document(*statements: Statement, version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    """Make a statement that matches everything but for what is given; None takes an element away."""
    whole = {"Effect": effect, "Action": "*", "Resource": "*"} | elements
    if "NotAction" in elements:
        del whole["Action"]
    if "NotResource" in elements:
        del whole["Resource"]
    return {name: value for name, value in whole.items() if value is not None}


ALLOW_ALL = statement(Sid="All")


def attached(*statements: Statement, name: str = "mine", version: str = "2012-10-17") -> AttachedPolicy:
    return AttachedPolicy(name, document(*statements, version=version))


def bucket_policy(*statements: Statement) -> ResourcePolicy:
    return ResourcePolicy(attached(*statements, name="bucket"))


def key_policy(*statements: Statement) -> ResourcePolicy:
    return ResourcePolicy(attached(*statements, name="key"), ResourcePolicyKind.KEY)


def trust_policy(*statements: Statement) -> ResourcePolicy:
    return ResourcePolicy(attached(*statements, name="trust"), ResourcePolicyKind.TRUST)


def role(*statements: Statement, account: str = ACCOUNT, boundary: AttachedPolicy | None = None) -> Principal:
    arn, session = ROLE.replace(ACCOUNT, account), SESSION.replace(ACCOUNT, account)
    policies = [attached(*statements)] if statements else []
    return Principal(PrincipalKind.ROLE, arn, account, session_arn=session, policies=policies, boundary=boundary)


def user(*statements: Statement, boundary: AttachedPolicy | None = None) -> Principal:
    policies = [attached(*statements)] if statements else []
    return Principal(PrincipalKind.USER, USER, ACCOUNT, policies=policies, boundary=boundary)


def root(account: str = ACCOUNT) -> Principal:
    return Principal(PrincipalKind.ROOT, f"arn:aws:iam::{account}:root", account)


def service(name: str) -> Principal:
    return Principal(PrincipalKind.SERVICE, name, "")


ANONYMOUS = Principal(PrincipalKind.ANONYMOUS, "", "")


def ask(
    principal: Principal,
    *resource_policies: ResourcePolicy,
    action: str = "s3:GetObject",
    resource: str = OBJECT,
    **context: ContextValue,
) -> Decision:
    """Ask; a condition key is given with `__` for its colon, `aws__SourceVpce`."""
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return evaluate(Request(principal, action, resource, ACCOUNT, keys), resource_policies)


def holds(condition: Mapping[str, Any], context: Mapping[str, ContextValue], *, version: str = "2012-10-17") -> bool:
    """Say whether a condition lets a role read that is otherwise allowed to."""
    reader = Principal(
        PrincipalKind.ROLE, ROLE, ACCOUNT, policies=[attached(statement(Condition=condition), version=version)]
    )
    return evaluate(Request(reader, "s3:GetObject", OBJECT, ACCOUNT, context)).is_allowed
