"""Every instance has an address of its own, and two runs never meet."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from stacks.local_cloud.addresses import CLAIM_PORT, AddressPool, NoLoopbackAddressError, claim_address


@pytest.fixture
def pool() -> Iterator[AddressPool]:
    pool = AddressPool()
    yield pool
    pool.release_all()


def test_a_drawn_address_can_be_listened_on(pool: AddressPool) -> None:
    with socket.create_server((pool.draw(), 8443)) as server:
        assert server.getsockname()[0].startswith("127.")


def test_addresses_differ(pool: AddressPool) -> None:
    assert len({pool.draw() for _ in range(20)}) == 20


def test_a_drawn_address_is_refused_to_another_run(pool: AddressPool) -> None:
    address = pool.draw()

    with pytest.raises(OSError, match="in use"):
        claim_address(address)


def test_a_released_address_is_free_again(pool: AddressPool) -> None:
    address = pool.draw()

    pool.release(address)

    with claim_address(address) as holder:
        assert holder.getsockname() == (address, CLAIM_PORT)


def test_on_macos_only_the_aliases_are_had() -> None:
    """There only 127.0.0.1 exists until somebody adds an alias."""
    pool = AddressPool(claim=_only("127.0.0.3"))

    address = pool.draw()
    pool.release_all()

    assert address == "127.0.0.3"


def test_without_any_alias_one_line_says_how_to_add_them() -> None:
    with pytest.raises(NoLoopbackAddressError) as missing:
        AddressPool(claim=_only()).draw()

    assert missing.value.hint == "for n in $(seq 2 7); do sudo ifconfig lo0 alias 127.0.0.$n; done"


class _only:  # noqa: N801 - reads as the word it is
    """Claims the given addresses alone, as a machine does that has no others."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    def __call__(self, address: str) -> socket.socket:
        if address not in self._addresses:
            raise OSError(errno.EADDRNOTAVAIL, "Can't assign requested address")
        return socket.socket()
