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
from stacks.rules.book import ENTRIES, THEMES
from stacks.rules.pages import controls_page, requirements_page


def pages() -> Mapping[str, str]:
    """Give every page by its path below the project's directory."""
    return {"docs/requirements.md": requirements_page(THEMES), "docs/controls.md": controls_page(ENTRIES)}


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        (_terminal.ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
