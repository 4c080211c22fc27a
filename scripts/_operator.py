"""
Who acts in a ceremony: the operator in the environment's account, or the role the operator becomes for it.

Shared by the scripts of the ceremonies; the files and pastes they read come
in through here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts._terminal import ROOT, Terminal, UsageError
from stacks import naming
from stacks.deployment.account import LOCAL, Account, local_endpoint, open_account
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment

_NOT_IN_A_SESSION_NAME: Final = re.compile(r"[^\w+=,.@-]", re.ASCII)
_MAX_SESSION_NAME: Final = 64
"""STS takes 2 to 64 of these."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An environment and the account it lives in, opened by whoever sits at the terminal."""

    environment: Environment
    account: Account


Opener = Callable[[str], Operator]


def open_operator(name: str) -> Operator:
    """Load an environment and open its account, which is checked before anything else is called."""
    environment = load_environment(find_environment(name, ROOT))
    endpoint = local_endpoint(ROOT) if name == LOCAL else None
    return Operator(environment, open_account(environment, endpoint=endpoint))


def certificate_admin(operator: Operator) -> Account:
    """
    Become the certificate-admin role, in a session named after the person.

    The audit trail then says who it was.

    Raises:
        RoleNotAssumedError: The role does not exist, or does not trust the operator.
    """
    caller: str = operator.account.client("sts").get_caller_identity()["Arn"]
    return operator.account.assume_role(
        naming.role_arn(operator.environment, "certificate-admin"), session_name(caller)
    )


def session_name(caller_arn: str) -> str:
    """Name a session after a caller: the user of `user/jane`, the session of `assumed-role/Admin/jane@example.com`."""
    name = _NOT_IN_A_SESSION_NAME.sub("-", caller_arn.rsplit(":", 1)[-1].rsplit("/", 1)[-1])
    return f"certificates-{name}"[:_MAX_SESSION_NAME]


def read_source(source: str, terminal: Terminal, *, max_bytes: int) -> bytes:
    """
    Read a file, or what is pasted for `-`.

    Raises:
        UsageError: The file cannot be read, or there is more than the limit.
    """
    if source == "-":
        if terminal.can_ask:
            terminal.progress("paste it here, then press Ctrl-D on a line of its own")
        return terminal.read_input(max_bytes=max_bytes)
    try:
        with Path(source).open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > max_bytes:
        raise UsageError(f"{source} is longer than {max_bytes} bytes")
    return data


def show_rows(terminal: Terminal, rows: list[tuple[str, str]]) -> None:
    """Write facts to standard output, their names in one column."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        terminal.out(f"{name:<{width}}  {value}".rstrip())
