"""
What is deployed is what the template says, read back by plain boto3, property by property.

These are the things a CloudFormation that drops properties reports as done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.ledger import Ledger
from stacks.local_cloud.stand_in import EcsStandIn
from tests.stacks.local_cloud.rows.workbench import Made, Workbench

TASKS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
READ_OBJECTS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::certificates/server/*"}],
}


def deny_plain_transport(bucket: str) -> dict[str, Any]:
    statement = {
        "Sid": "OnlyOverTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": False}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    """ECS keeps what moto loses of a service: that stand-in belongs to the data plane."""
    with LocalCloud(stand_ins=[EcsStandIn(Ledger())]) as cloud:
        yield Workbench(cloud)


# -- keys ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key(bench: Workbench) -> Made:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    return bench.make("AWS::KMS::Key", Description="certificates", KeyPolicy=policy, EnableKeyRotation=True)


def test_key_policy(bench: Workbench, key: Made) -> None:
    policy = bench.client("kms").get_key_policy(KeyId=key.ref, PolicyName="default")["Policy"]

    assert json.loads(policy) == key.properties["KeyPolicy"]


def test_key_rotation(bench: Workbench, key: Made) -> None:
    assert bench.client("kms").get_key_rotation_status(KeyId=key.ref)["KeyRotationEnabled"] is True


def test_key_can_be_described(bench: Workbench, key: Made) -> None:
    """A key made by moto's own CloudFormation answers this call with a server error."""
    told = bench.client("kms").describe_key(KeyId=key.ref)["KeyMetadata"]

    assert told["Description"] == "certificates"
    assert told["Enabled"] is True
    assert key.attributes == {"Arn": told["Arn"], "KeyId": key.ref}


# -- the bucket of certificate and key ---------------------------------------------


@pytest.fixture(scope="module")
def bucket(bench: Workbench, key: Made) -> Made:
    bench.make("AWS::S3::Bucket", BucketName="access-logs")
    delivery = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::access-logs/certificates/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [delivery]}
    bench.make("AWS::S3::BucketPolicy", Bucket="access-logs", PolicyDocument=policy)
    blocked = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    encryption = {
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key.attributes["Arn"]},
        "BucketKeyEnabled": True,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }
    replaced = {
        "Id": "replaced",
        "Status": "Enabled",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
    }
    abandoned = {
        "Id": "abandoned",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    made = bench.make(
        "AWS::S3::Bucket",
        BucketName="certificates",
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        PublicAccessBlockConfiguration=blocked,
        VersioningConfiguration={"Status": "Enabled"},
        BucketEncryption={"ServerSideEncryptionConfiguration": [encryption]},
        LifecycleConfiguration={"Rules": [replaced, abandoned]},
        LoggingConfiguration={"DestinationBucketName": "access-logs", "LogFilePrefix": "certificates/"},
    )
    bench.make("AWS::S3::BucketPolicy", Bucket=made.ref, PolicyDocument=deny_plain_transport(made.ref))
    return made


def test_bucket_policy(bench: Workbench, bucket: Made) -> None:
    policy = bench.client("s3").get_bucket_policy(Bucket=bucket.ref)["Policy"]

    assert json.loads(policy) == deny_plain_transport("certificates")


def test_bucket_public_access_block(bench: Workbench, bucket: Made) -> None:
    told = bench.client("s3").get_public_access_block(Bucket=bucket.ref)["PublicAccessBlockConfiguration"]

    assert told == bucket.properties["PublicAccessBlockConfiguration"]


def test_bucket_ownership(bench: Workbench, bucket: Made) -> None:
    told = bench.client("s3").get_bucket_ownership_controls(Bucket=bucket.ref)["OwnershipControls"]

    assert told == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_bucket_versioning(bench: Workbench, bucket: Made) -> None:
    assert bench.client("s3").get_bucket_versioning(Bucket=bucket.ref)["Status"] == "Enabled"


def test_bucket_access_logging(bench: Workbench, bucket: Made) -> None:
    told = bench.client("s3").get_bucket_logging(Bucket=bucket.ref)["LoggingEnabled"]

    assert told == {"TargetBucket": "access-logs", "TargetPrefix": "certificates/"}


def test_bucket_encryption(bench: Workbench, bucket: Made, key: Made) -> None:
    (rule,) = bench.client("s3").get_bucket_encryption(Bucket=bucket.ref)["ServerSideEncryptionConfiguration"]["Rules"]

    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key.attributes["Arn"],
    }
    assert rule["BucketKeyEnabled"] is True
    assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}


def test_bucket_lifecycle(bench: Workbench, bucket: Made) -> None:
    replaced, abandoned = bench.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket.ref)["Rules"]

    assert replaced["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert abandoned["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


# -- the load balancer ---------------------------------------------------------------


@pytest.fixture(scope="module")
def subnets(bench: Workbench) -> list[str]:
    vpc = bench.make("AWS::EC2::VPC", CidrBlock="10.0.0.0/16").ref
    return [
        bench.make(
            "AWS::EC2::Subnet", VpcId=vpc, CidrBlock=f"10.0.{part}.0/24", AvailabilityZone=f"us-east-1{zone}"
        ).ref
        for part, zone in enumerate("ab")
    ]


@pytest.fixture(scope="module")
def balancer(bench: Workbench, subnets: list[str]) -> Made:
    return bench.make(
        "AWS::ElasticLoadBalancing::LoadBalancer",
        Subnets=subnets,
        CrossZone=True,
        Listeners=[
            {"LoadBalancerPort": "443", "Protocol": "TCP", "InstancePort": "8443", "InstanceProtocol": "TCP"},
        ],
        Policies=[
            {
                "PolicyName": "ProxyProtocol",
                "PolicyType": "ProxyProtocolPolicyType",
                "Attributes": [{"Name": "ProxyProtocol", "Value": "true"}],
                "InstancePorts": ["8443"],
            }
        ],
        HealthCheck={
            "Target": "HTTP:8080/healthz",
            "Interval": "10",
            "Timeout": "5",
            "HealthyThreshold": "2",
            "UnhealthyThreshold": "3",
        },
        ConnectionSettings={"IdleTimeout": 120},
        ConnectionDrainingPolicy={"Enabled": True, "Timeout": 45},
        AccessLoggingPolicy={
            "Enabled": True,
            "EmitInterval": 5,
            "S3BucketName": "access-logs",
            "S3BucketPrefix": "load-balancer",
        },
    )


def described(bench: Workbench, balancer: Made) -> dict[str, Any]:
    told = bench.client("elb").describe_load_balancers(LoadBalancerNames=[balancer.ref])
    return dict(told["LoadBalancerDescriptions"][0])


def attributes(bench: Workbench, balancer: Made) -> dict[str, Any]:
    told = bench.client("elb").describe_load_balancer_attributes(LoadBalancerName=balancer.ref)
    return dict(told["LoadBalancerAttributes"])


def test_load_balancer_listener(bench: Workbench, balancer: Made) -> None:
    (listener,) = described(bench, balancer)["ListenerDescriptions"]

    assert listener["Listener"] == {
        "LoadBalancerPort": 443,
        "Protocol": "TCP",
        "InstancePort": 8443,
        "InstanceProtocol": "TCP",
    }


def test_load_balancer_health_check(bench: Workbench, balancer: Made) -> None:
    assert described(bench, balancer)["HealthCheck"] == {
        "Target": "HTTP:8080/healthz",
        "Interval": 10,
        "Timeout": 5,
        "HealthyThreshold": 2,
        "UnhealthyThreshold": 3,
    }


def test_load_balancer_proxy_protocol_on_its_instance_port(bench: Workbench, balancer: Made) -> None:
    assert described(bench, balancer)["BackendServerDescriptions"] == [
        {"InstancePort": 8443, "PolicyNames": ["ProxyProtocol"]}
    ]


def test_load_balancer_proxy_protocol_is_on(bench: Workbench, balancer: Made) -> None:
    (policy,) = bench.client("elb").describe_load_balancer_policies(LoadBalancerName=balancer.ref)["PolicyDescriptions"]

    assert policy["PolicyTypeName"] == "ProxyProtocolPolicyType"
    assert policy["PolicyAttributeDescriptions"] == [{"AttributeName": "ProxyProtocol", "AttributeValue": "true"}]


def test_load_balancer_subnets(bench: Workbench, balancer: Made, subnets: list[str]) -> None:
    assert sorted(described(bench, balancer)["Subnets"]) == sorted(subnets)


def test_load_balancer_cross_zone(bench: Workbench, balancer: Made) -> None:
    assert attributes(bench, balancer)["CrossZoneLoadBalancing"] == {"Enabled": True}


def test_load_balancer_draining(bench: Workbench, balancer: Made) -> None:
    assert attributes(bench, balancer)["ConnectionDraining"] == {"Enabled": True, "Timeout": 45}


def test_load_balancer_idle_timeout(bench: Workbench, balancer: Made) -> None:
    assert attributes(bench, balancer)["ConnectionSettings"] == {"IdleTimeout": 120}


def test_load_balancer_access_log(bench: Workbench, balancer: Made) -> None:
    assert attributes(bench, balancer)["AccessLog"] == balancer.properties["AccessLoggingPolicy"]


# -- capacity --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def launch_template(bench: Workbench) -> Made:
    parameter = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    image = bench.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    return bench.make(
        "AWS::EC2::LaunchTemplate",
        LaunchTemplateData={
            "ImageId": image,
            "InstanceType": "t3.small",
            "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": "1"},
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3", "VolumeSize": "30", "Encrypted": "true"}},
            ],
            "UserData": {"Fn::Base64": "#!/bin/bash\n"},
        },
    )


@pytest.fixture(scope="module")
def group(bench: Workbench, launch_template: Made, subnets: list[str]) -> Made:
    return bench.make(
        "AWS::AutoScaling::AutoScalingGroup",
        MinSize="2",
        MaxSize="4",
        LaunchTemplate={
            "LaunchTemplateId": launch_template.ref,
            "Version": launch_template.attributes["LatestVersionNumber"],
        },
        VPCZoneIdentifier=subnets,
        NewInstancesProtectedFromScaleIn=True,
        MaxInstanceLifetime=1209600,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
        MetricsCollection=[{"Granularity": "1Minute", "Metrics": ["GroupInServiceInstances"]}],
    )


def launch_data(bench: Workbench, launch_template: Made) -> dict[str, Any]:
    told = bench.client("ec2").describe_launch_template_versions(LaunchTemplateId=launch_template.ref)
    return dict(told["LaunchTemplateVersions"][0]["LaunchTemplateData"])


def group_description(bench: Workbench, group: Made) -> dict[str, Any]:
    told = bench.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group.ref])
    return dict(told["AutoScalingGroups"][0])


def test_launch_template_metadata_options(bench: Workbench, launch_template: Made) -> None:
    assert launch_data(bench, launch_template)["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }


def test_launch_template_volume(bench: Workbench, launch_template: Made) -> None:
    (volume,) = launch_data(bench, launch_template)["BlockDeviceMappings"]

    assert volume["Ebs"] == {"VolumeType": "gp3", "VolumeSize": 30, "Encrypted": True}


def test_launch_template_user_data(bench: Workbench, launch_template: Made) -> None:
    assert launch_data(bench, launch_template)["UserData"] == "IyEvYmluL2Jhc2gK"


def test_group_starts_its_instances(bench: Workbench, group: Made) -> None:
    instances = group_description(bench, group)["Instances"]

    assert [instance["LifecycleState"] for instance in instances] == ["InService", "InService"]


def test_group_protects_its_instances(bench: Workbench, group: Made) -> None:
    instances = group_description(bench, group)["Instances"]

    assert [instance["ProtectedFromScaleIn"] for instance in instances] == [True, True]


def test_group_launches_the_version_of_the_template(bench: Workbench, group: Made, launch_template: Made) -> None:
    told = group_description(bench, group)["LaunchTemplate"]

    assert told["LaunchTemplateId"] == launch_template.ref
    assert told["Version"] == "1"


def test_group_maintenance(bench: Workbench, group: Made) -> None:
    """Lost by moto's API; mended, so that who asks is told what the group was given."""
    told = group_description(bench, group)

    assert told["InstanceMaintenancePolicy"] == {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    assert told["MaxInstanceLifetime"] == 1209600


def test_group_metrics(bench: Workbench, group: Made) -> None:
    told = group_description(bench, group)["EnabledMetrics"]

    assert told == [{"Metric": "GroupInServiceInstances", "Granularity": "1Minute"}]


# -- ECS -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(bench: Workbench) -> Made:
    return bench.make("AWS::ECS::Cluster", ClusterSettings=[{"Name": "containerInsights", "Value": "enabled"}])


@pytest.fixture(scope="module")
def provider(bench: Workbench, cluster: Made, group: Made) -> Made:
    made = bench.make(
        "AWS::ECS::CapacityProvider",
        AutoScalingGroupProvider={
            "AutoScalingGroupArn": group.ref,
            "ManagedDraining": "ENABLED",
            "ManagedTerminationProtection": "DISABLED",
            "ManagedScaling": {"Status": "ENABLED", "TargetCapacity": "100", "InstanceWarmupPeriod": "60"},
        },
    )
    bench.make(
        "AWS::ECS::ClusterCapacityProviderAssociations",
        Cluster=cluster.ref,
        CapacityProviders=[made.ref],
        DefaultCapacityProviderStrategy=[{"CapacityProvider": made.ref, "Weight": "1"}],
    )
    return made


@pytest.fixture(scope="module")
def task_definition(bench: Workbench) -> Made:
    return bench.make(
        "AWS::ECS::TaskDefinition",
        Family="ingress",
        NetworkMode="bridge",
        RequiresCompatibilities=["EC2"],
        TaskRoleArn="arn:aws:iam::123456789012:role/task",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/execution",
        ContainerDefinitions=[CONTAINER],
    )


CONTAINER = {
    "Name": "service",
    "Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/ingress@sha256:0",
    "Essential": True,
    "Cpu": 256,
    "Memory": "512",
    "User": "10001:10001",
    "StopTimeout": "60",
    "ReadonlyRootFilesystem": "true",
    "PortMappings": [{"ContainerPort": "8443", "HostPort": 8443, "Protocol": "tcp"}],
    "Environment": [{"Name": "MTLS_WORKERS", "Value": "2"}],
    "LinuxParameters": {
        "InitProcessEnabled": True,
        "Capabilities": {"Drop": ["ALL"]},
        "Tmpfs": [{"ContainerPath": "/tmp", "Size": "16", "MountOptions": ["noexec", "nosuid"]}],  # noqa: S108
    },
    "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "service", "mode": "non-blocking"}},
    "Ulimits": [{"Name": "nofile", "SoftLimit": 4096, "HardLimit": "8192"}],
}


@pytest.fixture(scope="module")
def service(bench: Workbench, cluster: Made, provider: Made, task_definition: Made) -> dict[str, Any]:
    made = bench.make(
        "AWS::ECS::Service",
        Cluster=cluster.ref,
        ServiceName="ingress",
        TaskDefinition=task_definition.ref,
        DesiredCount=0,
        CapacityProviderStrategy=[{"CapacityProvider": provider.ref, "Weight": 1}],
        LoadBalancers=[{"ContainerName": "service", "ContainerPort": "8443", "LoadBalancerName": "ingress"}],
        DeploymentConfiguration={
            "MinimumHealthyPercent": "50",
            "MaximumPercent": "100",
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        },
        HealthCheckGracePeriodSeconds="60",
        PropagateTags="SERVICE",
        PlacementConstraints=[{"Type": "distinctInstance"}],
        AvailabilityZoneRebalancing="DISABLED",
    )
    told = bench.client("ecs").describe_services(cluster=cluster.ref, services=[made.ref])
    return dict(told["services"][0])


def test_cluster_settings(bench: Workbench, cluster: Made) -> None:
    told = bench.client("ecs").describe_clusters(clusters=[cluster.ref], include=["SETTINGS"])["clusters"][0]

    assert told["settings"] == [{"name": "containerInsights", "value": "enabled"}]


def test_cluster_capacity_providers(bench: Workbench, cluster: Made, provider: Made) -> None:
    told = bench.client("ecs").describe_clusters(clusters=[cluster.ref])["clusters"][0]

    assert told["capacityProviders"] == [provider.ref]
    assert told["defaultCapacityProviderStrategy"] == [{"capacityProvider": provider.ref, "weight": 1}]


def test_capacity_provider(bench: Workbench, provider: Made) -> None:
    (told,) = bench.client("ecs").describe_capacity_providers(capacityProviders=[provider.ref])["capacityProviders"]

    assert told["autoScalingGroupProvider"]["managedDraining"] == "ENABLED"
    assert told["autoScalingGroupProvider"]["managedScaling"]["instanceWarmupPeriod"] == 60


def test_task_definition_roles(bench: Workbench, task_definition: Made) -> None:
    told = bench.client("ecs").describe_task_definition(taskDefinition=task_definition.ref)["taskDefinition"]

    assert told["taskRoleArn"] == "arn:aws:iam::123456789012:role/task"
    assert told["executionRoleArn"] == "arn:aws:iam::123456789012:role/execution"
    assert told["networkMode"] == "bridge"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "10001:10001"),
        ("memory", 512),
        ("stopTimeout", 60),
        ("readonlyRootFilesystem", True),
        ("portMappings", [{"containerPort": 8443, "hostPort": 8443, "protocol": "tcp"}]),
        ("environment", [{"name": "MTLS_WORKERS", "value": "2"}]),
        (
            "linuxParameters",
            {
                "initProcessEnabled": True,
                "capabilities": {"drop": ["ALL"]},
                "tmpfs": [{"containerPath": "/tmp", "size": 16, "mountOptions": ["noexec", "nosuid"]}],  # noqa: S108
            },
        ),
        (
            "logConfiguration",
            {"logDriver": "awslogs", "options": {"awslogs-group": "service", "mode": "non-blocking"}},
        ),
        ("ulimits", [{"name": "nofile", "softLimit": 4096, "hardLimit": 8192}]),
    ],
)
def test_task_definition_container(bench: Workbench, task_definition: Made, name: str, value: object) -> None:
    told = bench.client("ecs").describe_task_definition(taskDefinition=task_definition.ref)["taskDefinition"]

    assert told["containerDefinitions"][0][name] == value


def test_service_load_balancer(service: dict[str, Any]) -> None:
    assert service["loadBalancers"] == [
        {"containerName": "service", "containerPort": 8443, "loadBalancerName": "ingress"}
    ]


def test_service_capacity_provider_strategy(service: dict[str, Any], provider: Made) -> None:
    assert service["capacityProviderStrategy"] == [{"capacityProvider": provider.ref, "weight": 1}]
    assert "launchType" not in service


def test_service_deployment_configuration(service: dict[str, Any]) -> None:
    assert service["deploymentConfiguration"] == {
        "minimumHealthyPercent": 50,
        "maximumPercent": 100,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    }


def test_service_health_check_grace_period(service: dict[str, Any]) -> None:
    assert service["healthCheckGracePeriodSeconds"] == 60


def test_service_propagates_tags(service: dict[str, Any]) -> None:
    assert service["propagateTags"] == "SERVICE"


def test_service_placement(service: dict[str, Any]) -> None:
    assert service["placementConstraints"] == [{"type": "distinctInstance"}]
    assert service["availabilityZoneRebalancing"] == "DISABLED"


def test_service_scaling(bench: Workbench, service: dict[str, Any]) -> None:
    scaling = bench.client("application-autoscaling")
    cluster = service["clusterArn"].rpartition("/")[2]
    target = bench.make(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId=f"service/{cluster}/ingress",
        MinCapacity="2",
        MaxCapacity="6",
    )
    bench.make(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        ScalingTargetId=target.ref,
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": "60",
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
        },
    )

    (told,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]

    assert (told["MinCapacity"], told["MaxCapacity"]) == (2, 6)
    assert policy["ResourceId"] == told["ResourceId"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60


# -- the client registry ------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(bench: Workbench, key: Made) -> Made:
    return bench.make(
        "AWS::DynamoDB::Table",
        TableName="clients",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "fingerprint", "AttributeType": "S"},
            {"AttributeName": "client", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "fingerprint", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-client",
                "KeySchema": [
                    {"AttributeName": "client", "KeyType": "HASH"},
                    {"AttributeName": "fingerprint", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        StreamSpecification={"StreamViewType": "NEW_AND_OLD_IMAGES"},
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": "35"},
        SSESpecification={"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key.attributes["Arn"]},
        DeletionProtectionEnabled=True,
    )


def described_table(bench: Workbench, table: Made) -> dict[str, Any]:
    return dict(bench.client("dynamodb").describe_table(TableName=table.ref)["Table"])


def test_table_index(bench: Workbench, table: Made) -> None:
    (index,) = described_table(bench, table)["GlobalSecondaryIndexes"]

    assert index["KeySchema"] == table.properties["GlobalSecondaryIndexes"][0]["KeySchema"]
    assert index["Projection"] == {"ProjectionType": "ALL"}


def test_table_on_demand(bench: Workbench, table: Made) -> None:
    assert described_table(bench, table)["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}


def test_table_stream(bench: Workbench, table: Made) -> None:
    told = described_table(bench, table)

    assert told["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table.attributes["StreamArn"] == told["LatestStreamArn"]


def test_table_deletion_protection(bench: Workbench, table: Made) -> None:
    assert described_table(bench, table)["DeletionProtectionEnabled"] is True


def test_table_point_in_time_recovery(bench: Workbench, table: Made) -> None:
    told = bench.client("dynamodb").describe_continuous_backups(TableName=table.ref)["ContinuousBackupsDescription"]

    assert told["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert told["PointInTimeRecoveryDescription"]["RecoveryPeriodInDays"] == 35


def test_table_encryption(bench: Workbench, table: Made, key: Made) -> None:
    told = described_table(bench, table)["SSEDescription"]

    assert told == {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key.attributes["Arn"]}


# -- identity -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def role(bench: Workbench) -> Made:
    return bench.make(
        "AWS::IAM::Role",
        RoleName="task",
        AssumeRolePolicyDocument=TASKS_TRUST,
        Policies=[{"PolicyName": "read", "PolicyDocument": READ_OBJECTS}],
        ManagedPolicyArns=["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"],
    )


def test_role_inline_policy_is_json(bench: Workbench, role: Made) -> None:
    """boto3 decodes the document, so anything but JSON would come back as text."""
    told = bench.client("iam").get_role_policy(RoleName=role.ref, PolicyName="read")

    assert told["PolicyDocument"] == READ_OBJECTS


def test_role_attached_policies(bench: Workbench, role: Made) -> None:
    bench.make("AWS::IAM::ManagedPolicy", ManagedPolicyName="more", PolicyDocument=READ_OBJECTS, Roles=[role.ref])

    told = bench.client("iam").list_attached_role_policies(RoleName=role.ref)["AttachedPolicies"]

    assert {policy["PolicyName"] for policy in told} == {"AmazonSSMManagedInstanceCore", "more"}


def test_role_trust(bench: Workbench, role: Made) -> None:
    told = bench.client("iam").get_role(RoleName=role.ref)["Role"]

    assert told["AssumeRolePolicyDocument"] == TASKS_TRUST
    assert role.attributes == {"Arn": told["Arn"], "RoleId": told["RoleId"]}


# -- images, endpoint, observability --------------------------------------------------------


def test_repository(bench: Workbench, key: Made) -> None:
    lifecycle = {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
                "action": {"type": "expire"},
            }
        ]
    }
    made = bench.make(
        "AWS::ECR::Repository",
        RepositoryName="ingress",
        ImageTagMutability="IMMUTABLE",
        ImageScanningConfiguration={"ScanOnPush": True},
        EncryptionConfiguration={"EncryptionType": "KMS", "KmsKey": key.attributes["Arn"]},
        LifecyclePolicy={"LifecyclePolicyText": json.dumps(lifecycle)},
    )

    ecr = bench.client("ecr")
    (told,) = ecr.describe_repositories(repositoryNames=[made.ref])["repositories"]

    assert told["imageTagMutability"] == "IMMUTABLE"
    assert told["imageScanningConfiguration"] == {"scanOnPush": True}
    assert told["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key.attributes["Arn"]}
    assert json.loads(ecr.get_lifecycle_policy(repositoryName=made.ref)["lifecyclePolicyText"]) == lifecycle


def test_endpoint_policy_is_json(bench: Workbench) -> None:
    vpc = bench.make("AWS::EC2::VPC", CidrBlock="10.1.0.0/16").ref
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}],
    }
    made = bench.make(
        "AWS::EC2::VPCEndpoint",
        VpcId=vpc,
        VpcEndpointType="Gateway",
        ServiceName="com.amazonaws.us-east-1.s3",
        PolicyDocument=policy,
    )

    (told,) = bench.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[made.ref])["VpcEndpoints"]

    assert json.loads(told["PolicyDocument"]) == policy


def test_topic_policy(bench: Workbench) -> None:
    topic = bench.make("AWS::SNS::Topic", TopicName="policed")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic.ref,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    bench.make("AWS::SNS::TopicPolicy", Topics=[topic.ref], PolicyDocument=policy)

    told = bench.client("sns").get_topic_attributes(TopicArn=topic.ref)["Attributes"]

    assert json.loads(told["Policy"]) == policy


def test_alarm(bench: Workbench) -> None:
    given = {
        "Namespace": "mtls-ingress",
        "MetricName": "Refused",
        "Dimensions": [{"Name": "Environment", "Value": "local"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 10,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:alarms"],
        "AlarmDescription": "too many refusals",
    }
    made = bench.make("AWS::CloudWatch::Alarm", **given)

    (told,) = bench.client("cloudwatch").describe_alarms(AlarmNames=[made.ref])["MetricAlarms"]

    assert {name: told[name] for name in given} == given


def test_metric_filter(bench: Workbench) -> None:
    logs = bench.client("logs")
    group = bench.make("AWS::Logs::LogGroup", LogGroupName="audit", RetentionInDays="30")
    transformation = {
        "MetricName": "Refused",
        "MetricNamespace": "mtls-ingress",
        "MetricValue": "1",
        "DefaultValue": "0",
        "Unit": "Count",
    }
    bench.make(
        "AWS::Logs::MetricFilter",
        LogGroupName=group.ref,
        FilterPattern='{ $.event = "refused" }',
        MetricTransformations=[transformation],
    )

    (told,) = logs.describe_metric_filters(logGroupName=group.ref)["metricFilters"]
    (kept,) = logs.describe_log_groups(logGroupNamePrefix=group.ref)["logGroups"]

    assert told["filterPattern"] == '{ $.event = "refused" }'
    assert told["metricTransformations"] == [
        {
            "metricName": "Refused",
            "metricNamespace": "mtls-ingress",
            "metricValue": "1",
            "defaultValue": 0,
            "unit": "Count",
        }
    ]
    assert kept["retentionInDays"] == 30
