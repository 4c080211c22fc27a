"""What runs, on which ports, as whom, and what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.rules import tasks
from stacks.rules.rule import Rule
from tests.stacks.rules.cases import Case, Spoil, Templates, put, removed

TASK = "AWS::ECS::TaskDefinition"
AT = "workload.TaskDefinition.Properties"
INSIDE = "ContainerDefinitions.0"
CONTAINER = f"{AT}.{INSIDE}"
OPTIONS = "LogConfiguration.Options"


def inside(path: str, value: object) -> Spoil:
    """Set a property of the container; `...` takes it away."""
    return put(TASK, f"{INSIDE}.{path}", value)


def variable(name: str, value: object) -> Spoil:
    """Set a variable of the container, a new one at the end; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        variables = templates.properties(TASK)["ContainerDefinitions"][0]["Environment"]
        kept = [each for each in variables if each["Name"] != name]
        variables[:] = kept if value is ... else [*kept, {"Name": name, "Value": value}]

    return spoil


def _twice(templates: Templates) -> None:
    variables = templates.properties(TASK)["ContainerDefinitions"][0]["Environment"]
    variables.append({"Name": "AWS_REGION", "Value": "us-east-1"})


def _second_container_on_the_same_port(templates: Templates) -> None:
    containers = templates.properties(TASK)["ContainerDefinitions"]
    containers.append({"Name": "sidecar", "PortMappings": [{"ContainerPort": 9000, "HostPort": 8443}]})


def _privileged_sidecar(templates: Templates) -> None:
    containers = templates.properties(TASK)["ContainerDefinitions"]
    containers.append({"Name": "sidecar", "Privileged": "true"})


def _not_retained(value: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.resource(TASK)["UpdateReplacePolicy"] = value

    return spoil


def _parameter(**facts: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies["workload"]["Parameters"]["ImageDigest"] |= facts

    return spoil


def _group_by_its_arn(templates: Templates) -> None:
    output = templates.bodies["observability"]["Outputs"]["ServiceLogGroupName"]
    output["Value"] = {"Fn::GetAtt": ["ServiceLogGroup", "Arn"]}


def _image(text: object) -> Spoil:
    return inside("Image", text)


def _case(rule: Any, path: str, value: object, place: str = "", says: str = "") -> Case:
    """Spoil a property of the container; the finding is there, or at another path below the container."""
    return Case(rule, inside(path, value), f"{CONTAINER}.{place or path}", says)


CASES = [
    Case(tasks.every_service_runs_a_task_definition, removed(TASK), "", "a task definition"),
    Case(tasks.every_service_runs_a_task_definition, put(TASK, "ContainerDefinitions", []), AT, "a container"),
    Case(
        tasks.every_service_runs_a_task_definition,
        put("AWS::ECS::Service", "TaskDefinition", "mtls-ingress-staging-service:7"),
        "workload.Service.Properties.TaskDefinition",
    ),
    Case(tasks.old_revisions_stay, _not_retained("Delete"), "workload.TaskDefinition.UpdateReplacePolicy"),
    Case(tasks.old_revisions_stay, _not_retained(None), "workload.TaskDefinition.UpdateReplacePolicy", "nothing"),
    Case(tasks.tasks_are_on_the_bridge, put(TASK, "NetworkMode", "awsvpc"), f"{AT}.NetworkMode"),
    Case(tasks.tasks_are_on_the_bridge, put(TASK, "NetworkMode", "host"), f"{AT}.NetworkMode"),
    Case(tasks.tasks_are_on_the_bridge, put(TASK, "NetworkMode", ...), f"{AT}.NetworkMode"),
    Case(
        tasks.tasks_are_on_the_bridge,
        put(TASK, "RequiresCompatibilities", ["EC2", "FARGATE"]),
        f"{AT}.RequiresCompatibilities",
    ),
    Case(
        tasks.tasks_are_on_the_bridge,
        put("AWS::ECS::Service", "NetworkConfiguration", {"AwsvpcConfiguration": {"AssignPublicIp": "ENABLED"}}),
        "workload.Service.Properties.NetworkConfiguration",
    ),
    Case(tasks.tasks_have_two_roles, put(TASK, "TaskRoleArn", ...), f"{AT}.TaskRoleArn"),
    Case(tasks.tasks_have_two_roles, put(TASK, "ExecutionRoleArn", "arn:aws:iam::1:role/x"), f"{AT}.ExecutionRoleArn"),
    Case(
        tasks.tasks_have_two_roles,
        put(TASK, "TaskRoleArn", {"Ref": "ExecutionRoleArn"}),
        f"{AT}.TaskRoleArn",
        "another",
    ),
    Case(tasks.tasks_see_no_processes_of_the_host, put(TASK, "PidMode", "host"), f"{AT}.PidMode"),
    Case(tasks.tasks_see_no_processes_of_the_host, put(TASK, "IpcMode", "host"), f"{AT}.IpcMode"),
    Case(
        tasks.tasks_have_no_disk,
        put(TASK, "Volumes", [{"Name": "docker", "Host": {"SourcePath": "/var/run/docker.sock"}}]),
        f"{AT}.Volumes",
    ),
    _case(tasks.tasks_have_no_disk, "MountPoints", [{"SourceVolume": "docker", "ContainerPath": "/run/docker.sock"}]),
    _case(tasks.tasks_have_no_disk, "VolumesFrom", [{"SourceContainer": "sidecar"}]),
    _case(tasks.tasks_have_no_disk, "LinuxParameters.Devices", [{"HostPath": "/dev/kvm"}]),
    _case(tasks.tasks_have_memory, "Memory", ...),
    _case(tasks.tasks_have_memory, "Memory", "1 GB"),
    _case(tasks.tasks_have_memory, "MemoryReservation", 1024),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.0.HostPort", 0),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.0.HostPort", ...),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.0.HostPort", 8443.5),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.1.HostPort", 22, says="agent"),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.1.HostPort", "51679", says="agent"),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.0.HostPort", 32768, says="ephemeral"),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.1.HostPort", 8443, says="no other mapping"),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.0.Protocol", "udp"),
    _case(tasks.ports_of_the_instance_are_fixed, "PortMappings.0.ContainerPortRange", "8000-9000"),
    Case(
        tasks.ports_of_the_instance_are_fixed,
        _second_container_on_the_same_port,
        f"{AT}.ContainerDefinitions.1.PortMappings.0.HostPort",
    ),
    _case(tasks.health_is_the_load_balancers_affair, "HealthCheck", {"Command": ["CMD", "true"]}),
    _case(
        tasks.health_is_the_load_balancers_affair,
        "DependsOn",
        [{"ContainerName": "sidecar", "Condition": "HEALTHY"}],
        "DependsOn.0.Condition",
    ),
    _case(tasks.a_container_may_drain, "StopTimeout", 84, says="85 seconds"),
    _case(tasks.a_container_may_drain, "StopTimeout", ...),
    Case(tasks.a_container_may_drain, variable("MTLS_DRAIN_SECONDS", "120"), f"{CONTAINER}.StopTimeout", "145"),
    _case(tasks.containers_run_as_nobody, "User", ...),
    _case(tasks.containers_run_as_nobody, "User", "root"),
    _case(tasks.containers_run_as_nobody, "User", "0:10001"),
    _case(tasks.containers_run_as_nobody, "User", "10001:0"),
    _case(tasks.containers_run_as_nobody, "User", "00"),
    _case(tasks.containers_run_as_nobody, "User", "nobody"),
    _case(tasks.containers_are_not_privileged, "Privileged", True),
    Case(tasks.containers_are_not_privileged, _privileged_sidecar, f"{AT}.ContainerDefinitions.1.Privileged"),
    _case(tasks.root_file_systems_are_read_only, "ReadonlyRootFilesystem", ...),
    _case(tasks.root_file_systems_are_read_only, "ReadonlyRootFilesystem", False),
    _case(
        tasks.containers_have_no_capabilities, "LinuxParameters.Capabilities", ..., "LinuxParameters.Capabilities.Drop"
    ),
    _case(tasks.containers_have_no_capabilities, "LinuxParameters.Capabilities.Drop", ["NET_RAW"]),
    _case(tasks.containers_have_no_capabilities, "LinuxParameters.Capabilities.Add", ["NET_BIND_SERVICE"]),
    _case(tasks.containers_have_no_capabilities, "DockerSecurityOptions", ...),
    _case(
        tasks.containers_have_no_capabilities,
        "DockerSecurityOptions",
        ["no-new-privileges", "apparmor:unconfined"],
    ),
    _case(tasks.containers_have_an_init, "LinuxParameters.InitProcessEnabled", False),
    _case(tasks.containers_have_an_init, "LinuxParameters", ..., "LinuxParameters.InitProcessEnabled"),
    _case(tasks.what_is_written_stays_in_memory, "LinuxParameters.Tmpfs", ...),
    _case(tasks.what_is_written_stays_in_memory, "LinuxParameters", ..., "LinuxParameters.Tmpfs"),
    _case(tasks.what_is_written_stays_in_memory, "LinuxParameters.Tmpfs.0.Size", ...),
    _case(tasks.what_is_written_stays_in_memory, "LinuxParameters.Tmpfs.0.MountOptions", ["noexec", "nodev"]),
    _case(
        tasks.what_is_written_stays_in_memory,
        "LinuxParameters.Tmpfs.0.MountOptions",
        ["noexec", "nosuid", "nodev", "exec"],
    ),
    Case(tasks.no_variable_is_a_secret, variable("AWS_ACCESS_KEY_ID", "x"), CONTAINER, "AWS_ACCESS_KEY_ID"),
    Case(tasks.no_variable_is_a_secret, variable("ECS_ENGINE_AUTH_DATA", "{}"), CONTAINER, "ECS_ENGINE_AUTH_DATA"),
    Case(tasks.no_variable_is_a_secret, variable("db_password", "x"), CONTAINER, "db_password"),
    Case(tasks.no_variable_is_a_secret, variable("MTLS_TOKEN", "x"), CONTAINER, "MTLS_TOKEN"),
    Case(tasks.no_variable_is_a_secret, variable("UPSTREAM", "AKIAIOSFODNN7EXAMPLE"), CONTAINER, "a value of UPSTREAM"),
    Case(tasks.no_variable_is_a_secret, variable("PEM", "-----BEGIN EC PRIVATE KEY-----"), CONTAINER, "PEM"),
    Case(tasks.no_variable_is_a_secret, variable("DATABASE", "postgres://me:hush@db/records"), CONTAINER, "DATABASE"),
    Case(tasks.no_variable_is_a_secret, variable("DATABASE", "{{resolve:secretsmanager:db}}"), CONTAINER, "DATABASE"),
    _case(tasks.no_variable_is_a_secret, "EnvironmentFiles", [{"Type": "s3", "Value": "arn:aws:s3:::b/env"}]),
    Case(tasks.the_service_boots_with_its_variables, variable("AWS_REGION", ...), CONTAINER, "AWS_REGION"),
    Case(tasks.the_service_boots_with_its_variables, variable("AWS_REGION", "eu-west-1"), CONTAINER, "us-east-1"),
    Case(tasks.the_service_boots_with_its_variables, variable("AWS_EC2_METADATA_DISABLED", "1"), CONTAINER, "true"),
    Case(tasks.the_service_boots_with_its_variables, variable("AWS_EC2_METADATA_DISABLED", ...), CONTAINER, "missing"),
    Case(tasks.the_service_boots_with_its_variables, _twice, CONTAINER, "AWS_REGION twice"),
    Case(tasks.the_service_boots_with_its_variables, variable("MTLS_HOST_NAME", ...), CONTAINER, "MTLS_HOST_NAME"),
    Case(
        tasks.the_service_boots_with_its_variables, variable("MTLS_DRAIN_SECOND", "9"), CONTAINER, "MTLS_DRAIN_SECOND"
    ),
    _case(tasks.what_becomes_of_log_lines_is_decided, "LogConfiguration", ..., "LogConfiguration.LogDriver"),
    _case(tasks.what_becomes_of_log_lines_is_decided, "LogConfiguration.LogDriver", "json-file"),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.mode", ...),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.mode", "non_blocking"),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.max-buffer-size", ...),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.max-buffer-size", "25k"),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.max-buffer-size", "plenty"),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.awslogs-group", "/service"),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.awslogs-region", "eu-west-1"),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.awslogs-stream-prefix", ...),
    _case(tasks.what_becomes_of_log_lines_is_decided, f"{OPTIONS}.awslogs-create-group", "true"),
    _case(tasks.images_are_named_by_digest, "Image", {"Fn::Sub": "${RepositoryUri}:latest"}),
    _case(tasks.images_are_named_by_digest, "Image", {"Fn::Sub": "${RepositoryUri}:v1@${ImageDigest}"}),
    _case(tasks.images_are_named_by_digest, "Image", {"Ref": "RepositoryUri"}),
    _case(
        tasks.images_are_named_by_digest,
        "Image",
        {"Fn::Sub": "docker.io/library/nginx@${ImageDigest}"},
        says="a repository of the templates",
    ),
    Case(tasks.only_a_digest_can_be_handed_in, _parameter(AllowedPattern=".+"), "workload.ImageDigest.AllowedPattern"),
    Case(
        tasks.only_a_digest_can_be_handed_in,
        _parameter(AllowedPattern="[0-9a-f]{64}"),
        "workload.ImageDigest.AllowedPattern",
    ),
    Case(tasks.only_a_digest_can_be_handed_in, _parameter(Default="sha256:0"), "workload.ImageDigest.Default"),
    _case(tasks.no_variable_is_a_secret, "Secrets", [{"Name": "SERVER_KEY", "ValueFrom": "/server/key"}]),
    Case(
        tasks.the_service_boots_with_its_variables, variable("OPENSSL_CONF", ...), CONTAINER, "OPENSSL_CONF is missing"
    ),
    Case(
        tasks.the_service_boots_with_its_variables, variable("OPENSSL_CONF", "/etc/ssl/openssl.cnf"), CONTAINER, "/etc"
    ),
    Case(tasks.the_service_boots_with_its_variables, variable("AWS_DEFAULT_REGION", "eu-west-1"), CONTAINER, "eu-west"),
    Case(tasks.the_service_boots_with_its_variables, variable("MTLS_BIND_ADDRESS", "127.0.0.1"), CONTAINER, "bridge"),
    Case(tasks.the_service_boots_with_its_variables, variable("MTLS_DRAIN_SECONDS", "1m"), CONTAINER, "whole number"),
    Case(tasks.the_service_boots_with_its_variables, variable("MTLS_DRAIN_SECONDS", "299"), CONTAINER, "together"),
    _case(tasks.the_service_boots_with_its_variables, "Command", ["sleep", "infinity"]),
    _case(tasks.the_service_boots_with_its_variables, "EntryPoint", ["/bin/sh"]),
    _case(tasks.the_service_boots_with_its_variables, "WorkingDirectory", "/tmp"),  # noqa: S108 -- in a container
    _case(tasks.containers_have_no_capabilities, "ExtraHosts", [{"Hostname": "s3", "IpAddress": "10.0.0.1"}]),
    _case(tasks.containers_have_no_capabilities, "DnsServers", ["192.0.2.53"]),
    _case(tasks.containers_have_no_capabilities, "SystemControls", [{"Namespace": "net.ipv4.ip_forward"}]),
    _case(tasks.containers_have_no_capabilities, "DisableNetworking", True),
    _case(tasks.containers_have_no_capabilities, "PseudoTerminal", True),
    _case(
        tasks.what_is_written_stays_in_memory,
        "LinuxParameters.Tmpfs.0.ContainerPath",
        "/run",
        "LinuxParameters.Tmpfs",
        "one for",
    ),
    _case(tasks.what_is_written_stays_in_memory, "LinuxParameters.MaxSwap", 1024),
    Case(tasks.tasks_are_on_the_bridge, put(TASK, "ProxyConfiguration", {"ContainerName": "x"}), AT, "another network"),
    Case(tasks.tasks_are_on_the_bridge, put("AWS::ECS::Service", "PlatformVersion", "LATEST"), "workload.Service"),
    Case(tasks.what_becomes_of_log_lines_is_decided, _group_by_its_arn, CONTAINER, "by its name"),
]


def _task_memory(templates: Templates) -> None:
    put(TASK, "Memory", "1024")(templates)
    inside("Memory", ...)(templates)


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (tasks.tasks_see_no_processes_of_the_host, put(TASK, "PidMode", "task")),
        (tasks.tasks_see_no_processes_of_the_host, put(TASK, "IpcMode", "task")),
        (tasks.tasks_see_no_processes_of_the_host, put(TASK, "IpcMode", "none")),
        (tasks.tasks_have_memory, _task_memory),
        (tasks.tasks_have_memory, inside("Memory", 6)),
        (tasks.tasks_have_memory, inside("MemoryReservation", 1023)),
        (tasks.ports_of_the_instance_are_fixed, inside("PortMappings.0.HostPort", 1)),
        (tasks.ports_of_the_instance_are_fixed, inside("PortMappings.0.HostPort", "32767")),
        (tasks.a_container_may_drain, inside("StopTimeout", 85)),
        (tasks.containers_run_as_nobody, inside("User", "10001")),
        (tasks.what_is_written_stays_in_memory, inside("LinuxParameters.Tmpfs.0.Size", 1)),
        (tasks.what_becomes_of_log_lines_is_decided, inside(f"{OPTIONS}.max-buffer-size", "1g")),
    ],
)
def test_what_aws_takes_and_we_need_is_fine(rule: Rule, spoil: Spoil) -> None:
    """Each is the last value on the good side of a bound, or another way to say the same."""
    templates = Templates.of()
    spoil(templates)

    assert rule(templates.estate()) == []


def test_blocking_needs_no_buffer() -> None:
    """Then a line waits for the log, and the service for the line."""
    templates = Templates.of()
    options = templates.properties(TASK)["ContainerDefinitions"][0]["LogConfiguration"]["Options"]
    options["mode"] = "blocking"
    del options["max-buffer-size"]

    assert tasks.what_becomes_of_log_lines_is_decided(templates.estate()) == []


@pytest.mark.parametrize("name", ["MTLS_TOKEN_ISSUER", "MTLS_TOKEN_AUDIENCE", "MTLS_TOKEN_KEY_SET"])
def test_what_the_service_asks_for_is_no_secret(name: str) -> None:
    """Whose tokens count is public; a token is not among the service's variables."""
    templates = Templates.of()
    variable(name, "https://issuer.example/keys.json")(templates)

    assert tasks.no_variable_is_a_secret(templates.estate()) == []


def test_a_container_beside_the_service_knows_none_of_its_variables() -> None:
    templates = Templates.of()
    variables = [
        {"Name": "AWS_REGION", "Value": "us-east-1"},
        {"Name": "AWS_EC2_METADATA_DISABLED", "Value": "true"},
    ]
    containers = templates.properties(TASK)["ContainerDefinitions"]
    containers.append({"Name": "sidecar", "Environment": variables})

    assert tasks.the_service_boots_with_its_variables(templates.estate()) == []


def test_a_secret_is_not_repeated_in_the_finding() -> None:
    """A finding is printed, and kept by CI."""
    templates = Templates.of()
    variable("UPSTREAM", "https://me:hush@upstream.internal/")(templates)

    (finding,) = tasks.no_variable_is_a_secret(templates.estate())

    assert "hush" not in str(finding)
