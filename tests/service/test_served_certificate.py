"""Another pair takes the place of the one that is served, or it does not, and then the old one serves on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from service.audit import AuditLog
from service.boot.certificate_store import InMemoryCertificateStore
from service.boot.served_certificate import PairSource, ServedCertificate
from service.boot.server_identity import Manifest
from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY, Metric
from service.errors import ObjectRefusedError, StoreUnreachableError
from tests.certificates import HOST_NAME, NOW, YESTERDAY, Authority, Identity

AUTHORITY = Authority()


class Stage:
    """A bucket, a service that serves a pair of it, and what it said."""

    def __init__(self) -> None:
        self.objects: dict[str | tuple[str, str], bytes] = {}
        self.store: Any = InMemoryCertificateStore(self.objects)
        self.lines: list[dict[str, Any]] = []
        self.counted: Counter[Metric] = Counter()
        self.reloaded = asyncio.Semaphore(0)
        self.now = NOW

    def install(self, pair: Identity, *, key_pem: bytes | None = None, version: str = "1") -> Identity:
        """Put a pair in force, as the ceremony does."""
        manifest = Manifest(HOST_NAME, pair.chain_pem.decode(), version, version, pair.pin, NOW)
        self.objects[CHAIN_KEY, version] = pair.chain_pem
        self.objects[PRIVATE_KEY_KEY, version] = key_pem or pair.key_pem
        self.objects[MANIFEST_KEY] = manifest.render()
        return pair

    def source(self) -> PairSource:
        """Give where pairs come from; what OpenSSL was told is not this page's business."""
        return PairSource(self, "bucket", HOST_NAME, clock=lambda: self.now, check=lambda _context, _identity: None)

    def boot(self) -> ServedCertificate:
        """Serve the pair in force."""
        audit = AuditLog(self, environment="test", clock=self.now.timestamp)
        return ServedCertificate(self.source(), self.source().load(), audit=audit, metrics=self)

    def read(self, key: str, *, version: str | None = None) -> bytes:
        """Be the store, so that a test may put another in its place."""
        found: bytes = self.store.read(key, version=version)
        return found

    def close(self) -> None:
        """Be the store."""

    def count(self, metric: Metric) -> None:
        """Be the metrics."""
        self.counted[metric] += 1

    def write(self, line: str) -> int:
        """Be standard output."""
        self.lines.append(json.loads(line))
        self.reloaded.release()
        return 0

    def finish(self, _seconds: float) -> int:
        """Be standard output."""
        return 0

    def events(self) -> list[str]:
        """Give the events, in order."""
        return [line["event"] for line in self.lines]


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.install(AUTHORITY.server())
    return made


def fingerprint(served: ServedCertificate) -> str:
    """Say which leaf is served."""
    return served.pair.identity.leaf.fingerprint.hex


def look(served: ServedCertificate, times: int = 1, **options: float) -> None:
    """Look whether another pair is in force."""

    async def all_times() -> None:
        for _ in range(times):
            await served.look(**options)

    asyncio.run(all_times())


def test_another_pair_is_served_from_the_next_look_on(stage: Stage) -> None:
    served = stage.boot()
    before, context = fingerprint(served), served.pair.context
    renewed = stage.install(AUTHORITY.server(), version="2")

    look(served)

    assert fingerprint(served) == renewed.fingerprint
    assert served.pair.context is not context
    (line,) = stage.lines
    assert (line["event"], line["certificate"], line["replaced"]) == (
        "certificate_reloaded",
        renewed.fingerprint,
        before,
    )


def test_the_same_pair_is_left_alone(stage: Stage) -> None:
    served = stage.boot()
    context = served.pair.context

    look(served, times=3)

    assert served.pair.context is context
    assert stage.lines == []
    assert not stage.counted


def spoil_key(stage: Stage) -> None:
    stage.install(AUTHORITY.server(), key_pem=AUTHORITY.server().key_pem, version="2")


def expire(stage: Stage) -> None:
    stage.install(AUTHORITY.server(not_after=YESTERDAY), version="2")


def spoil_manifest(stage: Stage) -> None:
    stage.objects[MANIFEST_KEY] = b"{}"


def remove_manifest(stage: Stage) -> None:
    del stage.objects[MANIFEST_KEY]


def remove_chain(stage: Stage) -> None:
    stage.install(AUTHORITY.server(), version="2")
    del stage.objects[CHAIN_KEY, "2"]


class Failing:
    """A store that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, _key: str, *, version: str | None = None) -> bytes:  # noqa: ARG002 -- the protocol's
        """Raise."""
        raise self._error


def cut_off(stage: Stage) -> None:
    stage.store = Failing(StoreUnreachableError(bucket="bucket", tried="7 attempts", cause="ConnectTimeoutError"))


def surprise(stage: Stage) -> None:
    stage.store = Failing(RuntimeError("nobody thought of it"))


BREAKS: dict[str, tuple[Callable[[Stage], None], str]] = {
    "another key": (spoil_key, "the private key does not match the leaf"),
    "expired": (expire, "expired at "),
    "no manifest": (spoil_manifest, "the server certificate's manifest is not usable"),
    "manifest gone": (remove_manifest, "the certificate store refuses s3://in-memory/manifest/server.json"),
    "chain gone": (remove_chain, "the certificate store refuses s3://in-memory/server/chain.pem (version 2)"),
    "unreachable": (cut_off, "the certificate store bucket cannot be reached (7 attempts): ConnectTimeoutError"),
    "unforeseen": (surprise, "RuntimeError: nobody thought of it"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_what_breaks_leaves_the_old_pair_serving(stage: Stage, kind: str) -> None:
    """Said once, with the reason; counted each time, so that the alarm stays up."""
    breaks, cause = BREAKS[kind]
    served = stage.boot()
    pair = served.pair
    breaks(stage)

    look(served, times=3)

    assert served.pair is pair
    (line,) = stage.lines
    assert line["event"] == "certificate_reload_failed"
    assert cause in line["cause"]
    assert line["certificate"] == fingerprint(served)
    assert stage.counted == {Metric.RELOAD_FAILURES: 3}


def test_another_fault_is_news_and_so_is_the_same_one_after_a_good_look(stage: Stage) -> None:
    served = stage.boot()
    whole = dict(stage.objects)

    for breaks in (remove_manifest, spoil_manifest, None, spoil_manifest):
        stage.objects.clear()
        stage.objects.update(whole)
        if breaks is not None:
            breaks(stage)
        look(served)

    assert stage.events() == ["certificate_reload_failed"] * 3


def test_a_pair_that_expired_serves_on(stage: Stage) -> None:
    served = stage.boot()
    pair = served.pair
    stage.now = pair.identity.not_after + timedelta(days=1)

    look(served)

    assert served.pair is pair
    assert stage.lines == []


class Hanging:
    """A store that answers when it is let go."""

    def __init__(self, objects: dict[str | tuple[str, str], bytes]) -> None:
        self.release = threading.Event()
        self.reads = 0
        self._within = InMemoryCertificateStore(objects)

    def read(self, key: str, *, version: str | None = None) -> bytes:
        """Wait, then answer."""
        self.reads += 1
        self.release.wait(10)
        return self._within.read(key, version=version)


@pytest.fixture
def hanging(stage: Stage) -> Iterator[Hanging]:
    store = Hanging(stage.objects)
    yield store
    store.release.set()


def test_a_store_that_hangs_is_waited_for_once_and_by_one_thread(stage: Stage, hanging: Hanging) -> None:
    served = stage.boot()
    stage.store = hanging

    look(served, times=3, load_seconds=0.02)

    assert hanging.reads == 1
    assert stage.events() == ["certificate_reload_failed"]
    assert stage.lines[0]["cause"] == ("the certificate store bucket cannot be reached (0.02 seconds): no whole answer")
    assert stage.counted == {Metric.RELOAD_FAILURES: 3}


def test_what_a_store_that_hung_answers_in_the_end_is_taken(stage: Stage, hanging: Hanging) -> None:
    served = stage.boot()
    renewed = stage.install(AUTHORITY.server(), version="2")
    stage.store = hanging
    look(served, load_seconds=0.02)

    hanging.release.set()
    look(served)

    assert fingerprint(served) == renewed.fingerprint


def test_following_looks_at_once_and_again(stage: Stage) -> None:
    """At once: a worker that replaces a dead one was forked with the pair of the boot."""
    served = stage.boot()
    first = stage.install(AUTHORITY.server(), version="2")

    async def run() -> None:
        following = asyncio.create_task(served.follow(0.01))
        await asyncio.wait_for(stage.reloaded.acquire(), 5)
        assert fingerprint(served) == first.fingerprint
        second = stage.install(AUTHORITY.server(), version="3")
        await asyncio.wait_for(stage.reloaded.acquire(), 5)
        assert fingerprint(served) == second.fingerprint
        following.cancel()

    asyncio.run(run())

    assert stage.events() == ["certificate_reloaded"] * 2


def test_at_boot_a_store_that_trickles_is_given_up_after_one_deadline_for_all(stage: Stage, hanging: Hanging) -> None:
    stage.store = hanging

    with pytest.raises(StoreUnreachableError, match=r"\(0.05 seconds\): no whole answer"):
        stage.source().load(seconds=0.05)


def test_at_boot_no_thread_is_left_behind(stage: Stage) -> None:
    """Workers are forked next, and a fork beside a thread may copy a lock that nobody will open."""
    before = set(threading.enumerate())

    stage.source().load()

    assert set(threading.enumerate()) <= before


def test_at_boot_what_the_store_says_is_said(stage: Stage) -> None:
    remove_manifest(stage)

    with pytest.raises(ObjectRefusedError):
        stage.source().load()
