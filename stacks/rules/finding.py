"""What a check of templates finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from stacks.rules.builders import built_by

UNJUDGED: Final = "what cannot be judged: "
"""How a finding begins whose rule could not tell a value."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """
    One thing a template gets wrong.

    Attributes:
        stack: By its name in the catalog; empty where no stack is at fault more than another.
        logical_id: The resource, parameter or output; empty where the template as a whole is meant.
        path: Inside it, dotted: `Properties.Listeners.0.Protocol`.
        requirement: The rule's id; a linter's own begins with its name, `cfn-lint:E3002`.
        message: What was found and what must be.
        why: What goes wrong on AWS otherwise; a linter gives none.
        also: Other registers' ids of the same requirement, `ELB.9`.
        found: What was found, by itself, a value as JSON; a linter has but its message.
        expected: What must be, likewise.
    """

    stack: str
    logical_id: str
    path: str
    requirement: str
    message: str
    why: str = ""
    also: tuple[str, ...] = ()
    found: str = ""
    expected: str = ""

    @property
    def module(self) -> str:
        """The file that builds what is meant; empty where no stack is."""
        return built_by(self.stack, self.logical_id) if self.stack else ""

    @property
    def place(self) -> str:
        """Where it is, dotted, down from the stack."""
        return ".".join(part for part in (self.stack, self.logical_id, self.path) if part)

    def __str__(self) -> str:
        """Render the finding as one line, and for a rule of ours a second one: why, and who builds it."""
        ids = ", ".join((self.requirement, *self.also))
        line = f"{self.place or 'all stacks'}: {self.message} ({ids})"
        return f"{line}\n    {self.why}; built by {self.module or 'stacks/templates/'}" if self.why else line


def joined(findings: Iterable[Finding]) -> list[Finding]:
    """Give findings for people: what many rules cannot judge for the same reason is one, with all their ids."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in findings:
        is_unjudged = each.found.startswith(UNJUDGED)
        key = (each.stack, each.logical_id, each.path, each.found)
        groups.setdefault(key if is_unjudged else (*key, str(len(groups))), []).append(each)
    return [_joined(group) for group in groups.values()]


def _joined(group: list[Finding]) -> Finding:
    first, *others = group
    if not others:
        return first
    ids = dict.fromkeys(name for each in others for name in (each.requirement, *each.also))
    also = tuple(dict.fromkeys((*first.also, *(name for name in ids if name != first.requirement))))
    return replace(first, also=also, why=f"{len(group)} rules judge nothing of it until this can be told")
