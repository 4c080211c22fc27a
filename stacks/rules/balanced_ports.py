"""
The rules on what load balancer and container must say alike.

A connection's port is written eight times on its way: on the listener, in the
PROXY policy, in a rule of either security group, in the host's and the
container's port of the task, on the ECS service and in the variables the
service listens by. One that differs and nothing gets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.contract import HEALTH_PATH, ProxyProtocol, Variable
from service.settings import Limits
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.load_balancer import PROXY_POLICY, whole
from stacks.rules.passages import STARTS_INSTANCES, Passage, Way, groups_of, passages_of, wearings
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.topology import LOAD_BALANCER, SERVICE, containers_of, task_definition_of
from stacks.rules.values import flag, listed, number

_TARGET: Final = re.compile(r"(?P<protocol>[A-Z]+):(?P<port>\d{1,5})(?P<path>/\S*)?")
_IN_NO_GROUP: Final = (
    *("AWS::CloudTrail::", "AWS::CloudWatch::", "AWS::DynamoDB::", "AWS::Events::", "AWS::IAM::"),
    *("AWS::KMS::", "AWS::Logs::", "AWS::S3::", "AWS::SNS::"),
)
"""What has no network interface; their policies are long, and `Groups` there means others."""
_STOP_SECONDS: Final = 30
"""From SIGTERM to SIGKILL where a container says nothing (ECS guide, container definitions)."""
_MAPPINGS: Final = "ECS guide, Classic Load Balancer: a static host port, the same on every instance"
_CHECKS: Final = "Classic ELB guide, configure health checks; measured: a handshake without a client certificate fails"
_PROXY: Final = "Classic ELB guide, enable proxy protocol"
_DRAINING: Final = "Classic ELB guide, configure connection draining"
_IDLE: Final = "Classic ELB guide, configure the idle connection timeout"
_GROUPS: Final = "EC2 guide, security group rules"


@dataclass(frozen=True, slots=True)
class Backend:
    """
    A container behind the load balancer.

    Attributes:
        task: The task definition.
        path: Of the container in it.
    """

    balancer: Resource
    task: Resource
    path: str
    container: Mapping[str, Any]

    @property
    def mappings(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Its port mappings over TCP, each with the path it lies at."""
        found = self.task.tables(f"{self.path}.PortMappings")
        return [(path, mapping) for path, mapping in found if str(mapping.get("Protocol", "tcp")).lower() == "tcp"]

    def container_port(self, host_port: object) -> float | None:
        """Say what port of the container a port of the instance leads to; None for none."""
        wanted = number(host_port)
        ports = {number(mapping.get("HostPort")): number(mapping.get("ContainerPort")) for _, mapping in self.mappings}
        return ports.get(wanted) if wanted is not None else None

    def variable(self, name: Variable) -> object:
        """Give a variable's value; of one that says two things both, which is neither."""
        found = [value for key, value in self._variables if key == name.value]
        return found[0] if len(set(map(str, found))) == 1 else " and ".join(map(str, found)) or None

    def fault_of(self, name: Variable, expected: str) -> Fault:
        """Object to a variable."""
        return self.task.fault(
            f"{self.path}.Environment", found=Said(f"{name} = {self.variable(name)}"), expected=expected
        )

    @property
    def _variables(self) -> list[tuple[object, object]]:
        return [(each.get("Name"), each.get("Value")) for each in listed(self.container.get("Environment"))]  # type: ignore[attr-defined]  # what is no table is told by the runner


def backends(estate: Estate) -> list[Backend]:
    """Give the containers that ECS puts behind a load balancer."""
    return [
        Backend(balancer, task, path, container)
        for service in estate.of_type(SERVICE)
        for _, entry in service.tables("LoadBalancers")
        if (balancer := estate.called(entry.get("LoadBalancerName"), LOAD_BALANCER)) is not None
        if (task := task_definition_of(service)) is not None
        for path, container in containers_of(task)
        if container.get("Name") == entry.get("ContainerName")
    ]


def _instance_ports(balancer: Resource) -> list[tuple[str, object]]:
    return [(f"{path}.InstancePort", listener.get("InstancePort")) for path, listener in balancer.tables("Listeners")]


def ports_of(balancer: Resource) -> list[float]:
    """Give the ports of instances a load balancer connects to: those it leads to, and the one of health."""
    health = _health_port(balancer)
    leading = (number(port) for _, port in _instance_ports(balancer))
    return [port for port in (*leading, health) if port is not None]


def _health_port(balancer: Resource) -> int | None:
    target = _TARGET.fullmatch(str(balancer.get("HealthCheck.Target")))
    return int(target["port"]) if target else None


# -- ports --------------------------------------------------------------------------


@rule("E2", why="the load balancer connects to a port of the instance where nobody listens", source=_MAPPINGS)
def the_listeners_port_is_the_containers(estate: Estate) -> Iterator[Fault]:
    """Every instance port of the load balancer is the static host port of a mapping to the port that ends TLS."""
    for backend in backends(estate):
        for path, port in _instance_ports(backend.balancer):
            inside = backend.container_port(port)
            if inside is None:
                hosts = ", ".join(str(mapping.get("HostPort")) for _, mapping in backend.mappings) or "none"
                yield backend.balancer.fault(
                    path, found=port, expected=f"a static host port of {backend.container.get('Name')}: {hosts}"
                )
            elif number(backend.variable(Variable.TRAFFIC_PORT)) != inside:
                yield backend.fault_of(Variable.TRAFFIC_PORT, f"{inside:g}, where the load balancer leads to")


@rule("E4", why="health is asked where nobody answers, and no instance is ever in service", source=_CHECKS)
def health_is_asked_over_http_on_a_port_of_its_own(estate: Estate) -> Iterator[Fault]:
    """
    The target of the health check is `HTTP:port/path`: the service's health path on a second port.

    TCP shows no more than that somebody accepts, and for TLS the load balancer
    has no client certificate.
    """
    for balancer in estate.of_type(LOAD_BALANCER):
        given = balancer.get("HealthCheck.Target")
        target = _TARGET.fullmatch(str(given))
        expected = f"HTTP:port{HEALTH_PATH}, the port another one than the listener leads to"
        taken = {number(port) for _, port in _instance_ports(balancer)}
        is_ours = target is not None and (target["protocol"], target["path"]) == ("HTTP", HEALTH_PATH)
        if target is None or not is_ours or int(target["port"]) in taken:
            yield balancer.fault("HealthCheck.Target", found=given, expected=expected)


@rule("E4", why="health is asked where nobody answers, and no instance is ever in service", source=_MAPPINGS)
def the_health_port_is_the_containers(estate: Estate) -> Iterator[Fault]:
    """The port of the health check is the static host port of a mapping to the port where the container answers it."""
    for backend in backends(estate):
        port = _health_port(backend.balancer)
        if port is None:
            continue  # the rule above tells
        inside = backend.container_port(port)
        if inside is None:
            yield backend.balancer.fault(
                "HealthCheck.Target", found=Said(f"port {port}"), expected="a static host port of the container"
            )
        elif number(backend.variable(Variable.HEALTH_PORT)) != inside:
            yield backend.fault_of(Variable.HEALTH_PORT, f"{inside:g}, where health is asked")


@rule("E4", why="connections or health checks are dropped on the way, without a word", source=_GROUPS)
def security_groups_let_the_load_balancer_through(estate: Estate) -> Iterator[Fault]:
    """On both sides security groups let the load balancer through to every port it leads to and the port of health."""
    instance_groups = groups_of(estate.of_type(*STARTS_INSTANCES))
    for balancer in estate.of_type(LOAD_BALANCER):
        balancer_groups = groups_of([balancer])
        ports = ports_of(balancer)
        sides = (
            (Way.EGRESS, balancer_groups, instance_groups, "out of the load balancer"),
            (Way.INGRESS, instance_groups, balancer_groups, "into the container instances"),
        )
        for way, own, others, words in sides:
            open_to = [each for each in passages_of(estate, own, way) if each.peer_group in others]
            for port in ports:
                if not any(passage.covers(port) for passage in open_to):
                    at = own[0] if own else balancer
                    yield at.fault("", found=Said(f"no rule for port {port:g} {words}"), expected="a rule by group id")


# -- who else may come ----------------------------------------------------------------


@rule(
    "E7",
    why="whoever else reaches the port writes the PROXY header himself and is believed to be anybody",
    source="PROXY protocol specification: the receiver must know that only trusted senders reach it",
)
def nobody_else_reaches_the_traffic_port(estate: Estate) -> Iterator[Fault]:
    """
    Into the port that believes the PROXY header the security groups of the instances let the load balancer alone.

    A range of ports, every protocol, a prefix list, an address of either kind,
    another group and the group itself are somebody else.
    """
    ports = _trusting_ports(estate)
    balancer_groups = groups_of(estate.of_type(LOAD_BALANCER))
    for passage in passages_of(estate, groups_of(estate.of_type(*STARTS_INSTANCES)), Way.INGRESS):
        for port in ports:
            if passage.covers(port) and passage.peer_group not in balancer_groups:
                yield passage.fault(
                    found=Said(f"port {port:g} open to {_peers(passage)}"), expected="the load balancer's group alone"
                )


@rule(
    "E7",
    why="what is in the load balancer's group is let through as if it were the load balancer",
    source=_GROUPS,
)
def nothing_else_is_in_the_load_balancers_group(estate: Estate) -> Iterator[Fault]:
    """Nothing but the load balancer is in its security group."""
    balancers = estate.of_type(LOAD_BALANCER)
    groups = groups_of(balancers)
    for resource in estate.resources:
        if resource in balancers:
            continue
        for wearing in [] if resource.type.startswith(_IN_NO_GROUP) else wearings(resource):
            if wearing.group is not None and wearing.group in groups:
                yield resource.fault(wearing.path, found=wearing.value, expected="a group of its own")


@rule(
    "E7",
    why="what another security group lets in is let in too, and the group of the VPC's default lets in all its like",
    source="EC2 guide, security groups: the rules of all groups of an interface are taken together",
)
def every_group_of_an_instance_is_known(estate: Estate) -> Iterator[Fault]:
    """Load balancer and instances are in security groups of these templates, at least one each, and in no other."""
    for resource in estate.of_type(LOAD_BALANCER, *STARTS_INSTANCES):
        worn = wearings(resource)
        if not worn:
            yield resource.fault(
                "", found=Said("no security group, so the VPC's default one"), expected="one of its own"
            )
        for wearing in worn:
            if wearing.group is None:
                yield resource.fault(wearing.path, found=wearing.value, expected="a security group of these templates")


def _trusting_ports(estate: Estate) -> set[float]:
    """Give the ports of the instances behind which the PROXY header is believed."""
    listeners = (port for balancer in estate.of_type(LOAD_BALANCER) for _, port in _instance_ports(balancer))
    return {port for each in listeners if (port := number(each)) is not None}


def _peers(passage: Passage) -> str:
    return ", ".join(f"{name} {value}" for name, value in passage.peers.items()) or "nobody named"


# -- the PROXY header -------------------------------------------------------------------


@rule(
    "E6",
    why="without the header every connection is cut off, and where nobody expects one every handshake fails",
    source=_PROXY,
)
def the_proxy_header_goes_to_the_listeners_port(estate: Estate) -> Iterator[Fault]:
    """The load balancer has one policy of PROXY protocol, on, for the ports its listener leads to and no other."""
    for balancer in estate.of_type(LOAD_BALANCER):
        found = [each for each in balancer.tables("Policies") if each[1].get("PolicyType") == PROXY_POLICY]
        if len(found) != 1:
            yield balancer.fault(
                "Policies", found=Said(f"{len(found) or 'none'}"), expected="one policy of PROXY protocol"
            )
        leading = {number(port) for _, port in _instance_ports(balancer)}
        for path, policy in found:
            if not policy.get("PolicyName") or "LoadBalancerPorts" in policy:
                expected = "a PolicyName, and no LoadBalancerPorts: it is bound to the instances' ports"
                yield balancer.fault(path, found=Said(", ".join(policy)), expected=expected)
            if {number(port) for port in listed(policy.get("InstancePorts"))} != leading:
                yield balancer.fault(
                    f"{path}.InstancePorts",
                    found=policy.get("InstancePorts"),
                    expected="the ports the listener leads to: " + ", ".join(f"{port:g}" for port in leading if port),
                )
            attributes = [(each.get("Name"), flag(each.get("Value"))) for each in policy.get("Attributes") or []]
            if attributes != [("ProxyProtocol", True)]:
                yield balancer.fault(
                    f"{path}.Attributes", found=policy.get("Attributes"), expected="ProxyProtocol = true"
                )


@rule(
    "E6",
    why="a service that expects no header takes it for a broken handshake, or believes whoever connects",
    source=_PROXY,
)
def the_service_demands_the_proxy_header(estate: Estate) -> Iterator[Fault]:
    """The container behind the load balancer demands the PROXY header."""
    for backend in backends(estate):
        if backend.variable(Variable.PROXY_PROTOCOL) != ProxyProtocol.REQUIRED.value:
            yield backend.fault_of(Variable.PROXY_PROTOCOL, ProxyProtocol.REQUIRED.value)


# -- times --------------------------------------------------------------------------------


@rule_of(
    LOAD_BALANCER,
    requirement="E10",
    also=("ELB.7",),
    why="connections are cut off the moment an instance leaves",
    source=_DRAINING,
)
def connections_are_drained(balancer: Resource) -> Iterator[Fault]:
    """Connection draining is on and takes 1 to 3600 seconds."""
    if flag(balancer.get("ConnectionDrainingPolicy.Enabled")) is not True:
        found = balancer.get("ConnectionDrainingPolicy.Enabled")
        yield balancer.fault("ConnectionDrainingPolicy.Enabled", found=found, expected="true")
    if not whole(balancer.get("ConnectionDrainingPolicy.Timeout"), 1, 3600):
        found = balancer.get("ConnectionDrainingPolicy.Timeout")
        yield balancer.fault("ConnectionDrainingPolicy.Timeout", found=found, expected="1 to 3600 seconds")


@rule(
    "E10",
    why="the load balancer cuts off requests the task would finish, or waits for a task that is gone",
    source=_DRAINING,
)
def draining_fits_the_end_of_a_task(estate: Estate) -> Iterator[Fault]:
    """Draining takes at least as long as the service gives its last requests, and no longer than the task is left."""
    for backend in backends(estate):
        timeout = number(backend.balancer.get("ConnectionDrainingPolicy.Timeout"))
        stop = number(backend.container.get("StopTimeout", _STOP_SECONDS))
        drain = number(backend.variable(Variable.DRAIN_SECONDS)) or 0
        if timeout is None or stop is None:
            continue  # the rule above tells, and S9
        if not drain <= timeout <= stop:
            yield backend.balancer.fault(
                "ConnectionDrainingPolicy.Timeout",
                found=backend.balancer.get("ConnectionDrainingPolicy.Timeout"),
                expected=f"{drain:g} to {stop:g} seconds: the service's drain, and the task's stop timeout",
            )


@rule_of(LOAD_BALANCER, requirement="E11", why="AWS decides when an idle connection is cut off", source=_IDLE)
def the_idle_timeout_is_said(balancer: Resource) -> Iterator[Fault]:
    """The idle timeout of the load balancer is written out, 1 to 4000 seconds."""
    found = balancer.get("ConnectionSettings.IdleTimeout")
    if not whole(found, 1, 4000):
        yield balancer.fault("ConnectionSettings.IdleTimeout", found=found, expected="1 to 4000 seconds")


@rule("E11", why="the load balancer cuts off first, and clients see a reset where close_notify belongs", source=_IDLE)
def the_service_closes_before_the_load_balancer(estate: Estate) -> Iterator[Fault]:
    """The service closes idle connections before the load balancer would."""
    for backend in backends(estate):
        given = backend.variable(Variable.IDLE_TIMEOUT_SECONDS)
        own = number(Limits().idle_seconds if given is None else given)
        cut = number(backend.balancer.get("ConnectionSettings.IdleTimeout"))
        if own is None or (cut is not None and own >= cut):
            yield backend.fault_of(Variable.IDLE_TIMEOUT_SECONDS, f"less than the load balancer's {cut or 0:g} seconds")


RULES: Final[tuple[Rule, ...]] = (
    the_listeners_port_is_the_containers,
    health_is_asked_over_http_on_a_port_of_its_own,
    the_health_port_is_the_containers,
    security_groups_let_the_load_balancer_through,
    nobody_else_reaches_the_traffic_port,
    nothing_else_is_in_the_load_balancers_group,
    every_group_of_an_instance_is_known,
    the_proxy_header_goes_to_the_listeners_port,
    the_service_demands_the_proxy_header,
    connections_are_drained,
    draining_fits_the_end_of_a_task,
    the_idle_timeout_is_said,
    the_service_closes_before_the_load_balancer,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
