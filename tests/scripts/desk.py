"""An operator's desk for the scripts of the ceremonies: a terminal whose streams are kept, and an account on moto."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts import _terminal
from scripts._operator import Operator
from stacks.deployment.account import Account
from stacks.environment import Environment
from tests.stacks.ceremonies.stage import LOCAL, session

Script = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Said:
    """What a script left behind."""

    exit_code: int
    out: str
    err: str


class Desk:
    """Runs scripts in this process, in one environment's account."""

    def __init__(self, environment: Environment = LOCAL) -> None:
        self.operator = Operator(environment, Account(session(), region=environment.region))
        self.opened: list[str] = []

    def open_operator(self, name: str) -> Operator:
        """Open the account, as the scripts do by themselves outside of tests."""
        self.opened.append(name)
        return self.operator

    def run(self, main: Script, *arguments: str, pasted: bytes = b"") -> Said:
        """Run a script that acts in an account."""
        return say(
            lambda given, terminal: main(given, terminal, open_operator=self.open_operator), *arguments, pasted=pasted
        )

    def client(self, service: str) -> Any:
        """Get a client of the operator's own."""
        return self.operator.account.client(service)


def say(main: Script, *arguments: str, pasted: bytes = b"") -> Said:
    """Run a script and keep what it says."""
    out, err = io.StringIO(), io.StringIO()
    terminal = _terminal.Terminal(out=out, err=err, stdin=io.TextIOWrapper(io.BytesIO(pasted)), variables={})
    exit_code = _terminal.run(main, arguments, terminal)
    return Said(exit_code, out.getvalue(), err.getvalue())
