"""
cfn-lint in a process of its own, which gets ready while this one still renders.

Importing it and reading its rules takes a second, as long as rendering and
our own rules do; so whoever wants both starts this first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stacks.rules.finding import Finding

_PROJECT: Final = Path(__file__).parents[2]
_SHARES: Final = 2
"""Processes that lint in the end: each further one costs a tenth of a second to start."""


class LinterDiedError(RuntimeError):
    """The linter ended without an answer; what ended it stands on standard error."""


class LinterProcess:
    """A linter that gets ready; a context manager, and asked at most once."""

    def __enter__(self) -> Self:
        """Start getting ready."""
        self._process = subprocess.Popen(  # noqa: S603 -- this interpreter and a module of ours
            [sys.executable, "-m", __name__],
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, whether it was asked or not."""
        self._process.kill()
        self._process.communicate()

    def lint(self, bodies: Mapping[str, str], *, region: str) -> list[Finding]:
        """
        Check templates as `linter.lint` does.

        Raises:
            LinterDiedError: It gave no answer.
        """
        answer, _ = self._process.communicate(json.dumps({"bodies": dict(bodies), "region": region}).encode())
        if self._process.returncode:
            raise LinterDiedError(f"cfn-lint ended with exit code {self._process.returncode}")
        return [Finding(**{**found, "also": tuple(found["also"])}) for found in json.loads(answer)]


def main() -> None:
    """Get ready, wait for templates on standard input, answer; no question is no work."""
    from stacks.rules.linter import get_ready, lint  # noqa: PLC0415 -- the import is what takes the time

    get_ready()
    asked = sys.stdin.buffer.read()
    if asked:
        question = json.loads(asked)
        found = lint(question["bodies"], region=question["region"], processes=_SHARES)
        sys.stdout.write(json.dumps([asdict(finding) for finding in found]))


if __name__ == "__main__":
    main()
