"""What an operator changes arrives in the same resource, and what he takes out goes back to the service's default."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stacks.local_cloud.rows.workbench import FailedError, Made, Workbench

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def allow(action: str, resource: str = "*") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture(scope="module")
def vpc(bench: Workbench) -> str:
    return bench.make("AWS::EC2::VPC", CidrBlock="10.0.0.0/16").ref


@pytest.fixture(scope="module")
def subnets(bench: Workbench, vpc: str) -> list[str]:
    return [
        bench.make(
            "AWS::EC2::Subnet", VpcId=vpc, CidrBlock=f"10.0.{part}.0/24", AvailabilityZone=f"us-east-1{zone}"
        ).ref
        for part, zone in enumerate("abc")
    ]


# -- network and security groups ---------------------------------------------------------


def test_vpc_name_resolution(bench: Workbench) -> None:
    made = bench.make("AWS::EC2::VPC", CidrBlock="10.9.0.0/16", EnableDnsHostnames=True, EnableDnsSupport="true")
    ec2 = bench.client("ec2")

    bench.amend(made, EnableDnsHostnames=None, EnableDnsSupport=False)

    hostnames = ec2.describe_vpc_attribute(VpcId=made.ref, Attribute="enableDnsHostnames")["EnableDnsHostnames"]
    support = ec2.describe_vpc_attribute(VpcId=made.ref, Attribute="enableDnsSupport")["EnableDnsSupport"]
    assert (hostnames, support) == ({"Value": False}, {"Value": False})


def test_route_gets_another_target(bench: Workbench, vpc: str, subnets: list[str]) -> None:
    gateway = bench.make("AWS::EC2::InternetGateway")
    bench.make("AWS::EC2::VPCGatewayAttachment", VpcId=vpc, InternetGatewayId=gateway.ref)
    address = bench.make("AWS::EC2::EIP", Domain="vpc")
    nat = bench.make("AWS::EC2::NatGateway", AllocationId=address.attributes["AllocationId"], SubnetId=subnets[0])
    table = bench.make("AWS::EC2::RouteTable", VpcId=vpc)
    route = bench.make(
        "AWS::EC2::Route", RouteTableId=table.ref, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway.ref
    )

    bench.amend(route, GatewayId=None, NatGatewayId=nat.ref)

    (told,) = bench.client("ec2").describe_route_tables(RouteTableIds=[table.ref])["RouteTables"]
    found = {one["DestinationCidrBlock"]: one for one in told["Routes"]}
    assert found["0.0.0.0/0"]["NatGatewayId"] == nat.ref
    assert "GatewayId" not in found["0.0.0.0/0"]


def test_endpoint_policy_and_route_tables(bench: Workbench, vpc: str) -> None:
    tables = [bench.make("AWS::EC2::RouteTable", VpcId=vpc).ref for _ in range(2)]
    made = bench.make(
        "AWS::EC2::VPCEndpoint",
        VpcId=vpc,
        VpcEndpointType="Gateway",
        ServiceName="com.amazonaws.us-east-1.dynamodb",
        RouteTableIds=tables[:1],
        PolicyDocument={"Version": "2012-10-17", "Statement": []},
    )

    bench.amend(made, RouteTableIds=tables[1:], PolicyDocument=None)

    (told,) = bench.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[made.ref])["VpcEndpoints"]
    assert told["RouteTableIds"] == tables[1:]
    assert json.loads(told["PolicyDocument"])["Statement"] == [
        {"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}
    ]


def rule(port: int, **end: str) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": str(port), "Description": f"port {port}", **end}


def permissions(bench: Workbench, group: Made, direction: str = "IpPermissionsEgress") -> list[tuple[str, int]]:
    (told,) = bench.client("ec2").describe_security_groups(GroupIds=[group.ref])["SecurityGroups"]
    return sorted((one["IpProtocol"], one.get("FromPort", 0)) for one in told[direction])


def test_inline_rules_replace_what_aws_lets_out(bench: Workbench, vpc: str) -> None:
    group = bench.make(
        "AWS::EC2::SecurityGroup",
        GroupDescription="instances",
        VpcId=vpc,
        SecurityGroupEgress=[rule(443, CidrIp="0.0.0.0/0")],
    )

    assert permissions(bench, group) == [("tcp", 443)]


def test_inline_rules_come_and_go(bench: Workbench, vpc: str) -> None:
    group = bench.make(
        "AWS::EC2::SecurityGroup",
        GroupDescription="partners",
        VpcId=vpc,
        SecurityGroupIngress=[rule(443, CidrIp="198.51.100.0/24"), rule(444, CidrIp="198.51.100.0/24")],
        SecurityGroupEgress=[rule(443, CidrIp="0.0.0.0/0")],
    )

    bench.amend(
        group,
        SecurityGroupIngress=[rule(443, CidrIp="198.51.100.0/24"), rule(445, CidrIp="203.0.113.0/24")],
        SecurityGroupEgress=None,
    )

    assert permissions(bench, group, "IpPermissions") == [("tcp", 443), ("tcp", 445)]
    assert permissions(bench, group) == [("-1", 0)]


def test_an_egress_resource_revokes_what_aws_lets_out(bench: Workbench, vpc: str) -> None:
    """CloudFormation template reference, AWS::EC2::SecurityGroupEgress: the default rule is removed."""
    group = bench.make("AWS::EC2::SecurityGroup", GroupDescription="load balancer", VpcId=vpc)
    instances = bench.make("AWS::EC2::SecurityGroup", GroupDescription="instances", VpcId=vpc)

    bench.make(
        "AWS::EC2::SecurityGroupEgress",
        GroupId=group.ref,
        **rule(8443, DestinationSecurityGroupId=instances.ref),
    )

    assert permissions(bench, group) == [("tcp", 8443)]


def test_inline_rules_leave_rule_resources_alone(bench: Workbench, vpc: str) -> None:
    group = bench.make("AWS::EC2::SecurityGroup", GroupDescription="instances", VpcId=vpc)
    bench.make("AWS::EC2::SecurityGroupIngress", GroupId=group.ref, **rule(8443, CidrIp="10.0.0.0/16"))

    bench.amend(group, SecurityGroupIngress=[rule(8080, CidrIp="10.0.0.0/16")])

    assert permissions(bench, group, "IpPermissions") == [("tcp", 8080), ("tcp", 8443)]


# -- identity and keys ---------------------------------------------------------------------


def test_role_policies_trust_and_tags(bench: Workbench) -> None:
    iam = bench.client("iam")
    made = bench.make(
        "AWS::IAM::Role",
        RoleName="changing",
        Description="first",
        AssumeRolePolicyDocument=TRUST,
        MaxSessionDuration="7200",
        Policies=[
            {"PolicyName": "stays", "PolicyDocument": allow("s3:GetObject")},
            {"PolicyName": "goes", "PolicyDocument": allow("s3:PutObject")},
        ],
        ManagedPolicyArns=["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"],
        Tags=[{"Key": "owner", "Value": "ops"}],
    )

    bench.amend(
        made,
        Description=None,
        MaxSessionDuration=None,
        AssumeRolePolicyDocument={**TRUST, "Id": "second"},
        Policies=[{"PolicyName": "stays", "PolicyDocument": allow("s3:GetObjectVersion")}],
        ManagedPolicyArns=None,
        Tags=None,
    )

    told = iam.get_role(RoleName="changing")["Role"]
    assert (told["Description"], told["MaxSessionDuration"]) == ("", 3600)
    assert told["AssumeRolePolicyDocument"]["Id"] == "second"
    assert iam.list_role_policies(RoleName="changing")["PolicyNames"] == ["stays"]
    assert iam.get_role_policy(RoleName="changing", PolicyName="stays")["PolicyDocument"] == allow(
        "s3:GetObjectVersion"
    )
    assert iam.list_attached_role_policies(RoleName="changing")["AttachedPolicies"] == []
    assert "owner" not in {tag["Key"] for tag in told["Tags"]}


def test_managed_policy_keeps_five_versions(bench: Workbench) -> None:
    """The document of the template is the default one, however often it changed."""
    iam = bench.client("iam")
    made = bench.make("AWS::IAM::ManagedPolicy", PolicyDocument=allow("s3:GetObject"))

    for number in range(6):
        bench.amend(made, PolicyDocument=allow("s3:GetObject", f"arn:aws:s3:::bucket-{number}/*"))

    versions = iam.list_policy_versions(PolicyArn=made.ref)["Versions"]
    (default,) = [version for version in versions if version["IsDefaultVersion"]]
    told = iam.get_policy_version(PolicyArn=made.ref, VersionId=default["VersionId"])["PolicyVersion"]
    assert len(versions) == 5
    assert told["Document"] == allow("s3:GetObject", "arn:aws:s3:::bucket-5/*")


def test_managed_policy_changes_bearers(bench: Workbench) -> None:
    roles = [bench.make("AWS::IAM::Role", AssumeRolePolicyDocument=TRUST).ref for _ in range(2)]
    made = bench.make("AWS::IAM::ManagedPolicy", PolicyDocument=allow("s3:GetObject"), Roles=roles[:1])

    bench.amend(made, Roles=roles[1:])

    told = bench.client("iam").list_entities_for_policy(PolicyArn=made.ref)["PolicyRoles"]
    assert [role["RoleName"] for role in told] == roles[1:]


def test_instance_profile_changes_its_role(bench: Workbench) -> None:
    roles = [bench.make("AWS::IAM::Role", AssumeRolePolicyDocument=TRUST).ref for _ in range(2)]
    made = bench.make("AWS::IAM::InstanceProfile", Roles=roles[:1])

    bench.amend(made, Roles=roles[1:])

    told = bench.client("iam").get_instance_profile(InstanceProfileName=made.ref)["InstanceProfile"]
    assert [role["RoleName"] for role in told["Roles"]] == roles[1:]


def test_key_policy_rotation_and_alias(bench: Workbench) -> None:
    kms = bench.client("kms")
    keys = [bench.make("AWS::KMS::Key", EnableKeyRotation=True, PendingWindowInDays=7) for _ in range(2)]
    alias = bench.make("AWS::KMS::Alias", AliasName="alias/store", TargetKeyId=keys[0].ref)

    bench.amend(keys[0], KeyPolicy=allow("kms:*"), EnableKeyRotation=False, Description="new")
    bench.amend(alias, TargetKeyId=keys[1].ref)

    policy = kms.get_key_policy(KeyId=keys[0].ref, PolicyName="default")["Policy"]
    assert json.loads(policy) == allow("kms:*")
    assert kms.get_key_rotation_status(KeyId=keys[0].ref)["KeyRotationEnabled"] is False
    assert kms.describe_key(KeyId="alias/store")["KeyMetadata"]["KeyId"] == keys[1].ref


# -- buckets, table, images ------------------------------------------------------------------


def test_bucket_goes_back_to_defaults(bench: Workbench) -> None:
    s3 = bench.client("s3")
    encryption = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key"}}
    made = bench.make(
        "AWS::S3::Bucket",
        BucketName="changing",
        VersioningConfiguration={"Status": "Enabled"},
        BucketEncryption={"ServerSideEncryptionConfiguration": [encryption]},
        LifecycleConfiguration={"Rules": [{"Id": "expire", "Status": "Enabled", "ExpirationInDays": "30"}]},
        PublicAccessBlockConfiguration={"BlockPublicAcls": True},
        Tags=[{"Key": "owner", "Value": "ops"}],
    )

    bench.change(made, BucketName="changing")

    (rule_,) = s3.get_bucket_encryption(Bucket="changing")["ServerSideEncryptionConfiguration"]["Rules"]
    assert s3.get_bucket_versioning(Bucket="changing")["Status"] == "Suspended"
    assert rule_["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert all(s3.get_public_access_block(Bucket="changing")["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_tagging(Bucket="changing")["TagSet"] == [{"Key": "project", "Value": "ingress"}]
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="changing")


def test_bucket_policy_changes(bench: Workbench) -> None:
    bench.make("AWS::S3::Bucket", BucketName="policed")
    made = bench.make("AWS::S3::BucketPolicy", Bucket="policed", PolicyDocument=allow("s3:GetObject"))

    bench.amend(made, PolicyDocument=allow("s3:PutObject"))

    policy = bench.client("s3").get_bucket_policy(Bucket="policed")["Policy"]
    assert json.loads(policy) == allow("s3:PutObject")


def test_table_settings(bench: Workbench) -> None:
    dynamodb = bench.client("dynamodb")
    made = bench.make(
        "AWS::DynamoDB::Table",
        TableName="changing",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "fingerprint", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "fingerprint", "KeyType": "HASH"}],
        SSESpecification={"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "arn:aws:kms:::key/1"},
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone_at"},
        DeletionProtectionEnabled=True,
        Tags=[{"Key": "owner", "Value": "ops"}],
    )
    index = {
        "IndexName": "by-client",
        "KeySchema": [{"AttributeName": "client", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }

    bench.amend(
        made,
        AttributeDefinitions=[
            {"AttributeName": "fingerprint", "AttributeType": "S"},
            {"AttributeName": "client", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[index],
        SSESpecification={"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "arn:aws:kms:::key/2"},
        PointInTimeRecoverySpecification=None,
        TimeToLiveSpecification=None,
        DeletionProtectionEnabled=None,
        Tags=[{"Key": "owner", "Value": "security"}],
    )

    told = dynamodb.describe_table(TableName="changing")["Table"]
    backups = dynamodb.describe_continuous_backups(TableName="changing")["ContinuousBackupsDescription"]
    expiry = dynamodb.describe_time_to_live(TableName="changing")["TimeToLiveDescription"]
    tags = dynamodb.list_tags_of_resource(ResourceArn=told["TableArn"])["Tags"]
    assert [one["IndexName"] for one in told["GlobalSecondaryIndexes"]] == ["by-client"]
    assert told["SSEDescription"]["KMSMasterKeyArn"] == "arn:aws:kms:::key/2"
    assert told["DeletionProtectionEnabled"] is False
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert expiry["TimeToLiveStatus"] == "DISABLED"
    assert [tag["Value"] for tag in tags if tag["Key"] == "owner"] == ["security"]


def test_repository_settings(bench: Workbench) -> None:
    ecr = bench.client("ecr")
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20}
    lifecycle = json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    made = bench.make(
        "AWS::ECR::Repository",
        RepositoryName="changing",
        ImageTagMutability="IMMUTABLE",
        ImageScanningConfiguration={"ScanOnPush": True},
        LifecyclePolicy={"LifecyclePolicyText": lifecycle},
    )

    bench.change(made, RepositoryName="changing")

    (told,) = ecr.describe_repositories(repositoryNames=["changing"])["repositories"]
    assert told["imageTagMutability"] == "MUTABLE"
    assert told["imageScanningConfiguration"] == {"scanOnPush": False}
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName="changing")


# -- the load balancer -------------------------------------------------------------------------


LISTENER = {"LoadBalancerPort": "443", "Protocol": "TCP", "InstancePort": "8443", "InstanceProtocol": "TCP"}
PROXY = {
    "PolicyName": "ProxyProtocol",
    "PolicyType": "ProxyProtocolPolicyType",
    "Attributes": [{"Name": "ProxyProtocol", "Value": "true"}],
    "InstancePorts": ["8443"],
}


@pytest.fixture
def balancer(bench: Workbench, vpc: str, subnets: list[str]) -> Made:
    group = bench.make("AWS::EC2::SecurityGroup", GroupDescription="first", VpcId=vpc)
    return bench.make(
        "AWS::ElasticLoadBalancing::LoadBalancer",
        Subnets=subnets[:2],
        SecurityGroups=[group.ref],
        Listeners=[LISTENER],
        Policies=[PROXY],
        HealthCheck={
            "Target": "HTTP:8080/healthz",
            "Interval": "10",
            "Timeout": "5",
            "HealthyThreshold": "2",
            "UnhealthyThreshold": "2",
        },
        CrossZone=True,
        ConnectionSettings={"IdleTimeout": 120},
        ConnectionDrainingPolicy={"Enabled": True, "Timeout": 45},
    )


def description(bench: Workbench, made: Made) -> dict[str, Any]:
    told = bench.client("elb").describe_load_balancers(LoadBalancerNames=[made.ref])
    return dict(told["LoadBalancerDescriptions"][0])


def test_proxy_policy_taken_away(bench: Workbench, balancer: Made) -> None:
    bench.amend(balancer, Policies=None)

    told = description(bench, balancer)
    assert told["BackendServerDescriptions"] == []
    assert told["Policies"]["OtherPolicies"] == []


def test_proxy_policy_switched_off(bench: Workbench, balancer: Made) -> None:
    bench.amend(balancer, Policies=[{**PROXY, "Attributes": [{"Name": "ProxyProtocol", "Value": False}]}])

    (policy,) = bench.client("elb").describe_load_balancer_policies(LoadBalancerName=balancer.ref)["PolicyDescriptions"]
    assert policy["PolicyAttributeDescriptions"] == [{"AttributeName": "ProxyProtocol", "AttributeValue": "false"}]


def test_listener_gets_another_instance_port(bench: Workbench, balancer: Made) -> None:
    """The load balancer stays itself: same DNS name, same instances behind it, every other setting kept."""
    elb, name = bench.client("elb"), balancer.attributes["DNSName"]
    elb.register_instances_with_load_balancer(LoadBalancerName=balancer.ref, Instances=[{"InstanceId": "i-1"}])
    before = elb.describe_load_balancer_attributes(LoadBalancerName=balancer.ref)["LoadBalancerAttributes"]

    bench.amend(
        balancer, Listeners=[{**LISTENER, "InstancePort": "9443"}], Policies=[{**PROXY, "InstancePorts": ["9443"]}]
    )

    told = description(bench, balancer)
    assert told["ListenerDescriptions"][0]["Listener"]["InstancePort"] == 9443
    assert told["BackendServerDescriptions"] == [{"InstancePort": 9443, "PolicyNames": ["ProxyProtocol"]}]
    assert told["Instances"] == [{"InstanceId": "i-1"}]
    assert told["DNSName"] == name
    assert told["HealthCheck"]["Target"] == "HTTP:8080/healthz"
    assert elb.describe_load_balancer_attributes(LoadBalancerName=balancer.ref)["LoadBalancerAttributes"] == before


def test_policy_on_a_port_without_listener_fails(bench: Workbench, balancer: Made) -> None:
    with pytest.raises(FailedError, match="no listener has instance port 9443"):
        bench.amend(balancer, Policies=[{**PROXY, "InstancePorts": ["9443"]}])

    assert description(bench, balancer)["BackendServerDescriptions"] == [
        {"InstancePort": 8443, "PolicyNames": ["ProxyProtocol"]}
    ]


def test_listeners_are_added_and_removed(bench: Workbench, balancer: Made) -> None:
    second = {**LISTENER, "LoadBalancerPort": "8443"}

    bench.amend(balancer, Listeners=[second])

    told = description(bench, balancer)["ListenerDescriptions"]
    assert [one["Listener"]["LoadBalancerPort"] for one in told] == [8443]


def test_balancer_goes_back_to_defaults(bench: Workbench, balancer: Made) -> None:
    bench.amend(balancer, CrossZone=None, ConnectionSettings=None, ConnectionDrainingPolicy=None, HealthCheck=None)

    told = bench.client("elb").describe_load_balancer_attributes(LoadBalancerName=balancer.ref)
    assert told["LoadBalancerAttributes"] == {
        "CrossZoneLoadBalancing": {"Enabled": False},
        "ConnectionDraining": {"Enabled": False, "Timeout": 300},
        "ConnectionSettings": {"IdleTimeout": 60},
        "AccessLog": {"Enabled": False},
        "AdditionalAttributes": [{"Key": "elb.http.desyncmitigationmode", "Value": "defensive"}],
    }
    assert description(bench, balancer)["HealthCheck"]["Target"] == "TCP:8443"


def test_balancer_moves(bench: Workbench, balancer: Made, vpc: str, subnets: list[str]) -> None:
    group = bench.make("AWS::EC2::SecurityGroup", GroupDescription="second", VpcId=vpc)

    bench.amend(balancer, Subnets=subnets[1:], SecurityGroups=[group.ref])

    told = description(bench, balancer)
    assert sorted(told["Subnets"]) == sorted(subnets[1:])
    assert told["SecurityGroups"] == [group.ref]


# -- capacity -----------------------------------------------------------------------------------


def launch_data(instance_type: str) -> dict[str, Any]:
    user_data = {"Fn::Base64": f"#!/bin/bash\n# {instance_type}\n"}
    return {"ImageId": "ami-03cf127a", "InstanceType": instance_type, "UserData": user_data}


def test_launch_template_gets_a_new_version(bench: Workbench) -> None:
    made = bench.make("AWS::EC2::LaunchTemplate", LaunchTemplateData=launch_data("t3.small"))

    bench.amend(made, LaunchTemplateData=launch_data("t3.large"))

    assert made.attributes["LatestVersionNumber"] == "2"
    versions = bench.client("ec2").describe_launch_template_versions(LaunchTemplateId=made.ref, Versions=["2"])
    assert versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"] == "t3.large"


def test_launch_template_goes_back_to_what_it_was(bench: Workbench) -> None:
    """A template's own tags are no part of what it launches, neither in its first version nor in a later one."""
    made = bench.make("AWS::EC2::LaunchTemplate", LaunchTemplateData=launch_data("t3.small"))

    bench.amend(made, LaunchTemplateData=launch_data("t3.large"))
    bench.amend(made, LaunchTemplateData=launch_data("t3.small"))

    told = bench.client("ec2").describe_launch_template_versions(LaunchTemplateId=made.ref, Versions=["1", "3"])
    first, third = (version["LaunchTemplateData"] for version in told["LaunchTemplateVersions"])
    assert first == third


def test_group_takes_sizes_and_version(bench: Workbench, subnets: list[str]) -> None:
    """Instances of the new version start, which moto alone cannot do for a version with user data."""
    template = bench.make("AWS::EC2::LaunchTemplate", LaunchTemplateData=launch_data("t3.small"))
    group = bench.make(
        "AWS::AutoScaling::AutoScalingGroup",
        MinSize="1",
        MaxSize="4",
        LaunchTemplate={"LaunchTemplateId": template.ref, "Version": "1"},
        VPCZoneIdentifier=subnets[:2],
        MaxInstanceLifetime=1209600,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
        MetricsCollection=[{"Granularity": "1Minute"}],
        Tags=[{"Key": "Name", "Value": "instance", "PropagateAtLaunch": True}],
    )
    bench.amend(template, LaunchTemplateData=launch_data("t3.large"))

    bench.amend(
        group,
        MinSize="3",
        LaunchTemplate={"LaunchTemplateId": template.ref, "Version": "2"},
        MaxInstanceLifetime=None,
        InstanceMaintenancePolicy=None,
        MetricsCollection=None,
        Tags=None,
    )

    (told,) = bench.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group.ref])[
        "AutoScalingGroups"
    ]
    assert sorted(instance["InstanceType"] for instance in told["Instances"]) == ["t3.large", "t3.large", "t3.small"]
    assert told["LaunchTemplate"]["Version"] == "2"
    assert told["MaxInstanceLifetime"] == 0
    assert "InstanceMaintenancePolicy" not in told
    assert told["EnabledMetrics"] == []
    assert "Name" not in {tag["Key"] for tag in told["Tags"]}


def test_group_gives_back_the_instances_a_greater_minimum_brought(bench: Workbench, subnets: list[str]) -> None:
    """A rollback too ends with the instances that were there, and with nothing of the others."""
    template = bench.make("AWS::EC2::LaunchTemplate", LaunchTemplateData=launch_data("t3.small"))
    group = bench.make(
        "AWS::AutoScaling::AutoScalingGroup",
        MinSize="1",
        MaxSize="4",
        LaunchTemplate={"LaunchTemplateId": template.ref, "Version": "1"},
        VPCZoneIdentifier=subnets[:2],
    )
    before = instances_of(bench, group)
    volumes = len(bench.client("ec2").describe_volumes()["Volumes"])

    bench.amend(group, MinSize="3")
    assert len(instances_of(bench, group)) == 3
    bench.amend(group, MinSize="1")

    assert instances_of(bench, group) == before
    assert len(bench.client("ec2").describe_volumes()["Volumes"]) == volumes


def instances_of(bench: Workbench, group: Made) -> list[str]:
    found = bench.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group.ref])
    return [instance["InstanceId"] for instance in found["AutoScalingGroups"][0]["Instances"]]


# -- containers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def definitions(bench: Workbench) -> list[str]:
    container = {"Name": "service", "Image": "ingress", "Memory": 512}
    return [
        bench.make("AWS::ECS::TaskDefinition", Family="changing", ContainerDefinitions=[{**container, "Cpu": cpu}]).ref
        for cpu in (128, 256)
    ]


def test_service_takes_definition_and_settings(bench: Workbench, definitions: list[str]) -> None:
    cluster = bench.make("AWS::ECS::Cluster").ref
    made = bench.make(
        "AWS::ECS::Service",
        Cluster=cluster,
        ServiceName="changing",
        TaskDefinition=definitions[0],
        DesiredCount=0,
        PropagateTags="SERVICE",
    )

    bench.amend(made, TaskDefinition=definitions[1], PropagateTags=None)

    (told,) = bench.client("ecs").describe_services(cluster=cluster, services=["changing"])["services"]
    assert told["taskDefinition"] == definitions[1]
    assert told["propagateTags"] == "NONE"


def test_capacity_provider_changes_under_its_name(bench: Workbench) -> None:
    ecs = bench.client("ecs")
    given = {"AutoScalingGroupArn": "group", "ManagedDraining": "ENABLED", "ManagedScaling": {"TargetCapacity": 100}}
    made = bench.make("AWS::ECS::CapacityProvider", AutoScalingGroupProvider=given)
    arn = ecs.describe_capacity_providers(capacityProviders=[made.ref])["capacityProviders"][0]["capacityProviderArn"]

    bench.amend(
        made,
        AutoScalingGroupProvider={**given, "ManagedDraining": "DISABLED", "ManagedScaling": {"TargetCapacity": 80}},
    )

    (told,) = ecs.describe_capacity_providers(capacityProviders=[made.ref])["capacityProviders"]
    assert told["capacityProviderArn"] == arn
    assert told["autoScalingGroupProvider"]["managedDraining"] == "DISABLED"
    assert told["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 80


def test_cluster_settings_and_capacity(bench: Workbench) -> None:
    ecs = bench.client("ecs")
    cluster = bench.make("AWS::ECS::Cluster", ClusterSettings=[{"Name": "containerInsights", "Value": "enabled"}])
    made = bench.make(
        "AWS::ECS::ClusterCapacityProviderAssociations",
        Cluster=cluster.ref,
        CapacityProviders=["FARGATE"],
        DefaultCapacityProviderStrategy=[{"CapacityProvider": "FARGATE", "Weight": 1}],
    )

    bench.amend(cluster, ClusterSettings=None)
    bench.amend(made, CapacityProviders=["FARGATE", "FARGATE_SPOT"], DefaultCapacityProviderStrategy=[])

    (told,) = ecs.describe_clusters(clusters=[cluster.ref], include=["SETTINGS"])["clusters"]
    assert told["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert told["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert told["defaultCapacityProviderStrategy"] == []


# -- observability and DNS ---------------------------------------------------------------------------


def test_log_group_retention(bench: Workbench) -> None:
    logs = bench.client("logs")
    made = bench.make("AWS::Logs::LogGroup", LogGroupName="changing", RetentionInDays=30)

    bench.amend(made, RetentionInDays="90")
    (longer,) = logs.describe_log_groups(logGroupNamePrefix="changing")["logGroups"]
    bench.amend(made, RetentionInDays=None)
    (for_ever,) = logs.describe_log_groups(logGroupNamePrefix="changing")["logGroups"]

    assert longer["retentionInDays"] == 90
    assert "retentionInDays" not in for_ever


def test_alarm_threshold(bench: Workbench) -> None:
    made = bench.make(
        "AWS::CloudWatch::Alarm",
        Namespace="mtls-ingress",
        MetricName="Refused",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=10,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )

    bench.amend(made, Threshold="0.5", TreatMissingData=None)

    (told,) = bench.client("cloudwatch").describe_alarms(AlarmNames=[made.ref])["MetricAlarms"]
    assert told["Threshold"] == 0.5
    assert "TreatMissingData" not in told


def test_topic_and_its_policy(bench: Workbench) -> None:
    sns = bench.client("sns")
    topic = bench.make("AWS::SNS::Topic", TopicName="changing", DisplayName="alarms", KmsMasterKeyId="alias/alarms")
    policy = bench.make("AWS::SNS::TopicPolicy", Topics=[topic.ref], PolicyDocument=allow("sns:Publish"))

    bench.amend(topic, DisplayName=None, KmsMasterKeyId=None)
    bench.amend(policy, PolicyDocument=allow("sns:Subscribe"))

    told = sns.get_topic_attributes(TopicArn=topic.ref)["Attributes"]
    assert (told["DisplayName"], told.get("KmsMasterKeyId", "")) == ("", "")
    assert json.loads(told["Policy"]) == allow("sns:Subscribe")


def test_dashboard_and_metric_filter(bench: Workbench) -> None:
    bench.make("AWS::Logs::LogGroup", LogGroupName="filtered")
    transformation = {"MetricName": "Refused", "MetricNamespace": "mtls-ingress", "MetricValue": "1"}
    metric = bench.make(
        "AWS::Logs::MetricFilter",
        LogGroupName="filtered",
        FilterPattern="refused",
        MetricTransformations=[transformation],
    )
    board = bench.make("AWS::CloudWatch::Dashboard", DashboardName="ingress", DashboardBody='{"widgets": []}')

    bench.amend(metric, FilterPattern="denied")
    bench.amend(board, DashboardBody='{"widgets": [], "start": "-PT6H"}')

    (told,) = bench.client("logs").describe_metric_filters(logGroupName="filtered")["metricFilters"]
    body = bench.client("cloudwatch").get_dashboard(DashboardName="ingress")["DashboardBody"]
    assert told["filterPattern"] == "denied"
    assert json.loads(body)["start"] == "-PT6H"


def test_alias_record_follows_the_load_balancer(bench: Workbench) -> None:
    route53 = bench.client("route53")
    zone = route53.create_hosted_zone(Name="example.com.", CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    target = {"DNSName": "first.elb.amazonaws.com", "HostedZoneId": "Z35SXDOTRQ7X7K", "EvaluateTargetHealth": "false"}
    made = bench.make(
        "AWS::Route53::RecordSet", HostedZoneId=zone, Name="ingress.example.com.", Type="A", AliasTarget=target
    )

    bench.amend(made, AliasTarget={**target, "DNSName": "second.elb.amazonaws.com"})

    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    (told,) = [record for record in records if record["Type"] == "A"]
    assert told["AliasTarget"]["DNSName"] == "second.elb.amazonaws.com"
    assert made.ref == "ingress.example.com."
