"""
The client registry: the table of enrolled certificates, its encryption key, and its backup where one is wished.

Point-in-time recovery goes back to any second of 35 days; a backup is for
what is older, and survives the table.
"""

from __future__ import annotations

from awacs import backup as backup_actions
from awacs import dynamodb as dynamodb_actions
from awacs import kms, tag
from awacs.aws import Bool
from troposphere import GetAtt, Ref, Template
from troposphere.backup import (
    BackupPlan,
    BackupPlanResourceType,
    BackupRuleResourceType,
    BackupSelection,
    BackupSelectionResourceType,
    BackupVault,
    LifecycleResourceType,
)
from troposphere.dynamodb import (
    AttributeDefinition,
    GlobalSecondaryIndex,
    KeySchema,
    PointInTimeRecoverySpecification,
    Projection,
    SSESpecification,
    Table,
)
from troposphere.iam import ManagedPolicy, Role
from troposphere.kms import Key

from service.contract import CLIENT_INDEX, RegistryAttribute
from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.permissions import allow, arn, policy, trust_service, via
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.retention import RETAINED


def build(environment: Environment) -> Template:
    """Build the template of the client registry."""
    template = begin(environment, "the enrolled clients")
    key = template.add_resource(encryption_key(environment, "ClientRegistryKey", "The client registry"))
    template.add_resource(alias(environment, "ClientRegistryKeyAlias", key, stack="client_registry"))
    template.add_resource(_task_policy(template, environment, key))
    if environment.registry.backup_days is not None:
        _back_up(template, environment, key)
    # Last of all: it is protected from deletion, so a creation that fails after it could not be taken back.
    table = _table(environment, key)
    table.DependsOn = sorted(template.resources.keys() - {key.title})  # the key it refers to anyway
    template.add_resource(table)
    offer(template, Output.CLIENT_REGISTRY_TABLE_NAME, Ref(table))
    offer(template, Output.CLIENT_REGISTRY_KEY_ARN, GetAtt(key, "Arn"))
    return template


def _table(environment: Environment, key: Key) -> Table:
    fingerprint, client = RegistryAttribute.FINGERPRINT.value, RegistryAttribute.CLIENT.value
    return Table(
        "ClientRegistry",
        TableName=naming.client_registry_table(environment),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            AttributeDefinition(AttributeName=fingerprint, AttributeType="S"),
            AttributeDefinition(AttributeName=client, AttributeType="S"),
        ],
        KeySchema=[KeySchema(AttributeName=fingerprint, KeyType="HASH")],
        GlobalSecondaryIndexes=[
            GlobalSecondaryIndex(
                IndexName=CLIENT_INDEX,
                KeySchema=[
                    KeySchema(AttributeName=client, KeyType="HASH"),
                    KeySchema(AttributeName=fingerprint, KeyType="RANGE"),
                ],
                Projection=Projection(ProjectionType="ALL"),
            )
        ],
        PointInTimeRecoverySpecification=PointInTimeRecoverySpecification(PointInTimeRecoveryEnabled=True),
        SSESpecification=SSESpecification(SSEEnabled=True, SSEType="KMS", KMSMasterKeyId=GetAtt(key, "Arn")),
        DeletionProtectionEnabled=True,
        **RETAINED,
    )


def _table_arn(environment: Environment) -> str:
    """Spell the table's ARN, for those that are made before it."""
    return arn(environment, "dynamodb", f"table/{naming.client_registry_table(environment)}")


def _task_policy(template: Template, environment: Environment, key: Key) -> ManagedPolicy:
    return ManagedPolicy(
        "TaskReadsRegistry",
        Path=naming.role_path(environment),
        Roles=[take(template, environment, Output.TASK_ROLE_NAME)],
        PolicyDocument=policy(
            # One certificate by its fingerprint, never the list of all clients.
            allow("FindClient", [dynamodb_actions.GetItem], _table_arn(environment)),
            allow("DecryptThroughDynamoDb", [kms.Decrypt], GetAtt(key, "Arn"), when=[via(environment, "dynamodb")]),
        ),
    )


# -- backup ------------------------------------------------------------------------


def _back_up(template: Template, environment: Environment, key: Key) -> None:
    """Back the table up every night into a vault of its own."""
    vault = template.add_resource(
        BackupVault(
            "ClientRegistryVault",
            BackupVaultName=naming.backup_vault(environment),
            EncryptionKeyArn=GetAtt(key, "Arn"),
            **RETAINED,
        )
    )
    nightly = BackupRuleResourceType(
        RuleName="nightly",
        TargetBackupVault=Ref(vault),
        ScheduleExpression="cron(0 3 * * ? *)",
        StartWindowMinutes=60,
        CompletionWindowMinutes=480,
        Lifecycle=LifecycleResourceType(DeleteAfterDays=environment.registry.backup_days),
    )
    plan = template.add_resource(
        BackupPlan(
            "ClientRegistryBackupPlan",
            BackupPlan=BackupPlanResourceType(
                BackupPlanName=naming.backup_vault(environment), BackupPlanRule=[nightly]
            ),
        )
    )
    role = template.add_resource(_backup_role(environment))
    grants = template.add_resource(_backup_policy(environment, role, vault=vault, key=key))
    template.add_resource(
        BackupSelection(
            "ClientRegistryBackupSelection",
            BackupPlanId=Ref(plan),
            BackupSelection=BackupSelectionResourceType(
                SelectionName=naming.backup_vault(environment),
                IamRoleArn=GetAtt(role, "Arn"),
                Resources=[_table_arn(environment)],
            ),
            DependsOn=grants,
        )
    )


def _backup_role(environment: Environment) -> Role:
    return Role(
        "BackupRole",
        RoleName=naming.role_name(environment, "backup"),
        Path=naming.role_path(environment),
        PermissionsBoundary=naming.boundary_arn(environment),
        Description="What AWS Backup may do: back the client registry up",
        AssumeRolePolicyDocument=trust_service("backup.amazonaws.com"),
    )


def _backup_policy(environment: Environment, role: Role, *, vault: BackupVault, key: Key) -> ManagedPolicy:
    """Allow what AWS's own AWSBackupServiceRolePolicyForBackup does for a table, on this table alone."""
    return ManagedPolicy(
        "BackupPolicy",
        Path=role.Path,
        Roles=[Ref(role)],
        PolicyDocument=policy(
            allow(
                "ReadTable",
                [
                    dynamodb_actions.DescribeTable,
                    dynamodb_actions.ListTagsOfResource,
                    dynamodb_actions.StartAwsBackupJob,
                ],
                _table_arn(environment),
            ),
            allow("WriteVault", [backup_actions.DescribeBackupVault], GetAtt(vault, "BackupVaultArn")),
            # It asks for the tags of whatever it backs up; the call bears no resource (tagging API actions table).
            allow("FindByTag", [tag.GetResources], "*"),
            allow("LookAtKey", [kms.DescribeKey], GetAtt(key, "Arn")),
            allow(
                "UseKeyThroughDynamoDb",
                [kms.Decrypt, kms.GenerateDataKey],
                GetAtt(key, "Arn"),
                when=[via(environment, "dynamodb")],
            ),
            allow(
                "LetBackupUseKey",
                [kms.CreateGrant],
                GetAtt(key, "Arn"),
                when=[Bool({"kms:GrantIsForAWSResource": True})],
            ),
        ),
    )
