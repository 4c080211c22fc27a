"""What container instances are started from, and what keeps tasks from what is theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stacks.rules import instances
from stacks.rules.rule import Rule
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, removed

TEMPLATE = "AWS::EC2::LaunchTemplate"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
TASK = "AWS::ECS::TaskDefinition"
DATA = "LaunchTemplateData"
AT = f"capacity.LaunchTemplate.Properties.{DATA}"
BLOCK = "/usr/sbin/iptables --wait -I DOCKER-USER 1 -i docker+ -d 169.254.169.254/32 -j DROP"
START = f"ExecStart={BLOCK}"


def inside(path: str, value: object) -> Spoil:
    """Set a property of the launch template's data; `...` takes it away."""
    return put(TEMPLATE, f"{DATA}.{path}", value)


def image(**facts: object) -> Spoil:
    """Change the declaration of the image's parameter."""

    def spoil(templates: Templates) -> None:
        templates.bodies["capacity"]["Parameters"]["InstanceImageId"] |= facts

    return spoil


def user_data(change: Callable[[str], str]) -> Spoil:
    """Change the text of the user data."""

    def spoil(templates: Templates) -> None:
        given = templates.properties(TEMPLATE)[DATA]["UserData"]["Fn::Base64"]["Fn::Sub"]
        changed = change(given[0])
        assert changed != given[0], "nothing was changed"
        given[0] = changed

    return spoil


def replaced(old: str, new: str) -> Spoil:
    """Replace a text in the user data."""
    return user_data(lambda text: text.replace(old, new))


def _not_in_base64(templates: Templates) -> None:
    data = templates.properties(TEMPLATE)[DATA]
    data["UserData"] = data["UserData"]["Fn::Base64"]


def _version(value: object) -> Spoil:
    return put(GROUP, "LaunchTemplate.Version", value)


def _mixed_with_arm(templates: Templates) -> None:
    group = templates.properties(GROUP)
    specification = {"LaunchTemplateSpecification": group.pop("LaunchTemplate")}
    overrides = [{"InstanceType": "t3.small"}, {"InstanceType": "t4g.small"}]
    group["MixedInstancesPolicy"] = {"LaunchTemplate": specification | {"Overrides": overrides}}


def _mixed_of_the_default_version(templates: Templates) -> None:
    _mixed_with_arm(templates)
    policy = templates.properties(GROUP)["MixedInstancesPolicy"]["LaunchTemplate"]
    policy["LaunchTemplateSpecification"]["Version"] = "$Default"


def _own_key(*statements: Document) -> Spoil:
    def spoil(templates: Templates) -> None:
        key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": list(statements)}}}
        templates.bodies["capacity"]["Resources"]["DiskKey"] = key
        inside("BlockDeviceMappings.0.Ebs.KmsKeyId", {"Fn::GetAtt": ["DiskKey", "Arn"]})(templates)

    return spoil


SERVICE_ROLE = "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
GRANT: Document = {
    "Effect": "Allow",
    "Principal": {"AWS": SERVICE_ROLE},
    "Action": "kms:CreateGrant",
    "Resource": "*",
    "Condition": {"Bool": {"kms:GrantIsForAWSResource": True}},
}


def _no_session_manager(templates: Templates) -> None:
    for role in templates.resources("AWS::IAM::Role"):
        role["Properties"].pop("ManagedPolicyArns", None)


def _blocks(old: str, new: str, says: str = "") -> Case:
    return Case(instances.tasks_are_kept_from_the_metadata, replaced(old, new), f"{AT}.UserData", says)


def _agent(old: str, new: str, says: str) -> Case:
    return Case(instances.the_agent_is_told_what_it_must_know, replaced(old, new), f"{AT}.UserData", says)


def _beside(resource_type: str) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies["capacity"]["Resources"]["Beside"] = {"Type": resource_type, "Properties": {}}

    return spoil


CASES = [
    Case(instances.instances_come_from_groups_alone, _beside("AWS::EC2::Instance"), "capacity.Beside"),
    Case(instances.instances_come_from_groups_alone, _beside("AWS::EC2::SpotFleet"), "capacity.Beside"),
    Case(instances.instances_come_from_groups_alone, _beside("AWS::EC2::EC2Fleet"), "capacity.Beside"),
    Case(instances.instances_come_from_groups_alone, _beside("AWS::AutoScaling::LaunchConfiguration"), "capacity."),
    Case(
        instances.tasks_fit_on_their_instances,
        put(TASK, "ContainerDefinitions.0.Memory", 2048),
        "workload.TaskDefinition",
        "Memory of 1884 at most",
    ),
    Case(
        instances.tasks_fit_on_their_instances,
        put(TASK, "ContainerDefinitions.0.Cpu", 4096),
        "workload.TaskDefinition",
        "Cpu of 2048 at most",
    ),
    Case(instances.tasks_fit_on_their_instances, put(TASK, "Memory", "4096"), "workload.TaskDefinition", "4096 for"),
    Case(instances.tasks_fit_on_their_instances, inside("InstanceType", "t3.micro"), "workload.TaskDefinition"),
    Case(instances.groups_start_the_version_that_is_said, _version("$Latest"), "capacity.AutoScalingGroup"),
    Case(instances.groups_start_the_version_that_is_said, _version("1"), "capacity.AutoScalingGroup"),
    Case(
        instances.groups_start_the_version_that_is_said,
        _version({"Fn::GetAtt": ["LaunchTemplate", "DefaultVersionNumber"]}),
        "capacity.AutoScalingGroup.Properties.LaunchTemplate.Version",
    ),
    Case(instances.groups_start_the_version_that_is_said, _mixed_of_the_default_version, "capacity.AutoScalingGroup"),
    Case(instances.groups_start_the_version_that_is_said, put(GROUP, "LaunchTemplate", ...), "capacity."),
    Case(
        instances.groups_start_the_version_that_is_said,
        put(GROUP, "LaunchTemplate.LaunchTemplateId", "lt-1"),
        "capacity.AutoScalingGroup.Properties.LaunchTemplate.LaunchTemplateId",
    ),
    Case(
        instances.groups_start_the_version_that_is_said,
        put(GROUP, "LaunchConfigurationName", "old"),
        "capacity.AutoScalingGroup.Properties.LaunchConfigurationName",
    ),
    Case(instances.instances_start_from_the_ecs_image, inside("ImageId", "ami-0123456789abcdef0"), f"{AT}.ImageId"),
    Case(instances.instances_start_from_the_ecs_image, image(Type="String"), f"{AT}.ImageId", "of type String"),
    Case(
        instances.instances_start_from_the_ecs_image,
        image(Default="/aws/service/ecs/optimized-ami/amazon-linux-2/recommended/image_id"),
        f"{AT}.ImageId",
        "amazon-linux-2/",
    ),
    Case(
        instances.instances_start_from_the_ecs_image,
        inside("ImageId", "{{resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id}}"),
        f"{AT}.ImageId",
    ),
    Case(
        instances.image_instance_and_task_have_one_processor,
        image(Default="/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"),
        f"{AT}.InstanceType",
        "ARM64",
    ),
    Case(instances.image_instance_and_task_have_one_processor, inside("InstanceType", "m7gd.large"), AT, "X86_64"),
    Case(instances.image_instance_and_task_have_one_processor, inside("InstanceType", ...), AT, "an instance type"),
    Case(
        instances.image_instance_and_task_have_one_processor,
        _mixed_with_arm,
        "capacity.AutoScalingGroup.Properties.MixedInstancesPolicy.LaunchTemplate.Overrides.1",
    ),
    Case(
        instances.image_instance_and_task_have_one_processor,
        put(TASK, "RuntimePlatform.CpuArchitecture", "ARM64"),
        "workload.TaskDefinition.Properties.RuntimePlatform.CpuArchitecture",
    ),
    Case(
        instances.image_instance_and_task_have_one_processor,
        put(TASK, "RuntimePlatform", ...),
        "workload.TaskDefinition.Properties.RuntimePlatform.OperatingSystemFamily",
    ),
    Case(instances.disks_are_encrypted, removed(TEMPLATE), "", "a launch template"),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings", ...), f"{AT}.BlockDeviceMappings"),
    Case(
        instances.disks_are_encrypted,
        inside("BlockDeviceMappings.0.DeviceName", "/dev/sdb"),
        f"{AT}.BlockDeviceMappings",
        "root device",
    ),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.Encrypted", "false"), AT),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.Encrypted", ...), AT),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.DeleteOnTermination", False), AT),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.VolumeType", "gp2"), AT),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.VolumeSize", 8), AT),
    Case(instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.KmsKeyId", "alias/ours"), AT),
    Case(instances.disks_are_encrypted, _own_key(), f"{AT}.BlockDeviceMappings.0.Ebs.KmsKeyId"),
    Case(instances.disks_are_encrypted, _own_key(GRANT | {"Effect": "Deny"}), AT),
    Case(instances.disks_are_encrypted, _own_key(GRANT | {"Action": "kms:Decrypt"}), AT),
    Case(instances.disks_are_encrypted, _own_key(GRANT | {"Condition": {}}), AT),
    Case(instances.disks_are_encrypted, _own_key(GRANT | {"Principal": {"Service": "ec2.amazonaws.com"}}), AT),
    Case(instances.metadata_ends_at_the_instance, inside("MetadataOptions", ...), f"{AT}.MetadataOptions.HttpTokens"),
    Case(instances.metadata_ends_at_the_instance, inside("MetadataOptions.HttpTokens", "optional"), AT),
    Case(instances.metadata_ends_at_the_instance, inside("MetadataOptions.HttpEndpoint", "disabled"), AT),
    Case(instances.metadata_ends_at_the_instance, inside("MetadataOptions.InstanceMetadataTags", "enabled"), AT),
    Case(instances.metadata_ends_at_the_instance, inside("MetadataOptions.HttpPutResponseHopLimit", 2), AT),
    Case(instances.metadata_ends_at_the_instance, inside("MetadataOptions.HttpProtocolIpv6", "enabled"), AT),
    Case(instances.instances_have_no_public_address, inside("NetworkInterfaces", ...), f"{AT}.NetworkInterfaces"),
    Case(
        instances.instances_have_no_public_address, inside("NetworkInterfaces.0.AssociatePublicIpAddress", "true"), AT
    ),
    Case(instances.instances_have_no_public_address, inside("NetworkInterfaces.0.AssociatePublicIpAddress", ...), AT),
    Case(instances.instances_have_no_public_address, inside("NetworkInterfaces.0.Groups", []), AT),
    Case(instances.session_manager_reaches_instances, inside("IamInstanceProfile", ...), f"{AT}.IamInstanceProfile"),
    Case(
        instances.session_manager_reaches_instances,
        inside("IamInstanceProfile", {"Name": "somebody-elses"}),
        f"{AT}.IamInstanceProfile",
    ),
    Case(instances.session_manager_reaches_instances, _no_session_manager, "identity.", "AmazonSSMManagedInstanceCore"),
    # The block itself: what looks like one, and is none.
    _blocks(START, "ExecStart=/usr/bin/true", "no unit"),
    _blocks(START, f"# {START}", "no unit"),
    _blocks(START, START.replace("DOCKER-USER 1", "FORWARD 1"), "no unit"),
    _blocks(START, START.replace("DOCKER-USER 1", "DOCKER-USER 2"), "no unit"),
    _blocks(START, START.replace("-I DOCKER-USER 1", "-A DOCKER-USER"), "no unit"),
    _blocks(START, START.replace("DROP", "ACCEPT"), "ACCEPT"),
    _blocks(START, START.replace("169.254.169.254", "169.254.170.2"), "no unit"),
    _blocks(START, START.replace("169.254.169.254/32", "169.254.0.0/16"), "no unit"),
    _blocks(START, START.replace("-d ", "! -d "), "no unit"),
    _blocks(START, START.replace("-i docker+", "-i eth0"), "no unit"),
    _blocks(START, START.replace("-j DROP", "-p udp -j DROP"), "no unit"),
    _blocks(START, START.replace("-j DROP", "-s 172.17.0.9 -j DROP"), "no unit"),
    _blocks(START, START.replace("-j DROP", "-t nat -j DROP"), "no unit"),
    _blocks("/etc/systemd/system/block-instance-metadata.service", "/opt/block-instance-metadata.service", "no unit"),
    _blocks("systemctl enable block-instance-metadata.service\n", "", "each start"),
    _blocks("systemctl enable", "systemctl disable", "each start"),
    _blocks("After=docker.service", "After=network.target", "each start"),
    _blocks("[Install]\nWantedBy=docker.service\nRequiredBy=ecs.service\n", "", "each start"),
    _blocks("systemctl daemon-reload\n", "systemctl daemon-reload\nsystemctl mask block-instance-metadata\n", "each"),
    _blocks("systemctl daemon-reload\n", "systemctl daemon-reload\niptables -F DOCKER-USER\n", "iptables -F"),
    _blocks("systemctl daemon-reload\n", "iptables -I DOCKER-USER -j RETURN\n", "RETURN"),
    _blocks(START, f"{START}\nExecStartPost=/usr/sbin/iptables -D DOCKER-USER 1", "-D DOCKER-USER"),
    _blocks("set -euo pipefail\n", "set -euo pipefail\nexit 0\n", "exit 0"),
    _blocks("set -euo pipefail\n", "set -euo pipefail\nexec sleep infinity\n", "exec sleep"),
    _blocks("#!/bin/bash\n", "#cloud-config\n", "shell script"),
    _blocks("ECS_AWSVPC_BLOCK_IMDS=true\n", "", "ECS_AWSVPC_BLOCK_IMDS"),
    _agent("ECS_CLUSTER=${Cluster}\n", "", "no ECS_CLUSTER"),
    _agent("ECS_CLUSTER=${Cluster}\n", "#ECS_CLUSTER=${Cluster}\n", "no ECS_CLUSTER"),
    _agent("ECS_CLUSTER=${Cluster}\n", "ECS_CLUSTER=${Cluster}\nECS_CLUSTER=default\n", "ECS_CLUSTER=default"),
    _agent("ECS_DISABLE_PRIVILEGED=true", "ECS_DISABLE_PRIVILEGED=false", "ECS_DISABLE_PRIVILEGED=false"),
    _agent("ECS_CONTAINER_STOP_TIMEOUT=${StopTimeoutSeconds}s\n", "", "90s at least"),
    _agent("${StopTimeoutSeconds}s", "30s", "90s at least"),
    _agent("${StopTimeoutSeconds}s", "${StopTimeoutSeconds}", "90s at least"),
    _agent("ECS_AWSVPC", "ECS_ENABLE_TASK_IAM_ROLE=false\nECS_AWSVPC", "ECS_ENABLE_TASK_IAM_ROLE=false"),
    _agent("ECS_AWSVPC", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST=true\nECS_AWSVPC", "NETWORK_HOST"),
    _agent("/etc/ecs/ecs.config", "/etc/ecs/config", "no ECS_CLUSTER"),
    _agent("#!/bin/bash\n", "#cloud-config\n", "shell script"),
    Case(
        instances.the_agent_is_told_what_it_must_know,
        put(TASK, "ContainerDefinitions.0.StopTimeout", 120),
        f"{AT}.UserData",
        "120s at least",
    ),
    Case(
        instances.instances_refer_to_their_cluster,
        inside("UserData", {"Fn::Base64": "#!/bin/bash\necho ECS_CLUSTER=ingress >> /etc/ecs/ecs.config\n"}),
        f"{AT}.UserData",
        "no reference",
    ),
    Case(instances.instances_have_no_public_address, inside("NetworkInterfaces.0.DeviceIndex", 1), AT, "DeviceIndex 0"),
    Case(
        instances.instances_have_no_public_address, inside("NetworkInterfaces.0.SubnetId", "subnet-1"), AT, "SubnetId"
    ),
    Case(instances.instances_have_no_public_address, inside("SecurityGroupIds", ["sg-1"]), f"{AT}.SecurityGroupIds"),
    Case(
        instances.session_manager_reaches_instances, inside("KeyName", "operators"), f"{AT}.KeyName", "Session Manager"
    ),
    Case(
        instances.session_manager_reaches_instances,
        inside("IamInstanceProfile", {"Name": {"Ref": "InstanceProfileArn"}}),
        f"{AT}.IamInstanceProfile",
    ),
    Case(instances.the_agent_is_told_what_it_must_know, _not_in_base64, f"{AT}.UserData", "Fn::Base64"),
    Case(
        instances.the_agent_is_told_what_it_must_know,
        replaced("ECS_DISABLE", 'ECS_AVAILABLE_LOGGING_DRIVERS=["json-file"]\nECS_DISABLE'),
        f"{AT}.UserData",
        "awslogs",
    ),
    Case(
        instances.the_agent_is_told_what_it_must_know,
        replaced("ECS_DISABLE", "ECS_RESERVED_PORTS=[22, 8443]\nECS_DISABLE"),
        f"{AT}.UserData",
        "tasks' ports",
    ),
    Case(
        instances.tasks_are_kept_from_the_metadata,
        replaced("systemctl daemon-reload", "echo '{\"iptables\": false}' > /etc/docker/daemon.json"),
        f"{AT}.UserData",
        "iptables",
    ),
]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (START, "ExecStart=/usr/sbin/iptables -w 5 -I DOCKER-USER -d 169.254.169.254 -j REJECT"),
        (
            START,
            "ExecStart=/sbin/iptables --insert DOCKER-USER --in-interface docker0 --dst 169.254.169.254 --jump DROP",
        ),
        (START, START.replace("-j DROP", "-p tcp --dport 80 -j DROP")),
        ("systemctl enable block-instance-metadata.service", "systemctl enable --now block-instance-metadata"),
        (
            "cat > /etc/systemd/system/block-instance-metadata.service <<'UNIT'",
            "cat <<UNIT > /etc/systemd/system/b.service",
        ),
    ],
)
def test_another_spelling_of_the_block_is_one(old: str, new: str) -> None:
    """The rule is about what the instance does, not about our words for it."""
    templates = Templates.of()
    replaced(old, new)(templates)
    if "b.service" in new:
        replaced("block-instance-metadata.service\n", "b.service\n")(templates)

    assert instances.tasks_are_kept_from_the_metadata(templates.estate()) == []


def test_the_agents_file_may_be_written_line_by_line() -> None:
    templates = Templates.of()
    heredoc = "cat >> /etc/ecs/ecs.config <<'CONFIG'\n"

    def rewrite(text: str) -> str:
        start, end = text.index(heredoc), text.index("CONFIG\n", text.index(heredoc) + len(heredoc))
        lines = text[start + len(heredoc) : end].splitlines()
        echoed = "".join(f'echo "{line}" >> /etc/ecs/ecs.config\n' for line in lines)
        return text[:start] + echoed + text[end + len("CONFIG\n") :]

    user_data(rewrite)(templates)

    assert instances.the_agent_is_told_what_it_must_know(templates.estate()) == []


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (instances.metadata_ends_at_the_instance, inside("MetadataOptions.HttpProtocolIpv6", "disabled")),
        (instances.disks_are_encrypted, inside("BlockDeviceMappings.0.Ebs.KmsKeyId", "alias/aws/ebs")),
        (instances.tasks_fit_on_their_instances, inside("InstanceType", "x8i.large")),
        (instances.tasks_fit_on_their_instances, put(TASK, "ContainerDefinitions.0.Memory", 1884)),
    ],
)
def test_what_aws_takes_and_we_need_is_fine(rule: Rule, spoil: Spoil) -> None:
    """Of an instance type whose name tells no size, nothing is claimed."""
    templates = Templates.of()
    spoil(templates)

    assert rule(templates.estate()) == []


def test_a_key_of_our_own_for_disks_needs_the_grant_of_auto_scaling() -> None:
    """Without it instances die at their start, and nothing says why."""
    templates = Templates.of()
    _own_key(GRANT)(templates)

    assert instances.disks_are_encrypted(templates.estate()) == []
