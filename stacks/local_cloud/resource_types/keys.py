"""Rows of the keys: customer managed keys of KMS and their aliases."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, document, flag, unless_gone
from stacks.local_cloud.row import Resource, Row, Setting

_PENDING_WINDOW_DAYS = 30
"""What KMS waits when the template does not say (AWS KMS API Reference, ScheduleKeyDeletion)."""


def _create_key(resource: Resource) -> str:
    kms, properties = resource.client("kms"), resource.properties
    carried = ("Description", "KeySpec", "KeyUsage", "MultiRegion", "Origin", "BypassPolicyLockoutSafetyCheck")
    given = arguments(kms, "create_key", properties, *carried)
    if "KeyPolicy" in properties:
        given["Policy"] = document(properties.take("KeyPolicy"))
    # Read here because it belongs to the key, used when the key is deleted.
    properties.take("PendingWindowInDays")
    return str(kms.create_key(**given)["KeyMetadata"]["KeyId"])


def _set_description(resource: Resource) -> None:
    text = resource.properties.take("Description", "")
    resource.client("kms").update_key_description(KeyId=resource.physical_id, Description=text)


def _set_key_policy(resource: Resource) -> None:
    policy = resource.properties.take("KeyPolicy", _default_policy(resource))
    resource.client("kms").put_key_policy(KeyId=resource.physical_id, PolicyName="default", Policy=document(policy))


def _default_policy(resource: Resource) -> dict[str, Any]:
    """Write what KMS gives a key without a policy (AWS KMS Developer Guide, "Default key policy")."""
    account = f"arn:{resource.stack.partition}:iam::{resource.stack.account}:root"
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": account},
        "Action": "kms:*",
        "Resource": "*",
    }
    return {"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}


def _set_enabled(resource: Resource) -> None:
    kms = resource.client("kms")
    change = kms.enable_key if flag(resource.properties.take("Enabled", default=True)) else kms.disable_key
    change(KeyId=resource.physical_id)


def _set_rotation(resource: Resource) -> None:
    """Turn the yearly rotation on or off; another period is not carried, moto would lose it."""
    kms = resource.client("kms")
    if flag(resource.properties.take("EnableKeyRotation", default=False)):
        kms.enable_key_rotation(KeyId=resource.physical_id)
    elif resource.previous is not None:
        kms.disable_key_rotation(KeyId=resource.physical_id)


def _set_pending_window(resource: Resource) -> None:
    resource.properties.take("PendingWindowInDays")  # nothing to set: it is an argument of the deletion


def _set_key_tags(resource: Resource) -> None:
    kms, key, wanted = resource.client("kms"), resource.physical_id, resource.tags()
    worn = [tag["TagKey"] for tag in kms.list_resource_tags(KeyId=key)["Tags"]]
    if surplus := [name for name in worn if name not in wanted]:
        kms.untag_resource(KeyId=key, TagKeys=surplus)
    if wanted:
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": name, "TagValue": value} for name, value in wanted.items()])


def _delete_key(resource: Resource) -> None:
    """Schedule the deletion; as on AWS the key is still listed, pending, until its window is over."""
    days = int(resource.properties.take("PendingWindowInDays", _PENDING_WINDOW_DAYS))
    with unless_gone("NotFoundException", "KMSInvalidStateException"):
        resource.client("kms").schedule_key_deletion(KeyId=resource.physical_id, PendingWindowInDays=days)


def _key_arn(resource: Resource) -> str:
    return str(resource.client("kms").describe_key(KeyId=resource.physical_id)["KeyMetadata"]["Arn"])


_KEY = Row(
    type="AWS::KMS::Key",
    create=_create_key,
    delete=_delete_key,
    settings=(
        Setting(("Description",), _set_description),
        Setting(("KeyPolicy",), _set_key_policy),
        Setting(("EnableKeyRotation",), _set_rotation),
        Setting(("Enabled",), _set_enabled),
        Setting(("PendingWindowInDays",), _set_pending_window),
        Setting(("Tags",), _set_key_tags),
    ),
    attributes={"Arn": _key_arn, "KeyId": lambda resource: resource.physical_id},
)


def _create_alias(resource: Resource) -> str:
    kms = resource.client("kms")
    given = arguments(kms, "create_alias", resource.properties, "AliasName", "TargetKeyId")
    kms.create_alias(**given)
    return str(given["AliasName"])


def _set_target(resource: Resource) -> None:
    if resource.previous is not None:
        target = resource.properties.require("TargetKeyId")
        resource.client("kms").update_alias(AliasName=resource.physical_id, TargetKeyId=target)


def _delete_alias(resource: Resource) -> None:
    with unless_gone("NotFoundException"):
        resource.client("kms").delete_alias(AliasName=resource.physical_id)


_ALIAS = Row(
    type="AWS::KMS::Alias",
    create=_create_alias,
    delete=_delete_alias,
    settings=(Setting(("TargetKeyId",), _set_target),),
)

ROWS: tuple[Row, ...] = (_KEY, _ALIAS)
