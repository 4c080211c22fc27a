"""Where tasks run, how many there are, and how one release follows another."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.rules import workload
from stacks.rules.rule import Rule
from tests.stacks.rules.cases import Case, Spoil, Templates, put, removed

SERVICE = "AWS::ECS::Service"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
DEPLOYMENT = "DeploymentConfiguration"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
TRACKED = "TargetTrackingScalingPolicyConfiguration"


def _second_service(templates: Templates) -> None:
    resources = templates.bodies["workload"]["Resources"]
    resources["Another"] = resources["Service"]


def _second_mapping(templates: Templates) -> None:
    mappings = templates.properties(SERVICE)["LoadBalancers"]
    mappings.append(mappings[0])


def _dns_name_for_name(templates: Templates) -> None:
    output = templates.bodies["ingress"]["Outputs"]["LoadBalancerName"]
    output["Value"] = {"Fn::GetAtt": ["LoadBalancer", "DNSName"]}


def _no_association(templates: Templates) -> None:
    templates.remove("AWS::ECS::ClusterCapacityProviderAssociations")


def _association_of_another_provider(templates: Templates) -> None:
    associations = templates.properties("AWS::ECS::ClusterCapacityProviderAssociations")
    associations["CapacityProviders"] = ["FARGATE"]


def _association_in_the_same_stack(templates: Templates) -> None:
    """One template for all, and nothing that lets the service wait for the association."""
    capacity, ours = templates.bodies["capacity"], templates.bodies["workload"]
    ours["Resources"]["Association"] = capacity["Resources"].pop("CapacityProviderAssociation")
    association = ours["Resources"]["Association"]["Properties"]
    association["Cluster"] = {"Ref": "ClusterName"}
    association["CapacityProviders"] = [{"Ref": "CapacityProviderName"}]


def _policy_in_a_later_stack(templates: Templates) -> None:
    policy = templates.bodies["identity"]["Resources"].pop("ExecutionPolicy")
    policy["Properties"]["Roles"] = [{"Ref": "ExecutionRoleName"}]
    templates.bodies["identity"]["Outputs"]["ExecutionRoleName"] = {"Value": {"Ref": "ExecutionRole"}}
    later = {"ExecutionRoleName": {"Type": "String"}}
    templates.bodies["later"] = {"Parameters": later, "Resources": {"ExecutionPolicy": policy}}


def _policy_in_the_same_stack(templates: Templates) -> None:
    policy = {"Type": "AWS::IAM::Policy", "Properties": {"Roles": [{"Ref": "TaskRoleName"}], "PolicyName": "late"}}
    body = templates.bodies["workload"]
    body["Parameters"]["TaskRoleName"] = {"Type": "String"}
    body["Resources"]["Late"] = policy


def _named_after_the_release(templates: Templates) -> None:
    templates.properties(SERVICE)["ServiceName"] = {"Fn::Sub": "service-${ImageDigest}"}


def _rebalancing_by_parameter(templates: Templates) -> None:
    templates.bodies["workload"]["Parameters"]["Rebalancing"] = {"Type": "String", "Default": "DISABLED"}
    templates.properties(SERVICE)["AvailabilityZoneRebalancing"] = {"Ref": "Rebalancing"}


def _percent(least: object, most: object, *, tasks: int = 2) -> Spoil:
    def spoil(templates: Templates) -> None:
        service, target = templates.properties(SERVICE), templates.properties(TARGET)
        service["DeploymentConfiguration"] |= {"MinimumHealthyPercent": least, "MaximumPercent": most}
        service["DesiredCount"] = target["MinCapacity"] = target["MaxCapacity"] = tasks

    return spoil


def _deadlock_once_scaled(templates: Templates) -> None:
    """At 3 tasks 66 percent let one go, at 2 they do not."""
    _percent(66, 100, tasks=3)(templates)
    templates.properties(TARGET)["MinCapacity"] = 2


def _no_room(templates: Templates) -> None:
    """A release would start a third task on a third instance, and there are two."""
    _percent(100, 150)(templates)
    templates.properties(GROUP)["MaxSize"] = "2"


def _room_for_too_few(templates: Templates) -> None:
    _percent(50, 300)(templates)


def _slow_health_check(templates: Templates) -> None:
    templates.properties("AWS::ElasticLoadBalancing::LoadBalancer")["HealthCheck"]["Interval"] = "60"


CASES = [
    Case(workload.every_load_balancer_has_a_service, removed(SERVICE), "", "an ECS service"),
    Case(workload.every_load_balancer_has_a_service, put(SERVICE, "LoadBalancers", ...), "ingress.", "0 services"),
    Case(workload.every_load_balancer_has_a_service, _second_service, "ingress.LoadBalancer", "2 services"),
    Case(workload.the_mapping_leads_to_a_container, put(SERVICE, "LoadBalancers", []), "workload.Service", "0 entries"),
    Case(workload.the_mapping_leads_to_a_container, _second_mapping, "workload.Service", "2 entries"),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "LoadBalancers.0.LoadBalancerName", "mtls-ingress-staging"),
        "workload.Service.Properties.LoadBalancers.0.LoadBalancerName",
    ),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "LoadBalancers.0.TargetGroupArn", "arn:aws:elasticloadbalancing:x"),
        "workload.Service.Properties.LoadBalancers.0.TargetGroupArn",
    ),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "LoadBalancers.0.ContainerName", "Service"),
        "workload.Service.Properties.LoadBalancers.0.ContainerName",
        "there are: service",
    ),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "LoadBalancers.0.ContainerPort", 443),
        "workload.Service.Properties.LoadBalancers.0.ContainerPort",
        "8443",
    ),
    Case(
        workload.the_mapping_leads_to_a_container,
        put("AWS::ECS::TaskDefinition", "ContainerDefinitions.0.Essential", "false"),
        "workload.Service.Properties.LoadBalancers.0.ContainerName",
        "not essential",
    ),
    Case(workload.the_mapping_never_changes, put(SERVICE, "LoadBalancers.0.ContainerName", "web"), "workload.Service"),
    Case(workload.the_mapping_never_changes, put(SERVICE, "LoadBalancers.0.ContainerPort", 8080), "workload.Service"),
    Case(workload.each_task_has_an_instance, put(SERVICE, "SchedulingStrategy", "DAEMON"), "workload.Service"),
    Case(workload.each_task_has_an_instance, put(SERVICE, "PlacementConstraints", ...), "workload.Service"),
    Case(
        workload.each_task_has_an_instance,
        put(SERVICE, "PlacementConstraints.0.Type", "memberOf"),
        "workload.Service.Properties.PlacementConstraints",
    ),
    Case(workload.zones_are_not_rebalanced, put(SERVICE, "AvailabilityZoneRebalancing", ...), "workload.Service"),
    Case(workload.zones_are_not_rebalanced, put(SERVICE, "AvailabilityZoneRebalancing", "ENABLED"), "workload.Service"),
    Case(workload.zones_are_not_rebalanced, put(SERVICE, "AvailabilityZoneRebalancing", "disabled"), "workload."),
    Case(workload.zones_are_not_rebalanced, _rebalancing_by_parameter, "workload.Service", "from a parameter"),
    Case(
        workload.a_capacity_provider_decides_where_tasks_run,
        put(SERVICE, "LaunchType", "EC2"),
        "workload.Service.Properties.LaunchType",
    ),
    Case(
        workload.a_capacity_provider_decides_where_tasks_run,
        put(SERVICE, "CapacityProviderStrategy", ...),
        "workload.Service.Properties.CapacityProviderStrategy",
    ),
    Case(
        workload.a_capacity_provider_decides_where_tasks_run,
        put(SERVICE, "CapacityProviderStrategy.0.CapacityProvider", "FARGATE"),
        "workload.Service.Properties.CapacityProviderStrategy.0",
        "FARGATE",
    ),
    Case(
        workload.a_capacity_provider_decides_where_tasks_run,
        put(SERVICE, "CapacityProviderStrategy.0.Weight", 0),
        "workload.Service.Properties.CapacityProviderStrategy",
        "Weight above 0",
    ),
    Case(
        workload.the_service_waits_for_its_capacity_providers,
        put(SERVICE, "Cluster", "default"),
        "workload.Service.Properties.Cluster",
    ),
    Case(workload.the_service_waits_for_its_capacity_providers, _no_association, "workload.Service"),
    Case(workload.the_service_waits_for_its_capacity_providers, _association_of_another_provider, "workload.Service"),
    Case(workload.the_service_waits_for_its_capacity_providers, _association_in_the_same_stack, "workload.Service"),
    Case(workload.the_service_waits_for_its_roles_policies, _policy_in_a_later_stack, "workload.Service", "later."),
    Case(workload.the_service_waits_for_its_roles_policies, _policy_in_the_same_stack, "workload.Service", "Late"),
    Case(
        workload.the_service_is_never_replaced,
        put(SERVICE, "Role", "ecsServiceRole"),
        "workload.Service.Properties.Role",
    ),
    Case(workload.the_service_is_never_replaced, _named_after_the_release, "workload.Service", "ImageDigest"),
    Case(workload.nobody_gets_a_shell_in_a_task, put(SERVICE, "EnableExecuteCommand", True), "workload.Service"),
    Case(workload.nobody_gets_a_shell_in_a_task, put(SERVICE, "EnableExecuteCommand", "true"), "workload.Service"),
    Case(workload.two_tasks_at_least, put(SERVICE, "DesiredCount", 1), "workload.Service.Properties.DesiredCount"),
    Case(workload.two_tasks_at_least, put(SERVICE, "DesiredCount", ...), "workload.Service.Properties.DesiredCount"),
    Case(workload.two_tasks_at_least, put(SERVICE, "DesiredCount", "two"), "workload.Service.Properties.DesiredCount"),
    Case(workload.two_tasks_at_least, put(SERVICE, "DesiredCount", 2.5), "workload.Service.Properties.DesiredCount"),
    Case(workload.two_tasks_at_least, put(TARGET, "MinCapacity", 1), "workload.ScalableTarget.Properties.MinCapacity"),
    Case(workload.two_tasks_at_least, put(TARGET, "MinCapacity", 3), "workload.ScalableTarget.Properties.MinCapacity"),
    Case(
        workload.two_tasks_at_least, put(SERVICE, "DesiredCount", 9), "workload.ScalableTarget.Properties.MaxCapacity"
    ),
    Case(
        workload.what_scales_is_a_service_of_the_templates,
        put(TARGET, "ResourceId", "service/default/mtls-ingress-staging-service"),
        "workload.ScalableTarget.Properties.ResourceId",
    ),
    Case(
        workload.what_scales_is_a_service_of_the_templates,
        put(TARGET, "ScalableDimension", "ecs:service:desiredCount"),
        "workload.ScalableTarget.Properties.ScalableDimension",
    ),
    Case(workload.a_release_can_always_take_a_step, _percent(100, 100), "workload.Service", "2 must stay"),
    Case(workload.a_release_can_always_take_a_step, _percent("67", "100"), "workload.Service", "2 must stay"),
    Case(workload.a_release_can_always_take_a_step, _percent(67, 100, tasks=3), "workload.Service", "3 must stay"),
    Case(workload.a_release_can_always_take_a_step, _percent(0, 100), "workload.Service", "0 must stay"),
    Case(workload.a_release_can_always_take_a_step, _percent(100, 149), "workload.Service", "2 may run"),
    Case(workload.a_release_can_always_take_a_step, _percent("all", 200), "workload.Service", "whole numbers"),
    Case(workload.a_release_can_always_take_a_step, _percent(-1, 100), "workload.Service", "whole numbers"),
    Case(workload.a_release_can_always_take_a_step, _percent(50.5, 100), "workload.Service", "whole numbers"),
    Case(workload.a_release_can_always_take_a_step, _percent(50, 99), "workload.Service", "from 100"),
    Case(workload.a_release_can_always_take_a_step, _percent(101, 200), "workload.Service", "up to 100"),
    Case(workload.a_release_can_always_take_a_step, _deadlock_once_scaled, "workload.Service", "of 2 tasks 2"),
    Case(workload.a_release_can_always_take_a_step, _no_room, "workload.Service", "on 2 instances"),
    Case(workload.a_release_fits_on_the_instances, _no_room, "capacity.AutoScalingGroup.Properties.MaxSize", "3 at"),
    Case(workload.a_release_fits_on_the_instances, _room_for_too_few, "capacity.AutoScalingGroup", "6 at least"),
    Case(
        workload.a_bad_release_is_taken_back,
        put(SERVICE, f"{DEPLOYMENT}.DeploymentCircuitBreaker", ...),
        "workload.Service.Properties.DeploymentConfiguration.DeploymentCircuitBreaker.Enable",
    ),
    Case(
        workload.a_bad_release_is_taken_back,
        put(SERVICE, f"{DEPLOYMENT}.DeploymentCircuitBreaker.Rollback", "false"),
        "workload.Service.Properties.DeploymentConfiguration.DeploymentCircuitBreaker.Rollback",
    ),
    Case(
        workload.a_bad_release_is_taken_back,
        put(SERVICE, "DeploymentController", {"Type": "CODE_DEPLOY"}),
        "workload.Service.Properties.DeploymentController",
    ),
    Case(
        workload.a_bad_release_is_taken_back,
        put(SERVICE, f"{DEPLOYMENT}.Strategy", "BLUE_GREEN"),
        "workload.Service.Properties.DeploymentConfiguration.Strategy",
    ),
    Case(
        workload.a_task_may_start_before_it_is_judged,
        put(SERVICE, "HealthCheckGracePeriodSeconds", 99),
        "workload.Service.Properties.HealthCheckGracePeriodSeconds",
        "100 at least",
    ),
    Case(
        workload.a_task_may_start_before_it_is_judged, put(SERVICE, "HealthCheckGracePeriodSeconds", ...), "workload."
    ),
    Case(workload.a_task_may_start_before_it_is_judged, _slow_health_check, "workload.Service", "300 at least"),
    Case(
        workload.each_task_has_an_instance,
        put("AWS::ECS::TaskDefinition", "PlacementConstraints", [{"Type": "memberOf", "Expression": "zone == a"}]),
        "workload.TaskDefinition.Properties.PlacementConstraints",
    ),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "LoadBalancers.0.LoadBalancerName", {"Fn::GetAtt": ["TaskDefinition", "TaskDefinitionArn"]}),
        "workload.Service.Properties.LoadBalancers.0.LoadBalancerName",
    ),
    Case(workload.the_mapping_leads_to_a_container, _dns_name_for_name, "workload.Service", "DNSName"),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "ServiceConnectConfiguration", {"Enabled": True}),
        "workload.Service.Properties.ServiceConnectConfiguration",
        "one way in",
    ),
    Case(
        workload.the_mapping_leads_to_a_container,
        put(SERVICE, "ServiceRegistries", [{"RegistryArn": "arn"}]),
        "workload.Service.Properties.ServiceRegistries",
    ),
    Case(workload.tasks_follow_what_can_be_measured, put(POLICY, "ScalingTargetId", "x"), "workload.ScalingPolicy"),
    Case(
        workload.tasks_follow_what_can_be_measured,
        put(POLICY, f"{TRACKED}.PredefinedMetricSpecification.PredefinedMetricType", "ALBRequestCountPerTarget"),
        "workload.ScalingPolicy",
        "ECSServiceAverageCPUUtilization",
    ),
    Case(workload.tasks_follow_what_can_be_measured, put(POLICY, f"{TRACKED}.TargetValue", 600), "workload.", "share"),
    Case(workload.tasks_follow_what_can_be_measured, put(POLICY, f"{TRACKED}.TargetValue", ...), "workload.", "share"),
    Case(
        workload.a_bad_release_is_taken_back,
        put(SERVICE, f"{DEPLOYMENT}.Alarms", {"AlarmNames": ["nobodys"], "Enable": True, "Rollback": True}),
        "workload.Service.Properties.DeploymentConfiguration.Alarms.AlarmNames.0",
    ),
]


@pytest.mark.parametrize(
    ("tasks", "least", "most"),
    [(2, 50, 100), (3, 66, 100), (4, 75, 100), (2, 51, 150), (2, 100, 200), (4, "75", "100")],
)
def test_percentages_that_leave_a_step_are_fine(tasks: int, least: Any, most: Any) -> None:
    """The least is rounded up, the most down (ECS guide): 66 percent of 3 tasks are 2, 67 are all."""
    templates = Templates.of()
    _percent(least, most, tasks=tasks)(templates)

    assert workload.a_release_can_always_take_a_step(templates.estate()) == []


def _fixed_number(templates: Templates) -> None:
    templates.properties(TARGET)["MaxCapacity"] = 2


def _just_room(templates: Templates) -> None:
    """150 percent of 2 tasks are 3, on 3 instances."""
    _percent(100, 150)(templates)
    templates.properties(GROUP)["MaxSize"] = "3"


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (workload.two_tasks_at_least, _fixed_number),
        (workload.a_release_fits_on_the_instances, _just_room),
        (workload.a_release_can_always_take_a_step, _just_room),
        (workload.a_bad_release_is_taken_back, put(SERVICE, f"{DEPLOYMENT}.Strategy", "ROLLING")),
        (workload.a_bad_release_is_taken_back, put(SERVICE, "DeploymentController", {"Type": "ECS"})),
        (workload.nobody_gets_a_shell_in_a_task, put(SERVICE, "EnableExecuteCommand", ...)),
        (workload.tasks_follow_what_can_be_measured, put(POLICY, TRACKED, ...)),
        (workload.tasks_follow_what_can_be_measured, put(POLICY, f"{TRACKED}.TargetValue", "75")),
        (workload.a_task_may_start_before_it_is_judged, put(SERVICE, "HealthCheckGracePeriodSeconds", 100)),
    ],
)
def test_what_aws_takes_and_we_need_is_fine(rule: Rule, spoil: Spoil) -> None:
    templates = Templates.of()
    spoil(templates)

    assert rule(templates.estate()) == []


def test_a_service_may_wait_by_its_own_order() -> None:
    """In one template DependsOn says what the order of stacks says between two."""
    templates = Templates.of()
    _association_in_the_same_stack(templates)
    _policy_in_the_same_stack(templates)

    templates.resource(SERVICE)["DependsOn"] = ["Association", "Late"]

    assert workload.the_service_waits_for_its_capacity_providers(templates.estate()) == []
    assert workload.the_service_waits_for_its_roles_policies(templates.estate()) == []
