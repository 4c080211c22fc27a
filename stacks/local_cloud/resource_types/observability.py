"""Rows of what is watched and who hears of it: dashboard, topic, log groups."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, document, fit, refuse_taken, tag_list, unless_gone
from stacks.local_cloud.row import Properties, Resource, Row, Setting

# -- CloudWatch ----------------------------------------------------------------


def _create_dashboard(resource: Resource) -> str:
    name = str(resource.properties.take("DashboardName") or resource.generated_name(limit=255))
    found = resource.client("cloudwatch").list_dashboards(DashboardNamePrefix=name)["DashboardEntries"]
    refuse_taken(resource, name, is_taken=name in [dashboard["DashboardName"] for dashboard in found])
    _put_dashboard(resource, name)
    return name


def _put_dashboard(resource: Resource, name: str) -> None:
    body = document(resource.properties.require("DashboardBody"))
    resource.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=body)


def _set_dashboard(resource: Resource) -> None:
    if resource.previous is not None:
        _put_dashboard(resource, resource.physical_id)


def _delete_dashboard(resource: Resource) -> None:
    with unless_gone("ResourceNotFound", "DashboardNotFoundError"):
        resource.client("cloudwatch").delete_dashboards(DashboardNames=[resource.physical_id])


# -- SNS -----------------------------------------------------------------------

_TOPIC = {"DisplayName": "", "KmsMasterKeyId": "", "SignatureVersion": "1"}
"""Attributes of a topic and what it has without them (SNS API Reference, SetTopicAttributes)."""
_SUBSCRIPTION = {"FilterPolicy": "", "RawMessageDelivery": "false"}
"""The same of SetSubscriptionAttributes."""


def _create_topic(resource: Resource) -> str:
    sns, name = resource.client("sns"), resource.properties.take("TopicName") or resource.generated_name(limit=256)
    pages = sns.get_paginator("list_topics").paginate()
    there = {topic["TopicArn"].rpartition(":")[2]: topic["TopicArn"] for page in pages for topic in page["Topics"]}
    refuse_taken(resource, there.get(name, name), is_taken=name in there)
    return str(sns.create_topic(Name=name)["TopicArn"])


def _set_topic(resource: Resource) -> None:
    sns = resource.client("sns")
    for name, default in _TOPIC.items():
        if name in resource.properties or resource.previous is not None:
            value = str(resource.properties.take(name, default))
            sns.set_topic_attributes(TopicArn=resource.physical_id, AttributeName=name, AttributeValue=value)


def _set_inline_subscriptions(resource: Resource) -> None:
    sns, arn = resource.client("sns"), resource.physical_id
    wanted, before = _endpoints(resource.properties), _endpoints(resource.previous or Properties({}))
    worn = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    for subscription in worn:
        pair = (subscription["Protocol"], subscription["Endpoint"])
        if pair in before and pair not in wanted:
            sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    there = [(subscription["Protocol"], subscription["Endpoint"]) for subscription in worn]
    for protocol, endpoint in wanted:
        if (protocol, endpoint) not in there:
            sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)


def _endpoints(properties: Properties) -> list[tuple[str, str]]:
    return [(item.require("Protocol"), item.require("Endpoint")) for item in properties.branches("Subscription")]


def _set_topic_tags(resource: Resource) -> None:
    sns, arn, wanted = resource.client("sns"), resource.physical_id, resource.tags()
    worn = [tag["Key"] for tag in sns.list_tags_for_resource(ResourceArn=arn)["Tags"]]
    if surplus := [key for key in worn if key not in wanted]:
        sns.untag_resource(ResourceArn=arn, TagKeys=surplus)
    if wanted:
        sns.tag_resource(ResourceArn=arn, Tags=tag_list(wanted))


def _delete_topic(resource: Resource) -> None:
    """Remove the topic and its subscriptions, as SNS does."""
    sns, arn = resource.client("sns"), resource.physical_id
    with unless_gone("NotFound"):
        for subscription in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
            sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        sns.delete_topic(TopicArn=arn)


def _subscribe(resource: Resource) -> str:
    sns = resource.client("sns")
    given = arguments(sns, "subscribe", resource.properties, "TopicArn", "Protocol", "Endpoint")
    return str(sns.subscribe(ReturnSubscriptionArn=True, **given)["SubscriptionArn"])


def _set_subscription(resource: Resource) -> None:
    sns = resource.client("sns")
    for name, default in _SUBSCRIPTION.items():
        if name in resource.properties or (resource.previous is not None and name in resource.previous):
            value = _attribute(resource.properties.take(name, default))
            sns.set_subscription_attributes(
                SubscriptionArn=resource.physical_id, AttributeName=name, AttributeValue=value
            )


def _attribute(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else document(value)


def _unsubscribe(resource: Resource) -> None:
    with unless_gone("NotFound"):
        resource.client("sns").unsubscribe(SubscriptionArn=resource.physical_id)


def _create_topic_policy(resource: Resource) -> str:
    _put_topic_policy(resource)
    return resource.generated_name()


def _put_topic_policy(resource: Resource) -> None:
    text = document(resource.properties.require("PolicyDocument"))
    wanted = resource.properties.require("Topics")
    for topic in (resource.previous or Properties({})).take("Topics", []):
        if topic not in wanted:
            _reset_topic_policy(resource, topic)
    for topic in wanted:
        resource.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)


def _set_topic_policy(resource: Resource) -> None:
    if resource.previous is not None:
        _put_topic_policy(resource)


def _delete_topic_policy(resource: Resource) -> None:
    for topic in resource.properties.require("Topics"):
        _reset_topic_policy(resource, topic)


def _reset_topic_policy(resource: Resource, topic: str) -> None:
    """Give the topic back the policy it was born with: its owner may do all (SNS Developer Guide, default policy)."""
    actions = ("AddPermission", "DeleteTopic", "GetTopicAttributes", "ListSubscriptionsByTopic", "Publish")
    more = ("RemovePermission", "SetTopicAttributes", "Subscribe")
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in actions + more],
        "Resource": topic,
        "Condition": {"StringEquals": {"AWS:SourceOwner": resource.stack.account}},
    }
    policy = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    with unless_gone("NotFound"):
        resource.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=document(policy)
        )


# -- logs ----------------------------------------------------------------------

_NO_LOG_GROUP = "ResourceNotFoundException"
_TRANSFORMATION = ("MetricName", "MetricNamespace", "MetricValue", "DefaultValue", "Unit")


def _create_log_group(resource: Resource) -> str:
    logs = resource.client("logs")
    given = {
        "logGroupName": resource.generated_name(limit=512),
        **arguments(logs, "create_log_group", resource.properties, "LogGroupName", "LogGroupClass", "KmsKeyId"),
    }
    logs.create_log_group(**given)
    return str(given["logGroupName"])


def _set_retention(resource: Resource) -> None:
    logs, days = resource.client("logs"), resource.properties.take("RetentionInDays")
    if days is not None:
        logs.put_retention_policy(logGroupName=resource.physical_id, retentionInDays=int(days))
    elif resource.previous is not None:
        logs.delete_retention_policy(logGroupName=resource.physical_id)


def _set_log_group_tags(resource: Resource) -> None:
    logs, wanted = resource.client("logs"), resource.tags()
    arn = _log_group(resource)["arn"].removesuffix(":*")
    worn = logs.list_tags_for_resource(resourceArn=arn)["tags"]
    if surplus := [key for key in worn if key not in wanted]:
        logs.untag_resource(resourceArn=arn, tagKeys=surplus)
    if wanted:
        logs.tag_resource(resourceArn=arn, tags=wanted)


def _log_group(resource: Resource) -> dict[str, Any]:
    found = resource.client("logs").describe_log_groups(logGroupNamePrefix=resource.physical_id)["logGroups"]
    return next(dict(group) for group in found if group["logGroupName"] == resource.physical_id)


def _delete_log_group(resource: Resource) -> None:
    with unless_gone(_NO_LOG_GROUP):
        resource.client("logs").delete_log_group(logGroupName=resource.physical_id)


def _create_filter(resource: Resource) -> str:
    name = str(resource.properties.take("FilterName") or resource.generated_name(limit=512))
    group = resource.properties.require("LogGroupName")
    found = resource.client("logs").describe_metric_filters(logGroupName=group, filterNamePrefix=name)["metricFilters"]
    refuse_taken(resource, f"{group}|{name}", is_taken=name in [each["filterName"] for each in found])
    _put_filter(resource, name)
    return name


def _put_filter(resource: Resource, name: str) -> None:
    properties = resource.properties
    logs = resource.client("logs")
    logs.put_metric_filter(
        logGroupName=properties.require("LogGroupName"),
        filterName=name,
        filterPattern=properties.require("FilterPattern"),
        metricTransformations=[_transformation(logs, item) for item in properties.branches("MetricTransformations")],
    )


def _transformation(logs: Any, item: Properties) -> dict[str, Any]:
    members = logs.meta.service_model.shape_for("MetricTransformation").members
    given = {name[0].lower() + name[1:]: value for name, value in item.same(*_TRANSFORMATION).items()}
    written = {name: fit(value, members[name]) for name, value in given.items()}
    if dimensions := item.branches("Dimensions"):
        written["dimensions"] = {pair.require("Key"): pair.require("Value") for pair in dimensions}
    return written


def _set_filter(resource: Resource) -> None:
    if resource.previous is not None:
        _delete_filter(resource)  # moto would keep both the old one and the new
        _put_filter(resource, resource.physical_id)


def _delete_filter(resource: Resource) -> None:
    with unless_gone(_NO_LOG_GROUP):
        resource.client("logs").delete_metric_filter(
            logGroupName=resource.properties.require("LogGroupName"), filterName=resource.physical_id
        )


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::CloudWatch::Dashboard",
        create=_create_dashboard,
        delete=_delete_dashboard,
        settings=(Setting(("DashboardBody",), _set_dashboard),),
    ),
    Row(
        type="AWS::SNS::Topic",
        create=_create_topic,
        delete=_delete_topic,
        settings=(
            Setting(tuple(_TOPIC), _set_topic),
            Setting(("Subscription",), _set_inline_subscriptions),
            Setting(("Tags",), _set_topic_tags),
        ),
        attributes={
            "TopicArn": lambda resource: resource.physical_id,
            "TopicName": lambda resource: resource.physical_id.rpartition(":")[2],
        },
    ),
    Row(
        type="AWS::SNS::Subscription",
        create=_subscribe,
        delete=_unsubscribe,
        settings=(Setting(tuple(_SUBSCRIPTION), _set_subscription),),
        attributes={"Arn": lambda resource: resource.physical_id},
    ),
    Row(
        type="AWS::SNS::TopicPolicy",
        create=_create_topic_policy,
        delete=_delete_topic_policy,
        settings=(Setting(("PolicyDocument", "Topics"), _set_topic_policy),),
        attributes={"Id": lambda resource: resource.physical_id},
    ),
    Row(
        type="AWS::Logs::LogGroup",
        create=_create_log_group,
        delete=_delete_log_group,
        settings=(Setting(("RetentionInDays",), _set_retention), Setting(("Tags",), _set_log_group_tags)),
        attributes={"Arn": lambda resource: str(_log_group(resource)["arn"])},
    ),
    Row(
        type="AWS::Logs::MetricFilter",
        create=_create_filter,
        delete=_delete_filter,
        settings=(Setting(("FilterPattern", "MetricTransformations"), _set_filter),),
    ),
)
