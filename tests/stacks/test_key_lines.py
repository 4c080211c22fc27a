"""Every key of a TOML text has its line, in whatever form it is written."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from stacks.key_lines import KeyPath, locate_keys

AWKWARD = '''\
plain = 1 # = "not a key"
"quoted key" = "a # no comment"
'literal.key' = 'it = "is"'
dotted.inside.key = 1.5
moment = 1979-05-27 07:32:00.25
text = """
not_a_key = 1
[not.a.table]
"" four quotes end here """"

[table]
list = [
    "one", # first
    # nothing here
    { name = "two", "deep key" = [1, 2] },

    """three
over lines""",
]
inline = { a = 1, b.c = { d = "}" } }
[table.below]
key = [[1], [2,
  3]]

[[many]]
name = "first"
[[many]]
name = "second"
["odd ] header" . 'x']
last = true'''


def test_a_key_is_where_it_is_written() -> None:
    lines = locate_keys(AWKWARD)

    assert lines["plain",] == 1
    assert lines["quoted key",] == 2
    assert lines["literal.key",] == 3
    assert lines["dotted", "inside", "key"] == 4
    assert lines["moment",] == 5
    assert lines["text",] == 6
    assert lines["table", "inline", "b", "c", "d"] == 20
    assert lines["table", "below"] == 21
    assert lines["odd ] header", "x", "last"] == 30


def test_an_element_of_a_list_is_where_it_begins() -> None:
    lines = locate_keys(AWKWARD)

    assert lines["table", "list", "0"] == 13
    assert lines["table", "list", "1"] == 15
    assert lines["table", "list", "1", "deep key"] == 15
    assert lines["table", "list", "2"] == 17
    assert lines["table", "below", "key", "1", "1"] == 23


def test_what_stands_in_texts_and_comments_is_no_key() -> None:
    lines = locate_keys(AWKWARD)

    assert not [path for path in lines if "not_a_key" in path or "not" in path]


def test_each_table_of_an_array_has_its_own_lines() -> None:
    lines = locate_keys(AWKWARD)

    assert lines["many",] == 25
    assert (lines["many", "0"], lines["many", "0", "name"]) == (25, 26)
    assert (lines["many", "1"], lines["many", "1", "name"]) == (27, 28)


def test_a_table_below_an_array_belongs_to_its_last_one() -> None:
    text = "[[a]]\n[[a.b]]\nx = 1\n[[a]]\n[[a.b]]\n[[a.b]]\nx = 2\n[a.c]\ny = 3\n"

    lines = locate_keys(text)

    assert lines["a", "0", "b", "0", "x"] == 3
    assert lines["a", "1", "b", "1", "x"] == 7
    assert lines["a", "1", "c", "y"] == 9


def test_every_key_that_toml_reads_has_a_line() -> None:
    lines = locate_keys(AWKWARD)

    assert _paths(tomllib.loads(AWKWARD)) <= set(lines)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
leaves = st.integers(-9, 9) | st.booleans() | names
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, values, max_size=5))
def test_a_key_to_a_line_is_found_on_its_line(table: dict[str, object]) -> None:
    text = "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in table.items())

    lines = locate_keys(text)

    assert {path[0]: line for path, line in lines.items() if len(path) == 1} == {
        key: number for number, key in enumerate(table, start=1)
    }


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list():
            return "[" + ", ".join(_toml(element) for element in value) + "]"
        case _:
            return str(value)


def _paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    match value:
        case dict():
            parts = [(str(key), inner) for key, inner in value.items()]
        case list():
            parts = [(str(index), inner) for index, inner in enumerate(value)]
        case _:
            parts = []
    found = {path} - {()}
    return found.union(*(_paths(inner, (*path, key)) for key, inner in parts))
