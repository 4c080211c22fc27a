"""The rules on the capacity: the cluster, its Auto Scaling group, and the capacity provider between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.order import mentions
from stacks.rules.register import Entry, exception, kept_elsewhere, not_applicable
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.topology import (
    ASSOCIATION,
    CLUSTER,
    GROUP,
    LAUNCH_TEMPLATE,
    PROVIDER,
    group_of,
    most_tasks,
    services_on,
)
from stacks.rules.values import flag, listed, number

_BOOT_SECONDS: Final = 180
"""From launch to registered with the cluster, generously."""
_LEAST_LIFETIME_SECONDS: Final = 86_400
_MOST_LIFETIME_SECONDS: Final = 30 * 86_400
"""AWS takes a year; but a patched image must be everywhere within a month of its release."""
_OTHER_HANDS: Final = (
    "AWS::AutoScaling::LifecycleHook",
    "AWS::AutoScaling::ScalingPolicy",
    "AWS::AutoScaling::ScheduledAction",
    "AWS::AutoScaling::WarmPool",
    "AWS::AutoScalingPlans::ScalingPlan",
)
_WATCHED: Final = frozenset({"GroupInServiceInstances", "GroupTerminatingInstances"})
_ROLLED_BY_CLOUDFORMATION: Final = ("AutoScalingRollingUpdate", "AutoScalingReplacingUpdate")
_DRAINING: Final = "ECS guide, managed instance draining"
_SCALING: Final = "ECS guide, cluster auto scaling"
_PROVIDER: Final = "AutoScalingGroupProvider"


@rule(
    "A17",
    why="names are create-only: a change that replaces the resource fails, for its name is taken",
    source="CloudFormation's provider schemas of ECS and Auto Scaling",
)
def what_gives_capacity_has_no_name(estate: Estate) -> Iterator[Fault]:
    """There are cluster, capacity provider and Auto Scaling group, and CloudFormation names them."""
    names = {
        CLUSTER: "ClusterName",
        PROVIDER: "Name",
        GROUP: "AutoScalingGroupName",
        LAUNCH_TEMPLATE: "LaunchTemplateName",
    }
    for resource_type, name in names.items():
        resources = estate.of_type(resource_type)
        if not resources:
            yield absent(f"a resource of type {resource_type}")
        for resource in resources:
            if resource.get(name) is not None:
                yield resource.fault(name, found=resource.get(name), expected="none: CloudFormation draws one")


@rule(
    "A9",
    why="CloudFormation then knows no order: at deletion the one is still in use by the other",
    source="containers-roadmap issue 631; ECS guide, deleting a capacity provider",
)
def groups_and_providers_are_joined_by_reference(estate: Estate) -> Iterator[Fault]:
    """Every capacity provider refers to a group of its own, and every group has a provider."""
    providers = estate.of_type(PROVIDER)
    owned = [group_of(provider) for provider in providers]
    for group in estate.of_type(GROUP):
        if group not in owned:
            yield group.fault("", found=Said("no capacity provider that refers to it"), expected="one")
    path = f"{_PROVIDER}.AutoScalingGroupArn"
    for provider, own in zip(providers, owned, strict=True):
        if own is None or not mentions(provider, path, own):
            yield provider.fault(path, found=provider.get(path), expected="a reference to an Auto Scaling group")
        elif owned.count(own) > 1:
            yield provider.fault(path, found=Said(f"{own.name}, that another has too"), expected="a group of its own")


@rule(
    "A9",
    why="CloudFormation then knows no order: at deletion the one is still in use by the other",
    source="containers-roadmap issue 631; ECS guide, deleting a capacity provider",
)
def clusters_and_providers_are_joined_by_reference(estate: Estate) -> Iterator[Fault]:
    """An association refers to every capacity provider, and each to a cluster and to none but those."""
    associations = estate.of_type(ASSOCIATION)
    for provider in estate.of_type(PROVIDER):
        if not any(mentions(each, "CapacityProviders", provider) for each in associations):
            yield provider.fault("", found=Said("no association that refers to it"), expected="one with the cluster")
    for association in associations:
        if not any(mentions(association, "Cluster", cluster) for cluster in estate.of_type(CLUSTER)):
            yield association.fault("Cluster", found=association.get("Cluster"), expected="a reference to a cluster")
        for path, item in association.tables("DefaultCapacityProviderStrategy"):
            if estate.called(item.get("CapacityProvider"), PROVIDER) is None:
                found = item.get("CapacityProvider")
                yield association.fault(f"{path}.CapacityProvider", found=found, expected="one of the templates")


@rule_of(
    CLUSTER,
    requirement="A9",
    why="two say what the cluster's providers are, and whichever CloudFormation does last takes the other's away",
    source="ECS API Reference, PutClusterCapacityProviders: the given list replaces what was there",
)
def an_association_alone_gives_providers(cluster: Resource) -> Iterator[Fault]:
    """A cluster names no capacity providers itself: the association does."""
    for name in ("CapacityProviders", "DefaultCapacityProviderStrategy"):
        if cluster.get(name):
            yield cluster.fault(name, found=cluster.get(name), expected="none: the association says it")


@rule_of(
    GROUP,
    requirement="A9",
    why="the stack's deletion stops at the group, and only a hand in the console helps",
    source="Auto Scaling API Reference, CreateAutoScalingGroup: DeletionProtection",
)
def groups_can_be_deleted(group: Resource) -> Iterator[Fault]:
    """A group has no DeletionProtection: it holds no state, and `deploy.py destroy` must come through."""
    found = group.get("DeletionProtection")
    if found not in {None, "none"}:
        yield group.fault("DeletionProtection", found=found, expected="none")


@rule_of(
    PROVIDER,
    requirement="A1",
    why="tasks that find no place start no instance, or instances go under the tasks they run",
    source=f"{_DRAINING}; {_SCALING}",
)
def the_provider_scales_and_drains(provider: Resource) -> Iterator[Fault]:
    """ManagedDraining and ManagedScaling are ENABLED, target, steps and warm-up are said and possible."""
    demanded = (("ManagedDraining", "ENABLED"), ("ManagedScaling.Status", "ENABLED"))
    for name, expected in demanded:
        path = f"{_PROVIDER}.{name}"
        if provider.get(path) != expected:
            yield provider.fault(path, found=provider.get(path), expected=f'"{expected}"')
    smallest = number(provider.get(f"{_PROVIDER}.ManagedScaling.MinimumScalingStepSize")) or 1
    bounds = {
        "TargetCapacity": (1.0, 100.0),
        "MinimumScalingStepSize": (1.0, 10_000.0),
        "MaximumScalingStepSize": (smallest, 10_000.0),
        "InstanceWarmupPeriod": (float(_BOOT_SECONDS), 10_000.0),
    }
    for name, (least, most) in bounds.items():
        path = f"{_PROVIDER}.ManagedScaling.{name}"
        value = number(provider.get(path))
        if value is None or not least <= value <= most:
            yield provider.fault(path, found=provider.get(path), expected=f"from {least:g} to {most:g}")


@rule_of(
    GROUP,
    requirement="A1",
    why="every update would set back what managed scaling has decided, and take instances from tasks",
    source="CloudFormation guide, AWS::AutoScaling::AutoScalingGroup DesiredCapacity",
)
def the_provider_decides_the_size(group: Resource) -> Iterator[Fault]:
    """A group has no DesiredCapacity."""
    if group.get("DesiredCapacity") is not None:
        expected = "none: the capacity provider decides"
        yield group.fault("DesiredCapacity", found=group.get("DesiredCapacity"), expected=expected)


@rule(
    "A1",
    why="two hands on one number: instances go under the tasks they run, or come and register too early or never",
    source=f"{_SCALING}; Auto Scaling guide, lifecycle hooks: what nobody completes holds an instance up for an hour",
)
def nobody_else_moves_instances(estate: Estate) -> Iterator[Fault]:
    """No scaling policy, schedule, warm pool or lifecycle hook of our own is on a group: ECS has its own."""
    for resource in estate.of_type(*_OTHER_HANDS):
        yield resource.fault("", found=Said(f"a resource of type {resource.type}"), expected="none: ECS scales")
    for group in estate.of_type(GROUP):
        hooks = group.get("LifecycleHookSpecificationList")
        if hooks:
            yield group.fault("LifecycleHookSpecificationList", found=hooks, expected="none: ECS adds its own")


@rule(
    "A3",
    why="AWS takes such an instance with two minutes' notice, and no other has come before",
    source="EC2 guide, Spot Instance interruptions; AutoScaling.6's exception rests on it",
)
def instances_are_on_demand(estate: Estate) -> Iterator[Fault]:
    """No instance is a spot one, neither by its launch template nor by a group's distribution."""
    for template in estate.of_type(LAUNCH_TEMPLATE):
        market = template.get("LaunchTemplateData.InstanceMarketOptions")
        if market:
            yield template.fault("LaunchTemplateData.InstanceMarketOptions", found=market, expected="none")
    for group in estate.of_type(GROUP):
        at = "MixedInstancesPolicy.InstancesDistribution.OnDemandPercentageAboveBaseCapacity"
        share = group.get(at)
        if share is not None and number(share) != 100:  # noqa: PLR2004 -- percent
            yield group.fault(at, found=share, expected="100, or nothing")


@rule_of(
    GROUP,
    requirement="A1",
    why="ECS sets the tag when the provider is made, and every update of the group without it takes it away again",
    source=_SCALING,
)
def groups_bear_the_tag_of_ecs(group: Resource) -> Iterator[Fault]:
    """A group has the tag AmazonECSManaged, which its instances get at their start."""
    tags = {tag.get("Key"): flag(tag.get("PropagateAtLaunch")) for _, tag in group.tables("Tags")}
    if tags.get("AmazonECSManaged") is not True:
        yield group.fault("Tags", found=Said("none that instances get"), expected="AmazonECSManaged, propagated")


@rule_of(
    PROVIDER,
    requirement="A2",
    why="ECS refuses protection of instances that are not protected from scale-in; what is protected never gets too"
    " old, and what is protected by nobody's leave never goes",
    source="ECS guide, managed termination protection",
)
def termination_protection_is_whole_or_off(provider: Resource) -> Iterator[Fault]:
    """
    ManagedTerminationProtection is said, and the group fits it.

    ENABLED, the group has NewInstancesProtectedFromScaleIn and no
    MaxInstanceLifetime, and managed scaling is on; DISABLED, no instance is
    protected.
    """
    path = f"{_PROVIDER}.ManagedTerminationProtection"
    protection = provider.get(path)
    if protection not in {"ENABLED", "DISABLED"}:
        yield provider.fault(path, found=protection, expected='"ENABLED" or "DISABLED"')
        return
    is_on = protection == "ENABLED"
    if is_on and provider.get(f"{_PROVIDER}.ManagedScaling.Status") != "ENABLED":
        found = provider.get(f"{_PROVIDER}.ManagedScaling.Status")
        yield provider.fault(f"{_PROVIDER}.ManagedScaling.Status", found=found, expected='"ENABLED"')
    group = group_of(provider)
    if group is None:
        return  # the rule A9 says so
    protected = group.get("NewInstancesProtectedFromScaleIn")
    if (flag(protected) or False) is not is_on:
        expected = f"{str(is_on).lower()}, with ManagedTerminationProtection {protection}"
        yield group.fault("NewInstancesProtectedFromScaleIn", found=protected, expected=expected)
    if is_on and group.get("MaxInstanceLifetime") is not None:
        expected = "none: no protected instance is ended by its age"
        yield group.fault("MaxInstanceLifetime", found=group.get("MaxInstanceLifetime"), expected=expected)


@rule_of(
    GROUP,
    requirement="A3",
    why="no other instance has port 8443 free for the task of one that is drained, and the drain hangs for 48 hours",
    source="containers-roadmap issue 2467; Auto Scaling guide, instance maintenance policies",
)
def instances_come_before_others_go(group: Resource) -> Iterator[Fault]:
    """InstanceMaintenancePolicy keeps 100 percent and goes up to 110 at least."""
    bounds = {"MinHealthyPercentage": (100, 100), "MaxHealthyPercentage": (110, 200)}
    for name, (least, most) in bounds.items():
        path = f"InstanceMaintenancePolicy.{name}"
        value = number(group.get(path))
        if value is None or not least <= value <= most:
            expected = str(least) if least == most else f"from {least} to {most}"
            yield group.fault(path, found=group.get(path), expected=expected)


@rule_of(
    GROUP,
    requirement="A4",
    why="with every instance taken nothing can be moved: neither a release nor a drain comes to its end",
    source="ECS guide, bridge network mode: a host port is taken by one task of an instance",
)
def there_is_an_instance_to_spare(group: Resource) -> Iterator[Fault]:
    """MaxSize is one more at least than the tasks that may be wanted, scaled out too; MinSize is not above it."""
    size, least = number(group.get("MaxSize")), number(group.get("MinSize"))
    wanted = sum(most_tasks(service) for service in services_on(group.estate, group)) + 1
    if size is None or size < wanted:
        yield group.fault("MaxSize", found=group.get("MaxSize"), expected=f"{wanted} at least")
    elif least is None or not 0 <= least <= size:
        yield group.fault("MinSize", found=group.get("MinSize"), expected=f"from 0 to {size:g}")


@rule_of(
    GROUP,
    requirement="A5",
    why="a bad release of the service would make Auto Scaling end the instances too",
    source="Security Hub, AutoScaling.1, which is for groups that are attached",
)
def groups_stand_behind_no_load_balancer(group: Resource) -> Iterator[Fault]:
    """A group is attached to no load balancer, HealthCheckType is EC2, and HealthCheckGracePeriod is said."""
    for name in ("LoadBalancerNames", "TargetGroupARNs", "TrafficSources"):
        if group.get(name):
            yield group.fault(name, found=group.get(name), expected="none: ECS registers the instances")
    if group.get("HealthCheckType") != "EC2":
        yield group.fault("HealthCheckType", found=group.get("HealthCheckType"), expected='"EC2"')
    grace = number(group.get("HealthCheckGracePeriod"))
    if grace is None or grace < 1:
        yield group.fault("HealthCheckGracePeriod", found=group.get("HealthCheckGracePeriod"), expected="some seconds")


@rule_of(
    GROUP,
    requirement="A6",
    why="a drain that is stuck shows in the group's metrics alone, and those are off unless asked for",
    source=_DRAINING,
)
def groups_are_measured(group: Resource) -> Iterator[Fault]:
    """MetricsCollection is on each minute, for all metrics or those that alarms watch."""
    collections = group.tables("MetricsCollection")
    if not collections:
        yield group.fault("MetricsCollection", found=None, expected="one of each minute")
    for path, collection in collections:
        if collection.get("Granularity") != "1Minute":
            yield group.fault(f"{path}.Granularity", found=collection.get("Granularity"), expected='"1Minute"')
        metrics = {str(metric) for metric in listed(collection.get("Metrics"))}
        if metrics and not metrics >= _WATCHED:
            expected = f"all, or {' and '.join(sorted(_WATCHED))} among them"
            yield group.fault(f"{path}.Metrics", found=collection.get("Metrics"), expected=expected)


@rule_of(
    PROVIDER,
    requirement="A6",
    why="instances keep the image they were started from, with every hole found in it since",
    source="Auto Scaling guide, replacing instances by their maximum lifetime",
)
def instances_grow_no_older_than_a_month(provider: Resource) -> Iterator[Fault]:
    """Without termination protection MaxInstanceLifetime is from a day to 30 days, in seconds."""
    group = group_of(provider)
    if group is None or provider.get(f"{_PROVIDER}.ManagedTerminationProtection") == "ENABLED":
        return
    lifetime = number(group.get("MaxInstanceLifetime"))
    if lifetime is None or not _LEAST_LIFETIME_SECONDS <= lifetime <= _MOST_LIFETIME_SECONDS:
        expected = f"from {_LEAST_LIFETIME_SECONDS} to {_MOST_LIFETIME_SECONDS} seconds"
        yield group.fault("MaxInstanceLifetime", found=group.get("MaxInstanceLifetime"), expected=expected)


@rule_of(
    GROUP,
    requirement="A7",
    why="CloudFormation ends instances without waiting for their tasks to be drained",
    source="amazon-eks-ami issue 66; Auto Scaling guide, instance refresh",
)
def instances_are_replaced_by_a_refresh(group: Resource) -> Iterator[Fault]:
    """No UpdatePolicy replaces instances: an instance refresh does, which lets them drain (patch-the-instances.md)."""
    policy = group.raw.get("UpdatePolicy") or {}
    for name in _ROLLED_BY_CLOUDFORMATION:
        if name in policy:
            yield Fault(group.stack, group.logical_id, f"UpdatePolicy.{name}", str(policy[name]), "none")


@rule(
    "A10",
    why="the ECS image of Amazon Linux 2023 has no cfn-signal: the stack waits for a word that never comes, then rolls"
    " back",
    source="amazon-linux-2023 issue 768",
)
def nothing_waits_for_a_signal(estate: Estate) -> Iterator[Fault]:
    """No resource has a CreationPolicy with a ResourceSignal, and there is no wait condition."""
    for resource in estate.resources:
        if "CreationPolicy" in resource.raw:
            found = str(resource.raw["CreationPolicy"])
            yield Fault(resource.stack, resource.logical_id, "CreationPolicy", found, "none")
    for condition in estate.of_type("AWS::CloudFormation::WaitCondition"):
        yield condition.fault("", found=Said("a wait condition"), expected="none")


@rule(
    "A18",
    why="there is one of each in an account: a second stack, or an account that has it, fails",
    source="ECS guide, using service-linked roles",
)
def service_linked_roles_are_nobodys(estate: Estate) -> Iterator[Fault]:
    """No template makes a service-linked role: `deploy.py bootstrap` does, where the account lacks one."""
    for role in estate.of_type("AWS::IAM::ServiceLinkedRole"):
        yield role.fault("", found=role.get("AWSServiceName"), expected="none in a template")


@rule_of(
    GROUP,
    requirement="AutoScaling.2",
    why="one zone lost is the whole ingress lost",
    source="Security Hub, AutoScaling.2",
)
def instances_stand_in_several_zones(group: Resource) -> Iterator[Fault]:
    """VPCZoneIdentifier has two subnets at least, and those of the templates are in two zones."""
    subnets = [value for value in listed(group.get("VPCZoneIdentifier")) if isinstance(value, str)]
    found = [group.estate.target(subnet) for subnet in subnets]
    known = [str(subnet.get("AvailabilityZone")) for subnet in found if subnet is not None]
    places = known if len(known) == len(subnets) else subnets
    if len(set(places)) < 2:  # noqa: PLR2004 -- zones
        expected = "subnets in two availability zones"
        yield group.fault("VPCZoneIdentifier", found=group.get("VPCZoneIdentifier"), expected=expected)


@rule_of(
    CLUSTER,
    requirement="ECS.12",
    why="alarms on running tasks have nothing to watch",
    source="Security Hub, ECS.12",
)
def clusters_are_measured(cluster: Resource) -> Iterator[Fault]:
    """ClusterSettings has containerInsights, enabled or enhanced."""
    settings = {str(each.get("Name")): each.get("Value") for _, each in cluster.tables("ClusterSettings")}
    insights = settings.get("containerInsights")
    if insights not in {"enabled", "enhanced"}:
        yield cluster.fault("ClusterSettings", found=insights, expected="containerInsights enabled or enhanced")


RULES: Final[tuple[Rule, ...]] = (
    what_gives_capacity_has_no_name,
    groups_and_providers_are_joined_by_reference,
    clusters_and_providers_are_joined_by_reference,
    an_association_alone_gives_providers,
    groups_can_be_deleted,
    the_provider_scales_and_drains,
    the_provider_decides_the_size,
    nobody_else_moves_instances,
    instances_are_on_demand,
    groups_bear_the_tag_of_ecs,
    termination_protection_is_whole_or_off,
    instances_come_before_others_go,
    there_is_an_instance_to_spare,
    groups_stand_behind_no_load_balancer,
    groups_are_measured,
    instances_grow_no_older_than_a_month,
    instances_are_replaced_by_a_refresh,
    nothing_waits_for_a_signal,
    service_linked_roles_are_nobodys,
    instances_stand_in_several_zones,
    clusters_are_measured,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    exception(
        "ECS.19",
        "Capacity providers have managed termination protection.",
        why="by default it is off: protection outlives its provider, so that a stack's deletion hangs, and no protected"
        " instance is replaced for its age (containers-roadmap issue 2862)",
        instead="managed draining, which moves tasks before any instance goes (A1), and an instance to spare (A3, A4);"
        " `[capacity] termination_protection = true` turns it on, and A2 judges the whole of it",
    ),
    exception(
        "AutoScaling.6",
        "Auto Scaling groups use several instance types.",
        why="with one task to an instance every instance must have the size the task was measured on, and its limits"
        " were set for",
        instead="two zones at least (AutoScaling.2), an instance to spare (A4), on-demand instances alone, and the"
        " alarm on tasks that find no place",
    ),
    not_applicable(
        "AutoScaling.1",
        "Groups behind a load balancer use its health checks.",
        why="the group stands behind none (A5): ECS registers instances, and judges tasks instead of instances",
    ),
    not_applicable("EC2.28", "EBS volumes are in a backup plan.", why="instances hold no state; each is made anew"),
    not_applicable(
        "EBS_IN_BACKUP_PLAN", "EBS volumes are in a backup plan.", why="instances hold no state; each is made anew"
    ),
    kept_elsewhere(
        "EC2.7",
        "EBS encryption by default is on in the account.",
        why="it is the account's setting, not an environment's",
        instead="whoever keeps the account; every disk of ours is encrypted with or without it (A15)",
    ),
)
