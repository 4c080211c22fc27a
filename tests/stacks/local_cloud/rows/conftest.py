"""One embedded cloud for each file of tests: its rows meet no other file's leftovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stacks.local_cloud.cloud import LocalCloud
from tests.stacks.local_cloud.rows.workbench import Workbench


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with LocalCloud() as cloud:
        yield Workbench(cloud)
