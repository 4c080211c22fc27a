"""
Enrolled certificates, keys and tokens, looked up by fingerprint, pin or digest.

The real registry is a DynamoDB table; its twin in memory passes the same
tests. botocore blocks, so lookups run in a few threads of their own and the
event loop only waits for them, never longer than its budget.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from service.aws import DYNAMODB, ClientMaker
from service.contract import PIN_KEY_PREFIX, TOKEN_KEY_PREFIX, ClientState, RegistryAttribute
from service.errors import FingerprintError, RegistryOverloadedError, RegistryUnavailableError
from service.identity.certificate import Fingerprint

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = Mapping[str, AttributeValueTypeDef]

LOOKUP_THREADS: Final = 16
"""Lookups on the wire at once, for each worker; at 5 ms each that is 3,000 a second, more than one core serves."""

MAX_PENDING_LOOKUPS: Final = 512
"""Those plus the ones that wait for a thread; at 1 ms of CPU each the last has its answer well within its budget. More
are refused at once: a longer queue would only make every answer late."""

LOOKUP_BUDGET_SECONDS: Final = 1.5
"""For one lookup with its waiting; a peer has its 503 within two seconds even when the registry hangs."""

CONNECT_TIMEOUT_SECONDS: Final = 1
READ_TIMEOUT_SECONDS: Final = 1
LOOKUP_ATTEMPTS: Final = 2
"""The first and one more: a dropped keep-alive connection is the usual fault, and one retry cures it."""

USER_AGENT: Final = "mtls-ingress"

MAX_RECORD_BYTES: Final = 8 * 1024
"""Of key and names together, which bounds what is kept of it; RSA 16384 is 2 KiB, and 32 roles are as much."""

_LISTS: Final = (RegistryAttribute.ROLES, RegistryAttribute.SCOPES)
_NAME_BYTES: Final = 57
"""What Python adds to a text, and the place in its list."""

_OVERLOADED: Final = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "ThrottlingError"}
)
"""What DynamoDB says when too much is asked of it (its developer guide, "Error handling with DynamoDB")."""

_FIRST_REDIRECTION: Final = 300
_FIRST_SERVER_ERROR: Final = 500

_BEFORE_PARSE: Final = "before-parse.dynamodb.GetItem"
_GET_ITEM_MEMBERS: Final = {"Item", "ConsumedCapacity"}

_NO_ANSWER_OF_DYNAMODB: Final = (
    ResponseParserError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)
"""What botocore's parsers raise on JSON of another shape, beside their own error."""


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """
    One enrolled certificate.

    Attributes:
        client: The client's name; several certificates may carry the same.
        subject_public_key_info: DER, kept at enrollment.
        not_before: The enrollment counts from here; aware, UTC.
        not_after: And up to here.
        cause: Why this is older than it may be; None as a rule. It goes into the verdict, for the audit.
    """

    fingerprint: Fingerprint
    client: str
    subject_public_key_info: bytes = field(repr=False)
    state: ClientState
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class PinRecord:
    """
    One enrolled key, whatever certificate it comes in; the attributes are those of a certificate's record.

    Attributes:
        pin: SHA-256 of the key (SPKI), 64 lower-case hexadecimal digits.
    """

    pin: str
    client: str
    subject_public_key_info: bytes = field(repr=False)
    state: ClientState
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """
    One opaque bearer token we issued.

    Attributes:
        digest: SHA-256 of the token, 64 lower-case hexadecimal digits; the token itself is kept nowhere.
        client: Whose it is.
        scopes: What it allows.
        not_before: It counts from here; aware, UTC.
        not_after: And up to here.
        fingerprint: The certificate it must come with; None for a token that counts with any or none.
        cause: As in a certificate's record.
    """

    digest: str
    client: str
    state: ClientState
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: Fingerprint | None
    cause: str | None = None


class ClientRegistry(Protocol):
    """
    Where enrolled certificates, keys and tokens are found, each as it stands now.

    Every method raises RegistryUnavailableError when there is no answer in
    time, or one that cannot be read.
    """

    async def find(self, fingerprint: Fingerprint) -> ClientRecord | None:
        """Look one certificate up."""

    async def find_pin(self, pin: str) -> PinRecord | None:
        """Look one key up by SHA-256 of its SPKI, in lower-case hexadecimal digits."""

    async def find_token(self, digest: str) -> TokenRecord | None:
        """Look one token up by its SHA-256, in lower-case hexadecimal digits."""


class InMemoryClientRegistry:
    """The twin for tests."""

    def __init__(
        self,
        records: Iterable[ClientRecord] = (),
        *,
        pins: Iterable[PinRecord] = (),
        tokens: Iterable[TokenRecord] = (),
    ) -> None:
        self._records = {record.fingerprint: record for record in records}
        self._pins = {record.pin: record for record in pins}
        self._tokens = {record.digest: record for record in tokens}

    async def find(self, fingerprint: Fingerprint) -> ClientRecord | None:
        """Look one certificate up."""
        return self._records.get(fingerprint)

    async def find_pin(self, pin: str) -> PinRecord | None:
        """Look one key up."""
        return self._pins.get(pin)

    async def find_token(self, digest: str) -> TokenRecord | None:
        """Look one token up."""
        return self._tokens.get(digest)


class DynamoDbClientRegistry:
    """
    The registry as deployed.

    Threads are started by the first lookup and not before, so that it may be
    made ahead of a fork.
    """

    def __init__(self, client: DynamoDBClient, table: str, *, budget_seconds: float = LOOKUP_BUDGET_SECONDS) -> None:
        client.meta.events.register(_BEFORE_PARSE, _demand_whole_answer, unique_id="mtls-whole-answer")
        self._client = client
        self._table = table
        self._budget_seconds = budget_seconds
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="client-registry")
        self._pending = 0
        self._lock = threading.Lock()

    async def find(self, fingerprint: Fingerprint) -> ClientRecord | None:
        """
        Look one certificate up with a consistent read.

        Raises:
            RegistryUnavailableError: The table gave no usable answer within the budget, or too many wait already.
        """
        item = await self._read(fingerprint.hex)
        return None if item is None else parse_record(item)

    async def find_pin(self, pin: str) -> PinRecord | None:
        """Look one key up, as `find` does."""
        item = await self._read(PIN_KEY_PREFIX + pin)
        return None if item is None else parse_pin_record(item)

    async def find_token(self, digest: str) -> TokenRecord | None:
        """Look one token up, as `find` does."""
        item = await self._read(TOKEN_KEY_PREFIX + digest)
        return None if item is None else parse_token_record(item)

    def close(self) -> None:
        """Let go of the threads; lookups that wait are given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, key: str) -> Item | None:
        if self._pending >= MAX_PENDING_LOOKUPS:
            raise RegistryOverloadedError(f"{self._pending} lookups are waiting already")
        lookup = _Lookup(key)
        with self._lock:
            self._pending += 1
        future = self._threads.submit(self._get_item, lookup)
        future.add_done_callback(self._on_done)
        try:
            # A lookup that still waits for a thread is given up with this; one that has its thread cannot be ended,
            # and stays counted until it ends by itself.
            item = await asyncio.wait_for(asyncio.wrap_future(future), self._budget_seconds)
            if item is not None and item[RegistryAttribute.FINGERPRINT]["S"] != key:
                raise RegistryUnavailableError("the record is of something else than was asked for", is_outage=False)
        except TimeoutError:
            raise self._late(lookup) from None
        except ClientError as error:
            raise _refused(error) from error
        except BotoCoreError as error:
            raise RegistryUnavailableError(type(error).__name__) from error
        except _NO_ANSWER_OF_DYNAMODB as error:
            raise RegistryUnavailableError(f"no answer of DynamoDB: {type(error).__name__}", is_outage=False) from error
        return item

    def _late(self, lookup: _Lookup) -> RegistryUnavailableError:
        """Tell a registry that does not answer from a lookup that was hardly sent: a crowd must not look like that."""
        said = f"no answer in {self._budget_seconds} seconds"
        if lookup.sent_at is None or time.monotonic() - lookup.sent_at < self._budget_seconds / 2:
            return RegistryOverloadedError(said)
        return RegistryUnavailableError(said)

    def _on_done(self, _future: Future[Item | None]) -> None:
        with self._lock:  # Called by whichever thread ended it.
            self._pending -= 1

    def _get_item(self, lookup: _Lookup) -> Item | None:
        lookup.sent_at = time.monotonic()
        answer = self._client.get_item(
            TableName=self._table,
            Key={RegistryAttribute.FINGERPRINT: {"S": lookup.key}},
            ConsistentRead=True,
        )
        return answer.get("Item")


@dataclass(slots=True)
class _Lookup:
    """One item asked for; `sent_at` is set by the thread that asks."""

    key: str
    sent_at: float | None = None


def _demand_whole_answer(
    response_dict: Mapping[str, Any],  # botocore's own: status_code, headers, body
    **_facts: object,
) -> None:
    """
    Refuse what is no answer of DynamoDB before botocore makes an empty one of it.

    botocore takes a body that is not JSON, one cut short, or nothing at all,
    for an answer without an item; to us that would say "not enrolled". An
    answer with the right checksum is whole; one without any must have its
    length and be JSON of GetItem's shape.

    Raises:
        RegistryUnavailableError: It is neither.
    """
    if response_dict["status_code"] >= _FIRST_REDIRECTION:
        return
    body, headers = response_dict["body"], response_dict["headers"]
    if str(zlib.crc32(body)) == headers.get("x-amz-crc32"):
        return
    if "x-amz-crc32" in headers or headers.get("content-length", str(len(body))) != str(len(body)):
        raise RegistryUnavailableError("the answer was damaged on its way")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise RegistryUnavailableError("the answer is not DynamoDB's") from None
    if not isinstance(document, dict) or not document.keys() <= _GET_ITEM_MEMBERS:
        raise RegistryUnavailableError("the answer is not DynamoDB's")


def _refused(error: ClientError) -> RegistryUnavailableError:
    code = str(error.response.get("Error", {}).get("Code", "refused"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _OVERLOADED:
        # No outage: whoever was revoked could have strangers ask until this comes.
        return RegistryOverloadedError(code)
    return RegistryUnavailableError(code, is_outage=status >= _FIRST_SERVER_ERROR)


def open_client_registry(table: str, *, session: ClientMaker) -> DynamoDbClientRegistry:
    """Make the registry as deployed; nothing is asked of AWS yet, except for credentials where they are not at hand."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"total_max_attempts": LOOKUP_ATTEMPTS, "mode": "standard"},
        max_pool_connections=LOOKUP_THREADS,
        tcp_keepalive=True,
        # Each of these is work that botocore would do for every lookup, a seventh of what one costs us in all: what
        # to call itself, whether our two parameters fit, and which account's endpoint to take.
        user_agent=USER_AGENT,
        parameter_validation=False,
        account_id_endpoint_mode="disabled",
    )
    client: DynamoDBClient = session.client(DYNAMODB, config=config)
    return DynamoDbClientRegistry(client, table)


def parse_record(item: Item) -> ClientRecord:
    """
    Read a certificate's item.

    Raises:
        RegistryUnavailableError: It lacks something or holds what it must not; nobody is let in on a guess.
    """
    with _readable(item):
        return ClientRecord(
            fingerprint=Fingerprint(item[RegistryAttribute.FINGERPRINT]["S"]),
            subject_public_key_info=bytes(item[RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO]["B"]),
            **_parse_enrollment(item),
        )


def parse_pin_record(item: Item) -> PinRecord:
    """
    Read a key's item.

    Raises:
        RegistryUnavailableError: As for a certificate's.
    """
    with _readable(item):
        return PinRecord(
            pin=_parse_digest(item, PIN_KEY_PREFIX),
            subject_public_key_info=bytes(item[RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO]["B"]),
            **_parse_enrollment(item),
        )


def parse_token_record(item: Item) -> TokenRecord:
    """
    Read a token's item.

    Raises:
        RegistryUnavailableError: As for a certificate's.
    """
    with _readable(item):
        bound = item.get(RegistryAttribute.BOUND_TO)
        return TokenRecord(
            digest=_parse_digest(item, TOKEN_KEY_PREFIX),
            scopes=_parse_names(item[RegistryAttribute.SCOPES]),
            **_parse_enrollment(item),
            fingerprint=None if bound is None else Fingerprint(bound["S"]),
        )


class _Enrollment(TypedDict):
    """What the records of certificates, keys and tokens have in common."""

    client: str
    state: ClientState
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def _parse_enrollment(item: Item) -> _Enrollment:
    return _Enrollment(
        client=_parse_name(item[RegistryAttribute.CLIENT]["S"]),
        state=ClientState(item[RegistryAttribute.STATE]["S"]),
        roles=_parse_names(item[RegistryAttribute.ROLES]),
        not_before=_parse_time(item[RegistryAttribute.NOT_BEFORE]["S"]),
        not_after=_parse_time(item[RegistryAttribute.NOT_AFTER]["S"]),
    )


@contextmanager
def _readable(item: Item) -> Iterator[None]:
    try:
        _demand_small(item)
        yield
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, FingerprintError) as error:
        raise RegistryUnavailableError("the record cannot be read", is_outage=False) from error


def _demand_small(item: Item) -> None:
    """Add up what is kept of an item and could be long."""
    names = [name["S"] for attribute in _LISTS if attribute in item for name in item[attribute]["L"]]
    texts = (item[RegistryAttribute.CLIENT]["S"], *names)
    key = bytes(item.get(RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO, {"B": b""})["B"])
    if len(key) + sum(map(len, texts)) + _NAME_BYTES * len(texts) > MAX_RECORD_BYTES:
        raise ValueError("a record of ours is smaller")


def _parse_digest(item: Item, prefix: str) -> str:
    prefixed = item[RegistryAttribute.FINGERPRINT]["S"]
    if not prefixed.startswith(prefix):
        raise ValueError("an item of another kind")
    return Fingerprint(prefixed.removeprefix(prefix)).hex


def _parse_names(value: AttributeValueTypeDef) -> tuple[str, ...]:
    return tuple(_parse_name(name["S"]) for name in value["L"])


def _parse_name(text: object) -> str:
    """Take a text for what it is; botocore hands on whatever stood in its place in the answer."""
    if not isinstance(text, str) or not text:
        raise ValueError("a name expected")
    return text


def _parse_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
