"""
The embedded cloud knows every type and property of our templates, in all their forms.

The walk of `make local` shows one environment, tasks and all; here are interface
endpoints, subscriptions, an alias and arm64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stacks.catalog import StackEntry, assemble
from stacks.environment import Environment
from stacks.local_cloud.cloud import LocalCloud
from tests.stacks.environments import changed


def test_every_stack_of_production_comes_up_in_the_embedded_cloud() -> None:
    with LocalCloud() as cloud:
        created = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
        zone = created["HostedZone"]["Id"].removeprefix("/hostedzone/")
        catalog = assemble(_arm_production(hosted_zone_id=zone))
        # Nothing runs here, so the workload would never be stable.
        before_the_workload = [entry for entry in catalog.stacks if entry.name != "workload"]

        outputs: dict[str, dict[str, str]] = {}
        for entry in before_the_workload:
            outputs[entry.name] = _create(cloud, entry, _parameters(entry, outputs))
        records = cloud.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]

    assert set(outputs) == {entry.name for entry in before_the_workload}
    assert outputs["network"]["PrivateSubnetIds"].count("subnet-") == 3
    assert "ingress.example.com." in [record["Name"] for record in records]


def _arm_production(*, hosted_zone_id: str) -> Environment:
    environment = changed(
        ('"444455556666"', '"123456789012"'), ('"m7i.large"', '"m7g.large"'), ('"x86_64"', '"arm64"'), name="production"
    )
    return replace(environment, ingress=replace(environment.ingress, hosted_zone_id=hosted_zone_id))


def _parameters(entry: StackEntry, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {name: outputs[source.stack][source.output] for name, source in entry.inputs.items()}


def _create(cloud: LocalCloud, entry: StackEntry, parameters: Mapping[str, str]) -> dict[str, str]:
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(
        StackName=entry.stack_name,
        TemplateBody=entry.body,
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=list(entry.capabilities),
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=entry.stack_name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    (stack,) = cloudformation.describe_stacks(StackName=entry.stack_name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
