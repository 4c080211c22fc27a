"""Makes, changes and removes single resources through CloudFormation, for tests that read back what came of it."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.resource_types.table import rows

Json = Any  # properties as a template writes them

_DONE_SECONDS = 20.0
_POLL_SECONDS = 0.01


class FailedError(Exception):
    """The stack did not get where it should; the text is the reason of the first failed resource."""


@dataclass(slots=True)
class Made:
    """One resource in a stack of its own; `stack` is the stack's id."""

    type: str
    stack: str
    ref: str
    attributes: dict[str, str]
    properties: dict[str, Json]
    physical_id: str


class Workbench:
    """One embedded cloud and the stacks a test makes in it; what `client` reads is what AWS would answer."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.client = cloud.client
        self._cloudformation = cloud.client("cloudformation")
        self._numbers = itertools.count(1)
        self._rows = rows()

    def make(self, type_name: str, **properties: Json) -> Made:
        """Create a stack of one resource whose outputs are Ref and every attribute."""
        made = Made(type_name, "", "", {}, properties, "")
        made.stack = self._cloudformation.create_stack(
            StackName=f"stack-{next(self._numbers)}", TemplateBody=self._template(made), **_FIXED
        )["StackId"]
        return self._finished(made, "CREATE_COMPLETE")

    def change(self, made: Made, **properties: Json) -> Made:
        """Update the resource to these properties, in place: another physical id is a failure."""
        before = made.physical_id
        made.properties = properties
        self._cloudformation.update_stack(StackName=made.stack, TemplateBody=self._template(made), **_FIXED)
        changed = self._finished(made, "UPDATE_COMPLETE")
        if changed.physical_id != before and made.type not in _NEW_ID_IN_PLACE:
            raise FailedError(f"{made.type} was replaced")
        return changed

    def amend(self, made: Made, **properties: Json) -> Made:
        """Update some properties and leave the others; None takes one out of the template."""
        wanted = made.properties | properties
        return self.change(made, **{name: value for name, value in wanted.items() if value is not None})

    def remove(self, *made: Made) -> None:
        """Delete the stacks, in this order."""
        for one in made:
            self._cloudformation.delete_stack(StackName=one.stack)
            self._finished(one, "DELETE_COMPLETE")

    def _template(self, made: Made) -> str:
        resource: dict[str, Json] = {"Type": made.type, "Properties": made.properties}
        outputs: dict[str, Json] = {"Ref": {"Value": {"Ref": "Thing"}}}
        for name in self._rows[made.type].attributes:
            outputs[name.replace(".", "")] = {"Value": {"Fn::GetAtt": ["Thing", name]}}
        if made.type == "AWS::DynamoDB::Table" and "StreamSpecification" not in made.properties:
            del outputs["StreamArn"]
        return json.dumps({"Resources": {"Thing": resource}, "Outputs": outputs})

    def _finished(self, made: Made, status: str) -> Made:
        deadline = time.monotonic() + _DONE_SECONDS
        while (stack := self._stack(made.stack))["StackStatus"].endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, f"{made.type} is still {stack['StackStatus']}"
            time.sleep(_POLL_SECONDS)
        if stack["StackStatus"] != status:
            raise FailedError(self._reason(made.stack))
        if status != "DELETE_COMPLETE":
            made.attributes = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
            made.ref = made.attributes.pop("Ref")
            resources = self._cloudformation.describe_stack_resources(StackName=made.stack)["StackResources"]
            made.physical_id = resources[0]["PhysicalResourceId"]
        return made

    def _stack(self, identity: str) -> dict[str, Any]:
        return dict(self._cloudformation.describe_stacks(StackName=identity)["Stacks"][0])

    def _reason(self, identity: str) -> str:
        events = self._cloudformation.describe_stack_events(StackName=identity)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        ours = [event for event in failed if event["LogicalResourceId"] == "Thing"]
        return str(ours[-1].get("ResourceStatusReason", "")) if ours else "no event says why"


_FIXED: dict[str, Json] = {"Capabilities": ["CAPABILITY_NAMED_IAM"], "Tags": [{"Key": "project", "Value": "ingress"}]}
_NEW_ID_IN_PLACE = {"AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::EC2::SecurityGroupEgress"}
"""Where moto gives a changed thing a new id."""
