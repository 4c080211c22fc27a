"""
The rule of a composite alarm: which alarms it looks at, and whether it holds.

    rule  := term (("AND" | "OR") term)*
    term  := "NOT" term | "(" rule ")" | state "(" alarm ")" | "TRUE" | "FALSE"
    state := "ALARM" | "OK" | "INSUFFICIENT_DATA"

AND binds tighter than OR; an alarm is a name or an ARN, in quotation marks if
it has characters of the rule's own (CloudWatch API Reference, PutCompositeAlarm).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

_TOKEN: Final = re.compile(r'\s*(?:(?P<mark>[()])|"(?P<quoted>[^"]*)"|(?P<word>[^\s()"]+))')
_STATES: Final = frozenset({"ALARM", "OK", "INSUFFICIENT_DATA"})

Holds: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether a rule holds when alarms, by name, are in these states."""


class AlarmRuleError(ValueError):
    """Text that is no rule."""


class AlarmRule:
    """
    One rule, read.

    Raises:
        AlarmRuleError: It is none.
    """

    def __init__(self, text: str) -> None:
        self.alarms: list[str] = []
        """Names of the alarms it looks at, in order."""
        self._tokens = _tokens(text)
        self._position = 0
        self.holds: Holds = self._either()
        if self._position < len(self._tokens):
            raise AlarmRuleError(f"unexpected {self._tokens[self._position]!r}")

    def _either(self) -> Holds:
        parts = [self._all()]
        while self._accept("OR"):
            parts.append(self._all())
        return lambda states: any(part(states) for part in parts)

    def _all(self) -> Holds:
        parts = [self._term()]
        while self._accept("AND"):
            parts.append(self._term())
        return lambda states: all(part(states) for part in parts)

    def _term(self) -> Holds:
        if self._accept("NOT"):
            negated = self._term()
            return lambda states: not negated(states)
        if self._accept("("):
            inner = self._either()
            self._expect(")")
            return inner
        word = self._next()
        if word in {"TRUE", "FALSE"}:
            return lambda _states: word == "TRUE"
        if word not in _STATES:
            raise AlarmRuleError(f"expected a function, found {word!r}")
        return self._function(word)

    def _function(self, state: str) -> Holds:
        self._expect("(")
        name = self._next().rpartition(":alarm:")[2]
        self._expect(")")
        self.alarms.append(name)
        return lambda states: states.get(name) == state

    def _accept(self, token: str) -> bool:
        found = self._position < len(self._tokens) and self._tokens[self._position] == token
        self._position += found
        return found

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            found = self._tokens[self._position] if self._position < len(self._tokens) else "the end"
            raise AlarmRuleError(f"expected {token!r}, found {found!r}")

    def _next(self) -> str:
        if self._position >= len(self._tokens):
            raise AlarmRuleError("it ends too early")
        self._position += 1
        return self._tokens[self._position - 1]


def _tokens(text: str) -> list[str]:
    found, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise AlarmRuleError(f"cannot read {text[position:]!r}")
        found.append(next(group for group in match.groups() if group is not None))
        position = match.end()
    return found
