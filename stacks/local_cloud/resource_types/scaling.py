"""Rows of service scaling: what may be scaled between which bounds, and by which policy."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, refuse_taken, unless_gone
from stacks.local_cloud.row import Resource, Row, Setting

_GONE = "ObjectNotFoundException"
_TARGET = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_BOUNDS = ("MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState")
_POLICY = ("PolicyType", "StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration")


def _create_target(resource: Resource) -> str:
    given = _registration(resource)
    identity = f"{given['ResourceId']}|{given['ScalableDimension']}|{given['ServiceNamespace']}"
    refuse_taken(resource, identity, is_taken=_is_registered(resource, _target_of(identity)))
    resource.client("application-autoscaling").register_scalable_target(**given)
    return identity


def _set_bounds(resource: Resource) -> None:
    if resource.previous is not None:
        resource.client("application-autoscaling").register_scalable_target(**_registration(resource))


def _registration(resource: Resource) -> dict[str, Any]:
    scaling = resource.client("application-autoscaling")
    return arguments(scaling, "register_scalable_target", resource.properties, *_TARGET, *_BOUNDS)


def _is_registered(resource: Resource, target: dict[str, str]) -> bool:
    found = resource.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace=target["ServiceNamespace"],
        ResourceIds=[target["ResourceId"]],
        ScalableDimension=target["ScalableDimension"],
    )
    return bool(found["ScalableTargets"])


def _target_of(identity: str) -> dict[str, str]:
    """Read the three names of a target out of its Ref, `service/cluster/name|ecs:service:DesiredCount|ecs`."""
    resource_id, dimension, namespace = identity.split("|")
    return {"ResourceId": resource_id, "ScalableDimension": dimension, "ServiceNamespace": namespace}


def _deregister(resource: Resource) -> None:
    scaling, target = resource.client("application-autoscaling"), _target_of(resource.physical_id)
    if _is_registered(resource, target):
        scaling.deregister_scalable_target(**target)


def _put_policy(resource: Resource) -> str:
    scaling, properties = resource.client("application-autoscaling"), resource.properties
    given = arguments(scaling, "put_scaling_policy", properties, "PolicyName", *_TARGET, *_POLICY)
    if target := properties.take("ScalingTargetId"):
        given |= _target_of(target)
    return str(scaling.put_scaling_policy(**given)["PolicyARN"])


def _set_policy(resource: Resource) -> None:
    if resource.previous is not None:
        # moto gives a policy that is put again a new ARN.
        resource.physical_id = _put_policy(resource)


def _policy(resource: Resource) -> dict[str, Any] | None:
    scaling, properties = resource.client("application-autoscaling"), resource.properties
    target = properties.take("ScalingTargetId")
    namespace = _target_of(target)["ServiceNamespace"] if target else properties.require("ServiceNamespace")
    found = scaling.describe_scaling_policies(ServiceNamespace=namespace)["ScalingPolicies"]
    return next((policy for policy in found if policy["PolicyARN"] == resource.physical_id), None)


def _delete_policy(resource: Resource) -> None:
    policy = _policy(resource)
    if policy is None:
        return
    given = {name: policy[name] for name in ("PolicyName", *_TARGET)}
    with unless_gone(_GONE):
        resource.client("application-autoscaling").delete_scaling_policy(**given)


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        create=_create_target,
        delete=_deregister,
        settings=(Setting(_BOUNDS, _set_bounds),),
        attributes={"Id": lambda resource: resource.physical_id},
    ),
    Row(
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        create=_put_policy,
        delete=_delete_policy,
        settings=(Setting(_POLICY, _set_policy),),
        attributes={"Arn": lambda resource: resource.physical_id},
    ),
)
