"""
The rule on how far grants reach: to this environment's things, and to nobody else's in the account.

A grant that reaches too far does its work like any other; who finds out is the
next environment. So each is tried on somebody else's thing: its pattern filled
in, and that thing's tags, under the best of all other conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from stacks.access.evaluation import evaluate
from stacks.access.matching import ContextValue
from stacks.access.request import AttachedPolicy, Principal, Request
from stacks.naming import STACK_TAG
from stacks.rules import principals
from stacks.rules.estate import Estate, Fault, Said
from stacks.rules.identities import Place
from stacks.rules.principals import RoleOfOurs, roles
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, rule
from stacks.rules.statements import Statement, documents_of
from stacks.rules.vocabulary import actions_like, bears_resource

_MADE: Final = frozenset(
    {
        *("ec2:AllocateAddress", "ec2:CreateFlowLogs", "ec2:CreateInternetGateway", "ec2:CreateNatGateway"),
        *("ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateVpc"),
        *("ec2:CreateVpcEndpoint", "ec2:CreateLaunchTemplate", "ec2:RunInstances", "kms:CreateKey"),
        *("elasticloadbalancing:CreateLoadBalancer", "iam:CreateServiceLinkedRole"),
    }
)
"""What makes a thing whose id AWS draws, or a service's role: before it is there, nothing tells whose it will be."""
_UNTOLD: Final = frozenset(
    {
        *("ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate"),
        *("ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition", "ecs:CreateCapacityProvider"),
        *(f"application-autoscaling:{verb}{kind}" for verb in ("Tag", "Untag") for kind in ("Resource",)),
        *(f"application-autoscaling:{name}" for name in ("DeleteScalingPolicy", "DeregisterScalableTarget")),
        *(f"application-autoscaling:{name}" for name in ("PutScalingPolicy", "RegisterScalableTarget")),
        *(f"backup:{verb}Backup{kind}" for verb in ("Create", "Delete") for kind in ("Plan", "Selection")),
        *("backup:UpdateBackupPlan", "backup:TagResource", "backup:UntagResource", "sns:Unsubscribe"),
    }
)
"""What is done to things with neither a name of ours in their ARN nor a tag of ours (ADR 0022, consequences)."""
_LOOKING: Final = re.compile(r"[\w-]+:(Describe|List)|(application-autoscaling|backup|cloudwatch|ec2):Get")
_OF_AWS: Final = re.compile(r"arn:[\w-]+:(iam::aws:|ssm:[\w-]*::parameter/aws/|ec2:[\w-]*::image/|route53:::)")
_BOUNDED: Final = frozenset({"s3", "dynamodb", "ecr", "ecs", "logs"})
"""What things of these services are called begins with the environment's name, so a boundary can say it."""
_SCOPE: Final = "IAM guide, Grant least privilege; ADR 0022"


@rule("I1", why="who deploys one environment changes another's, or what is not the project's", source=_SCOPE)
def grants_reach_no_further_than_the_environment(estate: Estate) -> Iterator[Fault]:
    """
    What a role of ours is granted is on things of this environment: by name, or by a tag.

    But for what makes things, what lists and describes them, and what AWS lets nobody tell apart.
    """
    for each in roles(estate):
        for statement in _granted(each):
            wide = [pattern for pattern in statement.resources if not _is_ours(estate, pattern)]
            foreign = _conditions(statement) | _foreign(estate.place) if wide else {}
            for pattern in wide if wide and _is_open(statement, foreign) else ():
                beyond = _beyond(each, statement, pattern, foreign)
                if beyond is not None:
                    found = Said(f"{beyond} on {_filled(pattern)}")
                    yield statement.fault("Resource", found=found, expected="things of this environment alone")


@rule("I2", why="a grant too many reaches other environments' things, and nothing holds it back", source=_SCOPE)
def bounds_reach_no_further_than_the_environment(estate: Estate) -> Iterator[Fault]:
    """What bounds the roles that serve names this environment's buckets, tables, repositories, clusters and logs."""
    deploying = {str(role.resource.get("PermissionsBoundary")) for role in principals.stack_roles(estate)}
    worn = {str(role.resource.get("PermissionsBoundary")) for role in roles(estate)} - deploying
    for policy in estate.of_type("AWS::IAM::ManagedPolicy"):
        if estate.arn(policy) not in worn:
            continue
        for statement in (one for document in documents_of(policy) for one in document.statements if one.allows):
            named = [one for pattern in statement.actions for one in _meant(pattern) if _is_bounded(one)]
            for pattern in statement.resources if named else ():
                if not _is_ours(estate, pattern):
                    found = Said(f"{named[0]} on {pattern}")
                    yield statement.fault("Resource", found=found, expected="things of this environment alone")


def _is_bounded(action: str) -> bool:
    return action.partition(":")[0] in _BOUNDED and bears_resource(action) and not _LOOKING.match(action)


def _is_open(statement: Statement, foreign: Mapping[str, ContextValue]) -> bool:
    """Whether a statement's conditions hold for somebody else's thing."""
    (read,) = AttachedPolicy("", {"Version": "2012-10-17", "Statement": [statement.raw]}).statements
    context = {name.lower(): value for name, value in foreign.items()}
    return all(condition.holds(context) for condition in read.conditions)


def _beyond(each: RoleOfOurs, statement: Statement, pattern: str, foreign: Mapping[str, ContextValue]) -> str | None:
    """Name an action that the role may do to somebody else's thing by this pattern; None if there is none."""
    for action in (one for written in statement.actions for one in _meant(written)):
        is_none = action in _MADE | _UNTOLD or not bears_resource(action) or bool(_LOOKING.match(action))
        if not is_none and _may(each.principal, action, _filled(pattern), foreign):
            return action
    return None


def _conditions(statement: Statement) -> dict[str, ContextValue]:
    """Give a statement all that its own conditions ask for."""
    return {each.key: _filled(str(value)) for each in statement.conditions for value in each.values[:1]}


def _foreign(place: Place) -> dict[str, ContextValue]:
    """Say of somebody else's thing what its tags and aliases are, and that it is not being made."""
    other = f"{place.prefix}2"
    return {
        f"aws:ResourceTag/{STACK_TAG}": other,
        "aws:ResourceTag/aws:cloudformation:stack-name": f"{other}-capacity",
        f"aws:RequestTag/{STACK_TAG}": place.prefix,
        "ec2:CreateAction": "none",
        "elasticloadbalancing:CreateAction": "none",
        "kms:ResourceAliases": (f"alias/{other}",),
    }


def _is_ours(estate: Estate, pattern: str) -> bool:
    """Whether a pattern says whose the thing is: AWS's, or ours by name."""
    if _OF_AWS.match(pattern):
        return True
    place = estate.place
    project, _, name = place.prefix.rpartition("-")
    called = (f"{place.prefix}-", f"/{project}/{name}/", f"{project}/{name}/")
    parts = re.split(r"[:/]", pattern)
    return any(each in pattern for each in called[:2]) or any(part in _names(estate) for part in parts[5:])


@lru_cache(maxsize=4)
def _names(estate: Estate) -> frozenset[str]:
    """Give the names and ids of all that the templates make, and what they are called in ARNs."""
    names = {estate.ref(resource).rpartition("/")[2].rpartition(":")[2] for resource in estate.resources}
    return frozenset(name for name in names if name)


def _filled(pattern: str) -> str:
    return pattern.replace("*", "x").replace("?", "x")


def _meant(pattern: str) -> tuple[str, ...]:
    return actions_like(pattern) or (pattern,)


def _granted(each: RoleOfOurs) -> Iterator[Statement]:
    for source in each.sources.values():
        for document in documents_of(source.resource):
            if document.path == source.path:
                yield from (statement for statement in document.statements if statement.allows)


def _may(who: Principal, action: str, resource: str, context: Mapping[str, ContextValue]) -> bool:
    return evaluate(Request(who, action, resource, who.account, context)).is_allowed


RULES: Final[tuple[Rule, ...]] = (
    grants_reach_no_further_than_the_environment,
    bounds_reach_no_further_than_the_environment,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
