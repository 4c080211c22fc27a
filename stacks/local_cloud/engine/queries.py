"""The operations that only look: each answers from what the engine remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stacks.local_cloud.engine import describing
from stacks.local_cloud.engine.errors import UnsupportedError, ValidationError
from stacks.local_cloud.engine.stack_register import StackRegister
from stacks.local_cloud.engine.state import Intention, ResourceState, Stack
from stacks.local_cloud.engine.template import Template

Request = Mapping[str, Any]
Answer = dict[str, Any]

_PAGE: Final = 100  # events and resources in one answer
_MISSING: Final = "Stack [{}] does not exist"


class Queries:
    """Answers what is asked of stacks, change sets, events and templates."""

    def __init__(self, register: StackRegister, template_of: Callable[[Request], Template]) -> None:
        self._register = register
        self._template_of = template_of
        self.operations: Mapping[str, Callable[[Request], Answer]] = {
            "DescribeChangeSet": self._describe_change_set,
            "DescribeEvents": self._describe_events,
            "DescribeStackEvents": self._describe_stack_events,
            "DescribeStackResource": self._describe_stack_resource,
            "DescribeStackResources": self._describe_stack_resources,
            "DescribeStacks": self._describe_stacks,
            "GetTemplate": self._get_template,
            "GetTemplateSummary": self._get_template_summary,
            "ListChangeSets": self._list_change_sets,
            "ListStackResources": self._list_stack_resources,
            "ListStacks": self._list_stacks,
            "ValidateTemplate": self._validate_template,
        }

    def _describe_stacks(self, request: Request) -> Answer:
        if request.get("StackName"):
            return {"Stacks": [describing.stack(self._register.known(request["StackName"]))]}
        live = [stack for stack in self._register.all() if not stack.is_deleted]
        return _page("Stacks", [describing.stack(stack) for stack in live], request)

    def _list_stacks(self, request: Request) -> Answer:
        wanted = request.get("StackStatusFilter")
        found = [stack for stack in self._register.all() if not wanted or stack.status in wanted]
        return _page("StackSummaries", [describing.stack_summary(stack) for stack in reversed(found)], request)

    def _describe_stack_events(self, request: Request) -> Answer:
        stack = self._register.known(request["StackName"], _MISSING)
        return _page("StackEvents", [describing.event(stack, event) for event in reversed(stack.events)], request)

    def _describe_events(self, request: Request) -> Answer:
        stack, found = self._history(request)
        operation = request.get("OperationId")
        events = [event for event in found if operation in {None, event["OperationId"]}]
        if request.get("Filters", {}).get("FailedEvents"):
            events = [event for event in events if event["EventType"] != "STACK_EVENT"]
        if operation and not events and operation != stack.operation.id:
            raise ValidationError(f"Operation [{operation}] does not exist")
        return _page("OperationEvents", events, request)

    def _history(self, request: Request) -> tuple[Stack, list[dict[str, Any]]]:
        if request.get("ChangeSetName"):
            stack, change_set = self._register.change_set(request)
            faults = change_set.reason.splitlines()[1:] if change_set.reason else []
            return stack, [describing.change_set_fault(stack, change_set, fault) for fault in faults]
        if not request.get("StackName"):
            raise UnsupportedError("DescribeEvents: the embedded cloud wants a StackName or a ChangeSetName")
        stack = self._register.known(request["StackName"], _MISSING)
        return stack, [describing.operation_event(stack, event) for event in reversed(stack.events)]

    def _describe_stack_resource(self, request: Request) -> Answer:
        stack = self._register.known(request["StackName"], "Stack '{}' does not exist")
        return {"StackResourceDetail": describing.resource(stack, _resource(stack, request["LogicalResourceId"]))}

    def _describe_stack_resources(self, request: Request) -> Answer:
        if request.get("PhysicalResourceId"):
            raise UnsupportedError("DescribeStackResources by PhysicalResourceId is not built in the embedded cloud")
        stack = self._register.known(request["StackName"])
        logical_id = request.get("LogicalResourceId")
        states = [_resource(stack, logical_id)] if logical_id else stack.resources.values()
        return {"StackResources": [describing.resource(stack, state) for state in states]}

    def _list_stack_resources(self, request: Request) -> Answer:
        stack = self._register.known(request["StackName"])
        states = list(stack.resources.values())
        return _page("StackResourceSummaries", [describing.resource(stack, state) for state in states], request)

    def _get_template(self, request: Request) -> Answer:
        if request.get("ChangeSetName"):
            _, change_set = self._register.change_set(request)
            intention: Intention | None = change_set.intention
        else:
            intention = self._register.known(request["StackName"]).intention
        body = intention.template.body if intention else "{}"
        return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}

    def _get_template_summary(self, request: Request) -> Answer:
        if request.get("StackName"):
            intention = self._register.known(request["StackName"]).intention
            if intention is None:
                raise ValidationError(f"Stack [{request['StackName']}] has no template yet")
            return describing.summary(intention.template)
        return describing.summary(self._template_of(request))

    def _validate_template(self, request: Request) -> Answer:
        return describing.summary(self._template_of(request))

    def _describe_change_set(self, request: Request) -> Answer:
        stack, change_set = self._register.change_set(request)
        with_values = bool(request.get("IncludePropertyValues"))
        return describing.change_set(stack, change_set, with_values=with_values)

    def _list_change_sets(self, request: Request) -> Answer:
        stack = self._register.known(request["StackName"], _MISSING)
        found = [describing.change_set_summary(stack, change_set) for change_set in stack.change_sets.values()]
        return _page("Summaries", found, request)


def _resource(stack: Stack, logical_id: str) -> ResourceState:
    if logical_id not in stack.resources:
        raise ValidationError(f"Resource {logical_id} does not exist for stack {stack.name}")
    return stack.resources[logical_id]


def _page(name: str, items: list[dict[str, Any]], request: Request) -> Answer:
    """Give the page the token names; a token is the position, counted from the oldest item."""
    token = request.get("NextToken")
    if token is not None and (not token.isdecimal() or int(token) > len(items)):
        raise ValidationError(f"NextToken {token} is none of ours")
    begin = len(items) - int(token) if token is not None else 0
    end = begin + _PAGE
    rest = {"NextToken": str(len(items) - end)} if end < len(items) else {}
    return {name: items[begin:end], **rest}
