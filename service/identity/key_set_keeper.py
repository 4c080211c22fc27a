"""
Keeps an issuer's key set fresh, beside the answering and never in its way.

Fetched when a worker begins and every so often from then on. A set that
cannot be fetched or read leaves the last good one in force, and is audited
and counted. A token that names an unknown key asks for one fetch before its
time, for issuers that sign with a new key the moment they publish it; no peer
can make us ask more often than that.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from service.audit import AuditLog, Event
from service.contract import KEY_SET_PREFIX, Metric
from service.errors import KeySetUnavailableError, ObjectRefusedError, ServiceError
from service.identity.key_set import MAX_KEY_SET_BYTES, KeySet, parse_key_set
from service.metrics import Measures

FETCH_SECONDS: Final = 10.0
"""For one fetch from its first byte to its last."""
RETRY_SECONDS: Final = 5.0
"""After a fetch that failed, and between two that unknown keys ask for."""
WAIT_SECONDS: Final = 1.5
"""A request waits so long for a fetch that may help it: within the time a peer has its 503 when the registry hangs."""


class KeySource(Protocol):
    """
    Where a key set comes from.

    Attributes:
        place: For the audit.
    """

    place: str

    async def fetch(self) -> bytes:
        """
        Fetch it, at most a little more than `MAX_KEY_SET_BYTES`; nothing here may block the event loop.

        Raises:
            ServiceError: It is not to be had.
        """


class ObjectReader(Protocol):
    """What is needed of the certificate store."""

    def read(self, key: str, *, version: str | None = None) -> bytes:
        """Read one object; blocks."""


class ObjectKeySource:
    """An object of the certificate bucket; read in a thread of its own, started by the first read."""

    def __init__(self, store: ObjectReader, key: str) -> None:
        self.place = key
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="key-set")

    async def fetch(self) -> bytes:
        """Read the object."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._store.read, self.place)
        except ObjectRefusedError as error:
            cause = f"{error.code}: either no key set is installed yet (`certificates.py install-key-set`), "
            raise KeySetUnavailableError(place=self.place, cause=cause + "or the task role may not read it") from error


class UrlKeySource:
    """An address of the issuer's; redirects are not followed, for they would move our trust elsewhere."""

    def __init__(self, url: str) -> None:
        self.place = url

    async def fetch(self) -> bytes:
        """Get the document over a connection of its own."""
        import httpcore2  # noqa: PLC0415 -- 0.1 s of every boot, and only who has a URL needs it

        try:
            async with (
                httpcore2.AsyncConnectionPool() as pool,
                pool.stream("GET", self.place, headers={"accept": "application/json"}) as response,
            ):
                if response.status != 200:  # noqa: PLR2004 -- what HTTP calls OK
                    raise KeySetUnavailableError(place=self.place, cause=f"status {response.status}")
                data = b""
                async for chunk in response.aiter_stream():
                    data += chunk
                    if len(data) > MAX_KEY_SET_BYTES:
                        break  # Whoever reads it says that it is too long.
                return data
        except (
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.TimeoutException,
            httpcore2.UnsupportedProtocol,
            OSError,
            ValueError,
            OverflowError,
        ) as error:
            raise KeySetUnavailableError(place=self.place, cause=type(error).__name__) from error


class KeySetKeeper:
    """
    The key set in force.

    Args:
        source: Where it comes from.
        seconds: From one fetch to the next.
        wait_seconds: How long a request waits for a fetch that may help it.

    Attributes:
        current: The last good set; None as long as there has been none.
        fault: Why the last fetch failed; None when it did not, and before the first.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        seconds: float,
        audit: AuditLog,
        metrics: Measures,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._audit = audit
        self._metrics = metrics
        self._asked = asyncio.Event()
        self._fetched = asyncio.Event()
        self._last_begun = float("-inf")
        self._data = b""
        self.current: KeySet | None = None
        self.fault: str | None = None

    async def keep(self) -> None:
        """Fetch now, then every so often or when asked; ends by being cancelled."""
        while True:
            self._last_begun = asyncio.get_running_loop().time()
            await self._fetch()
            self._fetched.set()
            self._fetched = asyncio.Event()
            self._asked.clear()
            wait = self._seconds if self.fault is None else min(self._seconds, RETRY_SECONDS)
            try:
                async with asyncio.timeout(wait):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def first(self) -> KeySet | None:
        """Give the set in force, waiting a moment for the first fetch ever; None when there is none yet."""
        if self.current is None and self.fault is None:
            await self._next_fetch()
        return self.current

    async def newer(self, than: KeySet) -> KeySet | None:
        """Give a newer set than this one, fetching it if one may be asked for already; None when there is none."""
        since = asyncio.get_running_loop().time() - self._last_begun
        if self.current is than and since >= min(self._seconds, RETRY_SECONDS):
            self._asked.set()
            await self._next_fetch()
        return None if self.current is than else self.current

    async def _next_fetch(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._fetched.wait()
        except TimeoutError:
            return

    async def _fetch(self) -> None:
        place = self._source.place
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                data = await self._source.fetch()
            keys = parse_key_set(data)
        except ServiceError as error:
            self._note_fault(str(error))
            return
        except TimeoutError:
            self._note_fault(f"no key set from {place} in {FETCH_SECONDS:.0f} seconds")
            return
        except Exception as error:  # noqa: BLE001 -- the edge of what runs beside: ending unseen, it would never fetch again
            self._note_fault(f"no key set from {place}: {type(error).__name__}")
            return
        self.fault = None
        if data != self._data:
            self.current, self._data = keys, data
            names = tuple(key.key_id or "without a name" for key in keys.keys)
            self._audit.record(Event.KEY_SET_TAKEN, place=place, keys=names)

    def _note_fault(self, cause: str) -> None:
        self.fault = cause
        self._audit.record(Event.KEY_SET_FAILED, place=self._source.place, cause=cause)
        self._metrics.count(Metric.KEY_SET_FAILURES)


def key_source(key_set: str, store: ObjectReader) -> KeySource:
    """Choose by what the setting looks like."""
    return ObjectKeySource(store, key_set) if key_set.startswith(KEY_SET_PREFIX) else UrlKeySource(key_set)
