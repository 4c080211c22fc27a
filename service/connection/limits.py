"""
How many connections there are: in all, and from each source, over all workers of a task.

The workers are processes without a lock between them. Each has a row of
counters in memory that they share, writes its own row alone and reads the sum
of all, so nobody ever waits; two that accept in the same microsecond may let
one too many in. When a worker dies the parent clears its row.

A source has no counter of its own, or whoever has many addresses could fill
the memory. It has two, chosen by a keyed hash, that it shares with few others,
and the smaller one counts (a count-min sketch): it is never below the truth,
and above it only for a source that shares both with busy ones. The key is of
this boot, so nobody can choose addresses that share with a partner's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import os
from enum import StrEnum
from typing import Final

from service.settings import Limits

COUNTERS: Final = 8192
"""For the sources; at 4 bytes each a row has 32 KiB. With 8,000 connections of as many sources about one each."""

_HALF: Final = COUNTERS // 2
_TOTAL: Final = COUNTERS
_ROW: Final = COUNTERS + 1
_PREFIX_6: Final = 64
"""The least that a site is given; within it anybody takes any address (RFC 6177)."""


class Crowding(StrEnum):
    """Why a connection was not taken."""

    IN_ALL = "connections"
    FROM_SOURCE = "connections_per_source"


class SharedCounters:
    """
    The rows; made before the fork, and gone with the last process that has them.

    Args:
        workers: One row for each.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._key = os.urandom(16)
        self._counts = memoryview(mmap.mmap(-1, 4 * _ROW * workers)).cast("I")

    def clear(self, worker: int) -> None:
        """Forget what a worker counted; it is gone, and its connections with it."""
        begin = worker * _ROW
        self._counts[begin : begin + _ROW] = memoryview(bytes(4 * _ROW)).cast("I")

    def add(self, worker: int, counter: int, change: int) -> None:
        """Change a counter of a worker's own row; below zero nothing goes, whatever happened to the row."""
        at = worker * _ROW + counter
        self._counts[at] = max(self._counts[at] + change, 0)

    def sum(self, counter: int) -> int:
        """Sum a counter over all rows."""
        return sum(self._counts[worker * _ROW + counter] for worker in range(self._workers))

    def of_source(self, address: str) -> tuple[int, int]:
        """Choose the two counters of a source, one from each half."""
        digest = hashlib.blake2b(_source(address), key=self._key, digest_size=8).digest()
        one, other = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
        return one % _HALF, _HALF + other % _HALF


class Admissions:
    """
    Says whether one more connection may be, and counts those that are.

    Args:
        worker: Which row is ours.
    """

    def __init__(self, counters: SharedCounters, limits: Limits, *, worker: int) -> None:
        self._counters = counters
        self._limits = limits
        self._worker = worker

    def enter(self) -> Crowding | None:
        """Count one more in all, before anybody knows where it is from; each that entered must leave."""
        if self._counters.sum(_TOTAL) >= self._limits.connections:
            return Crowding.IN_ALL
        self._counters.add(self._worker, _TOTAL, 1)
        return None

    def enter_from(self, address: str) -> tuple[int, ...] | Crowding:
        """Count it for its source too; gives what `leave` needs to know."""
        counters = self._counters.of_source(address)
        if min(self._counters.sum(each) for each in counters) >= self._limits.connections_per_source:
            return Crowding.FROM_SOURCE
        for each in counters:
            self._counters.add(self._worker, each, 1)
        return counters

    def weigh(self, counters: tuple[int, ...], more: int) -> Crowding | None:
        """Count one that is in for so many more, in all and for its source; nothing changes where that is too many."""
        if self._counters.sum(_TOTAL) + more > self._limits.connections:
            return Crowding.IN_ALL
        if min(self._counters.sum(each) for each in counters) + more > self._limits.connections_per_source:
            return Crowding.FROM_SOURCE
        for each in (_TOTAL, *counters):
            self._counters.add(self._worker, each, more)
        return None

    def leave(self, counters: tuple[int, ...], *, weight: int = 1) -> None:
        """Take one out again for all that it counted, and for its source if it was counted there; else with nothing."""
        for each in (_TOTAL, *counters):
            self._counters.add(self._worker, each, -weight)


def _source(address: str) -> bytes:
    """Cut an address to what one site shares; an IPv4 address in IPv6 clothes is one of IPv4."""
    if ":" not in address:
        # IPv4, which is written in one way only; or a socket without an address, and such peers are all alike.
        return address.encode()
    parsed = ipaddress.IPv6Address(address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped).encode()
    return parsed.packed[: _PREFIX_6 // 8]
