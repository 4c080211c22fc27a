from __future__ import annotations

from collections.abc import Iterator

import pytest

from stacks.local_cloud.cloud import LocalCloud
from tests.stacks.local_cloud.data_plane.stage import Stage


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One embedded cloud for a file of tests, with two container instances."""
    with LocalCloud() as cloud:
        stage = Stage(cloud, tmp_path_factory.mktemp("tree"))
        try:
            stage.start()
            stage.instances(2)
            yield stage
        finally:
            stage.plane.stop()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """The file's embedded cloud; service and load balancer of the test are removed after it."""
    yield shared_stage
    shared_stage.clear()
