"""What can be said of IPv4 networks without asking anybody."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from typing import Final

from stacks.agreement.promise import Promise

PRIVATE_RANGES: Final = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
"""What no route of the internet leads to (RFC 1918 and RFC 6598)."""
WIDEST_PREFIX: Final = 8
"""Nobody was ever given more than a /8; what is wider names nobody."""


def is_private(network: IPv4Network) -> bool:
    """Tell whether the whole network is one that the internet has no route to."""
    return any(network.subnet_of(private) for private in PRIVATE_RANGES)


def is_wide(network: IPv4Network) -> bool:
    """Tell whether a network is so wide that it names nobody, as 0.0.0.0/0 does and its two halves do."""
    return network.prefixlen < WIDEST_PREFIX


def apart(key: str, networks: Sequence[IPv4Network]) -> Iterator[Promise]:
    """Promise that no network of a list is in another."""
    for (_, one), (index, other) in itertools.combinations(enumerate(networks), 2):
        yield Promise(
            (f"{key}.{index}", key),
            not one.overlaps(other),
            f"a network apart from {one}",
            f"{other}",
        )
