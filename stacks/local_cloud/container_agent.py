"""
The ECS agent of every instance: what joins an instance to a cluster.

As on AWS it is the user data of the launch template that says which cluster;
an instance that names none of ours never becomes a container instance.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from stacks.local_cloud.addresses import AddressPool

_CLUSTER: Final = re.compile(r"""\bECS_CLUSTER=["']?([A-Za-z0-9_-]+)""")
_STOP_TIMEOUT: Final = re.compile(r"""\bECS_CONTAINER_STOP_TIMEOUT=["']?(\d+)(s|m)?\b""")
_DEFAULT_CLUSTER: Final = "default"
DEFAULT_STOP_TIMEOUT_SECONDS: Final = 30
"""What the agent waits between SIGTERM and SIGKILL if nobody says otherwise (ECS agent configuration)."""
_GONE_STATES: Final = {"Terminating", "Terminating:Wait", "Terminating:Proceed", "Terminated", "Detached"}
_NAMED_VERSIONS: Final = {"$Latest", "$Default"}


@dataclass(frozen=True, slots=True)
class AgentConfiguration:
    """What user data writes into /etc/ecs/ecs.config, as far as it matters here."""

    cluster: str
    stop_timeout: int


@dataclass(frozen=True, slots=True)
class ContainerInstance:
    """An instance that joined a cluster."""

    instance_id: str
    arn: str
    cluster: str
    """The cluster's name."""
    address: str
    stop_timeout: int
    """Seconds, for containers that say nothing themselves."""
    is_active: bool = True
    """Whether tasks may be placed; false while it drains."""


def read_user_data(encoded: str) -> AgentConfiguration:
    """Read the agent's settings out of user data, base64 as the API keeps it; the last assignment counts."""
    text = base64.b64decode(encoded).decode("utf-8", "replace")
    clusters, timeouts = _CLUSTER.findall(text), _STOP_TIMEOUT.findall(text)
    amount, unit = timeouts[-1] if timeouts else (str(DEFAULT_STOP_TIMEOUT_SECONDS), "s")
    return AgentConfiguration(
        cluster=clusters[-1] if clusters else _DEFAULT_CLUSTER,
        stop_timeout=int(amount) * (60 if unit == "m" else 1),
    )


class ContainerAgents:
    """
    Follows the Auto Scaling groups and keeps their instances registered; used from one thread.

    Args:
        client: Gives boto3 clients of the embedded cloud.
        addresses: Where each container instance gets its own address from.
        report: Told one line per instance that cannot join.
    """

    def __init__(self, client: Callable[[str], Any], addresses: AddressPool, report: Callable[[str], None]) -> None:
        self._client = client
        self._addresses = addresses
        self._report = report
        self._joined: dict[str, ContainerInstance] = {}
        self._configurations: dict[tuple[str, str], AgentConfiguration] = {}
        self._reported: set[str] = set()

    def observe(self, clusters: Mapping[str, frozenset[str]]) -> tuple[ContainerInstance, ...]:
        """
        Register who is new, forget who is gone.

        Args:
            clusters: By name the ARNs of the container instances that may take tasks.
        """
        alive = dict(self._instances())
        for instance_id in set(self._joined) - set(alive):
            self._leave(self._joined.pop(instance_id), clusters)
        for instance_id, configuration in alive.items():
            joined = self._joined.get(instance_id)
            if joined is not None and joined.cluster not in clusters:
                self._leave(self._joined.pop(instance_id), clusters)
                joined = None
            if joined is None:
                self._join(instance_id, configuration, clusters)
            else:
                is_active = joined.arn in clusters[joined.cluster]
                self._joined[instance_id] = dataclasses.replace(joined, is_active=is_active)
        return tuple(self._joined.values())

    def release_all(self) -> None:
        """Give the addresses back; nothing is told to the API, which may be gone already."""
        for instance in self._joined.values():
            self._addresses.release(instance.address)
        self._joined.clear()

    def _instances(self) -> Iterator[tuple[str, AgentConfiguration]]:
        for group in self._client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]:
            for instance in group["Instances"]:
                template = instance.get("LaunchTemplate")
                if template is None:
                    self._report_once(f"instance {instance['InstanceId']} has no launch template, so no user data")
                elif instance["LifecycleState"] not in _GONE_STATES:
                    yield instance["InstanceId"], self._configuration(template)

    def _configuration(self, template: Mapping[str, str]) -> AgentConfiguration:
        key = (template["LaunchTemplateId"], template["Version"])
        known = self._configurations.get(key)
        if known is None:
            found = self._client("ec2").describe_launch_template_versions(LaunchTemplateId=key[0], Versions=[key[1]])
            data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
            known = read_user_data(data.get("UserData", ""))
            if key[1] not in _NAMED_VERSIONS:  # a number's data never changes
                self._configurations[key] = known
        return known

    def _join(
        self, instance_id: str, configuration: AgentConfiguration, clusters: Mapping[str, frozenset[str]]
    ) -> None:
        if configuration.cluster not in clusters:
            self._report_once(
                f"instance {instance_id}: its user data says ECS_CLUSTER={configuration.cluster},"
                " there is no such cluster, so it does not become a container instance"
            )
            return
        document = json.dumps({"instanceId": instance_id})
        registered = self._client("ecs").register_container_instance(
            cluster=configuration.cluster, instanceIdentityDocument=document
        )["containerInstance"]
        self._joined[instance_id] = ContainerInstance(
            instance_id=instance_id,
            arn=registered["containerInstanceArn"],
            cluster=configuration.cluster,
            address=self._addresses.draw(),
            stop_timeout=configuration.stop_timeout,
        )

    def _leave(self, instance: ContainerInstance, clusters: Mapping[str, frozenset[str]]) -> None:
        self._addresses.release(instance.address)
        if instance.cluster in clusters:
            with contextlib.suppress(ClientError):  # somebody was faster
                self._client("ecs").deregister_container_instance(
                    cluster=instance.cluster, containerInstance=instance.arn, force=True
                )

    def _report_once(self, line: str) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._report(line)
