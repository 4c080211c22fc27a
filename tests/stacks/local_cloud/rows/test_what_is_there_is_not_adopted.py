"""
A stack makes what it manages: what is in the account already is refused, never adopted.

Many a service's own call to create is content with what it finds;
CloudFormation is not, or a second stack would change and later delete what
belongs to the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.stacks.local_cloud.rows.workbench import FailedError, Workbench

PERMISSION = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
LISTENER = {"InstancePort": "8443", "LoadBalancerPort": "443", "Protocol": "TCP"}
CASES: dict[str, dict[str, Any]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": {
        "MinCapacity": 1,
        "MaxCapacity": 2,
        "ResourceId": "service/cluster/scaled",
        "ScalableDimension": "ecs:service:DesiredCount",
        "ServiceNamespace": "ecs",
    },
    "AWS::AutoScaling::AutoScalingGroup": {
        "AutoScalingGroupName": "taken",
        "MinSize": "0",
        "MaxSize": "0",
        "AvailabilityZones": ["us-east-1a"],
        "LaunchTemplate": {"LaunchTemplateId": "{template}", "Version": "1"},
    },
    "AWS::CloudWatch::Alarm": {
        "AlarmName": "taken",
        "Namespace": "AWS/ELB",
        "MetricName": "HealthyHostCount",
        "ComparisonOperator": "LessThanThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
        "Statistic": "Minimum",
        "Threshold": 2,
    },
    "AWS::Backup::BackupVault": {"BackupVaultName": "taken"},
    "AWS::CloudTrail::Trail": {"TrailName": "taken", "S3BucketName": "bucket", "IsLogging": True},
    "AWS::CloudWatch::CompositeAlarm": {"AlarmName": "taken", "AlarmRule": "FALSE"},
    "AWS::CloudWatch::Dashboard": {"DashboardName": "taken", "DashboardBody": '{"widgets": []}'},
    "AWS::DynamoDB::Table": {
        "TableName": "taken",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "client", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "client", "KeyType": "HASH"}],
    },
    "AWS::EC2::LaunchTemplate": {"LaunchTemplateName": "taken", "LaunchTemplateData": {"InstanceType": "t3.small"}},
    "AWS::EC2::Route": {"RouteTableId": "{table}", "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "{gateway}"},
    "AWS::EC2::SecurityGroup": {"GroupName": "taken", "GroupDescription": "instances", "VpcId": "{vpc}"},
    "AWS::EC2::SubnetRouteTableAssociation": {"RouteTableId": "{table}", "SubnetId": "{subnet}"},
    "AWS::EC2::VPCEndpoint": {
        "VpcId": "{vpc}",
        "ServiceName": "com.amazonaws.us-east-1.s3",
        "RouteTableIds": ["{table}"],
    },
    "AWS::EC2::VPCGatewayAttachment": {"VpcId": "{vpc}", "InternetGatewayId": "{gateway}"},
    "AWS::ECR::Repository": {"RepositoryName": "taken"},
    "AWS::ECS::CapacityProvider": {"Name": "taken", "AutoScalingGroupProvider": {"AutoScalingGroupArn": "{group}"}},
    "AWS::ECS::Cluster": {"ClusterName": "taken"},
    "AWS::ECS::ClusterCapacityProviderAssociations": {
        "Cluster": "cluster",
        "CapacityProviders": ["FARGATE"],
        "DefaultCapacityProviderStrategy": [],
    },
    "AWS::ECS::Service": {
        "ServiceName": "taken",
        "Cluster": "cluster",
        "TaskDefinition": "{definition}",
        "DesiredCount": 0,
    },
    "AWS::ElasticLoadBalancing::LoadBalancer": {
        "LoadBalancerName": "taken",
        "AvailabilityZones": ["us-east-1a"],
        "Listeners": [LISTENER],
    },
    "AWS::Events::Rule": {"Name": "taken", "ScheduleExpression": "rate(1 hour)"},
    "AWS::IAM::OIDCProvider": {"Url": "https://token.example.com"},
    "AWS::IAM::InstanceProfile": {"InstanceProfileName": "taken", "Roles": []},
    "AWS::IAM::ManagedPolicy": {"ManagedPolicyName": "taken", "PolicyDocument": PERMISSION},
    "AWS::IAM::Role": {"RoleName": "taken", "AssumeRolePolicyDocument": TRUST},
    "AWS::KMS::Alias": {"AliasName": "alias/taken", "TargetKeyId": "{key}"},
    "AWS::Logs::LogGroup": {"LogGroupName": "taken"},
    "AWS::Logs::MetricFilter": {
        "FilterName": "taken",
        "LogGroupName": "group",
        "FilterPattern": "refused",
        "MetricTransformations": [{"MetricName": "Refusals", "MetricNamespace": "ingress", "MetricValue": "1"}],
    },
    "AWS::S3::Bucket": {"BucketName": "taken"},
    "AWS::S3::BucketPolicy": {
        "Bucket": "bucket",
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"},
            ],
        },
    },
    "AWS::SNS::Topic": {"TopicName": "taken"},
}


@pytest.fixture(scope="module")
def account(bench: Workbench) -> dict[str, str]:
    """What the cases stand on, made by nobody's stack."""
    ec2, ecs, autoscaling = bench.client("ec2"), bench.client("ecs"), bench.client("autoscaling")
    bench.client("logs").create_log_group(logGroupName="group")
    bench.client("s3").create_bucket(Bucket="bucket")
    ecs.create_cluster(clusterName="cluster")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    launched = {"InstanceType": "t3.small", "ImageId": ec2.describe_images()["Images"][0]["ImageId"]}
    template = ec2.create_launch_template(LaunchTemplateName="template", LaunchTemplateData=launched)
    template_id = template["LaunchTemplate"]["LaunchTemplateId"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="group",
        MinSize=0,
        MaxSize=0,
        AvailabilityZones=["us-east-1a"],
        LaunchTemplate={"LaunchTemplateId": template_id},
    )
    definition = ecs.register_task_definition(
        family="service", containerDefinitions=[{"name": "service", "image": "image", "memory": 64}]
    )
    family = definition["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(cluster="cluster", serviceName="scaled", taskDefinition=family, desiredCount=0)
    return {
        "vpc": vpc,
        "subnet": ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"],
        "table": ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"],
        "gateway": ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"],
        "key": bench.client("kms").create_key()["KeyMetadata"]["KeyId"],
        "template": template_id,
        "group": autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["AutoScalingGroupARN"],
        "definition": family,
    }


@pytest.mark.parametrize("type_name", CASES)
def test_a_second_one_is_refused_and_the_first_can_still_be_deleted(
    bench: Workbench, account: Mapping[str, str], type_name: str
) -> None:
    properties = {name: _filled(value, account) for name, value in CASES[type_name].items()}
    first = bench.make(type_name, **properties)

    with pytest.raises(FailedError, match=r"(?i)already|conflicts with an existing"):
        bench.make(type_name, **properties)

    bench.remove(first)


def test_a_bucket_nobodys_stack_made_is_refused_and_left_as_it_is(bench: Workbench) -> None:
    s3 = bench.client("s3")
    s3.create_bucket(Bucket="operators-own")

    with pytest.raises(FailedError, match="'operators-own' already exists"):
        bench.make("AWS::S3::Bucket", BucketName="operators-own", VersioningConfiguration={"Status": "Enabled"})

    assert "Status" not in s3.get_bucket_versioning(Bucket="operators-own")


def _filled(value: Any, account: Mapping[str, str]) -> Any:
    match value:
        case str() if value.startswith("{") and value.endswith("}") and value[1:-1] in account:
            return account[value[1:-1]]
        case list():
            return [_filled(item, account) for item in value]
        case dict():
            return {name: _filled(item, account) for name, item in value.items()}
        case _:
            return value
