"""The rules on the service: where its tasks run, how many there are, and how one release follows another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from service.contract import CONTAINER_NAME, TRAFFIC_PORT
from stacks.naming import OperatorParameter
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.order import comes_after, names_in
from stacks.rules.register import Entry, kept_elsewhere, not_applicable
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.topology import (
    ASSOCIATION,
    CLUSTER,
    LOAD_BALANCER,
    PROVIDER,
    SCALABLE_TARGET,
    SERVICE,
    balancers_of,
    containers_of,
    groups_of,
    inner_tables,
    most_tasks,
    scalable_targets_of,
    task_definition_of,
)
from stacks.rules.values import Supplied, flag, listed, number

_START_SECONDS: Final = 60
"""From a task's start to its first healthy answer, the fetch of the certificate and its retries included."""
_LEAST_TASKS: Final = 2
_ESSENTIAL: Final = "an essential one, or its task runs on when it has ended"
_ROLE: Final = "AWS::IAM::Role"
_ALARM: Final = "AWS::CloudWatch::Alarm"
_SCALING_POLICY: Final = "AWS::ApplicationAutoScaling::ScalingPolicy"
_SHARES: Final = ("ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization")
"""ALBRequestCountPerTarget is for target groups."""
_ROLE_POLICIES: Final = ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy")
_API: Final = "ECS API Reference, CreateService"
_LOAD_BALANCING: Final = "ECS guide, Classic Load Balancer: tasks are registered by their instance and one port"
_ROUNDING: Final = "ECS guide, deployment configuration: the least is rounded up, the most is rounded down"


# -- the service and its load balancer ---------------------------------------------


@rule("E2", why="partners reach a load balancer with nobody behind it", source=_LOAD_BALANCING)
def every_load_balancer_has_a_service(estate: Estate) -> Iterator[Fault]:
    """There is an ECS service, and behind every Classic Load Balancer stands exactly one."""
    services = estate.of_type(SERVICE)
    if not services:
        yield absent("an ECS service behind the load balancer")
    for balancer in estate.of_type(LOAD_BALANCER):
        behind = [service for service in services if balancer in balancers_of(service)]
        if len(behind) != 1:
            found = Said(f"{len(behind)} services that name it in LoadBalancers")
            yield balancer.fault("", found=found, expected="exactly one")


@rule_of(
    SERVICE,
    requirement="E2",
    why="ECS refuses the service, or registers instances on whose port nobody listens",
    source=_LOAD_BALANCING,
)
def the_mapping_leads_to_a_container(service: Resource) -> Iterator[Fault]:
    """
    A service has one entry in LoadBalancers, no other way in, and all of the entry leads somewhere.

    It names a Classic Load Balancer of the templates, an essential container
    of the task definition, and a port that this container maps.
    """
    entries = service.tables("LoadBalancers")
    if len(entries) != 1:
        yield service.fault("LoadBalancers", found=Said(f"{len(entries)} entries"), expected="exactly one")
    for path, entry in entries:
        if service.estate.called(entry.get("LoadBalancerName"), LOAD_BALANCER) is None:
            yield service.fault(
                f"{path}.LoadBalancerName",
                found=entry.get("LoadBalancerName"),
                expected="a Classic Load Balancer of the templates",
            )
        if "TargetGroupArn" in entry:
            found = entry["TargetGroupArn"]
            yield service.fault(f"{path}.TargetGroupArn", found=found, expected="no target group beside it")
        yield from _container_faults(service, path, entry)
    for name in ("ServiceConnectConfiguration", "ServiceRegistries"):
        if service.get(name):
            yield service.fault(name, found=service.get(name), expected="none: the load balancer is the one way in")


def _container_faults(service: Resource, path: str, entry: Any) -> Iterator[Fault]:  # noqa: ANN401
    task_definition = task_definition_of(service)
    if task_definition is None:
        return  # the rule S20 says so
    containers = {container.get("Name"): (at, container) for at, container in containers_of(task_definition)}
    container = containers.get(entry.get("ContainerName"))
    if container is None:
        names = ", ".join(map(str, containers)) or "none"
        expected = f"a container of the task definition, of which there are: {names}"
        yield service.fault(f"{path}.ContainerName", found=entry.get("ContainerName"), expected=expected)
        return
    ports = [number(mapping.get("ContainerPort")) for _, mapping in inner_tables(*container, "PortMappings")]
    if flag(container[1].get("Essential", True)) is not True:
        yield service.fault(
            f"{path}.ContainerName", found=Said("a container that is not essential"), expected=_ESSENTIAL
        )
    if number(entry.get("ContainerPort")) not in [port for port in ports if port is not None]:
        expected = f"a port that the container maps: {', '.join(f'{port:g}' for port in ports if port) or 'none'}"
        yield service.fault(f"{path}.ContainerPort", found=entry.get("ContainerPort"), expected=expected)


@rule_of(
    SERVICE,
    requirement="S19",
    why="a container name or port that changes in place leaves the old tasks registered where nobody listens",
    source="ECS guide, troubleshooting service load balancers",
)
def the_mapping_never_changes(service: Resource) -> Iterator[Fault]:
    """The container's name and port in LoadBalancers are the ones written down in service/contract.py, for ever."""
    for path, entry in service.tables("LoadBalancers"):
        if entry.get("ContainerName") != CONTAINER_NAME:
            yield service.fault(
                f"{path}.ContainerName", found=entry.get("ContainerName"), expected=f'"{CONTAINER_NAME}"'
            )
        if number(entry.get("ContainerPort")) != TRAFFIC_PORT:
            yield service.fault(f"{path}.ContainerPort", found=entry.get("ContainerPort"), expected=f"{TRAFFIC_PORT}")


# -- where tasks run ----------------------------------------------------------------


@rule_of(
    SERVICE,
    requirement="S3",
    why="tasks of a daemon count as no load, so the capacity provider takes their instances; two tasks on one"
    " instance fight for one port",
    source="ECS guide, cluster auto scaling considerations",
)
def each_task_has_an_instance(service: Resource) -> Iterator[Fault]:
    """SchedulingStrategy is REPLICA and PlacementConstraints holds distinctInstance, and nothing else."""
    strategy = service.get("SchedulingStrategy")
    if strategy != "REPLICA":
        yield service.fault("SchedulingStrategy", found=strategy, expected='"REPLICA"')
    constraints = [constraint.get("Type") for _, constraint in service.tables("PlacementConstraints")]
    if constraints != ["distinctInstance"]:
        yield service.fault("PlacementConstraints", found=constraints, expected="distinctInstance alone")
    definition = task_definition_of(service)
    if definition is not None and definition.get("PlacementConstraints"):
        found = definition.get("PlacementConstraints")
        yield definition.fault("PlacementConstraints", found=found, expected="none: every instance takes a task")


@rule_of(
    SERVICE,
    requirement="S4",
    why="it is on by default, and ECS refuses to create a service with it behind a Classic Load Balancer",
    source="ECS guide, balancing a service across availability zones",
)
def zones_are_not_rebalanced(service: Resource) -> Iterator[Fault]:
    """AvailabilityZoneRebalancing is the literal DISABLED, no parameter's value."""
    found = service.get("AvailabilityZoneRebalancing")
    if found != "DISABLED" or isinstance(found, Supplied):
        shown = Said(f'"{found}" from a parameter') if isinstance(found, Supplied) else found
        yield service.fault("AvailabilityZoneRebalancing", found=shown, expected='the literal "DISABLED"')


@rule_of(
    SERVICE,
    requirement="S16",
    why="ECS refuses both at once; with a launch type alone nobody starts instances for tasks that find no place",
    source=_API,
)
def a_capacity_provider_decides_where_tasks_run(service: Resource) -> Iterator[Fault]:
    """CapacityProviderStrategy names a capacity provider of the templates with a weight, and there is no LaunchType."""
    if service.get("LaunchType") is not None:
        expected = "none: CapacityProviderStrategy says where tasks run"
        yield service.fault("LaunchType", found=service.get("LaunchType"), expected=expected)
    items = service.tables("CapacityProviderStrategy")
    for path, item in items:
        if service.estate.called(item.get("CapacityProvider"), PROVIDER) is None:
            expected = "a capacity provider of the templates"
            yield service.fault(f"{path}.CapacityProvider", found=item.get("CapacityProvider"), expected=expected)
    if not any((number(item.get("Weight")) or 0) > 0 for _, item in items):
        found: object = Said("no item with a weight") if items else None
        yield service.fault("CapacityProviderStrategy", found=found, expected="an item with a Weight above 0")


@rule_of(
    SERVICE,
    requirement="S17",
    why="ECS knows no such provider yet, and at deletion the provider is still in use",
    source="containers-roadmap issue 631; ECS API Reference, PutClusterCapacityProviders",
)
def the_service_waits_for_its_capacity_providers(service: Resource) -> Iterator[Fault]:
    """A service is made after its capacity providers are associated with its cluster, by stack, reference or order."""
    cluster = service.estate.called(service.get("Cluster"), CLUSTER)
    if cluster is None:
        yield service.fault("Cluster", found=service.get("Cluster"), expected="a cluster of the templates")
    for path, item in service.tables("CapacityProviderStrategy"):
        provider = service.estate.called(item.get("CapacityProvider"), PROVIDER)
        if provider is not None and not any(
            comes_after(service, association) for association in _associations(provider, cluster)
        ):
            expected = "a provider that ClusterCapacityProviderAssociations gives to the cluster before"
            yield service.fault(f"{path}.CapacityProvider", found=item.get("CapacityProvider"), expected=expected)


def _associations(provider: Resource, cluster: Resource | None) -> list[Resource]:
    estate = provider.estate
    return [
        association
        for association in estate.of_type(ASSOCIATION)
        if estate.called(association.get("Cluster"), CLUSTER) == cluster
        and provider in [estate.called(value, PROVIDER) for value in listed(association.get("CapacityProviders"))]
    ]


@rule_of(
    SERVICE,
    requirement="S17",
    why="the first tasks start before their role may read anything, fail, and the deployment with them",
    source="CloudFormation guide, DependsOn: policies of a role are resources of their own",
)
def the_service_waits_for_its_roles_policies(service: Resource) -> Iterator[Fault]:
    """A service is made after every policy of its task role and of its execution role."""
    task_definition = task_definition_of(service)
    for name in ("TaskRoleArn", "ExecutionRoleArn") if task_definition else ():
        role = service.estate.called(task_definition.get(name), _ROLE) if task_definition else None
        for policy in service.estate.of_type(*_ROLE_POLICIES):
            holders = [*listed(policy.get("Roles")), *listed(policy.get("RoleName"))]
            holds = role is not None and role in [service.estate.called(each, _ROLE) for each in holders]
            if holds and not comes_after(service, policy):
                found = Said(f"nothing that lets it wait for {policy.name}, a policy of {name}")
                yield service.fault("", found=found, expected="a parameter of that stack, a reference or DependsOn")


@rule_of(
    SERVICE,
    requirement="S18",
    why="they are create-only: a change would replace the service, and with a fixed name that fails",
    source="CloudFormation's provider schema of AWS::ECS::Service",
)
def the_service_is_never_replaced(service: Resource) -> Iterator[Fault]:
    """A service has no Role, for ECS uses its service-linked one, and no name that changes with a release."""
    if service.get("Role") is not None:
        yield service.fault("Role", found=service.get("Role"), expected="none: ECS uses its service-linked role")
    raw = service.raw.get("Properties", {})
    for path in ("ServiceName", "Cluster", "SchedulingStrategy"):
        changing = sorted({*names_in(raw.get(path))} & {*OperatorParameter})
        if changing:
            yield service.fault(path, found=Said(f"one made of {changing[0]}"), expected="one that never changes")


@rule_of(
    SERVICE,
    requirement="S15",
    why="it needs a root file system that can be written, and opens a shell beside the private key",
    source="ECS guide, ECS Exec considerations",
)
def nobody_gets_a_shell_in_a_task(service: Resource) -> Iterator[Fault]:
    """EnableExecuteCommand is false."""
    found = service.get("EnableExecuteCommand")
    if found is not None and flag(found) is not False:
        yield service.fault("EnableExecuteCommand", found=found, expected="false")


# -- how many tasks, and how releases follow each other --------------------------------


@rule_of(
    SERVICE,
    requirement="S5",
    why="with a single task every release and every lost instance is an outage",
    source=_ROUNDING,
)
def two_tasks_at_least(service: Resource) -> Iterator[Fault]:
    """DesiredCount is a whole number of 2 at least, lies within what scaling allows, and scaling keeps 2."""
    desired = number(service.get("DesiredCount"))
    if desired is None or desired < _LEAST_TASKS or desired % 1:
        yield service.fault("DesiredCount", found=service.get("DesiredCount"), expected="2 at least")
        return
    for target in scalable_targets_of(service):
        least, most = number(target.get("MinCapacity")), number(target.get("MaxCapacity"))
        if least is None or not _LEAST_TASKS <= least <= desired:
            expected = f"from 2 to the service's DesiredCount, {int(desired)}"
            yield target.fault("MinCapacity", found=target.get("MinCapacity"), expected=expected)
        if most is None or most < desired:
            expected = f"the service's DesiredCount at least, {int(desired)}"
            yield target.fault("MaxCapacity", found=target.get("MaxCapacity"), expected=expected)


@rule_of(
    SCALABLE_TARGET,
    requirement="S5",
    why="the number of tasks never follows the load, or that of another service does",
    source="Application Auto Scaling API Reference, RegisterScalableTarget",
)
def what_scales_is_a_service_of_the_templates(target: Resource) -> Iterator[Fault]:
    """A scalable target scales the DesiredCount of a service of the templates."""
    if not any(target in scalable_targets_of(service) for service in target.estate.of_type(SERVICE)):
        expected = "service/CLUSTER/SERVICE of a service of the templates"
        yield target.fault("ResourceId", found=target.get("ResourceId"), expected=expected)
    for name, expected in (("ServiceNamespace", "ecs"), ("ScalableDimension", "ecs:service:DesiredCount")):
        if target.get(name) != expected:
            yield target.fault(name, found=target.get(name), expected=f'"{expected}"')


@rule_of(
    _SCALING_POLICY,
    requirement="S5",
    why="the number of tasks never follows the load, or AWS refuses the policy",
    source="Application Auto Scaling API Reference, PredefinedMetricSpecification; ECS guide, target tracking",
)
def tasks_follow_what_can_be_measured(policy: Resource) -> Iterator[Fault]:
    """A scaling policy is of a scalable target of the templates, and tracks a share of processor or memory."""
    if policy.estate.called(policy.get("ScalingTargetId"), SCALABLE_TARGET) is None:
        expected = "a reference to a scalable target of the templates"
        yield policy.fault("ScalingTargetId", found=policy.get("ScalingTargetId"), expected=expected)
    tracked = "TargetTrackingScalingPolicyConfiguration"
    kind = policy.get(f"{tracked}.PredefinedMetricSpecification.PredefinedMetricType")
    if kind is None:
        return  # by a metric of one's own, or in steps: nobody here knows its range
    at = f"{tracked}.PredefinedMetricSpecification.PredefinedMetricType"
    if kind not in _SHARES:
        yield policy.fault(at, found=kind, expected=" or ".join(_SHARES))
    value = number(policy.get(f"{tracked}.TargetValue"))
    if value is None or not 0 < value < 100:  # noqa: PLR2004 -- percent
        found = policy.get(f"{tracked}.TargetValue")
        yield policy.fault(f"{tracked}.TargetValue", found=found, expected="a share, above 0 and below 100")


@rule_of(
    SERVICE,
    requirement="S5",
    why="the deployment waits for ever: ECS may neither stop a task nor has an instance to start one on",
    source=_ROUNDING,
)
def a_release_can_always_take_a_step(service: Resource) -> Iterator[Fault]:
    """
    At every number of tasks that scaling allows, a release keeps a task and may stop one or start one.

    The least percentage is rounded up, the most down; a task that starts needs
    an instance that the Auto Scaling group may still add.
    """
    least, most = _percent(service, "MinimumHealthyPercent", 100), _percent(service, "MaximumPercent", 200)
    if least is None or most is None or least > 100 or most < 100:  # noqa: PLR2004 -- percent
        expected = "whole numbers, MinimumHealthyPercent up to 100 and MaximumPercent from 100"
        yield service.fault("DeploymentConfiguration", found=service.get("DeploymentConfiguration"), expected=expected)
        return
    room = sum(int(number(group.get("MaxSize")) or 0) for group in groups_of(service))
    for tasks in _numbers_of_tasks(service):
        stay, run = -(-tasks * least // 100), tasks * most // 100
        may_stop, may_start = stay < tasks, run > tasks and room > tasks
        if stay < 1 or not (may_stop or may_start):
            found = f"{least} and {most} percent: of {tasks} tasks {stay} must stay, {run} may run, on {room} instances"
            expected = "one task that stays, and one that may be stopped or started"
            yield service.fault("DeploymentConfiguration", found=Said(found), expected=expected)
            return


@rule_of(
    SERVICE,
    requirement="S5",
    why="tasks of a release find no instance with a free port, and the deployment hangs",
    source=_ROUNDING,
)
def a_release_fits_on_the_instances(service: Resource) -> Iterator[Fault]:
    """With a MaximumPercent over 100 the Auto Scaling group's MaxSize takes all tasks a release may run at once."""
    desired, most = number(service.get("DesiredCount")), _percent(service, "MaximumPercent", 200)
    if desired is None or most is None:
        return  # the rules on either say so
    run = int(desired) * most // 100
    for group in groups_of(service):
        size = number(group.get("MaxSize")) or 0
        if run > desired and size < run:
            expected = f"{run} at least, which {most} percent of {int(desired)} tasks are"
            yield group.fault("MaxSize", found=group.get("MaxSize"), expected=expected)


def _percent(service: Resource, name: str, default: int) -> int | None:
    found = service.get(f"DeploymentConfiguration.{name}")
    value = number(default if found is None else found)
    return int(value) if value is not None and value >= 0 and value % 1 == 0 else None


def _numbers_of_tasks(service: Resource) -> range:
    desired = number(service.get("DesiredCount")) or 0
    floors = [number(target.get("MinCapacity")) or 0 for target in scalable_targets_of(service)]
    return range(max(1, int(min([desired, *floors]))), most_tasks(service) + 1)


@rule_of(
    SERVICE,
    requirement="S6",
    why="a release that cannot start is tried again for ever; the deployer's own judgement is the other half",
    source=f"{_API}, DeploymentCircuitBreaker",
)
def a_bad_release_is_taken_back(service: Resource) -> Iterator[Fault]:
    """DeploymentCircuitBreaker is on, with Rollback; releases are rolling ones, by ECS itself."""
    for name in ("Enable", "Rollback"):
        path = f"DeploymentConfiguration.DeploymentCircuitBreaker.{name}"
        if flag(service.get(path)) is not True:
            yield service.fault(path, found=service.get(path), expected="true")
    alarms = "DeploymentConfiguration.Alarms.AlarmNames"
    for index, alarm in enumerate(listed(service.get(alarms))):
        if service.estate.called(alarm, _ALARM) is None:
            yield service.fault(f"{alarms}.{index}", found=alarm, expected="an alarm of the templates")
    for path, only in (("DeploymentController.Type", "ECS"), ("DeploymentConfiguration.Strategy", "ROLLING")):
        found = service.get(path)
        if found not in {None, only}:
            expected = f'"{only}", the only one behind a Classic Load Balancer'
            yield service.fault(path, found=found, expected=expected)


@rule_of(
    SERVICE,
    requirement="S7",
    why="the load balancer's verdict comes before the task could answer, and ECS kills a task that only starts",
    source=f"{_API}, healthCheckGracePeriodSeconds: 0 if it is left out",
)
def a_task_may_start_before_it_is_judged(service: Resource) -> Iterator[Fault]:
    """HealthCheckGracePeriodSeconds is 60 and twice the health check's Interval times HealthyThreshold at least."""
    given = number(service.get("HealthCheckGracePeriodSeconds"))
    for balancer in balancers_of(service):
        interval = number(balancer.get("HealthCheck.Interval")) or 30
        threshold = number(balancer.get("HealthCheck.HealthyThreshold")) or 10
        least = int(_START_SECONDS + 2 * interval * threshold)
        if given is None or given < least:
            expected = f"{least} at least, for checks every {int(interval)} seconds"
            found = service.get("HealthCheckGracePeriodSeconds")
            yield service.fault("HealthCheckGracePeriodSeconds", found=found, expected=expected)


RULES: Final[tuple[Rule, ...]] = (
    every_load_balancer_has_a_service,
    the_mapping_leads_to_a_container,
    the_mapping_never_changes,
    each_task_has_an_instance,
    zones_are_not_rebalanced,
    a_capacity_provider_decides_where_tasks_run,
    the_service_waits_for_its_capacity_providers,
    the_service_waits_for_its_roles_policies,
    the_service_is_never_replaced,
    nobody_gets_a_shell_in_a_task,
    two_tasks_at_least,
    what_scales_is_a_service_of_the_templates,
    tasks_follow_what_can_be_measured,
    a_release_can_always_take_a_step,
    a_release_fits_on_the_instances,
    a_bad_release_is_taken_back,
    a_task_may_start_before_it_is_judged,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    kept_elsewhere(
        "S22",
        "Health says that the process serves with a loaded certificate, and nothing of the registry.",
        why="it is what the service answers, not what a template says",
        instead="`service/endpoints/health.py`, which knows no registry;"
        " `tests/wire/test_registry_failure_refuses_in_time.py` asks for health while the registry fails",
    ),
    not_applicable(
        "ECS.2",
        "ECS services have no public address assigned.",
        why="tasks on the bridge have no interface of their own",
    ),
    not_applicable(
        "ECS.16", "ECS task sets assign no public address.", why="there are no task sets, and tasks are on the bridge"
    ),
    not_applicable(
        "ECS.10", "Fargate services run the latest platform version.", why="tasks run on container instances of our own"
    ),
)
