"""
One stack as CloudFormation has it now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_GONE: Final = "DELETE_COMPLETE"


@dataclass(frozen=True, slots=True)
class StackState:
    """What DescribeStacks says of a stack."""

    name: str
    id: str
    status: str
    reason: str
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StackResource:
    """What DescribeStackResources says of one resource."""

    logical_id: str
    physical_id: str
    type: str
    status: str


def read_stack(client: CloudFormationClient, name: str) -> StackState | None:
    """Read a stack by name or id; None if there is none, or no more."""
    try:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # the one way CloudFormation says "does not exist"
            return None
        raise
    if stack["StackStatus"] == _GONE:
        return None
    return StackState(
        name=stack["StackName"],
        id=stack["StackId"],
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason", ""),
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
    )


def read_resources(client: CloudFormationClient, stack: str) -> list[StackResource]:
    """Read what a stack holds; resources that are gone are left out."""
    found: list[StackResource] = []
    for page in client.get_paginator("list_stack_resources").paginate(StackName=stack):
        found += [
            StackResource(
                logical_id=item["LogicalResourceId"],
                physical_id=item.get("PhysicalResourceId", ""),
                type=item["ResourceType"],
                status=item["ResourceStatus"],
            )
            for item in page["StackResourceSummaries"]
            if item["ResourceStatus"] != _GONE
        ]
    return found
