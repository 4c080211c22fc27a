"""Who may become a role."""

from __future__ import annotations

from typing import Any

from stacks.rules import trust
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, removed

ACCOUNT = "111122223333"
_GITHUB = "token.actions.githubusercontent.com"


def _role(templates: Templates, logical_id: str) -> Document:
    found = next(body for body in templates.bodies.values() if logical_id in body["Resources"])
    properties: Document = found["Resources"][logical_id]["Properties"]
    return properties


def _trust(logical_id: str, path: str, value: object) -> Spoil:
    """Set something in the first statement of a role's trust policy; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        found: Any = _role(templates, logical_id)["AssumeRolePolicyDocument"]["Statement"][0]
        *way, last = path.split("/")
        for part in way:
            found = found[part]
        if value is ...:
            del found[last]
        else:
            found[last] = value

    return spoil


def _also(logical_id: str, statement: Document) -> Spoil:
    """Add a statement to a role's trust policy."""
    return lambda templates: _role(templates, logical_id)["AssumeRolePolicyDocument"]["Statement"].append(statement)


def _property(logical_id: str, name: str, value: object) -> Spoil:
    return lambda templates: _role(templates, logical_id).__setitem__(name, value)


def _allow(principal: object, action: str = "sts:AssumeRole") -> Document:
    return {"Effect": "Allow", "Principal": principal, "Action": action}


def _workflows(**conditions: Document) -> Document:
    provider = {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{_GITHUB}"}
    return _allow(provider, "sts:AssumeRoleWithWebIdentity") | {"Condition": conditions}


AUDIENCE = {f"{_GITHUB}:aud": "sts.amazonaws.com"}
SUBJECT = {f"{_GITHUB}:sub": "repo:example/ingress:environment:staging"}


def _any(*conditions: tuple[str, Document]) -> Spoil:
    """Let workflows become who deploys, told by these conditions."""
    return _also("DeployRole", _workflows(**dict(conditions)))


def _provider(**properties: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies["bootstrap"]["Resources"]["Provider"] = {
            "Type": "AWS::IAM::OIDCProvider",
            "Properties": {"Url": f"https://{_GITHUB}", "ClientIdList": ["sts.amazonaws.com"]} | properties,
        }

    return spoil


_SOURCE = "Condition/StringEquals/aws:SourceAccount"
_ARN = "Condition/ArnLike/aws:SourceArn"
_TASK = "identity.TaskRole.Properties.AssumeRolePolicyDocument"
_EXECUTION = "identity.ExecutionRole.Properties.AssumeRolePolicyDocument"
_INSTANCE = "identity.InstanceRole.Properties.AssumeRolePolicyDocument"
_STACK = "bootstrap.CloudFormationRole.Properties.AssumeRolePolicyDocument"
_GLASS = "identity.BreakGlassRole.Properties.AssumeRolePolicyDocument"
_DEPLOY = "bootstrap.DeployRole.Properties.AssumeRolePolicyDocument"


def _unmended(templates: Templates) -> None:
    del templates.bodies["certificate_store"]["Resources"]["BreakGlassMendsStore"]


def _roleless(templates: Templates) -> None:
    for definition in templates.resources("AWS::ECS::TaskDefinition"):
        definition["Properties"].pop("TaskRoleArn")
        definition["Properties"].pop("ExecutionRoleArn")


_TASKS = trust.tasks_roles_are_for_tasks_of_ours
_INSTANCES = trust.instances_roles_are_for_instances
_STACKS = trust.cloudformations_role_is_for_cloudformation_of_ours
_BREAKING = trust.glass_is_broken_with_mfa_alone
_WORKFLOWS = trust.workflows_are_told_by_audience_and_subject
_FOUND = trust.the_provider_is_githubs_for_sts
_SHORT = trust.sessions_of_people_are_short
_ALONG = trust.people_bring_their_identity_along

CASES = [
    Case(_TASKS, _roleless, "", "a task definition with a role"),
    Case(_TASKS, _trust("TaskRole", _SOURCE, ...), _TASK, "for another account"),
    Case(_TASKS, _trust("ExecutionRole", _SOURCE, "999999999999"), _EXECUTION, "is shut out"),
    Case(_TASKS, _trust("TaskRole", _SOURCE, [ACCOUNT, "999999999999"]), _TASK, "for another account"),
    Case(_TASKS, _trust("TaskRole", "Condition/ArnLike", {}), _TASK, "without aws:SourceArn"),
    Case(_TASKS, _trust("TaskRole", _ARN, "*"), _TASK, "for tasks of another account"),
    Case(_TASKS, _trust("TaskRole", _ARN, f"arn:aws:ecs:*:{ACCOUNT}:*"), _TASK, "for tasks of another region"),
    Case(_TASKS, _trust("TaskRole", _ARN, f"arn:aws:*:us-east-1:{ACCOUNT}:*"), _TASK, "for what is no task"),
    Case(_TASKS, _trust("TaskRole", _ARN, f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/one"), _TASK, "is shut out"),
    Case(_TASKS, _trust("TaskRole", "Condition", ...), _TASK, "without aws:SourceAccount"),
    Case(
        _TASKS,
        _trust("TaskRole", "Condition", {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}),
        _TASK,
        "without aws:SourceAccount",
    ),
    Case(
        _TASKS, _trust("TaskRole", "Principal", {"Service": "ecs.amazonaws.com"}), _TASK, "ecs.amazonaws.com is let in"
    ),
    Case(
        _TASKS,
        _trust("TaskRole", "Principal", {"Service": ["ecs-tasks.amazonaws.com", "lambda.amazonaws.com"]}),
        _TASK,
        "lambda.amazonaws.com is let in",
    ),
    Case(_TASKS, _also("TaskRole", _allow({"AWS": ACCOUNT})), _TASK, "role/Admin is let in"),
    Case(_TASKS, _also("TaskRole", _allow("*")), _TASK, "everybody is let in"),
    Case(_TASKS, _also("TaskRole", _workflows(StringEquals=AUDIENCE | SUBJECT)), _TASK, "a provider vouches for"),
    Case(_INSTANCES, removed("AWS::IAM::InstanceProfile"), "", "an instance profile with a role"),
    Case(
        _INSTANCES,
        _trust("InstanceRole", "Principal", {"Service": "ecs-tasks.amazonaws.com"}),
        _INSTANCE,
        "ec2.amazonaws.com is shut out",
    ),
    Case(
        _INSTANCES,
        _trust("InstanceRole", "Principal", {"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]}),
        _INSTANCE,
        "ecs-tasks.amazonaws.com is let in",
    ),
    Case(_INSTANCES, _also("InstanceRole", _allow({"AWS": "999999999999"})), _INSTANCE, "999999999999:role/Admin"),
    Case(
        _STACKS,
        _trust("CloudFormationRole", "Principal", {"Service": "codebuild.amazonaws.com"}),
        "",
        "a role that cloudformation.amazonaws.com may take",
    ),
    Case(_STACKS, _trust("CloudFormationRole", "Condition", ...), _STACK, "for another account"),
    Case(_STACKS, _trust("CloudFormationRole", _SOURCE, "999999999999"), _STACK, "is shut out"),
    Case(
        _STACKS,
        _trust("CloudFormationRole", "Condition", {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}),
        _STACK,
        "without aws:SourceAccount",
    ),
    Case(_STACKS, _also("CloudFormationRole", _allow({"AWS": ACCOUNT})), _STACK, "role/Admin is let in"),
    Case(_BREAKING, _unmended, "", "a role for people that may put"),
    Case(_BREAKING, _trust("BreakGlassRole", "Condition", ...), _GLASS, "a session without MFA is let in"),
    Case(
        _BREAKING,
        _trust("BreakGlassRole", "Condition", {"BoolIfExists": {"aws:MultiFactorAuthPresent": True}}),
        _GLASS,
        "no MFA key is let in",
    ),
    Case(
        _BREAKING,
        _trust("BreakGlassRole", "Condition", {"Bool": {"aws:MultiFactorAuthPresent": False}}),
        _GLASS,
        "nobody of this account with MFA",
    ),
    Case(
        _BREAKING,
        _trust("BreakGlassRole", "Condition", {"Null": {"aws:MultiFactorAuthPresent": False}}),
        _GLASS,
        "a session without MFA",
    ),
    Case(
        _BREAKING,
        _trust("BreakGlassRole", "Principal", {"AWS": "arn:aws:iam::999999999999:root"}),
        _GLASS,
        "nobody of this account",
    ),
    Case(_WORKFLOWS, _any(("StringEquals", SUBJECT)), _DEPLOY, f"nothing of {_GITHUB}:aud"),
    Case(_WORKFLOWS, _any(("StringEquals", AUDIENCE)), _DEPLOY, f"nothing of {_GITHUB}:sub"),
    Case(_WORKFLOWS, _any(("StringEquals", AUDIENCE), ("StringLike", SUBJECT)), _DEPLOY, "StringLike"),
    Case(_WORKFLOWS, _any(("StringEqualsIfExists", AUDIENCE | SUBJECT)), _DEPLOY, "StringEqualsIfExists"),
    Case(
        _WORKFLOWS,
        _any(("StringEquals", AUDIENCE), ("ForAllValues:StringEquals", SUBJECT)),
        _DEPLOY,
        "ForAllValues:StringEquals",
    ),
    *(
        Case(_WORKFLOWS, _any(("StringEquals", AUDIENCE | {f"{_GITHUB}:sub": subject})), _DEPLOY, "StringEquals")
        for subject in (
            "repo:example/*",
            "repo:example/ingress:*",
            "repo:example/ingress:ref:refs/heads/main",
            "repo:example/ingress:environment:*",
            ["repo:example/ingress:environment:staging", "repo:example/other:environment:staging"],
        )
    ),
    Case(
        _WORKFLOWS,
        _any(("StringEquals", {f"{_GITHUB}:aud": "https://github.com/example"} | SUBJECT)),
        _DEPLOY,
        "https://github.com/example",
    ),
    Case(
        _WORKFLOWS,
        _also("DeployRole", _workflows(StringEquals=AUDIENCE | SUBJECT) | {"Action": "sts:*"}),
        f"{_DEPLOY}.Statement.1.Action",
        "sts:AssumeRoleWithWebIdentity",
    ),
    Case(
        _WORKFLOWS,
        _also(
            "DeployRole",
            _workflows(StringEquals=AUDIENCE | SUBJECT)
            | {"Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/gitlab.example"}},
        ),
        f"{_DEPLOY}.Statement.1.Principal",
        "gitlab.example",
    ),
    Case(_FOUND, _provider(Url="https://gitlab.example"), "bootstrap.Provider.Properties.Url", "gitlab"),
    Case(_FOUND, _provider(ClientIdList=["sts.amazonaws.com", "x"]), "bootstrap.Provider.Properties.ClientIdList"),
    Case(_SHORT, _property("DeployRole", "MaxSessionDuration", 43200), "bootstrap.DeployRole", "43200"),
    Case(_SHORT, _property("CertificateAdminRole", "MaxSessionDuration", "7200"), "identity.CertificateAdminRole"),
    Case(_SHORT, _property("BreakGlassRole", "MaxSessionDuration", "long"), "identity.BreakGlassRole", "long"),
    Case(_ALONG, _trust("BreakGlassRole", "Action", "sts:AssumeRole"), _GLASS, "no sts:SetSourceIdentity"),
    Case(_ALONG, _trust("DeployRole", "Action", ["sts:AssumeRole", "sts:TagSession"]), _DEPLOY, "no sts:SetSource"),
]
