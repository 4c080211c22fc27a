"""The client registry: the table of enrolled certificates and its encryption key."""

from __future__ import annotations

from awacs import dynamodb as dynamodb_actions
from awacs import kms
from awacs.aws import StringEquals
from troposphere import GetAtt, Ref, Template
from troposphere.dynamodb import (
    AttributeDefinition,
    GlobalSecondaryIndex,
    KeySchema,
    PointInTimeRecoverySpecification,
    Projection,
    SSESpecification,
    Table,
)
from troposphere.iam import ManagedPolicy
from troposphere.kms import Key

from service.contract import CLIENT_INDEX, RegistryAttribute
from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.permissions import allow, policy
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.retention import RETAINED


def build(environment: Environment) -> Template:
    """Build the template of the client registry."""
    template = begin(environment, "the enrolled clients")
    key = template.add_resource(encryption_key(environment, "ClientRegistryKey", "The client registry"))
    template.add_resource(alias(environment, "ClientRegistryKeyAlias", key, stack="client_registry"))
    table = template.add_resource(_table(environment, key))
    template.add_resource(_task_policy(template, environment, table, key))
    offer(template, Output.CLIENT_REGISTRY_TABLE_NAME, Ref(table))
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


def _task_policy(template: Template, environment: Environment, table: Table, key: Key) -> ManagedPolicy:
    through_dynamodb = StringEquals({"kms:ViaService": f"dynamodb.{environment.region}.amazonaws.com"})
    return ManagedPolicy(
        "TaskReadsRegistry",
        Roles=[take(template, environment, Output.TASK_ROLE_NAME)],
        PolicyDocument=policy(
            # One certificate by its fingerprint, never the list of all clients.
            allow("FindClient", [dynamodb_actions.GetItem], GetAtt(table, "Arn")),
            allow("DecryptThroughDynamoDb", [kms.Decrypt], GetAtt(key, "Arn"), when=[through_dynamodb]),
        ),
    )
