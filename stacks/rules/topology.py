"""How service, task definition, load balancer, capacity provider and instances hang together, by reference alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stacks.rules.estate import Estate, Resource
from stacks.rules.values import number

SERVICE: Final = "AWS::ECS::Service"
TASK_DEFINITION: Final = "AWS::ECS::TaskDefinition"
CLUSTER: Final = "AWS::ECS::Cluster"
PROVIDER: Final = "AWS::ECS::CapacityProvider"
ASSOCIATION: Final = "AWS::ECS::ClusterCapacityProviderAssociations"
GROUP: Final = "AWS::AutoScaling::AutoScalingGroup"
LAUNCH_TEMPLATE: Final = "AWS::EC2::LaunchTemplate"
SCALABLE_TARGET: Final = "AWS::ApplicationAutoScaling::ScalableTarget"
LOAD_BALANCER: Final = "AWS::ElasticLoadBalancing::LoadBalancer"

Part = tuple[str, Mapping[str, Any]]
"""A table inside a resource, with the path it lies at."""


def task_definition_of(service: Resource) -> Resource | None:
    """Give what a service runs; None if it is none of the templates."""
    return service.estate.called(service.get("TaskDefinition"), TASK_DEFINITION)


def services_of(task_definition: Resource) -> list[Resource]:
    """Give the services that run a task definition."""
    services = task_definition.estate.of_type(SERVICE)
    return [service for service in services if task_definition_of(service) == task_definition]


def containers_of(task_definition: Resource) -> list[Part]:
    """Give the containers of a task definition."""
    return task_definition.tables("ContainerDefinitions")


def inner_tables(path: str, table: Mapping[str, Any], name: str) -> list[Part]:
    """Give the tables of a list inside a table."""
    found = table.get(name)
    values = [found] if isinstance(found, dict) else found if isinstance(found, list) else []
    return [(f"{path}.{name}.{index}", value) for index, value in enumerate(values) if isinstance(value, dict)]


def balancers_of(service: Resource) -> list[Resource]:
    """Give the Classic Load Balancers that a service stands behind."""
    named = (entry.get("LoadBalancerName") for _, entry in service.tables("LoadBalancers"))
    found = (service.estate.called(name, LOAD_BALANCER) for name in named)
    return [balancer for balancer in found if balancer is not None]


def providers_of(service: Resource) -> list[Resource]:
    """Give the capacity providers that a service's strategy names."""
    named = (item.get("CapacityProvider") for _, item in service.tables("CapacityProviderStrategy"))
    found = (service.estate.called(name, PROVIDER) for name in named)
    return [provider for provider in found if provider is not None]


def group_of(provider: Resource) -> Resource | None:
    """Give the Auto Scaling group of a capacity provider."""
    return provider.estate.called(provider.get("AutoScalingGroupProvider.AutoScalingGroupArn"), GROUP)


def groups_of(service: Resource) -> list[Resource]:
    """Give the Auto Scaling groups whose instances a service's tasks run on."""
    found = (group_of(provider) for provider in providers_of(service))
    return [group for group in found if group is not None]


def launch_specifications(group: Resource) -> list[Part]:
    """Give what a group starts its instances by: its own launch template, or those of its mixed instances."""
    mixed = "MixedInstancesPolicy.LaunchTemplate"
    overrides = group.tables(f"{mixed}.Overrides")
    found = [
        *group.tables("LaunchTemplate"),
        *group.tables(f"{mixed}.LaunchTemplateSpecification"),
        *[part for path, each in overrides for part in inner_tables(path, each, "LaunchTemplateSpecification")],
    ]
    return [(path.removesuffix(".0"), table) for path, table in found]


def launch_templates_of(group: Resource) -> list[Resource]:
    """Give the launch templates a group starts its instances by."""
    named = (
        table.get("LaunchTemplateId") or table.get("LaunchTemplateName") for _, table in launch_specifications(group)
    )
    found = (group.estate.called(name, LAUNCH_TEMPLATE) for name in named)
    return [template for template in found if template is not None]


def groups_by(launch_template: Resource) -> list[Resource]:
    """Give the Auto Scaling groups that start their instances by a launch template."""
    return [group for group in launch_template.estate.of_type(GROUP) if launch_template in launch_templates_of(group)]


def services_on(estate: Estate, group: Resource) -> list[Resource]:
    """Give the services whose tasks run on a group's instances."""
    return [service for service in estate.of_type(SERVICE) if group in groups_of(service)]


def scalable_targets_of(service: Resource) -> list[Resource]:
    """Give what scales a service's number of tasks."""
    return [target for target in service.estate.of_type(SCALABLE_TARGET) if target.get("ResourceId") == _path(service)]


def most_tasks(service: Resource) -> int:
    """Say how many tasks a service may come to want: as desired, or as scaling allows."""
    wanted = [number(service.get("DesiredCount"))]
    wanted += [number(target.get("MaxCapacity")) for target in scalable_targets_of(service)]
    return int(max(count or 0 for count in wanted))


def _path(service: Resource) -> str:
    """Spell a service as Application Auto Scaling does."""
    name = service.estate.resolver.value(service.stack, {"Fn::GetAtt": [service.logical_id, "Name"]})
    return f"service/{service.get('Cluster')}/{name}"
