"""Instances that take a task each, and tasks that fit on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.settings import Limits
from stacks import instance_types
from stacks.agreement.promise import Promise
from stacks.environment import Capacity, Environment, Service

_CONNECTION_KIB: Final = 40
"""What an idle connection takes of a task's memory, measured (docs/limits.md)."""


def capacity_promises(environment: Environment) -> Iterator[Promise]:
    """Judge how many instances and tasks there are, of what kind, and what of an instance a task takes."""
    capacity, service = environment.capacity, environment.service
    yield Promise(
        ("capacity.max_instances", "capacity.min_instances"),
        capacity.max_instances >= capacity.min_instances,
        f"at least min_instances, {capacity.min_instances}",
        f"{capacity.max_instances}",
    )
    yield Promise(
        ("service.max_tasks", "service.tasks"),
        service.max_tasks >= service.tasks,
        f"at least tasks, {service.tasks}",
        f"{service.max_tasks}",
    )
    yield Promise(
        ("capacity.max_instances", "service.max_tasks"),
        capacity.max_instances >= service.max_tasks + 1,
        f"at least {service.max_tasks + 1}: one instance for each of max_tasks, and one more to move a task to",
        f"{capacity.max_instances}",
    )
    yield from _type_promises(capacity)
    yield from _size_promises(capacity.instance_type, service)
    yield _memory_promise(service, environment.limits.get("connections"))


def _type_promises(capacity: Capacity) -> Iterator[Promise]:
    obstacle = instance_types.obstacle(capacity.instance_type)
    yield Promise(
        ("capacity.instance_type",),
        obstacle is None,
        f"another type: {obstacle}",
        f'"{capacity.instance_type}"',
    )
    architecture = instance_types.architecture(capacity.instance_type)
    yield Promise(
        ("capacity.architecture", "capacity.instance_type"),
        capacity.architecture is architecture or obstacle is not None,
        f'"{architecture}" for {capacity.instance_type}',
        f'"{capacity.architecture}"',
    )


def _size_promises(instance_type: str, service: Service) -> Iterator[Promise]:
    """An instance bears one task and must have room for all of it; else ECS never places it, and says so in events."""
    size = instance_types.size(instance_type)
    if size is None:
        return
    yield Promise(
        ("service.cpu_units", "capacity.instance_type"),
        service.cpu_units <= size.cpu_units,
        f"at most {size.cpu_units}, all of a {instance_type}",
        f"{service.cpu_units}",
    )
    yield Promise(
        ("service.memory_mib", "capacity.instance_type"),
        service.memory_mib <= size.memory_mib,
        f"at most {size.memory_mib} MiB, what a {instance_type} leaves for tasks",
        f"{service.memory_mib}",
    )


def _memory_promise(service: Service, connections: int | None) -> Promise:
    """Connections that are let in must find room, or the kernel ends the task with all the others of it."""
    most = connections if connections is not None else Limits().connections
    needed = -(-most * _CONNECTION_KIB // 1024)
    return Promise(
        ("service.memory_mib", "limits.connections", "limits"),
        service.memory_mib >= needed,
        f"at least {needed} MiB, what {most} connections take ([limits] connections)",
        f"{service.memory_mib}",
    )
