"""
What is told as it happens: rules for events, each with a sentence that says what happened and where to read on.

Some events come from the services themselves. Those of calls (break-glass, a
key, the bucket's lock) come through CloudTrail, and only where a trail of the
account logs management events in this region: ours, with `[audit_trail]`, or the
account's own (EventBridge guide, events of AWS services via CloudTrail).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from troposphere import Ref, Sub, Template
from troposphere.events import InputTransformer, Rule, Target

from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.permissions import arn
from stacks.templates.joints import begin, take

_THROUGH_CLOUDTRAIL: Final = "AWS API Call via CloudTrail"
_CALLER: Final = {"who": "$.detail.userIdentity.arn", "from": "$.detail.sourceIPAddress", "call": "$.detail.eventName"}
_ENDED_BY_ITSELF: Final = ("EssentialContainerExited", "TaskFailedToStart", "TerminationNotice", "SpotInterruption")
"""Why a task stops that nobody asked to (ECS API reference, Task, stopCode)."""
_LOCKS: Final = (
    *("PutBucketPolicy", "DeleteBucketPolicy"),
    *("PutBucketPublicAccessBlock", "DeleteBucketPublicAccessBlock"),
    *("PutBucketEncryption", "DeleteBucketEncryption"),
    *("PutBucketVersioning", "PutBucketLifecycle", "DeleteBucketLifecycle"),
    *("PutBucketAcl", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls"),
    *("PutBucketNotification", "PutBucketLogging", "DeleteBucket"),
)
"""As CloudTrail names the calls (S3 guide, CloudTrail events of bucket-level operations)."""
_OF_KEYS: Final = ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "DisableKeyRotation")
_TAKING_A_ROLE: Final = ("AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity")


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One kind of event and what is said of it.

    Attributes:
        title: The rule's logical id.
        source: The service whose event it is, `aws.ecs`.
        kinds: Its detail types.
        detail: What else it must be, as EventBridge's pattern.
        says: The sentence, with `<names>` of `paths` in it.
        paths: Where in the event each name is found.
        runbook: The page of docs/runbooks, without its suffix.
        is_read_only: Whether CloudTrail counts the call as one that changes nothing.
    """

    title: str
    source: str
    kinds: tuple[str, ...]
    detail: Mapping[str, object]
    says: str
    paths: Mapping[str, str]
    runbook: str
    is_read_only: bool = False


def build(environment: Environment) -> Template:
    """Build the template of rules for events."""
    template = begin(environment, "what is told as it happens")
    topic = take(template, environment, Output.ALARM_TOPIC_ARN)
    for notice in _notices(template, environment):
        template.add_resource(_rule(environment, notice, topic))
    return template


def _rule(environment: Environment, notice: Notice, topic: Ref) -> Rule:
    says = f"{environment.project} {environment.name}: {notice.says} Runbook: docs/runbooks/{notice.runbook}.md"
    return Rule(
        notice.title,
        Description=f"Tells when {notice.title}; runbook: docs/runbooks/{notice.runbook}.md",
        EventPattern={"source": [notice.source], "detail-type": list(notice.kinds), "detail": notice.detail},
        # Taking a role changes nothing, says CloudTrail (EventBridge guide, receiving read-only management events).
        State="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" if notice.is_read_only else "ENABLED",
        Targets=[
            Target(
                Id="alarms",
                Arn=topic,
                # No role: a topic is opened by its own policy, and with a role delivery may fail (EventBridge guide).
                InputTransformer=InputTransformer(InputPathsMap=dict(notice.paths), InputTemplate=json.dumps(says)),
            )
        ],
    )


def _notices(template: Template, environment: Environment) -> list[Notice]:
    return [
        *_of_tasks(template, environment),
        *_of_instances(template, environment),
        *_of_certificate_bucket(template, environment),
        _of_keys(template, environment),
        _of_break_glass(environment),
    ]


def _of_tasks(template: Template, environment: Environment) -> list[Notice]:
    take(template, environment, Output.CLUSTER_NAME)
    cluster = Sub(arn(environment, "ecs", f"cluster/${{{Output.CLUSTER_NAME}}}"))
    stopped = {
        "clusterArn": [cluster],
        "lastStatus": ["STOPPED"],
        "$or": [
            {"stopCode": list(_ENDED_BY_ITSELF)},
            # Stopped by ECS itself, and no less a fault of the task.
            {"stoppedReason": [{"prefix": "Task failed ELB health checks"}]},
        ],
    }
    return [
        Notice(
            "TaskFindsNoInstance",
            "aws.ecs",
            ("ECS Service Action",),
            {"clusterArn": [cluster], "eventName": ["SERVICE_TASK_PLACEMENT_FAILURE", "SERVICE_TASK_START_IMPAIRED"]},
            "a task finds no instance or does not start (<event>): <reason>.",
            {"event": "$.detail.eventName", "reason": "$.detail.reason"},
            "a-deployment-is-stuck",
        ),
        Notice(
            "TaskEnded",
            "aws.ecs",
            ("ECS Task State Change",),
            stopped,
            "a task ended by itself (<code>): <reason>. Task <task>.",
            {"code": "$.detail.stopCode", "reason": "$.detail.stoppedReason", "task": "$.detail.taskArn"},
            "a-task-does-not-start",
        ),
    ]


def _of_instances(template: Template, environment: Environment) -> list[Notice]:
    group = {"AutoScalingGroupName": [take(template, environment, Output.AUTO_SCALING_GROUP_NAME)]}
    return [
        Notice(
            "InstanceGoes",
            "aws.autoscaling",
            ("EC2 Instance-terminate Lifecycle Action",),
            group,
            "an instance is going, its task is drained first: <instance>.",
            {"instance": "$.detail.EC2InstanceId"},
            "a-drain-is-stuck",
        ),
        Notice(
            "InstanceFails",
            "aws.autoscaling",
            ("EC2 Instance Launch Unsuccessful", "EC2 Instance Terminate Unsuccessful"),
            group,
            "an instance could not be started or ended: <message>. <cause>",
            {"message": "$.detail.StatusMessage", "cause": "$.detail.Cause"},
            "a-container-instance-fails",
        ),
    ]


def _of_certificate_bucket(template: Template, environment: Environment) -> list[Notice]:
    bucket = take(template, environment, Output.CERTIFICATE_BUCKET_NAME)
    return [
        Notice(
            "CertificateObjectChanged",
            "aws.s3",
            ("Object Created", "Object Deleted", "Object Restore Completed", "Object Tags Added", "Object ACL Updated"),
            {"bucket": {"name": [bucket]}},
            "an object of the certificate bucket was written or removed: <object>, <kind>, from <from> by <who>.",
            {
                "kind": "$.detail-type",
                "object": "$.detail.object.key",
                "from": "$.detail.source-ip-address",
                "who": "$.detail.requester",
            },
            "the-certificate-bucket-changed",
        ),
        Notice(
            "CertificateBucketLockChanged",
            "aws.s3",
            (_THROUGH_CLOUDTRAIL,),
            {
                "eventSource": ["s3.amazonaws.com"],
                "eventName": list(_LOCKS),
                "requestParameters": {"bucketName": [bucket]},
            },
            "the certificate bucket's lock was changed: <call> by <who> from <from>, error: <error>.",
            {**_CALLER, "error": "$.detail.errorCode"},
            "the-certificate-bucket-changed",
        ),
    ]


def _of_keys(template: Template, environment: Environment) -> Notice:
    outputs = [
        Output.CERTIFICATE_KEY_ARN,
        Output.CLIENT_REGISTRY_KEY_ARN,
        Output.REPOSITORY_KEY_ARN,
        Output.LOG_KEY_ARN,
        Output.ALARM_KEY_ARN,
    ]
    outputs += [Output.TRAIL_KEY_ARN] if environment.audit_trail is not None else []
    keys = [take(template, environment, output) for output in outputs]
    return Notice(
        "EncryptionKeyEndangered",
        "aws.kms",
        (_THROUGH_CLOUDTRAIL,),
        # By what CloudTrail calls the resource: what the caller typed may be an id, an ARN or an alias.
        {"eventSource": ["kms.amazonaws.com"], "eventName": list(_OF_KEYS), "resources": {"ARN": keys}},
        "an encryption key was disabled or opened: <call> on <key> by <who> from <from>, error: <error>.",
        {**_CALLER, "key": "$.detail.resources[0].ARN", "error": "$.detail.errorCode"},
        "a-key-is-disabled",
    )


def _of_break_glass(environment: Environment) -> Notice:
    role = naming.role_arn(environment, "break-glass")
    return Notice(
        "BreakGlassTaken",
        "aws.sts",
        (_THROUGH_CLOUDTRAIL,),
        {
            "eventSource": ["sts.amazonaws.com"],
            "eventName": list(_TAKING_A_ROLE),
            "requestParameters": {"roleArn": [role]},
        },
        "the break-glass role was taken, or somebody tried: <call> by <who> from <from>, as <session>, error: <error>.",
        {**_CALLER, "session": "$.detail.requestParameters.roleSessionName", "error": "$.detail.errorCode"},
        "break-glass",
        is_read_only=True,
    )
