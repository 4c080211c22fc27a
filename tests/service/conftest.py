"""What the rooms' own tests share: moto at the edge where boto3 stands."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from tests.moto import moto_process


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """S3 and DynamoDB on loopback."""
    with moto_process() as url:
        yield url


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    return boto3.Session("test", "test", region_name="us-east-1")
