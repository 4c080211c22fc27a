"""What the pages say is what runs."""

from __future__ import annotations

import pytest

from scripts.pages import pages
from tests.stacks.environments import ROOT

PAGES = pages()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_made_of_the_code_is_as_the_code(path: str) -> None:
    """`make golden` writes it anew."""
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES[path]
