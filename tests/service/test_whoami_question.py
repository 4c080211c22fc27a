"""What is asked of `/whoami`: one path, read in one way, or nothing."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.endpoints.whoami import asked_path


def ask(query: bytes, method: str = "GET") -> str | None:
    """Read a question."""
    return asked_path({"method": method, "query_string": query})


@given(st.binary(max_size=3000))
def test_no_query_breaks_it_and_what_it_makes_of_one_has_one_reading(query: bytes) -> None:
    path = ask(query)

    assert path is None or path == "/" or not {"", ".", ".."} & {*path.split("/")[1:]}
    assert path is None or path.startswith("/")


@given(st.lists(st.from_regex(r"[^/\\\x00-\x1f\x7f]+", fullmatch=True), max_size=5))
def test_a_path_reads_back(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    expected = None if {".", ".."} & {*segments} or len(quote(path)) > 2000 else path

    assert ask(b"path=" + quote(path).encode()) == expected


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_reading_asks(method: str) -> None:
    assert ask(b"", method) is None
    assert ask(b"", "HEAD") == "/"
