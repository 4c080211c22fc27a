"""
What a request is aimed at, in one reading only (pure).

The gate chooses a route by the path, and whoever stands behind the gate reads
the same path again. A path that two readers may read differently (`/open/../closed`,
`/closed%2f`, `//closed`) could pass as one and be answered as the other, so it
is refused rather than cleaned up.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from service.errors import BadRequestError

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""RFC 9110, section 7.2, without what no name in use has (percent-encoding, sub-delims)."""

_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)

_AMBIGUOUS: Final = re.compile(
    rb"(?P<empty>//)"
    rb"|(?P<backslash>\\|%5[cC])"
    rb"|(?P<slash>%2[fF])"
    rb"|(?P<control>%[01][0-9a-fA-F]|%7[fF])"
    rb"|(?P<broken>%(?![0-9a-fA-F]{2}))"
    rb"|(?P<dots>/(?:\.|%2[eE]){1,2}(?:[/;]|%3[bB]|$))"
)

_DETAILS: Final = {
    "empty": "The path has an empty segment (`//`).",
    "backslash": "The path has a backslash.",
    "slash": "The path has an encoded slash (`%2F`).",
    "control": "The path has an encoded control character.",
    "broken": "The path has a `%` that is not followed by two hexadecimal digits.",
    "dots": "The path has a dot segment (`.` or `..`); send it resolved.",
}


_CACHED_BYTES: Final = 256
"""Partners ask the same few paths; what is longer is read anew, so that nobody fills the memory with his own."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    A target in origin form.

    Attributes:
        path: Percent-decoded.
        raw_path: As it was sent.
        query: What follows the first `?`, as it was sent.
    """

    path: str
    raw_path: bytes
    query: bytes


def check_host(hosts: list[bytes], *, version: str) -> bytes | None:
    """
    Say which host is asked for (RFC 9112, section 3.2).

    Args:
        hosts: The values of every Host field of the request.
        version: Of HTTP; 1.0 knows no Host.

    Raises:
        BadRequestError: There is none, more than one, or it is not of the form of a host.
    """
    if not hosts and version == "1.0":
        return None
    if len(hosts) != 1:
        raise BadRequestError("The request has no Host field." if not hosts else "The request has two Host fields.")
    host = hosts[0]
    if not (_is_host_again(host) if len(host) <= _CACHED_BYTES else _is_host(host)):
        raise BadRequestError("The Host field is not a host name or address with an optional port.")
    return host


def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


_is_host_again = functools.lru_cache(maxsize=256)(_is_host)


def read_target(target: bytes, *, host: bytes | None, scheme: str) -> Target:
    """
    Read the request target, in origin form or, of our own authority, in absolute form (RFC 9112, section 3.2).

    Raises:
        BadRequestError: It is of another form, or two readers may understand it differently.
    """
    if target.startswith(b"/") and len(target) <= _CACHED_BYTES:
        # Host and scheme have no say in it.
        return _read_again(target, None, scheme)
    return _read(target, host, scheme)


def _read(target: bytes, host: bytes | None, scheme: str) -> Target:
    if b"#" in target:
        raise BadRequestError("The request target has a fragment (`#`), which is never sent.")
    if not target.startswith(b"/"):
        target = _to_origin_form(target, host, scheme)
    raw_path, _, query = target.partition(b"?")
    found = _AMBIGUOUS.search(raw_path)
    if found:
        raise BadRequestError(_DETAILS[str(found.lastgroup)])
    return Target(_decode(raw_path), raw_path, query)


_read_again = functools.lru_cache(maxsize=1024)(_read)


def _to_origin_form(target: bytes, host: bytes | None, scheme: str) -> bytes:
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequestError("The request target is not a path; it must begin with `/`.")
    if absolute[1].lower() != scheme.encode() or host is None or absolute[2].lower() != host.lower():
        raise BadRequestError(
            "The request target names another scheme or host than this connection and its Host field."
        )
    rest = absolute[3]
    return rest if rest.startswith(b"/") else b"/" + rest


def _decode(raw_path: bytes) -> str:
    if b"%" not in raw_path:
        return raw_path.decode("ascii", "replace")
    try:
        return unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        raise BadRequestError("The path is not UTF-8 when percent-decoded.") from None
