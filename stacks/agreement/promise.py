"""One claim over several facts of an environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """
    A claim over several keys; told at the first of them, and only if each is sound by itself.

    Attributes:
        keys: Dotted; a key that is not in the file counts as sound.
        expected: What would keep it, in the operator's words.
        found: What stands there instead; of no meaning where it holds.
    """

    keys: tuple[str, ...]
    holds: bool
    expected: str
    found: str
