"""The rules on roles: what bounds them, what is attached to them, and that they are called what policies call them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from stacks.access.evaluation import evaluate
from stacks.access.request import Principal, Request
from stacks.rules import principals
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.principals import EVERYTHING, ROLE, RoleOfOurs, roles
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.statements import Statement, documents_of
from stacks.rules.values import listed
from stacks.rules.vocabulary import actions_like

_MANAGED: Final = "AWS::IAM::ManagedPolicy"
_BOUNDARY: Final = "PermissionsBoundary"
_ESCAPES: Final = (
    *(
        "iam:AddUserToGroup",
        "iam:AttachGroupPolicy",
        "iam:AttachRolePolicy",
        "iam:AttachUserPolicy",
        "iam:CreateAccessKey",
    ),
    *("iam:CreateLoginProfile", "iam:CreatePolicyVersion", "iam:CreateRole", "iam:CreateUser"),
    *("iam:DeleteRolePermissionsBoundary", "iam:DeleteUserPermissionsBoundary", "iam:PassRole", "iam:PutGroupPolicy"),
    *("iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:PutUserPolicy", "iam:SetDefaultPolicyVersion"),
    *("iam:UpdateAssumeRolePolicy", "iam:UpdateLoginProfile", "sts:AssumeRole", "cloudformation:CreateStack"),
    *("cloudformation:CreateChangeSet", "cloudformation:UpdateStack", "lambda:CreateFunction", "ec2:RunInstances"),
)
"""By any of these a role can come to more than it has (policy_sentry, privilege escalation)."""
_OF_AWS: Final = {
    "AmazonSSMManagedInstanceCore": "instance",
    "service-role/AmazonEC2ContainerServiceforEC2Role": "instance",
    "service-role/AmazonECSTaskExecutionRolePolicy": "execution",
    "service-role/AWSBackupServiceRolePolicyForBackup": "backup",
}
"""Policies of AWS's own that grant no more than what they are for, and whom they are for."""
_HOSTING: Final = frozenset(
    {
        "ec2:DescribeTags",
        *(f"ecr:{name}" for name in ("BatchCheckLayerAvailability", "BatchGetImage", "GetAuthorizationToken")),
        "ecr:GetDownloadUrlForLayer",
        *(f"ecs:{name}" for name in ("DeregisterContainerInstance", "DiscoverPollEndpoint", "Poll")),
        *(f"ecs:{name}" for name in ("PutSystemLogEvents", "RegisterContainerInstance", "StartTelemetrySession")),
        *(f"ecs:Submit{name}" for name in ("AttachmentStateChanges", "ContainerStateChange", "TaskStateChange")),
        "ecs:UpdateContainerInstancesState",
        *(f"logs:{name}" for name in ("CreateLogStream", "PutLogEvents", "DescribeLogStreams")),
        *(f"ssm:{name}" for name in ("UpdateInstanceInformation", "ListAssociations", "ListInstanceAssociations")),
        *(f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")),
        *(f"ec2messages:{name}" for name in ("AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint")),
        *(f"ec2messages:{name}" for name in ("GetMessages", "SendReply")),
        "cloudwatch:PutMetricData",
    }
)
"""What the agents on an instance do: AmazonEC2ContainerServiceforEC2Role less making clusters, and Session Manager."""
_MANAGING: Final = frozenset(
    {
        *(
            f"ssm:{name}"
            for name in ("DescribeAssociation", "DescribeDocument", "GetDeployablePatchSnapshotForInstance")
        ),
        *(f"ssm:{name}" for name in ("GetDocument", "GetManifest", "PutComplianceItems", "PutConfigurePackageResult")),
        *(f"ssm:{name}" for name in ("PutInventory", "UpdateAssociationStatus", "UpdateInstanceAssociationStatus")),
    }
)
"""What else AmazonSSMManagedInstanceCore grants, less the reading of parameters."""
_TO_THE_LETTER: Final = frozenset({"*", "dynamodb", "iam", "kms", "s3", "secretsmanager", "ssm", "sts"})
_BEST: Final = {"kms:GrantIsForAWSResource": "true"}
"""Condition keys that the boundary asks for, as they are in the best of cases."""
_JOINING: Final = (
    *("ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance", "ecs:SubmitTaskStateChange"),
    "ecs:SubmitContainerStateChange",
)
_STARTING: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability")
_STARTS_WITH: Final = frozenset({*_STARTING, "ecr:GetAuthorizationToken", "logs:CreateLogStream", "logs:PutLogEvents"})
_IAM_ARN: Final = re.compile(r"arn:[\w-]+:iam::(\d{12}):(role|policy|instance-profile)/[\w+=,.@/-]+")
_SERVICES_OWN: Final = ":role/aws-service-role/"
_BOUNDS: Final = "IAM guide, Permissions boundaries for IAM entities"
_AGENTS: Final = "ECS guide, container instance IAM role; task IAM role: instance role credentials"
_SCOPE: Final = "IAM guide, Permissions boundaries: delegating responsibility to others"


@rule_of(
    ROLE, requirement="I2", why="a grant too many has no end, and the deployer may not make the role", source=_BOUNDS
)
def every_role_is_bounded(resource: Resource) -> Iterator[Fault]:
    """Every role has a permissions boundary: a policy of the account's own that is attached to nobody."""
    estate, boundary = resource.estate, resource.get(_BOUNDARY)
    own = estate.place.global_arn("iam", "policy/")
    policy = estate.called(boundary, _MANAGED)
    if policy is None and not (isinstance(boundary, str) and boundary.startswith(own) and _is_made_elsewhere(resource)):
        yield resource.fault(
            _BOUNDARY,
            found=boundary,
            expected="the ARN of a boundary that the templates make, or one of the operator's",
        )
    if policy is not None and any(policy.get(name) for name in ("Roles", "Users", "Groups")):
        yield resource.fault(_BOUNDARY, found=Said(f"{policy.name}, which grants"), expected="a policy nobody is given")


def _is_made_elsewhere(resource: Resource) -> bool:
    """Whether the operator has a boundary of their own: then every role wears it, and the templates make none."""
    estate = resource.estate
    worn = {str(role.get(_BOUNDARY)) for role in estate.of_type(ROLE)}
    return len(worn) == 1 and not any(policy.get("ManagedPolicyName") for policy in estate.of_type(_MANAGED))


@rule("I2", why="whoever comes by the role comes by the account", source=_SCOPE)
def no_bounded_role_lets_itself_out(estate: Estate) -> Iterator[Fault]:
    """
    What bounds a role that serves allows nothing by which it could come to more, whatever is attached to it.

    No writes of IAM, no other role, no code that runs as one. Of the roles that deploy, CloudFormation's alone may
    write in IAM.
    """
    deploying = {each.arn for each in _deploying(estate)}
    for each in roles(estate):
        is_deploying = each.arn in deploying
        asked = each.principal if is_deploying else replace(each.principal, policies=(EVERYTHING,))
        if each.principal.boundary is None or each in principals.stack_roles(estate):
            continue
        for action in _ESCAPES:
            if is_deploying and action.startswith(("cloudformation:", "iam:Pass")):
                continue
            if _may(asked, action, each.arn):
                yield each.resource.fault(_BOUNDARY, found=Said(f"it lets {action} through"), expected="no such action")


@rule("I2", why="the role is refused on AWS what it is granted here, and nothing says so before", source=_BOUNDS)
def bounds_let_through_what_is_granted(estate: Estate) -> Iterator[Fault]:
    """Every action that a role is granted is one its permissions boundary lets through, on what it is granted for."""
    deploying = {each.arn for each in _deploying(estate)}
    for each in roles(estate):
        policy = estate.called(each.resource.get(_BOUNDARY), _MANAGED)
        if policy is None:
            continue
        unbounded = replace(each.principal, policies=(EVERYTHING,))
        allowed = _actions_of(policy)
        for statement in _granted(each):
            for pattern in statement.actions:
                cut = [one for one in _meant(pattern) if one not in allowed]
                # What bounds a deployment does so by actions alone; asking for each thing would take its time.
                if not cut and each.arn not in deploying:
                    cut = [
                        f"{pattern} on {arn}" for arn in statement.resources if not _may(unbounded, pattern, arn, _BEST)
                    ]
                if cut:
                    yield statement.fault("Action", found=Said(cut[0]), expected="what the boundary lets through")


@rule("I2", why="what nobody needs is what somebody will be tricked into granting", source=_BOUNDS)
def bounds_let_through_no_more(estate: Estate) -> Iterator[Fault]:
    """
    What bounds the roles that serve lets through what one of them is granted, and what the agents on hosts do.

    What bounds a deployment does so to the letter where one verb reads settings and secrets alike.
    """
    yield from _surplus_of_deployment(estate)
    deploying = {each.arn for each in _deploying(estate)}
    serving = [each for each in roles(estate) if each.arn not in deploying]
    granted = {
        one for each in serving for grant in _granted(each) for pattern in grant.actions for one in _meant(pattern)
    }
    worn = [estate.called(each.resource.get(_BOUNDARY), _MANAGED) for each in serving]
    for policy in {found.name: found for found in worn if found is not None}.values():
        for statement in _allowing(policy):
            for pattern in statement.actions:
                surplus = sorted(set(_meant(pattern)) - granted - _HOSTING - _MANAGING)
                if surplus:
                    found = Said(f"{pattern}, which is {surplus[0]}")
                    yield statement.fault("Action", found=found, expected="what a role is granted")


def _surplus_of_deployment(estate: Estate) -> Iterator[Fault]:
    deploying = _deploying(estate)
    granted = {
        one for each in deploying for grant in _granted(each) for pattern in grant.actions for one in _meant(pattern)
    }
    worn = [estate.called(each.resource.get(_BOUNDARY), _MANAGED) for each in deploying]
    for policy in {found.name: found for found in worn if found is not None}.values():
        for statement in _allowing(policy):
            for pattern in statement.actions:
                surplus = [one for one in _meant(pattern) if one not in granted]
                if surplus and pattern.partition(":")[0] in _TO_THE_LETTER:
                    found = Said(f"{pattern}, which is {surplus[0]}")
                    yield statement.fault("Action", found=found, expected="what a role is granted")


def _meant(pattern: str) -> Iterable[str]:
    """Give the actions a pattern means; one that nobody knows means itself."""
    return actions_like(pattern) or (pattern,)


def _actions_of(policy: Resource) -> frozenset[str]:
    return frozenset(one for statement in _allowing(policy) for pattern in statement.actions for one in _meant(pattern))


def _allowing(policy: Resource) -> Iterator[Statement]:
    return (one for document in documents_of(policy) for one in document.statements if one.allows)


def _deploying(estate: Estate) -> Iterable[RoleOfOurs]:
    """Give CloudFormation's roles and those that hand it one."""
    stack_roles = principals.stack_roles(estate)
    handing = [
        each
        for each in roles(estate)
        if any(
            _may(each.principal, "iam:PassRole", role.arn, {"iam:PassedToService": "cloudformation.amazonaws.com"})
            for role in stack_roles
        )
    ]
    return [*stack_roles, *handing]


@rule("I2", why="who deploys may make no role but under the project's path", source=_SCOPE)
def everything_of_iam_lies_under_one_path(estate: Estate) -> Iterator[Fault]:
    """Roles, policies and instance profiles lie under one path, which is not `/`."""
    found = estate.of_type(ROLE, _MANAGED, "AWS::IAM::InstanceProfile")
    paths = [str(resource.get("Path") or "/") for resource in found]
    common = max(sorted(set(paths) - {"/"}), key=paths.count, default="/project/")
    for resource, path in zip(found, paths, strict=True):
        if path != common:
            yield resource.fault("Path", found=path, expected=common)


@rule_of(
    ROLE, requirement="K18", why="policies say the name, and open nothing, or something else's door", source=_SCOPE
)
def every_role_has_a_name_of_ours(resource: Resource) -> Iterator[Fault]:
    """Every role has a RoleName, which begins with the environment's prefix and is nobody else's."""
    name, prefix = resource.get("RoleName"), f"{resource.estate.place.prefix}-"
    if not (isinstance(name, str) and name.startswith(prefix) and len(name) > len(prefix)):
        yield resource.fault("RoleName", found=name, expected=f"a name that begins with {prefix}")
    same = [other for other in resource.estate.of_type(ROLE) if other.get("RoleName") == name and other is not resource]
    if same and name is not None:
        yield resource.fault("RoleName", found=Said(f"{name}, as of {same[0].name}"), expected="a name of its own")


@rule(
    "IAM_NO_INLINE_POLICY_CHECK",
    why="what is inline is seen in no list of policies and has no versions",
    source="Config, iam-no-inline-policy-check; CIS AWS Foundations: IAM users",
    also=("CIS 2.13",),
)
def nothing_is_granted_inline_or_to_users(estate: Estate) -> Iterator[Fault]:
    """Grants are managed policies of roles: none is inline, and there are no users, groups or access keys."""
    for resource in estate.of_type(ROLE):
        if listed(resource.get("Policies")):
            yield resource.fault("Policies", found=Said("an inline policy"), expected="an AWS::IAM::ManagedPolicy")
    for resource in estate.resources:
        service, _, kind = resource.type.removeprefix("AWS::").partition("::")
        if service == "IAM" and kind not in {"Role", "ManagedPolicy", "InstanceProfile", "OIDCProvider"}:
            yield resource.fault("", found=Said(f"an {resource.type}"), expected="roles and managed policies alone")
    for resource in estate.of_type(_MANAGED):
        for name in ("Users", "Groups"):
            if listed(resource.get(name)):
                yield resource.fault(name, found=resource.get(name), expected="roles alone")


@rule_of(_MANAGED, requirement="K18", why="the stack fails, or a role of somebody else's gets the grant", source=_SCOPE)
def every_policy_belongs_to_roles_of_ours(resource: Resource) -> Iterator[Fault]:
    """A policy is attached to roles that the templates make."""
    for index, value in enumerate(listed(resource.get("Roles"))):
        if resource.estate.called(value, ROLE) is None:
            yield resource.fault(f"Roles.{index}", found=value, expected="the name of a role that the templates make")


@rule(
    "A16",
    why="AWS's policy grants more than the role is for, on everything in the account",
    source=_AGENTS,
    also=("IAM.1",),
)
def policies_of_aws_are_for_what_they_are_made_for(estate: Estate) -> Iterator[Fault]:
    """Of AWS's own policies a role has only those made for what it is; what is attached to it otherwise is ours."""
    of_kind = {
        "instance": {each.arn for each in principals.instance_roles(estate)},
        "execution": {each.arn for each in principals.execution_roles(estate)},
        "backup": {each.arn for each in roles(estate) if "backup.amazonaws.com" in each.services},
    }
    for role in estate.of_type(ROLE):
        for index, value in enumerate(listed(role.get("ManagedPolicyArns"))):
            name = str(value).partition(":iam::aws:policy/")[2]
            is_meant = estate.arn(role) in of_kind.get(_OF_AWS.get(name, ""), set())
            if not is_meant and estate.called(value, _MANAGED) is None:
                yield role.fault(f"ManagedPolicyArns.{index}", found=value, expected="a policy of ours")


@rule("A16", why="every container on the instance can borrow it, whatever its own role", source=_AGENTS)
def instances_do_what_their_agents_do(estate: Estate) -> Iterator[Fault]:
    """An instance's role is granted what the agents of ECS and Systems Manager do, and can join every cluster."""
    for each in principals.instance_roles(estate):
        for statement in _granted(each):
            for pattern in statement.actions:
                surplus = sorted(set(_meant(pattern)) - _HOSTING)
                if surplus:
                    yield statement.fault(
                        "Action", found=Said(f"{pattern}, which is {surplus[0]} too"), expected="what agents do"
                    )
        for cluster in estate.of_type("AWS::ECS::Cluster"):
            for action in _JOINING:
                if not _may(each.principal, action, estate.arn(cluster)):
                    yield each.resource.fault(
                        "", found=Said(f"no {action} on {cluster.name}"), expected="its agent's actions"
                    )


@rule("A16", why="no task starts: the image cannot be fetched, or its log not be written", source=_AGENTS)
def execution_roles_fetch_the_image_and_write_the_log(estate: Estate) -> Iterator[Fault]:
    """The role ECS starts tasks with may fetch from the templates' repositories and write the tasks' logs, no more."""
    for each in principals.execution_roles(estate):
        for statement in _granted(each):
            surplus = sorted({one for pattern in statement.actions for one in _meant(pattern)} - _STARTS_WITH)
            if surplus:
                yield statement.fault("Action", found=Said(surplus[0]), expected="what starts a task")
        asked = [("ecr:GetAuthorizationToken", "*")]
        asked += [(a, estate.arn(found)) for found in estate.of_type("AWS::ECR::Repository") for a in _STARTING]
        for group in _log_groups(estate):
            stream = estate.place.arn("logs", f"log-group:{group}:log-stream:service/1")
            asked += [("logs:CreateLogStream", stream), ("logs:PutLogEvents", stream)]
        for action, resource in asked:
            if not _may(each.principal, action, resource):
                yield each.resource.fault(
                    "", found=Said(f"no {action} on {resource}"), expected="grants and a boundary that let it"
                )


def _log_groups(estate: Estate) -> set[str]:
    return {
        str(options["awslogs-group"])
        for definition in estate.of_type("AWS::ECS::TaskDefinition")
        for path, _ in definition.tables("ContainerDefinitions")
        if isinstance(options := definition.get(f"{path}.LogConfiguration.Options"), dict)
        and "awslogs-group" in options
    }


@rule("K18", why="the door is opened for nobody, or for whoever takes the name", source=_SCOPE)
def every_name_of_iam_is_made(estate: Estate) -> Iterator[Fault]:
    """Each role, policy or instance profile of this account that a template names by its ARN is made by a template."""
    made = {estate.arn(found) for found in estate.of_type(ROLE, _MANAGED, "AWS::IAM::InstanceProfile")}
    made |= {str(role.get(_BOUNDARY)) for role in estate.of_type(ROLE) if _is_made_elsewhere(role)}
    for resource in estate.resources:
        if not resource.type.startswith("AWS::"):
            continue
        for path, text in _texts(estate.properties(resource), ""):
            named = _IAM_ARN.fullmatch(text)
            if named is None or text in made or _SERVICES_OWN in text or path.startswith("AssumeRolePolicyDocument"):
                continue
            if named[1] == estate.place.account and path != _BOUNDARY:
                yield resource.fault(path, found=text, expected=f"the ARN of a {named[2]} that the templates make")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- any JSON
    match value:
        case str():
            yield path, value
        case dict():
            for key, inner in value.items():
                yield from _texts(inner, f"{path}.{key}".lstrip("."))
        case list():
            for index, inner in enumerate(value):
                yield from _texts(inner, f"{path}.{index}".lstrip("."))


@rule("K18", why="tasks run without a role, or instances cannot join their cluster", source=_AGENTS)
def whatever_runs_has_a_role_of_ours(estate: Estate) -> Iterator[Fault]:
    """A task definition names a task role and another to start it with, a launch template an instance profile."""
    for definition in estate.of_type("AWS::ECS::TaskDefinition"):
        found = [estate.called(definition.get(name), ROLE) for name in ("TaskRoleArn", "ExecutionRoleArn")]
        for name, role in zip(("TaskRoleArn", "ExecutionRoleArn"), found, strict=True):
            if role is None:
                yield definition.fault(name, found=definition.get(name), expected="a role that the templates make")
        if found[0] is not None and found[0] is found[1]:
            yield definition.fault("ExecutionRoleArn", found=Said("the task's own role"), expected="a role apart")
    launched = estate.of_type("AWS::EC2::LaunchTemplate")
    if not launched:
        yield absent("a launch template")
    for template in launched:
        path = "LaunchTemplateData.IamInstanceProfile"
        profile = template.get(path)
        value = profile.get("Arn") or profile.get("Name") if isinstance(profile, dict) else None
        held = estate.called(value, "AWS::IAM::InstanceProfile")
        if held is None or not held.targets("Roles"):
            yield template.fault(
                path, found=profile, expected="an instance profile that the templates make, with a role"
            )


def _granted(each: RoleOfOurs) -> Iterator[Statement]:
    for source in each.sources.values():
        for document in documents_of(source.resource):
            if document.path == source.path:
                yield from (statement for statement in document.statements if statement.allows)


def _may(who: Principal, action: str, resource: str, context: dict[str, str] | None = None) -> bool:
    return evaluate(Request(who, action, resource, who.account, context or {})).is_allowed


RULES: Final[tuple[Rule, ...]] = (
    every_role_is_bounded,
    no_bounded_role_lets_itself_out,
    bounds_let_through_what_is_granted,
    bounds_let_through_no_more,
    everything_of_iam_lies_under_one_path,
    every_role_has_a_name_of_ours,
    nothing_is_granted_inline_or_to_users,
    every_policy_belongs_to_roles_of_ours,
    policies_of_aws_are_for_what_they_are_made_for,
    instances_do_what_their_agents_do,
    execution_roles_fetch_the_image_and_write_the_log,
    every_name_of_iam_is_made,
    whatever_runs_has_a_role_of_ours,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
