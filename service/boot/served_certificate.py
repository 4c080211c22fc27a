"""
The pair a process serves, and how another takes its place while it serves.

1. the manifest is read: is another pair in force than ours?
2. chain and key are fetched and checked, as at boot;
3. a context is built for them and shakes hands with itself;
4. only then new connections get it. Open ones keep the context they began with.

Whatever goes wrong on the way leaves the old pair serving, also one that has
expired: partners who do not look see nothing, and the others see why.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from typing import Final, Protocol, TypeVar

from OpenSSL import SSL

from service.audit import AuditLog, Event
from service.boot.certificate_store import CertificateStore, load_server_identity, read_manifest
from service.boot.self_check import check_tls
from service.boot.server_identity import Manifest, ServerIdentity
from service.boot.tls_context import build_tls_context
from service.contract import Metric
from service.errors import ServiceError, StoreUnreachableError

LOAD_SECONDS: Final = 40.0
"""
For all reads of one load together, with their retries.

A store that trickles never times out by its reads. The load balancer's health
checks begin to count 60 seconds after a task's start.
"""

SOONEST: Final = 0.8
"""Of the time between two looks; each is drawn from there to the whole, so that workers do not all ask at once."""

_Result = TypeVar("_Result")


class Measures(Protocol):
    """What is needed of the metrics."""

    def count(self, metric: Metric) -> None:
        """Add one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """
    One pair, ready to be served.

    Attributes:
        manifest: Names it; two pairs are the same exactly when their manifests are.
    """

    manifest: Manifest
    identity: ServerIdentity
    context: SSL.Context


@dataclass(frozen=True, slots=True)
class PairSource:
    """
    Where pairs come from; made before a fork, used on both sides of it.

    Attributes:
        bucket: Its name, for messages.
        check: Raises TlsSettingsError where the context of a pair is not as asked.
    """

    store: CertificateStore
    bucket: str
    host_name: str
    clock: Callable[[], datetime]
    check: Callable[[SSL.Context, ServerIdentity], None] = check_tls

    def load(self, *, seconds: float = LOAD_SECONDS) -> Pair:
        """
        Load the pair in force, at boot; leaves no thread behind, so that a fork is safe.

        Raises:
            ServiceError: What is wrong and what to do.
        """
        outcome, thread = begin_aside(self.load_if_other)
        thread.join(seconds)
        if thread.is_alive():
            raise self.too_slow(seconds)
        return _present(outcome.result())

    def load_if_other(self, than: Manifest | None = None) -> Pair | None:
        """
        Load the pair in force, or nothing where it is the one we have; blocks.

        Raises:
            ServiceError: What is wrong and what to do.
        """
        try:
            manifest = read_manifest(self.store)
            if manifest == than:
                return None
            identity = load_server_identity(self.store, manifest, host_name=self.host_name, at=self.clock())
        finally:
            self.store.close()
        context = build_tls_context(identity)
        self.check(context, identity)
        return Pair(manifest, identity, context)

    def too_slow(self, seconds: float) -> StoreUnreachableError:
        """Say that a load came to no end."""
        return StoreUnreachableError(bucket=self.bucket, tried=f"{seconds:g} seconds", cause="no whole answer")


class ServedCertificate:
    """
    What this process serves now.

    Attributes:
        pair: Replaced whole, on the event loop.
    """

    def __init__(self, source: PairSource, pair: Pair, *, audit: AuditLog, metrics: Measures) -> None:
        self.pair = pair
        self._source = source
        self._audit = audit
        self._metrics = metrics
        self._last_fault: str | None = None
        self._load: Future[Pair | None] | None = None

    async def follow(self, every_seconds: float, *, load_seconds: float = LOAD_SECONDS) -> None:
        """
        Look whether another pair is in force, now and then for ever; ends by being cancelled.

        Now, because a worker that replaces a dead one is forked with the pair that was in force at boot.
        """
        while True:
            await self.look(load_seconds=load_seconds)
            await asyncio.sleep(every_seconds * random.uniform(SOONEST, 1))  # noqa: S311 -- spreads load, hides nothing

    async def look(self, *, load_seconds: float = LOAD_SECONDS) -> None:
        """Look once; what goes wrong is counted each time, and recorded when it is news."""
        try:
            pair = await self._load_aside(load_seconds)
        except ServiceError as error:
            self._note_fault(str(error))
        except Exception as error:  # noqa: BLE001 -- the edge of a task that must go on whatever the AWS client raises
            self._note_fault(f"{type(error).__name__}: {error}")
        else:
            self._last_fault = None
            if pair is not None:
                self._take(pair)

    async def _load_aside(self, seconds: float) -> Pair | None:
        load = self._load = self._load or begin_aside(lambda: self._source.load_if_other(self.pair.manifest))[0]
        try:
            return await asyncio.wait_for(asyncio.wrap_future(load), seconds)
        except TimeoutError as error:
            raise self._source.too_slow(seconds) from error
        finally:
            # A thread that hangs cannot be ended; its load is kept, so that there is never a second one.
            if load.done():
                self._load = None

    def _take(self, pair: Pair) -> None:
        before, self.pair = self.pair, pair
        self._audit.record(
            Event.CERTIFICATE_RELOADED,
            certificate=pair.identity.leaf.fingerprint.hex,
            certificate_not_after=pair.identity.not_after.isoformat(),
            replaced=before.identity.leaf.fingerprint.hex,
        )

    def _note_fault(self, fault: str) -> None:
        self._metrics.count(Metric.RELOAD_FAILURES)
        if fault != self._last_fault:
            self._last_fault = fault
            self._audit.record(
                Event.CERTIFICATE_RELOAD_FAILED,
                cause=fault,
                certificate=self.pair.identity.leaf.fingerprint.hex,
                certificate_not_after=self.pair.identity.not_after.isoformat(),
            )


def begin_aside(call: Callable[[], _Result]) -> tuple[Future[_Result], Thread]:
    """
    Begin a blocking call in a thread of its own, which nobody has to wait for, not even the process's end.

    Not in a pool: its threads are joined before a process may end, and one that hangs would hold up the drain.
    """
    outcome: Future[_Result] = Future()
    outcome.set_running_or_notify_cancel()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 -- handed on whole to whoever asks
            outcome.set_exception(error)

    thread = Thread(target=run, name="certificate", daemon=True)
    thread.start()
    return outcome, thread


def _present(pair: Pair | None) -> Pair:
    if pair is None:  # pragma: no cover -- it is other than none
        raise RuntimeError("a load that compares with nothing gives a pair")
    return pair
