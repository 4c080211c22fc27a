"""Row of the DynamoDB table."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, flag, tag_list, unless_gone
from stacks.local_cloud.row import Properties, Resource, Row, Setting

_CARRIED = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema", "LocalSecondaryIndexes")
_PROVISIONED = "PROVISIONED"
"""The billing of a table that does not say (DynamoDB API Reference, CreateTable)."""


def _create_table(resource: Resource) -> str:
    dynamodb, properties = resource.client("dynamodb"), resource.properties
    given = {
        "TableName": resource.generated_name(limit=255),
        **arguments(dynamodb, "create_table", properties, "TableName", *_CARRIED, "ProvisionedThroughput"),
        **_encryption(resource),
        **_stream(properties),
    }
    dynamodb.create_table(**given)
    return str(given["TableName"])


def _encryption(resource: Resource) -> dict[str, Any]:
    sse = resource.properties.branch("SSESpecification")
    if not flag(sse.take("SSEEnabled", default=False)):
        return {}
    return {"SSESpecification": {"Enabled": True, **sse.same("SSEType", "KMSMasterKeyId")}}


def _stream(properties: Properties) -> dict[str, Any]:
    stream = properties.branch("StreamSpecification").same("StreamViewType")
    return {"StreamSpecification": {"StreamEnabled": True, **stream}} if stream else {}


def _set_encryption(resource: Resource) -> None:
    if resource.previous is not None:
        given = _encryption(resource) or {"SSESpecification": {"Enabled": False}}
        resource.client("dynamodb").update_table(TableName=resource.physical_id, **given)


def _set_stream(resource: Resource) -> None:
    if resource.previous is not None:
        given = _stream(resource.properties) or {"StreamSpecification": {"StreamEnabled": False}}
        resource.client("dynamodb").update_table(TableName=resource.physical_id, **given)


def _set_billing(resource: Resource) -> None:
    if resource.previous is None:
        return
    dynamodb = resource.client("dynamodb")
    given = arguments(dynamodb, "update_table", resource.properties, "BillingMode", "ProvisionedThroughput")
    dynamodb.update_table(TableName=resource.physical_id, **{"BillingMode": _PROVISIONED, **given})


def _set_indexes(resource: Resource) -> None:
    """Make new indexes and remove the old ones, one each call as DynamoDB asks; a changed one is both."""
    if resource.previous is None:
        return
    dynamodb = resource.client("dynamodb")
    before, after = _indexes(dynamodb, resource.previous), _indexes(dynamodb, resource.properties)
    there = [index["IndexName"] for index in _table(resource).get("GlobalSecondaryIndexes", [])]
    removed = [name for name in there if name not in after or before.get(name) != after[name]]
    changes: list[dict[str, Any]] = [{"Delete": {"IndexName": name}} for name in removed]
    changes += [{"Create": index} for name, index in after.items() if name in removed or name not in there]
    defined = arguments(dynamodb, "update_table", resource.properties, "AttributeDefinitions")
    for change in changes:
        dynamodb.update_table(TableName=resource.physical_id, GlobalSecondaryIndexUpdates=[change], **defined)


def _indexes(dynamodb: Any, properties: Properties) -> dict[str, Any]:
    given = arguments(dynamodb, "create_table", properties, "GlobalSecondaryIndexes")
    return {index["IndexName"]: index for index in given.get("GlobalSecondaryIndexes", [])}


def _set_recovery(resource: Resource) -> None:
    point = resource.properties.branch("PointInTimeRecoverySpecification")
    enabled = flag(point.take("PointInTimeRecoveryEnabled", default=False))
    if not enabled and resource.previous is None:
        return
    given: dict[str, Any] = {"PointInTimeRecoveryEnabled": enabled}
    if "RecoveryPeriodInDays" in point:
        given["RecoveryPeriodInDays"] = int(point.take("RecoveryPeriodInDays"))
    resource.client("dynamodb").update_continuous_backups(
        TableName=resource.physical_id, PointInTimeRecoverySpecification=given
    )


def _set_deletion_protection(resource: Resource) -> None:
    protected = flag(resource.properties.take("DeletionProtectionEnabled", default=False))
    resource.client("dynamodb").update_table(TableName=resource.physical_id, DeletionProtectionEnabled=protected)


def _set_time_to_live(resource: Resource) -> None:
    dynamodb, name = resource.client("dynamodb"), resource.physical_id
    ttl = resource.properties.branch("TimeToLiveSpecification")
    enabled = flag(ttl.take("Enabled", default=False))
    worn = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if enabled == (worn["TimeToLiveStatus"] == "ENABLED"):
        ttl.take("AttributeName")
        return  # DynamoDB refuses to set what is set already
    attribute = ttl.take("AttributeName", worn.get("AttributeName"))
    given = {"Enabled": enabled, "AttributeName": attribute}
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=given)


def _set_table_tags(resource: Resource) -> None:
    """Bring the tags to the wanted ones; one that changes goes first, because moto keeps both."""
    dynamodb, arn, wanted = resource.client("dynamodb"), _table(resource)["TableArn"], resource.tags()
    worn = {tag["Key"]: tag["Value"] for tag in dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]}
    if surplus := [key for key, value in worn.items() if wanted.get(key) != value]:
        dynamodb.untag_resource(ResourceArn=arn, TagKeys=surplus)
    if missing := {key: value for key, value in wanted.items() if worn.get(key) != value}:
        dynamodb.tag_resource(ResourceArn=arn, Tags=tag_list(missing))


def _delete_table(resource: Resource) -> None:
    """Remove the table; one with deletion protection refuses, as on AWS."""
    with unless_gone("ResourceNotFoundException"):
        resource.client("dynamodb").delete_table(TableName=resource.physical_id)


def _table(resource: Resource) -> dict[str, Any]:
    return dict(resource.client("dynamodb").describe_table(TableName=resource.physical_id)["Table"])


_TABLE = Row(
    type="AWS::DynamoDB::Table",
    create=_create_table,
    delete=_delete_table,
    settings=(
        Setting(("SSESpecification",), _set_encryption),
        Setting(("StreamSpecification",), _set_stream),
        Setting(("BillingMode", "ProvisionedThroughput"), _set_billing),
        Setting(("AttributeDefinitions", "GlobalSecondaryIndexes"), _set_indexes),
        Setting(("PointInTimeRecoverySpecification",), _set_recovery),
        Setting(("TimeToLiveSpecification",), _set_time_to_live),
        Setting(("Tags",), _set_table_tags),
        # Last: until then a table that failed half-way can still be taken back.
        Setting(("DeletionProtectionEnabled",), _set_deletion_protection),
    ),
    attributes={
        "Arn": lambda resource: str(_table(resource)["TableArn"]),
        "StreamArn": lambda resource: str(_table(resource)["LatestStreamArn"]),
    },
    is_stable=lambda resource: _table(resource)["TableStatus"] == "ACTIVE",
)

ROWS: tuple[Row, ...] = (_TABLE,)
