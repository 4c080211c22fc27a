"""What tells operators and auditors is made, read back, changed and removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.stacks.local_cloud.rows.workbench import FailedError, Made, Workbench

TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
BOTH = ["CompositeAlarm", "MetricAlarm"]
TAG = [{"Key": "owner", "Value": "ops"}]


def metric_alarm(bench: Workbench, name: str) -> Made:
    return bench.make(
        "AWS::CloudWatch::Alarm",
        AlarmName=name,
        Namespace="AWS/ELB",
        MetricName="HealthyHostCount",
        ComparisonOperator="LessThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Minimum",
        Threshold=2,
    )


# -- composite alarms ------------------------------------------------------------


def told_alarm(bench: Workbench, name: str) -> Any:
    return bench.client("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=BOTH)["CompositeAlarms"][0]


def test_composite_alarm(bench: Workbench) -> None:
    """What is left out of the template is the service's default again."""
    metric_alarm(bench, "hosts")
    made = bench.make(
        "AWS::CloudWatch::CompositeAlarm",
        AlarmName="down",
        AlarmRule='ALARM("hosts")',
        AlarmActions=[TOPIC],
        OKActions=[TOPIC],
        AlarmDescription="nobody is served",
        Tags=TAG,
    )
    told = told_alarm(bench, "down")
    assert told["AlarmActions"] == told["OKActions"] == [TOPIC]
    assert told["AlarmArn"] == made.attributes["Arn"]

    bench.amend(made, OKActions=None, ActionsEnabled="false", Tags=None)

    told = told_alarm(bench, "down")
    assert (told["AlarmActions"], told["OKActions"], told["ActionsEnabled"]) == ([TOPIC], [], False)
    tags = bench.client("cloudwatch").list_tags_for_resource(ResourceARN=made.attributes["Arn"])["Tags"]
    assert "owner" not in {tag["Key"] for tag in tags}

    bench.remove(made)

    assert bench.client("cloudwatch").describe_alarms(AlarmTypes=BOTH)["CompositeAlarms"] == []


def test_composite_alarm_is_shown_to_those_who_ask_for_it(bench: Workbench) -> None:
    """DescribeAlarms lists metric alarms alone unless it is asked for others."""
    made = bench.make("AWS::CloudWatch::CompositeAlarm", AlarmRule="FALSE")
    cloudwatch = bench.client("cloudwatch")

    assert cloudwatch.describe_alarms()["CompositeAlarms"] == []
    assert cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["MetricAlarms"] == []
    assert told_alarm(bench, made.ref)["StateValue"] == "OK"


def test_composite_alarm_has_the_state_of_its_rule(bench: Workbench) -> None:
    for name in ("first", "second"):
        metric_alarm(bench, name)
    rule = "ALARM(first) AND NOT (OK(second) OR FALSE)"
    made = bench.make("AWS::CloudWatch::CompositeAlarm", AlarmRule=rule)
    cloudwatch = bench.client("cloudwatch")

    states = []
    for second in ("OK", "ALARM"):
        cloudwatch.set_alarm_state(AlarmName="first", StateValue="ALARM", StateReason="test")
        cloudwatch.set_alarm_state(AlarmName="second", StateValue=second, StateReason="test")
        states.append(told_alarm(bench, made.ref)["StateValue"])

    assert states == ["OK", "ALARM"]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("ALARM(nobody)", r"alarms \[nobody\] in the alarm rule do not exist"),
        ("ALARM(lonely", "must be a valid alarm rule: expected '\\)', found 'the end'"),
        ("ALARMED(lonely)", "expected a function, found 'ALARMED'"),
        ("ALARM(lonely) ALARM(lonely)", "unexpected 'ALARM'"),
        ("NOT", "it ends too early"),
        ('ALARM("lonely)', "cannot read"),
    ],
)
def test_rule_that_says_nothing_is_refused(bench: Workbench, rule: str, reason: str) -> None:
    if not bench.client("cloudwatch").describe_alarms(AlarmNames=["lonely"])["MetricAlarms"]:
        metric_alarm(bench, "lonely")

    with pytest.raises(FailedError, match=reason):
        bench.make("AWS::CloudWatch::CompositeAlarm", AlarmRule=rule)


def test_alarm_that_another_looks_at_stays(bench: Workbench) -> None:
    looked_at = metric_alarm(bench, "looked-at")
    looking = bench.make("AWS::CloudWatch::CompositeAlarm", AlarmRule="ALARM(looked-at)")

    with pytest.raises(FailedError, match=r"composite alarm\(s\) depending on it"):
        bench.remove(looked_at)

    bench.remove(looking, looked_at)


def test_two_composite_alarms_are_not_removed_at_once(bench: Workbench) -> None:
    names = [bench.make("AWS::CloudWatch::CompositeAlarm", AlarmRule="FALSE").ref for _ in range(2)]

    with pytest.raises(ClientError, match="one composite alarm"):
        bench.client("cloudwatch").delete_alarms(AlarmNames=names)


# -- saved queries -----------------------------------------------------------------


def test_saved_query(bench: Workbench) -> None:
    logs, given = bench.client("logs"), {"Name": "ingress/refusals", "QueryString": "fields @message"}
    made = bench.make("AWS::Logs::QueryDefinition", LogGroupNames=["service"], **given)
    (told,) = logs.describe_query_definitions(queryDefinitionNamePrefix="ingress/")["queryDefinitions"]
    assert (told["queryDefinitionId"], told["logGroupNames"]) == (made.ref, ["service"])

    bench.amend(made, QueryString="fields @timestamp", LogGroupNames=None)

    (told,) = logs.describe_query_definitions()["queryDefinitions"]
    assert told == {"queryDefinitionId": made.ref, "name": "ingress/refusals", "queryString": "fields @timestamp"}

    bench.remove(made)

    assert logs.describe_query_definitions()["queryDefinitions"] == []


def test_query_nobody_saved_is_neither_changed_nor_removed(bench: Workbench) -> None:
    logs = bench.client("logs")
    asked: list[Callable[[], Any]] = [
        lambda: logs.delete_query_definition(queryDefinitionId="nobody"),
        lambda: logs.put_query_definition(queryDefinitionId="nobody", name="n", queryString="q"),
    ]

    for ask in asked:
        with pytest.raises(logs.exceptions.ResourceNotFoundException):
            ask()


# -- events ------------------------------------------------------------------------


def test_rule_and_its_targets(bench: Workbench) -> None:
    events, pattern = bench.client("events"), {"source": ["aws.s3"], "detail-type": ["Object Created"]}
    transformer = {"InputPathsMap": {"key": "$.detail.object.key"}, "InputTemplate": '"<key> changed"'}
    made = bench.make(
        "AWS::Events::Rule",
        Description="the certificate changed",
        EventPattern=pattern,
        Targets=[{"Id": "one", "Arn": TOPIC, "InputTransformer": transformer}, {"Id": "two", "Arn": TOPIC}],
        Tags=TAG,
    )
    told = events.describe_rule(Name=made.ref)
    assert (told["Arn"], told["State"], json.loads(told["EventPattern"])) == (
        made.attributes["Arn"],
        "ENABLED",
        pattern,
    )
    assert events.list_targets_by_rule(Rule=made.ref)["Targets"][0]["InputTransformer"] == transformer

    bench.amend(made, Description=None, State="DISABLED", Targets=[{"Id": "two", "Arn": f"{TOPIC}-2"}], Tags=None)

    told = events.describe_rule(Name=made.ref)
    assert (told.get("Description"), told["State"]) == (None, "DISABLED")
    assert events.list_targets_by_rule(Rule=made.ref)["Targets"] == [{"Id": "two", "Arn": f"{TOPIC}-2"}]
    tags = events.list_tags_for_resource(ResourceARN=made.attributes["Arn"])["Tags"]
    assert {tag["Key"] for tag in tags} >= {"project"}
    assert "owner" not in {tag["Key"] for tag in tags}

    bench.remove(made)

    assert events.list_rules()["Rules"] == []


def test_pattern_of_scalars_is_refused(bench: Workbench) -> None:
    """Every value of an event pattern is a list of what it may be (EventBridge User Guide, "Event patterns")."""
    with pytest.raises(FailedError, match="Event pattern is not valid"):
        bench.make("AWS::Events::Rule", EventPattern={"source": "aws.s3"})


# -- records -----------------------------------------------------------------------


def test_flow_log_into_a_folder(bench: Workbench) -> None:
    ec2, vpc = bench.client("ec2"), bench.make("AWS::EC2::VPC", CidrBlock="10.0.0.0/16").ref
    bucket = bench.make("AWS::S3::Bucket", BucketName="flows").attributes["Arn"]
    given: dict[str, Any] = {
        "ResourceId": vpc,
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogDestinationType": "s3",
        "LogDestination": f"{bucket}/flow/",
        "MaxAggregationInterval": "60",
        "DestinationOptions": {
            "FileFormat": "parquet",
            "HiveCompatiblePartitions": "true",
            "PerHourPartition": False,
        },
    }
    made = bench.make("AWS::EC2::FlowLog", **given, Tags=TAG)
    (told,) = ec2.describe_flow_logs(FlowLogIds=[made.ref])["FlowLogs"]
    assert (told["ResourceId"], told["LogDestination"]) == (vpc, f"{bucket}/flow/")
    assert (told["MaxAggregationInterval"], told["TrafficType"]) == (60, "ALL")
    assert told["DestinationOptions"] == {
        "FileFormat": "parquet",
        "HiveCompatiblePartitions": True,
        "PerHourPartition": False,
    }
    with pytest.raises(FailedError, match="FlowLogAlreadyExists"):
        bench.make("AWS::EC2::FlowLog", **given)

    bench.remove(bench.amend(made, Tags=None))

    assert ec2.describe_flow_logs()["FlowLogs"] == []


def test_flow_log_into_a_bucket_that_is_not_there(bench: Workbench) -> None:
    vpc = bench.make("AWS::EC2::VPC", CidrBlock="10.1.0.0/16").ref

    with pytest.raises(FailedError, match="LogDestination: nowhere does not exist"):
        bench.make(
            "AWS::EC2::FlowLog",
            ResourceId=vpc,
            ResourceType="VPC",
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination="arn:aws:s3:::nowhere/flow/",
        )


def selector(bucket: str) -> dict[str, Any]:
    fields = {
        "eventCategory": {"Equals": ["Data"]},
        "resources.type": {"Equals": ["AWS::S3::Object"]},
        "resources.ARN": {"StartsWith": [f"arn:aws:s3:::{bucket}/"]},
    }
    return {"Name": bucket, "FieldSelectors": [{"Field": field, **match} for field, match in fields.items()]}


def test_trail(bench: Workbench) -> None:
    cloudtrail = bench.client("cloudtrail")
    bench.make("AWS::S3::Bucket", BucketName="trails")
    made = bench.make(
        "AWS::CloudTrail::Trail",
        TrailName="reads",
        S3BucketName="trails",
        S3KeyPrefix="certificates",
        EnableLogFileValidation="true",
        IncludeGlobalServiceEvents=False,
        IsMultiRegionTrail=False,
        IsLogging=True,
        KMSKeyId="arn:aws:kms:us-east-1:123456789012:key/1",
        AdvancedEventSelectors=[selector("certificates")],
        Tags=TAG,
    )
    told = cloudtrail.get_trail(Name="reads")["Trail"]
    assert (told["TrailARN"], told["S3KeyPrefix"]) == (made.attributes["Arn"], "certificates")
    assert (told["LogFileValidationEnabled"], told["IncludeGlobalServiceEvents"]) == (True, False)
    assert cloudtrail.get_trail_status(Name="reads")["IsLogging"] is True
    assert cloudtrail.get_event_selectors(TrailName="reads")["AdvancedEventSelectors"] == [selector("certificates")]

    bench.amend(
        made, EnableLogFileValidation=None, IsLogging="false", AdvancedEventSelectors=[selector("other")], Tags=None
    )

    assert cloudtrail.get_trail(Name="reads")["Trail"]["LogFileValidationEnabled"] is False
    assert cloudtrail.get_trail_status(Name="reads")["IsLogging"] is False
    assert cloudtrail.get_event_selectors(TrailName="reads")["AdvancedEventSelectors"] == [selector("other")]
    (tags,) = cloudtrail.list_tags(ResourceIdList=[made.attributes["Arn"]])["ResourceTagList"]
    assert "owner" not in {tag["Key"] for tag in tags["TagsList"]}

    bench.amend(made, AdvancedEventSelectors=None)

    told = cloudtrail.get_event_selectors(TrailName="reads")
    assert told.get("AdvancedEventSelectors", []) == []
    assert told["EventSelectors"][0]["IncludeManagementEvents"] is True

    bench.remove(made)

    assert cloudtrail.describe_trails()["trailList"] == []


# -- backups -----------------------------------------------------------------------


def plan(**rule: Any) -> dict[str, Any]:
    given = {"RuleName": "daily", "TargetBackupVault": "safe", "Lifecycle": {"DeleteAfterDays": "35"}}
    return {"BackupPlanName": "registry", "BackupPlanRule": [given | rule]}


def test_backup_plan_and_what_it_selects(bench: Workbench) -> None:
    backup = bench.client("backup")
    vault = bench.make(
        "AWS::Backup::BackupVault",
        BackupVaultName="safe",
        EncryptionKeyArn="arn:aws:kms:us-east-1:123456789012:key/1",
        BackupVaultTags={"owner": "ops"},
        LockConfiguration={"MinRetentionDays": 7},
    )
    made = bench.make("AWS::Backup::BackupPlan", BackupPlan=plan(), BackupPlanTags={"owner": "ops"})
    selected = bench.make(
        "AWS::Backup::BackupSelection",
        BackupPlanId=made.ref,
        BackupSelection={
            "SelectionName": "table",
            "IamRoleArn": "arn:aws:iam::123456789012:role/backup",
            "Resources": ["arn:aws:dynamodb:us-east-1:123456789012:table/registry"],
        },
    )
    (rule,) = backup.get_backup_plan(BackupPlanId=made.ref)["BackupPlan"]["Rules"]
    assert (rule["TargetBackupVaultName"], rule["Lifecycle"]) == ("safe", {"DeleteAfterDays": 35})
    told = backup.get_backup_selection(BackupPlanId=made.ref, SelectionId=selected.ref)["BackupSelection"]
    assert told["Resources"] == ["arn:aws:dynamodb:us-east-1:123456789012:table/registry"]
    assert backup.describe_backup_vault(BackupVaultName="safe")["MinRetentionDays"] == 7
    version = made.attributes["VersionId"]

    bench.amend(made, BackupPlan=plan(Lifecycle={"DeleteAfterDays": 70}), BackupPlanTags=None)
    bench.amend(vault, LockConfiguration=None, BackupVaultTags=None)

    changed = backup.get_backup_plan(BackupPlanId=made.ref)
    assert changed["BackupPlan"]["Rules"][0]["Lifecycle"] == {"DeleteAfterDays": 70}
    assert changed["VersionId"] != version
    assert "owner" not in backup.list_tags(ResourceArn=changed["BackupPlanArn"])["Tags"]
    assert backup.describe_backup_vault(BackupVaultName="safe")["Locked"] is False

    with pytest.raises(FailedError, match="selections must be deleted prior"):
        bench.remove(made)
    assert [one["SelectionId"] for one in backup.list_backup_selections(BackupPlanId=made.ref)["BackupSelectionsList"]]

    bench.remove(selected, made, vault)

    assert backup.list_backup_plans()["BackupPlansList"] == backup.list_backup_vaults()["BackupVaultList"] == []
    again = bench.make("AWS::Backup::BackupVault", BackupVaultName="safe")
    bench.remove(bench.make("AWS::Backup::BackupPlan", BackupPlan=plan()), again)


def test_plan_for_a_vault_that_is_not_there(bench: Workbench) -> None:
    with pytest.raises(FailedError, match="ResourceNotFoundException"):
        bench.make("AWS::Backup::BackupPlan", BackupPlan=plan(TargetBackupVault="nowhere"))


def test_selection_nobody_made(bench: Workbench) -> None:
    backup = bench.client("backup")
    bench.make("AWS::Backup::BackupVault", BackupVaultName="other")
    made = bench.make("AWS::Backup::BackupPlan", BackupPlan=plan(TargetBackupVault="other"))

    for where in ({"BackupPlanId": made.ref}, {"BackupPlanId": "nobody"}):
        with pytest.raises(backup.exceptions.ResourceNotFoundException):
            backup.get_backup_selection(**where, SelectionId="nobody")


# -- identity providers ------------------------------------------------------------


def test_identity_provider(bench: Workbench) -> None:
    iam = bench.client("iam")
    made = bench.make(
        "AWS::IAM::OIDCProvider",
        Url="https://token.actions.githubusercontent.com",
        ClientIdList=["sts.amazonaws.com"],
        ThumbprintList=["a" * 40],
        Tags=TAG,
    )
    assert made.ref.endswith(":oidc-provider/token.actions.githubusercontent.com")
    assert made.attributes["Arn"] == made.ref

    bench.amend(made, ClientIdList=["other"], ThumbprintList=["b" * 40], Tags=None)

    told = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=made.ref)
    assert (told["ClientIDList"], told["ThumbprintList"]) == (["other"], ["b" * 40])
    assert "owner" not in {tag["Key"] for tag in told["Tags"]}

    bench.remove(made)

    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=made.ref, ClientID="x")


# -- buckets -----------------------------------------------------------------------


def test_event_bridge_hears_of_objects(bench: Workbench) -> None:
    s3 = bench.client("s3")
    made = bench.make(
        "AWS::S3::Bucket",
        BucketName="heard",
        NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
    )
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket="heard")

    bench.amend(made, NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": "false"}})
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket="heard")

    bench.amend(made, NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}})
    bench.amend(made, NotificationConfiguration=None)
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket="heard")


def test_other_notifications_are_not_carried(bench: Workbench) -> None:
    queue = {"Event": "s3:ObjectCreated:*", "Queue": "arn:aws:sqs:us-east-1:123456789012:q"}

    with pytest.raises(FailedError, match=r"NotificationConfiguration\.QueueConfigurations"):
        bench.make("AWS::S3::Bucket", NotificationConfiguration={"QueueConfigurations": [queue]})


def test_request_metrics(bench: Workbench) -> None:
    s3 = bench.client("s3")
    made = bench.make(
        "AWS::S3::Bucket",
        BucketName="counted",
        MetricsConfigurations=[
            {"Id": "All"},
            {"Id": "Part", "Prefix": "server/"},
            {"Id": "Both", "Prefix": "server/", "TagFilters": [{"Key": "a", "Value": "b"}]},
        ],
    )
    told = s3.list_bucket_metrics_configurations(Bucket="counted")["MetricsConfigurationList"]
    assert told == [
        {"Id": "All"},
        {"Id": "Part", "Filter": {"Prefix": "server/"}},
        {"Id": "Both", "Filter": {"And": {"Prefix": "server/", "Tags": [{"Key": "a", "Value": "b"}]}}},
    ]

    bench.amend(made, MetricsConfigurations=[{"Id": "Part", "Prefix": "manifest/"}])

    (told,) = s3.list_bucket_metrics_configurations(Bucket="counted")["MetricsConfigurationList"]
    assert told["Filter"] == {"Prefix": "manifest/"}
    with pytest.raises(ClientError, match="NoSuchConfiguration"):
        s3.get_bucket_metrics_configuration(Bucket="counted", Id="All")

    bench.remove(bench.amend(made, MetricsConfigurations=None))

    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_bucket_metrics_configuration(Bucket="counted", Id="Part")


def test_https_subscription(bench: Workbench) -> None:
    """An endpoint must confirm on AWS; what is made and removed is the subscription."""
    topic = bench.make("AWS::SNS::Topic", TopicName="paged")
    made = bench.make(
        "AWS::SNS::Subscription", TopicArn=topic.ref, Protocol="https", Endpoint="https://pager.example.com/x"
    )
    (told,) = bench.client("sns").list_subscriptions_by_topic(TopicArn=topic.ref)["Subscriptions"]
    assert (told["Protocol"], told["Endpoint"]) == ("https", "https://pager.example.com/x")

    bench.remove(made)

    assert bench.client("sns").list_subscriptions_by_topic(TopicArn=topic.ref)["Subscriptions"] == []
