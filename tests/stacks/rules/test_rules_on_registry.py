"""The client registry: grown, gone back in, backed up."""

from __future__ import annotations

import dataclasses
import json

from stacks.catalog import assemble
from stacks.environment import Registry
from stacks.rules import registry
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Case, Spoil, Templates, put

TABLE = "client_registry.ClientRegistry.Properties"
PLAN = "client_registry.ClientRegistryBackupPlan"
SELECTION = "client_registry.ClientRegistryBackupSelection"


def backed_up(change: Spoil | None = None) -> Spoil:
    """Take the templates of an environment with backups, and change something in them."""

    def spoil(templates: Templates) -> None:
        with_backups = dataclasses.replace(environment(), registry=Registry(backup_days=30))
        entries = assemble(with_backups).every
        templates.bodies.clear()
        templates.bodies.update((entry.name, json.loads(entry.body)) for entry in entries)
        if change is not None:
            change(templates)

    return spoil


def _not_selected(templates: Templates) -> None:
    templates.properties("AWS::Backup::BackupSelection")["BackupSelection"]["Resources"] = ["arn:aws:dynamodb:::x"]


def _never_selected(templates: Templates) -> None:
    templates.remove("AWS::Backup::BackupSelection")


def _of_another_plan(templates: Templates) -> None:
    templates.properties("AWS::Backup::BackupSelection")["BackupPlanId"] = "somebody-elses"


def _by_another_role(templates: Templates) -> None:
    selection = templates.properties("AWS::Backup::BackupSelection")["BackupSelection"]
    selection["IamRoleArn"] = "arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-task"


def rule_having(name: str, value: object) -> Spoil:
    """Set a key of the backup plan's rule; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        rule = templates.properties("AWS::Backup::BackupPlan")["BackupPlan"]["BackupPlanRule"][0]
        if value is ...:
            del rule[name]
        else:
            rule[name] = value

    return spoil


def _no_rules(templates: Templates) -> None:
    templates.properties("AWS::Backup::BackupPlan")["BackupPlan"]["BackupPlanRule"] = []


GROWS = registry.every_table_grows_with_its_load
BACK = registry.every_table_can_be_gone_back_in
PROTECTED = registry.every_table_is_protected_from_deletion
ENCRYPTED = registry.every_table_is_encrypted_with_our_key
ASKED = registry.the_registry_is_asked_as_it_is_made
BACKUP = registry.a_backup_plan_backs_the_registry_up

CASES = [
    Case(GROWS, put("AWS::DynamoDB::Table", "BillingMode", "PROVISIONED"), f"{TABLE}.BillingMode"),
    Case(GROWS, put("AWS::DynamoDB::Table", "BillingMode", ...), f"{TABLE}.BillingMode"),
    Case(BACK, put("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification", ...), TABLE),
    Case(
        BACK,
        put("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", value=False),
        TABLE,
    ),
    Case(PROTECTED, put("AWS::DynamoDB::Table", "DeletionProtectionEnabled", value=False), TABLE),
    Case(PROTECTED, put("AWS::DynamoDB::Table", "DeletionProtectionEnabled", ...), TABLE),
    Case(PROTECTED, put("AWS::DynamoDB::Table", "TimeToLiveSpecification", {"Enabled": True}), TABLE, "revoked"),
    Case(ENCRYPTED, put("AWS::DynamoDB::Table", "SSESpecification", ...), f"{TABLE}.SSESpecification"),
    Case(ENCRYPTED, put("AWS::DynamoDB::Table", "SSESpecification.SSEEnabled", value=False), TABLE),
    Case(ENCRYPTED, put("AWS::DynamoDB::Table", "SSESpecification.KMSMasterKeyId", ...), TABLE, "the ARN of a key"),
    Case(ENCRYPTED, put("AWS::DynamoDB::Table", "SSESpecification.KMSMasterKeyId", "alias/aws/dynamodb"), TABLE),
    Case(ENCRYPTED, put("AWS::DynamoDB::Table", "SSESpecification.SSEType", ...), TABLE, "SSEType KMS"),
    Case(
        ENCRYPTED, put("AWS::DynamoDB::Table", "SSESpecification.KMSMasterKeyId", {"Ref": "ClientRegistryKey"}), TABLE
    ),
    Case(ASKED, put("AWS::DynamoDB::Table", "KeySchema.0.AttributeName", "Fingerprint"), TABLE, "as HASH alone"),
    Case(ASKED, put("AWS::DynamoDB::Table", "GlobalSecondaryIndexes", ...), TABLE, "by-client with client"),
    Case(ASKED, put("AWS::DynamoDB::Table", "GlobalSecondaryIndexes.0.IndexName", "clients"), TABLE, "by-client"),
    Case(ASKED, put("AWS::DynamoDB::Table", "GlobalSecondaryIndexes.0.KeySchema.1.KeyType", "HASH"), TABLE, "RANGE"),
    Case(
        ASKED,
        put("AWS::DynamoDB::Table", "GlobalSecondaryIndexes.0.Projection.ProjectionType", "KEYS_ONLY"),
        TABLE,
        "ProjectionType ALL",
    ),
    Case(ASKED, put("AWS::DynamoDB::Table", "AttributeDefinitions.0.AttributeType", "B"), TABLE, "AttributeType S"),
    Case(BACKUP, backed_up(_not_selected), PLAN, "selected"),
    Case(BACKUP, backed_up(put("AWS::Backup::BackupVault", "EncryptionKeyArn", ...)), PLAN, "a vault of the templates"),
    Case(
        BACKUP, backed_up(rule_having("Lifecycle", {"MoveToColdStorageAfterDays": 30})), PLAN, "an end to each backup"
    ),
    Case(BACKUP, backed_up(_of_another_plan), PLAN, "selected"),
    Case(BACKUP, backed_up(_never_selected), PLAN, "selected"),
    Case(BACKUP, backed_up(_by_another_role), SELECTION, "backup.amazonaws.com"),
    Case(BACKUP, backed_up(rule_having("TargetBackupVault", "Default")), PLAN, "a vault of the templates"),
    Case(BACKUP, backed_up(rule_having("ScheduleExpression", ...)), PLAN, "when"),
    Case(BACKUP, backed_up(rule_having("Lifecycle", ...)), PLAN, "an end to each backup"),
    Case(BACKUP, backed_up(_no_rules), PLAN, "a rule"),
]


def test_a_registry_with_backups_is_as_it_must_be() -> None:
    templates = Templates.of()
    backed_up()(templates)

    assert [str(finding) for rule in registry.RULES for finding in rule(templates.estate())] == []
