"""
What an administrator of the account makes once, by their own right, before the first deployment.

The permissions boundaries that every role of ours wears, the role
CloudFormation works as, and the role whoever deploys takes. It is a stack of
its own, for a stack that made the role it is made by could undo its own fences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awacs.aws import ArnEquals, StringEquals
from troposphere import Ref, Template
from troposphere.iam import ManagedPolicy, OIDCProvider, Role

from stacks import naming
from stacks.environment import Environment, GithubProvider
from stacks.permissions import GITHUB_ISSUER, PolicyDocument, policy, trust_account, trust_service, trust_workflows
from stacks.templates import boundaries, deploy_grants, execution_grants
from stacks.templates.joints import begin


def build(environment: Environment) -> Template:
    """Build the template of the boundaries and of the two roles of a deployment."""
    template = begin(environment, "who deploys, and the bounds of every role")
    of_execution = execution_grants.documents(environment)
    of_deployment = deploy_grants.documents(environment)
    fences = []
    if environment.deployer.permissions_boundary is None:
        fences = [
            template.add_resource(_boundary(environment)).title,
            template.add_resource(
                _deployer_boundary(environment, [*of_execution.values(), *of_deployment.values()])
            ).title,
        ]
    if environment.deployer.github_repository and environment.deployer.github_provider is GithubProvider.CREATE:
        fences.append(template.add_resource(_github()).title)
    for role, grants in (
        (_cloudformation_role(environment), of_execution),
        (_deploy_role(environment), of_deployment),
    ):
        # By name, as everything says them: so they must be there first.
        role.DependsOn = fences
        template.add_resource(role)
        _grant(template, role, grants)
    return template


def _boundary(environment: Environment) -> ManagedPolicy:
    return ManagedPolicy(
        "Boundary",
        ManagedPolicyName=naming.boundary_name(environment),
        Path=naming.role_path(environment),
        Description="The most that any role that serves may ever do, whatever is attached to it",
        PolicyDocument=boundaries.serving(environment),
    )


def _deployer_boundary(environment: Environment, grants: list[PolicyDocument]) -> ManagedPolicy:
    return ManagedPolicy(
        "DeployerBoundary",
        ManagedPolicyName=naming.deployer_boundary_name(environment),
        Path=naming.role_path(environment),
        Description="The most that the two roles of a deployment may ever do, whatever is attached to them",
        PolicyDocument=boundaries.deploying(grants),
    )


def _cloudformation_role(environment: Environment) -> Role:
    return Role(
        "CloudFormationRole",
        RoleName=naming.role_name(environment, "cloudformation"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.deployer_boundary_arn(environment),
        Description="What CloudFormation works as; every change set of the environment names it",
        AssumeRolePolicyDocument=trust_service(
            "cloudformation.amazonaws.com", StringEquals({"aws:SourceAccount": environment.account})
        ),
    )


def _deploy_role(environment: Environment) -> Role:
    """Describe the role of whoever deploys: of the account's own, named or not, and of a GitHub environment."""
    deployer = environment.deployer
    # In a condition and not as principals: a role deleted and made anew is still meant.
    named = [ArnEquals({"aws:PrincipalArn": list(deployer.principals)})] if deployer.principals else []
    trust: Any = trust_account(environment, *named)
    if deployer.github_repository is not None:
        subject = f"repo:{deployer.github_repository}:environment:{environment.github_environment}"
        trust = policy(*trust["Statement"], trust_workflows(_github_arn(environment), subject))
    return Role(
        "DeployRole",
        RoleName=naming.role_name(environment, "deploy"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.deployer_boundary_arn(environment),
        Description="Who deploys: hands stacks to CloudFormation, pushes the image, and looks on",
        AssumeRolePolicyDocument=trust,
        MaxSessionDuration=3600,
    )


def _github() -> OIDCProvider:
    """Describe the account's trust in GitHub's tokens; AWS knows GitHub's certificate by itself."""
    return OIDCProvider("GithubProvider", Url=f"https://{GITHUB_ISSUER}", ClientIdList=["sts.amazonaws.com"])


def _github_arn(environment: Environment) -> str:
    return f"arn:{environment.partition}:iam::{environment.account}:oidc-provider/{GITHUB_ISSUER}"


def _grant(template: Template, role: Role, grants: Mapping[str, PolicyDocument]) -> None:
    for title, document in grants.items():
        template.add_resource(ManagedPolicy(title, Path=role.Path, PolicyDocument=document, Roles=[Ref(role)]))
