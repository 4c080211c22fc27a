"""Stacks go as soon as what they need is there, and a failed one stops its dependents alone."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.deployment.parallel import walk
from stacks.deployment.polling import DetachedError, WallClock
from stacks.deployment.schedule import Schedule, reverse

DIAMOND = {
    "network": frozenset[str](),
    "images": frozenset[str](),
    "ingress": frozenset({"network"}),
    "capacity": frozenset({"network"}),
    "workload": frozenset({"ingress", "capacity", "images"}),
}


def test_what_needs_nothing_goes_first_and_at_the_same_time() -> None:
    schedule = Schedule(DIAMOND)

    assert schedule.take_ready() == ["network", "images"]


def test_each_stack_is_taken_once() -> None:
    schedule = Schedule(DIAMOND)
    schedule.take_ready()

    assert schedule.take_ready() == []


def test_a_stack_goes_when_all_it_needs_is_there() -> None:
    schedule = Schedule(DIAMOND)
    schedule.take_ready()

    schedule.succeed("network")

    assert schedule.take_ready() == ["ingress", "capacity"]


def test_a_failed_stack_stops_its_dependents_and_no_others() -> None:
    schedule = Schedule(DIAMOND)
    schedule.take_ready()

    stopped = schedule.stop("images")
    schedule.succeed("network")

    assert stopped == ["workload"]
    assert schedule.take_ready() == ["ingress", "capacity"]


def test_dependents_of_dependents_are_stopped_too() -> None:
    schedule = Schedule(DIAMOND)
    schedule.take_ready()

    assert schedule.stop("network") == ["ingress", "capacity", "workload"]


def test_turned_round_what_needs_a_stack_goes_before_it() -> None:
    order: list[str] = []
    schedule = Schedule(reverse(DIAMOND))
    while ready := schedule.take_ready():
        order += ready
        for name in ready:
            schedule.succeed(name)

    assert order[0] == "workload"
    assert order.index("network") > order.index("capacity")
    assert set(order) == set(DIAMOND)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, frozenset[str]]:
    """Any graph without cycles, in dependency order."""
    count = draw(st.integers(1, 9))
    return {
        f"stack{number}": frozenset(
            f"stack{earlier}"
            for earlier in draw(st.sets(st.integers(0, number - 1)) if number else st.just(set[int]()))
        )
        for number in range(count)
    }


@given(graphs(), st.sets(st.integers(0, 8)))
def test_whatever_fails_every_stack_is_done_or_skipped_and_none_goes_before_its_needs(
    needs: dict[str, frozenset[str]], failing: set[int]
) -> None:
    done: list[str] = []
    failed = {f"stack{number}" for number in failing}
    skipped: dict[str, str] = {}

    def work(name: str) -> bool:
        assert needs[name] <= set(done)
        if name in failed:
            return False
        done.append(name)
        return True

    walk(needs, work, skip=lambda name, because: skipped.update({name: because}), clock=WallClock())

    assert set(done) | set(skipped) | (failed & needs.keys()) == set(needs)
    assert not set(done) & set(skipped)


def test_independent_stacks_run_side_by_side() -> None:
    both_there = threading.Barrier(2, timeout=5)

    def work(_name: str) -> bool:
        both_there.wait()
        return True

    walk({"a": frozenset(), "b": frozenset()}, work, skip=lambda _name, _because: None, clock=WallClock())

    assert not both_there.broken


def test_an_interrupt_wakes_every_thread_that_waits() -> None:
    clock = WallClock()
    woken: list[str] = []
    waiting = threading.Event()

    def work(name: str) -> bool:
        if name == "interrupted":
            waiting.wait(5)
            raise KeyboardInterrupt
        waiting.set()
        try:
            clock.wait(60)
        except DetachedError:
            woken.append(name)
        return False

    with pytest.raises(KeyboardInterrupt):
        walk({"a": frozenset(), "interrupted": frozenset()}, work, skip=lambda _name, _because: None, clock=clock)

    assert woken == ["a"]
