"""The rules on container instances: what they are started from, and what keeps tasks from what is theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stacks.environment import Architecture
from stacks.instance_types import architecture, size
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.order import mentions
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of
from stacks.rules.tasks import stop_seconds
from stacks.rules.topology import (
    CLUSTER,
    GROUP,
    LAUNCH_TEMPLATE,
    containers_of,
    groups_by,
    launch_specifications,
    services_on,
    task_definition_of,
)
from stacks.rules.user_data import AGENT_CONFIG, Script, blocks_metadata, read_script, seconds, undoes_a_block
from stacks.rules.values import flag, listed, number

_DATA: Final = "LaunchTemplateData"
_IMAGE_TYPE: Final = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
_IMAGES: Final = {
    "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id": "X86_64",
    "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id": "ARM64",
}
_PROCESSORS: Final = {Architecture.X86_64: "X86_64", Architecture.ARM64: "ARM64"}
_INSTANCE_TYPE: Final = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_VOLUME_GIB: Final = 30
_OTHER_WAYS: Final = (
    "AWS::AutoScaling::LaunchConfiguration",
    "AWS::EC2::EC2Fleet",
    "AWS::EC2::Instance",
    "AWS::EC2::SpotFleet",
)
_NO_CHAINS: Final = re.compile(r"\"iptables\"\s*:\s*false|--iptables[= ]false")
"""Docker then makes no chains, DOCKER-USER neither (Docker reference, dockerd)."""
_ROOT_DEVICE: Final = "/dev/xvda"
_SESSION_MANAGER: Final = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/AmazonSSMManagedInstanceCore")
_AMI: Final = "ECS guide, retrieving Amazon ECS-optimized Linux AMI metadata"
_TASK_ROLE: Final = "ECS guide, task IAM role: containers are not kept from the instance's credentials by ECS"
_AGENT: Final = "ECS guide, container agent configuration"


# -- what instances are started from ---------------------------------------------------


@rule(
    "AutoScaling.9",
    why="what is started otherwise is replaced, drained and patched by nobody, and no rule here reads it",
    source="Security Hub, AutoScaling.9; Auto Scaling guide, launch configurations",
)
def instances_come_from_groups_alone(estate: Estate) -> Iterator[Fault]:
    """Instances are started by Auto Scaling groups from launch templates, and in no other way."""
    for resource in estate.of_type(*_OTHER_WAYS):
        yield resource.fault("", found=Said(f"a resource of type {resource.type}"), expected="none")


@rule_of(
    GROUP,
    requirement="A8",
    why="CloudFormation sees no change behind $Latest, and whoever makes a version rolls it out past it",
    source="CloudFormation guide, AWS::AutoScaling::AutoScalingGroup LaunchTemplateSpecification",
)
def groups_start_the_version_that_is_said(group: Resource) -> Iterator[Fault]:
    """A group starts instances by a launch template of the templates, in the version Fn::GetAtt gives of it."""
    specifications = launch_specifications(group)
    if not specifications:
        yield group.fault("LaunchTemplate", found=None, expected="a launch template of the templates")
    for name in ("LaunchConfigurationName", "InstanceId"):
        if group.get(name) is not None:
            yield group.fault(name, found=group.get(name), expected="a launch template in its place")
    for path, specification in specifications:
        template = group.estate.called(specification.get("LaunchTemplateId"), LAUNCH_TEMPLATE)
        version = specification.get("Version")
        if template is None:
            expected = "a reference to a launch template of the templates"
            yield group.fault(
                f"{path}.LaunchTemplateId", found=specification.get("LaunchTemplateId"), expected=expected
            )
        elif group.estate.target(version) != template or getattr(version, "attribute", "") != "LatestVersionNumber":
            expected = "Fn::GetAtt of its LatestVersionNumber"
            yield group.fault(f"{path}.Version", found=version, expected=expected)


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="A11",
    why="an image by its id gets no patches, and Amazon Linux 2 gets none since 2026-06-30",
    source=_AMI,
)
def instances_start_from_the_ecs_image(launch_template: Resource) -> Iterator[Fault]:
    """ImageId is the parameter AWS keeps for the ECS image of Amazon Linux 2023, resolved by CloudFormation."""
    image = launch_template.get(f"{_DATA}.ImageId")
    declaration = launch_template.estate.declaration(image)
    if declaration.get("Type") != _IMAGE_TYPE:
        found = image if not declaration else Said(f"a parameter of type {declaration.get('Type')}")
        yield launch_template.fault(f"{_DATA}.ImageId", found=found, expected=f"a parameter of type {_IMAGE_TYPE}")
    elif declaration.get("Default") not in _IMAGES:
        expected = f"a parameter whose default is one of {', '.join(_IMAGES)}"
        yield launch_template.fault(f"{_DATA}.ImageId", found=declaration.get("Default"), expected=expected)


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="A11",
    why="an instance does not start from an image of another processor, and a task finds no instance of its own",
    source=f"{_AMI}; ECS guide, RuntimePlatform",
)
def image_instance_and_task_have_one_processor(launch_template: Resource) -> Iterator[Fault]:
    """Image, instance types and the RuntimePlatform of the tasks on them are of one architecture, Linux."""
    image = launch_template.estate.declaration(launch_template.get(f"{_DATA}.ImageId")).get("Default")
    wanted = _IMAGES.get(str(image), "")
    for resource, path, kind in _instance_types(launch_template):
        if not isinstance(kind, str) or _INSTANCE_TYPE.fullmatch(kind) is None:
            yield resource.fault(path, found=kind, expected="an instance type")
        elif wanted and _PROCESSORS[architecture(kind)] != wanted:
            yield resource.fault(path, found=kind, expected=f"an instance type of {wanted}, as the image is")
    for definition in _tasks_on(launch_template):
        platform = definition.get("RuntimePlatform") or {}
        if wanted and platform.get("CpuArchitecture") != wanted:
            found = platform.get("CpuArchitecture")
            expected = f'"{wanted}", as the instances\' image is'
            yield definition.fault("RuntimePlatform.CpuArchitecture", found=found, expected=expected)
        if platform.get("OperatingSystemFamily") != "LINUX":
            found = platform.get("OperatingSystemFamily")
            yield definition.fault("RuntimePlatform.OperatingSystemFamily", found=found, expected='"LINUX"')


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="S3",
    why="no instance ever has room for a task: the deployment waits, and managed scaling adds instances to no end",
    source="ECS guide, task placement; EC2 guide, instance types",
)
def tasks_fit_on_their_instances(launch_template: Resource) -> Iterator[Fault]:
    """What a task asks of processor and memory is there on an instance, beside the system and the agent."""
    sizes = [size(kind) for _, _, kind in _instance_types(launch_template) if isinstance(kind, str)]
    for room in [each for each in sizes if each is not None]:
        for definition in _tasks_on(launch_template):
            for name, has in (("Cpu", room.cpu_units), ("Memory", room.memory_mib)):
                asked = sum(number(container.get(name)) or 0 for _, container in containers_of(definition))
                wanted = max(asked, number(definition.get(name)) or 0)
                if wanted > has:
                    found = Said(f"{wanted:g} for the task")
                    yield definition.fault("ContainerDefinitions", found=found, expected=f"{name} of {has} at most")


def _instance_types(launch_template: Resource) -> Iterator[tuple[Resource, str, Any]]:
    yield launch_template, f"{_DATA}.InstanceType", launch_template.get(f"{_DATA}.InstanceType")
    for group in groups_by(launch_template):
        for path, override in group.tables("MixedInstancesPolicy.LaunchTemplate.Overrides"):
            yield group, f"{path}.InstanceType", override.get("InstanceType")


def _tasks_on(launch_template: Resource) -> list[Resource]:
    services = [
        service for group in groups_by(launch_template) for service in services_on(launch_template.estate, group)
    ]
    found = [task_definition_of(service) for service in services]
    return [definition for definition in found if definition is not None]


@rule(
    "A15",
    why="disks hold images and logs of the agent, and an image's own mapping is not encrypted",
    source="Security Hub, EC2.3; the ECS image's snapshot has 30 GiB",
    also=("EC2.3", "CIS 6.1.1"),
)
def disks_are_encrypted(estate: Estate) -> Iterator[Fault]:
    """There is a launch template, and each maps the root device; every disk is encrypted, gp3, 30 GiB at least, and goes with its instance."""  # noqa: E501
    launch_templates = estate.of_type(LAUNCH_TEMPLATE)
    if not launch_templates:
        yield absent("a launch template for the container instances")
    for launch_template in launch_templates:
        mappings = launch_template.tables(f"{_DATA}.BlockDeviceMappings")
        if _ROOT_DEVICE not in [mapping.get("DeviceName") for _, mapping in mappings]:
            expected = f"a mapping for {_ROOT_DEVICE}, the root device of the image"
            yield launch_template.fault(f"{_DATA}.BlockDeviceMappings", found=None, expected=expected)
        for path, mapping in mappings:
            yield from _disk_faults(launch_template, f"{path}.Ebs", mapping.get("Ebs") or {})


def _disk_faults(launch_template: Resource, path: str, disk: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("Encrypted", "DeleteOnTermination"):
        if flag(disk.get(name)) is not True:
            yield launch_template.fault(f"{path}.{name}", found=disk.get(name), expected="true")
    if disk.get("VolumeType") != "gp3":
        yield launch_template.fault(f"{path}.VolumeType", found=disk.get("VolumeType"), expected='"gp3"')
    if (number(disk.get("VolumeSize")) or 0) < _VOLUME_GIB:
        expected = f"{_VOLUME_GIB} at least, the size of the image"
        yield launch_template.fault(f"{path}.VolumeSize", found=disk.get("VolumeSize"), expected=expected)
    key = disk.get("KmsKeyId")
    if key not in {None, "alias/aws/ebs"} and not _lets_auto_scaling_use(launch_template.estate, key):
        expected = "none, or a key of the templates that AWSServiceRoleForAutoScaling may make grants for"
        yield launch_template.fault(f"{path}.KmsKeyId", found=key, expected=expected)


def _lets_auto_scaling_use(estate: Estate, key: object) -> bool:
    """Say whether a key's policy lets Auto Scaling start instances with disks under it (Auto Scaling guide)."""
    target = estate.called(key, "AWS::KMS::Key")
    role = f":role/aws-service-role/autoscaling.{estate.place.suffix}/AWSServiceRoleForAutoScaling"
    for _, statement in target.tables("KeyPolicy.Statement") if target else []:
        principals = listed((statement.get("Principal") or {}).get("AWS"))
        grants = "kms:CreateGrant" in listed(statement.get("Action"))
        condition = (statement.get("Condition") or {}).get("Bool") or {}
        for_resources = flag(condition.get("kms:GrantIsForAWSResource")) is True
        if (
            statement.get("Effect") == "Allow"
            and grants
            and for_resources
            and any(role in str(who) for who in principals)
        ):
            return True
    return False


# -- who reaches instances, and how ------------------------------------------------------


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="A12",
    why="whatever can send a request from the instance, by a forged header too, gets the instance's credentials",
    source="Security Hub, EC2.8, EC2.170, AutoScaling.3 and AutoScaling.4; tasks have credentials of their own",
    also=("EC2.8", "EC2.170", "AutoScaling.3", "AutoScaling.4", "CIS 6.7"),
)
def metadata_ends_at_the_instance(launch_template: Resource) -> Iterator[Fault]:
    """MetadataOptions demands a token, one hop, IPv4, and shows no tags."""
    options = f"{_DATA}.MetadataOptions"
    demanded = {"HttpTokens": "required", "HttpEndpoint": "enabled", "InstanceMetadataTags": "disabled"}
    for name, value in demanded.items():
        found = launch_template.get(f"{options}.{name}")
        if found != value:
            yield launch_template.fault(f"{options}.{name}", found=found, expected=f'"{value}"')
    hops = launch_template.get(f"{options}.HttpPutResponseHopLimit")
    if number(hops) != 1:
        yield launch_template.fault(f"{options}.HttpPutResponseHopLimit", found=hops, expected="1")
    second_address = launch_template.get(f"{options}.HttpProtocolIpv6")
    if second_address not in {None, "disabled"}:
        expected = "none: the block on the bridge is for IPv4"
        yield launch_template.fault(f"{options}.HttpProtocolIpv6", found=second_address, expected=expected)


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="EC2.25",
    why="an instance with a public address stands in the internet with whatever its security group forgets",
    source="Security Hub, EC2.9, EC2.25 and AutoScaling.5",
    also=("EC2.9", "AutoScaling.5"),
)
def instances_have_no_public_address(launch_template: Resource) -> Iterator[Fault]:
    """Every network interface says AssociatePublicIpAddress false, so that a subnet's default does not decide."""
    interfaces = launch_template.tables(f"{_DATA}.NetworkInterfaces")
    for name in ("SecurityGroupIds", "SecurityGroups"):
        beside = launch_template.get(f"{_DATA}.{name}")
        if beside and interfaces:
            expected = "none beside NetworkInterfaces: EC2 refuses both"
            yield launch_template.fault(f"{_DATA}.{name}", found=beside, expected=expected)
    if not interfaces:
        expected = "an interface that says AssociatePublicIpAddress"
        yield launch_template.fault(f"{_DATA}.NetworkInterfaces", found=None, expected=expected)
    for path, interface in interfaces:
        found = interface.get("AssociatePublicIpAddress")
        if flag(found) is not False:
            yield launch_template.fault(f"{path}.AssociatePublicIpAddress", found=found, expected="false")
        if number(interface.get("DeviceIndex")) != 0 or interface.get("SubnetId") is not None:
            expected = "DeviceIndex 0 and no SubnetId: Auto Scaling says the subnet"
            yield launch_template.fault(path, found=Said(", ".join(interface)), expected=expected)
        if not interface.get("Groups"):
            expected = "a security group, or the VPC's default one is taken"
            yield launch_template.fault(f"{path}.Groups", found=interface.get("Groups"), expected=expected)


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="SSM.1",
    why="nobody can look at an instance that is stuck, for there is no SSH",
    source="Security Hub, SSM.1; Systems Manager guide, instance permissions",
    also=("EC2_INSTANCE_MANAGED_BY_SSM",),
)
def session_manager_reaches_instances(launch_template: Resource) -> Iterator[Fault]:
    """Instances have an instance profile of the templates, its role AmazonSSMManagedInstanceCore, and no key of SSH."""
    estate = launch_template.estate
    if launch_template.get(f"{_DATA}.KeyName") is not None:
        expected = "none: Session Manager is the way in, which asks IAM and keeps a record"
        yield launch_template.fault(
            f"{_DATA}.KeyName", found=launch_template.get(f"{_DATA}.KeyName"), expected=expected
        )
    given = launch_template.get(f"{_DATA}.IamInstanceProfile") or {}
    profile = _profile(estate, given)
    roles = [estate.called(name, "AWS::IAM::Role") for name in listed(profile.get("Roles"))] if profile else []
    role = roles[0] if roles else None
    if role is None:
        expected = "an instance profile of the templates, with a role"
        yield launch_template.fault(f"{_DATA}.IamInstanceProfile", found=given or None, expected=expected)
    elif not any(_SESSION_MANAGER.fullmatch(arn) for arn in role.texts("ManagedPolicyArns")):
        expected = "AmazonSSMManagedInstanceCore among them"
        yield role.fault("ManagedPolicyArns", found=role.get("ManagedPolicyArns"), expected=expected)


def _profile(estate: Estate, given: Mapping[str, Any]) -> Resource | None:
    """Give the instance profile whose ARN is given as `Arn`, or its name as `Name`; EC2 takes neither for the other."""
    for name, spell in (("Arn", estate.arn), ("Name", estate.ref)):
        found = estate.called(given.get(name), "AWS::IAM::InstanceProfile")
        if found is not None and given[name] == spell(found):
            return found
    return None


# -- what instances do when they start ------------------------------------------------------


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="A13",
    why="a task on the bridge takes the instance's role: the agent's own block is for another network mode",
    source=_TASK_ROLE,
)
def tasks_are_kept_from_the_metadata(launch_template: Resource) -> Iterator[Fault]:
    """
    User data installs a systemd unit that drops what containers send to 169.254.169.254, first in DOCKER-USER.

    The unit runs after Docker is up, is enabled, so that it runs at each start
    of the instance, and nothing takes the rule away again. The agent's setting
    ECS_AWSVPC_BLOCK_IMDS is on too, and counts for nothing here.
    """
    script = _script(launch_template)
    if script is None:
        yield _not_a_script(launch_template)
        return
    path = f"{_DATA}.UserData"
    faults = [_block_fault(script), _undone(script)]
    for fault in faults:
        if fault:
            expected = "a unit after docker.service that blocks it first in DOCKER-USER, enabled and left alone"
            yield launch_template.fault(path, found=Said(fault), expected=expected)
    if flag(script.agent.get("ECS_AWSVPC_BLOCK_IMDS")) is not True:
        found = script.agent.get("ECS_AWSVPC_BLOCK_IMDS")
        yield launch_template.fault(path, found=found, expected=f"ECS_AWSVPC_BLOCK_IMDS=true in {AGENT_CONFIG}")


def _block_fault(script: Script) -> str | None:
    """Say why no unit of a script blocks the metadata for good; None if one does."""
    blocking = {
        name: unit
        for name, unit in script.units.items()
        if any(which == "ExecStart" and blocks_metadata(command) for which, command in unit.commands())
    }
    if not blocking:
        return "no unit whose ExecStart blocks it"
    for name, unit in blocking.items():
        wanted = {*unit.words("Install", "WantedBy"), *unit.words("Install", "RequiredBy")}
        ready = "docker.service" in unit.words("Unit", "After")
        is_wanted = wanted & {"docker.service", "ecs.service", "multi-user.target"}
        if ready and is_wanted and _is_enabled(script, name):
            return None
    return f"{', '.join(blocking)}, which does not run at each start, after Docker"


def _is_enabled(script: Script, unit: str) -> bool:
    names = {unit, unit.removesuffix(".service")}
    enabled = [command for command in script.commands if "systemctl" in command and names & set(command.split())]
    return any(" enable " in f" {command} " for command in enabled) and not any(
        word in command.split() for command in enabled for word in ("disable", "mask", "stop")
    )


def _undone(script: Script) -> str | None:
    """Give what takes the block away again, or ends the script before it is made."""
    after = [
        command
        for unit in script.units.values()
        for which, command in unit.commands()
        if which in {"ExecStart", "ExecStartPost"}
    ]
    undoing = [command for command in (*script.commands, *after) if undoes_a_block(command)]
    undoing += [command for command in script.commands if command.split()[0] in {"exit", "exec"}]
    undoing += [match[0] for text in (*script.files.values(), *script.commands) if (match := _NO_CHAINS.search(text))]
    return undoing[0] if undoing else None


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="A14",
    why="the instance joins no cluster, starts privileged containers, or kills tasks before they have drained",
    source=_AGENT,
)
def the_agent_is_told_what_it_must_know(launch_template: Resource) -> Iterator[Fault]:
    """
    The agent's file names the cluster, forbids privileged containers, and gives tasks their time to stop.

    It also neither takes task roles away nor gives them to tasks on the host's
    network.
    """
    script = _script(launch_template)
    if script is None:
        yield _not_a_script(launch_template)
        return
    settings = script.agent
    clusters = {str(service.get("Cluster")) for service in _services(launch_template)}
    stop = max([stop_seconds(container) for container in _containers(launch_template)], default=0)
    given = seconds(settings.get("ECS_CONTAINER_STOP_TIMEOUT", ""))
    faults = {
        "ECS_CLUSTER": ({settings.get("ECS_CLUSTER")} == clusters, "the cluster of the service"),
        "ECS_DISABLE_PRIVILEGED": (settings.get("ECS_DISABLE_PRIVILEGED") == "true", "true"),
        "ECS_CONTAINER_STOP_TIMEOUT": (given is not None and given >= stop, f"{stop:g}s at least"),
        "ECS_ENABLE_TASK_IAM_ROLE": (settings.get("ECS_ENABLE_TASK_IAM_ROLE", "true") == "true", "true or nothing"),
        "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": (
            "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST" not in settings,
            "nothing: no task is on the host's network",
        ),
    }
    faults |= _what_tasks_need(settings, _containers(launch_template))
    for name, (holds, expected) in faults.items():
        if not holds:
            found = Said(f"{name}={settings[name]}" if name in settings else f"no {name}")
            yield launch_template.fault(f"{_DATA}.UserData", found=found, expected=f"{expected}, in {AGENT_CONFIG}")


def _what_tasks_need(settings: Mapping[str, str], containers: list[Mapping[str, Any]]) -> dict[str, tuple[bool, str]]:
    """Say of the agent's settings that keep ports and log drivers from tasks whether they keep those from ours."""
    drivers, reserved = (settings.get(name, "") for name in ("ECS_AVAILABLE_LOGGING_DRIVERS", "ECS_RESERVED_PORTS"))
    mappings = [each for container in containers for each in listed(container.get("PortMappings"))]
    wanted = {str(each.get("HostPort")) for each in mappings if isinstance(each, dict)}
    return {
        "ECS_AVAILABLE_LOGGING_DRIVERS": (not drivers or "awslogs" in drivers, "awslogs among them, or nothing"),
        "ECS_RESERVED_PORTS": (not wanted & set(re.findall(r"\d+", reserved)), "none of the tasks' ports, or nothing"),
    }


@rule_of(
    LAUNCH_TEMPLATE,
    requirement="A9",
    why="the cluster is deleted before its instances, and that fails for ever: ClusterContainsContainerInstances",
    source="containers-roadmap issue 631: CloudFormation deletes in the order of references",
)
def instances_refer_to_their_cluster(launch_template: Resource) -> Iterator[Fault]:
    """User data refers to the cluster, so that its instances go first."""
    clusters = launch_template.estate.of_type(CLUSTER)
    if not any(mentions(launch_template, f"{_DATA}.UserData", cluster) for cluster in clusters):
        found = Said("no reference to a cluster")
        yield launch_template.fault(f"{_DATA}.UserData", found=found, expected="Ref of the cluster in it")


def _script(launch_template: Resource) -> Script | None:
    raw = launch_template.raw.get("Properties", {}).get(_DATA, {}).get("UserData")
    if not (isinstance(raw, dict) and "Fn::Base64" in raw):
        return None  # EC2 takes user data in base64 alone
    return read_script(str(launch_template.get(f"{_DATA}.UserData") or ""))


def _not_a_script(launch_template: Resource) -> Fault:
    found = Said("what cannot be read as a shell script")
    return launch_template.fault(f"{_DATA}.UserData", found=found, expected="Fn::Base64 of a shell script")


def _services(launch_template: Resource) -> list[Resource]:
    estate = launch_template.estate
    return [service for group in groups_by(launch_template) for service in services_on(estate, group)]


def _containers(launch_template: Resource) -> list[Mapping[str, Any]]:
    return [container for definition in _tasks_on(launch_template) for _, container in containers_of(definition)]


RULES: Final[tuple[Rule, ...]] = (
    instances_come_from_groups_alone,
    groups_start_the_version_that_is_said,
    instances_start_from_the_ecs_image,
    image_instance_and_task_have_one_processor,
    tasks_fit_on_their_instances,
    disks_are_encrypted,
    metadata_ends_at_the_instance,
    instances_have_no_public_address,
    session_manager_reaches_instances,
    tasks_are_kept_from_the_metadata,
    the_agent_is_told_what_it_must_know,
    instances_refer_to_their_cluster,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
