"""Every stack there is and was, and how requests name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.local_cloud.engine.errors import ChangeSetNotFoundError, ValidationError
from stacks.local_cloud.engine.state import ChangeSet, Stack


class StackRegister:
    """The stacks of one embedded cloud, the oldest first."""

    def __init__(self) -> None:
        self._stacks: dict[str, Stack] = {}

    def add(self, stack: Stack) -> None:
        """Keep a stack; again is no harm."""
        self._stacks[stack.id] = stack

    def __contains__(self, stack: Stack) -> bool:
        """Tell whether a stack is kept."""
        return stack.id in self._stacks

    def all(self) -> list[Stack]:
        """Give every stack, deleted ones included."""
        return list(self._stacks.values())

    def live(self, name: str) -> Stack | None:
        """Find the one stack that has a name now."""
        return next((stack for stack in self.all() if stack.name == name and not stack.is_deleted), None)

    def find(self, name_or_id: str) -> Stack | None:
        """Find a stack by its id, or a live one by its name."""
        return self._stacks.get(name_or_id) or self.live(name_or_id)

    def known(self, name_or_id: str, missing: str = "Stack with id {} does not exist") -> Stack:
        """
        Find a stack, a deleted one by its id alone.

        Args:
            name_or_id: As in the request.
            missing: What AWS says when there is none; operations differ.

        Raises:
            ValidationError: There is none.
        """
        stack = self.find(name_or_id)
        if stack is None:
            raise ValidationError(missing.format(name_or_id))
        return stack

    def present(self, name_or_id: str) -> Stack:
        """Find a stack that is not deleted; ValidationError if there is none."""
        missing = "Stack [{}] does not exist"
        stack = self.known(name_or_id, missing)
        if stack.is_deleted:
            raise ValidationError(missing.format(name_or_id))
        return stack

    def change_set(self, request: Mapping[str, Any]) -> tuple[Stack, ChangeSet]:
        """
        Find a change set by its ARN, or by its name and its stack.

        Raises:
            ValidationError: A name comes without a stack.
            ChangeSetNotFoundError: There is none.
        """
        name = str(request["ChangeSetName"])
        if not name.startswith("arn:") and not request.get("StackName"):
            raise ValidationError("StackName must be specified if ChangeSetName is not specified as an ARN.")
        stacks: Iterable[Stack] = self.all() if name.startswith("arn:") else [self.known(request["StackName"])]
        for stack in stacks:
            for change_set in list(stack.change_sets.values()):
                if name in {change_set.id, change_set.name}:
                    return stack, change_set
        raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")
