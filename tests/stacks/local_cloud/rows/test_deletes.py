"""What is deleted is gone with all that was made for it; what AWS would refuse to delete is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stacks.local_cloud.rows.workbench import FailedError, Made, Workbench

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
TABLE = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "fingerprint", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "fingerprint", "KeyType": "HASH"}],
}
ALARM = {
    "Namespace": "mtls-ingress",
    "MetricName": "Refused",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
}
CONTAINER = {"Name": "service", "Image": "ingress", "Memory": 512}

LISTED = (
    ("ec2", "describe_vpcs", "Vpcs"),
    ("ec2", "describe_subnets", "Subnets"),
    ("ec2", "describe_route_tables", "RouteTables"),
    ("ec2", "describe_internet_gateways", "InternetGateways"),
    ("ec2", "describe_nat_gateways", "NatGateways"),
    ("ec2", "describe_addresses", "Addresses"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
    ("ec2", "describe_security_groups", "SecurityGroups"),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces"),
    ("ec2", "describe_volumes", "Volumes"),
    ("ec2", "describe_launch_templates", "LaunchTemplates"),
    ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"),
    ("elb", "describe_load_balancers", "LoadBalancerDescriptions"),
    ("iam", "list_roles", "Roles"),
    ("iam", "list_instance_profiles", "InstanceProfiles"),
    ("kms", "list_aliases", "Aliases"),
    ("s3", "list_buckets", "Buckets"),
    ("dynamodb", "list_tables", "TableNames"),
    ("ecr", "describe_repositories", "repositories"),
    ("ecs", "list_task_definitions", "taskDefinitionArns"),
    ("application-autoscaling", "describe_scalable_targets", "ScalableTargets"),
    ("application-autoscaling", "describe_scaling_policies", "ScalingPolicies"),
    ("cloudwatch", "describe_alarms", "MetricAlarms"),
    ("cloudwatch", "list_dashboards", "DashboardEntries"),
    ("sns", "list_topics", "Topics"),
    ("sns", "list_subscriptions", "Subscriptions"),
    ("logs", "describe_log_groups", "logGroups"),
    ("logs", "describe_metric_filters", "metricFilters"),
)
"""Everything a listing shows; a deleted cluster, service or key stays listed for a while on AWS too."""


def listing(bench: Workbench) -> dict[str, list[Any]]:
    found = {}
    for service, operation, name in LISTED:
        given = {"ServiceNamespace": "ecs"} if service == "application-autoscaling" else {}
        things = getattr(bench.client(service), operation)(**given)[name]
        found[operation] = [thing for thing in things if not is_deleted(thing)]
    return found


def is_deleted(thing: Any) -> bool:
    """NAT gateways and endpoints stay listed as deleted for a while, on AWS too."""
    return isinstance(thing, dict) and thing.get("State") == "deleted"


def made_of_every_type(bench: Workbench) -> Iterator[Made]:  # noqa: PLR0915 - the types in the order they need each other
    """Make one resource of each type that AWS removes at once, dependants last."""
    vpc = bench.make("AWS::EC2::VPC", CidrBlock="10.0.0.0/16")
    yield vpc
    gateway = bench.make("AWS::EC2::InternetGateway")
    yield gateway
    yield bench.make("AWS::EC2::VPCGatewayAttachment", VpcId=vpc.ref, InternetGatewayId=gateway.ref)
    subnet = bench.make("AWS::EC2::Subnet", VpcId=vpc.ref, CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1a")
    yield subnet
    table = bench.make("AWS::EC2::RouteTable", VpcId=vpc.ref)
    yield table
    yield bench.make("AWS::EC2::Route", RouteTableId=table.ref, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway.ref)
    yield bench.make("AWS::EC2::SubnetRouteTableAssociation", SubnetId=subnet.ref, RouteTableId=table.ref)
    address = bench.make("AWS::EC2::EIP", Domain="vpc")
    yield address
    yield bench.make("AWS::EC2::NatGateway", AllocationId=address.attributes["AllocationId"], SubnetId=subnet.ref)
    group = bench.make("AWS::EC2::SecurityGroup", GroupDescription="instances", VpcId=vpc.ref)
    yield group
    port = {"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443, "CidrIp": "10.0.0.0/16"}
    yield bench.make("AWS::EC2::SecurityGroupIngress", GroupId=group.ref, **port)
    yield bench.make("AWS::EC2::SecurityGroupEgress", GroupId=group.ref, **port)
    yield bench.make(
        "AWS::EC2::VPCEndpoint",
        VpcId=vpc.ref,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.ecs",
        SubnetIds=[subnet.ref],
        SecurityGroupIds=[group.ref],
    )
    yield bench.make(
        "AWS::ElasticLoadBalancing::LoadBalancer",
        Subnets=[subnet.ref],
        SecurityGroups=[group.ref],
        Listeners=[{"LoadBalancerPort": "443", "Protocol": "TCP", "InstancePort": "8443"}],
    )
    template = bench.make(
        "AWS::EC2::LaunchTemplate", LaunchTemplateData={"ImageId": "ami-03cf127a", "InstanceType": "t3.small"}
    )
    yield template
    yield bench.make(
        "AWS::AutoScaling::AutoScalingGroup",
        MinSize="1",
        MaxSize="1",
        LaunchTemplate={"LaunchTemplateId": template.ref, "Version": "1"},
        VPCZoneIdentifier=[subnet.ref],
    )
    role = bench.make("AWS::IAM::Role", AssumeRolePolicyDocument=TRUST, Policies=[inline_policy()])
    yield role
    yield bench.make("AWS::IAM::ManagedPolicy", PolicyDocument=ALLOW, Roles=[role.ref])
    yield bench.make("AWS::IAM::InstanceProfile", Roles=[role.ref])
    key = bench.make("AWS::KMS::Key")
    yield key
    yield bench.make("AWS::KMS::Alias", AliasName="alias/deleted", TargetKeyId=key.ref)
    bucket = bench.make("AWS::S3::Bucket", VersioningConfiguration={"Status": "Enabled"})
    yield bucket
    yield bench.make("AWS::S3::BucketPolicy", Bucket=bucket.ref, PolicyDocument=ALLOW)
    yield bench.make("AWS::DynamoDB::Table", **TABLE)
    yield bench.make("AWS::ECR::Repository")
    cluster = bench.make("AWS::ECS::Cluster")
    yield cluster
    definition = bench.make("AWS::ECS::TaskDefinition", ContainerDefinitions=[CONTAINER])
    yield definition
    service = bench.make("AWS::ECS::Service", Cluster=cluster.ref, TaskDefinition=definition.ref, DesiredCount=0)
    yield service
    target = bench.make(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId=f"service/{cluster.ref}/{service.attributes['Name']}",
        MinCapacity=1,
        MaxCapacity=2,
    )
    yield target
    yield bench.make(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        ScalingTargetId=target.ref,
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 60,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
        },
    )
    topic = bench.make("AWS::SNS::Topic", Subscription=[{"Protocol": "email", "Endpoint": "ops@example.com"}])
    yield topic
    yield bench.make("AWS::SNS::Subscription", TopicArn=topic.ref, Protocol="email", Endpoint="more@example.com")
    yield bench.make("AWS::SNS::TopicPolicy", Topics=[topic.ref], PolicyDocument=ALLOW)
    yield bench.make("AWS::CloudWatch::Alarm", **ALARM)
    yield bench.make("AWS::CloudWatch::Dashboard", DashboardBody='{"widgets": []}')
    log_group = bench.make("AWS::Logs::LogGroup")
    yield log_group
    yield bench.make(
        "AWS::Logs::MetricFilter",
        LogGroupName=log_group.ref,
        FilterPattern="refused",
        MetricTransformations=[{"MetricName": "Refused", "MetricNamespace": "mtls-ingress", "MetricValue": "1"}],
    )


def inline_policy() -> dict[str, Any]:
    return {"PolicyName": "read", "PolicyDocument": ALLOW}


def test_nothing_is_left_behind(bench: Workbench) -> None:
    before = listing(bench)

    made = list(made_of_every_type(bench))
    there = listing(bench)
    bench.remove(*reversed(made))

    assert there != before
    assert listing(bench) == before


def test_what_is_gone_already_is_deleted_too(bench: Workbench) -> None:
    """Somebody may have removed it by hand."""
    role = bench.make("AWS::IAM::Role", RoleName="by-hand", AssumeRolePolicyDocument=TRUST)
    bucket = bench.make("AWS::S3::Bucket", BucketName="by-hand")
    bench.client("iam").delete_role(RoleName="by-hand")
    bench.client("s3").delete_bucket(Bucket="by-hand")

    bench.remove(role, bucket)


@pytest.mark.parametrize(
    ("type_name", "properties"),
    [
        ("AWS::ECS::Cluster", {"ClusterName": "again"}),
        ("AWS::ECS::TaskDefinition", {"Family": "again", "ContainerDefinitions": [CONTAINER]}),
        ("AWS::IAM::Role", {"RoleName": "again", "AssumeRolePolicyDocument": TRUST}),
        ("AWS::S3::Bucket", {"BucketName": "again"}),
        ("AWS::DynamoDB::Table", {"TableName": "again", **TABLE}),
        ("AWS::Logs::LogGroup", {"LogGroupName": "again"}),
    ],
)
def test_a_name_can_be_taken_again(bench: Workbench, type_name: str, properties: dict[str, Any]) -> None:
    first = bench.make(type_name, **properties)
    bench.remove(first)

    second = bench.make(type_name, **properties)

    bench.remove(second)


def test_a_service_can_be_made_again(bench: Workbench) -> None:
    cluster = bench.make("AWS::ECS::Cluster").ref
    definition = bench.make("AWS::ECS::TaskDefinition", ContainerDefinitions=[CONTAINER]).ref
    given = {"Cluster": cluster, "ServiceName": "again", "TaskDefinition": definition, "DesiredCount": 0}
    bench.remove(bench.make("AWS::ECS::Service", **given))

    bench.make("AWS::ECS::Service", **given)

    (told,) = bench.client("ecs").describe_services(cluster=cluster, services=["again"])["services"]
    assert told["status"] == "ACTIVE"


def test_bucket_with_objects_stays(bench: Workbench) -> None:
    """Every version counts: S3 User Guide, "Deleting a general purpose bucket"."""
    s3 = bench.client("s3")
    made = bench.make("AWS::S3::Bucket", BucketName="full", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="full", Key="server/key.pem", Body=b"")
    s3.delete_object(Bucket="full", Key="server/key.pem")

    with pytest.raises(FailedError, match="BucketNotEmpty"):
        bench.remove(made)

    assert s3.get_bucket_versioning(Bucket="full")["Status"] == "Enabled"


def test_protected_table_stays(bench: Workbench) -> None:
    made = bench.make("AWS::DynamoDB::Table", TableName="protected", DeletionProtectionEnabled=True, **TABLE)

    with pytest.raises(FailedError, match="DeletionProtectionEnabled"):
        bench.remove(made)

    assert "protected" in bench.client("dynamodb").list_tables()["TableNames"]


def test_repository_with_images_stays(bench: Workbench) -> None:
    made = bench.make("AWS::ECR::Repository", RepositoryName="full")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": "1"},
    }
    bench.client("ecr").put_image(repositoryName="full", imageManifest=json.dumps(manifest), imageTag="tree-0")

    with pytest.raises(FailedError, match="RepositoryNotEmptyException"):
        bench.remove(made)

    assert bench.client("ecr").describe_repositories(repositoryNames=["full"])["repositories"]


def test_security_group_in_use_stays(bench: Workbench) -> None:
    vpc = bench.make("AWS::EC2::VPC", CidrBlock="10.1.0.0/16").ref
    group = bench.make("AWS::EC2::SecurityGroup", GroupDescription="load balancer", VpcId=vpc)
    other = bench.make("AWS::EC2::SecurityGroup", GroupDescription="instances", VpcId=vpc)
    port = {"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443}
    bench.make("AWS::EC2::SecurityGroupIngress", GroupId=other.ref, SourceSecurityGroupId=group.ref, **port)

    with pytest.raises(FailedError, match="DependencyViolation"):
        bench.remove(group)


def test_role_with_a_foreign_policy_stays(bench: Workbench) -> None:
    """A policy that another stack attached is that stack's to take away (IAM API Reference, DeleteRole)."""
    role = bench.make("AWS::IAM::Role", AssumeRolePolicyDocument=TRUST)
    bench.make("AWS::IAM::ManagedPolicy", PolicyDocument=ALLOW, Roles=[role.ref])

    with pytest.raises(FailedError, match="DeleteConflict"):
        bench.remove(role)


def test_key_waits_out_its_window(bench: Workbench) -> None:
    made = bench.make("AWS::KMS::Key", PendingWindowInDays="7")

    bench.remove(made)

    assert bench.client("kms").describe_key(KeyId=made.ref)["KeyMetadata"]["KeyState"] == "PendingDeletion"


@pytest.mark.parametrize(
    ("type_name", "properties", "unread"),
    [
        ("AWS::S3::Bucket", {"ReplicationConfiguration": {"Role": "r", "Rules": []}}, "ReplicationConfiguration"),
        (
            "AWS::ECS::TaskDefinition",
            {"ContainerDefinitions": [CONTAINER], "EnableFaultInjection": True},
            "EnableFaultInjection",
        ),
        ("AWS::KMS::Key", {"RotationPeriodInDays": 180}, "RotationPeriodInDays"),
    ],
)
def test_what_no_row_reads_fails(bench: Workbench, type_name: str, properties: dict[str, Any], unread: str) -> None:
    """Moto would lose it; better no resource than one that is not what the template says."""
    with pytest.raises(FailedError, match=f"does not carry {unread}"):
        bench.make(type_name, **properties)
