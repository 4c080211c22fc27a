"""
What must be told as it happens, as the events AWS would send of it for the resources of the templates.

Each is an event as the service writes it, so that a rule is judged by what it
lets through and not by how it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stacks.rules.demands import certificate_buckets
from stacks.rules.estate import Estate, Resource
from stacks.rules.topology import CLUSTER, GROUP
from stacks.rules.values import listed

ROLE: Final = "AWS::IAM::Role"
KEY: Final = "AWS::KMS::Key"
_CLOUDTRAIL: Final = "AWS API Call via CloudTrail"
_ANOTHER: Final = "another"


@dataclass(frozen=True, slots=True)
class Happening:
    """
    One thing that must be told.

    Attributes:
        requirement: Whose it is.
        what: In words, as the end of "a rule that tells of ...".
        of: The resource it happens to.
        event: As EventBridge gets it.
        other: The same of a resource that is not ours; no rule may tell of it.
        is_read_only: Whether CloudTrail counts it as a call that changes nothing.
    """

    requirement: str
    what: str
    of: Resource
    event: Mapping[str, Any]
    other: Mapping[str, Any]
    is_read_only: bool = False


def operational(estate: Estate) -> Iterator[Happening]:
    """Give what goes wrong with tasks and instances."""
    for cluster in estate.of_type(CLUSTER):
        arn = estate.arn(cluster)
        for what, kind, detail in _OF_TASKS:
            yield _happening("O1", what, cluster, ("aws.ecs", kind, {"clusterArn": arn, **detail}), arn)
    for group in estate.of_type(GROUP):
        name = estate.ref(group)
        for what, kind, detail in _OF_INSTANCES:
            yield _happening(
                "O1", what, group, ("aws.autoscaling", kind, {"AutoScalingGroupName": name, **detail}), name
            )


_OF_TASKS: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    (
        "a task that cannot be placed",
        "ECS Service Action",
        {"eventType": "ERROR", "eventName": "SERVICE_TASK_PLACEMENT_FAILURE", "reason": "RESOURCE:PORTS"},
    ),
    *(
        (
            f"a task that stops ({code})",
            "ECS Task State Change",
            {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": code, "stoppedReason": "x"},
        )
        for code in ("EssentialContainerExited", "TaskFailedToStart")
    ),
    (
        "a task that is stopped for its health check",
        "ECS Task State Change",
        {
            "lastStatus": "STOPPED",
            "desiredStatus": "STOPPED",
            "stopCode": "ServiceSchedulerInitiated",
            "stoppedReason": "Task failed ELB health checks in (elb x)",
        },
    ),
)
_OF_INSTANCES: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    (
        "an instance that terminates",
        "EC2 Instance-terminate Lifecycle Action",
        {"EC2InstanceId": "i-1", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"},
    ),
    ("an instance that cannot be started", "EC2 Instance Launch Unsuccessful", {"StatusCode": "Failed"}),
)


def of_certificates(estate: Estate) -> Iterator[Happening]:
    """Give what happens to the certificate bucket: its objects by S3 itself, its locks by CloudTrail."""
    for bucket in certificate_buckets(estate):
        name = estate.ref(bucket)
        for kind in ("Object Created", "Object Deleted"):
            detail = {"bucket": {"name": name}, "object": {"key": "server/key.pem"}, "requester": "111122223333"}
            yield _happening("K22", f"{kind} in the certificate bucket", bucket, ("aws.s3", kind, detail), name)
        for call in ("PutBucketPolicy", "DeleteBucketPolicy"):
            detail = {"eventSource": "s3.amazonaws.com", "eventName": call, "requestParameters": {"bucketName": name}}
            yield _happening("O1", f"{call} on the certificate bucket", bucket, ("aws.s3", _CLOUDTRAIL, detail), name)


def of_keys(estate: Estate) -> Iterator[Happening]:
    """Give what makes a key unusable, of every key there is."""
    for key in estate.of_type(KEY):
        arn = estate.arn(key)
        for call in ("DisableKey", "ScheduleKeyDeletion"):
            detail = {
                "eventSource": "kms.amazonaws.com",
                "eventName": call,
                # What the caller typed; the resource is always named by its ARN.
                "requestParameters": {"keyId": arn.rpartition("/")[2]},
                "resources": [{"accountId": estate.place.account, "type": KEY, "ARN": arn}],
            }
            yield _happening("K17", f"{call} on {key.name}", key, ("aws.kms", _CLOUDTRAIL, detail), arn)


def of_break_glass(estate: Estate) -> Iterator[Happening]:
    """Give the taking of every role that demands MFA of whoever takes it."""
    for role in break_glass_roles(estate):
        arn = estate.arn(role)
        detail = {
            "eventSource": "sts.amazonaws.com",
            "eventName": "AssumeRole",
            "readOnly": True,
            "requestParameters": {"roleArn": arn, "roleSessionName": "someone"},
        }
        happening = _happening("K5", f"AssumeRole on {role.name}", role, ("aws.sts", _CLOUDTRAIL, detail), arn)
        yield Happening("K5", happening.what, role, happening.event, happening.other, is_read_only=True)


def break_glass_roles(estate: Estate) -> list[Resource]:
    """Give the roles that whoever takes them must have shown a second factor for."""
    return [role for role in estate.of_type(ROLE) if _asks_for_mfa(role.get("AssumeRolePolicyDocument"))]


def _asks_for_mfa(trust: object) -> bool:
    statements = listed(trust.get("Statement")) if isinstance(trust, dict) else []
    conditions = (each.get("Condition") for each in statements if isinstance(each, dict))
    return any("aws:multifactorauthpresent" in str(each).lower() for each in conditions if each)


def _happening(
    requirement: str, what: str, of: Resource, told: tuple[str, str, Mapping[str, Any]], name: str
) -> Happening:
    source, kind, detail = told
    place = of.estate.place
    event = {"source": source, "detail-type": kind, "account": place.account, "region": place.region, "detail": detail}
    return Happening(requirement, what, of, event, _renamed(event, name))


def _renamed(event: Any, name: str) -> Any:  # noqa: ANN401 -- any JSON
    """Write an event of another resource: its name or ARN is another, all else the same."""
    match event:
        case dict():
            return {key: _renamed(inner, name) for key, inner in event.items()}
        case list():
            return [_renamed(inner, name) for inner in event]
        case str() if name in event or event in name.split("/"):
            return f"{event}-{_ANOTHER}"
        case _:
            return event
