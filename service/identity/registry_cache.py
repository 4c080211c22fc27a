"""
The registry's answers, used again for as long as a revocation may take to bite.

One cache belongs to one worker and its event loop. One rule holds everywhere:
**a request is decided by an answer whose read began less than
`revocation_seconds` before the request came, or after it.** A read sees every
change that was acknowledged before it began, so whatever was revoked longer
ago than that is refused, on new connections and on open ones. With 0 every
request has a read of its own, and none is shared.

- What is enrolled and what is not are kept apart, each with a bound of its
  own: strangers, however many, push out no client.
- Who asks for what is being read already waits for that read, where the rule
  allows it: a thousand requests of one certificate are one lookup. A waiter
  that goes away takes nothing from the others.
- An answer past its age is used only as far as `stale_seconds` says, and only
  while the registry cannot be reached; the record then says so in `cause`.
  "Not enrolled" is never used past its age, and nothing is when the registry
  answers that we may not ask, or with a record that cannot be read. Nor when
  it is only we who ask too much: whoever was revoked could see to that.

Bound, for certificates, keys and tokens each: 1.5 KiB for an enrolled one as
they commonly are, `MAX_RECORD_BYTES` and 2 KiB for the largest that is read,
and 0.5 KiB for one that is not; the default of 10,000 entries commonly takes
13 MiB.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from service.contract import Metric
from service.errors import RegistryOverloadedError, RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import ClientRecord, ClientRegistry, PinRecord, TokenRecord
from service.metrics import Measures

UNKNOWN_SECONDS: Final = 2.0
"""At most so long "not enrolled" is believed: who was just enrolled must not wait for longer."""

TOKEN_LOOKUPS: Final = 8
"""
Tokens looked up at once, half as many as there are threads for lookups.

A made-up token costs a peer a few bytes on an open connection, where a made-up
certificate costs it a handshake: tokens must not take the place of certificates.
"""

CERTIFICATE_LOOKUPS: Final = 256
KEY_LOOKUPS: Final = 128
"""
Certificates and keys looked up at once that are not known to be enrolled.

Together with the tokens they leave a fifth of `MAX_PENDING_LOOKUPS` to those
that are: a crowd of strangers keeps out no client that was here before.
"""

_UNKNOWN_SHARE: Final = 4
"""One in so many entries may be of what is not enrolled."""

_Record = TypeVar("_Record", ClientRecord, PinRecord, TokenRecord)


@dataclass(frozen=True, slots=True)
class Retention:
    """
    How long answers are used, and how many are kept.

    Attributes:
        revocation_seconds: A revocation bites after at most this long.
        stale_seconds: How much longer answers are used while the registry cannot be reached.
        entries: Answers kept at most, of certificates, keys and tokens each.
    """

    revocation_seconds: float
    stale_seconds: float
    entries: int


class RegistryCache:
    """
    A registry in front of another one.

    Args:
        registry: Is asked.
        retention: How long its answers are used.
        metrics: Counts lookups without a usable answer.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        registry: ClientRegistry,
        retention: Retention,
        *,
        metrics: Measures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        facts = _Facts(retention, metrics, clock)
        self._certificates = _Shelf(lambda digits: registry.find(Fingerprint(digits)), facts, most=CERTIFICATE_LOOKUPS)
        self._keys = _Shelf(registry.find_pin, facts, most=KEY_LOOKUPS)
        self._tokens = _Shelf(registry.find_token, facts, most=TOKEN_LOOKUPS)

    async def find(self, fingerprint: Fingerprint) -> ClientRecord | None:
        """Look one certificate up."""
        return self._certificates.fresh(fingerprint.hex) or await self._certificates.ask(fingerprint.hex)

    async def find_pin(self, pin: str) -> PinRecord | None:
        """Look one key up."""
        return self._keys.fresh(pin) or await self._keys.ask(pin)

    async def find_token(self, digest: str) -> TokenRecord | None:
        """Look one token up."""
        return self._tokens.fresh(digest) or await self._tokens.ask(digest)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What all shelves share."""

    retention: Retention
    metrics: Measures
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Answer(Generic[_Record]):
    """What the registry said of something enrolled, and when that read began."""

    record: _Record
    began: float


@dataclass(frozen=True, slots=True)
class _Flight(Generic[_Record]):
    """A read under way; it returns what failed instead of raising it, since many may wait for it."""

    began: float
    task: asyncio.Task[_Record | RegistryUnavailableError | None]


class _Shelf(Generic[_Record]):
    """
    The answers of one kind.

    Both dictionaries are in the order of their reads, so that the first entry
    is the one to give up: what is asked for often was read lately.

    Args:
        most: Reads under way at once. Beyond it only what is known to be enrolled is read; the rest is refused.
    """

    def __init__(self, read: Callable[[str], Awaitable[_Record | None]], facts: _Facts, *, most: int) -> None:
        self._most = most
        self._read: Callable[[str], Awaitable[_Record | None]] = read
        self._metrics, self._clock = facts.metrics, facts.clock
        self._seconds = facts.retention.revocation_seconds
        self._unknown_seconds = min(self._seconds, UNKNOWN_SECONDS)
        self._stale_seconds = facts.retention.stale_seconds
        self._max_unknown = facts.retention.entries // _UNKNOWN_SHARE
        self._max_known = facts.retention.entries - self._max_unknown
        self._known: OrderedDict[str, _Answer[_Record]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._flights: dict[str, _Flight[_Record]] = {}
        self._tasks: set[asyncio.Task[_Record | RegistryUnavailableError | None]] = set()
        self._outage: str | None = None

    def fresh(self, key: str) -> _Record | None:
        """Give what is enrolled and was read lately: the path of nearly every request."""
        answer = self._known.get(key)
        if answer is not None and self._clock() - answer.began < self._seconds:
            return answer.record
        return None

    async def ask(self, key: str) -> _Record | None:
        """
        Give what is known or will be in a moment.

        Raises:
            RegistryUnavailableError: There is no usable answer, and none that may still be used.
        """
        now = self._clock()
        unknown_since = self._unknown.get(key)
        if unknown_since is not None and now - unknown_since < self._unknown_seconds:
            return None
        if self._outage is not None and (stale := self._stale(key, self._outage, now)):
            # Nobody waits for a registry that is away: somebody else's read will tell when it is back.
            if key not in self._flights:
                self._take_off(key, now)
            return stale
        flight = self._flights.get(key)
        if flight is None or now - flight.began >= self._seconds:
            if len(self._tasks) >= self._most and key not in self._known:
                raise RegistryOverloadedError(f"{len(self._tasks)} of this kind are being looked up")
            flight = self._take_off(key, now)
        landed = await asyncio.shield(flight.task)
        if not isinstance(landed, RegistryUnavailableError):
            return landed
        is_refusal = not (landed.is_outage or isinstance(landed, RegistryOverloadedError))
        if not is_refusal and self._outage is not None and (stale := self._stale(key, self._outage, now)):
            return stale
        raise landed.copy()

    def _stale(self, key: str, outage: str, now: float) -> _Record | None:
        answer = self._known.get(key)
        if answer is None or now - answer.began >= self._seconds + self._stale_seconds:
            return None
        age = round(now - answer.began)
        return replace(answer.record, cause=f"{outage}; decided by what the registry said {age} s ago")

    def _take_off(self, key: str, now: float) -> _Flight[_Record]:
        flight = _Flight(now, asyncio.get_running_loop().create_task(self._fly(key, now)))
        self._flights[key] = flight
        self._tasks.add(flight.task)
        flight.task.add_done_callback(lambda task: self._on_landed(key, task))
        return flight

    async def _fly(self, key: str, began: float) -> _Record | RegistryUnavailableError | None:
        try:
            record = await self._read(key)
        except RegistryUnavailableError as error:
            self._metrics.count(Metric.REGISTRY_ERRORS)
            if not isinstance(error, RegistryOverloadedError):
                self._outage = error.cause if error.is_outage else None
            return error.copy()
        self._outage = None
        self._keep(key, record, began)
        return record

    def _on_landed(self, key: str, task: asyncio.Task[_Record | RegistryUnavailableError | None]) -> None:
        self._tasks.discard(task)
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # Seen here, for the case that nobody waits any more.

    def _keep(self, key: str, record: _Record | None, began: float) -> None:
        """Keep an answer, unless one is there whose read began later: reads may land in another order."""
        known, unknown_since = self._known.get(key), self._unknown.get(key)
        if (known is not None and known.began > began) or (unknown_since is not None and unknown_since > began):
            return
        self._known.pop(key, None)
        self._unknown.pop(key, None)
        if record is None:
            self._unknown[key] = began
            if len(self._unknown) > self._max_unknown:
                self._unknown.popitem(last=False)
        else:
            self._known[key] = _Answer(record, began)
            if len(self._known) > self._max_known:
                self._known.popitem(last=False)
