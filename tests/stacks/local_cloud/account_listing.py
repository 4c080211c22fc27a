"""Everything an account has of what our templates make, as plain boto3 reads it back, to be compared with itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

Client: TypeAlias = Any
"""A boto3 client, made at run time."""
Json: TypeAlias = Any

_EC2 = (
    "addresses",
    "flow_logs",
    "internet_gateways",
    "nat_gateways",
    "network_interfaces",
    "route_tables",
    "security_groups",
    "subnets",
    "volumes",
    "vpc_endpoints",
    "vpcs",
)
_BUCKET = (
    "bucket_encryption",
    "bucket_lifecycle_configuration",
    "bucket_logging",
    "bucket_notification_configuration",
    "bucket_ownership_controls",
    "bucket_policy",
    "bucket_tagging",
    "bucket_versioning",
    "public_access_block",
)
_MOMENTS = {
    # When something was written, which every write moves, the one that sets it back too.
    "AlarmConfigurationUpdatedTimestamp",
    "LastUpdatedDateTime",
    "ResponseMetadata",
    "StateUpdatedTimestamp",
    "UpdateDate",
    "lastEvaluatedAt",
    "updatedAt",
}
_VERSIONS = {
    # AWS keeps what was there before as versions, also of an update that is rolled back.
    "DefaultVersionId",
    "DefaultVersionNumber",
    "LatestVersionNumber",
}
_GONE = ("deleted", "PendingDeletion", "INACTIVE")
"""How AWS still shows a thing that is gone: NAT gateways, keys, clusters and services; instances are `terminated`."""


def account_listing(client: Callable[[str], Client]) -> Json:
    """List the account, in an order of its own, without moments and without what is gone."""
    return _settled({name: list(listed(client)) for name, listed in _LISTED.items()})


def listing_differences(before: Json, after: Json, path: str = "") -> Iterator[str]:
    """Tell where two listings differ, as a person reads it."""
    match before, after:
        case dict(), dict():
            for name in sorted(before.keys() | after.keys()):
                yield from listing_differences(before.get(name), after.get(name), f"{path}/{name}")
        case list(), list():
            yield from (f"{path}: gone {item}" for item in before if item not in after)
            yield from (f"{path}: new {item}" for item in after if item not in before)
        case _ if before != after:
            yield f"{path}: {before} became {after}"


def _settled(value: Json) -> Json:
    match value:
        case dict():
            return {name: _settled(value[name]) for name in sorted(value) if name not in _MOMENTS | _VERSIONS}
        case list():
            there = [_settled(item) for item in value if not _is_gone(item)]
            return sorted(there, key=lambda item: json.dumps(item, sort_keys=True))
        case str() | bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def _is_gone(item: Json) -> bool:
    return isinstance(item, dict) and any(item.get(name) in _GONE for name in ("State", "KeyState", "status"))


def _ec2(client: Callable[[str], Client]) -> Iterator[Json]:
    ec2 = client("ec2")
    for kind in _EC2:
        yield {kind: next(found for found in getattr(ec2, f"describe_{kind}")().values() if isinstance(found, list))}
    for reservation in ec2.describe_instances()["Reservations"]:
        yield from (instance for instance in reservation["Instances"] if instance["State"]["Name"] != "terminated")
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            yield ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=attribute)
    for template in ec2.describe_launch_templates()["LaunchTemplates"]:
        newest = {"LaunchTemplateId": template["LaunchTemplateId"], "Versions": ["$Latest"]}
        (version,) = ec2.describe_launch_template_versions(**newest)["LaunchTemplateVersions"]
        yield {**template, "data": version["LaunchTemplateData"]}


def _iam(client: Callable[[str], Client]) -> Iterator[Json]:
    iam = client("iam")
    yield from iam.list_instance_profiles()["InstanceProfiles"]
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        yield {
            **iam.get_role(RoleName=name)["Role"],
            "inline": [iam.get_role_policy(RoleName=name, PolicyName=policy) for policy in inline],
            "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        }
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        yield iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
        yield {**policy, "document": version["PolicyVersion"]["Document"]}


def _kms(client: Callable[[str], Client]) -> Iterator[Json]:
    """List keys and aliases; those of a service come with its first use and stay."""
    kms = client("kms")
    aliases = [alias for alias in kms.list_aliases()["Aliases"] if "TargetKeyId" in alias]
    managed = [alias for alias in aliases if alias["AliasName"].startswith("alias/aws/")]
    yield from (alias for alias in aliases if alias not in managed)
    for key in kms.list_keys()["Keys"]:
        named = {"KeyId": key["KeyId"]}
        described = kms.describe_key(**named)["KeyMetadata"]
        is_managed = key["KeyId"] in [alias["TargetKeyId"] for alias in managed]
        if described["KeyState"] not in _GONE and not is_managed:
            yield {
                **described,
                "policy": kms.get_key_policy(**named, PolicyName="default")["Policy"],
                "rotation": kms.get_key_rotation_status(**named)["KeyRotationEnabled"],
                "tags": kms.list_resource_tags(**named)["Tags"],
            }


def _s3(client: Callable[[str], Client]) -> Iterator[Json]:
    s3 = client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        yield {"name": name, **{part: _told(getattr(s3, f"get_{part}"), Bucket=name) for part in _BUCKET}}


def _dynamodb(client: Callable[[str], Client]) -> Iterator[Json]:
    dynamodb = client("dynamodb")
    for name in dynamodb.list_tables()["TableNames"]:
        table = dynamodb.describe_table(TableName=name)["Table"]
        backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        yield {
            **table,
            "recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
            "ttl": dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"],
            "tags": dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"],
        }


def _ecr(client: Callable[[str], Client]) -> Iterator[Json]:
    ecr = client("ecr")
    for repository in ecr.describe_repositories()["repositories"]:
        yield {
            **repository,
            "lifecycle": _told(ecr.get_lifecycle_policy, repositoryName=repository["repositoryName"]),
            "tags": ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"],
        }


def _elb(client: Callable[[str], Client]) -> Iterator[Json]:
    elb = client("elb")
    for balancer in elb.describe_load_balancers()["LoadBalancerDescriptions"]:
        name = balancer["LoadBalancerName"]
        yield {
            **balancer,
            "attributes": elb.describe_load_balancer_attributes(LoadBalancerName=name),
            "policies": elb.describe_load_balancer_policies(LoadBalancerName=name)["PolicyDescriptions"],
            "tags": elb.describe_tags(LoadBalancerNames=[name])["TagDescriptions"],
        }


def _ecs(client: Callable[[str], Client]) -> Iterator[Json]:
    ecs = client("ecs")
    yield from client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    parts = ["SETTINGS", "TAGS", "CONFIGURATIONS"]
    for cluster in ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"], include=parts)["clusters"]:
        yield cluster
        for arn in ecs.list_services(cluster=cluster["clusterArn"])["serviceArns"]:
            yield from ecs.describe_services(cluster=cluster["clusterArn"], services=[arn], include=["TAGS"])[
                "services"
            ]
        if providers := cluster.get("capacityProviders"):
            named = {"capacityProviders": providers, "include": ["TAGS"]}
            yield from ecs.describe_capacity_providers(**named)["capacityProviders"]
    for arn in ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]:
        yield ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])["taskDefinition"]
    scaling = client("application-autoscaling")
    yield from scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    yield from scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]


def _observability(client: Callable[[str], Client]) -> Iterator[Json]:
    cloudwatch, sns, logs = client("cloudwatch"), client("sns"), client("logs")
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        yield {**alarm, "tags": cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]}
    for dashboard in cloudwatch.list_dashboards()["DashboardEntries"]:
        yield cloudwatch.get_dashboard(DashboardName=dashboard["DashboardName"])["DashboardBody"]
    yield from sns.list_subscriptions()["Subscriptions"]
    for topic in sns.list_topics()["Topics"]:
        attributes = sns.get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
        yield {**attributes, "tags": sns.list_tags_for_resource(ResourceArn=topic["TopicArn"])["Tags"]}
    yield from logs.describe_metric_filters()["metricFilters"]
    for group in logs.describe_log_groups()["logGroups"]:
        arn = group["arn"].removesuffix(":*")
        yield {**group, "tags": logs.list_tags_for_resource(resourceArn=arn)["tags"]}


def _operations(client: Callable[[str], Client]) -> Iterator[Json]:
    events, cloudtrail, backup = client("events"), client("cloudtrail"), client("backup")
    yield from client("cloudwatch").describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    yield from client("logs").describe_query_definitions()["queryDefinitions"]
    for rule in events.list_rules()["Rules"]:
        tags = events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]
        yield {**rule, "targets": events.list_targets_by_rule(Rule=rule["Name"])["Targets"], "tags": tags}
    for trail in cloudtrail.describe_trails()["trailList"]:
        name = trail["Name"]
        is_logging = cloudtrail.get_trail_status(Name=name)["IsLogging"]
        yield {**trail, **_told(cloudtrail.get_event_selectors, TrailName=name), "is_logging": is_logging}
    yield from backup.list_backup_vaults()["BackupVaultList"]
    for plan in backup.list_backup_plans()["BackupPlansList"]:
        identity = plan["BackupPlanId"]
        yield backup.get_backup_plan(BackupPlanId=identity)["BackupPlan"]
        for selection in backup.list_backup_selections(BackupPlanId=identity)["BackupSelectionsList"]:
            yield backup.get_backup_selection(BackupPlanId=identity, SelectionId=selection["SelectionId"])


def _route53(client: Callable[[str], Client]) -> Iterator[Json]:
    route53 = client("route53")
    for zone in route53.list_hosted_zones()["HostedZones"]:
        yield from route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]


def _told(ask: Callable[..., Json], **arguments: str) -> Json:
    """Ask for what may be missing; that it is missing is an answer too."""
    try:
        return ask(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]


_LISTED: dict[str, Callable[[Callable[[str], Client]], Iterator[Json]]] = {
    "DynamoDB": _dynamodb,
    "EC2": _ec2,
    "ECR": _ecr,
    "ECS": _ecs,
    "ELB": _elb,
    "IAM": _iam,
    "KMS": _kms,
    "Route 53": _route53,
    "S3": _s3,
    "observability": _observability,
    "operations": _operations,
}
