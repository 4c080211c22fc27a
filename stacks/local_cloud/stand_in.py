"""
What stands before moto's ECS API while the data plane runs.

moto accepts fields of an ECS service that it never returns, and keeps its
tasks pending for ever. The stand-in keeps what was given, refuses what ECS
refuses, and lays what really runs (the ledger) over moto's answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from werkzeug.wrappers import Request, Response

from stacks.local_cloud.ledger import Ledger, RegisteredDefinition, TaskStatus, TaskView

Forward = Callable[[], Response]
Document = dict[str, Any]  # one JSON object of the ECS API

KEPT_SERVICE_FIELDS: Final = (
    "capacityProviderStrategy",
    "deploymentConfiguration",
    "healthCheckGracePeriodSeconds",
    "placementConstraints",
    "placementStrategy",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
)
"""What CreateService and UpdateService take and moto 5.2 does not return."""

DEFAULT_DEPLOYMENT_CONFIGURATION: Final = {"maximumPercent": 200, "minimumHealthyPercent": 100}
"""ECS API reference, DeploymentConfiguration, REPLICA services."""

_OK: Final = 200


class RefusedCallError(Exception):
    """A call ECS answers with a client error; the text is what the caller reads."""

    code = "InvalidParameterException"


class EcsStandIn:
    """Stands before moto's ECS; see the module for what it adds."""

    service = "ecs"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._before: Mapping[str, Callable[[Document], Document | None]] = {
            "CreateService": self._check_create,
            "UpdateService": self._check_update,
            "RunTask": self._refuse_run_task,
            "StopTask": self._stop_task,
        }
        self._after: Mapping[str, Callable[[Document, Document], None]] = {
            "RegisterTaskDefinition": self._learn_definition,
            "CreateService": self._after_create,
            "UpdateService": self._after_update,
            "DeleteService": self._after_delete,
            "DescribeServices": self._after_describe_services,
            "ListServices": self._after_list_services,
            "DescribeTasks": self._after_describe_tasks,
            "ListTasks": self._after_list_tasks,
            "DescribeClusters": self._after_describe_clusters,
        }

    def handle(self, request: Request, forward: Forward) -> Response:
        """Refuse or answer what ECS would; else forward and lay what really runs over the answer."""
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        asked: Document = json.loads(request.get_data() or b"{}")
        try:
            answer = self._before[operation](asked) if operation in self._before else None
        except RefusedCallError as refused:
            return _json_response({"__type": refused.code, "message": str(refused)}, status=400)
        if answer is not None:
            return _json_response(answer, status=_OK)
        response = forward()
        if response.status_code == _OK and operation in self._after:
            told: Document = json.loads(response.get_data())
            self._after[operation](asked, told)
            response.set_data(json.dumps(told))
        if not operation.startswith(("Describe", "List")):
            self._ledger.changed.set()
        return response

    # -- before moto sees the call ---------------------------------------------
    def _check_create(self, asked: Document) -> None:
        if asked.get("launchType") and asked.get("capacityProviderStrategy"):
            raise RefusedCallError(
                "Specifying both a launch type and capacity provider strategy is not supported."
                " Remove one and try again."
            )
        self._check_load_balancers(asked.get("taskDefinition", ""), asked.get("loadBalancers", []))

    def _check_update(self, asked: Document) -> None:
        """An update may change either side; only what it gives itself can be compared here."""
        if "loadBalancers" in asked and "taskDefinition" in asked:
            self._check_load_balancers(asked["taskDefinition"], asked["loadBalancers"])

    def _check_load_balancers(self, task_definition: str, load_balancers: list[Document]) -> None:
        """Compare as ECS does: the named container must be in the definition and declare the port."""
        definition = self._ledger.definition(task_definition)
        if definition is None:
            return
        for entry in load_balancers:
            container, port = entry.get("containerName", ""), entry.get("containerPort")
            if container not in definition.container_ports:
                raise RefusedCallError(f"The container {container} does not exist in the task definition.")
            if port not in definition.container_ports[container]:
                raise RefusedCallError(f"The container {container} did not have a container port {port} defined.")

    def _refuse_run_task(self, _asked: Document) -> None:
        raise RefusedCallError("the embedded cloud runs the tasks of services alone; make a service instead of RunTask")

    def _stop_task(self, asked: Document) -> Document | None:
        """Stop a living task in the order ECS does; a stopped one is moto's to forget."""
        task = self._ledger.task(asked.get("task", ""))
        if task is None or task.status is TaskStatus.STOPPED:
            return None
        self._ledger.request_stop(task.arn, asked.get("reason") or "Task stopped by user")
        return {"task": {"taskArn": task.arn, **task_overlay(task), "desiredStatus": "STOPPED"}}

    # -- after moto answered ---------------------------------------------------
    def _learn_definition(self, _asked: Document, told: Document) -> None:
        registered = told["taskDefinition"]
        ports = {
            container["name"]: frozenset(mapping["containerPort"] for mapping in container.get("portMappings", []))
            for container in registered["containerDefinitions"]
        }
        self._ledger.learn_definition(RegisteredDefinition(registered["taskDefinitionArn"], ports))

    def _after_create(self, asked: Document, told: Document) -> None:
        self._ledger.keep_created(told["service"]["serviceArn"], _kept(asked))
        self._overlay_service(told["service"])

    def _after_update(self, asked: Document, told: Document) -> None:
        is_forced = bool(asked.get("forceNewDeployment"))
        self._ledger.keep_updated(told["service"]["serviceArn"], _kept(asked), is_forced=is_forced)
        self._overlay_service(told["service"])

    def _after_delete(self, _asked: Document, told: Document) -> None:
        self._ledger.keep_deleted(told["service"]["serviceArn"])
        self._overlay_service(told["service"])

    def _after_describe_services(self, _asked: Document, told: Document) -> None:
        for service in told["services"]:
            self._overlay_service(service)

    def _after_list_services(self, _asked: Document, told: Document) -> None:
        told["serviceArns"] = [arn for arn in told["serviceArns"] if not self._is_gone(arn)]

    def _after_describe_tasks(self, _asked: Document, told: Document) -> None:
        for task in told["tasks"]:
            view = self._ledger.task(task["taskArn"])
            if view is not None:
                containers = task.get("containers") or [{}]
                task.update(task_overlay(view))
                containers[0].update(container_overlay(view))
                task["containers"] = containers

    def _after_list_tasks(self, asked: Document, told: Document) -> None:
        """
        Filter as ECS does, by service and desired status (RUNNING unless asked otherwise); moto does neither.

        moto also takes a task whose instance is gone for running, so what
        stopped is added where no other filter is asked for.
        """
        service = asked.get("serviceName", "").rsplit("/", 1)[-1]
        desired = asked.get("desiredStatus", "RUNNING")
        arns = dict.fromkeys(told["taskArns"])
        if not {"family", "containerInstance", "startedBy"} & set(asked):
            mark = f":task/{asked.get('cluster', 'default').rsplit('/', 1)[-1]}/"
            arns |= dict.fromkeys(task.arn for task in self._ledger.tasks() if mark in task.arn)
        told["taskArns"] = [arn for arn in arns if self._is_listed(arn, service, desired)]

    def _after_describe_clusters(self, _asked: Document, told: Document) -> None:
        for cluster in told["clusters"]:
            name = cluster["clusterName"]
            mark = f":task/{name}/"
            cluster["registeredContainerInstancesCount"] = self._ledger.instances(name)
            cluster["activeServicesCount"] = self._ledger.active_services(name)
            statuses = [task.status for task in self._ledger.live_tasks() if mark in task.arn]
            cluster["pendingTasksCount"] = statuses.count(TaskStatus.PENDING)
            cluster["runningTasksCount"] = len(statuses) - cluster["pendingTasksCount"]

    def _is_listed(self, arn: str, service: str, desired: str) -> bool:
        task = self._ledger.task(arn)
        if task is None:
            return not service
        return task.status.desired == desired and service in {"", task.service_name}

    def _is_gone(self, arn: str) -> bool:
        return self._ledger.given(arn).is_deleted and not self._has_tasks(arn)

    def _has_tasks(self, arn: str) -> bool:
        return any(task.service_arn == arn for task in self._ledger.live_tasks())

    def _overlay_service(self, service: Document) -> None:
        """Lay what was given and what runs over moto's service, in place."""
        arn = service["serviceArn"]
        given, view = self._ledger.given(arn), self._ledger.service(arn)
        definition = self._ledger.definition(service.get("taskDefinition", ""))
        if definition is not None:
            service["taskDefinition"] = definition.arn
        service.update(given.fields)
        service["deploymentConfiguration"] = {
            **DEFAULT_DEPLOYMENT_CONFIGURATION,
            **given.fields.get("deploymentConfiguration", {}),
        }
        if service.get("capacityProviderStrategy"):
            service.pop("launchType", None)
        if given.is_deleted:
            service["status"] = "DRAINING" if self._has_tasks(arn) else "INACTIVE"
        service["runningCount"] = view.running if view else 0
        service["pendingCount"] = view.pending if view else 0
        if view is None:
            service["deployments"] = [_fresh_deployment(service)]
        else:
            is_current = (view.task_definition, view.generation) == (service["taskDefinition"], given.generation)
            older = [{**deployment, "status": "ACTIVE"} for deployment in view.deployments]
            service["deployments"] = list(view.deployments) if is_current else [_fresh_deployment(service), *older]
            service["events"] = list(view.events)


def _fresh_deployment(service: Document) -> Document:
    """Show the deployment a call has just asked for and the scheduler has not seen yet."""
    moto = service["deployments"][0]
    return {
        "id": moto["id"],
        "status": "PRIMARY",
        "taskDefinition": service["taskDefinition"],
        "desiredCount": service["desiredCount"],
        "runningCount": 0,
        "pendingCount": 0,
        "failedTasks": 0,
        "createdAt": moto["createdAt"],
        "updatedAt": moto["updatedAt"],
    }


def task_overlay(task: TaskView) -> Document:
    """Say in the API's words what is known of a task."""
    return {
        "lastStatus": str(task.status),
        "desiredStatus": task.status.desired,
        "launchType": "EC2",
        "startedBy": task.started_by,
        "group": f"service:{task.service_name}",
        "createdAt": task.created_at,
        **_present(
            startedAt=task.started_at,
            stoppedAt=task.stopped_at,
            stopCode=task.stop_code,
            stoppedReason=task.stopped_reason,
        ),
    }


def container_overlay(task: TaskView) -> Document:
    """Say in the API's words what is known of a task's one container."""
    last = "RUNNING" if task.status in {TaskStatus.DEACTIVATING, TaskStatus.STOPPING} else str(task.status)
    overlay = {
        "taskArn": task.arn,
        "lastStatus": last,
        "healthStatus": "UNKNOWN",  # no container health check behind a Classic Load Balancer
        "image": task.image,
        "networkBindings": [
            {"bindIP": task.address, "containerPort": port, "hostPort": port, "protocol": "tcp"} for port in task.ports
        ],
        **_present(imageDigest=task.image.partition("@")[2], reason=task.container_reason),
    }
    return overlay if task.exit_code is None else {**overlay, "exitCode": task.exit_code}


def _present(**values: Any) -> Document:
    return {name: value for name, value in values.items() if value not in {None, ""}}


def _kept(asked: Document) -> Document:
    return {name: asked[name] for name in KEPT_SERVICE_FIELDS if name in asked}


def _json_response(document: Document, *, status: int) -> Response:
    return Response(json.dumps(document), status=status, content_type="application/x-amz-json-1.1")
