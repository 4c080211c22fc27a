"""
The way to AWS: one session for all clients, and its faults in one line.

botocore and not boto3: what boto3 adds, resources and managed transfers, is
not used here and costs 40 ms of each boot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.loaders import Loader
from botocore.session import get_session

from service.errors import AwsSettingsError, CredentialsMissingError

S3: Final = "s3"
DYNAMODB: Final = "dynamodb"

_MAX_CAUSE: Final = 512
"""Characters of what the library says."""


class ClientMaker(Protocol):
    """Makes clients of AWS services; boto3's session does too."""

    def client(self, service_name: Any, /, *, config: Config) -> Any:  # noqa: ANN401 -- by name, so no type can be told
        """Make one."""


class AwsSession:
    """Region and credentials, which all clients of the process share."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = get_session()
        self._session.register_component("data_loader", _Loader())

    def client(self, service_name: str, /, *, config: Config) -> Any:  # noqa: ANN401 -- the same
        """Make a client; credentials are looked for, and nothing is asked of the service yet."""
        return self._session.create_client(service_name, region_name=self._region, config=config)


@contextlib.contextmanager
def aws_settings() -> Iterator[None]:
    """
    Turn what botocore holds against its own settings or its credentials into one line.

    It reads AWS_ variables and asks for credentials when a client is made, and
    raises the plain errors of Python for some of what it finds there.

    Raises:
        CredentialsMissingError: There is nobody to act as.
        AwsSettingsError: What it was told makes no client.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise CredentialsMissingError(cause=_one_line(error)) from error
    except (BotoCoreError, ValueError, KeyError) as error:
        raise AwsSettingsError(cause=_one_line(error)) from error


class _Loader(Loader):
    """Knows which services we use, instead of looking through the folders of four hundred."""

    def list_available_services(self, _type_name: str) -> list[str]:
        """Name them."""
        return [DYNAMODB, S3]


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_CAUSE]
