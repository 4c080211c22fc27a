"""What a check of templates finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """
    One thing a template gets wrong.

    Attributes:
        stack: By its name in the catalog.
        logical_id: The resource, parameter or output; empty where the template as a whole is meant.
        path: Inside it, dotted: `Properties.Listeners.0.Protocol`.
        requirement: The rule's id; a linter's own begins with its name, `cfn-lint:E3002`.
        message: What is wrong.
    """

    stack: str
    logical_id: str
    path: str
    requirement: str
    message: str

    def __str__(self) -> str:
        """Render the finding as one line."""
        place = ".".join(part for part in (self.stack, self.logical_id, self.path) if part)
        return f"{place}: {self.message} ({self.requirement})"
