"""
The most that roles of ours may ever do, whatever is attached to them: permissions boundaries.

A boundary grants nothing; it bounds what grants can reach (IAM guide,
"Permissions boundaries for IAM entities"). One is for the roles that serve,
which no grant can give a word in IAM, in CloudFormation or in another role;
the other for the two roles of a deployment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from awacs import (
    backup,
    dynamodb,
    ec2messages,
    ecr,
    ecs,
    kms,
    logs,
    s3,
    ssm,
    ssmmessages,
    tag,
)
from awacs.aws import Action, Bool

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import PolicyDocument, Statement, allow, arn, policy

_BY_NAME: Final = frozenset({"dynamodb", "iam", "kms", "s3", "ssm"})
"""Services in which one verb reads settings and secrets alike; their actions are named one by one."""
_VERB: Final = re.compile(r"[A-Z][a-z]+")


def serving(environment: Environment) -> PolicyDocument:
    """Bound the roles that serve: each action that one of them is granted, on what belongs to the environment."""
    return policy(*_data(environment), *_backups(environment), *_hosts(environment))


def deploying(documents: Iterable[PolicyDocument]) -> PolicyDocument:
    """
    Bound the two roles of a deployment by what they are granted.

    A policy holds 6,144 characters and the grants are four times that, so
    their actions are summed up by their verbs, `ec2:Describe*`, except where a
    verb would reach what is stored.
    """
    actions = sorted({_summed_up(action) for document in documents for action in _allowed(document)})
    return policy(allow("WhatADeploymentDoes", [Action(*action.split(":")) for action in actions], "*"))


def _allowed(document: PolicyDocument) -> Iterable[str]:
    statements: Any = document["Statement"]  # of our own making, read again
    for statement in statements:
        if statement["Effect"] == "Allow":
            yield from statement["Action"]


def _summed_up(action: str) -> str:
    service, name = action.split(":")
    verb = _VERB.match(name)
    return action if service in _BY_NAME or verb is None else f"{service}:{verb[0]}*"


def _data(environment: Environment) -> tuple[Statement, ...]:
    bucket = f"arn:{environment.partition}:s3:::{naming.certificate_bucket(environment)}"
    keys = arn(environment, "kms", "key/*")
    return (
        allow(
            "Objects",
            [s3.GetObject, s3.GetObjectVersion, s3.PutObject, s3.DeleteObject, s3.DeleteObjectVersion],
            f"{bucket}/*",
        ),
        allow(
            "Bucket",
            [
                s3.ListBucket,
                s3.ListBucketVersions,
                s3.GetBucketPolicy,
                s3.PutBucketPolicy,
                s3.DeleteBucketPolicy,
                s3.GetBucketVersioning,
                s3.PutBucketVersioning,
                s3.GetLifecycleConfiguration,
                s3.PutLifecycleConfiguration,
            ],
            bucket,
        ),
        allow(
            "Keys",
            [
                kms.Decrypt,
                kms.GenerateDataKey,
                kms.DescribeKey,
                kms.GetKeyPolicy,
                kms.PutKeyPolicy,
                kms.EnableKey,
                kms.CancelKeyDeletion,
            ],
            keys,
        ),
        allow("Registry", [dynamodb.GetItem], _table(environment)),
    )


def _backups(environment: Environment) -> tuple[Statement, ...]:
    """Bound the role of AWS Backup, where there are backups."""
    if environment.registry.backup_days is None:
        return ()
    vault = arn(environment, "backup", f"backup-vault:{naming.backup_vault(environment)}")
    table = [dynamodb.DescribeTable, dynamodb.ListTagsOfResource, dynamodb.StartAwsBackupJob]
    for_aws = Bool({"kms:GrantIsForAWSResource": True})
    return (
        allow("BackUpRegistry", table, _table(environment)),
        allow("Vault", [backup.DescribeBackupVault], vault),
        allow("KeysForBackups", [kms.CreateGrant], arn(environment, "kms", "key/*"), when=[for_aws]),
        allow("FindByTag", [tag.GetResources], "*"),
    )


def _table(environment: Environment) -> str:
    return arn(environment, "dynamodb", f"table/{naming.client_registry_table(environment)}")


def _hosts(environment: Environment) -> tuple[Statement, ...]:
    capacity = naming.stack_name(environment, "capacity")
    return (
        allow(
            "Images",
            [ecr.BatchCheckLayerAvailability, ecr.BatchGetImage, ecr.GetDownloadUrlForLayer],
            arn(environment, "ecr", f"repository/{naming.repository(environment)}"),
        ),
        allow(
            "Logs",
            [logs.CreateLogStream, logs.PutLogEvents],
            arn(environment, "logs", f"log-group:{naming.service_log_group(environment)}:*"),
        ),
        allow(
            "Cluster",
            [
                ecs.RegisterContainerInstance,
                ecs.DeregisterContainerInstance,
                ecs.Poll,
                ecs.StartTelemetrySession,
                ecs.UpdateContainerInstancesState,
                ecs.PutSystemLogEvents,
                ecs.SubmitAttachmentStateChanges,
                ecs.SubmitContainerStateChange,
                ecs.SubmitTaskStateChange,
            ],
            [arn(environment, "ecs", f"{kind}/{capacity}-*") for kind in ("cluster", "container-instance")],
        ),
        # What the agents of ECS and of Systems Manager do (AWS managed policy AmazonSSMManagedInstanceCore) less the
        # reading of parameters: nothing of ours is in one, and others keep their secrets there.
        allow(
            "BearsNoResource",
            [
                ecr.GetAuthorizationToken,
                ecs.DiscoverPollEndpoint,
                ssm.DescribeAssociation,
                ssm.DescribeDocument,
                ssm.GetDeployablePatchSnapshotForInstance,
                ssm.GetDocument,
                ssm.GetManifest,
                ssm.ListAssociations,
                ssm.ListInstanceAssociations,
                ssm.PutComplianceItems,
                ssm.PutConfigurePackageResult,
                ssm.PutInventory,
                ssm.UpdateAssociationStatus,
                ssm.UpdateInstanceAssociationStatus,
                ssm.UpdateInstanceInformation,
                ssmmessages.CreateControlChannel,
                ssmmessages.CreateDataChannel,
                ssmmessages.OpenControlChannel,
                ssmmessages.OpenDataChannel,
                ec2messages.AcknowledgeMessage,
                ec2messages.DeleteMessage,
                ec2messages.FailMessage,
                ec2messages.GetEndpoint,
                ec2messages.GetMessages,
                ec2messages.SendReply,
            ],
            "*",
        ),
    )
