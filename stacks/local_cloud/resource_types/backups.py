"""Rows of AWS Backup: vaults, plans, and what a plan selects."""

from __future__ import annotations

from typing import Any

from botocore.model import StructureShape

from stacks.local_cloud.resource_types.calls import arguments, in_shape_of, unless_gone
from stacks.local_cloud.row import Properties, Resource, Row, Setting

_GONE = "ResourceNotFoundException"

# -- vaults ----------------------------------------------------------------------


def _create_vault(resource: Resource) -> str:
    backup = resource.client("backup")
    given = arguments(backup, "create_backup_vault", resource.properties, "BackupVaultName", "EncryptionKeyArn")
    backup.create_backup_vault(**given)
    return str(given["BackupVaultName"])


def _set_lock(resource: Resource) -> None:
    backup, name = resource.client("backup"), resource.physical_id
    carried = ("MinRetentionDays", "MaxRetentionDays", "ChangeableForDays")
    lock = resource.properties.branch("LockConfiguration")
    if given := arguments(backup, "put_backup_vault_lock_configuration", lock, *carried):
        backup.put_backup_vault_lock_configuration(BackupVaultName=name, **given)
    elif resource.previous is not None:
        backup.delete_backup_vault_lock_configuration(BackupVaultName=name)


def _vault_arn(resource: Resource) -> str:
    return str(resource.client("backup").describe_backup_vault(BackupVaultName=resource.physical_id)["BackupVaultArn"])


def _set_vault_tags(resource: Resource) -> None:
    _set_tags(resource, _vault_arn(resource), "BackupVaultTags")


def _set_tags(resource: Resource, arn: str, name: str) -> None:
    """Bring the tags to the template's, which are a map here, and the stack's."""
    backup, wanted = resource.client("backup"), {**resource.stack.tags, **resource.properties.take(name, {})}
    worn = backup.list_tags(ResourceArn=arn)["Tags"]
    if surplus := [key for key in worn if key not in wanted]:
        backup.untag_resource(ResourceArn=arn, TagKeyList=surplus)
    if wanted:
        backup.tag_resource(ResourceArn=arn, Tags=wanted)


def _delete_vault(resource: Resource) -> None:
    with unless_gone(_GONE):
        resource.client("backup").delete_backup_vault(BackupVaultName=resource.physical_id)


# -- plans -------------------------------------------------------------------------


def _create_plan(resource: Resource) -> str:
    backup = resource.client("backup")
    return str(backup.create_backup_plan(BackupPlan=_plan(resource))["BackupPlanId"])


def _plan(resource: Resource) -> dict[str, Any]:
    backup, given = resource.client("backup"), resource.properties.branch("BackupPlan")
    shape = backup.meta.service_model.shape_for("BackupPlanInput")
    rules = [_rule(rule, shape.members["Rules"].member) for rule in given.branches("BackupPlanRule")]
    for rule in rules:
        # A plan whose vault is not there is refused (AWS Backup API Reference, CreateBackupPlan).
        backup.describe_backup_vault(BackupVaultName=rule["TargetBackupVaultName"])
    return {**in_shape_of(given, shape), "Rules": rules}


def _rule(rule: Properties, shape: StructureShape) -> dict[str, Any]:
    return {**in_shape_of(rule, shape), **rule.pick(TargetBackupVaultName="TargetBackupVault")}


def _set_plan(resource: Resource) -> None:
    if resource.previous is not None:
        resource.client("backup").update_backup_plan(BackupPlanId=resource.physical_id, BackupPlan=_plan(resource))


def _plan_fact(resource: Resource, name: str) -> str:
    return str(resource.client("backup").get_backup_plan(BackupPlanId=resource.physical_id)[name])


def _set_plan_tags(resource: Resource) -> None:
    _set_tags(resource, _plan_fact(resource, "BackupPlanArn"), "BackupPlanTags")


def _delete_plan(resource: Resource) -> None:
    with unless_gone(_GONE):
        resource.client("backup").delete_backup_plan(BackupPlanId=resource.physical_id)


# -- selections ----------------------------------------------------------------------


def _create_selection(resource: Resource) -> str:
    backup = resource.client("backup")
    given = arguments(backup, "create_backup_selection", resource.properties, "BackupPlanId", "BackupSelection")
    return str(backup.create_backup_selection(**given)["SelectionId"])


def _delete_selection(resource: Resource) -> None:
    plan = resource.properties.require("BackupPlanId")
    with unless_gone(_GONE):
        resource.client("backup").delete_backup_selection(BackupPlanId=plan, SelectionId=resource.physical_id)


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::Backup::BackupVault",
        create=_create_vault,
        delete=_delete_vault,
        settings=(Setting(("LockConfiguration",), _set_lock), Setting(("BackupVaultTags",), _set_vault_tags)),
        attributes={"BackupVaultArn": _vault_arn, "BackupVaultName": lambda resource: resource.physical_id},
    ),
    Row(
        type="AWS::Backup::BackupPlan",
        create=_create_plan,
        delete=_delete_plan,
        settings=(Setting(("BackupPlan",), _set_plan), Setting(("BackupPlanTags",), _set_plan_tags)),
        attributes={
            "BackupPlanArn": lambda resource: _plan_fact(resource, "BackupPlanArn"),
            "BackupPlanId": lambda resource: resource.physical_id,
            "VersionId": lambda resource: _plan_fact(resource, "VersionId"),
        },
    ),
    Row(
        type="AWS::Backup::BackupSelection",
        create=_create_selection,
        delete=_delete_selection,
        attributes={
            "BackupPlanId": lambda resource: str(resource.properties.require("BackupPlanId")),
            "SelectionId": lambda resource: resource.physical_id,
        },
    ),
)
