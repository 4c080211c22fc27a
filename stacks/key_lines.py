"""
Say on which line of a TOML text each key stands.

`tomllib` gives values without places, and an operator wants the line. This
reads a text `tomllib` has accepted already, so it need not judge: it walks
the tokens once and notes where each key, and each element of an array, begins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

KeyPath = tuple[str, ...]
"""The names from the root to a key; an element of an array is its index as text."""

# Longest first: a text in three quotes may hold single ones, and may end in up to five.
_TOKEN = re.compile(
    r"""
      (?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    | (?P<mark>[\[\]{}=,.])
    | (?P<skip>\#[^\n]*|[ \t\r]+)
    | (?P<newline>\n)
    """,
    re.VERBOSE | re.DOTALL,
)


def locate_keys(text: str) -> dict[KeyPath, int]:
    """
    Find the line, counted from 1, of every key and array element.

    A table that stands in several places is where it is first named.

    Args:
        text: TOML that `tomllib` accepts.
    """
    walk = _Walk(tokens=list(_tokens(text)), lines={})
    walk.document()
    return walk.lines


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup and match.lastgroup != "skip":
            yield _Token(match.lastgroup, match.group(), line)
        line += match.group().count("\n")


@dataclass(slots=True)
class _Walk:
    """One pass over the tokens; each method consumes what its name says."""

    tokens: list[_Token]
    lines: dict[KeyPath, int]
    counts: dict[KeyPath, int] = field(default_factory=dict)
    """The index of the last table of each array of tables."""
    position: int = 0

    def document(self) -> None:
        table: KeyPath = ()
        while self.position < len(self.tokens):
            if self._is_next("newline"):
                self.position += 1
            elif self._is_next("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        brackets = 0
        while self._is_next("["):
            self.position += 1
            brackets += 1
        line = self.tokens[self.position].line
        table = self._inside(self._key(()))
        if brackets > 1:
            self.counts[table] = self.counts.get(table, -1) + 1
            table = (*table, str(self.counts[table]))
        self.lines.setdefault(table, line)
        while self._is_next("]"):
            self.position += 1
        return table

    def _inside(self, header: KeyPath) -> KeyPath:
        """Put in what a header leaves out: below an array of tables it means the array's last one."""
        path: KeyPath = ()
        for name in header[:-1]:
            path = (*path, name)
            if path in self.counts:
                path = (*path, str(self.counts[path]))
        return (*path, header[-1])

    def _pair(self, table: KeyPath) -> None:
        path = self._key(table)
        self.position += 1  # the equals sign
        self._value(path)

    def _key(self, table: KeyPath) -> KeyPath:
        path = table
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token.kind == "text":
                path = (*path, _unquote(token.text))
            elif token.kind == "bare":
                path = (*path, token.text)
            elif token.text != ".":
                break
            self.lines.setdefault(path, token.line)
            self.position += 1
        return path

    def _value(self, path: KeyPath) -> None:
        if self._is_next("["):
            self._array(path)
        elif self._is_next("{"):
            self._inline_table(path)
        else:
            # A scalar is one token, or several with dots between: 1.5, 07:32:00.25, 1979-05-27 07:32:00.
            while not self._is_next("newline", ",", "]", "}"):
                self.position += 1

    def _array(self, path: KeyPath) -> None:
        self.position += 1
        index = 0
        while not self._is_next("]"):
            if self._is_next("newline", ","):
                self.position += 1
                continue
            element = (*path, str(index))
            self.lines.setdefault(element, self.tokens[self.position].line)
            self._value(element)
            index += 1
        self.position += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.position += 1
        while not self._is_next("}"):
            if self._is_next("newline", ","):
                self.position += 1
                continue
            self._pair(path)
        self.position += 1

    def _is_next(self, *kinds: str) -> bool:
        """Tell whether the next token is one of these; the end of the text is any of them, so every loop ends."""
        if self.position >= len(self.tokens):
            return True
        token = self.tokens[self.position]
        return token.kind in kinds or (token.kind == "mark" and token.text in kinds)


def _unquote(token: str) -> str:
    return str(tomllib.loads(f"key = {token}")["key"])
