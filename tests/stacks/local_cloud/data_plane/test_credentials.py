"""A task gets its role's credentials over loopback, and nobody else does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.credentials import ContainerProvider

from stacks.local_cloud.credentials import CredentialsAccess, CredentialsEndpoint

ROLE = "arn:aws:iam::123456789012:role/task"


class Sts:
    """Counts its sessions; each lasts as long as told."""

    def __init__(self) -> None:
        self.lifetime = timedelta(hours=1)
        self.sessions: list[str] = []

    def assume_role(self, **asked: Any) -> dict[str, Any]:
        """Give credentials that say which session they are of."""
        self.sessions.append(str(asked["RoleSessionName"]))
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{len(self.sessions)}",
                "SecretAccessKey": "secret",
                "SessionToken": "session",
                "Expiration": datetime.now(UTC) + self.lifetime,
            }
        }


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def endpoint(sts: Sts) -> Iterator[CredentialsEndpoint]:
    endpoint = CredentialsEndpoint(sts)
    endpoint.start()
    yield endpoint
    endpoint.stop()


def ask(access: CredentialsAccess, token: str | None) -> tuple[int, dict[str, Any]]:
    """Ask as a task does."""
    where = urlsplit(access.uri)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    connection.request("GET", where.path, headers={} if token is None else {"Authorization": token})
    answer = connection.getresponse()
    told = answer.status, json.loads(answer.read())
    connection.close()
    return told


def test_the_token_opens_the_roles_credentials(endpoint: CredentialsEndpoint) -> None:
    access = endpoint.grant("task-1", ROLE)

    status, told = ask(access, access.token)

    assert (status, told["RoleArn"], told["AccessKeyId"]) == (200, ROLE, "ASIA1")


@pytest.mark.parametrize("token", [None, "", "guessed"])
def test_without_the_token_nothing_is_told(endpoint: CredentialsEndpoint, token: str | None) -> None:
    status, told = ask(endpoint.grant("task-1", ROLE), token)

    assert status == 403
    assert "SecretAccessKey" not in told


def test_another_tasks_token_opens_nothing(endpoint: CredentialsEndpoint) -> None:
    first, second = endpoint.grant("task-1", ROLE), endpoint.grant("task-2", ROLE)

    assert ask(first, second.token)[0] == 403


def test_a_task_that_is_over_is_forgotten(endpoint: CredentialsEndpoint) -> None:
    access = endpoint.grant("task-1", ROLE)

    endpoint.revoke("task-1")

    assert ask(access, access.token)[0] == 403
    assert ask(access, "")[0] == 403


def test_credentials_are_renewed_before_they_run_out(endpoint: CredentialsEndpoint, sts: Sts) -> None:
    sts.lifetime = timedelta(minutes=5)
    access = endpoint.grant("task-1", ROLE)

    _, told = ask(access, access.token)

    assert told["AccessKeyId"] == "ASIA2"


def test_credentials_that_last_are_kept(endpoint: CredentialsEndpoint, sts: Sts) -> None:
    access = endpoint.grant("task-1", ROLE)

    ask(access, access.token)
    ask(access, access.token)

    assert sts.sessions == ["task-1"]


def test_boto3_takes_them_as_it_takes_those_of_the_agent(endpoint: CredentialsEndpoint) -> None:
    access = endpoint.grant("task-1", ROLE)
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": access.uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": access.token,
    }

    credentials = ContainerProvider(environment).load()

    assert credentials.access_key == "ASIA1"
    assert credentials.get_frozen_credentials().token == "session"  # noqa: S105 - the twin's own


def test_neither_token_nor_secret_is_shown(endpoint: CredentialsEndpoint) -> None:
    access = endpoint.grant("task-1", ROLE)

    assert access.token not in repr(access)
