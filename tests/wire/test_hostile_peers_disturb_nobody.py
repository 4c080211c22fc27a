"""
Thousands of peers that mean harm: honest clients see no error, memory stays bounded, all of them are gone in time.

The proof plays every part at once against a service of two workers. Its small
sibling plays the same parts with few peers and short deadlines.
"""

from __future__ import annotations

import functools
import resource
import time
from collections.abc import Callable, Iterator

import pytest

from service.contract import Variable
from tests.certificates import Identity, client
from tests.wire.conftest import StartService
from tests.wire.hostile import (
    GET,
    HALF_A_HELLO,
    Crowd,
    drip,
    honest_clients,
    never_read,
    play,
    pour,
    renegotiate,
    resident_mib,
    send_mutated_records,
    show_certificate,
)
from tests.wire.stage import PROXY, Aws, Service

CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
MEBIBYTE = b"a" * 1024 * 1024
CHUNK = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"

SILENT_KIB = 40
"""For a silent connection, its TLS and its place in Python; many never get as far as TLS and take 2."""
FLOOD_MIB = 32
"""For everything that pours, in all."""
LONGEST_SECONDS = 2.0
"""For an honest request while all of them are at it; on an idle machine of two cores it was 0.1."""


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    gathered = Crowd()
    yield gathered
    gathered.close()


@pytest.fixture(autouse=True)
def open_files() -> Iterator[None]:
    """Let this process hold as many connections as the hostile ones have."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def floods(service: Service, large: Identity, *, seconds: float) -> list[Callable[[], object]]:
    """Every part that keeps on sending."""
    return [
        functools.partial(drip, service, b"GET / HTTP/1.1\r\nhost: a\r\nx: ", b"a", seconds=seconds),
        functools.partial(drip, service, CHUNKED, b"1\r\na\r\n", seconds=seconds),
        functools.partial(pour, service, b"GET / HTTP/1.1\r\nhost: a\r\nx: ", MEBIBYTE, 50),
        functools.partial(pour, service, b"GET / HTTP/1.1\r\n", b"x: a\r\n" * 10_000, 100),
        functools.partial(pour, service, CHUNKED, CHUNK, 2000),
        functools.partial(never_read, service, 2000),
        functools.partial(show_certificate, service, large),
        functools.partial(renegotiate, service),
        functools.partial(send_mutated_records, service),
    ]


def besiege(service: Service, partner: Identity, crowd: Crowd, *, each: int, deadline: int) -> tuple[float, float]:
    """
    Let all of them come at once; gives the latency of honest clients without and with them.

    Of each kind of silent peer there are `each`; `deadline` is how long the service lets any of them be.
    """
    large = client(dns_names=tuple(f"{number:050}.example" for number in range(3200)))
    assert 190_000 < len(large.der) < 260_000
    with honest_clients(service, partner) as alone:
        time.sleep(0.5)
    before = resident_mib(service)

    with honest_clients(service, partner) as met:
        for opening in (b"", PROXY[:20], PROXY, PROXY + HALF_A_HELLO):
            crowd.join(service, each, opening=opening)
        crowd.join_inside(service, each)
        crowd.join_inside(service, each // 2, saying=GET)
        threads = play(floods(service, large, seconds=deadline + 5) * 2)
        grown = resident_mib(service) - before
        crowd.wait_until_gone(deadline + 10)
        for thread in threads:
            thread.join(deadline + 10)
        grown = max(grown, resident_mib(service) - before)

    assert met.faults == []
    assert max(met.seconds) < LONGEST_SECONDS
    assert not any(thread.is_alive() for thread in threads)
    assert grown < FLOOD_MIB + 6 * each * SILENT_KIB / 1024
    return alone.median(), met.median()


def deadlines(seconds: int) -> dict[str, str]:
    """Set every deadline to the same."""
    names = (
        Variable.PROXY_HEADER_SECONDS,
        Variable.HANDSHAKE_SECONDS,
        Variable.HEAD_SECONDS,
        Variable.BODY_SECONDS,
        Variable.ANSWER_SECONDS,
        Variable.IDLE_TIMEOUT_SECONDS,
    )
    return {str(name): str(seconds) for name in names} | {
        Variable.CONNECTION_SECONDS: str(seconds * 2),
        Variable.CONNECTIONS_PER_SOURCE: "4000",
        Variable.WORKERS: "2",
    }


def test_a_few_of_every_kind(aws: Aws, start_service: StartService, crowd: Crowd) -> None:
    service = start_service(**deadlines(1))
    partner = client()
    aws.enroll(partner, "honest")

    besiege(service, partner, crowd, each=4, deadline=2)

    assert service.errors() == ""


@pytest.mark.slow
def test_two_thousand_silent_ones_and_every_flood_at_once(aws: Aws, start_service: StartService, crowd: Crowd) -> None:
    service = start_service(**deadlines(30))
    partner = client()
    aws.enroll(partner, "honest")

    alone, besieged = besiege(service, partner, crowd, each=400, deadline=60)

    assert besieged < max(20 * alone, 0.5)
    assert service.errors() == ""
