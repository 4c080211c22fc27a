"""
Requirements that no rule keeps, and why that is right.

Three reasons: we break one on purpose (an exception, with what compensates
for it), it does not apply to what we build, or something else keeps it.
Together with the rules these are all requirements there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """Why no rule keeps a requirement."""

    EXCEPTION = "exception"
    """We break it on purpose."""
    NOT_APPLICABLE = "not applicable"
    """There is nothing here it speaks of."""
    KEPT_ELSEWHERE = "kept elsewhere"
    """By the deployer, the service or a test; no template can show it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One requirement without a rule.

    Attributes:
        requirement: Its id.
        sentence: What it demands.
        why: The reason for its standing.
        instead: What compensates for an exception, or what keeps it elsewhere; empty if it does not apply.
    """

    requirement: str
    standing: Standing
    sentence: str
    why: str
    instead: str = ""


def exception(requirement: str, sentence: str, *, why: str, instead: str) -> Entry:
    """Enter a requirement that we break, with what compensates for it."""
    return Entry(requirement, Standing.EXCEPTION, sentence, why, instead)


def not_applicable(requirement: str, sentence: str, *, why: str) -> Entry:
    """Enter a requirement that speaks of nothing we have."""
    return Entry(requirement, Standing.NOT_APPLICABLE, sentence, why)


def kept_elsewhere(requirement: str, sentence: str, *, why: str, instead: str) -> Entry:
    """Enter a requirement that something else than a template keeps."""
    return Entry(requirement, Standing.KEPT_ELSEWHERE, sentence, why, instead)
