"""
The door to an AWS account: nothing is called before it is known to be the right one.

The account and region of the environment file are compared with the caller's
by one `GetCallerIdentity`; only then does a client for any other service
exist. The environment `local` opens on the embedded cloud and never on AWS.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)

from stacks.deployment.endpoint import LocalCloudNotRunningError, LocalEndpoint, local_endpoint
from stacks.errors import DeploymentError

__all__ = [
    "Account",
    "CredentialsRefusedError",
    "LocalCloudNotRunningError",
    "LocalEndpoint",
    "NoCredentialsFoundError",
    "RoleNotAssumedError",
    "UnreachableError",
    "WrongAccountError",
    "local_endpoint",
    "open_account",
]

LOCAL: Final = "local"
"""The environment whose cloud is embedded; the only one that needs no credentials."""

# Stacks are polled in parallel and share the account's request rate: five attempts with jittered backoff ride out
# a throttle, ten seconds to connect ride out a slow network, and an operator is never left without an answer for long.
_CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=16,
    user_agent_extra="mtls-ingress",
)
# The embedded cloud is on this machine, whatever proxy the environment names for the rest of the world.
_LOCAL_CONFIG: Final = _CONFIG.merge(Config(proxies={}))
_ROLE_SESSION_SECONDS: Final = 3600


class Destination(Protocol):
    """The facts of an environment that say where it lives."""

    @property
    def name(self) -> str:
        """Name of the environment."""

    @property
    def account(self) -> str:
        """Twelve digits."""

    @property
    def region(self) -> str:
        """Region code, such as `eu-central-1`."""


class NoCredentialsFoundError(DeploymentError):
    """A command against real AWS found no credentials."""

    exit_code = 4

    def __init__(self, environment_name: str) -> None:
        super().__init__(
            f"no AWS credentials found for {environment_name}; sign in or set AWS_PROFILE",
            hint="make local runs everything on this machine without an account",
        )


class CredentialsRefusedError(DeploymentError):
    """AWS did not accept the credentials, or they cannot be had."""

    exit_code = 4

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"AWS does not say whose credentials these are: {reason}", hint="sign in again, or correct AWS_PROFILE"
        )


class UnreachableError(DeploymentError):
    """Whose credentials these are could not be asked."""

    exit_code = 4

    def __init__(self, environment_name: str, reason: str) -> None:
        is_local = environment_name == LOCAL
        super().__init__(
            f"{'the embedded cloud' if is_local else 'AWS'} cannot be reached: {reason}",
            hint="end make local and start it again" if is_local else "look at network, proxy (HTTPS_PROXY) and region",
        )


class WrongAccountError(DeploymentError):
    """The credentials belong to another account, region or partition than the environment file names."""

    exit_code = 4

    def __init__(self, environment_name: str, *, fact: str, expected: str, found: str) -> None:
        super().__init__(
            f"{fact} is {found}, but environments/{environment_name}.toml says {expected}; nothing was called",
            hint="end make local and start it again: it plays the account and region it was started with"
            if environment_name == LOCAL
            else "choose the profile that belongs to the environment with AWS_PROFILE",
        )
        self.fact = fact
        self.expected = expected
        self.found = found


class RoleNotAssumedError(DeploymentError):
    """A role that a ceremony acts as could not be assumed."""

    exit_code = 4

    def __init__(self, role_arn: str, reason: str) -> None:
        super().__init__(
            f"cannot act as {role_arn}: {reason}",
            hint="the identity stack makes the role; who may assume it stands in its trust policy",
        )
        self.role_arn = role_arn


class Account:
    """Clients of one account and region, as one caller; safe to share between threads."""

    def __init__(self, session: boto3.Session, *, region: str, endpoint: LocalEndpoint | None = None) -> None:
        self._session = session
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.region = region

    def client(self, service: str) -> Any:  # noqa: ANN401 -- the type depends on the name; the caller states it
        """Get the client of a service, `client("cloudformation")`; the same one each time."""
        with self._lock:  # making clients is not thread-safe, using them is
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service,  # type: ignore[call-overload]  # the stubs know names, not variables
                    region_name=self.region,
                    endpoint_url=self._endpoint.endpoint_url if self._endpoint else None,
                    config=_LOCAL_CONFIG if self._endpoint else _CONFIG,
                )
            return self._clients[service]

    def assume_role(self, role_arn: str, session_name: str) -> Account:
        """
        Become another role of this account.

        Raises:
            RoleNotAssumedError: It does not exist or does not trust the caller.
        """
        try:
            credentials = self.client("sts").assume_role(
                RoleArn=role_arn, RoleSessionName=session_name, DurationSeconds=_ROLE_SESSION_SECONDS
            )["Credentials"]
        except ClientError as error:
            raise RoleNotAssumedError(role_arn, error.response["Error"]["Message"]) from error
        except BotoCoreError as error:
            raise RoleNotAssumedError(role_arn, str(error)) from error
        session = boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name=self.region,
            botocore_session=_session_without_profile(),
        )
        return Account(session, region=self.region, endpoint=self._endpoint)


def open_account(environment: Destination, *, endpoint: LocalEndpoint | None = None) -> Account:
    """
    Open the account an environment lives in.

    Args:
        environment: Whose account, region and name must be met.
        endpoint: Where the embedded cloud is; required for `local`, and for nothing else.

    Raises:
        NoCredentialsFoundError: There are none.
        CredentialsRefusedError: They are expired or unknown.
        UnreachableError: AWS cannot be asked.
        WrongAccountError: They belong elsewhere.
        LocalCloudNotRunningError: The environment is `local` and no endpoint was given.
    """
    if environment.name == LOCAL and endpoint is None:
        raise LocalCloudNotRunningError
    session = _session(environment, endpoint)
    if session.region_name not in {None, environment.region}:
        raise WrongAccountError(
            environment.name, fact="your region", expected=environment.region, found=str(session.region_name)
        )
    account = Account(session, region=environment.region, endpoint=endpoint)
    _check_caller(account, session, environment)
    return account


def _session(environment: Destination, endpoint: LocalEndpoint | None) -> boto3.Session:
    if endpoint is not None:
        return boto3.Session(
            aws_access_key_id=LOCAL,
            aws_secret_access_key=LOCAL,
            aws_session_token=LOCAL,
            region_name=endpoint.region,
            botocore_session=_session_without_profile(),
        )
    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            raise NoCredentialsFoundError(environment.name)
    except ProfileNotFound as error:
        raise CredentialsRefusedError(str(error)) from error
    except BotoCoreError as error:
        raise CredentialsRefusedError(str(error)) from error
    return session


def _session_without_profile() -> botocore.session.Session:
    """Make a session that reads no profile: its credentials are given, and a misspelt AWS_PROFILE does not matter."""
    return botocore.session.Session(session_vars={"profile": (None, None, None, None)})


def _check_caller(account: Account, session: boto3.Session, environment: Destination) -> None:
    try:
        caller = account.client("sts").get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise NoCredentialsFoundError(environment.name) from error
    except ClientError as error:
        raise CredentialsRefusedError(error.response["Error"]["Message"]) from error
    except (NoConnectionError, HTTPClientError) as error:
        raise UnreachableError(environment.name, str(error)) from error
    except BotoCoreError as error:
        raise CredentialsRefusedError(str(error)) from error
    partition = session.get_partition_for_region(environment.region)
    for fact, expected, found in (
        ("your account", environment.account, caller["Account"]),
        ("your partition", partition, caller["Arn"].split(":")[1]),
    ):
        if expected != found:
            raise WrongAccountError(environment.name, fact=fact, expected=expected, found=found)
