"""
An address of its own for every container instance and every load balancer.

All of 127.0.0.0/8 is this machine on Linux, so each instance can have the
real ports 8443 and 8080. An address is drawn at random and held by listening
on one port of it for as long as it is in use: two runs never meet, and a run
that was killed leaves nothing behind.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Final

from stacks.errors import DeploymentError

CLAIM_PORT: Final = 51678
"""
The port that marks an address as taken.

On a real container instance it is the ECS agent's introspection port, which
ECS reserves: no task can ask for it.
"""

_HIGH_OCTETS: Final = range(64, 255)
"""127.0.x.y to 127.63.x.y stay free for people and for other programs."""
_DRAWS: Final = 64
_ALIASES: Final = range(2, 8)
"""On macOS only 127.0.0.1 exists; these are the aliases the hint adds and the pool looks for."""

_NOT_OURS: Final = {errno.EADDRNOTAVAIL, errno.EADDRINUSE}

Claim = Callable[[str], socket.socket]


class NoLoopbackAddressError(DeploymentError):
    """No further address of 127.0.0.0/8 can be had on this machine."""

    def __init__(self) -> None:
        first, last = _ALIASES[0], _ALIASES[-1]
        super().__init__(
            f"no free loopback address for another instance (looked at 127.0.0.{first} to 127.0.0.{last} too)",
            hint=f"for n in $(seq {first} {last}); do sudo ifconfig lo0 alias 127.0.0.$n; done",
        )


def claim_address(address: str) -> socket.socket:
    """Take an address by listening on its claim port; OSError says that it is taken or not of this machine."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        holder.bind((address, CLAIM_PORT))
        holder.listen(1)
    except OSError:
        holder.close()
        raise
    return holder


class AddressPool:
    """Draws addresses and holds them until they are released; used from one thread."""

    def __init__(self, claim: Claim = claim_address) -> None:
        self._claim = claim
        self._holders: dict[str, socket.socket] = {}

    def draw(self) -> str:
        """
        Give an address nobody holds.

        Raises:
            NoLoopbackAddressError: There is none; its hint says how to add some.
        """
        for address in _candidates():
            try:
                self._holders[address] = self._claim(address)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
            else:
                return address
        raise NoLoopbackAddressError

    def release(self, address: str) -> None:
        """Give an address back; one that is not held is left alone."""
        holder = self._holders.pop(address, None)
        if holder is not None:
            holder.close()

    def release_all(self) -> None:
        """Give every address back."""
        for address in list(self._holders):
            self.release(address)


def _candidates() -> Iterator[str]:
    for _ in range(_DRAWS):
        octets = [secrets.choice(_HIGH_OCTETS) for _ in range(3)]
        yield "127." + ".".join(str(octet) for octet in octets)
    for last in _ALIASES:
        yield f"127.0.0.{last}"
