"""What lies between two states of a resource, and the way from one to the other (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from stacks.local_cloud.engine.intrinsics import is_unknown
from stacks.local_cloud.engine.schemas import Path_, Recreation, Schema
from stacks.local_cloud.row import ResourceFailedError, Row


class _Absent:
    """Stands for a property that is not there."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


class Kind(StrEnum):
    """How one value differs, in the words of a change set."""

    ADD = "Add"
    MODIFY = "Modify"
    REMOVE = "Remove"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs, as deep in the properties as both sides have the same shape."""

    path: Path_
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """The property of the resource it belongs to."""
        return str(self.path[0])

    @property
    def pointer(self) -> str:
        """The place as a change set writes it."""
        return "/Properties/" + "/".join(map(str, self.path))

    @property
    def kind(self) -> Kind:
        """Whether the value came, went or changed."""
        if self.before is ABSENT:
            return Kind.ADD
        return Kind.REMOVE if self.after is ABSENT else Kind.MODIFY

    @property
    def is_certain(self) -> bool:
        """Whether the new value is known already."""
        return not is_unknown(self.after)


def differences(before: Any, after: Any, path: Path_ = ()) -> Iterator[Difference]:
    """Yield what differs; lists of different length differ as a whole."""
    match before, after:
        case dict(), dict():
            for key in sorted(before.keys() | after.keys()):
                yield from differences(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key))
        case list(), list() if len(before) == len(after):
            for index, (old, new) in enumerate(zip(before, after, strict=True)):
                yield from differences(old, new, (*path, index))
        case _ if before != after:
            yield Difference(path, before, after)


class Way(StrEnum):
    """How a resource gets to its new properties."""

    NOTHING = "nothing to do"
    IN_PLACE = "updated in place"
    REPLACE = "replaced"


@dataclass(frozen=True, slots=True)
class Decision:
    """The way and what it touches."""

    way: Way
    properties: frozenset[str]


def decide_way(row: Row, schema: Schema, before: Mapping[str, Any], after: Mapping[str, Any]) -> Decision:
    """
    Choose the way, from what the schema calls create-only and what the row sets in place.

    What is not known yet is left out: before a change set is executed it may
    still turn out to stay as it is. Conditionally create-only properties are updated in place where a Setting
    names them, and replaced otherwise.

    Raises:
        ResourceFailedError: The row updates a changed property not at all, or
            the resource has a name of its own that stands in the way of a second one.
    """
    found = [difference for difference in differences(before, after) if difference.is_certain]
    names = frozenset(difference.name for difference in found)
    settable = {name for setting in row.settings for name in setting.properties}
    if not found:
        return Decision(Way.NOTHING, names)
    if any(_replaces(difference, schema, settable) for difference in found):
        _refuse_same_name(schema, before, after)
        return Decision(Way.REPLACE, names)
    stuck = sorted(names - settable)
    if stuck:
        raise ResourceFailedError(
            f"{row.type}: the embedded cloud does not update {', '.join(stuck)} in place; its row declares "
            f"{', '.join(sorted(settable)) or 'nothing'} updatable"
        )
    return Decision(Way.IN_PLACE, names)


def _replaces(difference: Difference, schema: Schema, settable: set[str]) -> bool:
    match schema.recreation(difference.path):
        case Recreation.ALWAYS:
            return True
        case Recreation.CONDITIONALLY:
            return difference.name not in settable
        case Recreation.NEVER:
            return False


def _refuse_same_name(schema: Schema, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    names = schema.own_name
    if names and all(name in after and before.get(name) == after[name] for name in names):
        named = ", ".join(str(after[name]) for name in names)
        raise ResourceFailedError(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
            f"Rename {named} and update the stack again."
        )
