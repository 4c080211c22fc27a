"""The cluster, its Auto Scaling group, and the capacity provider between them."""

from __future__ import annotations

import pytest

from stacks.rules import capacity
from stacks.rules.rule import Rule
from tests.stacks.rules.cases import Case, Spoil, Templates, put, removed

GROUP = "AWS::AutoScaling::AutoScalingGroup"
PROVIDER = "AWS::ECS::CapacityProvider"
CLUSTER = "AWS::ECS::Cluster"
ASSOCIATION = "AWS::ECS::ClusterCapacityProviderAssociations"
INSIDE = "AutoScalingGroupProvider"
AT_GROUP = "capacity.AutoScalingGroup.Properties"
AT_PROVIDER = f"capacity.CapacityProvider.Properties.{INSIDE}"


def _second_provider(templates: Templates) -> None:
    resources = templates.bodies["capacity"]["Resources"]
    resources["AnotherProvider"] = resources["CapacityProvider"]


def _second_group(templates: Templates) -> None:
    resources = templates.bodies["capacity"]["Resources"]
    resources["AnotherGroup"] = resources["AutoScalingGroup"]


def _protected(*, new_instances: object, lifetime: object = ...) -> Spoil:
    def spoil(templates: Templates) -> None:
        put(PROVIDER, f"{INSIDE}.ManagedTerminationProtection", "ENABLED")(templates)
        put(GROUP, "NewInstancesProtectedFromScaleIn", new_instances)(templates)
        put(GROUP, "MaxInstanceLifetime", lifetime)(templates)

    return spoil


def _protected_without_scaling(templates: Templates) -> None:
    _protected(new_instances=True)(templates)
    put(PROVIDER, f"{INSIDE}.ManagedScaling.Status", "DISABLED")(templates)


def _outside_of_properties(name: str, value: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.resource(GROUP)[name] = value

    return spoil


def _new(resource_type: str, **properties: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies["capacity"]["Resources"]["New"] = {"Type": resource_type, "Properties": properties}

    return spoil


def _one_zone(templates: Templates) -> None:
    for subnet in templates.resources("AWS::EC2::Subnet"):
        subnet["Properties"]["AvailabilityZone"] = "us-east-1a"


def _scaling(name: str, value: object) -> Case:
    path = f"ManagedScaling.{name}"
    return Case(
        capacity.the_provider_scales_and_drains, put(PROVIDER, f"{INSIDE}.{path}", value), f"{AT_PROVIDER}.{path}"
    )


CASES = [
    Case(capacity.what_gives_capacity_has_no_name, removed(CLUSTER), "", CLUSTER),
    Case(capacity.what_gives_capacity_has_no_name, removed(PROVIDER), "", PROVIDER),
    Case(capacity.what_gives_capacity_has_no_name, removed(GROUP), "", GROUP),
    Case(capacity.what_gives_capacity_has_no_name, put(CLUSTER, "ClusterName", "ingress"), "capacity.Cluster"),
    Case(capacity.what_gives_capacity_has_no_name, put(PROVIDER, "Name", "ingress"), "capacity.CapacityProvider"),
    Case(capacity.what_gives_capacity_has_no_name, put(GROUP, "AutoScalingGroupName", "ingress"), AT_GROUP),
    Case(
        capacity.what_gives_capacity_has_no_name,
        put("AWS::EC2::LaunchTemplate", "LaunchTemplateName", "ingress"),
        "capacity.LaunchTemplate",
    ),
    Case(
        capacity.groups_and_providers_are_joined_by_reference,
        put(PROVIDER, f"{INSIDE}.AutoScalingGroupArn", "ingress-group"),
        f"{AT_PROVIDER}.AutoScalingGroupArn",
    ),
    Case(capacity.groups_and_providers_are_joined_by_reference, _second_provider, AT_PROVIDER, "a group of its own"),
    Case(capacity.groups_and_providers_are_joined_by_reference, _second_group, "capacity.AnotherGroup", "no capacity"),
    Case(capacity.clusters_and_providers_are_joined_by_reference, removed(ASSOCIATION), "capacity.CapacityProvider"),
    Case(
        capacity.clusters_and_providers_are_joined_by_reference,
        put(ASSOCIATION, "CapacityProviders", ["FARGATE"]),
        "capacity.CapacityProvider",
    ),
    Case(
        capacity.clusters_and_providers_are_joined_by_reference,
        put(ASSOCIATION, "Cluster", "default"),
        "capacity.CapacityProviderAssociation.Properties.Cluster",
    ),
    Case(
        capacity.clusters_and_providers_are_joined_by_reference,
        put(ASSOCIATION, "DefaultCapacityProviderStrategy.0.CapacityProvider", "FARGATE_SPOT"),
        "capacity.CapacityProviderAssociation.Properties.DefaultCapacityProviderStrategy.0",
        "FARGATE_SPOT",
    ),
    Case(capacity.groups_bear_the_tag_of_ecs, put(GROUP, "Tags", ...), f"{AT_GROUP}.Tags"),
    Case(capacity.groups_bear_the_tag_of_ecs, put(GROUP, "Tags.1.PropagateAtLaunch", "false"), f"{AT_GROUP}.Tags"),
    Case(capacity.groups_can_be_deleted, put(GROUP, "DeletionProtection", "prevent-all-deletion"), AT_GROUP),
    Case(
        capacity.the_provider_scales_and_drains,
        put(PROVIDER, f"{INSIDE}.ManagedDraining", ...),
        f"{AT_PROVIDER}.ManagedDraining",
    ),
    Case(
        capacity.the_provider_scales_and_drains,
        put(PROVIDER, f"{INSIDE}.ManagedDraining", "DISABLED"),
        f"{AT_PROVIDER}.ManagedDraining",
    ),
    _scaling("Status", "DISABLED"),
    _scaling("TargetCapacity", 0),
    _scaling("TargetCapacity", 101),
    _scaling("TargetCapacity", ...),
    _scaling("MinimumScalingStepSize", 0),
    _scaling("MaximumScalingStepSize", ...),
    _scaling("MaximumScalingStepSize", 0),
    _scaling("InstanceWarmupPeriod", 60),
    Case(capacity.the_provider_decides_the_size, put(GROUP, "DesiredCapacity", "2"), AT_GROUP),
    Case(
        capacity.termination_protection_is_whole_or_off,
        put(PROVIDER, f"{INSIDE}.ManagedTerminationProtection", ...),
        AT_PROVIDER,
    ),
    Case(capacity.termination_protection_is_whole_or_off, _protected(new_instances=False), AT_GROUP, "true"),
    Case(
        capacity.termination_protection_is_whole_or_off,
        _protected(new_instances=True, lifetime=1_209_600),
        f"{AT_GROUP}.MaxInstanceLifetime",
    ),
    Case(
        capacity.termination_protection_is_whole_or_off,
        _protected_without_scaling,
        f"{AT_PROVIDER}.ManagedScaling.Status",
    ),
    Case(
        capacity.termination_protection_is_whole_or_off,
        put(GROUP, "NewInstancesProtectedFromScaleIn", "true"),
        f"{AT_GROUP}.NewInstancesProtectedFromScaleIn",
        "false",
    ),
    Case(capacity.instances_come_before_others_go, put(GROUP, "InstanceMaintenancePolicy", ...), AT_GROUP),
    Case(
        capacity.instances_come_before_others_go,
        put(GROUP, "InstanceMaintenancePolicy.MinHealthyPercentage", 90),
        AT_GROUP,
    ),
    Case(
        capacity.instances_come_before_others_go,
        put(GROUP, "InstanceMaintenancePolicy.MaxHealthyPercentage", 100),
        AT_GROUP,
        "from 110 to 200",
    ),
    Case(capacity.there_is_an_instance_to_spare, put(GROUP, "MaxSize", "4"), f"{AT_GROUP}.MaxSize", "5 at least"),
    Case(capacity.there_is_an_instance_to_spare, put(GROUP, "MaxSize", ...), f"{AT_GROUP}.MaxSize"),
    Case(capacity.there_is_an_instance_to_spare, put(GROUP, "MinSize", "-1"), f"{AT_GROUP}.MinSize"),
    Case(capacity.there_is_an_instance_to_spare, put(GROUP, "MinSize", "6"), f"{AT_GROUP}.MinSize"),
    Case(
        capacity.there_is_an_instance_to_spare,
        put("AWS::ApplicationAutoScaling::ScalableTarget", "MaxCapacity", 20),
        f"{AT_GROUP}.MaxSize",
        "21 at least",
    ),
    Case(capacity.groups_stand_behind_no_load_balancer, put(GROUP, "LoadBalancerNames", ["ingress"]), AT_GROUP),
    Case(capacity.groups_stand_behind_no_load_balancer, put(GROUP, "TargetGroupARNs", ["arn"]), AT_GROUP),
    Case(capacity.groups_stand_behind_no_load_balancer, put(GROUP, "HealthCheckType", "ELB"), AT_GROUP),
    Case(capacity.groups_stand_behind_no_load_balancer, put(GROUP, "HealthCheckType", ...), AT_GROUP),
    Case(capacity.groups_stand_behind_no_load_balancer, put(GROUP, "HealthCheckGracePeriod", ...), AT_GROUP),
    Case(capacity.groups_are_measured, put(GROUP, "MetricsCollection", ...), f"{AT_GROUP}.MetricsCollection"),
    Case(capacity.groups_are_measured, put(GROUP, "MetricsCollection.0.Granularity", "5Minute"), AT_GROUP),
    Case(
        capacity.groups_are_measured,
        put(GROUP, "MetricsCollection.0.Metrics", ["GroupInServiceInstances"]),
        f"{AT_GROUP}.MetricsCollection.0.Metrics",
    ),
    Case(capacity.instances_grow_no_older_than_a_month, put(GROUP, "MaxInstanceLifetime", ...), AT_GROUP),
    Case(capacity.instances_grow_no_older_than_a_month, put(GROUP, "MaxInstanceLifetime", 14), AT_GROUP),
    Case(capacity.instances_grow_no_older_than_a_month, put(GROUP, "MaxInstanceLifetime", 31_536_000), AT_GROUP),
    Case(
        capacity.instances_are_replaced_by_a_refresh,
        _outside_of_properties("UpdatePolicy", {"AutoScalingRollingUpdate": {"MaxBatchSize": 1}}),
        "capacity.AutoScalingGroup.UpdatePolicy",
    ),
    Case(
        capacity.instances_are_replaced_by_a_refresh,
        _outside_of_properties("UpdatePolicy", {"AutoScalingReplacingUpdate": {"WillReplace": True}}),
        "capacity.AutoScalingGroup.UpdatePolicy",
    ),
    Case(
        capacity.nothing_waits_for_a_signal,
        _outside_of_properties("CreationPolicy", {"ResourceSignal": {"Count": 2}}),
        "capacity.AutoScalingGroup.CreationPolicy",
    ),
    Case(capacity.nothing_waits_for_a_signal, _new("AWS::CloudFormation::WaitCondition"), "capacity.New"),
    Case(
        capacity.service_linked_roles_are_nobodys,
        _new("AWS::IAM::ServiceLinkedRole", AWSServiceName="ecs.amazonaws.com"),
        "capacity.New",
        "ecs.amazonaws.com",
    ),
    Case(capacity.instances_stand_in_several_zones, _one_zone, f"{AT_GROUP}.VPCZoneIdentifier"),
    Case(capacity.instances_stand_in_several_zones, put(GROUP, "VPCZoneIdentifier", ...), AT_GROUP),
    Case(
        capacity.instances_stand_in_several_zones, put(GROUP, "VPCZoneIdentifier", ["subnet-1", "subnet-1"]), AT_GROUP
    ),
    Case(capacity.clusters_are_measured, put(CLUSTER, "ClusterSettings", ...), "capacity.Cluster"),
    Case(capacity.clusters_are_measured, put(CLUSTER, "ClusterSettings.0.Value", "disabled"), "capacity.Cluster"),
    Case(
        capacity.nobody_else_moves_instances,
        _new("AWS::AutoScaling::ScheduledAction", AutoScalingGroupName={"Ref": "AutoScalingGroup"}, MaxSize=0),
        "capacity.New",
    ),
    Case(capacity.nobody_else_moves_instances, _new("AWS::AutoScaling::ScalingPolicy"), "capacity.New"),
    Case(capacity.nobody_else_moves_instances, _new("AWS::AutoScaling::LifecycleHook"), "capacity.New"),
    Case(capacity.nobody_else_moves_instances, _new("AWS::AutoScaling::WarmPool"), "capacity.New"),
    Case(
        capacity.nobody_else_moves_instances,
        put(GROUP, "LifecycleHookSpecificationList", [{"LifecycleHookName": "slow"}]),
        f"{AT_GROUP}.LifecycleHookSpecificationList",
    ),
    Case(
        capacity.instances_are_on_demand,
        put("AWS::EC2::LaunchTemplate", "LaunchTemplateData.InstanceMarketOptions", {"MarketType": "spot"}),
        "capacity.LaunchTemplate",
    ),
    Case(
        capacity.instances_are_on_demand,
        put(GROUP, "MixedInstancesPolicy.InstancesDistribution", {"OnDemandPercentageAboveBaseCapacity": 0}),
        f"{AT_GROUP}.MixedInstancesPolicy",
    ),
    Case(capacity.an_association_alone_gives_providers, put(CLUSTER, "CapacityProviders", ["FARGATE"]), "capacity."),
    Case(
        capacity.an_association_alone_gives_providers,
        put(CLUSTER, "DefaultCapacityProviderStrategy", [{"CapacityProvider": "FARGATE"}]),
        "capacity.Cluster",
    ),
]


def test_whole_protection_is_fine() -> None:
    """With `[capacity] termination_protection` on all of it holds together (A2)."""
    templates = Templates.of()
    _protected(new_instances=True)(templates)

    assert capacity.termination_protection_is_whole_or_off(templates.estate()) == []
    assert capacity.instances_grow_no_older_than_a_month(templates.estate()) == []


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (capacity.groups_can_be_deleted, put(GROUP, "DeletionProtection", "none")),
        (capacity.clusters_are_measured, put(CLUSTER, "ClusterSettings.0.Value", "enhanced")),
        (capacity.groups_stand_behind_no_load_balancer, put(GROUP, "HealthCheckGracePeriod", 1)),
        (capacity.instances_grow_no_older_than_a_month, put(GROUP, "MaxInstanceLifetime", 86_400)),
        (capacity.instances_grow_no_older_than_a_month, put(GROUP, "MaxInstanceLifetime", 2_592_000)),
        (capacity.there_is_an_instance_to_spare, put(GROUP, "MinSize", "0")),
        (capacity.there_is_an_instance_to_spare, put(GROUP, "MinSize", "5")),
        (
            capacity.groups_are_measured,
            put(
                GROUP,
                "MetricsCollection.0.Metrics",
                ["GroupInServiceInstances", "GroupTerminatingInstances"],
            ),
        ),
    ],
)
def test_what_aws_takes_and_we_need_is_fine(rule: Rule, spoil: Spoil) -> None:
    templates = Templates.of()
    spoil(templates)

    assert rule(templates.estate()) == []


def test_an_update_policy_for_scheduled_actions_is_fine() -> None:
    templates = Templates.of()
    policy = {"AutoScalingScheduledAction": {"IgnoreUnmodifiedGroupSizeProperties": True}}
    templates.resource(GROUP)["UpdatePolicy"] = policy

    assert capacity.instances_are_replaced_by_a_refresh(templates.estate()) == []
