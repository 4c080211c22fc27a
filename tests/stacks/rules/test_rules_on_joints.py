"""What must hold between stacks."""

from __future__ import annotations

from stacks.rules import joints
from tests.stacks.rules.cases import Case, Spoil, Templates


def _export(templates: Templates) -> None:
    templates.bodies["ingress"]["Outputs"]["LoadBalancerName"]["Export"] = {"Name": "balancer"}


def _import(templates: Templates) -> None:
    cluster = {"Fn::ImportValue": "cluster"}
    templates.properties("AWS::ECS::Service")["Cluster"] = cluster


def _rename_output(templates: Templates) -> None:
    outputs = templates.bodies["identity"]["Outputs"]
    outputs["TaskRole"] = outputs.pop("TaskRoleArn")


def _offer_twice(templates: Templates) -> None:
    templates.bodies["images"]["Outputs"]["VpcId"] = {"Value": "vpc-1"}


def _wait_for_each_other(templates: Templates) -> None:
    templates.bodies["network"]["Parameters"] = {"LoadBalancerName": {"Type": "String"}}


def _name_nobody(templates: Templates) -> None:
    templates.properties("AWS::DynamoDB::Table")["TableName"] = {"Fn::Sub": "clients-${Nobody}"}


def _get_from_nobody(templates: Templates) -> None:
    templates.bodies["ingress"]["Outputs"]["LoadBalancerDnsName"]["Value"] = {"Fn::GetAtt": ["Nobody", "DNSName"]}


def _depend_on_nobody(templates: Templates) -> None:
    templates.resource("AWS::ECS::Service")["DependsOn"] = ["Nobody"]


def _refer_to_each_other(templates: Templates) -> None:
    templates.resource("AWS::ECS::TaskDefinition")["DependsOn"] = "Service"


def _perhaps(templates: Templates) -> None:
    templates.bodies["workload"]["Conditions"] = {"IsBig": {"Fn::Equals": ["a", "b"]}}


def _perhaps_a_table(templates: Templates) -> None:
    templates.resource("AWS::DynamoDB::Table")["Condition"] = "IsBig"


def _perhaps_a_tag(templates: Templates) -> None:
    templates.resource("AWS::DynamoDB::Table")["Properties"]["Tags"] = [
        {"Key": "size", "Value": {"Fn::If": ["IsBig", "big", "small"]}}
    ]


def _nested(templates: Templates) -> None:
    templates.bodies["images"]["Resources"]["More"] = {"Type": "AWS::CloudFormation::Stack"}


def _parameter(stack: str, name: str, part: str, value: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies[stack]["Parameters"][name][part] = value

    return spoil


def _a_list_for_an_output(templates: Templates) -> None:
    templates.bodies["network"]["Outputs"]["PrivateSubnetIds"]["Value"] = [{"Ref": "PrivateSubnetA"}]


def _the_vpc_for_a_group(templates: Templates) -> None:
    templates.bodies["ingress"]["Outputs"]["InstanceSecurityGroupId"]["Value"] = "vpc-0123456789abcdef0"


_FITS = joints.parameters_take_what_is_offered
_GROUP, _SUBNETS = "capacity.InstanceSecurityGroupId", "capacity.PrivateSubnetIds"
_A_SUBNET = "AWS::EC2::Subnet::Id"

CASES = [
    Case(_FITS, _a_list_for_an_output, "network.PrivateSubnetIds.Value", "a text"),
    Case(_FITS, _the_vpc_for_a_group, f"{_GROUP}.Type", "vpc-"),
    Case(_FITS, _parameter("capacity", "InstanceSecurityGroupId", "Type", _A_SUBNET), f"{_GROUP}.Type", "sg-"),
    Case(_FITS, _parameter("capacity", "InstanceSecurityGroupId", "Type", "Strng"), f"{_GROUP}.Type", "String"),
    Case(_FITS, _parameter("capacity", "PrivateSubnetIds", "Type", _A_SUBNET), f"{_SUBNETS}.Type", "subnet-"),
    Case(_FITS, _parameter("capacity", "PrivateSubnetIds", "AllowedValues", ["a"]), f"{_SUBNETS}.AllowedValues"),
    Case(_FITS, _parameter("capacity", "PrivateSubnetIds", "AllowedPattern", "x+"), f"{_SUBNETS}.AllowedPattern"),
    Case(joints.nothing_is_decided_in_aws, _perhaps, "workload.Conditions"),
    Case(joints.nothing_is_decided_in_aws, _perhaps_a_table, "client_registry.ClientRegistry.Condition"),
    Case(joints.nothing_is_decided_in_aws, _perhaps_a_tag, "client_registry.ClientRegistry", "Fn::If"),
    Case(joints.nothing_is_decided_in_aws, _nested, "images.More"),
    Case(joints.every_reference_is_to_something, _name_nobody, "client_registry.ClientRegistry", "Nobody"),
    Case(joints.every_reference_is_to_something, _get_from_nobody, "ingress.LoadBalancerDnsName", "Nobody"),
    Case(joints.every_reference_is_to_something, _depend_on_nobody, "workload.Service", "Nobody"),
    Case(joints.no_resource_waits_for_itself, _refer_to_each_other, "workload.Service", "TaskDefinition"),
    Case(joints.nothing_is_exported_or_imported, _export, "ingress.LoadBalancerName.Export"),
    Case(joints.nothing_is_exported_or_imported, _import, "workload.Service", "Fn::ImportValue"),
    Case(joints.every_parameter_is_offered, _rename_output, "workload.TaskRoleArn", "nobody offers"),
    Case(joints.every_parameter_is_offered, _offer_twice, "images.VpcId", "network offers too"),
    Case(joints.no_stack_waits_for_itself, _wait_for_each_other, "", "ingress -> network -> ingress"),
]
