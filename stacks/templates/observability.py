"""
What is watched: the service's log, the alarms and whom they reach.

It stands before the workload does, so that the first line and the first fault
are seen; the service is known by the name it will have.
"""

from __future__ import annotations

from awacs import kms
from awacs.aws import Action, ArnLike
from troposphere import GetAtt, Ref, Sub, Template
from troposphere.ec2 import FlowLog
from troposphere.kms import Key
from troposphere.logs import LogGroup

from stacks import naming
from stacks.environment import Environment, OwnNetwork
from stacks.naming import Output
from stacks.permissions import allow, arn, service
from stacks.templates.alarm_topic import alarm_key, alarm_topic
from stacks.templates.alarms import actions_of, alarm, ingress_down
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer, take
from stacks.templates.log_delivery import FLOW_LOG_PREFIX
from stacks.templates.retention import RETAINED
from stacks.templates.watches import watches


def build(environment: Environment) -> Template:
    """Build the template of log and alarms."""
    template = begin(environment, "what is watched")
    log_key = _log_key(template, environment)
    log_group = template.add_resource(_service_log_group(environment, log_key))
    key = alarm_key(template, environment)
    topic = alarm_topic(template, environment, key)
    actions = actions_of(template, environment, topic)
    for watch in watches(environment):
        template.add_resource(alarm(template, environment, watch, actions))
    template.add_resource(ingress_down(actions))
    if isinstance(environment.network, OwnNetwork):
        template.add_resource(_flow_log(template, environment))
    offer(template, Output.SERVICE_LOG_GROUP_NAME, Ref(log_group))
    offer(template, Output.ALARM_TOPIC_ARN, Ref(topic))
    offer(template, Output.LOG_KEY_ARN, GetAtt(log_key, "Arn"))
    offer(template, Output.ALARM_KEY_ARN, GetAtt(key, "Arn"))
    return template


def _log_key(template: Template, environment: Environment) -> Key:
    log_groups = arn(environment, "logs", f"log-group:/{environment.project}/{environment.name}/*")
    grant = allow(
        "LogsEncrypt",
        [
            kms.Encrypt,
            kms.Decrypt,
            Action("kms", "ReEncrypt*"),
            Action("kms", "GenerateDataKey*"),
            kms.DescribeKey,
        ],
        "*",
        to=service(f"logs.{environment.region}.amazonaws.com"),
        when=[ArnLike({"kms:EncryptionContext:aws:logs:arn": log_groups})],
    )
    key = template.add_resource(encryption_key(environment, "LogKey", "The service's log", grant))
    template.add_resource(alias(environment, "LogKeyAlias", key, stack="logs"))
    return key


def _service_log_group(environment: Environment, key: Key) -> LogGroup:
    return LogGroup(
        "ServiceLogGroup",
        LogGroupName=naming.service_log_group(environment),
        RetentionInDays=environment.logs.retention_days,
        KmsKeyId=GetAtt(key, "Arn"),
        **RETAINED,
    )


def _flow_log(template: Template, environment: Environment) -> FlowLog:
    """Describe the log of all connections of the VPC, taken and refused; whoever owns another VPC logs it himself."""
    take(template, environment, Output.LOG_BUCKET_NAME)
    bucket = f"arn:{environment.partition}:s3:::${{{Output.LOG_BUCKET_NAME}}}"
    return FlowLog(
        "FlowLog",
        ResourceType="VPC",
        ResourceId=take(template, environment, Output.VPC_ID),
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=Sub(f"{bucket}/{FLOW_LOG_PREFIX}/"),
        MaxAggregationInterval=600,
    )
