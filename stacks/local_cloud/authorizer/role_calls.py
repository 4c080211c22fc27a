"""What a request to STS asks for: to take a role, which the role's trust policy decides on too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from werkzeug.wrappers import Request

from stacks.access.evaluation import evaluate
from stacks.access.faults import PolicyFaultError
from stacks.access.request import PrincipalKind, ResourcePolicy, ResourcePolicyKind
from stacks.access.request import Request as Question
from stacks.local_cloud.authorizer.asked import Asked, UnknownCallError
from stacks.local_cloud.authorizer.callers import Callers
from stacks.local_cloud.authorizer.context import Context
from stacks.local_cloud.authorizer.deployed import PolicyText, principal, understood

_TAKE: Final = "sts:AssumeRole"
_NOBODY: Final = '{"Version": "2012-10-17", "Statement": []}'


class RoleCalls:
    """Reads requests to STS; who somebody is, everybody may ask."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def asked(self, request: Request) -> Iterator[Asked]:
        """
        Say what a request asks for.

        Raises:
            UnknownCallError: A role is to be taken by what an identity provider says, which is not checked here.
        """
        action = request.form.get("Action", "")
        if action.startswith("AssumeRoleWith"):
            raise UnknownCallError(action)
        if action == "AssumeRole":
            arn = request.form.get("RoleArn", "")
            context: Context = {"sts:rolesessionname": request.form.get("RoleSessionName", "")}
            yield Asked(_TAKE, arn, context, trust_of(self._callers.role(arn), arn))


def trust_of(role: Any, arn: str) -> tuple[ResourcePolicy, ...]:
    """Give a role's trust policy; a role that is not there trusts nobody."""
    text = _NOBODY if role is None else role.assume_role_policy_document
    return (ResourcePolicy(understood(PolicyText(f"trust policy {arn}", text)), ResourcePolicyKind.TRUST),)


def distrust(service: str, arn: str, trust: str, context: Context, *, account: str) -> str | None:
    """
    Say why a role does not trust an AWS service; None if it does.

    Args:
        service: `ecs-tasks.amazonaws.com`.
        arn: Of the role.
        trust: Its trust policy.
        context: What the service says of whom it works for.
        account: Of the role.
    """
    try:
        policy = understood(PolicyText(f"trust policy {arn}", trust))
        question = Question(principal(PrincipalKind.SERVICE, service, ""), _TAKE, arn, account, context)
        decision = evaluate(question, (ResourcePolicy(policy, ResourcePolicyKind.TRUST),))
    except PolicyFaultError as fault:
        return str(fault)
    return None if decision.is_allowed else decision.statement
