"""What bounds roles, what is attached to them, and how they are called."""

from __future__ import annotations

from stacks.rules import identity
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, removed

ACCOUNT = "111122223333"
_SURPLUS = f"arn:aws:iam::{ACCOUNT}:role/mtls-ingress/mtls-ingress-staging-other"


def _resource(templates: Templates, logical_id: str) -> Document:
    found = next(body for body in templates.bodies.values() if logical_id in body["Resources"])
    resource: Document = found["Resources"][logical_id]
    return resource


def _set(logical_id: str, name: str, value: object) -> Spoil:
    """Set a property of a resource; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        properties = _resource(templates, logical_id)["Properties"]
        if value is ...:
            del properties[name]
        else:
            properties[name] = value

    return spoil


def _add(stack: str, logical_id: str, resource_type: str, **properties: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies[stack]["Resources"][logical_id] = {"Type": resource_type, "Properties": properties}

    return spoil


def _grant(logical_id: str, action: str | list[str], resource: str = "*") -> Spoil:
    """Add a statement to a policy."""
    statement = {"Sid": "More", "Effect": "Allow", "Action": action, "Resource": resource}

    def spoil(templates: Templates) -> None:
        _resource(templates, logical_id)["Properties"]["PolicyDocument"]["Statement"].append(statement)

    return spoil


def _without(logical_id: str, sid: str) -> Spoil:
    """Take a statement out of a policy."""

    def spoil(templates: Templates) -> None:
        document = _resource(templates, logical_id)["Properties"]["PolicyDocument"]
        document["Statement"] = [each for each in document["Statement"] if each["Sid"] != sid]

    return spoil


def _two_boundaries_of_elsewhere(templates: Templates) -> None:
    """Somebody took ours for one that is made somewhere else, on one role alone."""
    _resource(templates, "TaskRole")["Properties"]["PermissionsBoundary"] = f"arn:aws:iam::{ACCOUNT}:policy/Other"


def _same_name(templates: Templates) -> None:
    name = _resource(templates, "TaskRole")["Properties"]["RoleName"]
    _resource(templates, "ExecutionRole")["Properties"]["RoleName"] = name


def _no_profile(templates: Templates) -> None:
    del templates.properties("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["IamInstanceProfile"]


def _profile_by_name(templates: Templates) -> None:
    data = templates.properties("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    data["IamInstanceProfile"] = {"Name": "ecsInstanceRole"}


def _one_role_for_both(templates: Templates) -> None:
    task = templates.properties("AWS::ECS::TaskDefinition")
    task["ExecutionRoleArn"] = task["TaskRoleArn"]


_BOUNDED = identity.every_role_is_bounded
_OUT = identity.no_bounded_role_lets_itself_out
_CUT = identity.bounds_let_through_what_is_granted
_SURPLUS_BOUND = identity.bounds_let_through_no_more
_PATH = identity.everything_of_iam_lies_under_one_path
_NAME = identity.every_role_has_a_name_of_ours
_INLINE = identity.nothing_is_granted_inline_or_to_users
_BELONGS = identity.every_policy_belongs_to_roles_of_ours
_AWS = identity.policies_of_aws_are_for_what_they_are_made_for
_AGENTS = identity.instances_do_what_their_agents_do
_STARTS = identity.execution_roles_fetch_the_image_and_write_the_log
_MADE = identity.every_name_of_iam_is_made
_RUNS = identity.whatever_runs_has_a_role_of_ours
_ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"

CASES = [
    Case(_BOUNDED, _set("TaskRole", "PermissionsBoundary", ...), "identity.TaskRole.Properties.PermissionsBoundary"),
    Case(_BOUNDED, _set("DeployRole", "PermissionsBoundary", _ADMIN), "bootstrap.DeployRole", "AdministratorAccess"),
    Case(_BOUNDED, _two_boundaries_of_elsewhere, "identity.TaskRole", "policy/Other"),
    Case(
        _BOUNDED,
        _set("TaskRole", "PermissionsBoundary", "arn:aws:iam::999999999999:policy/mtls-ingress/x"),
        "identity.TaskRole",
        "999999999999",
    ),
    Case(_BOUNDED, _set("Boundary", "Roles", ["mtls-ingress-staging-task"]), "identity.TaskRole", "which grants"),
    Case(
        _BOUNDED,
        _add("identity", "Another", "AWS::IAM::Role", RoleName="mtls-ingress-staging-x", AssumeRolePolicyDocument={}),
        "identity.Another.Properties.PermissionsBoundary",
        "nothing",
    ),
    *(
        Case(_OUT, _grant("Boundary", action), "identity.TaskRole.Properties.PermissionsBoundary", "lets")
        for action in ("iam:CreateRole", "iam:*", "*", "iam:Put*", "sts:AssumeRole", "lambda:CreateFunction")
    ),
    Case(_OUT, _grant("Boundary", "iam:PassRole", "*"), "identity.InstanceRole", "iam:PassRole"),
    Case(_OUT, _grant("DeployStacks", "iam:CreateRole"), "bootstrap.DeployRole", "iam:CreateRole"),
    Case(_OUT, _grant("DeployStacks", "iam:AttachRolePolicy"), "bootstrap.DeployRole", "iam:AttachRolePolicy"),
    Case(
        _OUT,
        _set(
            "TaskRole",
            "PermissionsBoundary",
            f"arn:aws:iam::{ACCOUNT}:policy/mtls-ingress/mtls-ingress-staging-deployer-boundary",
        ),
        "identity.TaskRole",
        "iam:CreateRole",
    ),
    Case(_CUT, _grant("TaskReadsRegistry", "dynamodb:Query"), "client_registry.TaskReadsRegistry", "dynamodb:Query"),
    Case(_CUT, _grant("TaskReadsCertificate", "s3:GetObject", "arn:aws:s3:::other/*"), "certificate_store.", "other/*"),
    Case(_CUT, _without("Boundary", "Registry"), "client_registry.TaskReadsRegistry", "dynamodb:GetItem"),
    Case(_CUT, _grant("ExecutionNetwork", "lambda:CreateFunction"), "bootstrap.ExecutionNetwork", "lambda"),
    Case(_SURPLUS_BOUND, _grant("Boundary", "s3:PutObjectAcl"), "bootstrap.Boundary", "s3:PutObjectAcl"),
    Case(
        _SURPLUS_BOUND, _grant("Boundary", "dynamodb:*"), "bootstrap.Boundary.Properties.PolicyDocument", "dynamodb:*"
    ),
    Case(_SURPLUS_BOUND, _grant("Boundary", "ssm:GetParameter"), "bootstrap.Boundary", "ssm:GetParameter"),
    Case(_SURPLUS_BOUND, _grant("Boundary", "nothing:Known"), "bootstrap.Boundary", "nothing:Known"),
    Case(_PATH, _set("TaskRole", "Path", "/"), "identity.TaskRole.Properties.Path", '"/"'),
    Case(_PATH, _set("TaskRole", "Path", ...), "identity.TaskRole.Properties.Path"),
    Case(_PATH, _set("ExecutionPolicy", "Path", "/other/"), "identity.ExecutionPolicy.Properties.Path", "/other/"),
    Case(_PATH, _set("InstanceProfile", "Path", ...), "identity.InstanceProfile.Properties.Path"),
    Case(_NAME, _set("TaskRole", "RoleName", ...), "identity.TaskRole.Properties.RoleName", "nothing"),
    Case(_NAME, _set("TaskRole", "RoleName", "mtls-ingress-production-task"), "identity.TaskRole", "production"),
    Case(_NAME, _set("TaskRole", "RoleName", "mtls-ingress-staging-"), "identity.TaskRole"),
    Case(_NAME, _same_name, "identity.ExecutionRole.Properties.RoleName", "as of identity.TaskRole"),
    Case(_INLINE, _set("TaskRole", "Policies", [{"PolicyName": "x"}]), "identity.TaskRole.Properties.Policies"),
    Case(_INLINE, _set("ExecutionPolicy", "Users", ["somebody"]), "identity.ExecutionPolicy.Properties.Users"),
    Case(_INLINE, _set("ExecutionPolicy", "Groups", ["people"]), "identity.ExecutionPolicy.Properties.Groups"),
    *(
        Case(_INLINE, _add("identity", "Added", f"AWS::IAM::{kind}"), "identity.Added", kind)
        for kind in ("Policy", "RolePolicy", "User", "AccessKey", "Group", "UserPolicy")
    ),
    Case(_BELONGS, _set("ExecutionPolicy", "Roles", ["mtls-ingress-staging-exec"]), "identity.ExecutionPolicy", "exec"),
    Case(
        _BELONGS, _set("ExecutionPolicy", "Roles", ["mtls-ingress-staging-execution", "Admin"]), "identity.E", "Admin"
    ),
    Case(_BELONGS, _set("TaskReadsRegistry", "Roles", "mtls-ingress-production-task"), "client_registry.Task"),
    Case(_AWS, _set("InstanceRole", "ManagedPolicyArns", [_ADMIN]), "identity.InstanceRole", "AdministratorAccess"),
    Case(
        _AWS,
        _set("TaskRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]),
        "identity.TaskRole.Properties.ManagedPolicyArns.0",
        "AmazonSSM",
    ),
    Case(
        _AWS,
        _set("ExecutionRole", "ManagedPolicyArns", [f"arn:aws:iam::{ACCOUNT}:policy/Everything"]),
        "identity.ExecutionRole",
        "Everything",
    ),
    *(
        Case(_AGENTS, _grant("InstancePolicy", action), "identity.InstancePolicy.Properties.PolicyDocument", action)
        for action in ("s3:GetObject", "kms:Decrypt", "dynamodb:GetItem", "ecs:*", "ssm:GetParameter", "*", "s3:get*")
    ),
    Case(
        _AGENTS, _without("InstancePolicy", "JoinCluster"), "identity.InstanceRole", "no ecs:RegisterContainerInstance"
    ),
    Case(_AGENTS, _without("Boundary", "Cluster"), "identity.InstanceRole", "no ecs:RegisterContainerInstance"),
    Case(_AGENTS, _set("InstancePolicy", "Roles", ["mtls-ingress-staging-task"]), "identity.InstanceRole", "no ecs:"),
    Case(_STARTS, _without("ExecutionPolicy", "FetchImage"), "identity.ExecutionRole", "no ecr:BatchGetImage"),
    Case(_STARTS, _without("ExecutionPolicy", "EnterRegistry"), "identity.ExecutionRole", "GetAuthorizationToken"),
    Case(_STARTS, _without("ExecutionPolicy", "WriteLog"), "identity.ExecutionRole", "no logs:PutLogEvents"),
    Case(_STARTS, _grant("ExecutionPolicy", "s3:GetObject"), "identity.ExecutionPolicy", "s3:GetObject"),
    *(
        Case(_SURPLUS_BOUND, _grant("DeployerBoundary", action), "bootstrap.DeployerBoundary", action)
        for action in ("*", "iam:*", "iam:PutRolePolicy", "sts:AssumeRole", "ssm:Get*", "s3:GetObjectVersion")
    ),
    Case(_STARTS, _without("Boundary", "Logs"), "identity.ExecutionRole", "no logs:CreateLogStream"),
    Case(_MADE, _grant("TaskReadsRegistry", "sts:AssumeRole", _SURPLUS), "client_registry.TaskReads", "-other"),
    Case(
        _MADE,
        _set("TaskRole", "RoleName", "mtls-ingress-staging-tasks"),
        "certificate_store.CertificateBucketPolicy",
        "staging-task",
    ),
    Case(_MADE, _set("Boundary", "ManagedPolicyName", "x"), "bootstrap.ExecutionIdentity", "staging-boundary"),
    Case(_RUNS, _one_role_for_both, "workload.TaskDefinition.Properties.ExecutionRoleArn", "the task's own"),
    Case(
        _RUNS,
        lambda templates: templates.properties("AWS::ECS::TaskDefinition").pop("TaskRoleArn"),
        "workload.TaskDefinition.Properties.TaskRoleArn",
    ),
    Case(
        _RUNS,
        lambda templates: templates.properties("AWS::ECS::TaskDefinition").update(ExecutionRoleArn="ecsTaskExecution"),
        "workload.TaskDefinition.Properties.ExecutionRoleArn",
        "ecsTaskExecution",
    ),
    Case(_RUNS, _no_profile, "capacity.LaunchTemplate", "nothing"),
    Case(_RUNS, _profile_by_name, "capacity.LaunchTemplate", "ecsInstanceRole"),
    Case(_RUNS, _set("InstanceProfile", "Roles", []), "capacity.LaunchTemplate"),
    Case(_RUNS, removed("AWS::EC2::LaunchTemplate"), "", "a launch template"),
]
