"""The registry's answers used again: never longer than a revocation may take, and never more than there is room for."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.contract import ClientState, Metric
from service.errors import RegistryOverloadedError, RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import (
    ClientRecord,
    InMemoryClientRegistry,
    PinRecord,
    TokenRecord,
)
from service.identity.registry_cache import (
    CERTIFICATE_LOOKUPS,
    TOKEN_LOOKUPS,
    UNKNOWN_SECONDS,
    RegistryCache,
    Retention,
)

RECORD = ClientRecord(
    fingerprint=Fingerprint("ab" * 32),
    client="acme",
    subject_public_key_info=bytes(91),
    state=ClientState.ACTIVE,
    roles=("send", "receive"),
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2027, 1, 1, tzinfo=UTC),
)
REVOKED = replace(RECORD, state=ClientState.REVOKED)
OUTAGE = RegistryUnavailableError("no answer in 1.5 seconds")
DENIED = RegistryUnavailableError("AccessDeniedException", is_outage=False)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Counted:
    """Measures, as a list of what was counted."""

    def __init__(self) -> None:
        self.counted: list[Metric] = []

    def count(self, metric: Metric, **_dimensions: str) -> None:
        """Add one."""
        self.counted.append(metric)

    def observe(self, metric: Metric, value: float) -> None:
        """Add one value."""


class ScriptedRegistry(InMemoryClientRegistry):
    """
    A registry that says what a test wants, and counts how often it is asked.

    Attributes:
        says: The answer; a record is given under whatever fingerprint is asked for. An error is raised.
        holds: While it is cleared, no answer comes.
    """

    def __init__(self, says: ClientRecord | RegistryUnavailableError | None = RECORD) -> None:
        super().__init__()
        self.says = says
        self.lookups = 0
        self.holds = asyncio.Event()
        self.holds.set()

    async def find(self, fingerprint: Fingerprint) -> ClientRecord | None:
        """Answer with what was true when the question came."""
        self.lookups += 1
        says = self.says
        await self.holds.wait()
        if isinstance(says, RegistryUnavailableError):
            raise says
        return None if says is None else replace(says, fingerprint=fingerprint)


class Stage:
    """A cache in front of a scripted registry."""

    def __init__(self, *, revocation: float = 5, stale: float = 0, entries: int = 100) -> None:
        self.clock = Clock()
        self.metrics = Counted()
        self.registry = ScriptedRegistry()
        retention = Retention(revocation, stale, entries=entries)
        self.cache = RegistryCache(self.registry, retention, metrics=self.metrics, clock=self.clock)

    async def state(self, fingerprint: Fingerprint = RECORD.fingerprint) -> str | None:
        """Say how a request would be decided at this moment."""
        try:
            record = await self.cache.find(fingerprint)
        except RegistryUnavailableError as error:
            return f"unavailable: {error.cause}"
        return None if record is None else record.state.value

    async def states(self, count: int) -> list[str | None]:
        """Decide so many requests at once."""
        return list(await asyncio.gather(*(self.state() for _ in range(count))))


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine."""

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await test

    asyncio.run(bounded())


def fingerprint(number: int) -> Fingerprint:
    """Make the fingerprint of one certificate among many."""
    return Fingerprint(f"{number:064x}")


# -- age -----------------------------------------------------------------------


def test_an_answer_is_used_again_within_its_age() -> None:
    async def test() -> None:
        stage = Stage(revocation=5)
        for _ in range(10):
            assert await stage.state() == "active"
            stage.clock.now += 0.49

        assert stage.registry.lookups == 1

    run(test())


def test_a_revocation_bites_within_its_time() -> None:
    async def test() -> None:
        stage = Stage(revocation=5)
        await stage.state()
        stage.registry.says = REVOKED

        stage.clock.now += 5

        assert await stage.state() == "revoked"

    run(test())


def test_the_age_counts_from_when_the_read_began() -> None:
    """A slow answer was true when it was read, not when it came."""

    async def test() -> None:
        stage = Stage(revocation=5)
        stage.registry.holds.clear()
        reading = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        stage.clock.now += 4.9
        stage.registry.says = REVOKED
        stage.registry.holds.set()
        assert await reading == "active"

        stage.clock.now += 0.1

        assert await stage.state() == "revoked"

    run(test())


def test_a_request_waits_for_no_read_that_is_too_old_for_it() -> None:
    async def test() -> None:
        stage = Stage(revocation=1)
        stage.registry.holds.clear()
        first = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        stage.registry.says = REVOKED
        stage.clock.now += 1

        second = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        stage.registry.holds.set()

        assert (await first, await second) == ("active", "revoked")

    run(test())


def test_with_no_time_at_all_every_request_has_a_read_of_its_own() -> None:
    async def test() -> None:
        stage = Stage(revocation=0)

        assert await stage.states(5) == ["active"] * 5
        assert stage.registry.lookups == 5

    run(test())


def test_reads_that_land_in_another_order_leave_the_latest() -> None:
    async def test() -> None:
        stage = Stage(revocation=0, stale=60)
        stage.registry.holds.clear()
        early = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        held, stage.registry.holds = stage.registry.holds, asyncio.Event()
        stage.registry.holds.set()
        stage.clock.now += 1
        stage.registry.says = REVOKED
        assert await stage.state() == "revoked"
        held.set()
        await early

        stage.registry.says = OUTAGE

        assert await stage.state() == "revoked"

    run(test())


class Story:
    """
    What happened to one client, and how its requests were decided.

    Attributes:
        asked: For each request, how long ago the client had been revoked when it came, and its decision.
    """

    def __init__(self, revocation: float) -> None:
        self.stage = Stage(revocation=revocation)
        self.asked: list[tuple[float, asyncio.Task[str | None]]] = []
        self._revoked_since: float | None = None
        self._steps = {
            "ask": self._ask,
            "revoke": self._revoke,
            "restore": self._restore,
            "fail": self._fail,
            "hold": self.stage.registry.holds.clear,
            "release": self.stage.registry.holds.set,
        }

    async def tell(self, step: str | float) -> None:
        """Let something happen, or some seconds pass."""
        if isinstance(step, str):
            self._steps[step]()
        else:
            self.stage.clock.now += step
        for _ in range(5):
            await asyncio.sleep(0)

    def _ask(self) -> None:
        age = 0 if self._revoked_since is None else self.stage.clock.now - self._revoked_since
        self.asked.append((age, asyncio.create_task(self.stage.state())))

    def _revoke(self) -> None:
        self.stage.registry.says = REVOKED
        self._revoked_since = self._revoked_since or self.stage.clock.now

    def _restore(self) -> None:
        self.stage.registry.says, self._revoked_since = RECORD, None

    def _fail(self) -> None:
        self.stage.registry.says = OUTAGE


STEPS = st.lists(
    st.one_of(st.sampled_from(["ask", "ask", "revoke", "restore", "fail", "hold", "release"]), st.floats(0.1, 3)),
    max_size=40,
)


@example(steps=["hold", "ask", 0.5, "revoke", 0.4, "release", 0.7, "ask"], revocation=1)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS, revocation=st.sampled_from([0.5, 1, 5]))
def test_whatever_happens_nobody_is_answered_who_was_revoked_longer_ago(
    steps: list[str | float], revocation: float
) -> None:
    """Reads that hang, fail and overlap: no request is decided by a state that had ended too long before it came."""

    async def test() -> None:
        story = Story(revocation)
        for step in [*steps, "release"]:
            await story.tell(step)

        for age, decided in story.asked:
            assert age < revocation or await decided != "active"

    run(test())


# -- one read for many -----------------------------------------------------------


def test_a_thousand_requests_of_one_certificate_are_one_lookup() -> None:
    async def test() -> None:
        stage = Stage()

        assert await stage.states(1000) == ["active"] * 1000
        assert stage.registry.lookups == 1

    run(test())


def test_one_failure_is_told_to_all_who_wait_and_counted_once() -> None:
    async def test() -> None:
        stage = Stage()
        stage.registry.says = OUTAGE

        assert await stage.states(100) == ["unavailable: no answer in 1.5 seconds"] * 100
        assert stage.metrics.counted == [Metric.REGISTRY_ERRORS]

    run(test())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def test() -> None:
        stage = Stage()
        stage.registry.holds.clear()
        impatient, patient = (asyncio.create_task(stage.state()) for _ in range(2))
        await asyncio.sleep(0.01)

        impatient.cancel()
        await asyncio.sleep(0.01)
        stage.registry.holds.set()

        assert await patient == "active"
        assert impatient.cancelled()
        assert stage.registry.lookups == 1

    run(test())


def test_a_read_nobody_waits_for_any_more_is_still_of_use() -> None:
    async def test() -> None:
        stage = Stage()
        stage.registry.holds.clear()
        impatient = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        impatient.cancel()
        stage.registry.holds.set()
        await asyncio.sleep(0.01)

        assert await stage.state() == "active"
        assert stage.registry.lookups == 1

    run(test())


def test_nothing_is_left_behind_when_reads_fail(caplog: pytest.LogCaptureFixture) -> None:
    """No task that nobody awaits, and no error that nobody saw."""

    async def test() -> None:
        stage = Stage()
        stage.registry.says = OUTAGE
        stage.registry.holds.clear()
        impatient = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        impatient.cancel()
        stage.registry.holds.set()
        await asyncio.sleep(0.01)

        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test())
    assert not caplog.records


# -- what is not enrolled ----------------------------------------------------------


def test_a_stranger_is_looked_up_once_for_a_while() -> None:
    async def test() -> None:
        stage = Stage()
        stage.registry.says = None

        assert [await stage.state() for _ in range(5)] == [None] * 5
        assert stage.registry.lookups == 1

    run(test())


def test_who_was_just_enrolled_is_soon_seen() -> None:
    async def test() -> None:
        stage = Stage(revocation=300)
        stage.registry.says = None
        await stage.state()
        stage.registry.says = RECORD

        stage.clock.now += UNKNOWN_SECONDS

        assert await stage.state() == "active"

    run(test())


def test_who_was_deleted_is_nobody() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = None
        stage.clock.now += 5
        assert await stage.state() is None

        stage.registry.says = OUTAGE
        stage.clock.now += 5

        assert await stage.state() == "unavailable: no answer in 1.5 seconds"

    run(test())


# -- room ----------------------------------------------------------------------------


def test_strangers_push_out_no_client() -> None:
    """An attack: a stranger shows a new certificate with every connection."""

    async def test() -> None:
        stage = Stage(entries=8)
        for number in range(6):
            await stage.state(fingerprint(number))
        stage.registry.says = None
        for number in range(100, 1_100):
            await stage.state(fingerprint(number))
        asked = stage.registry.lookups

        assert [await stage.state(fingerprint(number)) for number in range(6)] == ["active"] * 6
        assert stage.registry.lookups == asked

    run(test())


def test_clients_push_out_the_one_that_was_read_longest_ago() -> None:
    async def test() -> None:
        stage = Stage(entries=4)
        for number in range(4):
            await stage.state(fingerprint(number))
        assert stage.registry.lookups == 4

        for number in (1, 2, 3):
            await stage.state(fingerprint(number))
        assert stage.registry.lookups == 4
        await stage.state(fingerprint(0))

        assert stage.registry.lookups == 5

    run(test())


@pytest.mark.parametrize("entries", [1, 2, 3])
def test_a_cache_of_next_to_nothing_still_answers(entries: int) -> None:
    async def test() -> None:
        stage = Stage(entries=entries)
        for says, state in ((RECORD, "active"), (None, None)) * 2:
            stage.registry.says = says
            stage.clock.now += 10
            assert await stage.state() == state

    run(test())


def test_it_stays_under_its_stated_bound() -> None:
    """1.5 KiB for what is enrolled, 0.5 KiB for what is not, and 10,000 entries in 13 MiB."""
    stage = Stage(entries=400)

    async def fill() -> None:
        for number in range(800):
            key = number.to_bytes(294, "big")  # RSA 2048
            roles = (f"role-{number}", f"part-{number}")
            stage.registry.says = replace(
                RECORD, client=f"client {number}", subject_public_key_info=key, roles=roles, not_after=datetime.now(UTC)
            )
            await stage.state(fingerprint(number))
            stage.registry.says = None
            await stage.state(fingerprint(10_000 + number))

    tracemalloc.start()
    try:
        run(fill())
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 300 * 1.5 * 1024 + 100 * 0.5 * 1024


# -- while the registry is away ------------------------------------------------------


def test_without_a_stale_window_an_outage_refuses_at_once() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=0)
        await stage.state()
        stage.registry.says = OUTAGE

        stage.clock.now += 5

        assert await stage.state() == "unavailable: no answer in 1.5 seconds"

    run(test())


def test_within_the_window_the_last_answer_decides_and_says_so() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = OUTAGE

        stage.clock.now += 64.9
        found = await stage.cache.find(RECORD.fingerprint)

        assert found is not None
        assert found.cause == "no answer in 1.5 seconds; decided by what the registry said 65 s ago"

    run(test())


def test_after_the_window_an_outage_refuses() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = OUTAGE
        stage.clock.now += 30
        assert await stage.state() == "active"

        stage.clock.now += 35

        assert await stage.state() == "unavailable: no answer in 1.5 seconds"

    run(test())


@pytest.mark.parametrize(
    ("says", "state"),
    [(REVOKED, "revoked"), (None, None), (DENIED, "unavailable: AccessDeniedException")],
    ids=["revoked", "deleted", "our right was taken away"],
)
def test_the_window_is_for_outages_alone(
    says: ClientRecord | RegistryUnavailableError | None, state: str | None
) -> None:
    """A registry that answers is believed, whatever it says; somebody may have meant it so."""

    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = says

        stage.clock.now += 5

        assert await stage.state() == state

    run(test())


def test_who_was_not_enrolled_is_not_let_in_by_an_outage_nor_kept_out_by_an_old_answer() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        stage.registry.says = None
        await stage.state()
        stage.registry.says = OUTAGE

        stage.clock.now += UNKNOWN_SECONDS

        assert await stage.state() == "unavailable: no answer in 1.5 seconds"

    run(test())


def test_an_overload_of_our_own_is_no_outage() -> None:
    """An attack: a revoked one has strangers ask so much that its lookup fails, to be let in by an older answer."""

    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = RegistryOverloadedError("512 lookups are waiting already")

        stage.clock.now += 5

        assert await stage.state() == "unavailable: 512 lookups are waiting already"

    run(test())


def test_an_overload_during_an_outage_ends_nothing() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        for says in (OUTAGE, RegistryOverloadedError("512 lookups are waiting already"), OUTAGE):
            stage.registry.says = says
            stage.clock.now += 5
            assert await stage.state() == "active"
            await asyncio.sleep(0.01)

    run(test())


def test_a_crowd_of_strangers_keeps_out_no_client_that_was_here_before() -> None:
    async def test() -> None:
        stage = Stage(revocation=5)
        await stage.state()
        stage.clock.now += 5
        stage.registry.holds.clear()
        crowd = [asyncio.create_task(stage.state(fingerprint(number))) for number in range(CERTIFICATE_LOOKUPS)]
        await asyncio.sleep(0.01)

        stranger = await stage.state(fingerprint(CERTIFICATE_LOOKUPS))
        known = asyncio.create_task(stage.state())
        await asyncio.sleep(0.01)
        stage.registry.holds.set()

        assert stranger == f"unavailable: {CERTIFICATE_LOOKUPS} of this kind are being looked up"
        assert await known == "active"
        await asyncio.gather(*crowd)

    run(test())


def test_during_an_outage_nobody_waits_who_need_not() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = OUTAGE
        stage.clock.now += 5
        assert await stage.state() == "active"
        stage.registry.holds.clear()
        asked = stage.registry.lookups

        assert await asyncio.wait_for(stage.states(100), 1) == ["active"] * 100
        assert stage.registry.lookups == asked + 1
        stage.registry.holds.set()

    run(test())


def test_a_registry_that_is_back_is_believed_again() -> None:
    async def test() -> None:
        stage = Stage(revocation=5, stale=60)
        await stage.state()
        stage.registry.says = OUTAGE
        stage.clock.now += 5
        await stage.state()
        stage.registry.says = REVOKED

        await stage.state()  # Decided by the old answer; its read finds the registry back.
        await asyncio.sleep(0.01)

        assert await stage.state() == "revoked"
        assert (await stage.cache.find(RECORD.fingerprint)) == REVOKED

    run(test())


# -- kinds and cost --------------------------------------------------------------------


def test_certificates_keys_and_tokens_are_kept_apart() -> None:
    """An attack: a token whose digest is the fingerprint of somebody's certificate."""

    async def test() -> None:
        digits = RECORD.fingerprint.hex
        dates = (RECORD.not_before, RECORD.not_after)
        pin = PinRecord(digits, "pin", b"key", ClientState.ACTIVE, (), *dates)
        token = TokenRecord(digits, "token", ClientState.ACTIVE, (), (), *dates, fingerprint=None)
        twin = InMemoryClientRegistry([RECORD], pins=[pin], tokens=[token])
        cache = RegistryCache(twin, Retention(5, 0, entries=10), metrics=Counted())

        for _ in range(2):
            assert await cache.find(RECORD.fingerprint) == RECORD
            assert await cache.find_pin(digits) == pin
            assert await cache.find_token(digits) == token

    run(test())


def test_an_answer_that_is_kept_costs_microseconds() -> None:
    async def test() -> None:
        stage = Stage()
        await stage.state()
        rounds = []
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(100):
                await stage.cache.find(RECORD.fingerprint)
            rounds.append((time.perf_counter() - began) / 100)

        assert min(rounds) < 10e-6

    run(test())


class HeldTokens(InMemoryClientRegistry):
    """A registry that knows one certificate, and answers for no token before it is told to."""

    def __init__(self) -> None:
        super().__init__([RECORD])
        self.goes_on = asyncio.Event()
        self.asked: list[str] = []

    async def find_token(self, digest: str) -> TokenRecord | None:
        """Wait."""
        self.asked.append(digest)
        await self.goes_on.wait()
        return None


def test_made_up_tokens_do_not_take_the_place_of_certificates() -> None:
    """They cost a peer a few bytes each; a certificate costs it a handshake."""

    async def walk() -> None:
        registry = HeldTokens()
        cache = RegistryCache(registry, Retention(5, 0, entries=100), metrics=Counted())
        digests = [f"{number:064x}" for number in range(TOKEN_LOOKUPS)]
        waiting = [asyncio.create_task(cache.find_token(digest)) for digest in (*digests, digests[0])]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        with pytest.raises(RegistryUnavailableError, match="8 of this kind are being looked up"):
            await cache.find_token("f" * 64)
        found = await cache.find(RECORD.fingerprint)

        registry.goes_on.set()
        assert await asyncio.gather(*waiting) == [None] * (TOKEN_LOOKUPS + 1)
        assert (found, registry.asked) == (RECORD, digests)
        assert await cache.find_token("f" * 64) is None

    asyncio.run(walk())
