"""The three things done to a stack, each from its first status to its last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from stacks.local_cloud.engine.advance import Advance, StackFailedError, in_deletion_order
from stacks.local_cloud.engine.errors import TemplateError
from stacks.local_cloud.engine.removal import Occasion, Removal, is_kept
from stacks.local_cloud.engine.state import Intention, ResourceState, Stack
from stacks.local_cloud.engine.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Execution:
    """Runs one operation on one stack, in the stack's own thread; the caller has set the first status."""

    workshop: Workshop
    stack: Stack
    retain_except_on_create: bool = False

    def create(self, intention: Intention) -> None:
        """Create every resource; what fails is rolled back, kept or removed with the stack, as it was asked for."""
        try:
            advance = Advance(self.workshop, self.stack, intention)
            self.stack.outputs = advance.run()
        except (StackFailedError, TemplateError) as error:
            self._after_failed_creation(str(error))
            return
        self.stack.set_status("CREATE_COMPLETE")

    def update(self, intention: Intention) -> None:
        """Carry the stack to the intention, and back to exactly where it was if a step fails."""
        old = self.stack.intention
        assert old is not None  # noqa: S101 - a stack without an intention has no update
        try:
            advance = Advance(self.workshop, self.stack, intention)
        except TemplateError as error:
            self.stack.set_status("UPDATE_ROLLBACK_IN_PROGRESS", str(error))
            self.stack.set_status("UPDATE_ROLLBACK_COMPLETE")
            return
        try:
            outputs = advance.run()
        except StackFailedError as error:
            self._roll_back_update(advance, old, str(error))
            return
        self.stack.outputs, self.stack.intention = outputs, intention
        self.stack.set_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up(advance.superseded(), old)
        self.stack.set_status("UPDATE_COMPLETE")

    def delete(self, kept: Collection[str] = ()) -> None:
        """Delete every resource that no policy and no request keeps."""
        states = [state for state in self.stack.resources.values() if state.is_there]
        by_policy = {state.logical_id for state in states if is_kept(state, Occasion.LEFT)}
        removal = self._removal()
        removal.remove(in_deletion_order(states), kept=by_policy | set(kept))
        if removal.failed:
            failed = ", ".join(removal.failed)
            self.stack.set_status("DELETE_FAILED", f"The following resource(s) failed to delete: [{failed}].")
            return
        self.stack.deleted_at = datetime.now(UTC)
        self.stack.outputs = {}
        self.stack.set_status("DELETE_COMPLETE")

    def _after_failed_creation(self, reason: str) -> None:
        match self.stack.on_failure:
            case "DO_NOTHING":
                self.stack.set_status("CREATE_FAILED", reason)
            case "DELETE":
                self.stack.set_status("DELETE_IN_PROGRESS", f"{reason} Delete requested by user.")
                self.delete()
            case _:
                self.stack.set_status("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
                self._roll_back_creation()

    def _roll_back_creation(self) -> None:
        states = in_deletion_order([state for state in self.stack.resources.values() if state.is_there])
        removal = self._removal()
        removal.remove(states, kept=self._kept_of_new(states))
        if removal.failed:
            failed = ", ".join(removal.failed)
            self.stack.set_status("ROLLBACK_FAILED", f"The following resource(s) failed to delete: [{failed}].")
            return
        self.stack.outputs = {}
        self.stack.set_status("ROLLBACK_COMPLETE")

    def _roll_back_update(self, advance: Advance, old: Intention, reason: str) -> None:
        self.stack.set_status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        try:
            made = list(advance.undo(old))
        except StackFailedError as error:
            self.stack.set_status("UPDATE_ROLLBACK_FAILED", str(error))
            return
        self.stack.set_status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._removal().remove(made, kept=self._kept_of_new(made))
        self._forget(made)
        self.stack.set_status("UPDATE_ROLLBACK_COMPLETE")

    def _clean_up(self, superseded: list[ResourceState], old: Intention) -> None:
        """Remove what the update left; a failure is an event and no failure of the update, as on AWS."""
        kept = {
            state.logical_id
            for state in superseded
            if is_kept(state, Occasion.LEFT if self._is_current(state) else Occasion.REPLACED)
        }
        Removal(self.workshop, self.stack, old.tags).remove(in_deletion_order(superseded), kept=kept)
        self._forget(superseded)

    def _forget(self, states: list[ResourceState]) -> None:
        for state in states:
            if self._is_current(state):
                del self.stack.resources[state.logical_id]

    def _is_current(self, state: ResourceState) -> bool:
        return self.stack.resources.get(state.logical_id) is state

    def _kept_of_new(self, states: list[ResourceState]) -> set[str]:
        return {
            state.logical_id
            for state in states
            if state.physical_id
            and is_kept(state, Occasion.CREATION_UNDONE, except_on_create=self.retain_except_on_create)
        }

    def _removal(self) -> Removal:
        tags = self.stack.intention.tags if self.stack.intention else {}
        return Removal(self.workshop, self.stack, tags)
