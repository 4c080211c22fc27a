"""How often one source may ask."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from service.endpoints.rate_limit import RateLimit, source_of


@settings(deadline=None)
@given(per_minute=st.integers(1, 60_000), at=st.floats(0, 1e7))
def test_a_source_may_ask_a_minutes_worth_at_once_and_no_more(per_minute: int, at: float) -> None:
    asked = min(per_minute, 200)
    limit = RateLimit(per_minute)
    limit._full_at["192.0.2.7"] = at + (per_minute - asked) * 60 / per_minute  # noqa: SLF001 -- the rest of the bucket

    waits = [limit.seconds_to_wait("192.0.2.7", at=at) for _ in range(asked + 1)]

    assert waits[:-1] == [0] * asked
    assert waits[-1] == max(math.ceil(60 / per_minute - 1e-6), 1)


def test_whoever_waits_as_told_is_answered() -> None:
    limit = RateLimit(2)
    assert [limit.seconds_to_wait("192.0.2.7", at=0) for _ in range(3)] == [0, 0, 30]

    assert limit.seconds_to_wait("192.0.2.7", at=30) == 0
    assert limit.seconds_to_wait("192.0.2.7", at=30) == 30


def test_a_refused_question_does_not_count() -> None:
    limit = RateLimit(1)
    limit.seconds_to_wait("192.0.2.7", at=0)

    waits = [limit.seconds_to_wait("192.0.2.7", at=at) for at in range(1, 60)]

    assert waits == [60 - at for at in range(1, 60)]
    assert limit.seconds_to_wait("192.0.2.7", at=60) == 0


def test_one_source_does_not_take_from_another() -> None:
    limit = RateLimit(1)

    assert [limit.seconds_to_wait(f"192.0.2.{last}", at=0) for last in range(5)] == [0] * 5


def test_a_network_of_ipv6_is_one_source() -> None:
    assert source_of("2001:db8::1") == source_of("2001:db8:0:0:ffff::2") == "2001:db8::/64"
    assert source_of("2001:db8:0:1::1") != source_of("2001:db8::1")
    assert source_of("fe80::1%eth0") == "fe80::/64"


def test_an_address_of_ipv4_is_one_source_in_either_notation() -> None:
    assert source_of("::ffff:192.0.2.7") == source_of("192.0.2.7") == "192.0.2.7"


def test_many_sources_take_bounded_memory() -> None:
    limit = RateLimit(1, max_sources=100)

    for number in range(1000):
        limit.seconds_to_wait(f"10.0.{number // 256}.{number % 256}", at=0)

    assert len(limit) == 100


@given(st.text())
def test_whatever_a_source_is_called_it_is_counted(address: str) -> None:
    assert RateLimit(1).seconds_to_wait(address, at=0) == 0
