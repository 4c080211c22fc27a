"""
Write the pages that are made of the code: `python scripts/pages.py`, or `make golden`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":  # run as a file: the packages lie one directory up
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scripts import _terminal
from stacks.catalog import assemble
from stacks.environment_file import find_environment, load_environment
from stacks.rules import access_page
from stacks.rules.book import ENTRIES, THEMES
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.pages import controls_page, requirements_page

_ON_AWS = ("staging", "production")


def pages() -> Mapping[str, str]:
    """Give every page by its path below the project's directory."""
    return {
        "docs/requirements.md": requirements_page(THEMES),
        "docs/controls.md": controls_page(ENTRIES),
        "docs/access.md": access_page.render([(name, _estate(name)) for name in _ON_AWS]),
    }


def _estate(name: str) -> Estate:
    """Render an environment's templates and see them as the rules do."""
    catalog = assemble(load_environment(find_environment(name, _terminal.ROOT)))
    return Estate({entry.name: entry.template for entry in catalog.every}, Place.of(catalog.environment))


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        (_terminal.ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
