"""
What a deployment tells, as lines on a terminal.
"""

from __future__ import annotations

import threading
from typing import Final

from scripts._terminal import Style, Terminal
from stacks.deployment.events import StackEvent
from stacks.deployment.outcome import Result, StackOutcome

_STYLES: Final = {
    Result.WAITING: Style.YELLOW,
    Result.SKIPPED: Style.YELLOW,
    Result.REFUSED: Style.RED,
    Result.ROLLED_BACK: Style.RED,
    Result.STUCK: Style.RED,
}


class TerminalWatcher:
    """Writes progress: a line when a resource is done or fails, and what is going on now on the live line."""

    def __init__(self, terminal: Terminal, *, is_brief: bool = False) -> None:
        """
        Watch for a terminal.

        Args:
            terminal: Where to write.
            is_brief: Leave out resources that went well and stacks that stay as they are; for the local walk.
        """
        self._terminal = terminal
        self._is_brief = is_brief
        self._busy: dict[str, str] = {}
        self._lock = threading.Lock()

    def event(self, stack: str, event: StackEvent) -> None:
        """Tell of one event."""
        self._now(stack, event.logical_id)
        failed = event.status.endswith("_FAILED")
        if event.status.endswith("_IN_PROGRESS") or (self._is_brief and not failed):
            return
        name = "the stack" if event.is_about_stack else f"{event.logical_id} {event.type}"
        line = f"{event.at.astimezone():%H:%M:%S} {stack}: {event.status} {name}"
        if event.reason:
            line += f": {event.reason}"
        self._terminal.progress(self._terminal.style(line, Style.RED) if failed else line)

    def note(self, stack: str, text: str) -> None:
        """Tell what the deployer did besides."""
        self._terminal.progress(f"{stack}: {text}")

    def finished(self, outcome: StackOutcome) -> None:
        """Tell how a stack ended."""
        self._now(outcome.name, None)
        if outcome.result is Result.ABSENT or (self._is_brief and outcome.result is Result.UNCHANGED):
            return
        line = f"{outcome.name}: {outcome.result}"
        if outcome.result is Result.WAITING:  # its message says so itself
            line = f"{outcome.name}: {outcome.message}"
        elif outcome.message:
            line += f", {outcome.message}"
        if outcome.seconds:
            line += f" ({outcome.seconds:.1f} s)"
        style = _STYLES.get(outcome.result, Style.GREEN)
        self._terminal.progress(self._terminal.style(line, style))

    def _now(self, stack: str, what: str | None) -> None:
        with self._lock:
            if what is None:
                self._busy.pop(stack, None)
            else:
                self._busy[stack] = what
            line = "  ".join(f"{name}: {resource}" for name, resource in sorted(self._busy.items()))
        self._terminal.live(line)
