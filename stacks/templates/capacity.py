"""The capacity: the cluster, and container instances that come and go by what its tasks need."""

from __future__ import annotations

from typing import Final

from troposphere import Base64, GetAtt, Parameter, Ref, Sub, Template
from troposphere.autoscaling import (
    AutoScalingGroup,
    InstanceMaintenancePolicy,
    LaunchTemplateSpecification,
    MetricsCollection,
)
from troposphere.ec2 import (
    EBSBlockDevice,
    IamInstanceProfile,
    LaunchTemplate,
    LaunchTemplateBlockDeviceMapping,
    LaunchTemplateData,
    MetadataOptions,
    NetworkInterfaces,
)
from troposphere.ecs import (
    AutoScalingGroupProvider,
    CapacityProvider,
    CapacityProviderStrategy,
    Cluster,
    ClusterCapacityProviderAssociations,
    ClusterSetting,
    ManagedScaling,
)

from stacks.environment import Architecture, Environment
from stacks.naming import Output
from stacks.templates.joints import begin, offer, take

_BOOT_SECONDS: Final = 180
"""From launch to registered with the cluster, generously."""
_VOLUME_GIB: Final = 30
"""The least the ECS image asks for."""
_LIFETIME_SECONDS: Final = 14 * 24 * 3600
"""No instance gets older: a fortnight after its release a patched image is everywhere."""
_IMAGE_PARAMETERS: Final = {
    Architecture.X86_64: "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
    Architecture.ARM64: "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id",
}

# Tasks on the bridge reach the instance's metadata by its network, hop limit or not, so their way there is
# closed in the chain Docker leaves to others; the agent's own block is for another network mode (ECS guide,
# task IAM role). The unit runs whenever Docker starts, and before the agent may start a task.
_USER_DATA: Final = """\
#!/bin/bash
set -euo pipefail
cat >> /etc/ecs/ecs.config <<'CONFIG'
ECS_CLUSTER=${Cluster}
ECS_DISABLE_PRIVILEGED=true
ECS_AWSVPC_BLOCK_IMDS=true
ECS_CONTAINER_STOP_TIMEOUT=${StopTimeoutSeconds}s
CONFIG
cat > /etc/systemd/system/block-instance-metadata.service <<'UNIT'
[Unit]
Description=Keep containers from the instance metadata
After=docker.service
PartOf=docker.service
Before=ecs.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=-/usr/sbin/iptables --wait -D DOCKER-USER -i docker+ -d 169.254.169.254/32 -j DROP
ExecStart=/usr/sbin/iptables --wait -I DOCKER-USER 1 -i docker+ -d 169.254.169.254/32 -j DROP
[Install]
WantedBy=docker.service
RequiredBy=ecs.service
UNIT
systemctl daemon-reload
systemctl enable block-instance-metadata.service
systemctl start --no-block block-instance-metadata.service
"""


def build(environment: Environment) -> Template:
    """Build the template of cluster, instances and the provider between them."""
    template = begin(environment, "the container instances")
    cluster = template.add_resource(_cluster())
    image = template.add_parameter(_image(environment))
    launch_template = template.add_resource(_launch_template(template, environment, cluster, image))
    group = template.add_resource(_auto_scaling_group(template, environment, launch_template))
    provider = template.add_resource(_capacity_provider(environment, group))
    template.add_resource(_association(cluster, provider))
    offer(template, Output.CLUSTER_NAME, Ref(cluster))
    offer(template, Output.AUTO_SCALING_GROUP_NAME, Ref(group))
    offer(template, Output.CAPACITY_PROVIDER_NAME, Ref(provider))
    return template


def _cluster() -> Cluster:
    return Cluster("Cluster", ClusterSettings=[ClusterSetting(Name="containerInsights", Value="enabled")])


def _image(environment: Environment) -> Parameter:
    return Parameter(
        "InstanceImageId",
        Type="AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
        Default=_IMAGE_PARAMETERS[environment.capacity.architecture],
        Description="The image container instances are started from; AWS moves the parameter with each release",
    )


def _launch_template(
    template: Template, environment: Environment, cluster: Cluster, image: Parameter
) -> LaunchTemplate:
    security_group = take(template, environment, Output.INSTANCE_SECURITY_GROUP_ID)
    return LaunchTemplate(
        "LaunchTemplate",
        LaunchTemplateData=LaunchTemplateData(
            ImageId=Ref(image),
            InstanceType=environment.capacity.instance_type,
            IamInstanceProfile=IamInstanceProfile(Arn=take(template, environment, Output.INSTANCE_PROFILE_ARN)),
            # One hop: the metadata's answer ends at the instance itself. Tasks have their own source of credentials.
            MetadataOptions=MetadataOptions(
                HttpEndpoint="enabled",
                HttpTokens="required",
                HttpPutResponseHopLimit=1,
                InstanceMetadataTags="disabled",
            ),
            NetworkInterfaces=[
                NetworkInterfaces(
                    DeviceIndex=0, AssociatePublicIpAddress=False, DeleteOnTermination=True, Groups=[security_group]
                )
            ],
            BlockDeviceMappings=[
                LaunchTemplateBlockDeviceMapping(
                    DeviceName="/dev/xvda",
                    Ebs=EBSBlockDevice(
                        VolumeSize=_VOLUME_GIB, VolumeType="gp3", Encrypted=True, DeleteOnTermination=True
                    ),
                )
            ],
            UserData=Base64(
                Sub(
                    _USER_DATA,
                    Cluster=Ref(cluster),
                    StopTimeoutSeconds=str(environment.service.stop_timeout_seconds),
                )
            ),
        ),
    )


def _auto_scaling_group(
    template: Template, environment: Environment, launch_template: LaunchTemplate
) -> AutoScalingGroup:
    """
    Add the group; not attached to the load balancer, so that a bad release of the service kills no instances.

    No desired size: the capacity provider decides it, and an update would set
    it back. No update policy: a new launch template is rolled out by an
    instance refresh, which starts an instance before it drains one. Protected
    instances never get too old, so that both at once would be a promise of
    nothing (ECS guide, managed termination protection).
    """
    is_protected = environment.capacity.termination_protection
    group = AutoScalingGroup(
        "AutoScalingGroup",
        MinSize=str(environment.capacity.min_instances),
        MaxSize=str(environment.capacity.max_instances),
        VPCZoneIdentifier=take(template, environment, Output.PRIVATE_SUBNET_IDS),
        LaunchTemplate=LaunchTemplateSpecification(
            LaunchTemplateId=Ref(launch_template), Version=GetAtt(launch_template, "LatestVersionNumber")
        ),
        HealthCheckType="EC2",
        HealthCheckGracePeriod=_BOOT_SECONDS,
        # A task's port must be free on a new instance before the old one is drained.
        InstanceMaintenancePolicy=InstanceMaintenancePolicy(MinHealthyPercentage=100, MaxHealthyPercentage=200),
        MetricsCollection=[MetricsCollection(Granularity="1Minute")],
        NewInstancesProtectedFromScaleIn=is_protected,
        Tags=_instance_tags(environment),
    )
    if not is_protected:
        group.MaxInstanceLifetime = _LIFETIME_SECONDS
    return group


def _instance_tags(environment: Environment) -> list[dict[str, object]]:
    # The second one ECS sets by itself; without it here an update would take it away.
    name = f"{environment.project}-{environment.name}-instance"
    return [
        {"Key": "Name", "Value": name, "PropagateAtLaunch": True},
        {"Key": "AmazonECSManaged", "Value": "true", "PropagateAtLaunch": True},
    ]


def _capacity_provider(environment: Environment, group: AutoScalingGroup) -> CapacityProvider:
    return CapacityProvider(
        "CapacityProvider",
        AutoScalingGroupProvider=AutoScalingGroupProvider(
            AutoScalingGroupArn=Ref(group),
            ManagedDraining="ENABLED",
            # Off unless asked for: draining keeps tasks safe, and a protected instance is neither replaced by age
            # nor removed with the provider (ECS guide, managed termination protection).
            ManagedTerminationProtection="ENABLED" if environment.capacity.termination_protection else "DISABLED",
            ManagedScaling=ManagedScaling(
                Status="ENABLED",
                TargetCapacity=100,
                MinimumScalingStepSize=1,
                MaximumScalingStepSize=10,
                InstanceWarmupPeriod=_BOOT_SECONDS,
            ),
        ),
    )


def _association(cluster: Cluster, provider: CapacityProvider) -> ClusterCapacityProviderAssociations:
    return ClusterCapacityProviderAssociations(
        "CapacityProviderAssociation",
        Cluster=Ref(cluster),
        CapacityProviders=[Ref(provider)],
        DefaultCapacityProviderStrategy=[CapacityProviderStrategy(CapacityProvider=Ref(provider), Weight=1)],
    )
