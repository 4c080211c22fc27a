"""The PROXY header, version 1, in any fragmentation, and nothing that is not one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.connection.proxy_protocol import (
    MAX_HEADER_BYTES,
    Endpoint,
    ProxyHeader,
    opens_with_proxy_header,
    parse_proxy_header,
)
from service.errors import ProxyHeaderError

PORTS = st.integers(0, 65535)
V4 = st.tuples(st.just("TCP4"), st.ip_addresses(v=4), st.ip_addresses(v=4), PORTS, PORTS)
V6 = st.tuples(st.just("TCP6"), st.ip_addresses(v=6), st.ip_addresses(v=6), PORTS, PORTS)
Line = tuple[str, IPv4Address | IPv6Address, IPv4Address | IPv6Address, int, int]


def write(line: Line) -> bytes:
    """Write a header as a balancer does."""
    return " ".join(("PROXY", *map(str, line))).encode() + b"\r\n"


@given(V4 | V6, st.binary(max_size=64))
def test_what_a_balancer_writes_is_read_back(line: Line, after: bytes) -> None:
    _, source, destination, source_port, destination_port = line

    header = parse_proxy_header(write(line) + after)

    assert header == ProxyHeader(
        Endpoint(str(source), source_port), Endpoint(str(destination), destination_port), len(write(line))
    )


@given(V4 | V6)
def test_no_beginning_of_it_is_refused_or_mistaken_for_the_whole(line: Line) -> None:
    """However it is cut, every prefix says: not whole yet."""
    whole = write(line)

    assert [parse_proxy_header(whole[:end]) for end in range(1, len(whole))] == [None] * (len(whole) - 1)


@given(st.binary(min_size=1, max_size=300))
@example(b"PROXY \r\n")
@example(b"PROXY TCP4\r\n")
@example(b"PROXY TCP4 \xff \xff 1 1\r\n")
@example(b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n")
def test_no_bytes_raise_anything_but_our_own_error(data: bytes) -> None:
    try:
        header = parse_proxy_header(data)
    except ProxyHeaderError:
        return
    assert header is None or header.length <= len(data)


@given(st.binary(max_size=200).filter(lambda data: b"\n" not in data))
def test_it_never_waits_for_more_than_the_longest_line(data: bytes) -> None:
    """Within 107 bytes it is decided, so nothing beyond is ever kept."""
    opening = (b"PROXY " + data).ljust(MAX_HEADER_BYTES, b"x")

    with pytest.raises(ProxyHeaderError, match="does not end within 107 bytes"):
        parse_proxy_header(opening)


def test_the_longest_line_of_the_specification_is_read() -> None:
    address = b":".join([b"ffff"] * 8)
    line = b"PROXY UNKNOWN " + address + b" " + address + b" 65535 65535\r\n"

    header = parse_proxy_header(line)

    assert len(line) <= MAX_HEADER_BYTES
    assert header == ProxyHeader(None, None, len(line))


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 192.0.2.7 203.0.113.9 51514\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.9 51514 443 1\r\n",
        b"PROXY  TCP4 192.0.2.7 203.0.113.9 51514 443\r\n",
        b"PROXY TCP4 192.0.2.07 203.0.113.9 51514 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::9 51514 443\r\n",
        b"PROXY TCP6 192.0.2.7 203.0.113.9 51514 443\r\n",
        b"PROXY TCP6 fe80::1%1 ::1 51514 443\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.9 65536 443\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.9 051514 443\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.9 +1 443\r\n",
        b"PROXY TCP5 192.0.2.7 203.0.113.9 51514 443\r\n",
        b"proxy TCP4 192.0.2.7 203.0.113.9 51514 443\r\n",
    ],
)
def test_a_line_that_is_not_quite_right_is_refused(line: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(line)


def test_a_client_hello_is_named_for_what_it_is() -> None:
    """The operator learns which policy is missing where."""
    with pytest.raises(ProxyHeaderError, match="bind a ProxyProtocol policy"):
        parse_proxy_header(b"\x16\x03\x01")


def test_version_2_is_named_for_what_it_is() -> None:
    with pytest.raises(ProxyHeaderError, match="version 2"):
        parse_proxy_header(b"\r\n\r\n\x00\r\nQUIT\n\x21")


@pytest.mark.parametrize(
    ("received", "answer"),
    [(b"PROXY TCP4", True), (b"\r\n\r\n\x00\r\nQUIT\n\x21", True), (b"PROX", False), (b"\x16\x03\x01", False)],
)
def test_a_header_is_told_from_tls_by_its_first_bytes(received: bytes, answer: bool) -> None:  # noqa: FBT001 -- a table
    assert opens_with_proxy_header(received) is answer
