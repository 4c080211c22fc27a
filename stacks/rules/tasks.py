"""The rules on the task definition: what runs, on which ports, as whom, and what it is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from service.contract import OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE, TOKEN_PREFIX, Variable
from service.errors import SettingsError
from service.settings import REGION_VARIABLES, parse_settings
from stacks.naming import OperatorParameter
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.register import Entry
from stacks.rules.resolving import section
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.topology import (
    SERVICE,
    TASK_DEFINITION,
    containers_of,
    inner_tables,
    services_of,
    task_definition_of,
)
from stacks.rules.values import flag, listed, number

_FIRST_EPHEMERAL_PORT: Final = 32_768
_RESERVED_PORTS: Final = frozenset({22, 2375, 2376, *range(51_678, 51_681)})
"""SSH, Docker and the agent (ECS API Reference, PortMapping)."""
_STOP_SECONDS: Final = 30
"""What the agent waits where neither task nor instance says (ECS guide, agent configuration)."""
_TMPFS_OPTIONS: Final = frozenset({"noexec", "nosuid", "nodev"})
_LEAST_BUFFER_BYTES: Final = 25 * 1024**2
_UNITS: Final = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_USER: Final = re.compile(r"0*[1-9]\d*(:0*[1-9]\d*)?")
_DIGEST: Final = re.compile(r"(?P<repository>[^@:]+(?::\d+/[^@:]+)?)@sha256:[0-9a-f]{64}")
_SECRET_NAME: Final = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|AUTH_DATA|AUTHORIZATION|PIN\b", re.IGNORECASE
)
_SECRET_VALUE: Final = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\beyJ[\w-]+\.eyJ[\w-]+\."
    r"|\{\{resolve:(secretsmanager|ssm-secure):"
    r"|://[^/\s:@]+:[^/\s@]+@"
    rf"|\b{TOKEN_PREFIX}[\w-]{{16}}"
)
"""An access key, a private key, a signed token, a reference CloudFormation would write out, a password in a URL."""
_OVERRIDES: Final = ("Command", "EntryPoint", "WorkingDirectory")
"""What runs instead of the image's own; `OPENSSL_CONF` is read from its working directory."""
_OPENINGS: Final = (
    *("CredentialSpecs", "DisableNetworking", "DnsSearchDomains", "DnsServers", "ExtraHosts"),
    *("Interactive", "Links", "PseudoTerminal", "SystemControls"),
)
"""Other names, kernel settings or a terminal for a container (ECS API Reference, ContainerDefinition)."""
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- to be demanded, in a container
_OF_OTHER_MODES: Final = ("NetworkConfiguration", "PlatformVersion", "VpcLatticeConfigurations")
"""For tasks with an interface of their own, or on Fargate (ECS API Reference, CreateService)."""
_TMP: Final = "/tmp"  # noqa: S108 -- a path in the container
_CONFINED: Final = "CIS Docker Benchmark, container runtime; ECS guide, task and container security"
_API: Final = "ECS API Reference, ContainerDefinition"


def rule_of_containers(
    requirement: str, *, why: str, source: str, also: tuple[str, ...] = ()
) -> Callable[[Callable[[Resource, str, Mapping[str, Any]], Iterator[Fault]]], Rule]:
    """Declare a rule over each container of each task definition."""

    def declare(judge: Callable[[Resource, str, Mapping[str, Any]], Iterator[Fault]]) -> Rule:
        def judge_all(task_definition: Resource) -> Iterator[Fault]:
            for path, container in containers_of(task_definition):
                yield from judge(task_definition, path, container)

        judge_all.__doc__, judge_all.__name__ = judge.__doc__, judge.__name__
        return rule_of(TASK_DEFINITION, requirement=requirement, why=why, source=source, also=also)(judge_all)

    return declare


# -- the task definition --------------------------------------------------------------


@rule(
    "S20",
    why="a service that names its task definition as text never takes a new revision",
    source="CloudFormation's provider schema of AWS::ECS::TaskDefinition: every property is create-only",
)
def every_service_runs_a_task_definition(estate: Estate) -> Iterator[Fault]:
    """There is a task definition with a container, and every service refers to one."""
    definitions = estate.of_type(TASK_DEFINITION)
    if not definitions:
        yield absent("a task definition that the service runs")
    for definition in definitions:
        if not containers_of(definition):
            yield definition.fault("ContainerDefinitions", found=None, expected="a container")
    for service in estate.of_type(SERVICE):
        if task_definition_of(service) is None:
            expected = "a reference to a task definition of the templates"
            yield service.fault("TaskDefinition", found=service.get("TaskDefinition"), expected=expected)


@rule_of(
    TASK_DEFINITION,
    requirement="S20",
    why="each change deregisters the revision that a rollback needs",
    source="CloudFormation guide, UpdateReplacePolicy",
)
def old_revisions_stay(task_definition: Resource) -> Iterator[Fault]:
    """A task definition's UpdateReplacePolicy is Retain."""
    found = task_definition.raw.get("UpdateReplacePolicy")
    if found != "Retain":
        yield Fault(
            task_definition.stack,
            task_definition.logical_id,
            "UpdateReplacePolicy",
            str(found or "nothing"),
            '"Retain"',
        )


@rule_of(
    TASK_DEFINITION,
    requirement="S1",
    why="awsvpc has no port of the instance for a Classic Load Balancer; the host's own network goes round the block"
    " of the instance metadata",
    source="ECS guide, task networking; Security Hub, ECS.17",
    also=("ECS.1", "ECS.17"),
)
def tasks_are_on_the_bridge(task_definition: Resource) -> Iterator[Fault]:
    """NetworkMode is bridge, tasks run on EC2 alone, and nothing is set that is for another network mode."""
    mode = task_definition.get("NetworkMode")
    if mode != "bridge":
        yield task_definition.fault("NetworkMode", found=mode, expected='"bridge"')
    kinds = task_definition.texts("RequiresCompatibilities")
    if kinds != ["EC2"]:
        yield task_definition.fault("RequiresCompatibilities", found=kinds or None, expected="EC2 alone")
    for resource, name in (
        (task_definition, "ProxyConfiguration"),
        *((service, name) for service in services_of(task_definition) for name in _OF_OTHER_MODES),
    ):
        if resource.get(name) is not None:
            expected = "none: that is for tasks of another network mode"
            yield resource.fault(name, found=resource.get(name), expected=expected)


@rule_of(
    TASK_DEFINITION,
    requirement="S21",
    why="without the one the service reads neither certificate nor registry, without the other ECS starts nothing; and"
    " what both share, the service may do too",
    source="ECS guide, task IAM role and task execution IAM role",
)
def tasks_have_two_roles(task_definition: Resource) -> Iterator[Fault]:
    """TaskRoleArn and ExecutionRoleArn are two roles of the templates."""
    names = ("TaskRoleArn", "ExecutionRoleArn")
    roles = [task_definition.estate.called(task_definition.get(name), "AWS::IAM::Role") for name in names]
    for name, role in zip(names, roles, strict=True):
        if role is None:
            yield task_definition.fault(name, found=task_definition.get(name), expected="a role of the templates")
    if roles[0] is not None and roles[0] == roles[1]:
        found = task_definition.get("TaskRoleArn")
        yield task_definition.fault("TaskRoleArn", found=found, expected="another role than ExecutionRoleArn")


@rule_of(
    TASK_DEFINITION,
    requirement="S10",
    why="the task sees the processes or the memory of its instance",
    source="Security Hub, ECS.3",
    also=("ECS.3",),
)
def tasks_see_no_processes_of_the_host(task_definition: Resource) -> Iterator[Fault]:
    """A task shares neither processes nor memory with its instance: no PidMode and IpcMode host."""
    for path, allowed in (("PidMode", {None, "task"}), ("IpcMode", {None, "task", "none"})):
        found = task_definition.get(path)
        if found not in allowed:
            yield task_definition.fault(path, found=found, expected="none")


@rule_of(
    TASK_DEFINITION,
    requirement="S10",
    why="key material could reach a disk, and the instance's disk or Docker's socket the task",
    source=_CONFINED,
)
def tasks_have_no_disk(task_definition: Resource) -> Iterator[Fault]:
    """A task has no volumes, no devices of its instance and no directories of other containers."""
    if task_definition.get("Volumes"):
        yield task_definition.fault("Volumes", found=task_definition.get("Volumes"), expected="none")
    for path, container in containers_of(task_definition):
        for name in ("MountPoints", "VolumesFrom"):
            if container.get(name):
                yield task_definition.fault(f"{path}.{name}", found=container[name], expected="none")
        devices = task_definition.get(f"{path}.LinuxParameters.Devices")
        if devices:
            yield task_definition.fault(f"{path}.LinuxParameters.Devices", found=devices, expected="none")


@rule_of(
    TASK_DEFINITION,
    requirement="S10",
    why="ECS refuses a task without memory, and a container without a bound can take the instance's",
    source=f"{_API}: memory, memoryReservation",
)
def tasks_have_memory(task_definition: Resource) -> Iterator[Fault]:
    """Every container has Memory, or its task has, in MiB; a MemoryReservation is below it."""
    whole = number(task_definition.get("Memory"))
    for path, container in containers_of(task_definition):
        hard, soft = (number(container.get(name)) for name in ("Memory", "MemoryReservation"))
        least = 6  # MiB, what Docker wants
        bound = hard if hard is not None else whole or 0
        if bound < least:
            yield task_definition.fault(f"{path}.Memory", found=container.get("Memory"), expected="a number of MiB")
        elif (soft or 0) >= bound:
            expected = f"less than Memory, {bound:g}"
            yield task_definition.fault(
                f"{path}.MemoryReservation", found=container["MemoryReservation"], expected=expected
            )


# -- ports --------------------------------------------------------------------------


@rule_of(
    TASK_DEFINITION,
    requirement="S2",
    why="a Classic Load Balancer knows one fixed port of every instance; a dynamic or taken one is never reached",
    source="ECS API Reference, PortMapping: reserved and ephemeral ports",
)
def ports_of_the_instance_are_fixed(task_definition: Resource) -> Iterator[Fault]:
    """Every port mapping says its HostPort: tcp, once, not 0, not reserved, below 32768."""
    taken: set[int] = set()
    for container_path, container in containers_of(task_definition):
        for path, mapping in inner_tables(container_path, container, "PortMappings"):
            port = number(mapping.get("HostPort"))
            fault = _port_fault(port, taken)
            if fault:
                yield task_definition.fault(f"{path}.HostPort", found=mapping.get("HostPort"), expected=fault)
            taken.add(int(port or 0))
            if mapping.get("Protocol", "tcp") != "tcp":
                yield task_definition.fault(f"{path}.Protocol", found=mapping["Protocol"], expected='"tcp"')
            if "ContainerPortRange" in mapping:
                found = mapping["ContainerPortRange"]
                yield task_definition.fault(f"{path}.ContainerPortRange", found=found, expected="single ports")


def _port_fault(port: float | None, taken: set[int]) -> str | None:
    if port is None or port < 1 or port % 1:
        return "a fixed port, 1 at least"
    if port in _RESERVED_PORTS:
        return "a port that neither SSH nor Docker nor the agent takes"
    if port >= _FIRST_EPHEMERAL_PORT:
        return f"a port below {_FIRST_EPHEMERAL_PORT}, where the ephemeral ones begin"
    return "a port that no other mapping takes" if port in taken else None


# -- the life of a container -----------------------------------------------------------


@rule_of_containers(
    "S8",
    why="ECS does not heed a container's health behind a Classic Load Balancer, so nobody acts on it",
    source=f"{_API}: healthCheck",
)
def health_is_the_load_balancers_affair(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """No container has a HealthCheck, nor waits for another one to be HEALTHY."""
    if container.get("HealthCheck") is not None:
        found = container["HealthCheck"]
        yield task_definition.fault(f"{path}.HealthCheck", found=found, expected="none: the load balancer checks")
    for at, dependency in inner_tables(path, container, "DependsOn"):
        if dependency.get("Condition") == "HEALTHY":
            yield task_definition.fault(f"{at}.Condition", found="HEALTHY", expected="a condition other than health")


@rule_of_containers(
    "S9",
    why="the container is killed while it still answers, and clients see connections break",
    source="ECS guide, task lifecycle and stopTimeout",
)
def a_container_may_drain(task_definition: Resource, path: str, container: Mapping[str, Any]) -> Iterator[Fault]:
    """StopTimeout is the service's lame duck and drain together at least."""
    given = container.get("StopTimeout")
    seconds = number(_STOP_SECONDS if given is None else given)
    least = lame_duck_and_drain(_variables(path, container))
    if seconds is None or seconds < least:
        expected = f"{least:g} seconds at least, as {Variable.LAME_DUCK_SECONDS} and {Variable.DRAIN_SECONDS} say"
        yield task_definition.fault(f"{path}.StopTimeout", found=given, expected=expected)


def lame_duck_and_drain(variables: Mapping[str, Any]) -> float:
    """Say how many seconds the service takes from SIGTERM on, by its variables or its own defaults."""
    lame_duck, drain = (number(variables.get(name)) for name in (Variable.LAME_DUCK_SECONDS, Variable.DRAIN_SECONDS))
    return (10 if lame_duck is None else lame_duck) + (20 if drain is None else drain)


def stop_seconds(container: Mapping[str, Any]) -> float:
    """Say how long a container may take to stop."""
    return number(container.get("StopTimeout")) or _STOP_SECONDS


# -- as whom, and with what rights --------------------------------------------------------


@rule_of_containers(
    "S10",
    why="what breaks into the service is root in its container, one kernel fault from the instance",
    source="Security Hub, ECS.20",
    also=("ECS.20",),
)
def containers_run_as_nobody(task_definition: Resource, path: str, container: Mapping[str, Any]) -> Iterator[Fault]:
    """User is a number other than 0, and so is its group."""
    user = container.get("User")
    if user is None or _USER.fullmatch(str(user)) is None:
        yield task_definition.fault(f"{path}.User", found=user, expected="a number such as 10001:10001, not root")


@rule_of_containers(
    "S10",
    why="a privileged container has the rights of root on the instance",
    source="Security Hub, ECS.4",
    also=("ECS.4",),
)
def containers_are_not_privileged(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """Privileged is false or absent."""
    found = container.get("Privileged")
    if found is not None and flag(found) is not False:
        yield task_definition.fault(f"{path}.Privileged", found=found, expected="false")


@rule_of_containers(
    "S10",
    why="what breaks into the service can change its code, and key material can reach a disk",
    source="Security Hub, ECS.5",
    also=("ECS.5",),
)
def root_file_systems_are_read_only(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """ReadonlyRootFilesystem is true."""
    found = container.get("ReadonlyRootFilesystem")
    if flag(found) is not True:
        yield task_definition.fault(f"{path}.ReadonlyRootFilesystem", found=found, expected="true")


@rule_of_containers("S10", why="each is a way out of the container that the service does not need", source=_CONFINED)
def containers_have_no_capabilities(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """Capabilities drops ALL and adds none, no setuid program gives them back, and no profile is switched off."""
    at = f"{path}.LinuxParameters.Capabilities"
    dropped = task_definition.texts(f"{at}.Drop")
    if "ALL" not in dropped:
        yield task_definition.fault(f"{at}.Drop", found=dropped or None, expected='"ALL"')
    added = task_definition.get(f"{at}.Add")
    if added:
        yield task_definition.fault(f"{at}.Add", found=added, expected="none")
    for name in _OPENINGS:
        if container.get(name):
            yield task_definition.fault(f"{path}.{name}", found=container[name], expected="none")
    options = listed(container.get("DockerSecurityOptions"))
    if options not in (["no-new-privileges"], ["no-new-privileges:true"]):
        expected = "no-new-privileges alone"
        yield task_definition.fault(f"{path}.DockerSecurityOptions", found=options or None, expected=expected)


@rule_of_containers(
    "S10",
    why="zombies pile up and signals get lost where the service is process 1",
    source=f"{_API}: initProcessEnabled",
)
def containers_have_an_init(task_definition: Resource, path: str, container: Mapping[str, Any]) -> Iterator[Fault]:  # noqa: ARG001 -- as all
    """InitProcessEnabled is true."""
    at = f"{path}.LinuxParameters.InitProcessEnabled"
    if flag(task_definition.get(at)) is not True:
        yield task_definition.fault(at, found=task_definition.get(at), expected="true")


@rule_of_containers(
    "S10",
    why="what a process must write lands on a disk, or can be run",
    source="Docker reference, tmpfs mount options",
)
def what_is_written_stays_in_memory(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """There is a tmpfs for /tmp, each has a Size and the options noexec, nosuid and nodev, and nothing is swapped."""
    mounts = inner_tables(f"{path}.LinuxParameters", container.get("LinuxParameters") or {}, "Tmpfs")
    places = [mount.get("ContainerPath") for _, mount in mounts]
    if _TMP not in places:
        yield task_definition.fault(f"{path}.LinuxParameters.Tmpfs", found=places or None, expected="one for /tmp")
    swap = task_definition.get(f"{path}.LinuxParameters.MaxSwap")
    if swap is not None and number(swap) != 0:
        yield task_definition.fault(f"{path}.LinuxParameters.MaxSwap", found=swap, expected="none: swap is a disk")
    for at, mount in mounts:
        if not (number(mount.get("Size")) or 0) >= 1:
            yield task_definition.fault(f"{at}.Size", found=mount.get("Size"), expected="a number of MiB")
        options = {str(option) for option in listed(mount.get("MountOptions"))}
        undone = options & {option.removeprefix("no") for option in _TMPFS_OPTIONS}
        if not options >= _TMPFS_OPTIONS or undone:
            expected = ", ".join(sorted(_TMPFS_OPTIONS))
            yield task_definition.fault(f"{at}.MountOptions", found=mount.get("MountOptions"), expected=expected)


# -- what a container is told -------------------------------------------------------------


@rule_of_containers(
    "S11",
    why="variables stand in clear in the task definition, in the console and in every describe call",
    source="Security Hub, ECS.8",
    also=("ECS.8",),
)
def no_variable_is_a_secret(task_definition: Resource, path: str, container: Mapping[str, Any]) -> Iterator[Fault]:
    """No variable's name or value looks like a secret, and none comes from a store or a file of such."""
    for at, variable in inner_tables(path, container, "Environment"):
        name, value = str(variable.get("Name", "")), str(variable.get("Value", ""))
        if _SECRET_NAME.search(name) and name not in tuple(Variable):
            found = Said(f"the variable {name}")
            yield task_definition.fault(f"{at}.Name", found=found, expected="none that looks like a secret")
        if _SECRET_VALUE.search(value):
            # What it is stays out of the finding: that is printed and kept.
            found = Said(f"a value of {name} that looks like one")
            yield task_definition.fault(f"{at}.Value", found=found, expected="no secret")
    for source in ("EnvironmentFiles", "Secrets"):
        if container.get(source):
            yield task_definition.fault(f"{path}.{source}", found=Said(f"some {source}"), expected="none")


@rule_of_containers(
    "S12",
    why="the instance metadata is closed to tasks, so a client library that looks there waits; a misspelt variable is"
    " a default that silently holds",
    source="botocore: AWS_EC2_METADATA_DISABLED; service/settings.py",
)
def the_service_boots_with_its_variables(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """
    The variables are once each, and the service boots with them: its own parser says so.

    They say the region, to keep off the metadata, and the file OpenSSL reads
    before anything else; what runs, and in which directory, is the image's affair.
    """
    variables = _variables(path, container)
    names = [str(variable.get("Name")) for _, variable in inner_tables(path, container, "Environment")]
    at = f"{path}.Environment"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield task_definition.fault(at, found=Said(f"{name} twice"), expected="each variable once")
    for name, value in _demanded(task_definition, variables).items():
        if variables.get(name) != value:
            found = Said(f"{name} is {variables.get(name, 'missing')}")
            yield task_definition.fault(at, found=found, expected=f'{name} "{value}"')
    if container.get("Name") in _served_names(task_definition):
        yield from _refusals_to_boot(task_definition, path, container)


def _demanded(task_definition: Resource, variables: Mapping[str, Any]) -> dict[str, str]:
    region = task_definition.estate.place.region
    regions = {name: region for name in REGION_VARIABLES if name in variables}
    return {"AWS_REGION": region, **regions, "AWS_EC2_METADATA_DISABLED": "true"}


def _refusals_to_boot(task_definition: Resource, path: str, container: Mapping[str, Any]) -> Iterator[Fault]:
    variables, at = _variables(path, container), f"{path}.Environment"
    for fault in _boot_faults(variables):
        yield task_definition.fault(at, found=Said(fault), expected="variables the service boots with")
    if variables.get(OPENSSL_CONF_VARIABLE) != OPENSSL_CONF_FILE:
        found = Said(f"{OPENSSL_CONF_VARIABLE} is {variables.get(OPENSSL_CONF_VARIABLE, 'missing')}")
        yield task_definition.fault(at, found=found, expected=f'{OPENSSL_CONF_VARIABLE} "{OPENSSL_CONF_FILE}"')
    if variables.get(Variable.BIND_ADDRESS, "::") not in _EVERYWHERE:
        found = Said(f"{Variable.BIND_ADDRESS} is {variables[Variable.BIND_ADDRESS]}")
        yield task_definition.fault(
            at, found=found, expected="every address: what the bridge forwards comes to another"
        )
    for name in _OVERRIDES:
        if container.get(name):
            yield task_definition.fault(f"{path}.{name}", found=container[name], expected="none: the image says it")


def _served_names(task_definition: Resource) -> set[object]:
    """Give the containers the load balancer leads to; another one beside them knows no variables of ours."""
    entries = [entry for service in services_of(task_definition) for _, entry in service.tables("LoadBalancers")]
    return {entry.get("ContainerName") for entry in entries}


def _boot_faults(variables: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        parse_settings({str(name): str(value) for name, value in variables.items()})
    except SettingsError as error:
        return tuple(error.faults)
    return ()


def _variables(path: str, container: Mapping[str, Any]) -> dict[str, Any]:
    return {str(each.get("Name")): each.get("Value") for _, each in inner_tables(path, container, "Environment")}


@rule_of_containers(
    "S13",
    why="since 2025-06-25 a task that does not say loses lines in silence when the log is slow, audit lines too",
    source="ECS guide, awslogs log driver: mode, max-buffer-size",
    also=("ECS.9",),
)
def what_becomes_of_log_lines_is_decided(
    task_definition: Resource, path: str, container: Mapping[str, Any]
) -> Iterator[Fault]:
    """
    A container's log goes to CloudWatch Logs, and its mode is explicit.

    It is `blocking`, which loses nothing, or `non-blocking` with a buffer of
    25 MiB at least; the group is one of the templates, in this region.
    """
    if task_definition.get(f"{path}.LogConfiguration.LogDriver") != "awslogs":
        found = task_definition.get(f"{path}.LogConfiguration.LogDriver")
        yield task_definition.fault(f"{path}.LogConfiguration.LogDriver", found=found, expected='"awslogs"')
        return
    options, at = container["LogConfiguration"].get("Options") or {}, f"{path}.LogConfiguration.Options"
    for name, (holds, expected) in _log_demands(task_definition.estate, options).items():
        if not holds:
            yield task_definition.fault(f"{at}.{name}", found=options.get(name), expected=expected)


def _log_demands(estate: Estate, options: Mapping[str, Any]) -> dict[str, tuple[bool, str]]:
    mode = options.get("mode")
    group = estate.called(options.get("awslogs-group"), "AWS::Logs::LogGroup")
    is_kept = mode != "non-blocking" or _bytes(options.get("max-buffer-size")) >= _LEAST_BUFFER_BYTES
    region = estate.place.region
    return {
        "mode": (mode in {"blocking", "non-blocking"}, '"blocking" or "non-blocking"'),
        "max-buffer-size": (is_kept, "25m at least, where nothing waits for the log"),
        "awslogs-group": (
            group is not None and options.get("awslogs-group") == estate.ref(group),
            "a log group of the templates, by its name",
        ),
        "awslogs-region": (options.get("awslogs-region") == region, f'"{region}"'),
        "awslogs-stream-prefix": (bool(options.get("awslogs-stream-prefix")), "a prefix, so that streams tell tasks"),
        "awslogs-create-group": (
            flag(options.get("awslogs-create-group", False)) is False,
            "none: it is there already",
        ),
    }


def _bytes(value: object) -> int:
    match = re.fullmatch(r"(\d+)([bkmg]?)", str(value).lower())
    return int(match[1]) * _UNITS[match[2]] if match else 0


@rule_of_containers(
    "S14",
    why="a tag can be moved: what runs after a restart is not what was tested",
    source="Security Hub, ECR.2; Docker reference, image digests",
)
def images_are_named_by_digest(task_definition: Resource, path: str, container: Mapping[str, Any]) -> Iterator[Fault]:
    """Image is a repository of the templates and @sha256: with the digest."""
    image = container.get("Image")
    match = _DIGEST.fullmatch(str(image))
    if match is None:
        yield task_definition.fault(f"{path}.Image", found=image, expected="REPOSITORY@sha256:DIGEST")
        return
    estate = task_definition.estate
    uris = {
        str(estate.resolver.value(repository.stack, {"Fn::GetAtt": [repository.logical_id, "RepositoryUri"]}))
        for repository in estate.of_type("AWS::ECR::Repository")
    }
    if match["repository"] not in uris:
        yield task_definition.fault(f"{path}.Image", found=image, expected="an image of a repository of the templates")


@rule(
    "S14",
    why="an operator's slip hands in a tag, and nobody notices until ECS looks for it",
    source="CloudFormation guide, parameters: AllowedPattern",
)
def only_a_digest_can_be_handed_in(estate: Estate) -> Iterator[Fault]:
    """The parameter for the image's digest allows a digest and nothing else."""
    name = OperatorParameter.IMAGE_DIGEST.value
    for stack, body in estate.bodies.items():
        facts = section(body, "Parameters").get(name)
        if facts is None:
            continue
        pattern = str(facts.get("AllowedPattern", ".*"))
        wrong = [text for text in ("latest", "", "sha256:", f"SHA256:{'0' * 64}", "0" * 64) if _allows(pattern, text)]
        if wrong or not _allows(pattern, f"sha256:{'0' * 64}"):
            yield Fault(stack, name, "AllowedPattern", pattern, "a pattern that sha256: and 64 hexadecimal digits pass")
        if "Default" in facts:
            yield Fault(stack, name, "Default", str(facts["Default"]), "none: the deployer hands in what was pushed")


def _allows(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


RULES: Final[tuple[Rule, ...]] = (
    every_service_runs_a_task_definition,
    old_revisions_stay,
    tasks_are_on_the_bridge,
    tasks_have_two_roles,
    tasks_see_no_processes_of_the_host,
    tasks_have_no_disk,
    tasks_have_memory,
    ports_of_the_instance_are_fixed,
    health_is_the_load_balancers_affair,
    a_container_may_drain,
    containers_run_as_nobody,
    containers_are_not_privileged,
    root_file_systems_are_read_only,
    containers_have_no_capabilities,
    containers_have_an_init,
    what_is_written_stays_in_memory,
    no_variable_is_a_secret,
    the_service_boots_with_its_variables,
    what_becomes_of_log_lines_is_decided,
    images_are_named_by_digest,
    only_a_digest_can_be_handed_in,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
