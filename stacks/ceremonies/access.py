"""
How a ceremony reaches the cloud, and where the cloud's own errors end.

A ceremony takes whatever has `.client(service)`; who that caller is, was
decided by the script. What botocore throws leaves this room as a sentence
that says which stack is meant and what to type next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from stacks.environment import Environment
from stacks.errors import DeploymentError

_MISSING: Final = frozenset({"NoSuchBucket", "ResourceNotFoundException"})
_FORBIDDEN: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "403", "Forbidden", "KMS.AccessDeniedException"}
)


class Clients(Protocol):
    """One caller in one account: what `stacks.deployment.account.Account` offers."""

    def client(self, service: str) -> Any:  # noqa: ANN401 -- the type depends on the name; boto3 decides it
        """Get the boto3 client of a service."""


class NotDeployedError(DeploymentError):
    """The ceremony's bucket or table does not exist."""

    exit_code = 5

    def __init__(self, environment_name: str, *, resource: str, stack: str) -> None:
        super().__init__(
            f"{resource} does not exist: the stack {stack} of {environment_name} is not deployed yet",
            hint=f"python scripts/deploy.py deploy --env {environment_name}",
        )


class NotPermittedError(DeploymentError):
    """The caller may not do what the ceremony needs."""

    exit_code = 4

    def __init__(self, *, operation: str, resource: str, stack: str) -> None:
        super().__init__(
            f"{operation} on {resource} is not allowed for this caller",
            hint=f"the stack {stack} says in its policies who may; on S3 a missing object can look like this too",
        )


class CallFailedError(DeploymentError):
    """AWS answered with an error nobody foresaw here, or not at all."""

    def __init__(self, *, resource: str, reason: str) -> None:
        super().__init__(f"{resource}: {reason}", hint="type the same command again; nothing was left half-done")


@contextmanager
def calls_on(environment: Environment, *, resource: str, stack: str) -> Iterator[None]:
    """
    Turn botocore's errors on one resource into ours.

    Args:
        environment: Whose name the hint needs.
        resource: What is called, as an operator knows it: `s3://...`, `table ...`.
        stack: Which stack makes it.

    Raises:
        NotDeployedError: There is no such bucket or table.
        NotPermittedError: The caller may not.
        CallFailedError: Anything else.
    """
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if code in _MISSING:
            raise NotDeployedError(environment.name, resource=resource, stack=stack) from error
        if code in _FORBIDDEN:
            raise NotPermittedError(operation=error.operation_name, resource=resource, stack=stack) from error
        raise CallFailedError(resource=resource, reason=f"{error.operation_name} answered {code}") from error
    except BotoCoreError as error:
        raise CallFailedError(resource=resource, reason=str(error)) from error


def error_code(error: ClientError) -> str:
    """Read the code AWS gave an error; for an answer without a body it is the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))
