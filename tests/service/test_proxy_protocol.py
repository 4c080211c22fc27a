"""The PROXY header, versions 1 and 2, in any fragmentation, and nothing that is not one."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from proxyprotocol import ProxyProtocolIncompleteError
from proxyprotocol.result import ProxyResult, ProxyResultIPv4, ProxyResultIPv6
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from service.connection.proxy_protocol import (
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    V2_SIGNATURE,
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
    opening = (b"PROXY " + data).ljust(MAX_LINE_BYTES, b"x")

    with pytest.raises(ProxyHeaderError, match="does not end within 107 bytes"):
        parse_proxy_header(opening)


def test_the_longest_line_of_the_specification_is_read() -> None:
    address = b":".join([b"ffff"] * 8)
    line = b"PROXY UNKNOWN " + address + b" " + address + b" 65535 65535\r\n"

    header = parse_proxy_header(line)

    assert len(line) <= MAX_LINE_BYTES
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


@pytest.mark.parametrize(
    ("received", "answer"),
    [(b"PROXY TCP4", True), (b"\r\n\r\n\x00\r\nQUIT\n\x21", True), (b"PROX", False), (b"\x16\x03\x01", False)],
)
def test_a_header_is_told_from_tls_by_its_first_bytes(received: bytes, answer: bool) -> None:  # noqa: FBT001 -- a table
    assert opens_with_proxy_header(received) is answer


# -- version 2 -----------------------------------------------------------------


def binary(*, command: int = 0x21, family: int = 0x11, block: bytes | None = None, fields: bytes = b"") -> bytes:
    """Write a header of version 2; by default from 192.0.2.7, port 51514."""
    addresses = bytes([192, 0, 2, 7, 203, 0, 113, 9]) + struct.pack("!HH", 51514, 443)
    rest = (addresses if block is None else block) + fields
    return V2_SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def field(kind: int, value: bytes) -> bytes:
    """Write one field (TLV)."""
    return struct.pack("!BH", kind, len(value)) + value


def binary_of(line: Line, fields: bytes = b"") -> bytes:
    """Write the same facts as `write`, in version 2."""
    family, source, destination, source_port, destination_port = line
    block = source.packed + destination.packed + struct.pack("!HH", source_port, destination_port)
    return binary(family=0x11 if family == "TCP4" else 0x21, block=block, fields=fields)


FIELDS = st.lists(st.builds(field, st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=60)))
HEADERS = st.builds(lambda line, fields: binary_of(line, b"".join(fields[:20])), V4 | V6, FIELDS)
VPC_ENDPOINT = b"vpce-08d2bf15fac5001c9"


@given(V4 | V6, FIELDS, st.binary(max_size=64))
def test_both_versions_say_the_same(line: Line, fields: list[bytes], after: bytes) -> None:
    whole = binary_of(line, b"".join(fields[:20]))

    one, two = parse_proxy_header(write(line)), parse_proxy_header(whole + after)

    assert one is not None
    assert two is not None
    assert (two.source, two.destination, two.length) == (one.source, one.destination, len(whole))


@settings(max_examples=25)
@given(HEADERS)
def test_no_beginning_of_the_binary_form_is_refused_either(whole: bytes) -> None:
    assert [parse_proxy_header(whole[:end]) for end in range(1, len(whole))] == [None] * (len(whole) - 1)


def judge(data: bytes, oracle: ProxyProtocolV1 | ProxyProtocolV2) -> tuple[str, str] | str:
    """Have somebody else's parser read a header: the two sources of truth, or why there is none."""
    try:
        found: ProxyResult = oracle.unpack(data)
    except ProxyProtocolIncompleteError:
        return "incomplete"
    except (ValueError, struct.error):  # the latter from an address block that is too short
        return "refused"
    if isinstance(found, ProxyResultIPv4 | ProxyResultIPv6):
        return str(found.source), str(found.dest)
    return "nobody"


def told(data: bytes) -> tuple[str, str] | str:
    """Say what ours makes of it, in the same form."""
    try:
        found = parse_proxy_header(data)
    except ProxyHeaderError:
        return "refused"
    if found is None:
        return "incomplete"
    if found.source is None or found.destination is None:
        return "nobody"
    family = IPv6Address if ":" in found.source.address else IPv4Address
    sides = [(family(side.address), side.port) for side in (found.source, found.destination)]
    return str(sides[0]), str(sides[1])


@given(V4 | V6)
def test_a_line_is_read_as_another_parser_reads_it(line: Line) -> None:
    assert told(write(line)) == judge(write(line), ProxyProtocolV1())


@given(V4 | V6, st.integers(0, 100), st.integers(0, 255))
def test_what_we_take_of_a_damaged_line_the_other_parser_takes_too(line: Line, at: int, byte: int) -> None:
    """We are the stricter one: leading zeros and signs in a port it lets pass."""
    damaged = bytearray(write(line))
    damaged[6 + at % (len(damaged) - 8)] = byte

    ours = told(bytes(damaged))

    assert ours in {judge(bytes(damaged), ProxyProtocolV1()), "refused"}


@given(HEADERS)
def test_a_binary_header_is_read_as_another_parser_reads_it(whole: bytes) -> None:
    assert told(whole) == judge(whole, ProxyProtocolV2())


@given(HEADERS, st.integers(12, 15), st.integers(0, 255))
def test_what_we_take_of_a_damaged_binary_header_the_other_parser_takes_too(whole: bytes, at: int, byte: int) -> None:
    """We are the stricter one: UDP, UNIX sockets and fields that do not end it lets pass."""
    damaged = bytearray(whole)
    damaged[at] = byte

    ours = told(bytes(damaged))

    assert ours in {judge(bytes(damaged), ProxyProtocolV2()), "refused"}


@given(st.binary(max_size=300), st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF))
@example(b"", 0x20, 0x00, 0)
@example(b"\x03\x00\x04abcd", 0x21, 0x00, 7)
@example(b"\xea\x00\x01\x01", 0x21, 0x00, 4)
@example(b"\x00" * 12 + b"\xea\x00", 0x21, 0x11, 14)
def test_no_binary_header_raises_anything_but_our_own_error(
    rest: bytes, command: int, family: int, length: int
) -> None:
    for announced in (length, len(rest)):
        data = V2_SIGNATURE + struct.pack("!BBH", command, family, announced) + rest
        try:
            header = parse_proxy_header(data)
        except ProxyHeaderError:
            continue
        assert header is None or header.length <= len(data)


def test_a_local_command_leaves_the_socket_s_own_peer() -> None:
    """The balancer speaks for itself: a health check. Whatever else is in it is not read."""
    header = parse_proxy_header(binary(command=0x20, family=0x31, block=b"\xff" * 9))

    assert header == ProxyHeader(None, None, 16 + 9)


def test_an_unspecified_family_leaves_the_socket_s_own_peer() -> None:
    header = parse_proxy_header(binary(family=0x00, block=b"", fields=field(0xEA, b"\x01" + VPC_ENDPOINT)))

    assert header is not None
    assert (header.source, header.vpc_endpoint) == (None, VPC_ENDPOINT.decode())


def test_the_vpc_endpoint_is_told() -> None:
    """AWS PrivateLink: every partner comes from the balancer's own network, and this tells them apart."""
    fields = field(0x04, b"\x00\x00") + field(0xEA, b"\x01" + VPC_ENDPOINT) + field(0x05, b"unique")

    header = parse_proxy_header(binary(fields=fields))

    assert header is not None
    assert header.vpc_endpoint == "vpce-08d2bf15fac5001c9"


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" + VPC_ENDPOINT, b'\x01vpce-"\n', b"\x01vpce-\xff\xfe"])
def test_anything_else_in_the_field_of_aws_is_skipped(value: bytes) -> None:
    """It goes into the audit line, so only what looks like such an id is taken."""
    header = parse_proxy_header(binary(fields=field(0xEA, value)))

    assert header is not None
    assert header.vpc_endpoint is None


@pytest.mark.parametrize(
    ("family", "what"),
    [
        (0x12, "UDP over IPv4"),
        (0x22, "UDP over IPv6"),
        (0x31, "a UNIX stream"),
        (0x32, "UNIX datagrams"),
        (0x10, "the unknown family 0x10"),
        (0x41, "the unknown family 0x41"),
    ],
)
def test_a_family_that_is_not_tcp_is_refused_by_name(family: int, what: str) -> None:
    with pytest.raises(ProxyHeaderError, match=what):
        parse_proxy_header(binary(family=family, block=b"\x00" * 216))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (binary(command=0x31), "version 3"),
        (binary(command=0x22), "unknown command 2"),
        (binary(block=b"\x00" * 11), "fewer bytes than its addresses"),
        (binary(fields=b"\x04\x00"), "ends within a field"),
        (binary(fields=b"\x04\x00\x05abcd"), "field 0x04 that is longer"),
        (binary(fields=field(3, b"\x00" * 4)), "checksum"),
        (binary(fields=field(3, b"")), "checksum"),
    ],
    ids=["version", "command", "short", "half a field", "a long field", "wrong checksum", "empty checksum"],
)
def test_a_binary_header_that_is_not_quite_right_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProxyHeaderError, match=why):
        parse_proxy_header(data)


def test_a_header_over_2_kib_is_refused_before_it_is_read() -> None:
    """The announced length decides, so that nobody makes us keep 64 KiB."""
    largest = binary(fields=field(4, b"\x00" * (MAX_HEADER_BYTES - 16 - 12 - 3)))
    announced = V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_HEADER_BYTES - 16 + 1)

    assert parse_proxy_header(largest) is not None
    with pytest.raises(ProxyHeaderError, match="announces 2049 bytes, at most 2048"):
        parse_proxy_header(announced)


def crc32c(data: bytes) -> int:
    """Compute CRC-32C bit by bit, as its definition says (RFC 9260, appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(V4 | V6, FIELDS)
def test_a_checksum_that_is_right_is_taken_and_any_other_refused(line: Line, fields: list[bytes]) -> None:
    """The Network Load Balancer always sends one; it is computed over the header with zeros in its place."""
    around = b"".join(fields[:10])
    zeroed = binary_of(line, field(3, b"\x00" * 4) + around)
    right = binary_of(line, field(3, crc32c(zeroed).to_bytes(4, "big")) + around)
    wrong = binary_of(line, field(3, (crc32c(zeroed) ^ 1).to_bytes(4, "big")) + around)

    assert crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue of CRCs
    assert parse_proxy_header(right) is not None
    with pytest.raises(ProxyHeaderError, match="checksum"):
        parse_proxy_header(wrong)


def test_a_second_checksum_is_refused() -> None:
    """Otherwise a header of nothing else would have us compute three hundred."""
    zeroed = binary(fields=field(3, b"\x00" * 4) * 2)
    first_is_right = binary(fields=field(3, crc32c(zeroed).to_bytes(4, "big")) + field(3, b"\x00" * 4))

    with pytest.raises(ProxyHeaderError, match="two checksums"):
        parse_proxy_header(first_is_right)
