"""
The pages made of the rules: every requirement, and the register of exceptions.

What an auditor reads is what runs: nothing on these pages is written by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Final

from stacks.rules.register import Entry, Standing
from stacks.rules.rule import Rule

_MADE: Final = "Made by `make golden` from `stacks/rules/`; what stands here is what runs."
_REQUIREMENTS: Final = (
    f"# Requirements on the templates\n\n{_MADE}"
    " Each rule reads all templates of an environment at once, before every plan and by"
    " `python scripts/deploy.py check --env staging`; a finding names the requirement by its id."
    " Ids in brackets are the same requirement in AWS's own registers (Security Hub, Config, CIS)."
    " What no rule keeps is said with its reason; exceptions are in [the register](controls.md).\n"
)
_CONTROLS: Final = (
    f"# Controls: exceptions, and what is kept elsewhere\n\n{_MADE}"
    " For whoever has to answer a finding of Security Hub, AWS Config or an auditor: which control is broken on"
    " purpose, why, and what stands in its place; which speaks of nothing we have; which something else keeps."
    " All requirements are in [requirements.md](requirements.md).\n"
)
_WHO: Final = {
    Standing.EXCEPTION: "exception",
    Standing.NOT_APPLICABLE: "not applicable",
    Standing.KEPT_ELSEWHERE: "kept elsewhere",
}


def requirements_page(themes: Sequence[ModuleType]) -> str:
    """Write the page of all requirements, theme by theme."""
    parts = [_REQUIREMENTS]
    for theme in themes:
        rows = sorted([*_rule_rows(theme.RULES), *_entry_rows(theme.ENTRIES)], key=lambda row: _natural(row[0]))
        parts += [f"## {_title(theme)}\n", _table(("Id", "What must hold", "Why", "Source", "Kept by"), rows)]
    parts += ["## By id\n", _index(themes)]
    return "\n".join(parts)


def controls_page(entries: Sequence[Entry]) -> str:
    """Write the register of exceptions, and what applies not or is kept elsewhere."""
    sections = (
        (Standing.EXCEPTION, "Exceptions", ("Id", "What it demands", "Why we break it", "What stands in its place")),
        (
            Standing.KEPT_ELSEWHERE,
            "Kept elsewhere",
            ("Id", "What it demands", "Why no template can show it", "By what"),
        ),
        (Standing.NOT_APPLICABLE, "Not applicable", ("Id", "What it demands", "Why it does not apply")),
    )
    parts = [_CONTROLS]
    for standing, title, head in sections:
        chosen = sorted(
            (entry for entry in entries if entry.standing is standing), key=lambda each: _natural(each.requirement)
        )
        rows = [(entry.requirement, entry.sentence, entry.why, entry.instead)[: len(head)] for entry in chosen]
        parts += [f"## {title}\n", _table(head, rows)]
    return "\n".join(parts)


def _rule_rows(rules: Iterable[Rule]) -> Iterator[tuple[str, ...]]:
    for rule in rules:
        ids = f"{rule.requirement} ({', '.join(rule.also)})" if rule.also else rule.requirement
        yield ids, rule.sentence, rule.why, rule.source, f"rule `{rule.name}`"


def _entry_rows(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    for entry in entries:
        kept = f"[{_WHO[entry.standing]}](controls.md)"
        yield entry.requirement, entry.sentence, entry.why, "", f"{kept}: {entry.instead}" if entry.instead else kept


def _index(themes: Sequence[ModuleType]) -> str:
    """Say for every id what keeps it."""
    kept: dict[str, list[str]] = {}
    for theme in themes:
        for rule in theme.RULES:
            for each in (rule.requirement, *rule.also):
                kept.setdefault(each, []).append(f"`{rule.name}`")
        for entry in theme.ENTRIES:
            kept.setdefault(entry.requirement, []).append(_WHO[entry.standing])
    rows = [(each, ", ".join(dict.fromkeys(kept[each]))) for each in sorted(kept, key=_natural)]
    return _table(("Id", "Kept by"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _title(theme: ModuleType) -> str:
    """Make a heading of the first sentence of a module: what its rules are on."""
    first = inspect.cleandoc(theme.__doc__ or "").split("\n")[0]
    return re.sub(r"^The rules on (.)", lambda match: match[1].upper(), first).rstrip(".")


def _natural(text: str) -> tuple[tuple[int, object], ...]:
    """Sort E2 before E10."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text) if part)
