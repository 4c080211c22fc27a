"""A request target has one reading, or it is refused."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.connection.request_target import Target, check_host, read_target
from service.errors import BadRequestError


def read(target: bytes) -> Target:
    """Read a target sent to api.example.com."""
    return read_target(target, host=b"api.example.com", scheme="https")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", Target("/", b"/", b"")),
        (b"/orders/7?sort=up&x=/../a//b%2f", Target("/orders/7", b"/orders/7", b"sort=up&x=/../a//b%2f")),
        (b"/caf%C3%A9/", Target("/café/", b"/caf%C3%A9/", b"")),
        (b"/a.b/..c/.well-known/x..", Target("/a.b/..c/.well-known/x..", b"/a.b/..c/.well-known/x..", b"")),
        (b"/100%2525", Target("/100%25", b"/100%2525", b"")),
        (b"https://API.example.com/orders?a=1", Target("/orders", b"/orders", b"a=1")),
        (b"https://api.example.com", Target("/", b"/", b"")),
        (b"https://api.example.com?a", Target("/", b"/", b"a")),
    ],
)
def test_a_target_is_split_and_decoded_once(target: bytes, expected: Target) -> None:
    assert read(target) == expected


@pytest.mark.parametrize(
    ("target", "detail"),
    [
        (b"/open/../closed", "dot segment"),
        (b"/open/%2e%2E/closed", "dot segment"),
        (b"/open/.%2e", "dot segment"),
        (b"/./closed", "dot segment"),
        (b"/open/..;/closed", "dot segment"),
        (b"/open/..%3b/closed", "dot segment"),
        (b"//closed", "empty segment"),
        (b"/open//closed", "empty segment"),
        (b"/open%2fclosed", "encoded slash"),
        (b"/open\\..\\closed", "backslash"),
        (b"/open%5Cclosed", "backslash"),
        (b"/closed%00.png", "control character"),
        (b"/a%0d%0aset-cookie:x", "control character"),
        (b"/a%7f", "control character"),
        (b"/a%zz", "two hexadecimal digits"),
        (b"/a%2", "two hexadecimal digits"),
        (b"/a%", "two hexadecimal digits"),
        (b"/caf%e9", "not UTF-8"),
        (b"/a#b", "fragment"),
        (b"/a?b#c", "fragment"),
        (b"*", "must begin with"),
        (b"api.example.com:443", "must begin with"),
        (b"https://other.example.com/", "another scheme or host"),
        (b"http://api.example.com/", "another scheme or host"),
        (b"https://api.example.com@other.example.com/", "another scheme or host"),
        (b"https://user@api.example.com/", "another scheme or host"),
        (b"https://api.example.com:443/", "another scheme or host"),
        (b"https:///closed", "another scheme or host"),
        (b"https://api.example.com/open/../closed", "dot segment"),
    ],
)
def test_what_two_readers_may_read_differently_is_refused(target: bytes, detail: str) -> None:
    """Each of these has passed one server's check of a path and been answered by another as a different one."""
    with pytest.raises(BadRequestError, match=detail) as raised:
        read(target)

    assert raised.value.status == 400


@given(st.binary(max_size=100))
@example(b"/%c0%ae%c0%ae/")
@example(b"/%ff")
def test_nothing_raises_anything_else(target: bytes) -> None:
    try:
        read(target)
    except BadRequestError:
        return


@given(st.lists(st.sampled_from(["/", ".", "..", "%2e", "%2f", "%5c", "\\", "a", ";", "%25", "b", "%c3%a9", "%3b"])))
def test_what_is_taken_is_what_any_cleaner_would_make_of_it(parts: list[str]) -> None:
    """Whoever resolves dots, merges slashes or decodes first comes to the same path."""
    target = "/" + "".join(parts)
    try:
        path = read(target.encode()).path
    except BadRequestError:
        return

    cleaned = posixpath.normpath(unquote(target)) + ("/" if target.endswith("/") and target != "/" else "")
    assert cleaned == path
    assert "\\" not in path


@pytest.mark.parametrize("host", [b"api.example.com", b"api.example.com:8443", b"10.0.0.7:8080", b"[2001:db8::7]:443"])
def test_a_host_is_a_name_or_an_address(host: bytes) -> None:
    assert check_host([host], version="1.1") == host


@pytest.mark.parametrize(
    ("hosts", "detail"),
    [
        ([], "no Host"),
        ([b"a", b"a"], "two Host"),
        ([b""], "not a host name"),
        ([b"a/b"], "not a host name"),
        ([b"a b"], "not a host name"),
        ([b"a@b"], "not a host name"),
        ([b"a:b"], "not a host name"),
        ([b"a,b"], "not a host name"),
        ([b"a:443:443"], "not a host name"),
    ],
)
def test_anything_else_is_refused(hosts: list[bytes], detail: str) -> None:
    """RFC 9112, section 3.2: none, two or a malformed one must be answered with 400."""
    with pytest.raises(BadRequestError, match=detail):
        check_host(hosts, version="1.1")


def test_http_1_0_may_do_without_a_host() -> None:
    assert check_host([], version="1.0") is None
