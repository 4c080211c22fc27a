"""Rows of what is written down for auditors: flow logs of the network, and the trail of calls."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, flag, refuse_taken, tag_list, unless_gone
from stacks.local_cloud.resource_types.network import EC2_TAGS, same_as_ref
from stacks.local_cloud.row import Resource, ResourceFailedError, Row, Setting

# -- flow logs -----------------------------------------------------------------

_FLOW_LOG = (
    "DeliverLogsPermissionArn",
    "DestinationOptions",
    "LogDestination",
    "LogDestinationType",
    "LogFormat",
    "LogGroupName",
    "MaxAggregationInterval",
    "ResourceType",
    "TrafficType",
)


def _create_flow_log(resource: Resource) -> str:
    ec2 = resource.client("ec2")
    given = arguments(ec2, "create_flow_logs", resource.properties, *_FLOW_LOG, ResourceIds="ResourceId")
    answer = ec2.create_flow_logs(**given)
    for failure in answer["Unsuccessful"]:
        raise ResourceFailedError(f"{failure['Error']['Message']} ({failure['Error']['Code']})")
    return str(answer["FlowLogIds"][0])


def _delete_flow_log(resource: Resource) -> None:
    with unless_gone("InvalidFlowLogId.NotFound"):
        resource.client("ec2").delete_flow_logs(FlowLogIds=[resource.physical_id])


# -- trails ----------------------------------------------------------------------

_TRAIL: dict[str, Any] = {
    "CloudWatchLogsLogGroupArn": "",
    "CloudWatchLogsRoleArn": "",
    "EnableLogFileValidation": False,
    "IncludeGlobalServiceEvents": True,
    "IsMultiRegionTrail": False,
    "IsOrganizationTrail": False,
    "KMSKeyId": "",
    "S3BucketName": "",
    "S3KeyPrefix": "",
    "SnsTopicName": "",
}
"""Properties of a trail and what it has without them (CloudTrail API Reference, CreateTrail)."""
_MANAGEMENT_EVENTS = [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}]
"""What a trail records when nobody says (CloudTrail User Guide, "Logging management events")."""


def _create_trail(resource: Resource) -> str:
    cloudtrail = resource.client("cloudtrail")
    name = str(resource.properties.take("TrailName") or resource.generated_name(limit=128))
    there = [trail["Name"] for trail in cloudtrail.describe_trails()["trailList"]]
    refuse_taken(resource, name, is_taken=name in there)
    cloudtrail.create_trail(Name=name, **arguments(cloudtrail, "create_trail", resource.properties, *_TRAIL))
    return name


def _set_trail(resource: Resource) -> None:
    if resource.previous is None:
        return
    cloudtrail = resource.client("cloudtrail")
    given = arguments(cloudtrail, "update_trail", resource.properties, *_TRAIL)
    defaults = {_argument(name): value for name, value in _TRAIL.items()}
    cloudtrail.update_trail(Name=resource.physical_id, **{**defaults, **given})


def _argument(name: str) -> str:
    return "KmsKeyId" if name == "KMSKeyId" else name


def _set_selectors(resource: Resource) -> None:
    cloudtrail = resource.client("cloudtrail")
    given = arguments(cloudtrail, "put_event_selectors", resource.properties, "AdvancedEventSelectors")
    if not given and resource.previous is not None:
        given = {"EventSelectors": _MANAGEMENT_EVENTS}
    if given:
        cloudtrail.put_event_selectors(TrailName=resource.physical_id, **given)


def _set_logging(resource: Resource) -> None:
    cloudtrail = resource.client("cloudtrail")
    change = cloudtrail.start_logging if flag(resource.properties.require("IsLogging")) else cloudtrail.stop_logging
    change(Name=resource.physical_id)


def _set_trail_tags(resource: Resource) -> None:
    cloudtrail, arn, wanted = resource.client("cloudtrail"), _trail_arn(resource), resource.tags()
    (told,) = cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    if surplus := [tag for tag in told["TagsList"] if wanted.get(tag["Key"]) != tag["Value"]]:
        cloudtrail.remove_tags(ResourceId=arn, TagsList=surplus)
    if wanted:
        cloudtrail.add_tags(ResourceId=arn, TagsList=tag_list(wanted))


def _trail_arn(resource: Resource) -> str:
    return str(resource.client("cloudtrail").get_trail(Name=resource.physical_id)["Trail"]["TrailARN"])


def _delete_trail(resource: Resource) -> None:
    with unless_gone("TrailNotFoundException"):
        resource.client("cloudtrail").delete_trail(Name=resource.physical_id)


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::EC2::FlowLog",
        create=_create_flow_log,
        delete=_delete_flow_log,
        settings=(EC2_TAGS,),
        attributes={"Id": same_as_ref},
    ),
    Row(
        type="AWS::CloudTrail::Trail",
        create=_create_trail,
        delete=_delete_trail,
        settings=(
            Setting(tuple(_TRAIL), _set_trail),
            Setting(("AdvancedEventSelectors",), _set_selectors),
            Setting(("IsLogging",), _set_logging),
            Setting(("Tags",), _set_trail_tags),
        ),
        attributes={"Arn": _trail_arn},
    ),
)
