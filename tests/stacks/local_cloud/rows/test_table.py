"""The table holds every type the templates use, once, and says nothing that the provider schemas do not know."""

from __future__ import annotations

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from stacks.local_cloud.resource_types import table
from stacks.local_cloud.row import Row

TYPES = [
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::Backup::BackupPlan",
    "AWS::Backup::BackupSelection",
    "AWS::Backup::BackupVault",
    "AWS::CloudTrail::Trail",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::DynamoDB::Table",
    "AWS::EC2::EIP",
    "AWS::EC2::FlowLog",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::NatGateway",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::ECR::Repository",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::Cluster",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
    "AWS::ElasticLoadBalancing::LoadBalancer",
    "AWS::Events::Rule",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::OIDCProvider",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::QueryDefinition",
    "AWS::Route53::RecordSet",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
]


def test_every_type_has_its_row() -> None:
    assert sorted(table.rows()) == TYPES


def test_two_rows_for_one_type_are_refused() -> None:
    row = table.rows()["AWS::EC2::VPC"]

    with pytest.raises(ValueError, match="two rows for AWS::EC2::VPC"):
        table.by_type([row, row])


@pytest.mark.parametrize("row", table.rows().values(), ids=lambda row: row.type)
def test_settings_name_properties_of_the_type(row: Row) -> None:
    """A misspelt name would make an update look impossible."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", row.type).schema
    named = {name for setting in row.settings for name in setting.properties}

    assert named <= set(schema["properties"])


@pytest.mark.parametrize("row", table.rows().values(), ids=lambda row: row.type)
def test_settings_are_never_create_only(row: Row) -> None:
    """What AWS replaces is not updated in place here either."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", row.type).schema
    create_only = {path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", [])}
    named = {name for setting in row.settings for name in setting.properties}

    assert not named & create_only


@pytest.mark.parametrize("row", table.rows().values(), ids=lambda row: row.type)
def test_attributes_are_those_of_the_type(row: Row) -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", row.type).schema
    asked = {name.partition(".")[0] for name in row.attributes}

    assert asked <= set(schema["properties"])
