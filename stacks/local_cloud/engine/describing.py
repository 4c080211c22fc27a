"""How stacks, events and change sets look in the answers of the API (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stacks.local_cloud.engine.parameters import MASK, ParameterDeclaration, ParameterValue
from stacks.local_cloud.engine.state import ChangeSet, Event, Operation, Output, ResourceState, Stack
from stacks.local_cloud.engine.template import Template

_NAMED_BY: Final[Mapping[str, str]] = {
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}
_IAM_TYPES: Final = frozenset(_NAMED_BY) | {"AWS::IAM::Policy", "AWS::IAM::AccessKey", "AWS::IAM::UserToGroupAddition"}
"""Template needs a capability for these (User Guide, "Acknowledging IAM resources in CloudFormation templates")."""
_VALUES: Final = ("BeforeValue", "AfterValue", "Path", "AttributeChangeType")
"""Told only to who asks with IncludePropertyValues; the contexts as well."""


def stack(found: Stack) -> dict[str, Any]:
    """Describe as DescribeStacks does."""
    intention = found.intention
    return {
        "StackId": found.id,
        "StackName": found.name,
        "ChangeSetId": found.executed.id if found.executed else None,
        "Description": intention.template.description if intention else None,
        "Parameters": parameters(intention.parameters) if intention else [],
        "CreationTime": found.created_at,
        "DeletionTime": found.deleted_at,
        "LastUpdatedTime": found.updated_at,
        "RollbackConfiguration": {},
        "StackStatus": found.status,
        "StackStatusReason": found.reason,
        "DisableRollback": found.on_failure == "DO_NOTHING",
        "NotificationARNs": [],
        "Capabilities": found.capabilities,
        "RoleARN": found.role_arn,
        "Outputs": [_output(output) for output in found.outputs.values()],
        "Tags": tags(intention.tags) if intention else [],
        "EnableTerminationProtection": False,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "LastOperations": [{"OperationType": found.operation.kind, "OperationId": found.operation.id}],
    }


def stack_summary(found: Stack) -> dict[str, Any]:
    """Describe as ListStacks does."""
    whole = stack(found)
    names = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")
    return {
        **{name: whole[name] for name in (*names, "StackStatusReason", "DriftInformation")},
        "TemplateDescription": whole["Description"],
    }


def resource(found: Stack, state: ResourceState) -> dict[str, Any]:
    """Describe as DescribeStackResource, DescribeStackResources and ListStackResources do, each its own part of it."""
    return {
        "StackId": found.id,
        "StackName": found.name,
        "LogicalResourceId": state.logical_id,
        "PhysicalResourceId": state.physical_id or None,
        "ResourceType": state.type,
        "Timestamp": state.changed_at,
        "LastUpdatedTimestamp": state.changed_at,
        "ResourceStatus": state.status,
        "ResourceStatusReason": state.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def event(found: Stack, line: Event) -> dict[str, Any]:
    """Describe as DescribeStackEvents does."""
    return {
        "StackId": found.id,
        "EventId": line.id,
        "StackName": found.name,
        "OperationId": line.operation.id,
        "LogicalResourceId": line.logical_id,
        "PhysicalResourceId": line.physical_id or None,
        "ResourceType": line.type,
        "Timestamp": line.at,
        "ResourceStatus": line.status,
        "ResourceStatusReason": line.reason,
        "ResourceProperties": line.properties,
        "ClientRequestToken": line.operation.token,
    }


def operation_event(found: Stack, line: Event) -> dict[str, Any]:
    """Describe as DescribeEvents does: the same history, seen by operation."""
    return {
        **{name: value for name, value in event(found, line).items() if name != "StackName"},
        "OperationType": line.operation.kind,
        "EventType": "PROVISIONING_ERROR" if is_failure(line) else "STACK_EVENT",
        "StartTime": line.at,
        "EndTime": line.at,
    }


def change_set_fault(found: Stack, change_set: ChangeSet, fault: str) -> dict[str, Any]:
    """Describe one thing that stood in the way of a change set, as DescribeEvents does."""
    return {
        "EventId": f"{change_set.id}-{fault[:32]}",
        "StackId": found.id,
        "OperationId": change_set.id.rpartition("/")[2],
        "OperationType": "CREATE_CHANGESET",
        "OperationStatus": "FAILED",
        "EventType": "VALIDATION_ERROR",
        "Timestamp": change_set.created_at,
        "ValidationFailureMode": "FAIL",
        "ValidationName": "PROPERTY_VALIDATION",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": fault,
    }


def is_failure(line: Event) -> bool:
    """Tell whether an event says that a resource failed."""
    return line.status.endswith("_FAILED")


def change_set(found: Stack, wanted: ChangeSet, *, with_values: bool) -> dict[str, Any]:
    """Describe as DescribeChangeSet does, all changes in one page."""
    return {
        **change_set_summary(found, wanted),
        "Parameters": parameters(wanted.intention.parameters),
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Capabilities": wanted.capabilities,
        "Tags": tags(wanted.intention.tags),
        "OnStackFailure": wanted.on_failure if wanted.kind == "CREATE" else None,
        "Changes": [
            {"Type": "Resource", "ResourceChange": change if with_values else _without_values(change)}
            for change in wanted.changes
        ],
    }


def change_set_summary(found: Stack, wanted: ChangeSet) -> dict[str, Any]:
    """Describe as ListChangeSets does."""
    return {
        "StackId": found.id,
        "StackName": found.name,
        "ChangeSetId": wanted.id,
        "ChangeSetName": wanted.name,
        "ExecutionStatus": wanted.execution_status,
        "Status": wanted.status,
        "StatusReason": wanted.reason,
        "CreationTime": wanted.created_at,
        "Description": wanted.description,
        "IncludeNestedStacks": False,
        "ImportExistingResources": False,
    }


def summary(template: Template) -> dict[str, Any]:
    """Describe as GetTemplateSummary and ValidateTemplate do."""
    capabilities = _capabilities(template)
    return {
        "Description": template.description,
        "Parameters": [_declaration(entry) for entry in template.parameters.values()],
        "Capabilities": capabilities,
        "CapabilitiesReason": "The following resource(s) require capabilities: [AWS::IAM]" if capabilities else None,
        "ResourceTypes": sorted({entry.type for entry in template.resources.values()}),
        "Version": "2010-09-09",
        "DeclaredTransforms": [],
    }


def parameters(values: Mapping[str, ParameterValue]) -> list[dict[str, Any]]:
    """Describe parameters, the masked ones masked."""
    return [
        {"ParameterKey": value.name, "ParameterValue": value.shown, "ResolvedValue": value.resolved}
        for value in values.values()
    ]


def tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Describe tags."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


def operation_id(operation: Operation) -> dict[str, str]:
    """Describe the operation a call began."""
    return {"OperationId": operation.id}


def _output(output: Output) -> dict[str, Any]:
    return {"OutputKey": output.name, "OutputValue": output.value, "Description": output.description}


def _without_values(change: Mapping[str, Any]) -> dict[str, Any]:
    details = [
        {**detail, "Target": {name: value for name, value in detail["Target"].items() if name not in _VALUES}}
        for detail in change["Details"]
    ]
    kept = {name: value for name, value in change.items() if name not in {"BeforeContext", "AfterContext"}}
    return {**kept, "Details": details}


def _capabilities(template: Template) -> list[str]:
    entries = [entry for entry in template.resources.values() if entry.type in _IAM_TYPES]
    if any(_NAMED_BY.get(entry.type) in entry.properties for entry in entries):
        return ["CAPABILITY_NAMED_IAM"]
    return ["CAPABILITY_IAM"] if entries else []


def _declaration(entry: ParameterDeclaration) -> dict[str, Any]:
    return {
        "ParameterKey": entry.name,
        "DefaultValue": MASK if entry.no_echo and entry.default is not None else entry.default,
        "ParameterType": entry.type,
        "NoEcho": entry.no_echo,
        "Description": entry.description,
        "ParameterConstraints": {"AllowedValues": list(entry.allowed_values)} if entry.allowed_values else None,
    }
