"""
The ECS service scheduler: keeps what runs at what the services ask for.

Each tick reads the services through the API, compares deployments with the
tasks there are, starts and stops what `placement` plans, leads every task one
step on, and publishes counts, deployments and events for the stand-in.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stacks.local_cloud.balancer import Target
from stacks.local_cloud.container_agent import ContainerInstance
from stacks.local_cloud.ledger import Ledger, ServiceView, TaskStatus
from stacks.local_cloud.placement import PlacedTask, Plan, ServiceTarget, plan
from stacks.local_cloud.tasks import Task, TaskLife, TaskOrder

_DESCRIBE_LIMIT: Final = 10
"""Services per DescribeServices (ECS API reference)."""
_KEPT_EVENTS: Final = 100
"""Events ECS keeps per service (ECS API reference, Service)."""


@dataclass(frozen=True, slots=True)
class RestartPace:
    """
    How fast a service that keeps failing is tried again.

    ECS waits longer from failure to failure, up to 27 minutes ("Service
    throttle logic"); here the limit is short enough to be watched.
    """

    first_seconds: float = 1.0
    limit_seconds: float = 30.0
    stable_seconds: float = 20.0
    """A task that ran this long was no failure to start."""

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        return float(min(self.first_seconds * 2 ** min(failures - 1, 30), self.limit_seconds))


@dataclass(slots=True)
class _Deployment:
    id: str
    task_definition: str
    generation: int
    desired: int
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    failed: int = 0


@dataclass(slots=True)
class _Service:
    """What the scheduler remembers of one service."""

    arn: str
    cluster: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    deployments: list[_Deployment] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    events: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT_EVENTS))
    failures: int = 0
    not_before: float = 0.0
    is_steady: bool = False

    @property
    def name(self) -> str:
        return self.arn.rsplit("/", 1)[-1]

    @property
    def load_balancers(self) -> tuple[str, ...]:
        entries = self.asked.get("loadBalancers", [])
        return tuple(entry["loadBalancerName"] for entry in entries if "loadBalancerName" in entry)

    @property
    def desired(self) -> int:
        return int(self.asked["desiredCount"]) if self.asked.get("status") == "ACTIVE" else 0

    def say(self, message: str) -> None:
        """Add an event, unless it says what the last one said."""
        text = f"(service {self.name}) {message}"
        if not self.events or self.events[0]["message"] != text:
            self.events.appendleft({"id": str(uuid.uuid4()), "createdAt": time.time(), "message": text})


class Scheduler:
    """
    Runs the services of every cluster; used from one thread.

    Args:
        client: Gives boto3 clients of the embedded cloud.
        ledger: Where calls leave what moto loses, and where views are published.
        life: Starts and stops tasks.
        pace: How fast failing services are tried again.
    """

    def __init__(self, client: Callable[[str], Any], ledger: Ledger, life: TaskLife, pace: RestartPace) -> None:
        self._client = client
        self._ledger = ledger
        self._life = life
        self._pace = pace
        self._services: dict[str, _Service] = {}

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way: every service steady, no task on its way out."""
        return all(service.is_steady for service in self._services.values())

    def read_services(self, clusters: Iterable[str]) -> None:
        """Read every service; one that is no longer told of runs down."""
        ecs = self._client("ecs")
        told: set[str] = set()
        for cluster in clusters:
            arns = [arn for page in ecs.get_paginator("list_services").paginate(cluster=cluster)
                    for arn in page["serviceArns"]]  # fmt: skip
            for start in range(0, len(arns), _DESCRIBE_LIMIT):
                chunk = arns[start : start + _DESCRIBE_LIMIT]
                for asked in ecs.describe_services(cluster=cluster, services=chunk)["services"]:
                    service = self._services.setdefault(asked["serviceArn"], _Service(asked["serviceArn"], cluster))
                    service.asked = asked
                    told.add(service.arn)
        for arn in set(self._services) - told:
            self._services[arn].asked = {**self._services[arn].asked, "status": "INACTIVE"}

    def tick(self, instances: Sequence[ContainerInstance]) -> None:
        """Take one step for every service, as it was read last."""
        self._follow_stop_requests()
        for service in list(self._services.values()):
            self._lead_tasks(service, instances)
            self._follow_deployment(service)
            self._place(service, instances)
            self._publish(service)

    def targets(self) -> dict[str, Target]:
        """Say what is reachable on which instance: the published ports of its task."""
        return {
            task.order.instance.instance_id: Target(task.order.instance.address, frozenset(task.container.ports))
            for task in self.tasks()
            if task.container is not None
        }

    def tasks(self) -> Iterator[Task]:
        """Every task of which something is left."""
        for service in self._services.values():
            yield from service.tasks

    # -- reading -------------------------------------------------------------------
    def _follow_stop_requests(self) -> None:
        requests = self._ledger.take_stop_requests()
        for task in list(self.tasks()):
            if task.view.arn in requests and task.is_wanted:
                self._life.stop(task, code="UserInitiated", reason=requests[task.view.arn])

    # -- tasks ---------------------------------------------------------------------
    def _lead_tasks(self, service: _Service, instances: Sequence[ContainerInstance]) -> None:
        """Lead every task one step on, and let go of those that are over."""
        present = {instance.instance_id for instance in instances}
        for task in service.tasks:
            was_wanted = task.is_wanted
            instance_id = task.order.instance.instance_id
            if instance_id not in present:
                self._life.kill(task, code="TerminationNotice", reason=f"Host EC2 (instance {instance_id}) terminated.")
            self._life.advance(task)
            if task.is_over and was_wanted:
                self._note_failure(service, task)
            elif task.is_wanted and (failing := self._failing_load_balancer(service, task)):
                reason = f"Task failed ELB health checks in (elb {failing})"
                service.say(f"(task {task.id}) failed ELB health checks in (elb {failing}).")
                self._life.stop(task, code="ServiceSchedulerInitiated", reason=reason)
                self._count_failure(service, task)
        for task in [task for task in service.tasks if task.is_over]:
            service.tasks.remove(task)
            service.say(f"has stopped 1 running tasks: (task {task.id}).")
        if not service.tasks and service.asked.get("status") != "ACTIVE":
            del self._services[service.arn]

    def _failing_load_balancer(self, service: _Service, task: Task) -> str | None:
        """Find a load balancer whose checks the task failed, once its grace period is over."""
        grace = self._grace_seconds(service)
        if task.view.started_at is None or time.time() < task.view.started_at + grace:
            return None
        instance_id = task.order.instance.instance_id
        for name in service.load_balancers:
            health = self._ledger.health_of(name) or ()
            if any(one.instance_id == instance_id and one.has_failed for one in health):
                return name
        return None

    def _grace_seconds(self, service: _Service) -> float:
        return float(service.asked.get("healthCheckGracePeriodSeconds") or 0)

    def _note_failure(self, service: _Service, task: Task) -> None:
        code = "" if task.view.exit_code is None else f" Exit code {task.view.exit_code}."
        service.say(f"(task {task.id}) stopped: {task.view.stopped_reason.rstrip('.')}.{code}")
        self._count_failure(service, task)

    def _count_failure(self, service: _Service, task: Task) -> None:
        for deployment in service.deployments:
            if deployment.id == task.order.deployment_id:
                deployment.failed += 1
        lived = time.time() - (task.view.started_at or time.time())
        service.failures = 1 if lived > self._pace.stable_seconds else service.failures + 1
        service.not_before = time.monotonic() + self._pace.delay(service.failures)
        if service.failures > 1:
            service.say("is unable to consistently start tasks successfully.")

    # -- deployments ---------------------------------------------------------------
    def _follow_deployment(self, service: _Service) -> None:
        """Begin a new deployment when the definition changed or one was forced; drop old ones without tasks."""
        if not service.asked.get("taskDefinition"):
            return
        definition, generation = service.asked["taskDefinition"], self._ledger.given(service.arn).generation
        primary = service.deployments[0] if service.deployments else None
        if primary is None or (primary.task_definition, primary.generation) != (definition, generation):
            identifier = f"ecs-svc/{uuid.uuid4().int % 10**19:019d}"
            service.deployments.insert(0, _Deployment(identifier, definition, generation, service.desired))
            service.failures, service.not_before = 0, 0.0
        elif primary.desired != service.desired:
            primary.desired, primary.updated_at = service.desired, time.time()
        busy = {task.order.deployment_id for task in service.tasks}
        service.deployments[1:] = [older for older in service.deployments[1:] if older.id in busy]

    def _place(self, service: _Service, instances: Sequence[ContainerInstance]) -> None:
        if not service.deployments:
            return
        decided = plan(self._target(service), self._placed(service), self._free(service, instances))
        by_id = {instance.instance_id: instance for instance in instances}
        if time.monotonic() >= service.not_before:
            self._start(service, [by_id[instance_id] for instance_id in decided.start_on])
        for task in service.tasks:
            if task.view.arn in decided.stop:
                reason = f"Scaling activity initiated by (deployment {service.deployments[0].id})"
                self._life.stop(task, code="ServiceSchedulerInitiated", reason=reason)
        self._say_what_hinders(service, decided, instances)

    def _target(self, service: _Service) -> ServiceTarget:
        configuration = service.asked.get("deploymentConfiguration", {})
        return ServiceTarget(
            desired=service.desired,
            minimum_percent=configuration.get("minimumHealthyPercent", 100),
            maximum_percent=configuration.get("maximumPercent", 200),
            primary=service.deployments[0].id,
        )

    def _placed(self, service: _Service) -> list[PlacedTask]:
        return [
            PlacedTask(task.view.arn, task.order.deployment_id, is_healthy=self._is_healthy(service, task))
            for task in service.tasks
            if task.is_wanted
        ]

    def _is_healthy(self, service: _Service, task: Task) -> bool:
        """Running, and in service at every load balancer of the service."""
        if task.view.status is not TaskStatus.RUNNING:
            return False
        instance_id = task.order.instance.instance_id
        return all(
            any(one.instance_id == instance_id and one.is_in_service for one in self._ledger.health_of(name) or ())
            for name in service.load_balancers
        )

    def _free(self, service: _Service, instances: Sequence[ContainerInstance]) -> list[str]:
        taken = {task.order.instance.instance_id for task in self.tasks()}
        return [
            instance.instance_id
            for instance in instances
            if instance.cluster == service.cluster and instance.is_active and instance.instance_id not in taken
        ]

    def _start(self, service: _Service, instances: Sequence[ContainerInstance]) -> None:
        primary = service.deployments[0]
        for instance in instances:
            order = TaskOrder(
                service_arn=service.arn,
                cluster=service.cluster,
                deployment_id=primary.id,
                task_definition=primary.task_definition,
                load_balancers=service.load_balancers,
                instance=instance,
            )
            task = self._life.start(order)
            if task.is_over:
                self._note_failure(service, task)
                return  # the others would fail alike, and at once
            service.tasks.append(task)
            service.say(f"has started 1 tasks: (task {task.id}).")

    def _say_what_hinders(self, service: _Service, decided: Plan, instances: Sequence[ContainerInstance]) -> None:
        if any(not task.is_wanted for task in service.tasks):
            return  # a stopping task makes room
        if decided.lacks_instance:
            has_any = any(instance.cluster == service.cluster for instance in instances)
            service.say(
                "was unable to place a task because no container instance met all of its requirements. Reason: "
                + ("Every container instance is already using a port required by your task." if has_any else
                   "No Container Instances were found in your cluster.")
            )  # fmt: skip
        elif decided.is_stuck:
            service.say(
                "was unable to stop or start tasks during a deployment because of the service deployment"
                " configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
            )

    # -- publishing ----------------------------------------------------------------
    def _publish(self, service: _Service) -> None:
        if not service.deployments or service.arn not in self._services:
            return
        placed = self._placed(service)
        is_steady = (
            len(service.deployments) == 1
            and len(service.tasks) == len(placed) == service.desired
            and all(task.is_healthy for task in placed)
        )
        if is_steady and not service.is_steady:
            service.say("has reached a steady state.")
            service.failures = 0
        service.is_steady = is_steady
        views = [self._describe(service, deployment) for deployment in service.deployments]
        primary = service.deployments[0]
        self._ledger.note_service(
            ServiceView(
                arn=service.arn,
                task_definition=primary.task_definition,
                generation=primary.generation,
                running=sum(view["runningCount"] for view in views),
                pending=sum(view["pendingCount"] for view in views),
                deployments=tuple(views),
                events=tuple(service.events),
            )
        )

    def _describe(self, service: _Service, deployment: _Deployment) -> dict[str, Any]:
        """Say a deployment in the API's words; behind a Classic Load Balancer ECS gives it no rollout state."""
        statuses = [task.view.status for task in service.tasks if task.order.deployment_id == deployment.id]
        is_primary = deployment is service.deployments[0]
        described: dict[str, Any] = {
            "id": deployment.id,
            "status": "PRIMARY" if is_primary else "ACTIVE",
            "taskDefinition": deployment.task_definition,
            "desiredCount": deployment.desired if is_primary else 0,
            "pendingCount": statuses.count(TaskStatus.PENDING),
            "runningCount": statuses.count(TaskStatus.RUNNING),
            "failedTasks": deployment.failed,
            "createdAt": deployment.created_at,
            "updatedAt": deployment.updated_at,
        }
        strategy = service.asked.get("capacityProviderStrategy")
        described |= {"capacityProviderStrategy": strategy} if strategy else {"launchType": "EC2"}
        if not service.load_balancers:
            is_over = described["runningCount"] == deployment.desired and len(service.deployments) == 1
            described["rolloutState"] = "COMPLETED" if is_over else "IN_PROGRESS"
        return described
