"""
One task from its start to its end, as agent and ECS together lead it.

A start walks: definition -> image -> log stream -> role credentials ->
process -> registration at the load balancers. An ordered stop walks:
deregistration -> the balancer's draining -> SIGTERM -> stop timeout ->
SIGKILL. Nothing here waits: `advance` takes the next step when its time has
come.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from stacks.local_cloud.authorizer.context import Context
from stacks.local_cloud.authorizer.role_calls import distrust
from stacks.local_cloud.container import Container, Place, TaskCannotStartError, environment_of, read_container
from stacks.local_cloud.container_agent import ContainerInstance
from stacks.local_cloud.credentials import CredentialsAccess, CredentialsEndpoint
from stacks.local_cloud.images import CannotPullError, check_image
from stacks.local_cloud.ledger import Ledger, TaskStatus, TaskView
from stacks.local_cloud.task_output import LogShipper, OnOutput, OutputLine
from stacks.local_cloud.task_process import Launch, TaskProcess, Watchdog

_TASKS_PRINCIPAL: Final = "ecs-tasks.amazonaws.com"


class Draining(Protocol):
    """What a task asks of the balancer."""

    def is_drained(self, name: str, instance_id: str) -> bool:
        """Whether an instance is no longer registered and its last connection is over."""


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """What the scheduler wants started."""

    service_arn: str
    cluster: str
    deployment_id: str
    task_definition: str
    load_balancers: tuple[str, ...]
    instance: ContainerInstance


@dataclass(slots=True, eq=False)
class Task:
    """One task of a service; changed by `TaskLife` alone."""

    order: TaskOrder
    view: TaskView
    container: Container | None = None
    process: TaskProcess | None = None
    registered_at: set[str] = field(default_factory=set)
    kill_at: float | None = None
    has_lost_instance: bool = False

    @property
    def id(self) -> str:
        """The end of its ARN."""
        return self.view.arn.rsplit("/", 1)[-1]

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return self.view.status is TaskStatus.STOPPED

    @property
    def is_wanted(self) -> bool:
        """Whether it is to run on."""
        return self.view.status.desired == "RUNNING"


@dataclass(frozen=True, slots=True)
class Premises:
    """Where the tasks of one data plane run."""

    root: Path
    """The working tree: the tasks' directory and their image."""
    command: Sequence[str]
    open_door: Callable[[str, str], str]
    """Says where an instance finds the embedded cloud, by its id and its address."""
    image_digest: Callable[[Path], str]
    on_output: OnOutput


@dataclass(frozen=True, slots=True)
class TaskServices:
    """What a task is given beside its process."""

    credentials: CredentialsEndpoint
    logs: LogShipper
    watchdog: Watchdog
    balancer: Draining


class TaskLife:
    """
    Starts tasks and leads them to their end; used from one thread.

    Args:
        client: Gives boto3 clients of the embedded cloud.
        ledger: Told of every change.
        premises: Where the tasks run.
        services: What they are given.
    """

    def __init__(
        self, client: Callable[[str], Any], ledger: Ledger, premises: Premises, services: TaskServices
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._premises = premises
        self._services = services

    def start(self, order: TaskOrder) -> Task:
        """Start a task; one that cannot start comes back stopped, with the reason."""
        arn = self._client("ecs").start_task(
            cluster=order.cluster,
            taskDefinition=order.task_definition,
            containerInstances=[order.instance.arn],
            startedBy=order.deployment_id,
            group="service:" + order.service_arn.rsplit("/", 1)[-1],
        )["tasks"][0]["taskArn"]
        view = TaskView(
            arn=arn,
            service_arn=order.service_arn,
            status=TaskStatus.PENDING,
            started_by=order.deployment_id,
            created_at=time.time(),
            address=order.instance.address,
        )
        task = Task(order, view)
        self._note(task)
        try:
            self._launch(task)
        except TaskCannotStartError as error:
            self._end(task, stop_code="TaskFailedToStart", stopped_reason=str(error))
        return task

    def stop(self, task: Task, *, code: str, reason: str) -> None:
        """Begin to stop a task; `advance` goes on from here."""
        for name in sorted(task.registered_at):
            self._deregister(task, name)
        self._note(task, status=TaskStatus.DEACTIVATING, stop_code=code, stopped_reason=reason)

    def kill(self, task: Task, *, code: str, reason: str) -> None:
        """End a task at once: its instance is gone."""
        task.has_lost_instance = True
        if task.is_wanted:
            self.stop(task, code=code, reason=reason)
        if task.process is not None:
            task.process.kill()

    def advance(self, task: Task) -> None:
        """Take the next step of a task's life, if its time has come."""
        if task.is_over or task.process is None:
            return
        if task.process.exit_code is not None:
            self._note_exit(task, task.process.exit_code)
        elif task.view.status is TaskStatus.RUNNING:
            self._register_everywhere(task)
        elif task.view.status is TaskStatus.DEACTIVATING and self._is_drained(task):
            task.process.ask_to_stop()
            task.kill_at = time.monotonic() + self._stop_timeout(task)
            self._note(task, status=TaskStatus.STOPPING)
        elif task.kill_at is not None and time.monotonic() > task.kill_at:
            task.process.kill()

    # -- the start ---------------------------------------------------------------
    def _launch(self, task: Task) -> None:
        definition = self._client("ecs").describe_task_definition(taskDefinition=task.order.task_definition)
        task.container = container = read_container(definition["taskDefinition"])
        self._note(task, image=container.image, ports=container.ports)
        self._pull(container)
        self._open_log(task, container)
        access = self._grant_role(task, container)
        place = Place(
            address=task.order.instance.address,
            endpoint_url=self._door_of(task.order.instance),
            region=task.view.arn.split(":")[3],
            credentials_uri=access.uri,
            credentials_token=access.token,
        )
        launch = Launch(self._premises.command, environment_of(container, place), self._premises.root)
        try:
            task.process = TaskProcess(
                launch,
                watchdog=self._services.watchdog,
                on_line=self._hear(task, container),
                on_exit=self._ledger.changed.set,
            )
        except OSError as error:
            raise TaskCannotStartError(f"CannotStartContainerError: {error}") from error
        self._note(task, status=TaskStatus.RUNNING, started_at=time.time())
        self._register_everywhere(task)

    def _door_of(self, instance: ContainerInstance) -> str:
        try:
            return self._premises.open_door(instance.instance_id, instance.address)
        except OSError as error:
            raise TaskCannotStartError(f"the instance's way to the embedded AWS cannot be opened: {error}") from error

    def _pull(self, container: Container) -> None:
        try:
            check_image(self._client("ecr"), container.image, self._premises.image_digest(self._premises.root))
        except CannotPullError as error:
            raise TaskCannotStartError(f"CannotPullContainerError: {error}") from error

    def _open_log(self, task: Task, container: Container) -> None:
        if container.log is None:
            return
        try:
            self._services.logs.open_stream(container.log.group, container.log.stream(container.name, task.id))
        except ClientError as error:
            raise TaskCannotStartError(
                "CannotStartContainerError: Error response from daemon: failed to initialize logging driver:"
                f" failed to create Cloudwatch log stream {container.log.group}:"
                f" {error.response['Error']['Code']}: {error.response['Error']['Message']}"
            ) from error

    def _grant_role(self, task: Task, container: Container) -> CredentialsAccess:
        """Assume the task role as ECS would: the role must exist and trust ECS tasks, which moto's STS never asks."""
        for role_arn in (container.execution_role_arn, container.task_role_arn):
            reason = self._distrust(role_arn, task) if role_arn else None
            if reason is not None:
                raise TaskCannotStartError(
                    f"ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify"
                    f" that the role being passed has the proper trust relationship and permissions. ({reason})"
                )
        if not container.task_role_arn:
            return CredentialsAccess("", "")
        return self._services.credentials.grant(task.id, container.task_role_arn)

    def _distrust(self, role_arn: str, task: Task) -> str | None:
        """
        Say why a role does not let ECS take it for a task; None if it does.

        ECS says which account it works for, and an ARN of it that names no
        cluster (ECS guide, "Amazon ECS task IAM role", confused deputy).
        """
        try:
            role = self._client("iam").get_role(RoleName=role_arn.rsplit("/", 1)[-1])["Role"]
        except ClientError as error:
            return error.response["Error"]["Message"]
        if role["Arn"] != role_arn:
            return f"the role of this name is {role['Arn']}"
        place, account = task.view.arn.rpartition(":")[0], task.view.arn.split(":")[4]
        context: Context = {"aws:sourceaccount": account, "aws:sourcearn": f"{place}:ecs-tasks"}
        trust = json.dumps(role["AssumeRolePolicyDocument"])
        return distrust(_TASKS_PRINCIPAL, role_arn, trust, context, account=account)

    def _hear(self, task: Task, container: Container) -> Callable[[str, str], None]:
        def hear(stream: str, text: str) -> None:
            if container.log is not None and text:  # CloudWatch Logs takes no empty event
                self._services.logs.put(container.log.group, container.log.stream(container.name, task.id), text)
            self._premises.on_output(OutputLine(task.id, task.order.instance.address, stream, text))

        return hear

    # -- at the load balancers -----------------------------------------------------
    def _register_everywhere(self, task: Task) -> None:
        """Register what is not registered yet; a load balancer that is missing is asked again at the next step."""
        for name in task.order.load_balancers:
            if name not in task.registered_at:
                try:
                    self._client("elb").register_instances_with_load_balancer(
                        LoadBalancerName=name, Instances=[{"InstanceId": task.order.instance.instance_id}]
                    )
                except ClientError:
                    continue  # the task stays out of service, and the service unsteady
                task.registered_at.add(name)

    def _deregister(self, task: Task, name: str) -> None:
        task.registered_at.discard(name)
        try:
            self._client("elb").deregister_instances_from_load_balancer(
                LoadBalancerName=name, Instances=[{"InstanceId": task.order.instance.instance_id}]
            )
        except ClientError:
            return  # the load balancer is gone, and the registration with it

    def _is_drained(self, task: Task) -> bool:
        instance_id = task.order.instance.instance_id
        return all(self._services.balancer.is_drained(name, instance_id) for name in task.order.load_balancers)

    # -- the end -------------------------------------------------------------------
    def _stop_timeout(self, task: Task) -> int:
        own = task.container.stop_timeout if task.container else None
        return task.order.instance.stop_timeout if own is None else own

    def _note_exit(self, task: Task, exit_code: int) -> None:
        self._note(task, exit_code=exit_code)
        if task.is_wanted:
            self._end(task, stop_code="EssentialContainerExited", stopped_reason="Essential container in task exited")
        else:
            self._end(task, stop_code=task.view.stop_code, stopped_reason=task.view.stopped_reason)

    def _end(self, task: Task, *, stop_code: str, stopped_reason: str) -> None:
        for name in sorted(task.registered_at):
            self._deregister(task, name)
        self._services.credentials.revoke(task.id)
        self._note(
            task,
            status=TaskStatus.STOPPED,
            stop_code=stop_code,
            stopped_reason=stopped_reason,
            stopped_at=time.time(),
        )
        if task.has_lost_instance:
            return  # moto has forgotten what the task took of the instance, and fails when asked to give it back
        try:
            self._client("ecs").stop_task(cluster=task.order.cluster, task=task.view.arn, reason=stopped_reason)
        except ClientError:
            return  # the cluster is gone, and the task with it

    def _note(self, task: Task, **changes: Any) -> None:
        task.view = dataclasses.replace(task.view, **changes)
        self._ledger.note_task(task.view)
