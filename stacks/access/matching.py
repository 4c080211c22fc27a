"""
Texts of a policy: wildcards and policy variables.

A text is read once into what is written and what is filled in for each
request. `*` and `?` are wildcards where the element or operator knows them;
`${*}`, `${?}`, `${$}` and the value of a variable are always themselves (IAM
guide, "IAM policy elements: Variables and tags").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from stacks.access.faults import PolicyFaultError

ContextValue = str | tuple[str, ...]
"""A condition key's value as text, `true`, `1.3`, an ARN; several for a key of many values."""
Context = Mapping[str, ContextValue]
"""Condition keys by their names in lower case."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_NAMED: Final = re.compile(r"\s*([A-Za-z][\w-]*:[\w:./ +=@-]+?)\s*(?:,\s*'([^']*)'\s*)?")
# A wildcard's character that means itself, until the pattern is made: from the private use area of Unicode.
_ITSELF: Final = {"*": "\ue000", "?": "\ue001"}
_BACK: Final = str.maketrans({marked: plain for plain, marked in _ITSELF.items()})
_MARK: Final = str.maketrans(_ITSELF)
_ARN_SEGMENTS: Final = 6
_REMEMBERED: Final = 8192
"""How many answers are kept: the same patterns are compared with the same texts over and over."""


@dataclass(frozen=True, slots=True)
class _Variable:
    key: str
    default: str | None

    def value(self, context: Context) -> str | None:
        found = context.get(self.key, self.default)
        if isinstance(found, tuple):
            found = found[0] if len(found) == 1 else None
        return found if found is None else found.translate(_MARK)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """
    A text as a policy writes it.

    Attributes:
        parts: What is written, and between it the variables.
    """

    parts: tuple[str | _Variable, ...]

    @classmethod
    def read(cls, text: str, *, with_variables: bool) -> Self:
        """
        Read a text.

        Args:
            text: From a policy.
            with_variables: Whether `${...}` is a variable: only in policies of the version 2012-10-17.

        Raises:
            PolicyFaultError: A variable is none.
        """
        if not with_variables or "${" not in text:
            return cls((text,))
        parts: list[str | _Variable] = []
        end = 0
        for match in _VARIABLE.finditer(text):
            parts += [text[end : match.start()], _filled_in(match[1])]
            end = match.end()
        parts.append(text[end:])
        if any("${" in part for part in parts if isinstance(part, str)):
            raise PolicyFaultError(f"a variable in {text!r} does not end")
        return cls(tuple(part for part in parts if part))

    @property
    def has_variables(self) -> bool:
        """Whether it depends on the request."""
        return any(isinstance(part, _Variable) for part in self.parts)

    def pattern(self, context: Context) -> str | None:
        """Fill in the variables; None if one has no value here, for then the text is like nothing."""
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            return self.parts[0]
        filled = [part if isinstance(part, str) else part.value(context) for part in self.parts]
        return None if None in filled else "".join(part for part in filled if part is not None)


def plain(pattern: str) -> str:
    """Give a filled-in text for those who know no wildcards."""
    return pattern.translate(_BACK)


def is_like(text: str, pattern: str) -> bool:
    """Say whether a text is like a pattern; `*` and `?` stand for any characters, colons and slashes too."""
    if pattern in {"*", text}:
        return True
    if pattern.isascii() and "*" not in pattern and "?" not in pattern:
        return False  # most are names in full, and what was filled in bears marks that are not ASCII
    return _expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=_REMEMBERED)
def is_like_any(text: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a text is like one of several patterns."""
    return any(is_like(text, pattern) for pattern in patterns)


@lru_cache(maxsize=_REMEMBERED)
def is_arn_like(arn: str, pattern: str) -> bool:
    """
    Say whether an ARN is like a pattern, segment by segment; a wildcard reaches as far as its segment.

    The six segments lie between the first five colons (IAM guide, "ARN
    condition operators"). A lone `*` is like every ARN.
    """
    if pattern == "*":
        return True
    found, wanted = (text.split(":", _ARN_SEGMENTS - 1) for text in (arn, pattern))
    if len(found) != _ARN_SEGMENTS or len(wanted) != _ARN_SEGMENTS:
        return False
    return all(is_like(*pair) for pair in zip(found, wanted, strict=True))


@lru_cache(maxsize=_REMEMBERED)
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = (".*" if part == "*" else "." if part == "?" else re.escape(plain(part)) for part in _pieces(pattern))
    return re.compile("".join(pieces), re.DOTALL)


def _pieces(pattern: str) -> list[str]:
    return [part for part in re.split(r"([*?])", pattern) if part]


def _filled_in(inside: str) -> str | _Variable:
    if inside in {*_ITSELF, "$"}:
        return inside.translate(_MARK)
    match = _NAMED.fullmatch(inside)
    if match is None:
        raise PolicyFaultError(f"${{{inside}}} is no policy variable")
    return _Variable(match[1].lower(), match[2])
