"""Row of the DNS record that points partners to the load balancer."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import fit, unless_gone
from stacks.local_cloud.row import Resource, ResourceFailedError, Row, Setting


def _create_record(resource: Resource) -> str:
    _change(resource, "CREATE")
    return str(resource.properties.require("Name"))


def _set_record(resource: Resource) -> None:
    if resource.previous is not None:
        _change(resource, "UPSERT")


def _change(resource: Resource, action: str) -> None:
    route53, properties = resource.client("route53"), resource.properties
    record: dict[str, Any] = properties.same("Name", "Type")
    members = route53.meta.service_model.shape_for("ResourceRecordSet").members
    alias = properties.branch("AliasTarget")
    if "AliasTarget" in properties:
        target = alias.same("DNSName", "HostedZoneId", "EvaluateTargetHealth")
        shapes = members["AliasTarget"].members
        record["AliasTarget"] = {
            "EvaluateTargetHealth": False,
            **{name: fit(value, shapes[name]) for name, value in target.items()},
        }
    else:
        record["TTL"] = int(properties.require("TTL"))
        record["ResourceRecords"] = [{"Value": value} for value in properties.require("ResourceRecords")]
    changes = {"Comment": properties.take("Comment", ""), "Changes": [{"Action": action, "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=_zone(resource), ChangeBatch=changes)


def _zone(resource: Resource) -> str:
    if "HostedZoneId" in resource.properties:
        return str(resource.properties.require("HostedZoneId"))
    name = resource.properties.require("HostedZoneName")
    found = resource.client("route53").list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    if not found or found[0]["Name"] != name:
        raise ResourceFailedError(f"no hosted zone has the name {name}")
    return str(found[0]["Id"])


def _delete_record(resource: Resource) -> None:
    with unless_gone("NoSuchHostedZone", "InvalidChangeBatch"):
        _change(resource, "DELETE")


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::Route53::RecordSet",
        create=_create_record,
        delete=_delete_record,
        settings=(Setting(("AliasTarget", "Comment", "ResourceRecords", "TTL"), _set_record),),
    ),
)
