"""
The names of what is deployed, each made in one place from the environment.

Names are by convention, so that a policy can name a role that another stack
creates, and neither needs the other first. Only the image's name comes from files: it is
the digest of what it is built from.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from stacks.environment import Environment

STACK_TAG: Final = "mtls-ingress:environment"
"""CloudFormation hands a stack's tags to what it makes; by this one policies tell keys, which have no name, apart."""

RoleKind = Literal[
    "task", "execution", "instance", "certificate-admin", "break-glass", "backup", "deploy", "cloudformation"
]


class Output(StrEnum):
    """What one stack offers and others take as the parameter of the same name."""

    VPC_ID = "VpcId"
    PUBLIC_SUBNET_IDS = "PublicSubnetIds"
    PRIVATE_SUBNET_IDS = "PrivateSubnetIds"
    S3_ENDPOINT_ID = "S3EndpointId"
    DYNAMODB_ENDPOINT_ID = "DynamoDbEndpointId"
    TASK_ROLE_NAME = "TaskRoleName"
    TASK_ROLE_ARN = "TaskRoleArn"
    EXECUTION_ROLE_ARN = "ExecutionRoleArn"
    CERTIFICATE_ADMIN_ROLE_NAME = "CertificateAdminRoleName"
    CERTIFICATE_ADMIN_ROLE_ARN = "CertificateAdminRoleArn"
    BREAK_GLASS_ROLE_NAME = "BreakGlassRoleName"
    BREAK_GLASS_ROLE_ARN = "BreakGlassRoleArn"
    INSTANCE_PROFILE_ARN = "InstanceProfileArn"
    CERTIFICATE_BUCKET_NAME = "CertificateBucketName"
    CERTIFICATE_KEY_ARN = "CertificateKeyArn"
    LOG_BUCKET_NAME = "LogBucketName"
    CLIENT_REGISTRY_TABLE_NAME = "ClientRegistryTableName"
    CLIENT_REGISTRY_KEY_ARN = "ClientRegistryKeyArn"
    REPOSITORY_URI = "RepositoryUri"
    REPOSITORY_KEY_ARN = "RepositoryKeyArn"
    LOAD_BALANCER_NAME = "LoadBalancerName"
    LOAD_BALANCER_DNS_NAME = "LoadBalancerDnsName"
    LOAD_BALANCER_ZONE_ID = "LoadBalancerZoneId"
    INSTANCE_SECURITY_GROUP_ID = "InstanceSecurityGroupId"
    CLUSTER_NAME = "ClusterName"
    CAPACITY_PROVIDER_NAME = "CapacityProviderName"
    AUTO_SCALING_GROUP_NAME = "AutoScalingGroupName"
    ALARM_TOPIC_ARN = "AlarmTopicArn"
    ALARM_KEY_ARN = "AlarmKeyArn"
    SERVICE_LOG_GROUP_NAME = "ServiceLogGroupName"
    LOG_KEY_ARN = "LogKeyArn"
    TRAIL_KEY_ARN = "TrailKeyArn"
    SERVICE_NAME = "ServiceName"


class OperatorParameter(StrEnum):
    """What no stack offers: the deployer finds it out and hands it in."""

    IMAGE_DIGEST = "ImageDigest"


def stack_name(environment: Environment, stack: str) -> str:
    """Name a stack, `mtls-ingress-staging-certificate-store`."""
    return f"{_prefix(environment)}-{stack.replace('_', '-')}"


def role_name(environment: Environment, kind: RoleKind) -> str:
    """Name one of the roles, `mtls-ingress-staging-task`."""
    return f"{_prefix(environment)}-{kind}"


def role_arn(environment: Environment, kind: RoleKind) -> str:
    """Spell the ARN of a role, whether it exists yet or not."""
    path, name = role_path(environment), role_name(environment, kind)
    return f"arn:{environment.partition}:iam::{environment.account}:role{path}{name}"


def role_path(environment: Environment) -> str:
    """Give the path that roles and policies of the project lie under, `/mtls-ingress/`."""
    return environment.names.role_path or f"/{environment.project}/"


def boundary_name(environment: Environment) -> str:
    """Name the policy that bounds every role."""
    return f"{_prefix(environment)}-boundary"


def boundary_arn(environment: Environment) -> str:
    """Spell the ARN of the policy that bounds every role: the operator's own, or ours, whether it exists yet or not."""
    if environment.deployer.permissions_boundary is not None:
        return environment.deployer.permissions_boundary
    path, name = role_path(environment), boundary_name(environment)
    return f"arn:{environment.partition}:iam::{environment.account}:policy{path}{name}"


def deployer_boundary_arn(environment: Environment) -> str:
    """Spell the ARN of the policy that bounds the roles of a deployment, whether it exists yet or not."""
    if environment.deployer.permissions_boundary is not None:
        return environment.deployer.permissions_boundary
    path, name = role_path(environment), deployer_boundary_name(environment)
    return f"arn:{environment.partition}:iam::{environment.account}:policy{path}{name}"


def deployer_boundary_name(environment: Environment) -> str:
    """Name the policy that bounds the roles of a deployment, which must do more than any that serves."""
    return f"{_prefix(environment)}-deployer-boundary"


def stack_tags(environment: Environment) -> dict[str, str]:
    """Give the tags of every stack: the operator's, and the one that policies tell our resources by."""
    return {**environment.tags, STACK_TAG: _prefix(environment)}


def certificate_bucket(environment: Environment) -> str:
    """Name the bucket of the server's certificate and key; account and region make it the world's only one."""
    return environment.names.certificate_bucket or _bucket(environment, "certificate")


def log_bucket(environment: Environment) -> str:
    """Name the bucket that access logs are delivered to."""
    return environment.names.log_bucket or _bucket(environment, "logs")


def trail_bucket(environment: Environment) -> str:
    """Name the bucket that the audit trail is delivered to."""
    return environment.names.trail_bucket or _bucket(environment, "trail")


def trail_name(environment: Environment) -> str:
    """Name the audit trail; its ARN stands in the policies of its bucket and key before it exists."""
    return f"{_prefix(environment)}-audit"


def client_registry_table(environment: Environment) -> str:
    """Name the table of enrolled clients."""
    return environment.names.client_registry or f"{_prefix(environment)}-client-registry"


def backup_vault(environment: Environment) -> str:
    """Name the vault of the registry's backups; AWS Backup takes 50 letters, digits and hyphens (CreateBackupVault)."""
    return f"{_prefix(environment)}-registry"


def repository(environment: Environment) -> str:
    """Name the image repository."""
    return environment.names.repository or _prefix(environment)


def service_name(environment: Environment) -> str:
    """Name the ECS service."""
    return f"{_prefix(environment)}-service"


def service_log_group(environment: Environment) -> str:
    """Name the log group the tasks write to."""
    return f"/{environment.project}/{environment.name}/service"


def topic_name(environment: Environment) -> str:
    """Name the topic alarms are sent to."""
    return f"{_prefix(environment)}-alarms"


def key_alias(environment: Environment, stack: str) -> str:
    """Name the alias of a stack's encryption key, `alias/mtls-ingress-staging-certificate-store`."""
    return f"alias/{stack_name(environment, stack)}"


def image_tree_digest(root: Path) -> str:
    """
    Digest the working tree's `service/` into the SHA-256, 64 hexadecimal digits, its image goes by.

    Args:
        root: The project's directory, in which `service` lies. Compiled leftovers do not count, nor do the wheels
            of `make wheels`: which ones are installed, to the byte, is in the lock.
    """
    digest = hashlib.sha256()
    files = {path.relative_to(root): path for path in (root / "service").rglob("*") if path.is_file()}
    for name, path in sorted((name.as_posix(), path) for name, path in files.items() if not _is_left_out(name)):
        content = path.read_bytes()
        digest.update(f"{len(content)} {name}\n".encode() + content)
    return digest.hexdigest()


def _is_left_out(name: Path) -> bool:
    return "__pycache__" in name.parts or name.parts[:2] == ("service", "wheels")


def image_tag(tree_digest: str) -> str:
    """Tag an image by the tree it was built from."""
    return f"tree-{tree_digest[:16]}"


def _bucket(environment: Environment, what: str) -> str:
    # Buckets share one namespace with the whole world; account and region make the name ours alone.
    return f"{_prefix(environment)}-{what}-{environment.account}-{environment.region}"


def _prefix(environment: Environment) -> str:
    return f"{environment.project}-{environment.name}"
