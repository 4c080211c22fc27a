"""Tasks run as nobody, on a port of their own instance, with variables the service accepts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from service.contract import CONTAINER_NAME, HEALTH_PORT, TRAFFIC_PORT, ProxyProtocol, TokenBinding, Variable
from service.identity.policy import parse_policy
from service.settings import OPERATOR_LIMITS, SERVICE_LIMITS, parse_settings
from stacks.catalog import Catalog, assemble
from stacks.environment import BearerTokens
from stacks.environment_file import parse_environment
from stacks.naming import Output, certificate_bucket, client_registry_table
from tests.stacks.any_environment import environment_texts
from tests.stacks.environments import NAMES, catalog, changed, environment, with_tokens
from tests.stacks.templates.reading import properties, resource


def container(found: Catalog) -> Mapping[str, Any]:
    (only,) = properties(found, "workload", "TaskDefinition")["ContainerDefinitions"]
    return dict(only)


def variables(found: Catalog) -> dict[str, str]:
    """Give the container's environment as ECS resolves it."""
    outputs = {
        Output.CERTIFICATE_BUCKET_NAME: certificate_bucket(found.environment),
        Output.CLIENT_REGISTRY_TABLE_NAME: client_registry_table(found.environment),
    }
    return {
        variable["Name"]: outputs[variable["Value"]["Ref"]]
        if isinstance(variable["Value"], dict)
        else variable["Value"]
        for variable in container(found)["Environment"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_service_boots_with_the_tasks_variables(name: str) -> None:
    facts = environment(name)

    found = parse_settings(variables(catalog(name)))

    assert (found.environment_name, found.host_name, found.region) == (name, facts.ingress.host_name, facts.region)
    assert (found.traffic_port, found.health_port) == (TRAFFIC_PORT, HEALTH_PORT)
    assert found.proxy_protocol is ProxyProtocol.REQUIRED
    assert found.certificate_bucket_owner == facts.account
    assert found.limits.idle_seconds < facts.ingress.idle_timeout_seconds


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(environment_texts())
def test_the_service_boots_in_any_valid_environment(text: str) -> None:
    found = assemble(parse_environment(text, Path("drawn.toml")))

    assert parse_settings(variables(found)).environment_name == "drawn"


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_those_the_load_balancer_knows(name: str) -> None:
    """A Classic Load Balancer knows one port for every instance: dynamic ones cannot be (E2, S2)."""
    task = properties(catalog(name), "workload", "TaskDefinition")
    (balancer,) = properties(catalog(name), "workload", "Service")["LoadBalancers"]
    (listener,) = properties(catalog(name), "ingress", "LoadBalancer")["Listeners"]
    ports = {mapping["ContainerPort"]: mapping["HostPort"] for mapping in container(catalog(name))["PortMappings"]}

    assert task["NetworkMode"] == "bridge"
    assert ports == {TRAFFIC_PORT: TRAFFIC_PORT, HEALTH_PORT: HEALTH_PORT}
    assert (balancer["ContainerName"], balancer["ContainerPort"]) == (CONTAINER_NAME, TRAFFIC_PORT)
    assert listener["InstancePort"] == str(TRAFFIC_PORT)


@pytest.mark.parametrize("name", NAMES)
def test_the_container_may_do_nothing_it_need_not(name: str) -> None:
    found = container(catalog(name))

    assert int(found["User"].split(":")[0]) > 0
    assert found["Privileged"] is False
    assert found["ReadonlyRootFilesystem"] is True
    assert found["DockerSecurityOptions"] == ["no-new-privileges"]
    assert found["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert found["LinuxParameters"]["InitProcessEnabled"] is True
    assert found["LinuxParameters"]["Tmpfs"][0]["MountOptions"] == ["noexec", "nosuid", "nodev"]
    assert not {"PidMode", "IpcMode"} & set(properties(catalog(name), "workload", "TaskDefinition"))


@pytest.mark.parametrize("name", NAMES)
def test_no_variable_looks_like_a_secret(name: str) -> None:
    assert not [found for found in variables(catalog(name)) if "KEY" in found or "TOKEN" in found]
    assert variables(catalog(name))["AWS_EC2_METADATA_DISABLED"] == "true"


@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_named_by_its_digest(name: str) -> None:
    parameter = catalog(name)["workload"].template["Parameters"]["ImageDigest"]

    assert container(catalog(name))["Image"]["Fn::Sub"][0] == "${Repository}@${Digest}"
    assert parameter["AllowedPattern"] == "sha256:[0-9a-f]{64}"
    assert catalog(name)["workload"].operator_parameters == {"ImageDigest"}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_classic_load_balancer_cannot_is_not_asked(name: str) -> None:
    service = properties(catalog(name), "workload", "Service")

    assert service["AvailabilityZoneRebalancing"] == "DISABLED"
    assert not {"LaunchType", "Role", "NetworkConfiguration"} & set(service)
    assert not {"HealthCheck", "DependsOn"} & set(container(catalog(name)))


@pytest.mark.parametrize("name", NAMES)
def test_each_task_has_an_instance_to_itself(name: str) -> None:
    service = properties(catalog(name), "workload", "Service")

    assert service["SchedulingStrategy"] == "REPLICA"
    assert service["PlacementConstraints"] == [{"Type": "distinctInstance"}]


@pytest.mark.parametrize(
    ("tasks", "instances", "least", "most"),
    [(2, 2, 50, 100), (3, 3, 66, 100), (4, 3, 75, 100), (2, 3, 100, 150), (3, 4, 100, 134)],
)
def test_a_release_can_always_take_its_first_step(tasks: int, instances: int, least: int, most: int) -> None:
    found = assemble(
        changed(
            ("tasks = 2\nmax_tasks = 4", f"tasks = {tasks}\nmax_tasks = 4"),
            ("min_instances = 2", f"min_instances = {instances}"),
        )
    )

    deployment = properties(found, "workload", "Service")["DeploymentConfiguration"]

    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (least, most)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(environment_texts())
def test_a_release_never_deadlocks_at_any_number_of_tasks(text: str) -> None:
    """ECS rounds the least up and the most down: a task must be free to stop, or one to start (S5)."""
    found = assemble(parse_environment(text, Path("drawn.toml")))
    deployment = properties(found, "workload", "Service")["DeploymentConfiguration"]

    for tasks in range(found.environment.service.tasks, found.environment.service.max_tasks + 1):
        may_stop = math.ceil(tasks * deployment["MinimumHealthyPercent"] / 100) < tasks
        may_start = tasks * deployment["MaximumPercent"] // 100 > tasks
        assert may_stop or (may_start and found.environment.capacity.max_instances > tasks)


@pytest.mark.parametrize("name", NAMES)
def test_tasks_get_the_time_they_need(name: str) -> None:
    """To start before they are judged, and to end before they are killed (S7, S9, A14)."""
    facts, service = environment(name), properties(catalog(name), "workload", "Service")
    stop = container(catalog(name))["StopTimeout"]

    assert service["HealthCheckGracePeriodSeconds"] >= 60 + 2 * 2 * facts.ingress.health_check_interval_seconds
    assert stop > facts.service.lame_duck_seconds + facts.service.drain_seconds
    assert stop >= facts.ingress.draining_seconds


@pytest.mark.parametrize("name", NAMES)
def test_old_revisions_stay_to_be_gone_back_to(name: str) -> None:
    assert resource(catalog(name), "workload", "TaskDefinition")["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_tasks_follows_the_load_within_its_bounds(name: str) -> None:
    facts, target = environment(name).service, properties(catalog(name), "workload", "ScalableTarget")

    assert properties(catalog(name), "workload", "Service")["DesiredCount"] == facts.tasks
    assert (target["MinCapacity"], target["MaxCapacity"]) == (facts.tasks, facts.max_tasks)


@pytest.mark.parametrize("name", ["local", "staging"])
def test_what_becomes_of_a_log_line_is_decided(name: str) -> None:
    options = container(catalog(name))["LogConfiguration"]["Options"]

    assert (options["mode"], options["max-buffer-size"]) == ("non-blocking", "25m")


def test_an_environment_may_have_the_service_wait_for_its_log() -> None:
    """Then the service itself holds lines, and counts what it loses (S13)."""
    options = container(catalog("production"))["LogConfiguration"]["Options"]

    assert (options["mode"], options.get("max-buffer-size")) == ("blocking", None)


def test_routes_and_tokens_reach_the_service_as_they_stand_in_the_file() -> None:
    facts = with_tokens()

    given = variables(assemble(facts))
    found = parse_settings(given)

    assert found.policy == facts.policy
    assert found.token_issuer is not None
    assert (found.token_issuer.issuer, found.token_issuer.key_set) == ("https://issuer.example", "tokens/issuer.json")
    assert found.token_binding is TokenBinding.REQUIRED
    assert given[Variable.POLICY] == (
        '{"routes":[{"path":"/records","all_of":["pinned_certificate","bearer_token"],"roles":["send"]},'
        '{"path":"/","all_of":["pinned_certificate"]}]}'
    )


def test_the_default_policy_needs_no_variable() -> None:
    assert not {Variable.POLICY, Variable.TOKEN_ISSUER, Variable.TOKEN_BINDING} & variables(catalog()).keys()


def test_limits_reach_the_service_when_the_file_gives_them_and_only_then() -> None:
    facts = replace(environment(), limits={"body_bytes": 1_048_576, "connection_seconds": 600})

    given = variables(assemble(facts))

    assert {name for name in given if name.startswith(("MTLS_BODY", "MTLS_CONNECTION"))} == {
        Variable.BODY_BYTES,
        Variable.CONNECTION_SECONDS,
    }
    found = parse_settings(given).limits
    assert (found.body_bytes, found.connection_seconds) == (1_048_576, 600)


def test_every_limit_reaches_the_service() -> None:
    least = {name: bound.least for name, bound in OPERATOR_LIMITS.items() if name != "idle_seconds"}

    found = parse_settings(variables(assemble(replace(environment(), limits=least))))

    assert {name: getattr(found if name in SERVICE_LIMITS else found.limits, name) for name in least} == least


def test_how_often_the_issuers_keys_are_fetched_reaches_the_service() -> None:
    tokens = BearerTokens("https://issuer", "us", "tokens/keys.json", TokenBinding.REQUIRED, key_set_seconds=60)
    policy = parse_policy('{"routes":[{"path":"/","all_of":["pinned_certificate","bearer_token"]}]}')

    found = parse_settings(variables(assemble(replace(environment(), policy=policy, bearer_token=tokens))))

    assert found.token_issuer is not None
    assert found.token_issuer.key_set_seconds == 60


def test_workers_left_out_are_left_to_the_service() -> None:
    facts = environment()

    given = variables(assemble(replace(facts, service=replace(facts.service, workers=None))))

    assert Variable.WORKERS not in given
    assert parse_settings(given).workers is None


@pytest.mark.parametrize(
    ("key", "value"), [("application", "partner.app:app"), ("forward_to", "http://records.internal:8080")]
)
def test_what_answers_reaches_the_service(key: str, value: str) -> None:
    facts = environment()
    assert not {Variable.APPLICATION, Variable.FORWARD_TO} & {*variables(assemble(facts))}

    answering: dict[str, Any] = {key: value}
    given = variables(assemble(replace(facts, service=replace(facts.service, **answering))))

    assert getattr(parse_settings(given), key) == value
