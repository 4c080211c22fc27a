"""
Which stack may go next.

Pure: a graph of names and what each needs. A stack that failed stops those
that need it, directly or through others, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping


class Schedule:
    """The order of work over a graph, as it unfolds."""

    def __init__(self, needs: Mapping[str, frozenset[str]]) -> None:
        """
        Start with everything still to do.

        Args:
            needs: What each name needs; names needed but not listed count as there already.
        """
        self._needs = {name: needed & needs.keys() for name, needed in needs.items()}
        self._waiting = list(needs)
        self._done: set[str] = set()

    def take_ready(self) -> list[str]:
        """Take every name whose needs are met, in the order given; each is taken once."""
        ready = [name for name in self._waiting if self._needs[name] <= self._done]
        self._waiting = [name for name in self._waiting if name not in ready]
        return ready

    def succeed(self, name: str) -> None:
        """Count a name as there."""
        self._done.add(name)

    def stop(self, name: str) -> list[str]:
        """Count a name as not coming; gives those that will not come because of it, now."""
        stopped: list[str] = []
        because = {name}
        for other in list(self._waiting):  # dependency order: one pass reaches everything downstream
            if self._needs[other] & because:
                because.add(other)
                stopped.append(other)
        self._waiting = [other for other in self._waiting if other not in because]
        return stopped


def reverse(needs: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Turn the graph round, for taking down: what needed a name must go before it; the last comes first."""
    return {
        name: frozenset(other for other, needed in needs.items() if name in needed) for name in reversed(list(needs))
    }
