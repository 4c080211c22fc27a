"""
The workload: the task definition, the ECS service that keeps tasks running, and how their number follows the load.

Behind a Classic Load Balancer every task takes the same port of its instance,
so each has an instance to itself.
"""

from __future__ import annotations

from typing import Final

from troposphere import GetAtt, Parameter, Ref, Sub, Template
from troposphere.applicationautoscaling import (
    PredefinedMetricSpecification,
    ScalableTarget,
    ScalingPolicy,
    TargetTrackingScalingPolicyConfiguration,
)
from troposphere.ecs import (
    CapacityProviderStrategyItem,
    ContainerDefinition,
    DeploymentCircuitBreaker,
    DeploymentConfiguration,
    KernelCapabilities,
    LinuxParameters,
    LoadBalancer,
    LogConfiguration,
    PlacementConstraint,
    PlacementStrategy,
    PortMapping,
    RuntimePlatform,
    Service,
    TaskDefinition,
    Tmpfs,
    Ulimit,
)
from troposphere.ecs import Environment as EnvironmentVariable

from service.contract import (
    CONTAINER_NAME,
    CONTAINER_USER,
    HEALTH_PORT,
    OPENSSL_CONF_FILE,
    OPENSSL_CONF_VARIABLE,
    TRAFFIC_PORT,
    ProxyProtocol,
    Variable,
)
from service.identity.policy import DEFAULT_POLICY, render_policy
from service.settings import KEY_SET_BOUND, OPERATOR_LIMITS
from stacks import naming
from stacks.environment import HEALTHY_THRESHOLD, Architecture, Environment, LogDelivery
from stacks.naming import OperatorParameter, Output
from stacks.templates.joints import begin, offer, take

_START_SECONDS: Final = 60
"""From a task's start to its first healthy answer, the fetch of the certificate and some retries included."""
_OPEN_FILES: Final = 65_536
"""A connection each, and Docker's default of 1024 would be the first limit anybody meets."""
_CPU_TARGET_PERCENT: Final = 60
_SCALE_IN_COOLDOWN_SECONDS: Final = 300
_SCALE_OUT_COOLDOWN_SECONDS: Final = 60


def build(environment: Environment) -> Template:
    """Build the template of what runs."""
    template = begin(environment, "the service")
    task_definition = template.add_resource(_task_definition(template, environment))
    service = template.add_resource(_service(template, environment, task_definition))
    target = template.add_resource(_scalable_target(template, environment, service))
    template.add_resource(_scaling_policy(target))
    offer(template, Output.SERVICE_NAME, GetAtt(service, "Name"))
    return template


def _task_definition(template: Template, environment: Environment) -> TaskDefinition:
    architecture = {Architecture.X86_64: "X86_64", Architecture.ARM64: "ARM64"}
    return TaskDefinition(
        "TaskDefinition",
        Family=naming.service_name(environment),
        NetworkMode="bridge",
        RequiresCompatibilities=["EC2"],
        RuntimePlatform=RuntimePlatform(
            CpuArchitecture=architecture[environment.capacity.architecture], OperatingSystemFamily="LINUX"
        ),
        TaskRoleArn=take(template, environment, Output.TASK_ROLE_ARN),
        ExecutionRoleArn=take(template, environment, Output.EXECUTION_ROLE_ARN),
        ContainerDefinitions=[_container(template, environment)],
        # Every change is a new revision; the old one stays, to be gone back to, until the stack goes.
        DeletionPolicy="Delete",
        UpdateReplacePolicy="Retain",
    )


def _container(template: Template, environment: Environment) -> ContainerDefinition:
    """Describe the container; without a health check of its own, which ECS does not heed behind this load balancer."""
    facts = environment.service
    repository = take(template, environment, Output.REPOSITORY_URI)
    digest = template.add_parameter(
        Parameter(
            str(OperatorParameter.IMAGE_DIGEST),
            Type="String",
            AllowedPattern="sha256:[0-9a-f]{64}",
            Description="The image that runs, by the digest of its manifest",
        )
    )
    return ContainerDefinition(
        Name=CONTAINER_NAME,
        Image=Sub("${Repository}@${Digest}", Repository=repository, Digest=Ref(digest)),
        Essential=True,
        Cpu=facts.cpu_units,
        Memory=facts.memory_mib,
        PortMappings=[
            PortMapping(ContainerPort=port, HostPort=port, Protocol="tcp") for port in (TRAFFIC_PORT, HEALTH_PORT)
        ],
        Environment=_variables(template, environment),
        User=CONTAINER_USER,
        Privileged=False,
        ReadonlyRootFilesystem=True,
        # No setuid program of the base image can give back what is dropped below.
        DockerSecurityOptions=["no-new-privileges"],
        LinuxParameters=LinuxParameters(
            Capabilities=KernelCapabilities(Drop=["ALL"]),
            InitProcessEnabled=True,
            Tmpfs=[Tmpfs(ContainerPath="/tmp", Size=16, MountOptions=["noexec", "nosuid", "nodev"])],  # noqa: S108
        ),
        Ulimits=[Ulimit(Name="nofile", SoftLimit=_OPEN_FILES, HardLimit=_OPEN_FILES)],
        StopTimeout=facts.stop_timeout_seconds,
        LogConfiguration=_log(template, environment),
    )


def _variables(template: Template, environment: Environment) -> list[EnvironmentVariable]:
    values: dict[str, object] = {
        Variable.ENVIRONMENT_NAME: environment.name,
        Variable.HOST_NAME: environment.ingress.host_name,
        Variable.CERTIFICATE_BUCKET: take(template, environment, Output.CERTIFICATE_BUCKET_NAME),
        Variable.CERTIFICATE_BUCKET_OWNER: environment.account,
        Variable.CLIENT_REGISTRY_TABLE: take(template, environment, Output.CLIENT_REGISTRY_TABLE_NAME),
        Variable.PROXY_PROTOCOL: ProxyProtocol.REQUIRED.value,
        Variable.TRAFFIC_PORT: str(TRAFFIC_PORT),
        Variable.HEALTH_PORT: str(HEALTH_PORT),
        **({Variable.WORKERS: str(environment.service.workers)} if environment.service.workers is not None else {}),
        Variable.IDLE_TIMEOUT_SECONDS: str(environment.ingress.service_idle_timeout_seconds),
        Variable.LAME_DUCK_SECONDS: str(environment.service.lame_duck_seconds),
        Variable.DRAIN_SECONDS: str(environment.service.drain_seconds),
        OPENSSL_CONF_VARIABLE: OPENSSL_CONF_FILE,
        **_policy_variables(environment),
        **_answering_variables(environment),
        **{OPERATOR_LIMITS[name].variable: str(value) for name, value in environment.limits.items()},
        "AWS_REGION": environment.region,
        # Instances keep containers from the metadata; the client library must not wait for it.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return [EnvironmentVariable(Name=str(name), Value=value) for name, value in values.items()]


def _policy_variables(environment: Environment) -> dict[str, object]:
    """Say what requests must pass; the service's own default needs no variable."""
    values: dict[str, object] = {}
    if environment.policy != DEFAULT_POLICY:
        values[Variable.POLICY] = render_policy(environment.policy)
    tokens = environment.bearer_token
    if tokens is None:
        return values
    if tokens.issuer is not None:
        values[Variable.TOKEN_ISSUER] = tokens.issuer
        values[Variable.TOKEN_AUDIENCE] = tokens.audience
        values[Variable.TOKEN_KEY_SET] = tokens.key_set
        if tokens.key_set_seconds is not None:
            values[KEY_SET_BOUND.variable] = str(tokens.key_set_seconds)
    values[Variable.TOKEN_BINDING] = tokens.binding.value
    return values


def _answering_variables(environment: Environment) -> dict[str, object]:
    """Say what answers; without a word the service welcomes clients itself."""
    facts = environment.service
    given = {Variable.APPLICATION: facts.application, Variable.FORWARD_TO: facts.forward_to}
    return {name: value for name, value in given.items() if value is not None}


def _log(template: Template, environment: Environment) -> LogConfiguration:
    """
    Say where lines go, and what becomes of them when the log is slow.

    Either the driver drops what does not fit its buffer, and counts nothing;
    or it reads no further, and the service, which holds 4 MiB for each worker
    and answers on, counts what it loses itself. What AWS does when nobody says
    has changed before (ECS guide, awslogs log driver).
    """
    is_waiting = environment.logs.delivery is LogDelivery.BLOCKING
    return LogConfiguration(
        LogDriver="awslogs",
        Options={
            "awslogs-group": take(template, environment, Output.SERVICE_LOG_GROUP_NAME),
            "awslogs-region": environment.region,
            "awslogs-stream-prefix": CONTAINER_NAME,
            "mode": environment.logs.delivery.value,
            **({} if is_waiting else {"max-buffer-size": "25m"}),
        },
    )


def _service(template: Template, environment: Environment, task_definition: TaskDefinition) -> Service:
    return Service(
        "Service",
        Cluster=take(template, environment, Output.CLUSTER_NAME),
        ServiceName=naming.service_name(environment),
        TaskDefinition=Ref(task_definition),
        CapacityProviderStrategy=[
            CapacityProviderStrategyItem(
                CapacityProvider=take(template, environment, Output.CAPACITY_PROVIDER_NAME), Weight=1
            )
        ],
        SchedulingStrategy="REPLICA",
        DesiredCount=environment.service.tasks,
        DeploymentConfiguration=_deployment(environment),
        # On by default, and refused behind a Classic Load Balancer (ECS guide, service rebalancing).
        AvailabilityZoneRebalancing="DISABLED",
        PlacementConstraints=[PlacementConstraint(Type="distinctInstance")],
        PlacementStrategies=[PlacementStrategy(Type="spread", Field="attribute:ecs.availability-zone")],
        LoadBalancers=[
            LoadBalancer(
                LoadBalancerName=take(template, environment, Output.LOAD_BALANCER_NAME),
                ContainerName=CONTAINER_NAME,
                ContainerPort=TRAFFIC_PORT,
            )
        ],
        HealthCheckGracePeriodSeconds=_START_SECONDS
        + 2 * environment.ingress.health_check_interval_seconds * HEALTHY_THRESHOLD,
        EnableExecuteCommand=False,
        EnableECSManagedTags=True,
        PropagateTags="SERVICE",
    )


def _deployment(environment: Environment) -> DeploymentConfiguration:
    """
    Say how many tasks may be missing or too many while one release replaces another.

    A task needs an instance to itself. Where the environment keeps one to
    spare, a new task starts there before an old one stops; where it does not,
    one task at a time stops and its successor takes the instance. Either way
    at least one step is always possible (ECS guide, deployment rounding).
    """
    tasks = environment.service.tasks
    if environment.capacity.min_instances > tasks:
        least, most = 100, -(-100 * (tasks + 1) // tasks)
    else:
        least, most = 100 * (tasks - 1) // tasks, 100
    return DeploymentConfiguration(
        MinimumHealthyPercent=least,
        MaximumPercent=most,
        DeploymentCircuitBreaker=DeploymentCircuitBreaker(Enable=True, Rollback=True),
    )


def _scalable_target(template: Template, environment: Environment, service: Service) -> ScalableTarget:
    cluster = take(template, environment, Output.CLUSTER_NAME)
    return ScalableTarget(
        "ScalableTarget",
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId=Sub("service/${Cluster}/${Service}", Cluster=cluster, Service=GetAtt(service, "Name")),
        MinCapacity=environment.service.tasks,
        MaxCapacity=environment.service.max_tasks,
    )


def _scaling_policy(target: ScalableTarget) -> ScalingPolicy:
    return ScalingPolicy(
        "ScalingPolicy",
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        ScalingTargetId=Ref(target),
        TargetTrackingScalingPolicyConfiguration=TargetTrackingScalingPolicyConfiguration(
            PredefinedMetricSpecification=PredefinedMetricSpecification(
                PredefinedMetricType="ECSServiceAverageCPUUtilization"
            ),
            TargetValue=_CPU_TARGET_PERCENT,
            ScaleInCooldown=_SCALE_IN_COOLDOWN_SECONDS,
            ScaleOutCooldown=_SCALE_OUT_COOLDOWN_SECONDS,
        ),
    )
