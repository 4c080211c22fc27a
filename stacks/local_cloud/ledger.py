"""
What really runs: written by those who run it, read by those who answer for it.

The scheduler notes its tasks and services here, the balancer the health of
its instances, and the stand-ins lay both over what moto's APIs say. In the
other direction the stand-ins keep what a call gave and moto loses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

_KEPT_STOPPED_TASKS: Final = 100
"""Stopped tasks stay visible; AWS shows them for about an hour (ECS API reference, DescribeTasks)."""


class TaskStatus(StrEnum):
    """Where a task stands in its life (ECS developer guide, "Task lifecycle")."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"

    @property
    def desired(self) -> str:
        """What ECS calls the desired status of a task that stands here."""
        return "RUNNING" if self in {TaskStatus.PENDING, TaskStatus.RUNNING} else "STOPPED"


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task as the API shall show it; times are seconds since the epoch."""

    arn: str
    service_arn: str
    status: TaskStatus
    image: str = ""
    started_by: str = ""
    created_at: float = 0.0
    started_at: float | None = None
    stopped_at: float | None = None
    stop_code: str = ""
    stopped_reason: str = ""
    container_reason: str = ""
    exit_code: int | None = None
    address: str = ""
    ports: tuple[int, ...] = ()

    @property
    def service_name(self) -> str:
        """The name at the end of the service's ARN."""
        return self.service_arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service as the API shall show it; deployments and events have the API's own shape, newest first."""

    arn: str
    task_definition: str
    """ARN of what the primary deployment runs."""
    generation: int
    """Of the primary deployment, see `GivenService`."""
    running: int
    pending: int
    deployments: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class GivenService:
    """What calls gave for a service and moto does not return."""

    fields: Mapping[str, Any]
    generation: int
    """Grows with every forced deployment."""
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class InstanceHealth:
    """One registered instance as DescribeInstanceHealth shows it."""

    instance_id: str
    state: str
    reason_code: str
    description: str

    @property
    def is_in_service(self) -> bool:
        """Whether the balancer sends new connections there."""
        return self.state == "InService"

    @property
    def has_failed(self) -> bool:
        """Whether health checks failed, as opposed to not yet passed."""
        return not self.is_in_service and self.reason_code == "Instance"


@dataclass(frozen=True, slots=True)
class RegisteredDefinition:
    """Of a task definition what ECS compares a service with: which container declares which container ports."""

    arn: str
    container_ports: Mapping[str, frozenset[int]]


def _nothing_is_registered(_load_balancer: str) -> tuple[InstanceHealth, ...] | None:
    return None


@dataclass(slots=True)
class Ledger:
    """Shared by the data plane's threads and the server's; every access holds the lock for a moment."""

    changed: threading.Event = field(default_factory=threading.Event)
    """Set when a call may have changed what shall run, so that the data plane looks at once."""
    health_of: Callable[[str], tuple[InstanceHealth, ...] | None] = _nothing_is_registered
    """Health by load balancer name, from the balancer; None while it knows no such load balancer."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tasks: dict[str, TaskView] = field(default_factory=dict)
    _services: dict[str, ServiceView] = field(default_factory=dict)
    _given: dict[str, GivenService] = field(default_factory=dict)
    _definitions: dict[str, RegisteredDefinition] = field(default_factory=dict)
    _stop_requests: dict[str, str] = field(default_factory=dict)
    _instances: dict[str, int] = field(default_factory=dict)

    # -- tasks -----------------------------------------------------------------
    def note_task(self, task: TaskView) -> None:
        """Keep the newest view of a task and forget the oldest stopped ones."""
        with self._lock:
            self._tasks[task.arn] = task
            stopped = [arn for arn, known in self._tasks.items() if known.status is TaskStatus.STOPPED]
            for arn in stopped[:-_KEPT_STOPPED_TASKS]:
                del self._tasks[arn]

    def task(self, arn_or_id: str) -> TaskView | None:
        """Find a task by ARN or by the id at its end."""
        wanted = arn_or_id.rsplit("/", 1)[-1]
        with self._lock:
            return next((task for arn, task in self._tasks.items() if arn.rsplit("/", 1)[-1] == wanted), None)

    def tasks(self) -> tuple[TaskView, ...]:
        """Every task, those that stopped a while ago excepted."""
        with self._lock:
            return tuple(self._tasks.values())

    def live_tasks(self) -> tuple[TaskView, ...]:
        """Every task that is not stopped."""
        return tuple(task for task in self.tasks() if task.status is not TaskStatus.STOPPED)

    def request_stop(self, task_arn: str, reason: str) -> None:
        """Note that somebody called StopTask."""
        with self._lock:
            self._stop_requests[task_arn] = reason
        self.changed.set()

    def take_stop_requests(self) -> Mapping[str, str]:
        """Hand over the stop requests by task ARN, once."""
        with self._lock:
            taken, self._stop_requests = self._stop_requests, {}
        return taken

    # -- clusters --------------------------------------------------------------
    def note_instances(self, clusters: Mapping[str, int]) -> None:
        """Keep how many container instances each cluster has, by its name."""
        with self._lock:
            self._instances = dict(clusters)

    def instances(self, cluster: str) -> int:
        """How many container instances a cluster has."""
        with self._lock:
            return self._instances.get(cluster, 0)

    def active_services(self, cluster: str) -> int:
        """How many services of a cluster were created and not deleted."""
        mark = f":service/{cluster}/"
        with self._lock:
            return sum(mark in arn and not given.is_deleted for arn, given in self._given.items())

    # -- services --------------------------------------------------------------
    def note_service(self, service: ServiceView) -> None:
        """Keep the newest view of a service."""
        with self._lock:
            self._services[service.arn] = service

    def service(self, arn: str) -> ServiceView | None:
        """Give the newest view of a service, or None while nobody runs it."""
        with self._lock:
            return self._services.get(arn)

    def given(self, arn: str) -> GivenService:
        """Give what calls gave for a service; empty for one whose calls nobody saw."""
        with self._lock:
            return self._given.get(arn) or GivenService({}, generation=0)

    def keep_created(self, arn: str, fields: Mapping[str, Any]) -> None:
        """Keep what CreateService gave; a service of the same name that was deleted before is forgotten."""
        with self._lock:
            self._services.pop(arn, None)
            before = self._given.get(arn)
            self._given[arn] = GivenService(fields, generation=before.generation + 1 if before else 0)

    def keep_updated(self, arn: str, fields: Mapping[str, Any], *, is_forced: bool) -> None:
        """Lay what UpdateService gave over what was given before."""
        before = self.given(arn)
        merged = GivenService({**before.fields, **fields}, generation=before.generation + is_forced)
        with self._lock:
            self._given[arn] = merged

    def keep_deleted(self, arn: str) -> None:
        """Note that DeleteService was called."""
        before = self.given(arn)
        with self._lock:
            self._given[arn] = GivenService(before.fields, before.generation, is_deleted=True)

    # -- task definitions ------------------------------------------------------
    def learn_definition(self, definition: RegisteredDefinition) -> None:
        """Keep what was registered."""
        with self._lock:
            self._definitions[definition.arn] = definition

    def definition(self, name: str) -> RegisteredDefinition | None:
        """Find a task definition by ARN, by `family:revision`, or the newest by `family`."""
        with self._lock:
            found = [
                definition
                for arn, definition in self._definitions.items()
                if name in {arn, arn.rsplit("/", 1)[-1], arn.rsplit("/", 1)[-1].split(":")[0]}
            ]
        return found[-1] if found else None
