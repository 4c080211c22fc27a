"""Rows of security groups and of the rules that join two of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, unless_gone
from stacks.local_cloud.resource_types.network import EC2_TAGS, same_as_ref
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, Row, Setting

_INGRESS, _EGRESS = "ingress", "egress"
_ALLOW_ALL = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
"""What every new group lets out (Amazon VPC User Guide, "Default security group rules")."""


def _create_group(resource: Resource) -> str:
    ec2, properties = resource.client("ec2"), resource.properties
    given = arguments(
        ec2, "create_security_group", properties, "VpcId", GroupName="GroupName", Description="GroupDescription"
    )
    answer = ec2.create_security_group(**{"GroupName": resource.generated_name(limit=255), **given})
    return str(answer["GroupId"])


def _set_ingress(resource: Resource) -> None:
    _set_rules(resource, _INGRESS, "SecurityGroupIngress", otherwise=[])


def _set_egress(resource: Resource) -> None:
    _set_rules(resource, _EGRESS, "SecurityGroupEgress", otherwise=[_ALLOW_ALL])


def _set_rules(resource: Resource, direction: str, name: str, *, otherwise: list[dict[str, Any]]) -> None:
    """
    Exchange the group's inline rules; rules that are resources of their own are left alone.

    A rule that is gone or there already is as good: the update before may have failed half-way.
    """
    before = _inline(resource.previous, name, otherwise) if resource.previous else otherwise
    after = _inline(resource.properties, name, otherwise)
    for permission in before:
        if permission not in after:
            _revoke(resource, resource.physical_id, direction, permission)
    for permission in after:
        if permission not in before:
            with unless_gone("InvalidPermission.Duplicate"):
                _change(resource, resource.physical_id, f"authorize_security_group_{direction}", permission)


def _inline(properties: Properties, name: str, otherwise: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_permission(rule) for rule in properties.branches(name)] or otherwise


def _permission(rule: Properties) -> dict[str, Any]:
    """Write one rule of a template, inline or a resource of its own, as the API takes it."""
    permission: dict[str, Any] = {"IpProtocol": str(rule.require("IpProtocol"))}
    permission |= {name: int(port) for name, port in rule.same("FromPort", "ToPort").items()}
    described = rule.same("Description")
    ends = {
        "IpRanges": rule.pick(CidrIp="CidrIp"),
        "Ipv6Ranges": rule.pick(CidrIpv6="CidrIpv6"),
        "PrefixListIds": rule.pick(PrefixListId="SourcePrefixListId")
        or rule.pick(PrefixListId="DestinationPrefixListId"),
        "UserIdGroupPairs": rule.pick(GroupId="SourceSecurityGroupId", UserId="SourceSecurityGroupOwnerId")
        or rule.pick(GroupId="DestinationSecurityGroupId"),
    }
    return permission | {kind: [end | described] for kind, end in ends.items() if end}


def _change(resource: Resource, group: str, operation: str, permission: dict[str, Any]) -> Any:
    return getattr(resource.client("ec2"), operation)(GroupId=group, IpPermissions=[permission])


def _revoke(resource: Resource, group: str, direction: str, permission: dict[str, Any]) -> None:
    with unless_gone("InvalidGroup.NotFound", "InvalidPermission.NotFound"):
        _change(resource, group, f"revoke_security_group_{direction}", permission)


def _delete_group(resource: Resource) -> None:
    """Remove the group; one that is in use is a dependency violation on AWS, which moto overlooks."""
    if users := sorted(_users(resource)):
        raise ResourceFailedError(
            f"resource {resource.physical_id} has a dependent object: {', '.join(users)} (DependencyViolation)"
        )
    with unless_gone("InvalidGroup.NotFound"):
        resource.client("ec2").delete_security_group(GroupId=resource.physical_id)


def _users(resource: Resource) -> Iterator[str]:
    ec2, elb, group = resource.client("ec2"), resource.client("elb"), resource.physical_id
    for other in ec2.describe_security_groups()["SecurityGroups"]:
        permissions = other["IpPermissions"] + other["IpPermissionsEgress"]
        named = {pair["GroupId"] for permission in permissions for pair in permission["UserIdGroupPairs"]}
        if group in named and other["GroupId"] != group:
            yield f"rule of {other['GroupId']}"
    for interface in ec2.describe_network_interfaces()["NetworkInterfaces"]:
        if group in {one["GroupId"] for one in interface["Groups"]}:
            yield interface["NetworkInterfaceId"]
    for balancer in elb.describe_load_balancers()["LoadBalancerDescriptions"]:
        if group in balancer["SecurityGroups"]:
            yield f"load balancer {balancer['LoadBalancerName']}"


def _vpc_of(resource: Resource) -> str:
    answer = resource.client("ec2").describe_security_groups(GroupIds=[resource.physical_id])
    return str(answer["SecurityGroups"][0]["VpcId"])


_SECURITY_GROUP = Row(
    type="AWS::EC2::SecurityGroup",
    create=_create_group,
    delete=_delete_group,
    settings=(
        Setting(("SecurityGroupIngress",), _set_ingress),
        Setting(("SecurityGroupEgress",), _set_egress),
        EC2_TAGS,
    ),
    attributes={"GroupId": same_as_ref, "Id": same_as_ref, "VpcId": _vpc_of},
)

# -- rules that are resources of their own -------------------------------------


def _create_rule(resource: Resource, *, direction: str) -> str:
    group = resource.properties.require("GroupId")
    permission = _permission(resource.properties)
    if direction == _EGRESS and permission != _ALLOW_ALL:
        _revoke_default_egress(resource, group)
    answer = _change(resource, group, f"authorize_security_group_{direction}", permission)
    return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def _revoke_default_egress(resource: Resource, group: str) -> None:
    """
    Take back what a new group lets out.

    CloudFormation does so with the first AWS::EC2::SecurityGroupEgress of a
    group (its page in the template reference); a rule with a description was
    written by somebody and stays.
    """
    found = resource.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    for permission in found["IpPermissionsEgress"]:
        if permission["IpProtocol"] == "-1" and permission["IpRanges"] == _ALLOW_ALL["IpRanges"]:
            _revoke(resource, group, _EGRESS, _ALLOW_ALL)


def _describe_rule(resource: Resource, *, direction: str) -> None:
    if resource.previous is None:
        return
    # moto's own call to change a rule's description knows addresses only, so the rule is written anew.
    group = resource.properties.require("GroupId")
    _revoke(resource, group, direction, _permission(resource.previous))
    answer = _change(resource, group, f"authorize_security_group_{direction}", _permission(resource.properties))
    resource.physical_id = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]


def _delete_rule(resource: Resource, *, direction: str) -> None:
    group = resource.properties.require("GroupId")
    _revoke(resource, group, direction, _permission(resource.properties))


def _rule(type_name: str, direction: str) -> Row:
    return Row(
        type=type_name,
        create=partial(_create_rule, direction=direction),
        delete=partial(_delete_rule, direction=direction),
        settings=(Setting(("Description",), partial(_describe_rule, direction=direction)),),
        attributes={"Id": same_as_ref},
    )


ROWS: tuple[Row, ...] = (
    _SECURITY_GROUP,
    _rule("AWS::EC2::SecurityGroupIngress", _INGRESS),
    _rule("AWS::EC2::SecurityGroupEgress", _EGRESS),
)
