"""Container instances come before others go, keep their metadata to themselves and get no older than a fortnight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stacks.catalog import assemble
from tests.stacks.environments import NAMES, catalog, changed, environment
from tests.stacks.templates.reading import properties, resource

pytestmark = pytest.mark.parametrize("name", NAMES)


def launch(name: str) -> Mapping[str, Any]:
    data: Mapping[str, Any] = properties(catalog(name), "capacity", "LaunchTemplate")["LaunchTemplateData"]
    return data


def user_data(name: str) -> str:
    text: str = launch(name)["UserData"]["Fn::Base64"]["Fn::Sub"][0]
    return text


def provider(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = properties(catalog(name), "capacity", "CapacityProvider")["AutoScalingGroupProvider"]
    return found


def test_the_provider_drains_and_scales_and_protects_nobody(name: str) -> None:
    """Protected instances are neither replaced by age nor removed with the provider (A2)."""
    assert provider(name)["ManagedDraining"] == "ENABLED"
    assert provider(name)["ManagedTerminationProtection"] == "DISABLED"
    assert provider(name)["ManagedScaling"]["Status"] == "ENABLED"
    assert 1 <= provider(name)["ManagedScaling"]["TargetCapacity"] <= 100


def test_a_new_instance_stands_before_an_old_one_is_drained(name: str) -> None:
    """A task needs its port free elsewhere before it can move (A3)."""
    group = properties(catalog(name), "capacity", "AutoScalingGroup")

    assert group["InstanceMaintenancePolicy"] == {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    assert int(group["MaxSize"]) > environment(name).service.max_tasks


def test_a_bad_release_kills_no_instance(name: str) -> None:
    group = properties(catalog(name), "capacity", "AutoScalingGroup")

    assert group["HealthCheckType"] == "EC2"
    assert not {"LoadBalancerNames", "TargetGroupARNs"} & set(group)


def test_instances_are_replaced_every_fortnight(name: str) -> None:
    group = properties(catalog(name), "capacity", "AutoScalingGroup")

    assert group["MaxInstanceLifetime"] == 14 * 24 * 3600
    assert group["NewInstancesProtectedFromScaleIn"] is False


def test_an_environment_may_protect_what_runs_tasks(name: str) -> None:
    """Then no instance goes for its age, for none that is protected does (A2)."""
    found = assemble(changed(("[capacity]\n", "[capacity]\ntermination_protection = true\n"), name=name))
    group = properties(found, "capacity", "AutoScalingGroup")
    inside = properties(found, "capacity", "CapacityProvider")["AutoScalingGroupProvider"]

    assert inside["ManagedTerminationProtection"] == "ENABLED"
    assert group["NewInstancesProtectedFromScaleIn"] is True
    assert "MaxInstanceLifetime" not in group


def test_an_update_neither_rolls_instances_nor_sets_their_number_back(name: str) -> None:
    group = resource(catalog(name), "capacity", "AutoScalingGroup")

    assert "UpdatePolicy" not in group
    assert "DesiredCapacity" not in group["Properties"]


def test_the_group_starts_the_version_the_template_says(name: str) -> None:
    """CloudFormation sees no change behind $Latest (A8)."""
    assert properties(catalog(name), "capacity", "AutoScalingGroup")["LaunchTemplate"]["Version"] == {
        "Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]
    }


def test_the_image_is_amazon_linux_2023_of_the_right_processor(name: str) -> None:
    parameter = catalog(name)["capacity"].template["Parameters"]["InstanceImageId"]
    arm = assemble(changed((environment(name).capacity.instance_type, "m7g.large"), ('"x86_64"', '"arm64"'), name=name))

    assert parameter["Type"] == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
    assert parameter["Default"].endswith("/amazon-linux-2023/recommended/image_id")
    assert "/amazon-linux-2023/arm64/" in arm["capacity"].template["Parameters"]["InstanceImageId"]["Default"]


def test_metadata_ends_at_the_instance(name: str) -> None:
    assert launch(name)["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "InstanceMetadataTags": "disabled",
    }


def test_containers_on_the_bridge_are_kept_from_the_metadata_too(name: str) -> None:
    """The agent's own block is for another network mode (A13)."""
    text = user_data(name)

    assert "iptables --wait -I DOCKER-USER 1 -i docker+ -d 169.254.169.254/32 -j DROP" in text
    assert "RequiredBy=ecs.service" in text
    assert "WantedBy=docker.service" in text


def test_the_agent_knows_its_cluster_and_waits_for_tasks_to_end(name: str) -> None:
    template, values = launch(name)["UserData"]["Fn::Base64"]["Fn::Sub"]

    assert "ECS_CLUSTER=${Cluster}\n" in template
    assert "ECS_CONTAINER_STOP_TIMEOUT=${StopTimeoutSeconds}s\n" in template
    assert "ECS_DISABLE_PRIVILEGED=true\n" in template
    assert "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST" not in template
    assert values == {
        "Cluster": {"Ref": "Cluster"},
        "StopTimeoutSeconds": str(environment(name).service.stop_timeout_seconds),
    }


def test_instances_stand_in_private_subnets_behind_their_group(name: str) -> None:
    (interface,) = launch(name)["NetworkInterfaces"]

    assert interface["AssociatePublicIpAddress"] is False
    assert interface["Groups"] == [{"Ref": "InstanceSecurityGroupId"}]
    assert properties(catalog(name), "capacity", "AutoScalingGroup")["VPCZoneIdentifier"] == {"Ref": "PrivateSubnetIds"}


def test_disks_are_encrypted(name: str) -> None:
    (mapping,) = launch(name)["BlockDeviceMappings"]

    assert mapping["Ebs"] == {"VolumeSize": 30, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}


def test_the_cluster_is_watched_and_uses_the_provider(name: str) -> None:
    association = properties(catalog(name), "capacity", "CapacityProviderAssociation")

    assert properties(catalog(name), "capacity", "Cluster")["ClusterSettings"] == [
        {"Name": "containerInsights", "Value": "enabled"}
    ]
    assert association["CapacityProviders"] == [{"Ref": "CapacityProvider"}]
