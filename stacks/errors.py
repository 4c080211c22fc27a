"""The one family of errors the stacks raise; each subclass lives in the room that raises it."""

from __future__ import annotations


class DeploymentError(Exception):
    """
    Something an operator has to decide or mend before the work can go on.

    The text says what was expected, what was found and where to look. It
    holds no key material, no token and no whole certificate.

    Attributes:
        hint: The command to run next or the place to look at, if there is one.
        exit_code: What a script ends with (`--help` of each script lists them).
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
