"""
The PROXY protocol header, versions 1 and 2 (pure).

The load balancer passes TCP through and tells, ahead of the first byte of TLS,
who connected to it: in a line, `PROXY TCP4 192.0.2.7 203.0.113.9 51514 443`
(version 1, the Classic Load Balancer), or in binary (version 2, the Network
Load Balancer). Either is taken, in any fragmentation, a byte at a time or glued
to the ClientHello. Specification: HAProxy's "The PROXY protocol", sections 2.1
and 2.2.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.errors import ProxyHeaderError

MAX_LINE_BYTES: Final = 107
"""The longest line of version 1 the specification allows, with its CRLF."""

MAX_HEADER_BYTES: Final = 2048
"""
All of a header of version 2; nothing beyond is ever kept.

Its length field would allow 64 KiB. What balancers send is under 300 bytes; with a client certificate's fields, which
we would not believe anyway, it may come near 1 KiB.
"""

V1_SIGNATURE: Final = b"PROXY "
V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"

_TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS record that opens a connection (RFC 8446, section 5.1)."""

_END: Final = b"\r\n"
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_BYTE: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
"""An address as `ipaddress` writes it, told at a third of what it takes to parse one."""
_WORDS: Final = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}

_FIXED: Final = struct.Struct("!12sBBH")
"""Signature, version and command, family and transport, length of what follows."""
_VERSION: Final = 0x2
_LOCAL, _PROXY = 0x0, 0x1
_UNSPECIFIED: Final = 0x00
_ADDRESSES: Final = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
_REFUSED_FAMILIES: Final = {0x12: "UDP over IPv4", 0x22: "UDP over IPv6", 0x31: "a UNIX stream", 0x32: "UNIX datagrams"}

_FIELD: Final = struct.Struct("!BH")
"""Type and length of one of the fields (TLVs) that may follow the addresses."""
_CHECKSUM: Final = 0x03
_AWS: Final = 0xEA
_AWS_VPC_ENDPOINT: Final = b"\x01"
"""Network Load Balancer guide, "Proxy protocol": the endpoint's id in ASCII."""
_VPC_ENDPOINT: Final = re.compile(rb"vpce-[0-9a-z-]{1,64}")
_CASTAGNOLI: Final = 0x82F63B78
"""The polynomial of CRC-32C, its bits reversed (RFC 9260, appendix A)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a TCP connection: address as text in its canonical form, and port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """
    What the header said.

    Attributes:
        source: Who connected to the balancer; None when it does not say (`UNKNOWN`, unspecified) or speaks for itself
            (`LOCAL`, its own health checks): then the socket's own peer counts.
        destination: What it connected to there.
        length: Bytes of the header; what follows belongs to TLS.
        vpc_endpoint: The id of the VPC endpoint it came through, from AWS PrivateLink alone.
    """

    source: Endpoint | None
    destination: Endpoint | None
    length: int
    vpc_endpoint: str | None = None


def parse_proxy_header(received: bytes) -> ProxyHeader | None:
    """
    Read the header from the bytes received so far, counted from the first of the connection.

    Returns:
        The header, or None while it is not whole.

    Raises:
        ProxyHeaderError: These bytes can no longer become a header, however many follow.
    """
    if received.startswith(V1_SIGNATURE[: len(received)]):
        return _parse_version_1(received)
    if received.startswith(V2_SIGNATURE[: len(received)]):
        return _parse_version_2(received)
    if received[0] == _TLS_HANDSHAKE:
        raise ProxyHeaderError(
            "the connection began with a TLS ClientHello: the load balancer sends no header; "
            "bind a ProxyProtocol policy to its instance port"
        )
    raise ProxyHeaderError("the connection began with something else")


def opens_with_proxy_header(received: bytes) -> bool:
    """Whether the first bytes of a connection are a PROXY header of either version, as far as they go."""
    return any(received.startswith(each) for each in (V1_SIGNATURE, V2_SIGNATURE))


# -- version 1: a line -------------------------------------------------------


def _parse_version_1(received: bytes) -> ProxyHeader | None:
    end = received.find(_END, 0, MAX_LINE_BYTES)
    if end >= 0:
        return _parse_line(received[:end], end + len(_END))
    if len(received) >= MAX_LINE_BYTES:
        raise ProxyHeaderError(f"the line does not end within {MAX_LINE_BYTES} bytes")
    return None


def _parse_line(line: bytes, length: int) -> ProxyHeader:
    words = line.decode("ascii", "replace").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        # Whatever else stands there must be ignored (section 2.1).
        return ProxyHeader(None, None, length)
    if len(words) != 6 or words[1] not in _WORDS:  # noqa: PLR2004 -- PROXY, family, two addresses, two ports
        raise ProxyHeaderError("the line is not `PROXY TCP4|TCP6 source destination source-port destination-port`")
    family, source, destination, source_port, destination_port = words[1:]
    return ProxyHeader(
        Endpoint(_parse_address(family, source), _parse_port(source_port)),
        Endpoint(_parse_address(family, destination), _parse_port(destination_port)),
        length,
    )


def _parse_address(family: str, text: str) -> str:
    if family == "TCP4" and _IPV4.fullmatch(text):
        return text
    if "%" in text:
        raise ProxyHeaderError("an address with a zone")
    try:
        return str(_WORDS[family](text))
    except ValueError:
        raise ProxyHeaderError(f"not an address of {family}") from None


def _parse_port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:  # noqa: PLR2004 -- 16 bits
        raise ProxyHeaderError("not a port")
    return int(text)


# -- version 2: binary -------------------------------------------------------


def _parse_version_2(received: bytes) -> ProxyHeader | None:
    if len(received) < _FIXED.size:
        return None
    _, version_and_command, family, length = _FIXED.unpack_from(received)
    version, command = version_and_command >> 4, version_and_command & 0xF
    if version != _VERSION:
        raise ProxyHeaderError(f"the binary signature with version {version}, version 2 expected")
    if command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError(f"version 2 with the unknown command {command}")
    end = _FIXED.size + length
    if end > MAX_HEADER_BYTES:
        raise ProxyHeaderError(f"version 2 announces {end} bytes, at most {MAX_HEADER_BYTES} are taken")
    if command == _PROXY:
        _check_family(family, length)
    if len(received) < end:
        return None
    if command == _LOCAL:
        # The rest must be ignored, whatever it holds (section 2.2).
        return ProxyHeader(None, None, end)
    return _parse_block(received[:end], family)


def _check_family(family: int, length: int) -> None:
    if family == _UNSPECIFIED:
        return
    if family not in _ADDRESSES:
        what = _REFUSED_FAMILIES.get(family, f"the unknown family {family:#04x}")
        raise ProxyHeaderError(f"version 2 speaks of {what}, TCP over IPv4 or IPv6 expected")
    if length < _ADDRESSES[family].size:
        raise ProxyHeaderError("version 2 with fewer bytes than its addresses need")


def _parse_block(header: bytes, family: int) -> ProxyHeader:
    source = destination = None
    begin = _FIXED.size
    if family != _UNSPECIFIED:
        form = _ADDRESSES[family]
        from_, to, source_port, destination_port = form.unpack_from(header, begin)
        # Bytes of the right number are always an address.
        source = Endpoint(str(ipaddress.ip_address(from_)), source_port)
        destination = Endpoint(str(ipaddress.ip_address(to)), destination_port)
        begin += form.size
    return ProxyHeader(source, destination, len(header), _read_fields(header, begin))


def _read_fields(header: bytes, begin: int) -> str | None:
    """Check the checksum, if there is one, and give the VPC endpoint's id; all else is skipped."""
    vpc_endpoint, has_checksum = None, False
    for kind, at, value in _fields(header, begin):
        if kind == _CHECKSUM:
            if has_checksum:
                raise ProxyHeaderError("version 2 with two checksums")
            has_checksum = True
            _check_checksum(header, at, value)
        elif kind == _AWS and value[:1] == _AWS_VPC_ENDPOINT and _VPC_ENDPOINT.fullmatch(value, 1):
            vpc_endpoint = value[1:].decode()
    return vpc_endpoint


def _fields(header: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Give type, place of the value, and value of each field."""
    while at < len(header):
        if at + _FIELD.size > len(header):
            raise ProxyHeaderError("version 2 ends within a field")
        kind, length = _FIELD.unpack_from(header, at)
        at += _FIELD.size
        if at + length > len(header):
            raise ProxyHeaderError(f"version 2 has a field {kind:#04x} that is longer than the header")
        yield kind, at, header[at : at + length]
        at += length


def _check_checksum(header: bytes, at: int, value: bytes) -> None:
    zeroed = header[:at] + bytes(len(value)) + header[at + len(value) :]
    if value != _crc32c(zeroed).to_bytes(4, "big"):
        raise ProxyHeaderError("version 2 with a checksum that is not the header's")


def _crc32c(data: bytes) -> int:
    """Compute CRC-32C; the standard library has only another polynomial, and a header is a few hundred bytes."""
    table, crc = _crc32c_table(), 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@functools.cache
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
