"""How often one source may ask: a bucket of tokens for each, in bounded memory (pure)."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from typing import Final

MAX_SOURCES: Final = 10_000
"""
Remembered at once, about 2 MiB. Whoever comes back after that many others begins with a full bucket; to profit from it
takes as many addresses, and with them no limit by source is one.
"""

WINDOW_SECONDS: Final = 60.0
"""A bucket holds a minute's worth: a test suite may ask at once what it would ask in a minute."""

_ROUNDING_SECONDS: Final = 1e-6
"""What adding up intervals may lose; without it the last token of a bucket could be missed."""

_IPV6: Final = 6
_IPV6_HOST_BITS: Final = 64
"""One customer gets at least a /64 and may take any address in it (RFC 6177)."""


class RateLimit:
    """
    Counts what each source asked.

    It keeps one number a source, the moment at which its bucket is full again
    (the generic cell rate algorithm, ITU-T I.371).

    Args:
        per_minute: What one source may ask, above zero.
        max_sources: Remembered at once.
    """

    def __init__(self, per_minute: int, *, max_sources: int = MAX_SOURCES) -> None:
        self._interval = WINDOW_SECONDS / per_minute
        self._max_sources = max_sources
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def seconds_to_wait(self, address: str, *, at: float) -> int:
        """
        Take a token; 0 means there was one.

        Args:
            address: Of the peer.
            at: On a clock that never goes back, in seconds.

        Returns:
            Whole seconds until there is one.
        """
        source = source_of(address)
        full_at = max(self._full_at.get(source, at), at) + self._interval
        if full_at - at > WINDOW_SECONDS + _ROUNDING_SECONDS:
            return max(math.ceil(full_at - at - WINDOW_SECONDS), 1)
        self._full_at[source] = full_at
        self._full_at.move_to_end(source)
        if len(self._full_at) > self._max_sources:
            self._full_at.popitem(last=False)
        return 0

    def __len__(self) -> int:
        """Count the sources remembered."""
        return len(self._full_at)


def source_of(address: str) -> str:
    """Say who is behind an address: itself, or its /64 in IPv6; what is no address is one source together."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if parsed.version != _IPV6:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS)}/64"
