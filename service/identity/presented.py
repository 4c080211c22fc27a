"""What one request presents to whoever must say who asks (pure)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.identity.peer import Peer
from service.identity.verdict import Verdict


@dataclass(slots=True)
class Presented:
    """
    One request, as a strategy sees it.

    Attributes:
        peer: What the handshake proved.
        method: Upper case.
        target: Path and query as they were sent.
        headers: Names in lower case, in the order they came; a name may come twice.
        read_body: Reads the whole body, of at most so many bytes; the application still gets it afterwards.
            Raises BodyTooLargeError.
        at: The moment of the decision; aware.
    """

    peer: Peer
    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    read_body: Callable[[int], Awaitable[bytes]]
    at: datetime

    def header(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of one header field, its name in lower case."""
        return tuple(value for each, value in self.headers if each == name)


class Authenticator(Protocol):
    """One strategy."""

    async def identify(self, presented: Presented) -> Verdict:
        """Name the client, or say why this request shows none; whatever fails refuses."""
