"""
The PROXY protocol header, version 1 (pure).

The load balancer passes TCP through and tells in one line, ahead of the first
byte of TLS, who connected to it: `PROXY TCP4 192.0.2.7 203.0.113.9 51514 443`.
The line may come in any fragmentation, a byte at a time or glued to the
ClientHello. Specification: HAProxy's "The PROXY protocol", section 2.1.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from service.errors import ProxyHeaderError

MAX_HEADER_BYTES: Final = 107
"""The longest line the specification allows, with its CRLF; nothing beyond is ever kept."""

V1_SIGNATURE: Final = b"PROXY "
V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"

_TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS record that opens a connection (RFC 8446, section 5.1)."""

_END: Final = b"\r\n"
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_FAMILIES: Final = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}


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
        source: Who connected to the balancer; None when the balancer does not know (`UNKNOWN`).
        destination: What it connected to there.
        length: Bytes of the header; what follows belongs to TLS.
    """

    source: Endpoint | None
    destination: Endpoint | None
    length: int


def parse_proxy_header(received: bytes) -> ProxyHeader | None:
    """
    Read the header from the bytes received so far, counted from the first of the connection.

    Returns:
        The header, or None while it is not whole.

    Raises:
        ProxyHeaderError: These bytes can no longer become a header, however many follow.
    """
    _check_beginning(received)
    end = received.find(_END, 0, MAX_HEADER_BYTES)
    if end >= 0:
        return _parse_line(received[:end], end + len(_END))
    if len(received) >= MAX_HEADER_BYTES:
        raise ProxyHeaderError(f"the line does not end within {MAX_HEADER_BYTES} bytes")
    return None


def opens_with_proxy_header(received: bytes) -> bool:
    """Whether the first bytes of a connection are a PROXY header of either version, as far as they go."""
    return any(received.startswith(each) for each in (V1_SIGNATURE, V2_SIGNATURE))


def _check_beginning(received: bytes) -> None:
    if received.startswith(V1_SIGNATURE[: len(received)]):
        return
    if received[0] == _TLS_HANDSHAKE:
        raise ProxyHeaderError(
            "the connection began with a TLS ClientHello: the load balancer sends no header; "
            "bind a ProxyProtocol policy to its instance port"
        )
    if received.startswith(V2_SIGNATURE[: len(received)]):
        raise ProxyHeaderError("version 2 found, version 1 expected")
    raise ProxyHeaderError("the connection began with something else")


def _parse_line(line: bytes, length: int) -> ProxyHeader:
    words = line.decode("ascii", "replace").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        # Whatever else stands there must be ignored (section 2.1).
        return ProxyHeader(None, None, length)
    if len(words) != 6 or words[1] not in _FAMILIES:  # noqa: PLR2004 -- PROXY, family, two addresses, two ports
        raise ProxyHeaderError("the line is not `PROXY TCP4|TCP6 source destination source-port destination-port`")
    family, source, destination, source_port, destination_port = words[1:]
    return ProxyHeader(
        Endpoint(_parse_address(family, source), _parse_port(source_port)),
        Endpoint(_parse_address(family, destination), _parse_port(destination_port)),
        length,
    )


def _parse_address(family: str, text: str) -> str:
    if "%" in text:
        raise ProxyHeaderError("an address with a zone")
    try:
        return str(_FAMILIES[family](text))
    except ValueError:
        raise ProxyHeaderError(f"not an address of {family}") from None


def _parse_port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:  # noqa: PLR2004 -- 16 bits
        raise ProxyHeaderError("not a port")
    return int(text)
