"""
What the fields of a request's head say of it, in one reading only (pure).

llhttp has refused already what breaks the form of a head. Left are heads of
good form that nobody may act on: without a host or with two, or with a body
whose coding or length we do not take.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

from service.connection.request_target import check_host
from service.errors import BadRequestError

_VERSIONS: Final = frozenset({"1.0", "1.1"})
_READ_BY_US: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class RequestHead(NamedTuple):
    """
    What matters of them.

    Attributes:
        host: None where HTTP/1.0 sent none.
        expects_continue: The peer waits for our word before it sends the body.
    """

    host: bytes | None
    has_body: bool
    expects_continue: bool


def read_head(version: str, fields: Iterable[tuple[bytes, bytes]], *, max_body_bytes: int) -> RequestHead:
    """
    Read the fields, whose names are in lower case.

    Raises:
        BadRequestError: Nobody may act on such a request.
    """
    if version not in _VERSIONS:
        raise BadRequestError("Only HTTP/1.1 and HTTP/1.0 are spoken here.", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    hosts: list[bytes] = []
    expects_continue = has_body = False
    for name, value in fields:
        if name not in _READ_BY_US:
            continue
        if name == b"host":
            hosts.append(value)
        elif name == b"expect":
            expects_continue = value.lower() == b"100-continue"
        elif name == b"content-length":
            has_body |= _check_length(value, max_body_bytes)
        else:
            has_body |= _check_coding(value, version)
    host = check_host(hosts, version=version)
    return RequestHead(host, has_body, expects_continue and has_body and version == "1.1")


def body_too_long(max_body_bytes: int) -> BadRequestError:
    """Say that a body is too long, whether it was announced or came."""
    return BadRequestError(f"The body is longer than {max_body_bytes} bytes.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _check_length(digits: bytes, max_body_bytes: int) -> bool:
    # Python reads no number of thousands of digits, and llhttp lets zeros stand before one without end.
    length = int(digits.lstrip(b"0") or b"0")
    if length > max_body_bytes:
        raise body_too_long(max_body_bytes)
    return length > 0


def _check_coding(coding: bytes, version: str) -> bool:
    """Refuse what we cannot take off again (RFC 9112, section 6.1)."""
    if version == "1.0":
        raise BadRequestError("HTTP/1.0 has no Transfer-Encoding.")
    if coding.lower() != b"chunked":
        raise BadRequestError("The only transfer coding taken here is chunked.", HTTPStatus.NOT_IMPLEMENTED)
    return True
