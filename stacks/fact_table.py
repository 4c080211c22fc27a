"""
Read the facts of a file, with every fault noted and none thrown at once.

A reader that finds a fault notes it and hands on a placeholder, so that one
pass over the file shows everything there is to mend. What is built from
placeholders is never handed out: the caller asks the report before.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard, TypeVar

from stacks.key_lines import KeyPath

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One thing to mend in a file of facts.

    Attributes:
        line: Counted from 1; None where the file as a whole is meant.
        key: Dotted, an array's element with its index: `network.zones[1]`.
    """

    line: int | None
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Render the fault as one line."""
        place = ", ".join(part for part in (self.line and f"line {self.line}", self.key) if part)
        sentence = f"expected {self.expected}, found {self.found}"
        return f"{place}: {sentence}" if place else sentence


@dataclass(frozen=True, slots=True)
class Report:
    """The faults of one file, in the order of its lines once it is complete."""

    lines: Mapping[KeyPath, int]
    _faults: list[Fault] = field(default_factory=list)
    _around: set[KeyPath] = field(default_factory=set)

    def add(self, path: KeyPath, expected: str, found: str) -> None:
        """Note a fault at a key; where the key is missing, at the table it belongs to."""
        self._around.update(_down_to(path))
        self._faults.append(Fault(self._line(path), _dotted(path), expected, found))

    def is_sound(self, *keys: str) -> bool:
        """Tell whether none of these dotted keys has a fault, nor anything inside them, nor a table they are in."""
        faulty = {fault.key for fault in self._faults}
        paths = [tuple(key.split(".")) for key in keys]
        return not any(
            path in self._around or any(_dotted(place) in faulty for place in _down_to(path)) for path in paths
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault, by line."""
        return tuple(sorted(self._faults, key=lambda fault: (fault.line or 0, fault.key)))

    def _line(self, path: KeyPath) -> int | None:
        return next((self.lines[place] for place in reversed(_down_to(path)) if place in self.lines), None)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file; every key is read through it, so that what nobody read is known to be unknown."""

    values: Mapping[str, object]
    report: Report
    path: KeyPath = ()
    _known: list[str] = field(default_factory=list)

    def __contains__(self, key: str) -> bool:
        """Tell whether the file gives the key; this does not make it a known one."""
        return key in self.values

    def table(self, key: str) -> Table:
        """Descend into a table; a missing one is a fault and then empty."""
        nothing: dict[str, object] = {}
        value = self._read(key, "a table", nothing, lambda value: value if isinstance(value, dict) else None)
        # An absent table is one fault: its keys are not each missing as well.
        return Table(value, Report({}) if value is nothing else self.report, (*self.path, key))

    def optional_table(self, key: str) -> Table | None:
        """Descend into a table that may be left out."""
        if key in self:
            return self.table(key)
        self._known.append(key)
        return None

    def anything(self, key: str) -> object:
        """Read a value that somebody else judges; None when it is left out."""
        self._known.append(key)
        return self.values.get(key)

    def text(self, key: str, expected: str, accept: Callable[[str], bool]) -> str:
        """Read a text that is accepted."""
        return self.parsed(key, expected, lambda text: text if accept(text) else None, placeholder="")

    def parsed(self, key: str, expected: str, parse: Callable[[str], Value | None], *, placeholder: Value) -> Value:
        """Read a text as what `parse` makes of it; None from there is a fault."""
        return self._read(key, expected, placeholder, lambda value: parse(value) if isinstance(value, str) else None)

    def optional_text(self, key: str, expected: str, accept: Callable[[str], bool]) -> str | None:
        """Read a text that may be left out."""
        if key in self:
            return self.text(key, expected, accept)
        self._known.append(key)
        return None

    def choice(self, key: str, choices: type[Choice]) -> Choice:
        """Read one of a closed set of words."""
        words = [choice.value for choice in choices]
        expected = " or ".join(f'"{word}"' for word in words)
        placeholder = next(iter(choices))
        return self.parsed(
            key, expected, lambda text: choices(text) if text in words else None, placeholder=placeholder
        )

    def optional_choice(self, key: str, default: Choice) -> Choice:
        """Read one of a closed set of words that may be left out."""
        if key in self:
            return self.choice(key, type(default))
        self._known.append(key)
        return default

    def integer(self, key: str, *, least: int, most: int, unit: str) -> int:
        """Read a whole number between two bounds, both included."""
        expected = f"a whole number of {unit} from {least} to {most}"
        return self._read(
            key, expected, least, lambda value: value if _is_integer(value) and least <= value <= most else None
        )

    def optional_integer(self, key: str, *, least: int, most: int, unit: str) -> int | None:
        """Read a whole number that may be left out."""
        if key in self:
            return self.integer(key, least=least, most=most, unit=unit)
        self._known.append(key)
        return None

    def one_of(self, key: str, numbers: Iterable[int]) -> int:
        """Read one of a closed set of whole numbers."""
        allowed = tuple(numbers)
        expected = "one of " + ", ".join(str(number) for number in allowed)
        return self._read(
            key, expected, allowed[0], lambda value: value if _is_integer(value) and value in allowed else None
        )

    def boolean(self, key: str) -> bool:
        """Read true or false."""
        return bool(self._read(key, "true or false", None, lambda value: value if isinstance(value, bool) else None))

    def optional_boolean(self, key: str) -> bool:
        """Read true or false; false when it is left out."""
        if key in self:
            return self.boolean(key)
        self._known.append(key)
        return False

    def texts(
        self, key: str, expected: str, parse: Callable[[str], Value | None], *, least: int = 0, most: int = 100
    ) -> tuple[Value, ...]:
        """Read a list of different texts, each as what `parse` makes of it."""
        size = f"a list of {least} to {most} texts" if most > least else f"a list of {least} texts"
        nothing: list[object] = []
        values = self._read(
            key, size, nothing, lambda value: value if isinstance(value, list) and least <= len(value) <= most else None
        )
        return tuple(self._elements(key, expected, parse, values))

    def optional_texts(
        self, key: str, expected: str, parse: Callable[[str], Value | None], *, least: int = 0, most: int = 100
    ) -> tuple[Value, ...]:
        """Read a list of different texts that may be left out, and is empty then."""
        if key in self:
            return self.texts(key, expected, parse, least=least, most=most)
        self._known.append(key)
        return ()

    def names(
        self, accept_key: Callable[[str], bool], accept_value: Callable[[str], bool], expected: str
    ) -> dict[str, str]:
        """Read a table whose keys the operator chooses."""
        self._known.extend(self.values)
        for name, value in self.values.items():
            if not accept_key(name) or not isinstance(value, str) or not accept_value(value):
                self.report.add((*self.path, name), expected, _shown(value))
        return {name: str(value) for name, value in self.values.items()}

    def end(self) -> None:
        """Note every key that nobody read, with the known one it may have been meant for."""
        missing = [key for key in self._known if key not in self.values]
        for key in self.values:
            if key in self._known:
                continue
            near = difflib.get_close_matches(key, missing or self._known, n=1, cutoff=0.6)
            meant = f"did you mean {near[0]}?" if near else f"known here are {', '.join(sorted(self._known))}"
            self.report.add((*self.path, key), "a known key", f"an unknown one ({meant})")

    def _read(self, key: str, expected: str, placeholder: Value, parse: Callable[[object], Value | None]) -> Value:
        self._known.append(key)
        if key not in self.values:
            self.report.add((*self.path, key), expected, "nothing: the key is missing")
            return placeholder
        value = parse(self.values[key])
        if value is None:
            self.report.add((*self.path, key), expected, _shown(self.values[key]))
            return placeholder
        return value

    def _elements(
        self, key: str, expected: str, parse: Callable[[str], Value | None], values: list[object]
    ) -> Iterable[Value]:
        seen: list[Value] = []
        for index, raw in enumerate(values):
            place = (*self.path, key, str(index))
            value = parse(raw) if isinstance(raw, str) else None
            if value is None:
                self.report.add(place, expected, _shown(raw))
            elif value in seen:
                self.report.add(place, "each element once", f"{_shown(raw)} again")
            else:
                seen.append(value)
        return seen


def _is_integer(value: object) -> TypeGuard[int]:
    # bool is an int in Python, but `workers = true` is not a number of workers.
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case dict():
            return "a table"
        case list():
            return f"a list of {len(value)}"
        case _:
            return str(value)


def _down_to(path: KeyPath) -> list[KeyPath]:
    return [path[:length] for length in range(1, len(path) + 1)]


def _dotted(path: KeyPath) -> str:
    names = [f"[{name}]" if name.isdecimal() else f".{name}" for name in path]
    return "".join(names).removeprefix(".")
