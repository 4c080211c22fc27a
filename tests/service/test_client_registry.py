"""The registry: one contract for the table and its twin, and what happens when the table fails."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import threading
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.contract import ClientState, Metric, RegistryAttribute
from service.errors import RegistryOverloadedError, RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import (
    LOOKUP_THREADS,
    MAX_PENDING_LOOKUPS,
    MAX_RECORD_BYTES,
    ClientRecord,
    ClientRegistry,
    DynamoDbClientRegistry,
    InMemoryClientRegistry,
    PinRecord,
    TokenRecord,
    open_client_registry,
    parse_pin_record,
    parse_record,
    parse_token_record,
)
from service.identity.registry_cache import RegistryCache, Retention

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

RECORD = ClientRecord(
    fingerprint=Fingerprint("ab" * 32),
    client="acme",
    subject_public_key_info=b"\x30\x59 a key",
    state=ClientState.ACTIVE,
    roles=("send", "receive"),
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2027, 1, 1, tzinfo=UTC),
)
ITEM: dict[str, AttributeValueTypeDef] = {
    RegistryAttribute.FINGERPRINT.value: {"S": RECORD.fingerprint.hex},
    RegistryAttribute.CLIENT.value: {"S": RECORD.client},
    RegistryAttribute.CERTIFICATE.value: {"B": b"the whole certificate"},
    RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO.value: {"B": RECORD.subject_public_key_info},
    RegistryAttribute.STATE.value: {"S": "active"},
    RegistryAttribute.ROLES.value: {"L": [{"S": "send"}, {"S": "receive"}]},
    RegistryAttribute.NOT_BEFORE.value: {"S": "2026-01-01T00:00:00Z"},
    RegistryAttribute.NOT_AFTER.value: {"S": "2027-01-01T00:00:00Z"},
    RegistryAttribute.ENROLLED_AT.value: {"S": "2026-01-01T00:00:00Z"},
}
PIN = PinRecord(
    pin="cd" * 32,
    client=RECORD.client,
    subject_public_key_info=RECORD.subject_public_key_info,
    state=ClientState.RETIRING,
    roles=("send",),
    not_before=RECORD.not_before,
    not_after=RECORD.not_after,
)
PIN_ITEM: dict[str, AttributeValueTypeDef] = ITEM | {
    RegistryAttribute.FINGERPRINT.value: {"S": f"pin#{PIN.pin}"},
    RegistryAttribute.STATE.value: {"S": "retiring"},
    RegistryAttribute.ROLES.value: {"L": [{"S": "send"}]},
}
TOKEN = TokenRecord(
    digest="ef" * 32,
    client=RECORD.client,
    state=ClientState.ACTIVE,
    roles=("send",),
    scopes=("records:read", "records:write"),
    not_before=RECORD.not_before,
    not_after=RECORD.not_after,
    fingerprint=RECORD.fingerprint,
)
TOKEN_ITEM: dict[str, AttributeValueTypeDef] = {
    RegistryAttribute.FINGERPRINT.value: {"S": f"token#{TOKEN.digest}"},
    RegistryAttribute.CLIENT.value: {"S": TOKEN.client},
    RegistryAttribute.STATE.value: {"S": "active"},
    RegistryAttribute.ROLES.value: {"L": [{"S": "send"}]},
    RegistryAttribute.SCOPES.value: {"L": [{"S": "records:read"}, {"S": "records:write"}]},
    RegistryAttribute.NOT_BEFORE.value: {"S": "2026-01-01T00:00:00Z"},
    RegistryAttribute.NOT_AFTER.value: {"S": "2027-01-01T00:00:00Z"},
    RegistryAttribute.ENROLLED_AT.value: {"S": "2026-01-01T00:00:00Z"},
    RegistryAttribute.BOUND_TO.value: {"S": RECORD.fingerprint.hex},
}
MakeRegistry = Callable[[list["dict[str, AttributeValueTypeDef]"]], ClientRegistry]


class Uncounted:
    """Measures that nobody reads."""

    def count(self, metric: Metric, **dimensions: str) -> None:
        """Do nothing."""

    def observe(self, metric: Metric, value: float) -> None:
        """Do nothing."""


@pytest.fixture(params=["table", "twin", "table behind the cache", "twin behind the cache"])
def make_registry(request: pytest.FixtureRequest, moto_url: str, session: boto3.Session) -> Iterator[MakeRegistry]:
    """Make a registry that holds items."""
    opened: list[DynamoDbClientRegistry] = []

    def make_table(items: list[dict[str, AttributeValueTypeDef]]) -> ClientRegistry:
        dynamodb, name = session.client("dynamodb", endpoint_url=moto_url), uuid.uuid4().hex
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "fingerprint", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "fingerprint", "KeyType": "HASH"}],
        )
        for item in items:
            dynamodb.put_item(TableName=name, Item=item)
        opened.append(DynamoDbClientRegistry(dynamodb, name))
        return opened[-1]

    def make_twin(items: list[dict[str, AttributeValueTypeDef]]) -> ClientRegistry:
        keys = {item[RegistryAttribute.FINGERPRINT]["S"]: item for item in items}
        return InMemoryClientRegistry(
            (parse_record(item) for key, item in keys.items() if "#" not in key),
            pins=(parse_pin_record(item) for key, item in keys.items() if key.startswith("pin#")),
            tokens=(parse_token_record(item) for key, item in keys.items() if key.startswith("token#")),
        )

    def behind_the_cache(items: list[dict[str, AttributeValueTypeDef]]) -> ClientRegistry:
        return RegistryCache(make(items), Retention(5, 0, entries=100), metrics=Uncounted())

    make = make_table if "table" in request.param else make_twin
    yield behind_the_cache if "cache" in request.param else make
    for each in opened:
        each.close()


def test_an_enrolled_certificate_is_found_whole(make_registry: MakeRegistry) -> None:
    registry = make_registry([ITEM])

    assert asyncio.run(registry.find(RECORD.fingerprint)) == RECORD


def test_another_one_is_not(make_registry: MakeRegistry) -> None:
    registry = make_registry([ITEM])

    assert asyncio.run(registry.find(Fingerprint("cd" * 32))) is None


def test_an_enrolled_key_is_found_whole(make_registry: MakeRegistry) -> None:
    registry = make_registry([ITEM, PIN_ITEM])

    assert asyncio.run(registry.find_pin(PIN.pin)) == PIN
    assert asyncio.run(registry.find_pin("12" * 32)) is None


def test_a_token_is_found_whole(make_registry: MakeRegistry) -> None:
    unbound = {name: value for name, value in TOKEN_ITEM.items() if name != RegistryAttribute.BOUND_TO}
    registry = make_registry([TOKEN_ITEM, unbound | {RegistryAttribute.FINGERPRINT.value: {"S": "token#" + "12" * 32}}])

    assert asyncio.run(registry.find_token(TOKEN.digest)) == TOKEN
    assert asyncio.run(registry.find_token("12" * 32)) == replace(TOKEN, digest="12" * 32, fingerprint=None)
    assert asyncio.run(registry.find_token("34" * 32)) is None


def test_certificates_keys_and_tokens_are_not_taken_for_one_another(make_registry: MakeRegistry) -> None:
    """An attack: a key whose pin, or a token whose digest, is a certificate's fingerprint."""
    registry = make_registry([ITEM, PIN_ITEM, TOKEN_ITEM])

    assert asyncio.run(registry.find_pin(RECORD.fingerprint.hex)) is None
    assert asyncio.run(registry.find_token(RECORD.fingerprint.hex)) is None
    assert asyncio.run(registry.find(Fingerprint(PIN.pin))) is None
    assert asyncio.run(registry.find_token(PIN.pin)) is None
    assert asyncio.run(registry.find_pin(TOKEN.digest)) is None


@pytest.mark.parametrize("parse", [parse_pin_record, parse_token_record])
def test_an_item_of_another_kind_lets_nobody_in(parse: Callable[[dict[str, AttributeValueTypeDef]], object]) -> None:
    with pytest.raises(RegistryUnavailableError, match="cannot be read"):
        parse(ITEM)


@pytest.mark.parametrize(
    "broken",
    [
        {RegistryAttribute.STATE.value: {"S": "invented"}},
        {RegistryAttribute.NOT_AFTER.value: {"S": "some day"}},
        {RegistryAttribute.NOT_BEFORE.value: {"S": "0001-01-01T00:00:00+05:00"}},
        {RegistryAttribute.CLIENT.value: {"S": ""}},
        {RegistryAttribute.ROLES.value: {"S": "send"}},
        {RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO.value: {"S": "text"}},
        {RegistryAttribute.FINGERPRINT.value: {"S": "short"}},
        {RegistryAttribute.CLIENT.value: {"S": "x" * (MAX_RECORD_BYTES + 1)}},
        {RegistryAttribute.ROLES.value: {"L": [{"S": "send"}] * 1000}},
        {RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO.value: {"B": bytes(MAX_RECORD_BYTES + 1)}},
    ],
    ids=["state", "end", "begin", "no name", "roles", "key", "fingerprint", "long name", "many roles", "long key"],
)
def test_a_record_that_cannot_be_read_lets_nobody_in(broken: dict[str, AttributeValueTypeDef]) -> None:
    with pytest.raises(RegistryUnavailableError, match="cannot be read") as caught:
        parse_record({**ITEM, **broken})

    assert not caught.value.is_outage


LEAVES = st.sampled_from([None, True, 5, 1.5, "", "text", b"bytes", ["a"], {"S": "a"}, "9999-12-31T23:59:59-14:00"])
TYPED = st.dictionaries(st.sampled_from("SBLN"), LEAVES, min_size=1, max_size=1)
VALUES = LEAVES | TYPED | st.builds(lambda names: {"L": names}, st.lists(LEAVES | TYPED, max_size=3))


@pytest.mark.parametrize(
    ("parse", "right"),
    [(parse_record, ITEM), (parse_pin_record, PIN_ITEM), (parse_token_record, TOKEN_ITEM)],
    ids=["certificate", "key", "token"],
)
@settings(max_examples=60)
@example(changed={RegistryAttribute.CLIENT: {"S": ["acme"]}})
@example(changed={RegistryAttribute.ROLES: {"L": [{"S": ["send"]}]}})
@given(changed=st.dictionaries(st.sampled_from(RegistryAttribute), VALUES, min_size=1, max_size=3))
def test_no_item_raises_anything_but_our_own_error_or_is_read_as_what_it_is_not(
    parse: Callable[[dict[str, Any]], ClientRecord | PinRecord | TokenRecord],
    right: dict[str, Any],
    changed: dict[RegistryAttribute, Any],
) -> None:
    """Whatever was written there, and by whom."""
    with contextlib.suppress(RegistryUnavailableError):
        read = parse({**right, **{name.value: value for name, value in changed.items()}})

        assert isinstance(read.client, str)
        assert all(isinstance(role, str) for role in read.roles)
        assert read.not_before.tzinfo is not None


def test_a_record_that_lacks_something_lets_nobody_in() -> None:
    for attribute in ITEM.keys() - {RegistryAttribute.CERTIFICATE, RegistryAttribute.ENROLLED_AT}:
        with pytest.raises(RegistryUnavailableError):
            parse_record({name: value for name, value in ITEM.items() if name != attribute})


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'{"Item": [1]}',
        b'{"Item": "x"}',
        b'{"Item": {"client": {"B": 5}}}',
        b'{"Item": {}}',
        b"",
        b"<html><title>Sign in to this network</title></html>",
        b'{"message": "served from somewhere else"}',
        b'{"Item": {"fingerprint": {"S": "abab',
        b"[" * 100_000,
    ],
    ids=lambda body: body[:40].decode() or "nothing",
)
def test_an_answer_of_another_shape_is_our_fault(session: boto3.Session, body: bytes) -> None:
    """Nobody may be told "unknown" because a proxy's sign-in page has no item in it."""
    with answering(body) as url:
        registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=url), "clients")

        with pytest.raises(RegistryUnavailableError):
            asyncio.run(registry.find(RECORD.fingerprint))
        registry.close()


def test_an_answer_that_was_damaged_on_its_way_is_our_fault(session: boto3.Session) -> None:
    with answering(b"{}", checksum=zlib.crc32(b'{"Item": {}}')) as url:
        registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=url), "clients")

        with pytest.raises(RegistryUnavailableError, match="damaged"):
            asyncio.run(registry.find(RECORD.fingerprint))
        registry.close()


def test_an_answer_cut_short_is_our_fault(session: boto3.Session) -> None:
    with answering(b"{}", missing_bytes=100) as url:
        registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=url, config=ONE_ATTEMPT), "clients")

        with pytest.raises(RegistryUnavailableError, match="damaged"):
            asyncio.run(registry.find(RECORD.fingerprint))
        registry.close()


def test_a_record_of_another_certificate_lets_nobody_in(session: boto3.Session) -> None:
    """Whatever the table answers, only what was asked for counts."""
    key = base64.b64encode(RECORD.subject_public_key_info).decode()
    item = ITEM | {RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO.value: {"B": key}}
    del item[RegistryAttribute.CERTIFICATE.value]
    with answering(json.dumps({"Item": item}).encode()) as url:
        registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=url), "clients")

        with pytest.raises(RegistryUnavailableError, match="something else"):
            asyncio.run(registry.find(Fingerprint("cd" * 32)))
        registry.close()


def test_a_table_that_is_not_there_is_our_fault(moto_url: str, session: boto3.Session) -> None:
    registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=moto_url), "missing")

    with pytest.raises(RegistryUnavailableError, match="ResourceNotFoundException"):
        asyncio.run(registry.find(RECORD.fingerprint))
    registry.close()


def test_a_table_that_cannot_be_reached_is_our_fault(session: boto3.Session) -> None:
    client = session.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=Config(retries={"max_attempts": 0}))
    registry = DynamoDbClientRegistry(client, "clients")

    with pytest.raises(RegistryUnavailableError, match="EndpointConnectionError"):
        asyncio.run(registry.find(RECORD.fingerprint))
    registry.close()


ONE_ATTEMPT = Config(retries={"total_max_attempts": 1})


@contextmanager
def answering(body: bytes, *, status: int = 200, checksum: int | None = None, missing_bytes: int = 0) -> Iterator[str]:
    """Stand where the table is, and answer with this body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body) + missing_bytes))
            if checksum is not None:
                self.send_header("x-amz-crc32", str(checksum))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the standard library's name
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "code", "is_outage"),
    [
        (400, "AccessDeniedException", False),
        (400, "ResourceNotFoundException", False),
        (400, "ThrottlingException", False),
        (400, "ProvisionedThroughputExceededException", False),
        (500, "InternalServerError", True),
        (503, "<html>", True),
    ],
)
def test_a_refusal_is_told_from_an_outage(session: boto3.Session, status: int, code: str, is_outage: bool) -> None:  # noqa: FBT001
    """An outage may be bridged by older answers, where the operator allows it; a right that was taken away may not."""
    with answering(json.dumps({"__type": f"com.amazonaws.dynamodb#{code}"}).encode(), status=status) as url:
        registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=url, config=ONE_ATTEMPT), "clients")

        with pytest.raises(RegistryUnavailableError, match=code) as caught:
            asyncio.run(registry.find(RECORD.fingerprint))
        registry.close()

    assert caught.value.is_outage is is_outage


@pytest.fixture
def hung(session: boto3.Session) -> Iterator[DynamoDbClientRegistry]:
    """A registry whose table takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = Config(read_timeout=0.6, retries={"total_max_attempts": 1}, max_pool_connections=LOOKUP_THREADS)
        client = session.client("dynamodb", endpoint_url=url, config=config)
        registry = DynamoDbClientRegistry(client, "clients", budget_seconds=0.2)
        yield registry
        registry.close()


def test_a_lookup_has_its_budget_and_no_more(hung: DynamoDbClientRegistry) -> None:
    began = time.monotonic()

    with pytest.raises(RegistryUnavailableError, match=r"no answer in 0\.2 seconds"):
        asyncio.run(hung.find(RECORD.fingerprint))

    assert time.monotonic() - began < 0.5


def test_more_lookups_than_may_wait_are_refused_at_once(hung: DynamoDbClientRegistry) -> None:
    async def crowd() -> list[str]:
        lookups = (hung.find(RECORD.fingerprint) for _ in range(MAX_PENDING_LOOKUPS + 5))
        return [str(each) for each in await asyncio.gather(*lookups, return_exceptions=True)]

    said = asyncio.run(crowd())

    assert sum("are waiting already" in each for each in said) == 5
    assert sum("no answer in" in each for each in said) == MAX_PENDING_LOOKUPS


def test_the_count_goes_down_again(hung: DynamoDbClientRegistry) -> None:
    """When the threads come back from the hung table, lookups are taken again."""

    async def crowd_then_one() -> str:
        lookups = (hung.find(RECORD.fingerprint) for _ in range(LOOKUP_THREADS))
        await asyncio.gather(*lookups, return_exceptions=True)
        await asyncio.sleep(0.6)
        (said,) = await asyncio.gather(hung.find(RECORD.fingerprint), return_exceptions=True)
        return str(said)

    assert "no answer in" in asyncio.run(crowd_then_one())


def test_who_waited_in_vain_for_a_thread_makes_nobody_wait_later(hung: DynamoDbClientRegistry) -> None:
    """After a hang the queue of those who gave up is gone, and does not hang in its turn."""

    async def two_crowds() -> list[str]:
        first = (hung.find(RECORD.fingerprint) for _ in range(MAX_PENDING_LOOKUPS))
        await asyncio.gather(*first, return_exceptions=True)
        second = (hung.find(RECORD.fingerprint) for _ in range(MAX_PENDING_LOOKUPS - LOOKUP_THREADS))
        return [str(each) for each in await asyncio.gather(*second, return_exceptions=True)]

    assert all("no answer in" in each for each in asyncio.run(two_crowds()))


def test_a_crowd_is_told_from_an_outage(hung: DynamoDbClientRegistry) -> None:
    """An attack: strangers fill the queue, so that a revoked one's lookup fails and an older answer decides."""

    async def crowd() -> list[object]:
        lookups = (hung.find(RECORD.fingerprint) for _ in range(MAX_PENDING_LOOKUPS + 1))
        return list(await asyncio.gather(*lookups, return_exceptions=True))

    kinds = Counter(type(each) for each in asyncio.run(crowd()))

    assert 1 <= kinds[RegistryUnavailableError] <= LOOKUP_THREADS
    assert kinds[RegistryOverloadedError] == MAX_PENDING_LOOKUPS + 1 - kinds[RegistryUnavailableError]


def test_as_deployed_it_asks_nothing_before_the_first_lookup(session: boto3.Session) -> None:
    """It is made ahead of the fork: no thread and no connection may exist by then."""
    registry = open_client_registry("clients", session=session)

    assert registry._threads._threads == set()  # noqa: SLF001 -- the standard library shows it nowhere else
    registry.close()
