from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stacks.ceremonies.stage import Caller, aws


@pytest.fixture
def caller() -> Iterator[Caller]:
    """An account with bucket and registry deployed, and a caller in it."""
    with aws() as caller:
        yield caller
