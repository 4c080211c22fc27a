"""
Protection from scale-in, lifted before a stack goes.

ECS protects instances that run tasks where the environment wants it, and
nobody takes that away when the capacity provider goes: CloudFormation would
wait for instances that never end (containers-roadmap issue 2862).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stacks.deployment.account import Account
from stacks.deployment.stack import StackState, read_resources

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient

_GROUP: Final = "AWS::AutoScaling::AutoScalingGroup"
_INSTANCES_AT_ONCE: Final = 50
"""What one SetInstanceProtection takes (Auto Scaling API Reference)."""


def lift_protection(account: Account, stack: StackState) -> list[str]:
    """
    Let the instances of a stack's Auto Scaling groups go; those of no other stack.

    The stacks above it are gone by now, and with them the tasks, so that ECS
    protects nothing anew.

    Returns:
        The instances that were protected.
    """
    resources = read_resources(account.client("cloudformation"), stack.id)
    groups = [resource.physical_id for resource in resources if resource.type == _GROUP and resource.physical_id]
    if not groups:
        return []
    autoscaling: AutoScalingClient = account.client("autoscaling")
    found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=groups)["AutoScalingGroups"]
    lifted: list[str] = []
    for group in found:
        protected = [each["InstanceId"] for each in group["Instances"] if each["ProtectedFromScaleIn"]]
        for start in range(0, len(protected), _INSTANCES_AT_ONCE):
            autoscaling.set_instance_protection(
                AutoScalingGroupName=group["AutoScalingGroupName"],
                InstanceIds=protected[start : start + _INSTANCES_AT_ONCE],
                ProtectedFromScaleIn=False,
            )
        lifted += protected
    return lifted
