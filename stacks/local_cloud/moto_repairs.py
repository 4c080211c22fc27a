"""
Mends moto where one of its services loses what it was given.

Each repair is a stand-in: it lets moto answer and then writes what was lost
into moto's own objects, so that every later answer tells it. What is repaired
is what our templates use; a field that is lost and not repaired is not carried
by its row either, so a template that gives it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.dynamodb.models import dynamodb_backends
from moto.ec2.models import ec2_backends
from moto.ec2.utils import parse_user_data
from werkzeug.wrappers import Request, Response

_OK = 200


@dataclass(frozen=True, slots=True)
class _Repair:
    """Runs after each call of one service that moto answered well."""

    service: str
    mend: Callable[[Request], None]

    def handle(self, request: Request, forward: Callable[[], Response]) -> Response:
        """Forward, then mend."""
        response = forward()
        if response.status_code == _OK:
            self.mend(request)
        return response


def repairs(region: str, account: str) -> list[_Repair]:
    """Give a stand-in for each service that needs one."""
    return [
        _Repair("autoscaling", lambda request: _keep_group_fields(autoscaling_backends[account][region], request.form)),
        _Repair("dynamodb", lambda request: _change_encryption(dynamodb_backends[account][region], request)),
        _Repair("ec2", lambda request: _decode_user_data(ec2_backends[account][region], request.form)),
    ]


# -- Auto Scaling: CreateAutoScalingGroup and UpdateAutoScalingGroup lose these ---

_NUMBERS = {
    "DefaultCooldown": "default_cooldown",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "MaxInstanceLifetime": "max_instance_lifetime",
}
_MAINTENANCE = ("MinHealthyPercentage", "MaxHealthyPercentage")


def _keep_group_fields(backend: Any, form: Mapping[str, str]) -> None:
    if form.get("Action") not in {"CreateAutoScalingGroup", "UpdateAutoScalingGroup"}:
        return
    group = backend.autoscaling_groups[form["AutoScalingGroupName"]]
    for argument, attribute in _NUMBERS.items():
        if argument in form:
            setattr(group, attribute, int(form[argument]))
    if "CapacityRebalance" in form:
        group.capacity_rebalance = form["CapacityRebalance"] == "true"
    if policies := [form[name] for name in sorted(form) if name.startswith("TerminationPolicies.member.")]:
        group.termination_policies = policies
    given = {name: form.get(f"InstanceMaintenancePolicy.{name}") for name in _MAINTENANCE}
    policy = {name: int(value) for name, value in given.items() if value is not None}
    if policy:
        # Minus one takes the policy away (Auto Scaling API Reference, InstanceMaintenancePolicy).
        group.instance_maintenance_policy = policy if min(policy.values()) >= 0 else None


# -- DynamoDB: UpdateTable overlooks the encryption -------------------------------


def _change_encryption(backend: Any, request: Request) -> None:
    if not request.headers.get("X-Amz-Target", "").endswith(".UpdateTable"):
        return
    asked = json.loads(request.get_data())
    if "SSESpecification" in asked:
        table = backend.get_table(asked["TableName"].rpartition("/")[2])
        table.sse_specification = asked["SSESpecification"]


# -- EC2: CreateLaunchTemplateVersion leaves user data in a form no instance can start from --


def _decode_user_data(backend: Any, form: Mapping[str, str]) -> None:
    if form.get("Action") != "CreateLaunchTemplateVersion":
        return
    if identity := form.get("LaunchTemplateId"):
        template = backend.get_launch_template(identity)
    else:
        template = backend.get_launch_template_by_name(form["LaunchTemplateName"])
    data = template.latest_version().data
    data["UserData"] = parse_user_data(data.get("UserData"))
