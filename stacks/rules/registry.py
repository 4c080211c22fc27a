"""
The rules on the client registry: grown, gone back in, backed up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.contract import CLIENT_INDEX, RegistryAttribute
from stacks.rules.estate import Estate, Fault, Resource
from stacks.rules.guarded import KEY, TABLE, registries
from stacks.rules.principals import roles
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.values import listed, number

_DYNAMODB_CONTROLS: Final = "Security Hub user guide, DynamoDB controls"


@rule_of(
    TABLE,
    requirement="DynamoDB.1",
    why="a burst of clients is refused for its number",
    source=_DYNAMODB_CONTROLS,
)
def every_table_grows_with_its_load(table: Resource) -> Iterator[Fault]:
    """Every table is billed by request, and so has no number of reads to run out of."""
    if table.get("BillingMode") != "PAY_PER_REQUEST":
        yield table.fault("BillingMode", found=table.get("BillingMode"), expected='"PAY_PER_REQUEST"')


@rule_of(
    TABLE,
    requirement="DynamoDB.2",
    why="a mistake in the registry cannot be undone",
    source=_DYNAMODB_CONTROLS,
)
def every_table_can_be_gone_back_in(table: Resource) -> Iterator[Fault]:
    """Every table can be restored to any second of the last weeks."""
    path = "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled"
    if table.get(path) is not True:
        yield table.fault(path, found=table.get(path), expected="true")


@rule_of(
    TABLE,
    requirement="DynamoDB.6",
    why="one call deletes every client",
    source=_DYNAMODB_CONTROLS,
)
def every_table_is_protected_from_deletion(table: Resource) -> Iterator[Fault]:
    """Every table is protected from deletion, in every environment, and no entry of it ends by itself."""
    if table.get("DeletionProtectionEnabled") is not True:
        found = table.get("DeletionProtectionEnabled")
        yield table.fault("DeletionProtectionEnabled", found=found, expected="true")
    if table.get("TimeToLiveSpecification.Enabled") not in {None, False}:
        found = table.get("TimeToLiveSpecification")
        yield table.fault("TimeToLiveSpecification", found=found, expected="none: what is revoked stays to be seen")


@rule_of(
    TABLE,
    requirement="DYNAMODB_TABLE_ENCRYPTED_KMS",
    why="who reads the registry is decided by one policy where two should",
    source="AWS Config, dynamodb-table-encrypted-kms",
)
def every_table_is_encrypted_with_our_key(table: Resource) -> Iterator[Fault]:
    """Every table is encrypted with a key of the templates, by its ARN."""
    encryption = table.get("SSESpecification")
    encryption = encryption if isinstance(encryption, dict) else {}
    if encryption.get("SSEEnabled") is not True or encryption.get("SSEType") != "KMS":
        yield table.fault("SSESpecification", found=encryption or None, expected="SSEEnabled true, SSEType KMS")
    key = encryption.get("KMSMasterKeyId")
    found = table.estate.called(key, KEY)
    if found is None or key != table.estate.arn(found):
        yield table.fault("SSESpecification.KMSMasterKeyId", found=key, expected="the ARN of a key of the templates")


@rule(
    "K13",
    why="the service asks by names the table does not have, and finds nobody",
    source="service/contract.py, the client registry",
)
def the_registry_is_asked_as_it_is_made(estate: Estate) -> Iterator[Fault]:
    """The registry has the key the service looks clients up by, and the index that lists a client's entries whole."""
    for table in [each.resource for each in registries(estate)]:
        if _schema(table.get("KeySchema")) != {FINGERPRINT: "HASH"}:
            yield table.fault("KeySchema", found=table.get("KeySchema"), expected=f"{FINGERPRINT} as HASH alone")
        indexes = [
            index for _, index in table.tables("GlobalSecondaryIndexes") if index.get("IndexName") == CLIENT_INDEX
        ]
        for index in indexes or [{}]:
            if _schema(index.get("KeySchema")) != {CLIENT: "HASH", FINGERPRINT: "RANGE"}:
                expected = f"{CLIENT_INDEX} with {CLIENT} as HASH and {FINGERPRINT} as RANGE"
                yield table.fault("GlobalSecondaryIndexes", found=index.get("KeySchema"), expected=expected)
            if index.get("Projection") != {"ProjectionType": "ALL"}:
                yield table.fault(
                    "GlobalSecondaryIndexes", found=index.get("Projection"), expected="ProjectionType ALL"
                )
        for _, attribute in table.tables("AttributeDefinitions"):
            if attribute.get("AttributeName") in {FINGERPRINT, CLIENT} and attribute.get("AttributeType") != "S":
                yield table.fault("AttributeDefinitions", found=attribute, expected="AttributeType S")


FINGERPRINT: Final = RegistryAttribute.FINGERPRINT.value
CLIENT: Final = RegistryAttribute.CLIENT.value


def _schema(value: object) -> dict[object, object]:
    return {each.get("AttributeName"): each.get("KeyType") for each in listed(value) if isinstance(each, dict)}


@rule(
    "DynamoDB.4",
    why="a backup plan that backs nothing up is found out when it is needed",
    source="Security Hub DynamoDB.4; AWS Backup guide",
)
def a_backup_plan_backs_the_registry_up(estate: Estate) -> Iterator[Fault]:
    """A backup plan, where there is one, backs the registry up, by a role AWS Backup can take, into a vault of ours."""
    for plan in estate.of_type("AWS::Backup::BackupPlan"):
        selections = [
            each
            for each in estate.of_type("AWS::Backup::BackupSelection")
            if estate.called(each.get("BackupPlanId"), plan.type) == plan
        ]
        selected = {arn for each in selections for arn in each.texts("BackupSelection.Resources")}
        for table in registries(estate):
            if table.arn not in selected:
                yield plan.fault("BackupPlan", found=sorted(selected) or None, expected=f"{table.arn} selected")
        for selection in selections:
            yield from _backup_role_faults(selection)
        yield from _backup_rule_faults(plan)


def _backup_role_faults(selection: Resource) -> Iterator[Fault]:
    path = "BackupSelection.IamRoleArn"
    taken = [role.arn for role in roles(selection.estate) if "backup.amazonaws.com" in role.services]
    if selection.get(path) not in taken:
        yield selection.fault(path, found=selection.get(path), expected="a role that backup.amazonaws.com may take")


def _backup_rule_faults(plan: Resource) -> Iterator[Fault]:
    parts = plan.tables("BackupPlan.BackupPlanRule")
    if not parts:
        yield plan.fault("BackupPlan.BackupPlanRule", found=None, expected="a rule")
    for path, part in parts:
        vault = plan.estate.called(part.get("TargetBackupVault"), "AWS::Backup::BackupVault")
        if vault is None or plan.estate.called(vault.get("EncryptionKeyArn"), KEY) is None:
            found, expected = part.get("TargetBackupVault"), "a vault of the templates with a key of theirs"
            yield plan.fault(f"{path}.TargetBackupVault", found=found, expected=expected)
        if not part.get("ScheduleExpression"):
            yield plan.fault(f"{path}.ScheduleExpression", found=None, expected="when")
        lifecycle = part.get("Lifecycle")
        if not isinstance(lifecycle, dict) or not (number(lifecycle.get("DeleteAfterDays")) or 0) > 0:
            yield plan.fault(f"{path}.Lifecycle.DeleteAfterDays", found=lifecycle, expected="an end to each backup")


RULES: Final[tuple[Rule, ...]] = (
    every_table_grows_with_its_load,
    every_table_can_be_gone_back_in,
    every_table_is_protected_from_deletion,
    every_table_is_encrypted_with_our_key,
    the_registry_is_asked_as_it_is_made,
    a_backup_plan_backs_the_registry_up,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
