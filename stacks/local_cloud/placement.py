"""
Which tasks to start and which to stop: the ECS service scheduler's arithmetic.

Pure. While a deployment runs, the tasks in all stay at or under
floor(desired * maximumPercent), and those that answer stay at or over
ceil(desired * minimumHealthyPercent) (ECS developer guide, "Rolling update
deployments"). Host ports are static, so an instance holds one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """What the service shall come to."""

    desired: int
    minimum_percent: int
    maximum_percent: int
    primary: str
    """Id of the deployment every task shall belong to in the end."""

    @property
    def minimum_healthy(self) -> int:
        """How many tasks must answer at any time; a fraction counts as one more."""
        return -(-self.desired * self.minimum_percent // 100)

    @property
    def maximum(self) -> int:
        """How many tasks there may be at any time; a fraction does not count."""
        return self.desired * self.maximum_percent // 100


@dataclass(frozen=True, slots=True)
class PlacedTask:
    """A task that is to run on, pending or running."""

    arn: str
    deployment: str
    is_healthy: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now."""

    start_on: tuple[str, ...] = ()
    """Instances, each of which gets one task of the primary deployment."""
    stop: tuple[str, ...] = ()
    """Task ARNs."""
    lacks_instance: bool = False
    """A task could run if there were a free instance."""
    is_stuck: bool = False
    """The percentages allow neither a start nor a stop."""


def plan(target: ServiceTarget, tasks: Sequence[PlacedTask], free_instances: Sequence[str]) -> Plan:
    """
    Decide the next step.

    Args:
        target: What the service shall come to.
        tasks: Oldest first; those being stopped are no longer among them.
        free_instances: Without any task, a stopping one included.
    """
    current = [task for task in tasks if task.deployment == target.primary]
    old = [task for task in tasks if task.deployment != target.primary]
    wanted = max(target.desired - len(current), 0)
    room = max(target.maximum - len(tasks), 0)
    start_on = tuple(free_instances[: min(wanted, room)])

    excess_current = _least_useful(current)[: max(len(current) - target.desired, 0)]
    # Old tasks go when the new ones are there, or when they stand in a new one's way.
    too_many = len(tasks) + len(start_on) - target.desired - len(excess_current)
    in_the_way = wanted - len(start_on)
    spare = sum(task.is_healthy for task in tasks) - target.minimum_healthy
    spare -= sum(task.is_healthy for task in excess_current)
    excess_old = []
    for task in _least_useful(old)[: max(too_many, in_the_way, 0)]:
        if task.is_healthy and spare <= 0:
            break
        spare -= task.is_healthy
        excess_old.append(task)

    stop = tuple(task.arn for task in (*excess_current, *excess_old))
    waits = wanted > 0 and not start_on and not stop
    return Plan(
        start_on=start_on,
        stop=stop,
        lacks_instance=waits and room > 0 and not free_instances,
        is_stuck=waits and room == 0 and all(task.is_healthy for task in tasks),
    )


def _least_useful(tasks: Sequence[PlacedTask]) -> list[PlacedTask]:
    """Those that do not answer first, then the youngest."""
    youngest_first = tasks[::-1]
    return sorted(youngest_first, key=lambda task: task.is_healthy)
