"""Connections are counted over all workers, in all and by source, in memory of a fixed size."""

from __future__ import annotations

import multiprocessing

from hypothesis import given, settings
from hypothesis import strategies as st

from service.connection.limits import COUNTERS, Admissions, Crowding, SharedCounters
from service.settings import Limits

PARTNER = "192.0.2.7"


def admissions(counters: SharedCounters, *, worker: int = 0, in_all: int = 100, per_source: int = 3) -> Admissions:
    """Make one worker's side."""
    limits = Limits(connections=in_all, connections_per_source=per_source)
    return Admissions(counters, limits, worker=worker)


def fill(ours: Admissions, address: str, count: int) -> list[tuple[int, ...]]:
    """Let so many in from one address."""
    entered = []
    for _ in range(count):
        assert ours.enter() is None
        counted = ours.enter_from(address)
        assert not isinstance(counted, Crowding)
        entered.append(counted)
    return entered


def test_the_workers_of_a_task_count_together() -> None:
    counters = SharedCounters(2)
    one, other = (admissions(counters, worker=number, in_all=4, per_source=9) for number in (0, 1))
    fill(one, PARTNER, 2)
    fill(other, PARTNER, 2)

    assert (one.enter(), other.enter()) == (Crowding.IN_ALL, Crowding.IN_ALL)


def test_one_source_cannot_take_all() -> None:
    ours = admissions(SharedCounters(1))
    fill(ours, PARTNER, 3)

    assert ours.enter() is None
    assert ours.enter_from(PARTNER) is Crowding.FROM_SOURCE
    assert not isinstance(ours.enter_from("192.0.2.8"), Crowding)


def test_who_leaves_makes_room() -> None:
    ours = admissions(SharedCounters(1), in_all=3)
    entered = fill(ours, PARTNER, 3)
    assert ours.enter() is Crowding.IN_ALL

    ours.leave(entered.pop())

    assert ours.enter() is None
    assert not isinstance(ours.enter_from(PARTNER), Crowding)


def test_one_that_left_before_its_source_was_known_takes_nothing_from_it() -> None:
    ours = admissions(SharedCounters(1))
    fill(ours, PARTNER, 3)
    ours.enter()

    ours.leave(())

    assert ours.enter_from(PARTNER) is Crowding.FROM_SOURCE


def test_a_heavy_one_counts_for_several_until_it_leaves() -> None:
    ours = admissions(SharedCounters(1), in_all=9, per_source=4)
    (heavy,) = fill(ours, PARTNER, 1)

    assert ours.weigh(heavy, 4) is Crowding.FROM_SOURCE
    assert ours.weigh(heavy, 3) is None
    assert ours.enter_from(PARTNER) is Crowding.FROM_SOURCE

    ours.leave(heavy, weight=4)

    fill(ours, PARTNER, 4)


def test_heavy_ones_of_many_sources_meet_the_bound_in_all() -> None:
    ours = admissions(SharedCounters(1), in_all=5, per_source=4)
    heavy, other = fill(ours, PARTNER, 1) + fill(ours, "192.0.2.8", 1)

    assert ours.weigh(heavy, 3) is None
    assert ours.weigh(other, 1) is Crowding.IN_ALL


def test_an_ipv6_site_is_one_source() -> None:
    """Whoever has a /64 has 18 trillion addresses."""
    ours = admissions(SharedCounters(1))
    for host in ("1", "2", "ffff:ffff:ffff:ffff"):
        fill(ours, f"2001:db8:0:7::{host}" if host != "ffff:ffff:ffff:ffff" else f"2001:db8:0:7:{host}", 1)

    assert ours.enter_from("2001:db8:0:7:1:2:3:4") is Crowding.FROM_SOURCE
    assert not isinstance(ours.enter_from("2001:db8:0:8::1"), Crowding)


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_source() -> None:
    ours = admissions(SharedCounters(1))
    fill(ours, PARTNER, 3)

    assert ours.enter_from("::ffff:192.0.2.7") is Crowding.FROM_SOURCE


def test_a_dead_worker_s_connections_are_forgotten() -> None:
    counters = SharedCounters(2)
    dead, alive = (admissions(counters, worker=number, in_all=4) for number in (0, 1))
    fill(dead, PARTNER, 2)
    fill(alive, PARTNER, 1)

    counters.clear(0)

    assert not isinstance(fill(alive, PARTNER, 2), Crowding)
    assert alive.enter_from(PARTNER) is Crowding.FROM_SOURCE


def test_a_forked_worker_s_counts_are_seen_in_its_siblings() -> None:
    counters = SharedCounters(2)
    child = multiprocessing.get_context("fork").Process(target=lambda: fill(admissions(counters, worker=1), PARTNER, 3))
    child.start()
    child.join(10)

    assert child.exitcode == 0
    assert admissions(counters).enter_from(PARTNER) is Crowding.FROM_SOURCE


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_the_count_is_exact_when_all_have_come_and_gone(steps: list[tuple[int, bool]]) -> None:
    """In any order: nobody is let in above the bound, and nobody refused below it."""
    ours = admissions(SharedCounters(1), per_source=3)
    inside: dict[int, list[tuple[int, ...]]] = {number: [] for number in range(6)}
    for number, is_leaving in steps:
        if is_leaving:
            if inside[number]:
                ours.leave(inside[number].pop())
            continue
        ours.enter()
        counted = ours.enter_from(f"198.51.100.{number}")
        if isinstance(counted, Crowding):
            ours.leave(())
            assert len(inside[number]) >= 3
        else:
            inside[number].append(counted)
            assert len(inside[number]) <= 3


def test_many_sources_take_no_more_memory_and_hardly_disturb_each_other() -> None:
    """8,000 connections of as many addresses: even a bound of 16 for each is met by none of them."""
    ours = admissions(SharedCounters(1), in_all=10_000, per_source=16)

    counted = [ours.enter_from(f"10.{number >> 8}.{number & 255}.1") for number in range(8000)]

    assert Crowding.FROM_SOURCE not in counted
    assert COUNTERS * 4 == 32 * 1024


def test_nobody_can_tell_which_addresses_share_a_counter() -> None:
    """The key is random: what collides in one boot does not in the next."""
    counters = [SharedCounters(1).of_source(PARTNER) for _ in range(20)]

    assert len(set(counters)) > 1
