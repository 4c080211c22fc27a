"""
The rules on the two roles of a deployment: CloudFormation's, and that of whoever hands stacks over to it.

What they may and may not is asked as IAM would be. "May not" is asked a second
time of the role with every grant there is: then it is a denial that says no,
and not the lack of a grant, which the next template may bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from stacks.access.evaluation import evaluate
from stacks.access.matching import ContextValue
from stacks.access.request import Principal, Request
from stacks.rules import principals
from stacks.rules.estate import Estate, Fault, Said
from stacks.rules.principals import EVERYTHING, RoleOfOurs, roles
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule
from stacks.rules.statements import Statement, documents_of
from stacks.rules.values import listed

_BOUNDED_BY: Final = "iam:PermissionsBoundary"
_HANDED_TO: Final = "iam:PassedToService"
_STACKS_ROLE: Final = "cloudformation:RoleArn"
_CLOUDFORMATION: Final = "cloudformation.amazonaws.com"
_ADMINISTRATION: Final = "arn:aws:iam::aws:policy/AdministratorAccess"
_WRITES: Final = (
    *("iam:AttachRolePolicy", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePolicy"),
    *("iam:PutRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:PassRole"),
)
_POLICY_WRITES: Final = ("iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion")
_USING_KEYS: Final = ("kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey")
_READING: Final = ("s3:GetObject", "s3:GetObjectVersion")
_PROVIDERS: Final = ("iam:CreateOpenIDConnectProvider", "iam:UpdateOpenIDConnectProviderThumbprint")
_OTHER_SERVICES: Final = ("lambda.amazonaws.com", "ec2.amazonaws.com", "ecs-tasks.amazonaws.com", _CLOUDFORMATION)
_CHANGING_STACKS: Final = (
    *("CreateChangeSet", "ExecuteChangeSet", "DeleteStack", "SetStackPolicy", "UpdateTerminationProtection"),
    *("ContinueUpdateRollback", "RollbackStack", "CancelUpdateStack", "DeleteChangeSet"),
)
_SERVICE_ROLE: Final = "CloudFormation guide, service role; cloudformation:RoleArn"
_BOUNDARIES: Final = "IAM guide, Permissions boundaries: delegating responsibility to others"
_PASSING: Final = "IAM guide, Granting a user permissions to pass a role to an AWS service"


@rule("I2", why="whoever deploys makes a role that nothing bounds, and takes it", source=_BOUNDARIES)
def roles_are_made_with_their_boundary_alone(estate: Estate) -> Iterator[Fault]:
    """
    CloudFormation's role makes each role of the other stacks with the boundary it wears, and with no other and none.

    Nor does it attach anything to a role that wears no boundary, take a boundary off, or put another in its place;
    and what it attaches is ours or made by AWS for just that.
    """
    for maker, made in _made(estate):
        wears = {_BOUNDED_BY: str(made.resource.get("PermissionsBoundary"))}
        yield from _lets(maker, "iam:CreateRole", made.arn, wears)
        for context, words in (({}, "without a boundary"), ({_BOUNDED_BY: _ADMINISTRATION}, "with any boundary")):
            for action in ("iam:CreateRole", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"):
                yield from _refuses(maker, action, made.arn, context, words=words)
            yield from _denies(maker, "iam:CreateRole", made.arn, context)
        administration = wears | {"iam:PolicyARN": _ADMINISTRATION}
        yield from _refuses(maker, "iam:AttachRolePolicy", made.arn, administration, words="of any policy")
        yield from _denies(maker, "iam:DeleteRolePermissionsBoundary", made.arn, wears)


@rule("I2", why="the fence is only as good as the right to move it", source=_BOUNDARIES)
def nobody_who_deploys_moves_the_fences(estate: Estate) -> Iterator[Fault]:
    """
    Neither of the two roles changes itself, the other, what bounds any role, or whom the account trusts.

    CloudFormation's is denied it, whatever else it may be granted.
    """
    stack_roles, handing = principals.stack_roles(estate), _handing(estate)
    for other in [*stack_roles, *handing]:
        for action in _WRITES:
            yield from _moves(estate, action, other.arn, _every_context(other))
    for boundary in sorted({str(role.get("PermissionsBoundary")) for role in estate.of_type(principals.ROLE)}):
        for action in _POLICY_WRITES:
            yield from _moves(estate, action, boundary, {})
    for action in _PROVIDERS:
        yield from _moves(estate, action, estate.place.global_arn("iam", "oidc-provider/any.example"), {})


def _moves(estate: Estate, action: str, fence: str, context: Mapping[str, ContextValue]) -> Iterator[Fault]:
    for each in principals.stack_roles(estate):
        yield from _denies(each, action, fence, context)
    for each in _handing(estate) if action != "iam:PassRole" else ():
        yield from _refuses(each, action, fence, context)


@rule("I2", why="a role handed to another service works for whoever may use that service", source=_PASSING)
def each_role_is_handed_to_its_own_service(estate: Estate) -> Iterator[Fault]:
    """CloudFormation's role hands each role that a service takes to that service, and no role to any other."""
    for maker, made in _made(estate):
        for service in made.services:
            yield from _lets(maker, "iam:PassRole", made.arn, {_HANDED_TO: service})
        for service in (each for each in _OTHER_SERVICES if each not in made.services):
            yield from _refuses(maker, "iam:PassRole", made.arn, {_HANDED_TO: service}, words=f"to {service}")
        yield from _refuses(maker, "iam:PassRole", made.arn, {}, words="to whatever service")
    for maker in principals.stack_roles(estate):
        foreign = estate.place.global_arn("iam", "role/Admin")
        for service in _OTHER_SERVICES:
            yield from _refuses(maker, "iam:PassRole", foreign, {_HANDED_TO: service}, words="of the account's")


@rule(
    "I2",
    why="the server's key is read by who deploys, or by a template they wrote",
    source="S3 and KMS guides: explicit deny",
)
def cloudformation_reads_no_key(estate: Estate) -> Iterator[Fault]:
    """
    CloudFormation's role is denied the objects that tasks read, and the key they are encrypted with.

    The key's id is AWS's: told by its alias, and by the service through which it is used.
    """
    objects, keys = _read_by_tasks(estate)
    for each in principals.stack_roles(estate):
        if not objects:
            yield absent("objects that a task's role may read")
        for found in sorted(objects):
            for action in _READING:
                yield from _denies(each, action, found, {})
        for key, aliases in keys.items():
            yield from _uses_no_key(each, key, aliases)


def _uses_no_key(each: RoleOfOurs, key: str, aliases: list[str]) -> Iterator[Fault]:
    region = each.resource.estate.place.region
    through_s3: dict[str, ContextValue] = {"kms:ViaService": f"s3.{region}.amazonaws.com"}
    through_table: dict[str, ContextValue] = {"kms:ViaService": f"dynamodb.{region}.amazonaws.com"}
    if not aliases:
        yield each.resource.fault("", found=Said(f"no alias of {key}"), expected="an AWS::KMS::Alias to tell it by")
    for context in ({}, through_s3, through_table | {"kms:ResourceAliases": tuple(aliases)}):
        for action in _USING_KEYS:
            yield from _denies(each, action, key, context)


@rule("I2", why="a service that nobody uses gets a role in the account", source="IAM guide, CreateServiceLinkedRole")
def service_linked_roles_are_of_named_services(estate: Estate) -> Iterator[Fault]:
    """CloudFormation's role makes service-linked roles of the services our templates need, and of no others."""
    for each in principals.stack_roles(estate):
        linked = estate.place.global_arn("iam", "role/aws-service-role/service/Role")
        name = "iam:AWSServiceName"
        for service in ("ecs.amazonaws.com", "autoscaling.amazonaws.com"):
            yield from _lets(each, "iam:CreateServiceLinkedRole", linked, {name: service})
        for context in ({}, {name: "organizations.amazonaws.com"}):
            yield from _refuses(each, "iam:CreateServiceLinkedRole", linked, context, words="of any service")


@rule(
    "I2",
    why="what the service learns to do tomorrow, who deploys may do too",
    source="Security Hub IAM.21; cfn_nag F38",
)
def who_deploys_is_granted_actions_by_name(estate: Estate) -> Iterator[Fault]:
    """What is granted the two roles is actions by their names, without wildcards."""
    for each in [*principals.stack_roles(estate), *_handing(estate)]:
        for statement in _granted(each):
            for pattern in statement.actions:
                if "*" in pattern or "?" in pattern:
                    yield statement.fault("Action", found=pattern, expected="actions by their names")


@rule("I1", why="stacks are made by whoever's rights, and nothing above is worth anything", source=_SERVICE_ROLE)
def stacks_are_handed_to_their_role_alone(estate: Estate) -> Iterator[Fault]:
    """
    There is a role that hands the environment's stacks over to CloudFormation's, and to no other role and none.

    It changes no stack of others, and not the stack of the two roles; it has no other way to change a stack.
    """
    found = _handing(estate)
    if not found:
        yield absent("a role that may hand CloudFormation its role")
    for each in found:
        for role in principals.stack_roles(estate):
            theirs: dict[str, ContextValue] = {_STACKS_ROLE: role.arn}
            for stack in (name for name in estate.bodies if name != role.resource.stack):
                yield from _lets(each, "cloudformation:CreateChangeSet", _stack(estate, stack), theirs)
                yield from _lets(each, "cloudformation:ExecuteChangeSet", _stack(estate, stack), {})
                yield from _only_as(each, _stack(estate, stack), ("CreateChangeSet", "DeleteStack"))
            foreign = estate.place.arn("cloudformation", "stack/somebody-elses/1")
            for stack in (foreign, _stack(estate, role.resource.stack)):
                for action in _CHANGING_STACKS:
                    yield from _refuses(each, f"cloudformation:{action}", stack, theirs, words="of another")
            yield from _refuses(
                each, "iam:PassRole", role.arn, {_HANDED_TO: "ec2.amazonaws.com"}, words="to another service"
            )
            yield from _refuses(each, "iam:PassRole", role.arn, {}, words="to whatever service")
        for other in (other for other in roles(estate) if other not in principals.stack_roles(estate)):
            yield from _refuses(each, "iam:PassRole", other.arn, {_HANDED_TO: _CLOUDFORMATION}, words="of another kind")


def _only_as(each: RoleOfOurs, stack: str, actions: Iterable[str]) -> Iterator[Fault]:
    for action in actions:
        for context in ({}, {_STACKS_ROLE: each.resource.estate.place.global_arn("iam", "role/Admin")}):
            yield from _refuses(each, f"cloudformation:{action}", stack, context, words="as another role or none")
    for action in ("CreateStack", "UpdateStack"):
        yield from _refuses(each, f"cloudformation:{action}", stack, {}, words="without a change set")


@rule("I1", why="who deploys reads the server's key, or what only the tasks may", source=_SERVICE_ROLE)
def who_deploys_reads_no_key(estate: Estate) -> Iterator[Fault]:
    """
    Whoever hands stacks over reads none of the key objects, uses no key and asks no registry themselves.

    The other objects and the keys they are denied: a template of theirs could open bucket and key to their own role.
    """
    objects, keys = _read_by_tasks(estate)
    tables = [estate.arn(table) for table in estate.of_type("AWS::DynamoDB::Table")]
    through_s3: dict[str, ContextValue] = {"kms:ViaService": f"s3.{estate.place.region}.amazonaws.com"}
    for each in _handing(estate):
        readable = {found for found in objects if _is_allowed(each.principal, "s3:GetObject", found, {})}
        if readable == objects or len(readable) > 1:
            yield each.resource.fault("", found=Said(f"s3:GetObject on {min(readable)}"), expected="the manifest alone")
        for found in sorted(objects - readable):
            for action in _READING:
                yield from _denies(each, action, found, {})
        for key in keys:
            yield from _denies(each, "kms:Decrypt", key, through_s3)
        for table in tables:
            yield from _refuses(each, "dynamodb:GetItem", table, {})


# -- who and what ------------------------------------------------------------------------------


def _made(estate: Estate) -> Iterator[tuple[RoleOfOurs, RoleOfOurs]]:
    """Give each role of CloudFormation's with each role it makes: those of other stacks than its own."""
    for maker in principals.stack_roles(estate):
        for made in roles(estate):
            if made.resource.stack != maker.resource.stack:
                yield maker, made


@lru_cache(maxsize=4)
def _handing(estate: Estate) -> tuple[RoleOfOurs, ...]:
    """Give the roles that may hand CloudFormation a role, whichever service they name to it."""
    stack_roles = principals.stack_roles(estate)
    return tuple(
        each
        for each in roles(estate)
        if each not in stack_roles
        and any(
            _is_allowed(each.principal, "iam:PassRole", role.arn, {_HANDED_TO: _CLOUDFORMATION}) for role in stack_roles
        )
    )


def _read_by_tasks(estate: Estate) -> tuple[set[str], dict[str, list[str]]]:
    """Give the objects that tasks read, and the keys they decrypt them with, each with its aliases."""
    objects: set[str] = set()
    keys: dict[str, list[str]] = {}
    for each in principals.task_roles(estate):
        for statement in _granted(each):
            if statement.means("s3:GetObject"):
                objects |= {found for found in statement.resources if "*" not in found}
            if statement.means("kms:Decrypt") and _is_through_s3(statement):
                keys |= {str(found): _aliases(estate, found) for found in listed(statement.raw.get("Resource"))}
    return objects, keys


def _is_through_s3(statement: Statement) -> bool:
    return any(str(value).startswith("s3.") for each in statement.on("kms:ViaService") for value in each.values)


def _aliases(estate: Estate, key: object) -> list[str]:
    found = estate.target(key)
    aliases = estate.of_type("AWS::KMS::Alias")
    return [
        str(alias.get("AliasName")) for alias in aliases if found is not None and alias.target("TargetKeyId") == found
    ]


def _granted(each: RoleOfOurs) -> Iterator[Statement]:
    for source in each.sources.values():
        for document in documents_of(source.resource):
            if document.path == source.path:
                yield from (statement for statement in document.statements if statement.allows)


def _stack(estate: Estate, name: str) -> str:
    return estate.place.arn("cloudformation", f"stack/{estate.place.stack_name(name)}/1")


def _every_context(other: RoleOfOurs) -> dict[str, ContextValue]:
    """Say all that could make a write allowed."""
    boundary = str(other.resource.get("PermissionsBoundary"))
    return {_BOUNDED_BY: boundary, _HANDED_TO: _CLOUDFORMATION, "iam:PolicyARN": _ADMINISTRATION}


# -- asking --------------------------------------------------------------------------------------


def _lets(each: RoleOfOurs, action: str, resource: str, context: Mapping[str, ContextValue]) -> Iterator[Fault]:
    if not _is_allowed(each.principal, action, resource, context):
        yield each.resource.fault(
            "", found=Said(f"no {action} on {resource}"), expected="a grant, and bounds that let it"
        )


def _refuses(
    each: RoleOfOurs, action: str, resource: str, context: Mapping[str, ContextValue], *, words: str = ""
) -> Iterator[Fault]:
    if _is_allowed(each.principal, action, resource, context):
        found = f"{action} {words} on {resource}".replace("  ", " ")
        yield each.resource.fault("", found=Said(found), expected="no such grant")


def _denies(each: RoleOfOurs, action: str, resource: str, context: Mapping[str, ContextValue]) -> Iterator[Fault]:
    """Object unless it stays refused with every grant there is."""
    promoted = replace(each.principal, policies=(*each.principal.policies, EVERYTHING), boundary=None)
    if _is_allowed(promoted, action, resource, context):
        yield each.resource.fault("", found=Said(f"no denial of {action} on {resource}"), expected="an explicit Deny")


def _is_allowed(who: Principal, action: str, resource: str, context: Mapping[str, ContextValue]) -> bool:
    return evaluate(Request(who, action, resource, who.account, context)).is_allowed


RULES: Final[tuple[Rule, ...]] = (
    stacks_are_handed_to_their_role_alone,
    who_deploys_reads_no_key,
    roles_are_made_with_their_boundary_alone,
    nobody_who_deploys_moves_the_fences,
    each_role_is_handed_to_its_own_service,
    cloudformation_reads_no_key,
    service_linked_roles_are_of_named_services,
    who_deploys_is_granted_actions_by_name,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
