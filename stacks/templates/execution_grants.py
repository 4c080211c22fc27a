"""
What CloudFormation may do for an environment: one policy for each part of it, and what it may never do.

Every action is there because a resource type's handlers demand it (the
`handlers` of CloudFormation's resource schemas; a test compares). What has a
name is granted by the environment's prefix, what AWS draws an id for by the
tag that CloudFormation puts on it, and only what bears no resource at all on
`*`. Changing what one's own fences are made of is denied whatever else allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from awacs import iam, kms
from awacs.aws import Action, ArnLike, ForAnyValueStringEquals, StringEquals, StringNotEquals

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import PolicyDocument, Statement, allow, policy, withhold
from stacks.templates.execution_network import capacity, ingress, network
from stacks.templates.execution_stores import audit, keys, observability, stores
from stacks.templates.execution_words import bucket, of, through_services

SERVICE_LINKED_ROLES: Final = (
    "ecs.amazonaws.com",
    "autoscaling.amazonaws.com",
    "elasticloadbalancing.amazonaws.com",
    "ecs.application-autoscaling.amazonaws.com",
)
"""The services that act by a role of their own here; a new account lacks them (ECS guide, service-linked roles)."""
_LOG_DELIVERY: Final = "delivery.logs.amazonaws.com"
_PASSED: Final[Mapping[naming.RoleKind, str]] = {
    "task": "ecs-tasks.amazonaws.com",
    "execution": "ecs-tasks.amazonaws.com",
    "instance": "ec2.amazonaws.com",
    "backup": "backup.amazonaws.com",
}
"""Which service a role is handed to; the others are handed to none."""
_BY_BOOTSTRAP: Final = frozenset({"deploy", "cloudformation"})


def documents(environment: Environment) -> dict[str, PolicyDocument]:
    """Give the policies of CloudFormation's role by their logical ids; IAM lets each have 6,144 characters."""
    return {
        "ExecutionNetwork": policy(*network(environment)),
        "ExecutionCapacity": policy(*capacity(environment)),
        "ExecutionIngress": policy(*ingress(environment)),
        "ExecutionStores": policy(*stores(environment), *keys(environment)),
        "ExecutionObservability": policy(*observability(environment), *audit(environment)),
        "ExecutionIdentity": policy(*_identity(environment)),
        "ExecutionDenials": policy(*denials(environment)),
    }


def made_roles(environment: Environment) -> list[str]:
    """Give the ARNs of the roles that stacks make; those of the bootstrap stack are not among them."""
    return [naming.role_arn(environment, kind) for kind in _made(environment)]


def _made(environment: Environment) -> list[naming.RoleKind]:
    absent = _BY_BOOTSTRAP if environment.registry.backup_days is not None else {*_BY_BOOTSTRAP, "backup"}
    return [kind for kind in get_args(naming.RoleKind) if kind not in absent]


def denials(environment: Environment) -> tuple[Statement, ...]:
    """Say what CloudFormation never does here, whatever else allows it."""
    return (
        withhold(
            "NeverTouchObjects",
            [Action("s3", f"{verb}Object*") for verb in ("Get", "Put", "Delete", "Restore", "Replicate")],
            f"{bucket(environment, naming.certificate_bucket(environment))}/*",
        ),
        # By alias: the key's id is AWS's to draw. The two say the same from two sides, should the alias be moved.
        withhold(
            "NeverUseTheCertificateKey",
            of(kms, "Decrypt Encrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext"),
            "*",
            when=[ForAnyValueStringEquals({"kms:ResourceAliases": naming.key_alias(environment, "certificate_store")})],
        ),
        withhold(
            "NeverDecryptButForTheTable",
            of(kms, "Decrypt ReEncryptFrom GenerateDataKey GenerateDataKeyPair"),
            "*",
            when=[StringNotEquals({"kms:ViaService": through_services(environment)})],
        ),
        withhold("NeverTakeOffABoundary", [iam.DeleteRolePermissionsBoundary], "*"),
        withhold(
            "NeverBoundOtherwise",
            of(iam, "CreateRole PutRolePermissionsBoundary"),
            "*",
            when=[StringNotEquals({"iam:PermissionsBoundary": naming.boundary_arn(environment)})],
        ),
        withhold("NeverChangeOwnFences", [Action("iam", f"{verb}*") for verb in _IAM_WRITES], _fences(environment)),
        withhold(
            "NeverChangeWhoIsTrusted", [Action("iam", f"*{kind}Provider*") for kind in ("OpenIDConnect", "SAML")], "*"
        ),
    )


_IAM_WRITES: Final = (
    *("Add", "Attach", "Create", "Delete", "Detach", "Pass", "Put", "Remove", "Set", "Tag", "Untag", "Update"),
)


def _fences(environment: Environment) -> list[str]:
    return [
        *(naming.role_arn(environment, kind) for kind in ("deploy", "cloudformation")),
        naming.boundary_arn(environment),
        naming.deployer_boundary_arn(environment),
        _policy(environment, naming.stack_name(environment, "bootstrap") + "-*"),
    ]


def _identity(environment: Environment) -> tuple[Statement, ...]:
    roles = made_roles(environment)
    policies = _policy(environment, naming.stack_name(environment, "*"))
    profiles = _global(environment, f"instance-profile{naming.role_path(environment)}", "identity")
    of_aws = [
        f"arn:{environment.partition}:iam::aws:policy/{name}"
        for name in ("AmazonSSMManagedInstanceCore", "service-role/AWSBackupServiceRolePolicyForBackup")
    ]
    bounded = StringEquals({"iam:PermissionsBoundary": naming.boundary_arn(environment)})
    linked = f"arn:{environment.partition}:iam::{environment.account}:role/aws-service-role/*"
    return (
        allow("MakeBoundedRoles", of(iam, "CreateRole PutRolePermissionsBoundary"), roles, when=[bounded]),
        allow(
            "GrantToBoundedRoles",
            of(iam, "AttachRolePolicy DetachRolePolicy"),
            roles,
            when=[bounded, ArnLike({"iam:PolicyARN": [policies, *of_aws]})],
        ),
        allow(
            "KeepRoles",
            of(
                iam,
                "DeleteRole GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies TagRole UntagRole "
                "UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            ),
            roles,
        ),
        allow(
            "KeepPolicies",
            of(
                iam,
                "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion "
                "ListEntitiesForPolicy ListPolicyVersions",
            ),
            policies,
        ),
        allow(
            "KeepInstanceProfiles",
            of(
                iam,
                "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
                "RemoveRoleFromInstanceProfile",
            ),
            profiles,
        ),
        *_passing(environment),
        allow(
            "MakeServiceLinkedRoles",
            [iam.CreateServiceLinkedRole],
            linked,
            when=[StringEquals({"iam:AWSServiceName": [*SERVICE_LINKED_ROLES, _LOG_DELIVERY]})],
        ),
    )


def _passing(environment: Environment) -> tuple[Statement, ...]:
    """Hand each role to its own service alone."""
    return tuple(
        allow(
            f"Pass{kind.capitalize()}Role",
            [iam.PassRole],
            naming.role_arn(environment, kind),
            when=[StringEquals({"iam:PassedToService": service})],
        )
        for kind, service in _PASSED.items()
        if kind in _made(environment)
    )


def _policy(environment: Environment, name: str) -> str:
    return f"arn:{environment.partition}:iam::{environment.account}:policy{naming.role_path(environment)}{name}"


def _global(environment: Environment, kind: str, stack: str) -> str:
    return f"arn:{environment.partition}:iam::{environment.account}:{kind}{naming.stack_name(environment, stack)}-*"
