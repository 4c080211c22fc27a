"""
Change sets: how every change of a stack is made, shown and done.

Nothing stays behind that was not executed: neither the change set, nor the
stack without resources that a change set for a new stack brings with it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from stacks.deployment.plan import ResourceChange, parse_changes
from stacks.deployment.polling import Poller
from stacks.deployment.stack import read_stack
from stacks.errors import DeploymentError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_MAX_PAGES: Final = 100
_BUDGET_SECONDS: Final = 15 * 60.0
"""Change sets of large stacks take minutes; ours take seconds."""
_NO_CHANGES: Final = ("didn't contain changes", "No updates are to be performed")
"""Both wordings; the second comes when a transform is involved."""
_PHANTOM: Final = "REVIEW_IN_PROGRESS"


class ChangeSetFailedError(DeploymentError):
    """CloudFormation would not make a change set; the stack is as it was."""

    exit_code = 5

    def __init__(self, stack_name: str, reason: str) -> None:
        super().__init__(f"{stack_name}: CloudFormation refuses the change: {reason}")
        self.stack_name = stack_name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """What a stack should become."""

    stack_name: str
    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    capabilities: frozenset[str]
    tags: Mapping[str, str]
    role_arn: str | None = None
    """What CloudFormation works as; None is as whoever asks."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change that CloudFormation has worked out; it waits to be executed or discarded."""

    arn: str
    stack_id: str
    stack_name: str
    creates: bool
    parameters: Mapping[str, str]
    changes: tuple[ResourceChange, ...]
    has_changes: bool
    """False: the stack is as it should be, and the change set is gone already."""
    role_arn: str | None = None


def make_change_set(client: CloudFormationClient, request: Request, *, creates: bool, poller: Poller) -> ChangeSet:
    """
    Have CloudFormation work out a change.

    Raises:
        ChangeSetFailedError: It would not; nothing is left behind.
    """
    name = f"deploy-{secrets.token_hex(8)}"
    try:
        made = client.create_change_set(
            StackName=request.stack_name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if creates else "UPDATE",
            TemplateBody=_body(request.template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in request.parameters.items()],
            Capabilities=sorted(request.capabilities),  # type: ignore[arg-type]  # three words the catalog knows
            Tags=[{"Key": key, "Value": value} for key, value in sorted(request.tags.items())],
            ClientToken=name,
            **worked_as(request.role_arn),
        )
    except ClientError as error:
        raise ChangeSetFailedError(request.stack_name, error.response["Error"]["Message"]) from error
    arn, stack_id = made["Id"], made["StackId"]
    description = poller.until(
        lambda: _described(client, arn), what=f"the change set of {request.stack_name}", budget_seconds=_BUDGET_SECONDS
    )
    change_set = ChangeSet(
        arn=arn,
        stack_id=stack_id,
        stack_name=request.stack_name,
        creates=creates,
        parameters=dict(request.parameters),
        changes=parse_changes(description["Changes"], request.template),
        has_changes=True,
        role_arn=request.role_arn,
    )
    if description["Status"] != "FAILED":
        return change_set
    discard(client, change_set, poller=poller)
    reason = description.get("StatusReason", "no reason given")
    if any(words in reason for words in _NO_CHANGES):
        return ChangeSet(arn, stack_id, request.stack_name, creates, change_set.parameters, (), has_changes=False)
    raise ChangeSetFailedError(request.stack_name, reason)


def _body(template: Mapping[str, Any]) -> str:
    """Write a template as small as it gets: CloudFormation takes 51,200 bytes, and for those white space counts."""
    return json.dumps(template, separators=(",", ":"), sort_keys=True)


def worked_as(role_arn: str | None) -> dict[str, Any]:  # Any: keyword arguments of several calls
    """
    Say as which role CloudFormation works, as keyword argument.

    A call without it would take the role of the last change just the same, but
    who deploys is only let do what names the role (`cloudformation:RoleArn`).
    """
    return {} if role_arn is None else {"RoleARN": role_arn}


def execute(client: CloudFormationClient, change_set: ChangeSet) -> str:
    """Start a change; gives the token its events bear."""
    token = f"deploy-{secrets.token_hex(8)}"
    client.execute_change_set(ChangeSetName=change_set.arn, ClientRequestToken=token)
    return token


def discard(client: CloudFormationClient, change_set: ChangeSet, *, poller: Poller) -> None:
    """Remove a change set that is not to be executed, and the empty stack it brought, if it brought one."""
    _delete_change_set(client, change_set.arn)
    if change_set.creates:
        remove_phantom(client, change_set.stack_id, role_arn=change_set.role_arn, poller=poller)


def remove_phantom(client: CloudFormationClient, stack_id: str, *, role_arn: str | None, poller: Poller) -> None:
    """Remove a stack that never had resources, and wait until its name is free again."""
    state = read_stack(client, stack_id)
    if state is None or state.status != _PHANTOM:
        return
    client.delete_stack(StackName=stack_id, **worked_as(role_arn))
    poller.until(
        lambda: True if read_stack(client, stack_id) is None else None,
        what=f"removing the empty stack {state.name}",
        budget_seconds=_BUDGET_SECONDS,
    )


def _delete_change_set(client: CloudFormationClient, arn: str) -> None:
    try:
        client.delete_change_set(ChangeSetName=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ChangeSetNotFound", "ValidationError", "InvalidChangeSetStatus"}:
            raise


def _described(client: CloudFormationClient, arn: str) -> dict[str, Any] | None:
    """Read a change set whole, once it is finished."""
    page: dict[str, Any] = {}  # the token of the next page, as keyword argument
    whole: dict[str, Any] = {}
    for _ in range(_MAX_PAGES):
        response = client.describe_change_set(ChangeSetName=arn, IncludePropertyValues=True, **page)
        if response["Status"] in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            return None
        whole = {**response, "Changes": [*whole.get("Changes", []), *response.get("Changes", [])]}
        if not response.get("NextToken"):
            break
        page = {"NextToken": response["NextToken"]}
    return whole
