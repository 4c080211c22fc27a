"""Rows of ECS: cluster, capacity provider, task definition and service."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from stacks.local_cloud.resource_types.calls import arguments, flag, refuse_taken, unless_gone
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, Row, Setting

_NO_CLUSTER = "ClusterNotFoundException"
_ACTIVE, _INACTIVE = "ACTIVE", "INACTIVE"
_DRAIN_SECONDS = 300.0
"""How long a deleted service may take to stop its tasks: their stop timeouts and the load balancer's draining."""
_POLL_SECONDS = 0.2
_FEWEST_FAILURES, _MOST_FAILURES = 3, 200
"""Between which the circuit breaker's threshold lies (ECS Developer Guide, "deployment circuit breaker")."""
_TOLD_EVENTS = 3
"""So many of the service's newest events are told as the reason where none says why a task ended."""


def _set_tags(resource: Resource) -> None:
    _tag(resource, resource.physical_id)


def _tag(resource: Resource, arn: str) -> None:
    ecs, wanted = resource.client("ecs"), resource.tags()
    worn = [tag["key"] for tag in ecs.list_tags_for_resource(resourceArn=arn).get("tags", [])]
    if surplus := [key for key in worn if key not in wanted]:
        ecs.untag_resource(resourceArn=arn, tagKeys=surplus)
    if wanted:
        ecs.tag_resource(resourceArn=arn, tags=_tags(wanted))


def _tags(wanted: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in wanted.items()]


# -- the cluster ---------------------------------------------------------------

_CLUSTER_SETTINGS = ("Configuration", "ServiceConnectDefaults")
_CLUSTER_CAPACITY = ("CapacityProviders", "DefaultCapacityProviderStrategy")
_INSIGHTS_OFF = [{"name": "containerInsights", "value": "disabled"}]
"""The settings of a cluster without any (ECS API Reference, ClusterSetting)."""


def _create_cluster(resource: Resource) -> str:
    ecs, properties = resource.client("ecs"), resource.properties
    given = {
        "clusterName": resource.generated_name(limit=255),
        **arguments(
            ecs,
            "create_cluster",
            properties,
            "ClusterName",
            *_CLUSTER_SETTINGS,
            *_CLUSTER_CAPACITY,
            settings="ClusterSettings",
        ),
    }
    found = ecs.describe_clusters(clusters=[given["clusterName"]])["clusters"]
    refuse_taken(resource, given["clusterName"], is_taken=any(cluster["status"] == _ACTIVE for cluster in found))
    ecs.create_cluster(**given)
    return str(given["clusterName"])


def _set_cluster(resource: Resource) -> None:
    if resource.previous is None:
        return
    ecs = resource.client("ecs")
    given = arguments(ecs, "update_cluster", resource.properties, *_CLUSTER_SETTINGS, settings="ClusterSettings")
    ecs.update_cluster(cluster=resource.physical_id, **{"settings": _INSIGHTS_OFF, **given})


def _set_cluster_capacity(resource: Resource) -> None:
    if resource.previous is not None:
        _associate(resource, resource.physical_id)


def _associate(resource: Resource, cluster: str) -> None:
    ecs = resource.client("ecs")
    given = arguments(ecs, "put_cluster_capacity_providers", resource.properties, *_CLUSTER_CAPACITY)
    ecs.put_cluster_capacity_providers(
        cluster=cluster, **{"capacityProviders": [], "defaultCapacityProviderStrategy": [], **given}
    )


def _delete_cluster(resource: Resource) -> None:
    with unless_gone(_NO_CLUSTER):
        resource.client("ecs").delete_cluster(cluster=resource.physical_id)


def _cluster_arn(resource: Resource) -> str:
    answer = resource.client("ecs").describe_clusters(clusters=[resource.physical_id])
    return str(answer["clusters"][0]["clusterArn"])


_CLUSTER = Row(
    type="AWS::ECS::Cluster",
    create=_create_cluster,
    delete=_delete_cluster,
    settings=(
        Setting(("ClusterSettings", *_CLUSTER_SETTINGS), _set_cluster),
        Setting(_CLUSTER_CAPACITY, _set_cluster_capacity),
        Setting(("Tags",), lambda resource: _tag(resource, _cluster_arn(resource))),
    ),
    attributes={"Arn": _cluster_arn},
)

# -- capacity ------------------------------------------------------------------


def _create_provider(resource: Resource) -> str:
    # CloudFormation's own names must not begin with aws, ecs or fargate; ours begin with the stack's.
    name = str(resource.properties.take("Name") or resource.generated_name(limit=255))
    found = resource.client("ecs").describe_capacity_providers(capacityProviders=[name])["capacityProviders"]
    refuse_taken(resource, name, is_taken=bool(found))
    _make_provider(resource, name)
    return name


def _make_provider(resource: Resource, name: str) -> None:
    ecs = resource.client("ecs")
    given = arguments(ecs, "create_capacity_provider", resource.properties, "AutoScalingGroupProvider")
    ecs.create_capacity_provider(name=name, tags=_tags(resource.tags()), **given)


def _set_provider(resource: Resource) -> None:
    if resource.previous is not None:
        # Made again under its name, hence with its ARN: moto's UpdateCapacityProvider loses the draining.
        _delete_provider(resource)
        _make_provider(resource, resource.physical_id)


def _delete_provider(resource: Resource) -> None:
    ecs, name = resource.client("ecs"), resource.physical_id
    if ecs.describe_capacity_providers(capacityProviders=[name])["capacityProviders"]:
        ecs.delete_capacity_provider(capacityProvider=name)


_CAPACITY_PROVIDER = Row(
    type="AWS::ECS::CapacityProvider",
    create=_create_provider,
    delete=_delete_provider,
    settings=(Setting(("AutoScalingGroupProvider", "Tags"), _set_provider),),
)


def _create_associations(resource: Resource) -> str:
    cluster = str(resource.properties.require("Cluster"))
    found = resource.client("ecs").describe_clusters(clusters=[cluster])["clusters"]
    refuse_taken(resource, cluster, is_taken=any(one.get("capacityProviders") for one in found))
    _associate(resource, cluster)
    return cluster


def _delete_associations(resource: Resource) -> None:
    with unless_gone(_NO_CLUSTER):
        resource.client("ecs").put_cluster_capacity_providers(
            cluster=resource.physical_id, capacityProviders=[], defaultCapacityProviderStrategy=[]
        )


_ASSOCIATIONS = Row(
    type="AWS::ECS::ClusterCapacityProviderAssociations",
    create=_create_associations,
    delete=_delete_associations,
    settings=(Setting(_CLUSTER_CAPACITY, _set_cluster_capacity),),
)

# -- the task definition -------------------------------------------------------

_DEFINITION = (
    "ContainerDefinitions",
    "Cpu",
    "EphemeralStorage",
    "ExecutionRoleArn",
    "Family",
    "IpcMode",
    "Memory",
    "NetworkMode",
    "PidMode",
    "PlacementConstraints",
    "RequiresCompatibilities",
    "RuntimePlatform",
    "TaskRoleArn",
    "Volumes",
)


def _register(resource: Resource) -> str:
    ecs = resource.client("ecs")
    given = {
        "family": resource.generated_name(limit=255),
        **arguments(ecs, "register_task_definition", resource.properties, *_DEFINITION),
    }
    return str(ecs.register_task_definition(**given)["taskDefinition"]["taskDefinitionArn"])


def _deregister(resource: Resource) -> None:
    """Make the revision inactive; as on AWS it can still be described."""
    try:
        resource.client("ecs").deregister_task_definition(taskDefinition=resource.physical_id)
    except ClientError as error:
        if "not found" not in error.response["Error"]["Message"].lower():
            raise


_TASK_DEFINITION = Row(
    type="AWS::ECS::TaskDefinition",
    create=_register,
    delete=_deregister,
    settings=(Setting(("Tags",), _set_tags),),
    attributes={"TaskDefinitionArn": lambda resource: resource.physical_id},
)

# -- the service ---------------------------------------------------------------

_SERVICE: dict[str, Any] = {
    # Property updated in place and what a service has without it (ECS API Reference, UpdateService);
    # None: leave what is, DesiredCount because service scaling may have moved it.
    "AvailabilityZoneRebalancing": "ENABLED",
    "CapacityProviderStrategy": [],
    "DeploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
    "DesiredCount": None,
    "EnableECSManagedTags": False,
    "EnableExecuteCommand": False,
    "HealthCheckGracePeriodSeconds": 0,
    "LoadBalancers": [],
    "NetworkConfiguration": None,
    "PlacementConstraints": [],
    "PlatformVersion": None,
    "PropagateTags": "NONE",
    "ServiceRegistries": [],
    "TaskDefinition": None,
}
_CREATED = ("Cluster", "DeploymentController", "LaunchType", "Role", "SchedulingStrategy", "ServiceName")


def _create_service(resource: Resource) -> str:
    ecs, properties = resource.client("ecs"), resource.properties
    given = {
        "serviceName": resource.generated_name(limit=255),
        "desiredCount": 1,
        **arguments(ecs, "create_service", properties, *_CREATED, *_SERVICE, placementStrategy="PlacementStrategies"),
    }
    _forces_deployment(properties)  # a new service deploys anyway
    found = ecs.describe_services(cluster=_cluster_of(resource), services=[given["serviceName"]])["services"]
    refuse_taken(resource, given["serviceName"], is_taken=any(service["status"] != _INACTIVE for service in found))
    return str(ecs.create_service(**given)["service"]["serviceArn"])


def _set_service(resource: Resource) -> None:
    if resource.previous is None:
        return
    ecs, properties = resource.client("ecs"), resource.properties
    given = arguments(ecs, "update_service", properties, *_SERVICE, placementStrategy="PlacementStrategies")
    if "PlacementStrategies" in resource.previous:
        given.setdefault("placementStrategy", [])
    for name, default in _SERVICE.items():
        if name in resource.previous and name not in properties and default is not None:
            given[name[0].lower() + name[1:]] = default
    if _forces_deployment(properties) and properties.raw().get("ForceNewDeployment") != resource.previous.raw().get(
        "ForceNewDeployment"
    ):
        given["forceNewDeployment"] = True
    ecs.update_service(cluster=_cluster_of(resource), service=resource.physical_id, **given)


def _forces_deployment(properties: Properties) -> bool:
    force = properties.branch("ForceNewDeployment")
    force.take("ForceNewDeploymentNonce")
    return flag(force.take("EnableForceNewDeployment", default=False))


def _delete_service(resource: Resource) -> None:
    """Scale to nothing, delete, and wait until the last task is gone, as CloudFormation does."""
    ecs, cluster = resource.client("ecs"), _cluster_of(resource)
    with unless_gone(_NO_CLUSTER, "ServiceNotFoundException", "ServiceNotActiveException"):
        ecs.delete_service(cluster=cluster, service=resource.physical_id, force=True)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while _status(resource) == "DRAINING":
            if time.monotonic() > deadline:
                raise ResourceFailedError(f"the service still has running tasks after {_DRAIN_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)


def _status(resource: Resource) -> str:
    found = _service(resource)
    return str(found["status"]) if found else _INACTIVE


def _service(resource: Resource) -> dict[str, Any] | None:
    answer = resource.client("ecs").describe_services(cluster=_cluster_of(resource), services=[resource.physical_id])
    return answer["services"][0] if answer["services"] else None


def _cluster_of(resource: Resource) -> str:
    return str(resource.properties.take("Cluster", "default"))


def _is_steady(resource: Resource) -> bool:
    """
    Tell whether one deployment runs as many tasks as it shall, read back from the service.

    Counts follow what really runs, so without a data plane (nothing starts
    tasks) only a service with DesiredCount 0 becomes steady, as on an empty
    cluster of AWS.
    """
    service = _service(resource)
    if service is None or service["status"] != _ACTIVE:
        raise ResourceFailedError("the service is gone")
    deployments = service.get("deployments", [])
    for deployment in deployments:
        _refuse_broken(service, deployment)
    return len(deployments) == 1 and service["runningCount"] == service["desiredCount"]


def _refuse_broken(service: dict[str, Any], deployment: dict[str, Any]) -> None:
    """Break the circuit as ECS does, if it may: after half the desired count of failed tasks, three at least."""
    breaker = service.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
    if not breaker.get("enable") or deployment["status"] != "PRIMARY":
        return
    half = -(-int(deployment["desiredCount"]) // 2)
    if deployment.get("failedTasks", 0) >= min(max(half, _FEWEST_FAILURES), _MOST_FAILURES):
        said = " ".join(_telling([event["message"] for event in service.get("events", [])]))
        raise ResourceFailedError(f"ECS Deployment Circuit Breaker was triggered. {said}".strip())


def _what_hinders(resource: Resource) -> str:
    service = _service(resource) or {}
    return " ".join(_telling([event["message"] for event in service.get("events", [])])[-1:])


def _telling(messages: list[str]) -> list[str]:
    """Choose the newest messages, the oldest first; where some say why a task ended, those and not the others."""
    causes = [message for message in messages if " stopped: " in message or "failed ELB health checks" in message]
    newest = list(dict.fromkeys(causes))[:1] or list(dict.fromkeys(messages))[:_TOLD_EVENTS]
    return newest[::-1]


def _service_name(resource: Resource) -> str:
    return resource.physical_id.rpartition("/")[2]


_SERVICE_ROW = Row(
    type="AWS::ECS::Service",
    create=_create_service,
    delete=_delete_service,
    settings=(
        Setting((*_SERVICE, "PlacementStrategies", "ForceNewDeployment"), _set_service),
        Setting(("Tags",), _set_tags),
    ),
    attributes={"Name": _service_name, "ServiceArn": lambda resource: resource.physical_id},
    is_stable=_is_steady,
    hindrance=_what_hinders,
)

ROWS: tuple[Row, ...] = (_CLUSTER, _CAPACITY_PROVIDER, _ASSOCIATIONS, _TASK_DEFINITION, _SERVICE_ROW)
