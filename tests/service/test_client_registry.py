"""The registry: one contract for the table and its twin, and what happens when the table fails."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from service.contract import ClientState, RegistryAttribute
from service.errors import RegistryUnavailableError
from service.identity.certificate import Fingerprint
from service.identity.client_registry import (
    LOOKUP_THREADS,
    MAX_PENDING_LOOKUPS,
    ClientRecord,
    ClientRegistry,
    DynamoDbClientRegistry,
    InMemoryClientRegistry,
    open_client_registry,
    parse_record,
)

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
MakeRegistry = Callable[[list["dict[str, AttributeValueTypeDef]"]], ClientRegistry]


@pytest.fixture(params=["table", "twin"])
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
        return InMemoryClientRegistry(parse_record(item) for item in items)

    yield make_table if request.param == "table" else make_twin
    for each in opened:
        each.close()


def test_an_enrolled_certificate_is_found_whole(make_registry: MakeRegistry) -> None:
    registry = make_registry([ITEM])

    assert asyncio.run(registry.find(RECORD.fingerprint)) == RECORD


def test_another_one_is_not(make_registry: MakeRegistry) -> None:
    registry = make_registry([ITEM])

    assert asyncio.run(registry.find(Fingerprint("cd" * 32))) is None


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
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_record_that_cannot_be_read_lets_nobody_in(broken: dict[str, AttributeValueTypeDef]) -> None:
    with pytest.raises(RegistryUnavailableError, match="cannot be read"):
        parse_record({**ITEM, **broken})


def test_a_record_that_lacks_something_lets_nobody_in() -> None:
    for attribute in ITEM.keys() - {RegistryAttribute.CERTIFICATE, RegistryAttribute.ENROLLED_AT}:
        with pytest.raises(RegistryUnavailableError):
            parse_record({name: value for name, value in ITEM.items() if name != attribute})


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b'{"Item": [1]}', b'{"Item": "x"}', b'{"Item": {"client": {"B": 5}}}', b'{"Item": {}}'],
    ids=bytes.decode,
)
def test_an_answer_of_another_shape_is_our_fault(session: boto3.Session, body: bytes) -> None:
    with answering(body) as url:
        registry = DynamoDbClientRegistry(session.client("dynamodb", endpoint_url=url), "clients")

        with pytest.raises(RegistryUnavailableError):
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


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Stand where the table is, and answer 200 with this body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the standard library's name
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


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


def test_as_deployed_it_asks_nothing_before_the_first_lookup(session: boto3.Session) -> None:
    """It is made ahead of the fork: no thread and no connection may exist by then."""
    registry = open_client_registry("clients", session=session)

    assert registry._threads._threads == set()  # noqa: SLF001 -- the standard library shows it nowhere else
    registry.close()
