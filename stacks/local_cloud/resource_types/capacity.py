"""Rows of what carries the tasks: launch template and Auto Scaling group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, fit, flag, refuse_taken, tag_list, unless_gone
from stacks.local_cloud.resource_types.network import same_as_ref
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, Row, Setting

# -- the launch template -------------------------------------------------------

_VERSIONED = ("LaunchTemplateData", "VersionDescription")


def _create_template(resource: Resource) -> str:
    ec2, properties = resource.client("ec2"), resource.properties
    given = {
        "LaunchTemplateName": resource.generated_name(limit=128),
        **arguments(ec2, "create_launch_template", properties, "LaunchTemplateName", *_VERSIONED),
    }
    specifications = properties.branches("TagSpecifications")
    tags = dict(resource.stack.tags) | {
        tag["Key"]: tag["Value"]
        for specification in specifications
        if specification.require("ResourceType") == "launch-template"
        for tag in specification.take("Tags", [])
    }
    if tags:
        given["TagSpecifications"] = [{"ResourceType": "launch-template", "Tags": tag_list(tags)}]
    return str(ec2.create_launch_template(**given)["LaunchTemplate"]["LaunchTemplateId"])


def _add_version(resource: Resource) -> None:
    if resource.previous is None:
        return
    ec2 = resource.client("ec2")
    given = arguments(ec2, "create_launch_template_version", resource.properties, *_VERSIONED)
    ec2.create_launch_template_version(LaunchTemplateId=resource.physical_id, **given)


def _delete_template(resource: Resource) -> None:
    with unless_gone("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException"):
        resource.client("ec2").delete_launch_template(LaunchTemplateId=resource.physical_id)


def _version(resource: Resource, *, name: str) -> str:
    answer = resource.client("ec2").describe_launch_templates(LaunchTemplateIds=[resource.physical_id])
    return str(answer["LaunchTemplates"][0][name])


_LAUNCH_TEMPLATE = Row(
    type="AWS::EC2::LaunchTemplate",
    create=_create_template,
    delete=_delete_template,
    settings=(Setting(_VERSIONED, _add_version),),
    attributes={
        "LaunchTemplateId": same_as_ref,
        "LatestVersionNumber": partial(_version, name="LatestVersionNumber"),
        "DefaultVersionNumber": partial(_version, name="DefaultVersionNumber"),
    },
)

# -- the Auto Scaling group ----------------------------------------------------

_SIZES: dict[str, Any] = {
    # Property and what the group has without it (Auto Scaling API Reference, CreateAutoScalingGroup);
    # None: leave what is, DesiredCapacity because a scaling policy may have moved it.
    "CapacityRebalance": False,
    "Cooldown": 300,
    "DefaultInstanceWarmup": None,
    "DesiredCapacity": None,
    "HealthCheckGracePeriod": 0,
    "HealthCheckType": "EC2",
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1},
    "LaunchTemplate": None,
    "MaxInstanceLifetime": 0,
    "MaxSize": None,
    "MinSize": None,
    "NewInstancesProtectedFromScaleIn": False,
    "TerminationPolicies": ["Default"],
    "VPCZoneIdentifier": None,
}
_ARGUMENTS = {"Cooldown": "DefaultCooldown"}
"""Where the API's argument has another name."""
_GROUP_METRICS = [
    # What a collection without a list means (Auto Scaling API Reference, EnableMetricsCollection).
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupPendingInstances",
    "GroupStandbyInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
    "GroupInServiceCapacity",
    "GroupPendingCapacity",
    "GroupStandbyCapacity",
    "GroupTerminatingCapacity",
    "GroupTotalCapacity",
    "WarmPoolDesiredCapacity",
    "WarmPoolWarmedCapacity",
    "WarmPoolPendingCapacity",
    "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity",
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
]


def _create_group(resource: Resource) -> str:
    autoscaling, properties = resource.client("autoscaling"), resource.properties
    given = _sizes(resource, "create_auto_scaling_group")
    given |= arguments(autoscaling, "create_auto_scaling_group", properties, "AvailabilityZones")
    name = str(properties.take("AutoScalingGroupName") or resource.generated_name(limit=255))
    found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    refuse_taken(resource, name, is_taken=bool(found))
    autoscaling.create_auto_scaling_group(AutoScalingGroupName=name, Tags=_group_tags(resource, name), **given)
    return name


def _set_sizes(resource: Resource) -> None:
    if resource.previous is None:
        return
    given = _sizes(resource, "update_auto_scaling_group")
    for name, default in _SIZES.items():
        if name in resource.previous and name not in resource.properties and default is not None:
            given[_ARGUMENTS.get(name, name)] = default
    _note_raise(resource, int(given.get("MinSize", 0)))
    resource.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=resource.physical_id, **given)
    _take_back_raise(resource, int(given.get("MinSize", 0)))


def _note_raise(resource: Resource, min_size: int) -> None:
    """Remember what there was before a greater MinSize raises the desired capacity to itself."""
    group = _group(resource)
    if group["DesiredCapacity"] < min_size and "DesiredCapacity" not in resource.properties:
        instances = [instance["InstanceId"] for instance in group["Instances"]]
        resource.memory["before_raise"] = {"min_size": group["MinSize"], "instances": instances}


def _take_back_raise(resource: Resource, min_size: int) -> None:
    """
    Take away the instances a greater MinSize brought, once it is what it was.

    On AWS the managed scaling of the capacity provider does so, some minutes
    later, because they carry no task (ECS Developer Guide, "cluster auto
    scaling"); here nothing else would, and a rollback would leave them.
    """
    before = resource.memory.get("before_raise")
    if before is None or before["min_size"] != min_size or "DesiredCapacity" in resource.properties:
        return
    del resource.memory["before_raise"]
    surplus = [
        instance["InstanceId"]
        for instance in _group(resource)["Instances"]
        if instance["InstanceId"] not in before["instances"]
    ]
    with _instances_remains(resource, surplus):
        for instance in surplus:
            resource.client("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=True
            )


def _sizes(resource: Resource, operation: str) -> dict[str, Any]:
    autoscaling, properties = resource.client("autoscaling"), resource.properties
    names = [name for name in _SIZES if name not in {*_ARGUMENTS, "VPCZoneIdentifier"}]
    given = arguments(autoscaling, operation, properties, *names, DefaultCooldown="Cooldown")
    if subnets := properties.take("VPCZoneIdentifier"):
        given["VPCZoneIdentifier"] = ",".join(subnets)
    return given


def _group_tags(resource: Resource, name: str) -> list[dict[str, Any]]:
    """Join the group's tags to its stack's; those of the stack go on to the instances, as on AWS."""
    tags = {key: (value, True) for key, value in resource.stack.tags.items()}
    for tag in resource.properties.branches("Tags"):
        tags[tag.require("Key")] = (tag.require("Value"), flag(tag.require("PropagateAtLaunch")))
    return [
        {
            "ResourceId": name,
            "ResourceType": "auto-scaling-group",
            "Key": key,
            "Value": value,
            "PropagateAtLaunch": propagates,
        }
        for key, (value, propagates) in tags.items()
    ]


def _set_group_tags(resource: Resource) -> None:
    if resource.previous is None:
        return
    autoscaling, name = resource.client("autoscaling"), resource.physical_id
    wanted = _group_tags(resource, name)
    keys = {tag["Key"] for tag in wanted}
    if surplus := [tag for tag in _group(resource)["Tags"] if tag["Key"] not in keys]:
        autoscaling.delete_tags(Tags=surplus)
    if wanted:
        autoscaling.create_or_update_tags(Tags=wanted)


def _set_metrics(resource: Resource) -> None:
    metrics: list[str] = []
    for collection in resource.properties.branches("MetricsCollection"):
        collection.require("Granularity")  # 1Minute is the only one there is
        metrics += collection.take("Metrics", _GROUP_METRICS)
    if metrics or resource.previous is not None:
        # An empty list takes them all away: moto has no DisableMetricsCollection.
        resource.client("autoscaling").enable_metrics_collection(
            AutoScalingGroupName=resource.physical_id, Granularity="1Minute", Metrics=metrics
        )


def _set_hooks(resource: Resource) -> None:
    autoscaling, group = resource.client("autoscaling"), resource.physical_id
    shape = autoscaling.meta.service_model.shape_for("LifecycleHookSpecification")
    carried = ("LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult")
    wanted = [
        {name: fit(value, shape.members[name]) for name, value in hook.same(*carried).items()}
        for hook in resource.properties.branches("LifecycleHookSpecificationList")
    ]
    names = [hook["LifecycleHookName"] for hook in wanted]
    for hook in (resource.previous or Properties({})).branches("LifecycleHookSpecificationList"):
        if (name := hook.require("LifecycleHookName")) not in names:
            autoscaling.delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName=name)
    for given in wanted:
        autoscaling.put_lifecycle_hook(AutoScalingGroupName=group, **given)


def _delete_group(resource: Resource) -> None:
    """Remove the group with its instances; for protected ones CloudFormation waits until it gives up."""
    autoscaling = resource.client("autoscaling")
    found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[resource.physical_id])
    for group in found["AutoScalingGroups"]:
        protected = [instance for instance in group["Instances"] if instance["ProtectedFromScaleIn"]]
        if protected:
            raise ResourceFailedError(
                f"Group did not stabilize. {{current/minSize/maxSize}} group size = {{{len(protected)}/0/0}}."
            )
        with _instances_remains(resource, [instance["InstanceId"] for instance in group["Instances"]]):
            autoscaling.delete_auto_scaling_group(AutoScalingGroupName=resource.physical_id, ForceDelete=True)


@contextmanager
def _instances_remains(resource: Resource, instances: list[str]) -> Iterator[None]:
    """Take away the network interfaces and volumes moto leaves behind; on AWS they go with their instances."""
    ec2, ours = resource.client("ec2"), [{"Name": "attachment.instance-id", "Values": instances}]
    interfaces = ec2.describe_network_interfaces(Filters=ours)["NetworkInterfaces"] if instances else []
    volumes = ec2.describe_volumes(Filters=ours)["Volumes"] if instances else []
    yield
    for interface in interfaces:
        ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    for volume in volumes:
        with unless_gone("InvalidVolume.NotFound"):
            ec2.detach_volume(VolumeId=volume["VolumeId"], InstanceId=volume["Attachments"][0]["InstanceId"])
            ec2.delete_volume(VolumeId=volume["VolumeId"])


def _group(resource: Resource) -> dict[str, Any]:
    answer = resource.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[resource.physical_id])
    return dict(answer["AutoScalingGroups"][0])


def _has_its_instances(resource: Resource) -> bool:
    group = _group(resource)
    in_service = [instance for instance in group["Instances"] if instance["LifecycleState"] == "InService"]
    return bool(len(in_service) == group["DesiredCapacity"])


_AUTO_SCALING_GROUP = Row(
    type="AWS::AutoScaling::AutoScalingGroup",
    create=_create_group,
    delete=_delete_group,
    settings=(
        Setting(tuple(_SIZES), _set_sizes),
        Setting(("MetricsCollection",), _set_metrics),
        Setting(("LifecycleHookSpecificationList",), _set_hooks),
        Setting(("Tags",), _set_group_tags),
    ),
    attributes={"AutoScalingGroupARN": lambda resource: str(_group(resource)["AutoScalingGroupARN"])},
    is_stable=_has_its_instances,
)

ROWS: tuple[Row, ...] = (_LAUNCH_TEMPLATE, _AUTO_SCALING_GROUP)
