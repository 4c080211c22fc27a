"""Every resource of every rendered template is deployed, no property of it is left unread, and all of it goes again."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from stacks.catalog import StackEntry, assemble
from stacks.environment_file import find_environment, load_environment
from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.resource_types.table import rows

Client = Any  # boto3's clients are made at run time

ROOT = Path(__file__).parents[4]
SERVICE = "AWS::ECS::Service"
DIGEST = "sha256:" + "0" * 64
DONE_SECONDS = 60.0


def settle(cloudformation: Client, stack_id: str) -> dict[str, Any]:
    """Wait until the stack's operation is over."""
    deadline = time.monotonic() + DONE_SECONDS
    while True:
        stack = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return dict(stack)
        assert time.monotonic() < deadline, f"{stack['StackName']} is still {stack['StackStatus']}"
        time.sleep(0.02)


def failures(cloudformation: Client, stack_id: str) -> list[str]:
    events = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    return [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    ]


def deploy(cloudformation: Client, entry: StackEntry, outputs: dict[str, str]) -> str:
    """Deploy one stack and add its outputs to those its successors take."""
    parameters = {name: outputs[name] for name in entry.inputs} | dict.fromkeys(entry.operator_parameters, DIGEST)
    stack_id = cloudformation.create_stack(
        StackName=entry.stack_name,
        TemplateBody=entry.body,
        Capabilities=list(entry.capabilities),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )["StackId"]
    stack = settle(cloudformation, stack_id)
    assert failures(cloudformation, stack_id) == []
    outputs.update({item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])})
    return str(stack_id)


@pytest.mark.slow  # its small siblings: test_embedded_cloud_takes_them.py, and the walk, which takes `local` down again
@pytest.mark.parametrize("name", ["production", "staging"])
def test_environment_is_carried(name: str) -> None:
    """
    With NAT and with endpoints; `local` is what the walk itself deploys.

    The service's tasks are not waited for: this is about what is registered, not about what runs.
    """
    environment = load_environment(find_environment(name, ROOT))
    carried = rows()
    carried[SERVICE] = dataclasses.replace(carried[SERVICE], is_stable=None)

    with LocalCloud(region=environment.region, rows=carried) as cloud:
        cloudformation = cloud.client("cloudformation")
        outputs: dict[str, str] = {}
        stacks = [deploy(cloudformation, entry, outputs) for entry in assemble(environment).stacks]
        for stack_id in reversed(stacks):
            cloudformation.delete_stack(StackName=stack_id)
            assert settle(cloudformation, stack_id)["StackStatus"] == "DELETE_COMPLETE", failures(
                cloudformation, stack_id
            )
