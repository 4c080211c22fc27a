"""
A plan for reading: as a page for people, as lines of JSON for programs.

Pure. Words stand beside the symbols, so nothing is lost without color.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Final

from stacks.deployment.plan import Action, EnvironmentPlan, Outlook, PropertyChange, ResourceChange, StackPlan

SYMBOLS: Final[Mapping[Action, str]] = {
    Action.ADD: "+",
    Action.CHANGE: "~",
    Action.REPLACE: "-/+",
    Action.REMOVE: "-",
}
_LONGEST_VALUE: Final = 100
"""Characters; a policy document in full is for ndjson."""
_SHOWN_BEFORE: Final = 30
"""Characters that are alike and shown all the same before the first that differs, to know the place."""


class Tone(StrEnum):
    """How loud a line of the page is."""

    PLAIN = "plain"
    GOOD = "good"
    NOTE = "note"
    ALARM = "alarm"


_TONES: Final[Mapping[Action, Tone]] = {
    Action.ADD: Tone.GOOD,
    Action.CHANGE: Tone.NOTE,
    Action.REPLACE: Tone.ALARM,
    Action.REMOVE: Tone.ALARM,
}


def page(plan: EnvironmentPlan) -> Iterator[tuple[str, Tone]]:
    """Write a plan as lines, each with its tone."""
    for stack in plan.stacks:
        yield _heading(stack), Tone.PLAIN
        for change in stack.changes:
            yield _line(change), _TONES[change.action]
            if change.action in {Action.CHANGE, Action.REPLACE}:
                for each in change.properties:
                    yield _property(each), Tone.ALARM if each.replaces else Tone.PLAIN
    yield summary(plan), Tone.PLAIN


def summary(plan: EnvironmentPlan) -> str:
    """Say a plan in one line."""
    if plan.changes_nothing:
        return f"{plan.environment}: nothing to do"
    perhaps = sum(change.is_conditional for stack in plan.stacks for change in stack.changes)
    known = {action: plan.count(action) - (perhaps if action is Action.REPLACE else 0) for action in Action}
    counts = [f"{count} to {action}" for action, count in known.items() if count]
    if perhaps:
        counts.append(f"{perhaps} that may be replaced")
    unknown = sum(stack.outlook in {Outlook.KNOWN_AFTER, Outlook.WAITING} for stack in plan.stacks)
    if unknown:
        counts.append(f"{unknown} {'stack' if unknown == 1 else 'stacks'} not known yet")
    return f"{plan.environment}: {', '.join(counts)}"


def records(plan: EnvironmentPlan) -> Iterator[dict[str, object]]:
    """Write a plan as records: one per stack, then one per change."""
    for stack in plan.stacks:
        yield {
            "type": "plan",
            "stack": stack.name,
            "stack_name": stack.stack_name,
            "outlook": stack.outlook.replace(" ", "_"),
            "waits_for": list(stack.waits_for),
        }
        for change in stack.changes:
            yield {
                "type": "change",
                "stack": stack.name,
                "action": change.action,
                "logical_id": change.logical_id,
                "resource_type": change.type,
                "physical_id": change.physical_id,
                "is_conditional": change.is_conditional,
                "holds_state": change.holds_state,
                "properties": [asdict(each) for each in change.properties],
            }


def _heading(stack: StackPlan) -> str:
    match stack.outlook:
        case Outlook.CREATE | Outlook.UPDATE | Outlook.UNCHANGED:
            return f"{stack.name}: {stack.outlook}"
        case Outlook.KNOWN_AFTER:
            return f"{stack.name}: known after {', '.join(stack.waits_for)} ({_resources(stack.resource_count)})"
        case Outlook.WAITING:
            return f"{stack.name}: waits for {' and '.join(stack.waits_for)} ({_resources(stack.resource_count)})"


def _resources(count: int) -> str:
    return "1 resource" if count == 1 else f"{count} resources"


def _line(change: ResourceChange) -> str:
    words = f"may {Action.REPLACE}" if change.is_conditional else str(change.action)
    line = f"  {SYMBOLS[change.action]:<3} {words} {change.logical_id} {change.type}"
    if change.physical_id:
        line += f" {change.physical_id}"
    return f"{line}  HOLDS STATE" if change.risks_state else line


def _property(change: PropertyChange) -> str:
    start = _start_of_difference(change.before or "", change.after or "")
    line = f"        {change.path}: {_short(change.before, start)} -> {_short(change.after, start)}"
    return f"{line}  forces replacement" if change.replaces else line


def _start_of_difference(before: str, after: str) -> int:
    """Say from where on two values are shown: their beginning, unless it is long and alike."""
    if max(len(before), len(after)) <= _LONGEST_VALUE:
        return 0
    pairs = enumerate(zip(before, after, strict=False))
    first = next((index for index, (old, new) in pairs if old != new), min(len(before), len(after)))
    return max(first - _SHOWN_BEFORE, 0)


def _short(value: str | None, start: int) -> str:
    if value is None:
        return "(absent)"
    shown = value[start : start + _LONGEST_VALUE]
    return ("..." if start else "") + shown + ("..." if start + len(shown) < len(value) else "")
