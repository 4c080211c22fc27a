"""
Mends moto where one of its services loses what it was given.

Each repair is a stand-in: it lets moto answer and then writes what was lost
into moto's own objects, so that every later answer tells it. What is repaired
is what our templates use; a field that is lost and not repaired is not carried
by its row either, so a template that gives it is refused.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.cloudtrail.models import cloudtrail_backends
from moto.dynamodb.models import dynamodb_backends
from moto.ec2.models import ec2_backends
from moto.ec2.utils import parse_user_data
from moto.iam.access_control import PermissionResult
from moto.s3.models import s3_backends
from werkzeug.wrappers import Request, Response

_OK = 200


@dataclass(slots=True)
class _Repair:
    """Runs after each call of one service that moto answered well."""

    service: str
    mend: Callable[[Request, Response], None]

    def handle(self, request: Request, forward: Callable[[], Response]) -> Response:
        """Forward, then mend."""
        response = forward()
        if response.status_code == _OK:
            self.mend(request, response)
        return response


def repairs(region: str, account: str) -> list[_Repair]:
    """Give a stand-in for each service that needs one."""
    here, aws = (account, region), (account, "aws")
    return [
        _Repair("autoscaling", lambda request, _: _keep_group_fields(_at(autoscaling_backends, here), request.form)),
        _Repair("cloudtrail", lambda request, _: _take_other_selectors_off(_at(cloudtrail_backends, here), request)),
        _Repair("dynamodb", lambda request, _: _change_encryption(_at(dynamodb_backends, here), request)),
        _Repair("ec2", lambda request, _: _decode_user_data(_at(ec2_backends, here), request.form)),
        _Repair("ec2", lambda request, _: _keep_own_tags_out_of_data(_at(ec2_backends, here), request.form)),
        _Repair("ec2", lambda request, _: _forget_endpoints(_at(ec2_backends, here), request.form)),
        _Repair("s3", lambda request, _: _deliver_access_logs_later(_at(s3_backends, aws), request)),
        _Repair("s3", lambda request, answer: _tell_blocked_encryption(_at(s3_backends, aws), request, answer)),
        _Repair("s3", lambda request, _: _keep_policy_from_deciding(_at(s3_backends, aws), request)),
    ]


def _at(backends: Any, place: tuple[str, str]) -> Any:
    account, region = place
    return backends[account][region]


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


# -- CloudTrail: PutEventSelectors keeps advanced selectors beside others -----------


def _take_other_selectors_off(backend: Any, request: Request) -> None:
    """A trail has selectors of one sort (CloudTrail API Reference, PutEventSelectors)."""
    if request.headers.get("X-Amz-Target", "").endswith(".PutEventSelectors"):
        asked = json.loads(request.get_data())
        if asked.get("EventSelectors"):
            backend.get_trail(asked["TrailName"]).advanced_event_selectors = []


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


# -- EC2: CreateLaunchTemplate writes the template's own tags into what it launches ----


def _keep_own_tags_out_of_data(backend: Any, form: Mapping[str, str]) -> None:
    if form.get("Action") != "CreateLaunchTemplate":
        return
    data = backend.get_launch_template_by_name(form["LaunchTemplateName"]).latest_version().data
    launched = [tags for tags in data.pop("TagSpecifications", []) if tags["ResourceType"] != "launch-template"]
    if launched:
        data["TagSpecifications"] = launched


# -- EC2: DeleteVpcEndpoints leaves the endpoints listed -----------------------------


def _forget_endpoints(backend: Any, form: Mapping[str, str]) -> None:
    if form.get("Action") == "DeleteVpcEndpoints":
        for name, endpoint in form.items():
            if name.startswith("VpcEndpointId"):
                backend.vpc_end_points.pop(endpoint, None)


# -- S3: access logs arrive at once, one object each request -------------------------


def _deliver_access_logs_later(backend: Any, request: Request) -> None:
    """
    Keep moto from writing access logs into their bucket.

    AWS delivers them within hours and on a best-effort basis (S3 User Guide,
    "Logging requests with server access logging"), so a bucket for them that
    was made a moment ago is empty: the rollback of its creation relies on that.
    """
    if request.method == "PUT" and "logging" in request.args:
        backend.log_incoming_request = lambda _request, _bucket: None


# -- S3: GetBucketEncryption does not tell which encryptions are blocked ------------

_S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def _tell_blocked_encryption(backend: Any, request: Request, response: Response) -> None:
    if request.method != "GET" or "encryption" not in request.args:
        return
    bucket = backend.get_bucket(request.path.strip("/"))
    blocked = bucket.encryption["Rule"].get("BlockedEncryptionTypes")
    if not blocked:
        return
    root = ET.fromstring(response.get_data())  # noqa: S314 - moto's own answer, made in this process
    namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    ET.register_namespace("", _S3_NAMESPACE)
    for rule in root.iter(f"{namespace}Rule"):
        types = ET.SubElement(rule, f"{namespace}BlockedEncryptionTypes")
        given = blocked["EncryptionType"]
        for name in given if isinstance(given, list) else [given]:
            ET.SubElement(types, f"{namespace}EncryptionType").text = name
    response.set_data(ET.tostring(root, encoding="utf-8", xml_declaration=True))


# -- S3: a Deny with a condition denies everything ----------------------------------


def _keep_policy_from_deciding(backend: Any, request: Request) -> None:
    """
    Take the decision on a bucket's objects from moto, which reads no condition of a policy.

    The policy itself is kept and read back as it was given; who may do what
    by it is not moto's to say.
    """
    if request.method == "PUT" and "policy" in request.args:
        bucket = backend.get_bucket(request.path.strip("/"))
        bucket.get_permission = lambda _action, _resource: PermissionResult.NEUTRAL
