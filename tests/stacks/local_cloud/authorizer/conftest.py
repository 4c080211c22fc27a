"""One account for all tests of the authorizer; a test that changes what is deployed puts it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stacks.local_cloud.cloud import LocalCloud
from tests.stacks.local_cloud.authorizer.account import Deployed


@pytest.fixture(scope="package")
def standing() -> Iterator[Deployed]:
    refusals: list[str] = []
    with LocalCloud(on_refusal=refusals.append) as cloud:
        deployed = Deployed(cloud, refusals)
        deployed.deploy()
        deployed.fill()
        deployed.place_instance()
        yield deployed
        deployed.close()


@pytest.fixture
def deployed(standing: Deployed) -> Deployed:
    standing.refusals.clear()
    return standing
