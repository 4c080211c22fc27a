"""
What a registered task definition asks for, as far as a plain process can give it.

Pure. A property that confines a container and has no counterpart for a
process on this machine is passed over, each by name; one that would change
what runs and that we cannot give stops the task, as the agent would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from service.contract import Variable

_HONORED: Final = {"name", "image", "environment", "portMappings", "stopTimeout", "logConfiguration", "essential"}
_PASSED_OVER: Final = {
    # Limits and hardening of a container; the templates' own rules look after them.
    "cpu", "memory", "memoryReservation", "user", "readonlyRootFilesystem", "privileged", "linuxParameters",
    "ulimits", "dockerSecurityOptions", "dockerLabels", "systemControls", "mountPoints", "volumesFrom",
    "pseudoTerminal", "interactive", "versionConsistency", "restartPolicy", "startTimeout",
}  # fmt: skip


class TaskCannotStartError(Exception):
    """A task stops before it ran; the text is its stopped reason, in the agent's words where it has some."""


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where awslogs puts the container's output."""

    group: str
    stream_prefix: str

    def stream(self, container: str, task_id: str) -> str:
        """Name the stream as awslogs does: prefix/container/task id."""
        return f"{self.stream_prefix}/{container}/{task_id}" if self.stream_prefix else task_id


@dataclass(frozen=True, slots=True)
class Container:
    """The one container of a task definition."""

    name: str
    image: str
    environment: Mapping[str, str]
    ports: tuple[int, ...]
    stop_timeout: int | None
    """Seconds between SIGTERM and SIGKILL; None leaves it to the agent."""
    log: LogTarget | None
    task_role_arn: str
    execution_role_arn: str


@dataclass(frozen=True, slots=True)
class Place:
    """What only the machine a task runs on can know."""

    address: str
    endpoint_url: str
    region: str
    credentials_uri: str
    credentials_token: str = field(repr=False)


def environment_of(container: Container, place: Place) -> dict[str, str]:
    """
    Compose the whole environment of a task's process: as registered, and what the stand-in must add.

    This is the one place where anything is added; nothing of the operator's
    own environment comes in.
    """
    added = {
        # Each container instance is its own loopback address; in a container the default 0.0.0.0 is right.
        Variable.BIND_ADDRESS.value: place.address,
        # The embedded AWS instead of the real one.
        "AWS_ENDPOINT_URL": place.endpoint_url,
        # As the agent sets AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; 169.254.170.2 does not exist here.
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": place.credentials_uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": place.credentials_token,
        # No home: boto3 prefers a ~/.aws of the operator to the container's credentials.
        "HOME": "/nonexistent",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    if "AWS_REGION" not in container.environment:
        added["AWS_REGION"] = place.region
    return {**container.environment, **added}


def read_container(definition: Mapping[str, Any]) -> Container:
    """
    Read the container out of a described task definition.

    Raises:
        TaskCannotStartError: It asks for what a process on this machine cannot be given.
    """
    if definition.get("networkMode", "bridge") != "bridge":
        raise _cannot_start(f"network mode {definition['networkMode']} is not had here, only bridge")
    containers = definition["containerDefinitions"]
    if len(containers) != 1:
        raise _cannot_start("the embedded cloud runs one container per task: " + _named(c["name"] for c in containers))
    asked = containers[0]
    unknown = sorted(name for name, value in asked.items() if value and name not in _HONORED | _PASSED_OVER)
    if unknown:
        raise _cannot_start(f"the embedded cloud cannot give container {asked['name']} its {_named(unknown)}")
    return Container(
        name=asked["name"],
        image=asked["image"],
        environment={entry["name"]: entry["value"] for entry in asked.get("environment", [])},
        ports=tuple(_host_port(mapping) for mapping in asked.get("portMappings", [])),
        stop_timeout=asked.get("stopTimeout"),
        log=_log_target(asked.get("logConfiguration")),
        task_role_arn=definition.get("taskRoleArn", ""),
        execution_role_arn=definition.get("executionRoleArn", ""),
    )


def _host_port(mapping: Mapping[str, Any]) -> int:
    """Read a port mapping; without docker's address translation both ports must be the same."""
    container_port, host_port = mapping["containerPort"], mapping.get("hostPort", 0)
    if host_port == 0:
        raise _cannot_start(
            f"container port {container_port} has no fixed host port; a Classic Load Balancer needs one"
        )
    if host_port != container_port:
        raise _cannot_start(
            f"host port {host_port} is not container port {container_port};"
            " the embedded cloud runs the process on the instance's own address and translates no port"
        )
    return int(host_port)


def _log_target(configuration: Mapping[str, Any] | None) -> LogTarget | None:
    if configuration is None:
        return None
    if configuration["logDriver"] != "awslogs":
        raise _cannot_start(f"the embedded cloud knows the log driver awslogs, not {configuration['logDriver']}")
    options = configuration.get("options", {})
    if "awslogs-group" not in options:
        raise _cannot_start("failed to initialize logging driver: must specify a value for log opt 'awslogs-group'")
    return LogTarget(options["awslogs-group"], options.get("awslogs-stream-prefix", ""))


def _cannot_start(why: str) -> TaskCannotStartError:
    return TaskCannotStartError(f"CannotStartContainerError: Error response from daemon: {why}")


def _named(names: Any) -> str:
    return ", ".join(names)
