"""
What the embedded cloud's control plane deploys, really running.

Each sweep walks: clusters -> container instances (the agents) -> services and
tasks (the scheduler) -> load balancers (the balancer). Everything is read
back through the APIs, so a wrong template breaks here as it would on AWS.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from service.contract import PUBLIC_PORT
from stacks.errors import DeploymentError
from stacks.local_cloud.addresses import AddressPool
from stacks.local_cloud.balancer import Balancer
from stacks.local_cloud.balancer_settings import BalancerSettings, read_settings
from stacks.local_cloud.balancer_stand_in import BalancerStandIn, WatchStandIn
from stacks.local_cloud.container_agent import ContainerAgents
from stacks.local_cloud.credentials import CredentialsEndpoint
from stacks.local_cloud.forwarding import StandIn
from stacks.local_cloud.ledger import Ledger
from stacks.local_cloud.scheduler import RestartPace, Scheduler
from stacks.local_cloud.stand_in import EcsStandIn
from stacks.local_cloud.task_output import LogShipper, OnOutput
from stacks.local_cloud.task_process import Watchdog
from stacks.local_cloud.tasks import Premises, TaskLife, TaskServices
from stacks.naming import image_tree_digest

_SETTLED_SECONDS: Final = 2.0
"""Between sweeps while nothing is under way; a call that changes something wakes us at once."""
_BREATH_SECONDS: Final = 0.02
"""Between sweeps in any case."""
_STOP_SECONDS: Final = 10.0
"""For all tasks to end on SIGTERM when the data plane stops; then they are killed."""
_KILL_SECONDS: Final = 5.0


def _hear_nothing(_said: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class PlaneOptions:
    """What may differ from one data plane to another."""

    command: Sequence[str] = (sys.executable, "-m", "service")
    """What a task runs in place of the image's entry point, in the working tree."""
    on_output: OnOutput = _hear_nothing
    """Told every line of every task, from several threads."""
    report: Callable[[str], None] = _hear_nothing
    """Told one line per thing that is wrong."""
    pace: RestartPace = field(default_factory=RestartPace)
    second: float = 1.0
    """How long a second the load balancer was told really lasts; tests make it shorter."""
    moving_seconds: float = 0.25
    """Between sweeps while something is under way."""
    image_digest: Callable[[Path], str] = image_tree_digest


class DataPlane:
    """
    Container instances, tasks and load balancers of one embedded cloud; a context manager.

    Its stand-ins must stand before the cloud's APIs:
    `cloud.stand_ins.extend(plane.stand_ins())`, before anything is deployed.

    Args:
        client: Gives boto3 clients of the embedded cloud, `LocalCloud.client`.
        open_door: Says where the tasks of an instance find the embedded cloud, `LocalCloud.open_door`.
        root: The working tree, whose `service` is the image.
        options: What else.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        open_door: Callable[[str, str], str],
        root: Path,
        options: PlaneOptions | None = None,
    ) -> None:
        options = options or PlaneOptions()
        self._client = client
        self._report = options.report
        self._moving_seconds = options.moving_seconds
        self._ledger = Ledger()
        self._addresses = AddressPool()
        self._balancer = Balancer(self._addresses, options.report, second=options.second)
        self._credentials = CredentialsEndpoint(client("sts"))
        self._logs = LogShipper(client("logs"))
        self._watchdog = Watchdog()
        self._agents = ContainerAgents(client, self._addresses, options.report)
        premises = Premises(root, options.command, open_door, options.image_digest, options.on_output)
        services = TaskServices(self._credentials, self._logs, self._watchdog, self._balancer)
        self._life = TaskLife(client, self._ledger, premises, services)
        self._scheduler = Scheduler(client, self._ledger, self._life, options.pace)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_sweeping, name="data-plane", daemon=True)
        self._last_fault = ""
        self._told_fault = ""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def stand_ins(self) -> tuple[StandIn, ...]:
        """Give what must stand before the APIs of the embedded cloud."""
        return (
            EcsStandIn(self._ledger),
            BalancerStandIn(self._ledger),
            WatchStandIn("autoscaling", self._ledger),
            WatchStandIn("ec2", self._ledger),
        )

    def address_of_load_balancer(self, name: str, port: int = PUBLIC_PORT) -> tuple[str, int] | None:
        """
        Say where a load balancer's port really listens.

        The address is one of 127.0.0.0/8; the port is the one asked for, or
        one above 1024 where this user may not listen below. None while the
        load balancer does not listen there.
        """
        return self._balancer.endpoint(name, port)

    def start(self) -> None:
        """Start following the APIs."""
        self._ledger.health_of = self._balancer.health
        self._watchdog.start()
        self._logs.start()
        self._credentials.start()
        self._balancer.start()
        self._thread.start()

    def stop(self) -> None:
        """End every process, listener and thread, each within its bound; can be called half-way up."""
        self._stopping.set()
        self._ledger.changed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._end_tasks()
        self._balancer.stop()
        self._credentials.stop()
        self._logs.stop()
        self._watchdog.stop()
        self._agents.release_all()
        self._addresses.release_all()

    def _end_tasks(self) -> None:
        """SIGTERM to all at once, then SIGKILL to whoever is left."""
        processes = [task.process for task in self._scheduler.tasks() if task.process is not None]
        for process in processes:
            process.ask_to_stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join(_KILL_SECONDS)

    # -- the loop --------------------------------------------------------------------
    def _keep_sweeping(self) -> None:
        while not self._stopping.is_set():
            self._ledger.changed.clear()
            self._sweep_safely()
            is_quiet = self._scheduler.is_settled and not self._last_fault
            self._ledger.changed.wait(_SETTLED_SECONDS if is_quiet else self._moving_seconds)
            self._stopping.wait(_BREATH_SECONDS)

    def _sweep_safely(self) -> None:
        """
        Sweep; a fault is tried again, for what runs must not stop because of it.

        Said is one that stays, once: a resource deleted while we look at it is
        none.
        """
        fault = ""
        try:
            self._sweep()
        except (ClientError, BotoCoreError, DeploymentError, OSError) as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - the edge of a thread that everything else relies on
            fault = f"{type(error).__name__}: {error}"
        if fault and fault == self._last_fault and fault != self._told_fault:
            self._report(fault)
            self._told_fault = fault
        self._last_fault = fault

    def _sweep(self) -> None:
        names = self._active_clusters()
        # Services first: none may be placed by a look at the instances that is older than the service.
        self._scheduler.read_services(names)
        instances = self._agents.observe({name: self._ready_instances(name) for name in names})
        self._ledger.note_instances(Counter(instance.cluster for instance in instances))
        self._scheduler.tick(instances)
        self._balancer.apply(self._load_balancers(), self._scheduler.targets())

    def _active_clusters(self) -> list[str]:
        """Read the names of the clusters."""
        ecs = self._client("ecs")
        arns = ecs.list_clusters()["clusterArns"]
        described = ecs.describe_clusters(clusters=arns)["clusters"] if arns else []
        return [cluster["clusterName"] for cluster in described if cluster["status"] == "ACTIVE"]

    def _ready_instances(self, cluster: str) -> frozenset[str]:
        """Read the container instances that may take tasks; one that drains may not."""
        ecs = self._client("ecs")
        return frozenset(ecs.list_container_instances(cluster=cluster, status="ACTIVE")["containerInstanceArns"])

    def _load_balancers(self) -> list[BalancerSettings]:
        elb = self._client("elb")
        return [
            read_settings(
                description,
                policies=elb.describe_load_balancer_policies(LoadBalancerName=description["LoadBalancerName"])[
                    "PolicyDescriptions"
                ],
                attributes=elb.describe_load_balancer_attributes(LoadBalancerName=description["LoadBalancerName"])[
                    "LoadBalancerAttributes"
                ],
            )
            for description in elb.describe_load_balancers()["LoadBalancerDescriptions"]
        ]
