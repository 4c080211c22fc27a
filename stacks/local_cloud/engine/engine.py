"""
CloudFormation as its API: one method per operation, requests and answers as botocore's model has them.

What this cloud does not do is an error that names it, never a silent success.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from stacks.local_cloud.engine import describing
from stacks.local_cloud.engine.comparison import compare
from stacks.local_cloud.engine.errors import (
    AlreadyExistsError,
    ChangeSetNotFoundError,
    CloudFormationError,
    InvalidChangeSetStatusError,
    UnsupportedError,
    ValidationError,
)
from stacks.local_cloud.engine.execution import Execution
from stacks.local_cloud.engine.expressions import partition_of
from stacks.local_cloud.engine.parameters import resolve_parameters
from stacks.local_cloud.engine.queries import Answer, Queries, Request
from stacks.local_cloud.engine.resource_life import ScriptedFailure, StoppedError
from stacks.local_cloud.engine.stack_register import StackRegister
from stacks.local_cloud.engine.state import ChangeSet, Intention, Operation, Stack
from stacks.local_cloud.engine.template import Template, parse_template
from stacks.local_cloud.engine.workshop import Workshop

NO_CHANGES: Final = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
NO_UPDATES: Final = "No updates are to be performed."

_STACK_NAME: Final = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_JOIN_SECONDS: Final = 10.0
_UPDATABLE: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
_LATER: Final = (
    "DeploymentConfig",
    "DeploymentMode",
    "DisableValidation",
    "EnableTerminationProtection",
    "ImportExistingResources",
    "IncludeNestedStacks",
    "NotificationARNs",
    "ResourceTypes",
    "ResourcesToImport",
    "RollbackConfiguration",
    "StackPolicyBody",
    "StackPolicyDuringUpdateBody",
    "StackPolicyDuringUpdateURL",
    "StackPolicyURL",
    "TemplateURL",
    "TimeoutInMinutes",
)
"""Arguments the embedded cloud refuses while they ask for something."""


class Engine:
    """Every stack of one embedded cloud."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._register = StackRegister()
        self._lock = threading.RLock()
        self.operations: Mapping[str, Callable[[Request], Answer]] = {
            "CreateChangeSet": self._create_change_set,
            "CreateStack": self._create_stack,
            "DeleteChangeSet": self._delete_change_set,
            "DeleteStack": self._delete_stack,
            "ExecuteChangeSet": self._execute_change_set,
            "UpdateStack": self._update_stack,
            **Queries(self._register, self._template_of).operations,
        }

    def answer(self, operation: str, request: Request) -> Answer:
        """
        Carry out one call.

        Raises:
            CloudFormationError: It was refused; `code` and `message` are what AWS would say.
        """
        if operation not in self.operations:
            known = ", ".join(self.operations)
            raise UnsupportedError(f"{operation} is not built in the embedded cloud, which knows {known}")
        asked = [name for name in _LATER if request.get(name)]
        if asked:
            raise UnsupportedError(f"{operation}: the embedded cloud does not carry {', '.join(asked)}")
        if request.get("RoleARN"):
            self._workshop.check_service_role(request["RoleARN"])
        return self.operations[operation](request)

    def fail_next(self, failure: ScriptedFailure) -> None:
        """Let one thing fail that is still to come."""
        self._workshop.lives.failures.append(failure)

    def close(self) -> None:
        """Let every running operation end where it stands."""
        self._workshop.lives.stopping.set()
        for stack in self._register.all():
            if stack.thread is not None:
                stack.thread.join(_JOIN_SECONDS)

    def _create_stack(self, request: Request) -> Answer:
        template = self._template_of(request)
        with self._lock:
            name = _checked_name(request["StackName"])
            if self._register.live(name) is not None:
                raise AlreadyExistsError(f"Stack [{name}] already exists")
            stack = self._new_stack(name, "CREATE_IN_PROGRESS")
            intention = self._intention(stack, template, request)
            self._register.add(stack)
            stack.on_failure = _on_failure(request)
            stack.capabilities = list(request.get("Capabilities", []))
            stack.role_arn = request.get("RoleARN")
            self._begin_creation(stack, intention, request)
        return {"StackId": stack.id, **describing.operation_id(stack.operation)}

    def _update_stack(self, request: Request) -> Answer:
        with self._lock:
            stack = self._register.present(request["StackName"])
            template = self._template_of(request, stack)
            self._refuse_unless_updatable(stack)
            _refuse_update_without_rollback(request)
            intention = self._intention(stack, template, request)
            if compare(self._workshop, stack, intention).is_empty:
                raise ValidationError(NO_UPDATES)
            stack.role_arn = request.get("RoleARN", stack.role_arn)
            self._begin_update(stack, intention, request)
        return {"StackId": stack.id, **describing.operation_id(stack.operation)}

    def _delete_stack(self, request: Request) -> Answer:
        with self._lock:
            stack = self._register.find(request["StackName"])
            if stack is None or stack.is_deleted or stack.status == "DELETE_IN_PROGRESS":
                return {}
            if stack.is_busy and stack.status != "CREATE_IN_PROGRESS":
                raise ValidationError(f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
            kept = self._kept_by_request(stack, request)
            stack.interrupted.set()
            stack.operation = Operation("DELETE_STACK", request.get("ClientRequestToken"))
            execution = Execution(self._workshop, stack)
            if stack.status == "REVIEW_IN_PROGRESS":
                execution.delete()
                return {}
            stack.set_status("DELETE_IN_PROGRESS", "User Initiated")
            self._launch(stack, lambda: execution.delete(kept))
        return {}

    def _create_change_set(self, request: Request) -> Answer:
        kind = request.get("ChangeSetType", "UPDATE")
        if kind not in {"CREATE", "UPDATE"}:
            raise UnsupportedError(f"CreateChangeSet: the embedded cloud makes no change set of type {kind}")
        with self._lock:
            stack = self._stack_of_new_change_set(request, kind)
            if request["ChangeSetName"] in stack.change_sets:
                raise AlreadyExistsError(f"ChangeSet [{request['ChangeSetName']}] already exists")
            intention = self._intention(stack, self._template_of(request, stack), request)
            change_set = self._new_change_set(stack, intention, request, kind)
            self._judge(stack, change_set)
            if stack not in self._register:
                stack.set_status("REVIEW_IN_PROGRESS", "User Initiated")
            self._register.add(stack)
            stack.change_sets[change_set.name] = change_set
        return {"Id": change_set.id, "StackId": stack.id}

    def _stack_of_new_change_set(self, request: Request, kind: str) -> Stack:
        if kind == "UPDATE":
            stack = self._register.present(request["StackName"])
            self._refuse_unless_updatable(stack)
            return stack
        found = self._register.live(request["StackName"])
        if found is None:
            return self._new_stack(_checked_name(request["StackName"]), "REVIEW_IN_PROGRESS")
        if found.status != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsError(f"Stack [{found.name}] already exists and cannot be created again")
        return found

    def _new_change_set(self, stack: Stack, intention: Intention, request: Request, kind: str) -> ChangeSet:
        name = str(request["ChangeSetName"])
        return ChangeSet(
            id=f"{self._arn('changeSet')}/{name}/{uuid4()}",
            name=name,
            kind=kind,
            intention=intention,
            description=request.get("Description"),
            capabilities=list(request.get("Capabilities", [])),
            on_failure=request.get("OnStackFailure", stack.on_failure),
            role_arn=request.get("RoleARN", stack.role_arn),
        )

    def _judge(self, stack: Stack, change_set: ChangeSet) -> None:
        """Fill in the changes; nothing to change and what cannot be changed make it a failed one."""
        comparison = compare(self._workshop, stack, change_set.intention)
        change_set.changes = comparison.changes
        reason = "\n".join(["Properties validation failed:", *comparison.faults]) if comparison.faults else None
        if comparison.is_empty:
            reason = NO_CHANGES
        if reason is not None:
            change_set.status, change_set.execution_status, change_set.reason = "FAILED", "UNAVAILABLE", reason

    def _delete_change_set(self, request: Request) -> Answer:
        with self._lock:
            try:
                stack, change_set = self._register.change_set(request)
            except ChangeSetNotFoundError:
                return {}
            if change_set.execution_status == "EXECUTE_IN_PROGRESS":
                raise InvalidChangeSetStatusError(f"ChangeSet [{change_set.id}] is being executed")
            del stack.change_sets[change_set.name]
        return {}

    def _execute_change_set(self, request: Request) -> Answer:
        with self._lock:
            stack, change_set = self._register.change_set(request)
            if change_set.execution_status != "AVAILABLE":
                raise InvalidChangeSetStatusError(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}], "
                    f"execution status {change_set.execution_status}"
                )
            if change_set.kind == "UPDATE":
                _refuse_update_without_rollback(request)
                self._refuse_unless_updatable(stack)
            change_set.execution_status = "EXECUTE_IN_PROGRESS"
            stack.executed = change_set
            stack.capabilities = change_set.capabilities
            stack.role_arn = change_set.role_arn
            if change_set.kind == "CREATE":
                stack.on_failure = "DO_NOTHING" if request.get("DisableRollback") else change_set.on_failure
                self._begin_creation(stack, change_set.intention, request)
            else:
                self._begin_update(stack, change_set.intention, request)
        return {}

    def _begin_creation(self, stack: Stack, intention: Intention, request: Request) -> None:
        stack.intention = intention
        stack.operation = Operation("CREATE_STACK", request.get("ClientRequestToken"))
        stack.set_status("CREATE_IN_PROGRESS", "User Initiated")
        self._launch(stack, lambda: self._execution(stack, request).create(intention))

    def _begin_update(self, stack: Stack, intention: Intention, request: Request) -> None:
        stack.operation = Operation("UPDATE_STACK", request.get("ClientRequestToken"))
        stack.updated_at = datetime.now(UTC)
        stack.set_status("UPDATE_IN_PROGRESS", "User Initiated")
        self._launch(stack, lambda: self._execution(stack, request).update(intention))

    def _execution(self, stack: Stack, request: Request) -> Execution:
        return Execution(self._workshop, stack, retain_except_on_create=bool(request.get("RetainExceptOnCreate")))

    def _launch(self, stack: Stack, work: Callable[[], None]) -> None:
        """Run in a thread of its own, so that events can be followed; what was planned before is planned in vain."""
        running = stack.thread
        for change_set in stack.change_sets.values():
            if change_set.execution_status == "AVAILABLE":
                change_set.execution_status = "OBSOLETE"

        def run() -> None:
            if running is not None:
                running.join()
            try:
                work()
            except StoppedError:
                return
            except Exception as error:
                # A fault of ours: whoever waits for the stack shall not wait for ever.
                verb = stack.operation.kind.partition("_")[0]
                stack.set_status(f"{verb}_FAILED", f"the engine broke: {error!r}")
                raise
            finally:
                _close_change_set(stack)

        stack.thread = threading.Thread(target=run, name=f"stack-{stack.name}", daemon=True)
        stack.thread.start()

    def _intention(self, stack: Stack, template: Template, request: Request) -> Intention:
        old = stack.intention
        parameters = resolve_parameters(
            template.parameters,
            request.get("Parameters", []),
            previous=old.parameters if old else {},
            lookups=self._workshop.lookups(),
        )
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]} if "Tags" in request else old.tags if old else {}
        return Intention(template, parameters, tags)

    def _template_of(self, request: Request, stack: Stack | None = None) -> Template:
        if request.get("UsePreviousTemplate"):
            if stack is None or stack.intention is None:
                raise ValidationError("UsePreviousTemplate: there is no previous template")
            return stack.intention.template
        if not request.get("TemplateBody"):
            raise ValidationError("Either Template URL or Template Body must be specified.")
        template = parse_template(request["TemplateBody"])
        self._workshop.check(template)
        return template

    def _arn(self, kind: str) -> str:
        workshop = self._workshop
        return f"arn:{partition_of(workshop.region)}:cloudformation:{workshop.region}:{workshop.account}:{kind}"

    def _new_stack(self, name: str, status: str) -> Stack:
        return Stack(id=f"{self._arn('stack')}/{name}/{uuid4()}", name=name, status=status)

    def _refuse_unless_updatable(self, stack: Stack) -> None:
        if stack.status not in _UPDATABLE:
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _kept_by_request(self, stack: Stack, request: Request) -> list[str]:
        if request.get("DeletionMode", "STANDARD") != "STANDARD":
            raise UnsupportedError("DeleteStack: the embedded cloud has no DeletionMode but STANDARD")
        kept = list(request.get("RetainResources", []))
        if kept and stack.status != "DELETE_FAILED":
            raise ValidationError(
                f"Invalid operation on stack [{stack.id}]. RetainResources is for stacks in DELETE_FAILED alone"
            )
        return kept


def _checked_name(name: str) -> str:
    if not _STACK_NAME.fullmatch(name):
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_STACK_NAME.pattern}"
        )
    return name


def _on_failure(request: Request) -> str:
    if request.get("DisableRollback"):
        if request.get("OnFailure"):
            raise ValidationError("You can specify either DisableRollback or OnFailure, but not both.")
        return "DO_NOTHING"
    return str(request.get("OnFailure", "ROLLBACK"))


def _refuse_update_without_rollback(request: Request) -> None:
    if request.get("DisableRollback"):
        raise UnsupportedError("the embedded cloud always rolls a failed update back: DisableRollback is not built")


def _close_change_set(stack: Stack) -> None:
    if stack.executed is not None and stack.executed.execution_status == "EXECUTE_IN_PROGRESS":
        done = stack.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
        stack.executed.execution_status = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"


__all__ = ["NO_CHANGES", "NO_UPDATES", "CloudFormationError", "Engine", "ScriptedFailure"]
