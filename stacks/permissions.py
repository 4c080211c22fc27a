"""
Policies, said in one way: who, which actions, on what, and when.

Actions come from awacs, where a misspelt one is an attribute that does not
exist. Roles are named in conditions, by ARN, and never as a principal of a
policy: AWS stores such a principal as the role's unique id, which dies with
the role (IAM guide, AWS JSON policy elements: Principal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from awacs import sts
from awacs.aws import Action, Allow, ArnLike, ConditionElement, Deny, Principal, StringEquals

from stacks.environment import Environment

EVERYBODY: Final = Principal("*")
POLICY_VERSION: Final = "2012-10-17"
GITHUB_ISSUER: Final = "token.actions.githubusercontent.com"

Statement = Mapping[str, object]
"""One statement as JSON, with references of CloudFormation in it."""
PolicyDocument = Mapping[str, object]
"""A policy as JSON."""


def policy(*statements: Statement) -> PolicyDocument:
    """Make a policy of statements, in their order."""
    return {"Version": POLICY_VERSION, "Statement": list(statements)}


def allow(
    sid: str,
    actions: Sequence[Action],
    resources: object,
    *,
    to: Principal | None = None,
    when: Sequence[ConditionElement] = (),
) -> Statement:
    """
    Allow actions on resources.

    Args:
        sid: A sentence in one word.
        actions: From awacs.
        resources: One ARN or a list of them.
        to: Whom; only in a policy that belongs to a resource.
        when: Every one of these must hold.
    """
    statement = _statement((sid, Allow), actions, resources, when)
    return statement if to is None else statement | {"Principal": to.JSONrepr()}


def deny(sid: str, actions: Sequence[Action], resources: object, *, when: Sequence[ConditionElement]) -> Statement:
    """
    Deny actions on resources to everybody for whom the conditions hold.

    There is no denial without a condition: it would shut out those who must
    repair the policy too.
    """
    return _statement((sid, Deny), actions, resources, when) | {"Principal": EVERYBODY.JSONrepr()}


def withhold(
    sid: str, actions: Sequence[Action], resources: object, *, when: Sequence[ConditionElement] = ()
) -> Statement:
    """Deny actions to whomever a policy is attached to, whatever else allows them."""
    return _statement((sid, Deny), actions, resources, when)


def service(*names: str) -> Principal:
    """Name AWS services as principal, `logs.us-east-1.amazonaws.com`."""
    return Principal("Service", list(names) if len(names) > 1 else names[0])


def account(environment: Environment) -> Principal:
    """Name the account itself as principal: whomever of its own its identity policies allow."""
    return Principal("AWS", account_arn(environment))


def account_arn(environment: Environment) -> str:
    """Spell the account as a principal's ARN."""
    return f"arn:{environment.partition}:iam::{environment.account}:root"


def arn(environment: Environment, aws_service: str, resource: str) -> str:
    """Spell the ARN of something of this account in this region."""
    return f"arn:{environment.partition}:{aws_service}:{environment.region}:{environment.account}:{resource}"


def through(environment: Environment, *services: str) -> str | list[str]:
    """
    Name services as the ones on whose behalf a key is used, for conditions on `kms:ViaService`.

    The KMS guide spells them `s3.us-east-1.amazonaws.com` and says nothing of China, where hosts end otherwise;
    there both forms are given.
    """
    suffixes = ["amazonaws.com", "amazonaws.com.cn"] if environment.partition == "aws-cn" else ["amazonaws.com"]
    names = [f"{name}.{environment.region}.{suffix}" for name in services for suffix in suffixes]
    return names if len(names) > 1 else names[0]


def via(environment: Environment, *services: str) -> ConditionElement:
    """Say that a key is used on behalf of one of these services alone, in the principal's name."""
    return StringEquals({"kms:ViaService": through(environment, *services)})


def trust_service(name: str, *when: ConditionElement) -> PolicyDocument:
    """Let an AWS service take a role."""
    return policy(_trust(service(name), when))


def trust_tasks(environment: Environment) -> PolicyDocument:
    """Let ECS take a role, on behalf of tasks of this account and region alone (ECS guide, task IAM role)."""
    return trust_service(
        "ecs-tasks.amazonaws.com",
        StringEquals({"aws:SourceAccount": environment.account}),
        ArnLike({"aws:SourceArn": arn(environment, "ecs", "*")}),
    )


def trust_account(environment: Environment, *when: ConditionElement) -> PolicyDocument:
    """
    Let principals of the account take a role, those whose own policies allow them to.

    They may bring the source identity of their session along, which CloudTrail then writes beside all they do; a
    session that has one could not take the role otherwise (IAM guide, "Monitor and control actions taken with
    assumed roles").
    """
    return policy(_trust(account(environment), when, sts.SetSourceIdentity))


def trust_workflows(provider: str, subject: str) -> Statement:
    """
    Let workflows of GitHub take a role, those of one subject, without wildcards.

    Args:
        provider: The ARN of the account's OIDC provider of GitHub.
        subject: `repo:ORG/REPO:environment:NAME`; a job that names an environment bears no other form (GitHub
            docs, "OpenID Connect reference").
    """
    issuer = GITHUB_ISSUER
    trust: dict[str, object] = {
        "Effect": Allow,
        "Principal": {"Federated": provider},
        "Action": sts.AssumeRoleWithWebIdentity.JSONrepr(),
    }
    return trust | _condition([StringEquals({f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subject})])


def _trust(principal: Principal, when: Sequence[ConditionElement], *more: Action) -> Statement:
    actions = [action.JSONrepr() for action in (sts.AssumeRole, *more)]
    trust: dict[str, object] = {
        "Effect": Allow,
        "Principal": principal.JSONrepr(),
        "Action": actions if more else actions[0],
    }
    return trust | _condition(when)


def _statement(
    head: tuple[str, str], actions: Sequence[Action], resources: object, when: Sequence[ConditionElement]
) -> dict[str, object]:
    sid, effect = head
    statement: dict[str, object] = {
        "Sid": sid,
        "Effect": effect,
        "Action": [action.JSONrepr() for action in actions],
        "Resource": resources,
    }
    return statement | _condition(when)


def _condition(when: Sequence[ConditionElement]) -> dict[str, object]:
    """Write conditions as JSON; two of one operator become one, for in JSON the second would hide the first."""
    operators: dict[str, dict[str, object]] = {}
    for element in when:
        operators.setdefault(element.condition, {}).update(element.get_dict())
    return {"Condition": operators} if operators else {}
