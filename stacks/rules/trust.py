"""The rules on who may become a role: by its trust policy, asked as IAM would be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from stacks.access.evaluation import evaluate
from stacks.access.request import Principal, Request
from stacks.access.statement import Form
from stacks.rules import principals
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.principals import OTHER_ACCOUNT, RoleOfOurs, roles
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.statements import Kind, Statement, documents_of
from stacks.rules.values import number, shown

_TRUST: Final = "AssumeRolePolicyDocument"
_ASSUME: Final = "sts:AssumeRole"
_WEB_IDENTITY: Final = "sts:AssumeRoleWithWebIdentity"
_LONGEST_SECONDS: Final = 3600
_STRANGERS: Final = ("ec2.amazonaws.com", "lambda.amazonaws.com", "ecs-tasks.amazonaws.com", "ecs.amazonaws.com")
_TASKS: Final = "ecs-tasks.amazonaws.com"
_CLOUDFORMATION: Final = "cloudformation.amazonaws.com"
_SUBJECT: Final = re.compile(r"repo:[A-Za-z0-9-]+/[A-Za-z0-9._-]+:environment:[\w.-]+")
_GITHUB: Final = "token.actions.githubusercontent.com"
_AUDIENCE: Final = "sts.amazonaws.com"
_MENDING: Final = ("s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:DeleteObjectVersion", "kms:PutKeyPolicy")
"""Whoever may do one of these can open what the others may only use."""
_TASK_PAGE: Final = "ECS guide, task IAM role: confused deputy"
_DEPUTY: Final = "IAM guide, The confused deputy problem"
_MFA: Final = "IAM guide, AWS global condition context keys: aws:MultiFactorAuthPresent"
_OIDC: Final = "GitHub docs, OpenID Connect in AWS; IAM guide, Creating OpenID Connect identity providers"
_PEOPLE: Final = "IAM guide, Monitor and control actions taken with assumed roles"


@rule("S21", why="a task of another account can be given the role, or ours cannot be started", source=_TASK_PAGE)
def tasks_roles_are_for_tasks_of_ours(estate: Estate) -> Iterator[Fault]:
    """
    The roles of tasks, and those ECS starts them with, are taken by `ecs-tasks.amazonaws.com` alone.

    Only for this account and anything of ECS in this region: SourceAccount and SourceArn must both be right.
    """
    place = estate.place
    found = _once(*principals.task_roles(estate), *principals.execution_roles(estate))
    if not found:
        yield absent("a task definition with a role")
    for each in found:
        ours = {"aws:SourceAccount": place.account, "aws:SourceArn": place.arn("ecs", "task/cluster/1")}
        for source in ("task/cluster/1", "cluster/any", "service/any/other"):
            yield from _must(each, _TASKS, ours | {"aws:SourceArn": place.arn("ecs", source)})
        yield from _must_not(each, _TASKS, ours | {"aws:SourceAccount": OTHER_ACCOUNT}, "for another account")
        foreign = ours["aws:SourceArn"].replace(place.account, OTHER_ACCOUNT)
        yield from _must_not(each, _TASKS, ours | {"aws:SourceArn": foreign}, "for tasks of another account")
        elsewhere = ours["aws:SourceArn"].replace(place.region, "xx-nowhere-1")
        yield from _must_not(each, _TASKS, ours | {"aws:SourceArn": elsewhere}, "for tasks of another region")
        other = ours["aws:SourceArn"].replace(":ecs:", ":lambda:")
        yield from _must_not(each, _TASKS, ours | {"aws:SourceArn": other}, "for what is no task")
        for key in ours:
            yield from _must_not(each, _TASKS, {k: v for k, v in ours.items() if k != key}, f"without {key}")
        yield from _nobody_else(each, {_TASKS}, ours)


@rule(
    "A16",
    why="an instance that cannot take its role never joins the cluster",
    source="EC2 guide, IAM roles for EC2",
    also=("CIS 2.16",),
)
def instances_roles_are_for_instances(estate: Estate) -> Iterator[Fault]:
    """The roles in instance profiles are taken by `ec2.amazonaws.com` and by nobody else."""
    found = principals.instance_roles(estate)
    if not found:
        yield absent("an instance profile with a role")
    for each in found:
        yield from _must(each, "ec2.amazonaws.com", {})
        yield from _nobody_else(each, {"ec2.amazonaws.com"}, {})


@rule("I1", why="CloudFormation of another account could be made to work as it, or ours cannot", source=_DEPUTY)
def cloudformations_role_is_for_cloudformation_of_ours(estate: Estate) -> Iterator[Fault]:
    """There is a role CloudFormation works as; it is taken by `cloudformation.amazonaws.com` for this account alone."""
    found = principals.stack_roles(estate)
    if not found:
        yield absent("a role that cloudformation.amazonaws.com may take")
    for each in found:
        ours = {"aws:SourceAccount": estate.place.account}
        yield from _must(each, _CLOUDFORMATION, ours)
        yield from _must_not(each, _CLOUDFORMATION, {"aws:SourceAccount": OTHER_ACCOUNT}, "for another account")
        yield from _must_not(each, _CLOUDFORMATION, {}, "without aws:SourceAccount")
        yield from _nobody_else(each, {_CLOUDFORMATION}, ours)


@rule("K5", why="who found somebody's password can open what everybody else is shut out of", source=_MFA)
def glass_is_broken_with_mfa_alone(estate: Estate) -> Iterator[Fault]:
    """
    Some role can mend the policies of bucket and key when they shut out everybody.

    Every role for people that can is taken with MFA alone; a session without any word of MFA has none.
    """
    found = [each for each in roles(estate) if _is_taken_by_people(each) and _mends(each)]
    if not found:
        yield absent("a role for people that may put a bucket's and a key's policy right")
    for each in found:
        person = principals.administrator(estate.place)
        if not _assumes(each, person, {"aws:MultiFactorAuthPresent": "true"}):
            yield _fault(each, Said("nobody of this account with MFA may take it"), "the account with MFA")
        for context, words in (({"aws:MultiFactorAuthPresent": "false"}, "a session without MFA"), ({}, "no MFA key")):
            if _assumes(each, person, context):
                yield _fault(each, Said(f"{words} is let in"), "Bool aws:MultiFactorAuthPresent true, without IfExists")


@rule("I3", why="any workflow of anybody's repository may become who deploys", source=_OIDC)
def workflows_are_told_by_audience_and_subject(estate: Estate) -> Iterator[Fault]:
    """
    Whoever an OIDC provider vouches for is let in by StringEquals on audience and subject.

    The audience is `sts.amazonaws.com`, the subject one environment of one repository, without wildcards:
    `repo:ORG/REPO:environment:NAME`.
    """
    for statement in _trust_statements(estate):
        vouched = [value for sort, value in statement.principals if sort == "Federated"]
        if not (vouched and statement.allows):
            continue
        if statement.actions != [_WEB_IDENTITY]:
            yield statement.fault("Action", found=statement.raw.get("Action"), expected=_WEB_IDENTITY)
        expected = f"this account's provider of {_GITHUB}"
        for provider in vouched:
            if provider != estate.place.global_arn("iam", f"oidc-provider/{_GITHUB}"):
                yield statement.fault("Principal", found=provider, expected=expected)
        yield from _told(statement, f"{_GITHUB}:aud", re.compile(re.escape(_AUDIENCE)))
        yield from _told(statement, f"{_GITHUB}:sub", _SUBJECT)


def _told(statement: Statement, key: str, form: re.Pattern[str]) -> Iterator[Fault]:
    expected = f"StringEquals {key} like {form.pattern}"
    found = [condition for condition in statement.conditions if condition.key.lower() == key.lower()]
    if not found:
        yield statement.fault("Condition", found=Said(f"nothing of {key}"), expected=expected)
    for condition in found:
        values = [str(value) for value in condition.values]
        is_one = len(values) == 1 and form.fullmatch(values[0]) is not None
        if condition.operator != "StringEquals" or not is_one:
            yield statement.fault(
                condition.path, found=Said(f"{condition.operator} {shown(values)}"), expected=expected
            )


@rule_of(
    "AWS::IAM::OIDCProvider",
    requirement="I3",
    why="tokens that were made for somebody else are taken as well",
    source=_OIDC,
)
def the_provider_is_githubs_for_sts(resource: Resource) -> Iterator[Fault]:
    """An OIDC provider is GitHub's, and takes tokens made for `sts.amazonaws.com` alone."""
    if resource.get("Url") != f"https://{_GITHUB}":
        yield resource.fault("Url", found=resource.get("Url"), expected=f"https://{_GITHUB}")
    if resource.get("ClientIdList") != [_AUDIENCE]:
        yield resource.fault("ClientIdList", found=resource.get("ClientIdList"), expected=_AUDIENCE)


@rule("I5", why="what somebody took the role for lasts on when they are gone", source="IAM guide, session duration")
def sessions_of_people_are_short(estate: Estate) -> Iterator[Fault]:
    """A role that people or workflows may take lasts an hour at most."""
    for each in roles(estate):
        if not (_is_taken_by_people(each) or _is_vouched_for(each)):
            continue
        duration = each.resource.get("MaxSessionDuration")
        seconds = _LONGEST_SECONDS if duration is None else number(duration)
        if seconds is None or seconds > _LONGEST_SECONDS:
            yield each.resource.fault("MaxSessionDuration", found=duration, expected=f"{_LONGEST_SECONDS} or less")


@rule("I5", why="a session that bears its owner's name cannot take the role, so none does", source=_PEOPLE)
def people_bring_their_identity_along(estate: Estate) -> Iterator[Fault]:
    """A role that people may take lets them bring their source identity along, which CloudTrail then writes down."""
    for each in roles(estate):
        if not _is_taken_by_people(each):
            continue
        person, facts = principals.administrator(estate.place), {"aws:MultiFactorAuthPresent": "true"}
        named = [value for condition in _conditions_on_callers(each) for value in condition]
        callers = [principals.all_powerful(arn) for arn in named] or [person]
        if not all(_assumes(each, caller, facts, action="sts:SetSourceIdentity") for caller in callers):
            yield _fault(each, Said("no sts:SetSourceIdentity"), "sts:SetSourceIdentity beside sts:AssumeRole")


def _conditions_on_callers(each: RoleOfOurs) -> Iterator[list[str]]:
    for statement in _statements_of(each.resource):
        for condition in statement.on("aws:PrincipalArn"):
            yield [str(value) for value in condition.values if "*" not in str(value)]


# -- asking --------------------------------------------------------------------------------


def _once(*found: RoleOfOurs) -> Iterable[RoleOfOurs]:
    return {each.arn: each for each in found}.values()


def _must(each: RoleOfOurs, service: str, context: Mapping[str, str]) -> Iterator[Fault]:
    if not _assumes(each, principals.service(service), context):
        shut = f"{service} is shut out" + "".join(f" with {key} {value}" for key, value in sorted(context.items()))
        yield _fault(each, Said(shut), f"a statement that lets {service} take it")


def _must_not(each: RoleOfOurs, service: str, context: Mapping[str, str], words: str) -> Iterator[Fault]:
    if _assumes(each, principals.service(service), context):
        expected = "StringEquals aws:SourceAccount, and for tasks ArnLike aws:SourceArn, of this account"
        yield _fault(each, Said(f"{service} is let in {words}"), expected)


def _nobody_else(each: RoleOfOurs, meant: set[str], context: Mapping[str, str]) -> Iterator[Fault]:
    place = each.resource.estate.place
    others = [principals.service(name) for name in {*_STRANGERS, *each.services} - meant]
    callers = [*others, principals.administrator(place), principals.administrator(place, OTHER_ACCOUNT)]
    facts = {**context, "aws:MultiFactorAuthPresent": "true"}
    for caller in [*callers, principals.anonymous()]:
        if _assumes(each, caller, facts):
            expected = f"{' and '.join(sorted(meant))} alone"
            yield _fault(each, Said(f"{caller.arn or 'everybody'} is let in"), expected)
    if _is_vouched_for(each):
        yield _fault(each, Said("whom a provider vouches for is let in"), f"{' and '.join(sorted(meant))} alone")


def _assumes(each: RoleOfOurs, caller: Principal, context: Mapping[str, str], *, action: str = _ASSUME) -> bool:
    owner = each.resource.estate.place.account
    return evaluate(Request(caller, action, each.arn, owner, context), [each.trust]).is_allowed


def _is_taken_by_people(each: RoleOfOurs) -> bool:
    """Whether principals of accounts may take it, beside whomever else."""
    named = [one for statement in each.trust.policy.statements for one in statement.principals or ()]
    return any(one.form not in {Form.SERVICE, Form.FEDERATED} for one in named)


def _is_vouched_for(each: RoleOfOurs) -> bool:
    named = [one for statement in each.trust.policy.statements for one in statement.principals or ()]
    return any(one.form is Form.FEDERATED for one in named)


def _mends(each: RoleOfOurs) -> bool:
    """Whether some statement of its policies names what mends, whatever it is on."""
    return any(
        statement.allows and any(statement.means(action) for action in _MENDING)
        for source in each.sources.values()
        for statement in _statements_of(source.resource)
        if statement.document.kind is Kind.IDENTITY
    )


def _trust_statements(estate: Estate) -> Iterator[Statement]:
    for resource in estate.of_type(principals.ROLE):
        yield from (each for each in _statements_of(resource) if each.document.kind is Kind.TRUST)


def _statements_of(resource: Resource) -> Iterator[Statement]:
    return (statement for document in documents_of(resource) for statement in document.statements)


def _fault(each: RoleOfOurs, found: Said, expected: str) -> Fault:
    return each.resource.fault(_TRUST, found=found, expected=expected)


RULES: Final[tuple[Rule, ...]] = (
    tasks_roles_are_for_tasks_of_ours,
    instances_roles_are_for_instances,
    cloudformations_role_is_for_cloudformation_of_ours,
    glass_is_broken_with_mfa_alone,
    workflows_are_told_by_audience_and_subject,
    the_provider_is_githubs_for_sts,
    sessions_of_people_are_short,
    people_bring_their_identity_along,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
