"""Rows of what tells operators: rules for events, and saved queries."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from stacks.local_cloud.resource_types.calls import arguments, document, refuse_taken, tag_list, unless_gone
from stacks.local_cloud.row import Properties, Resource, Row, Setting

_GONE = "ResourceNotFoundException"

# -- saved queries ---------------------------------------------------------------

_QUERY = {"name": "Name", "queryString": "QueryString", "queryLanguage": "QueryLanguage"}


def _create_query(resource: Resource) -> str:
    return str(_put_query(resource)["queryDefinitionId"])


def _put_query(resource: Resource, **identity: str) -> dict[str, Any]:
    """Write the query whole."""
    logs = resource.client("logs")
    given = arguments(logs, "put_query_definition", resource.properties, "LogGroupNames", **_QUERY)
    return dict(logs.put_query_definition(**identity, **given))


def _set_query(resource: Resource) -> None:
    if resource.previous is not None:
        _put_query(resource, queryDefinitionId=resource.physical_id)


def _delete_query(resource: Resource) -> None:
    with unless_gone(_GONE):
        resource.client("logs").delete_query_definition(queryDefinitionId=resource.physical_id)


# -- rules for events --------------------------------------------------------------


def _create_rule(resource: Resource) -> str:
    name = str(resource.properties.take("Name") or resource.generated_name())
    resource.memory["bus"] = _bus(resource.properties)
    refuse_taken(resource, name, is_taken=_is_there(resource, name))
    _put_rule(resource, name)
    return name


def _is_there(resource: Resource, name: str) -> bool:
    """PutRule would change a rule that is there (EventBridge API Reference)."""
    try:
        resource.client("events").describe_rule(Name=name, **resource.memory["bus"])
    except ClientError as error:
        if error.response["Error"]["Code"] == _GONE:
            return False
        raise
    return True


def _put_rule(resource: Resource, name: str) -> None:
    """Write the rule whole; its targets are another call's."""
    events, properties = resource.client("events"), resource.properties
    given = arguments(events, "put_rule", properties, "Description", "RoleArn", "ScheduleExpression", "State")
    if "EventPattern" in properties:
        given["EventPattern"] = document(properties.take("EventPattern"))
    events.put_rule(Name=name, **resource.memory["bus"], **given)


def _bus(properties: Properties) -> dict[str, str]:
    return {"EventBusName": properties.take("EventBusName")} if "EventBusName" in properties else {}


def _set_rule(resource: Resource) -> None:
    if resource.previous is not None:
        _put_rule(resource, resource.physical_id)


def _set_targets(resource: Resource) -> None:
    events, where = resource.client("events"), _where(resource)
    wanted = arguments(events, "put_targets", resource.properties, "Targets").get("Targets", [])
    kept = {target["Id"] for target in wanted}
    if surplus := [identity for identity in _target_ids(resource) if identity not in kept]:
        events.remove_targets(Ids=surplus, **where)
    if wanted:
        events.put_targets(Targets=wanted, **where)


def _target_ids(resource: Resource) -> list[str]:
    told = resource.client("events").list_targets_by_rule(**_where(resource))["Targets"]
    return [target["Id"] for target in told]


def _where(resource: Resource) -> dict[str, str]:
    return {"Rule": resource.physical_id, **resource.memory["bus"]}


def _set_rule_tags(resource: Resource) -> None:
    events, arn, wanted = resource.client("events"), _rule_arn(resource), resource.tags()
    worn = [tag["Key"] for tag in events.list_tags_for_resource(ResourceARN=arn)["Tags"]]
    if surplus := [key for key in worn if key not in wanted]:
        events.untag_resource(ResourceARN=arn, TagKeys=surplus)
    if wanted:
        events.tag_resource(ResourceARN=arn, Tags=tag_list(wanted))


def _rule_arn(resource: Resource) -> str:
    return str(resource.client("events").describe_rule(Name=resource.physical_id, **resource.memory["bus"])["Arn"])


def _delete_rule(resource: Resource) -> None:
    """Remove the targets, without which the rule would stay, and the rule."""
    events = resource.client("events")
    with unless_gone(_GONE):
        if targets := _target_ids(resource):
            events.remove_targets(Ids=targets, **_where(resource))
        events.delete_rule(Name=resource.physical_id, **resource.memory["bus"])


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::Logs::QueryDefinition",
        create=_create_query,
        delete=_delete_query,
        settings=(Setting(("LogGroupNames", *_QUERY.values()), _set_query),),
        attributes={"QueryDefinitionId": lambda resource: resource.physical_id},
    ),
    Row(
        type="AWS::Events::Rule",
        create=_create_rule,
        delete=_delete_rule,
        settings=(
            Setting(("Description", "EventPattern", "RoleArn", "ScheduleExpression", "State"), _set_rule),
            Setting(("Targets",), _set_targets),
            Setting(("Tags",), _set_rule_tags),
        ),
        attributes={"Arn": _rule_arn},
    ),
)
