"""
What a composite alarm's rule says, given which alarms have gone off.

`ALARM(...)`, `OK(...)` and `INSUFFICIENT_DATA(...)`, joined by AND, OR and NOT with
parentheses; NOT before AND, AND before OR (CloudWatch API reference,
PutCompositeAlarm, AlarmRule).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_ASKED: Final = re.compile(r'\b(ALARM|OK|INSUFFICIENT_DATA)\(\s*(?:"([^"]+)"|([^\s()"]+))\s*\)')
_TOKEN: Final = re.compile(r"\s*(AND|OR|NOT|[()TF])(?![A-Za-z])")


def alarms_in(rule: str) -> list[str]:
    """Give the alarms that a rule names, by name or ARN."""
    return [quoted or bare for _, quoted, bare in _ASKED.findall(rule)]


def is_in_alarm(rule: str, gone_off: Collection[str]) -> bool | None:
    """
    Say whether the composite alarm goes off; None if the rule cannot be read.

    Args:
        rule: As it stands in the alarm, its references resolved.
        gone_off: The alarms that are in alarm; all others are well.
    """

    def answer(asked: re.Match[str]) -> str:
        state, quoted, bare = asked.groups()
        has_gone_off = (quoted or bare) in gone_off
        return " T " if (state == "ALARM") is has_gone_off and state != "INSUFFICIENT_DATA" else " F "

    text, tokens = _ASKED.sub(answer, rule).strip(), list[str]()
    while text:
        match = _TOKEN.match(text)
        if match is None:
            return None
        tokens.append(match[1])
        text = text[match.end() :].strip()
    return _reduced(" ".join(tokens))


_STEPS: Final = (
    (re.compile(r"\( ([TF]) \)"), lambda found: found[1]),
    (re.compile(r"NOT ([TF])"), lambda found: "F" if found[1] == "T" else "T"),
    (re.compile(r"([TF]) AND ([TF])"), lambda found: "T" if found[1] == found[2] == "T" else "F"),
    (re.compile(r"(?<!AND )(?<!NOT )([TF]) OR ([TF])(?! AND)"), lambda found: max(found[1], found[2])),
)
"""One operation each, in the order in which they bind."""


def _reduced(tokens: str) -> bool | None:
    before = ""
    while tokens != before:
        before = tokens
        for pattern, result in _STEPS:
            tokens, done = pattern.subn(result, tokens, count=1)
            if done:
                break
    return {"T": True, "F": False}.get(tokens)
