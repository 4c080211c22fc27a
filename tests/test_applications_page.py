"""`docs/applications.md`: its examples are the applications that the wire tests run, to the letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.endpoints import forward
from service.endpoints.forwarded_fields import MAX_CHAIN_FIELD_BYTES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "applications.md").read_text()


@pytest.mark.parametrize("name", ["with_starlette.py", "with_fastapi.py", "with_django.py", "Dockerfile"])
def test_every_example_is_one_that_runs(name: str) -> None:
    shown = re.findall(r"^```(?:python|dockerfile)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    assert (ROOT / "tests" / "applications" / name).read_text() in shown
    assert len(shown) == 4


def test_the_derived_image_stays_what_the_service_made_it() -> None:
    """No other user, no other entry, nothing that could shadow the service's own modules."""
    text = (ROOT / "tests" / "applications" / "Dockerfile").read_text()

    last = text.rpartition("\nFROM ")[2]
    assert re.findall(r"^(\w+) ", last, re.MULTILINE) == ["COPY", "ENV", "ENV"]
    assert "PYTHONPATH=/application" in last
    assert "--require-hashes --only-binary :all:" in text


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    patience = forward.Patience()

    for said in (
        f"no connection within {patience.connect} s",
        f"no more of it within `upstream_seconds` ({patience.read}, ",
        f"not taken within {patience.write} s",
        f"all {forward.MAX_CONNECTIONS} connections of a worker are taken for {patience.pool} s",
        f"idle connections longer than {forward.IDLE_SECONDS:g} s",
        f"more than {MAX_CHAIN_FIELD_BYTES // 1024} KiB",
    ):
        assert said in PAGE, said
