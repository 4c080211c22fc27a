"""Clients that leave and upstreams that break, in any order: nothing leaks, and the next one is answered."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from service.contract import Variable
from tests.certificates import HOST_NAME, Identity
from tests.wire.conftest import StartService
from tests.wire.stage import WAIT_SECONDS, Service, connection
from tests.wire.upstream import OK, Channel, open_upstream

AT_ONCE = 8
FEW = 16
"""Sockets of a worker at rest: two that listen, the event loop's own, the registry's, a kept one of each asker."""


def misbehave(channel: Channel) -> None:
    """Answer, answer half, say nothing for a while, close or reset; a kept connection goes on with another."""
    luck = random.Random(id(channel))  # noqa: S311 -- a test's dice
    while True:
        asked = channel.head()
        if b"/well" in asked:
            channel.send(OK)
            continue
        match luck.randrange(6):
            case 0:
                channel.reset()
            case 1:
                return
            case 2:
                channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return
            case 3:
                time.sleep(0.05)
                channel.send(OK)
            case 4:
                channel.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
                channel.reset()
            case _:
                channel.send(OK)


def ask_and_leave(service: Service, partner: Identity, requests: int, seed: int) -> None:
    """Ask, and now and then leave at some moment without a word."""
    luck = random.Random(seed)  # noqa: S311 -- a test's dice
    for _ in range(requests):
        with suppress(OSError), connection(service, partner) as opened:
            body = b"x" * luck.choice([0, 10, 100_000])
            head = f"POST / HTTP/1.1\r\nhost: {HOST_NAME}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            method = luck.choice([head + body, head + body[: len(body) // 2], b"GET /" + head.partition(b"/")[2]])
            opened.send(method)
            if luck.random() < 0.5:
                opened.tls.settimeout(0.2)
                opened.tls.recv(1024)
            if luck.random() < 0.5:
                opened.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("requests", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_nothing_is_left_behind(start_service: StartService, partner: Identity, requests: int) -> None:
    with open_upstream() as upstream:
        upstream.behavior = misbehave
        service = start_service(**{Variable.FORWARD_TO: upstream.url})
        askers = [
            threading.Thread(target=ask_and_leave, args=(service, partner, requests, seed)) for seed in range(AT_ONCE)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(120)

        statuses = []
        for _ in range(10):
            with connection(service, partner) as opened:
                statuses.append(opened.get("/well").status)
        left = wait_for_few_connections(service)

    assert statuses == [200] * 10
    assert left <= FEW
    said = {line for line in service.errors().splitlines() if "before the end of its answer" not in line}
    assert said == set()


def wait_for_few_connections(service: Service) -> int:
    """Count the sockets of the worker, once they have become few or the time is over."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    deadline = time.monotonic() + WAIT_SECONDS
    while (left := sum(map(is_socket, Path(f"/proc/{children[0]}/fd").iterdir()))) > FEW:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return left


def is_socket(descriptor: Path) -> bool:
    """Whether a descriptor is one; it may be closed while we look."""
    with suppress(FileNotFoundError):
        return str(descriptor.readlink()).startswith("socket:")
    return False
