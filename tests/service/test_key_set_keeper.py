"""The key set is kept fresh beside the answering; a good one is never lost to a bad one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.audit import AuditLog
from service.boot.certificate_store import InMemoryCertificateStore
from service.contract import Metric
from service.errors import KeySetUnavailableError
from service.identity.key_set import MAX_KEY_SET_BYTES
from service.identity.key_set_keeper import KeySetKeeper, ObjectKeySource, UrlKeySource, key_source
from tests.certificates import NOW
from tests.tokens import Issuer, key_set

FIRST = Issuer()
SECOND = Issuer(key_id="key-2")


class Lines(list[dict[str, Any]]):
    """An output that keeps the audit lines."""

    def write(self, line: str) -> None:
        """Keep one."""
        self.append(json.loads(line))

    def finish(self, seconds: float) -> int:
        """Nothing waits here."""
        return int(seconds * 0)


class Counted:
    """Metrics that keep what was counted."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []

    def count(self, metric: Metric, **_dimensions: str) -> None:
        """Keep one."""
        self.metrics.append(metric)

    def observe(self, metric: Metric, value: float) -> None:
        """Nothing here is observed."""


class Given:
    """A source whose answers are given; the last one stays."""

    place = "tokens/keys.json"

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.fetches = 0

    async def fetch(self) -> bytes:
        """Give the next."""
        self.fetches += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.asynccontextmanager
async def kept(source: Given, *, seconds: float = 3600) -> AsyncIterator[tuple[KeySetKeeper, Lines, Counted]]:
    """Keep a set for the length of a block, its first fetch done."""
    lines, counted = Lines(), Counted()
    audit = AuditLog(lines, environment="test", clock=NOW.timestamp)
    keeper = KeySetKeeper(source, seconds=seconds, audit=audit, metrics=counted)
    task = asyncio.create_task(keeper.keep())
    try:
        await keeper.first()
        yield keeper, lines, counted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(happens: Callable[[], bool]) -> None:
    """Wait for what the keeper brings about."""
    async with asyncio.timeout(5):
        while not happens():  # noqa: ASYNC110 -- what is waited for has no event of its own
            await asyncio.sleep(0.001)


def test_the_set_is_there_after_the_first_fetch_and_audited() -> None:
    async def walk() -> None:
        async with kept(Given(FIRST.key_set)) as (keeper, lines, counted):
            assert keeper.current is not None
            assert keeper.current.knows("key-1")
            assert [(line["event"], line["place"], line["keys"]) for line in lines] == [
                ("key_set_taken", "tokens/keys.json", ["key-1"])
            ]
            assert counted.metrics == []

    asyncio.run(walk())


def test_a_new_set_is_taken_every_so_often_even_under_the_same_names() -> None:
    replaced = Issuer()

    async def walk() -> None:
        source = Given(FIRST.key_set, FIRST.key_set, replaced.key_set)
        async with kept(source, seconds=0.001) as (keeper, lines, _):
            before = keeper.current
            await until(lambda: source.fetches > 3)
            assert keeper.current is not before
            assert len(lines) == 2

    asyncio.run(walk())


@pytest.mark.parametrize(
    "bad",
    [
        KeySetUnavailableError(place="tokens/keys.json", cause="status 500"),
        b"<html>",
        key_set({**FIRST.key.as_dict(private=True), "kid": "key-1"}),
        TimeoutError(),
        ZeroDivisionError("nobody foresaw this"),
    ],
    ids=["unreachable", "no set", "private key", "slow", "unforeseen"],
)
def test_a_bad_set_leaves_the_last_good_one_in_force(bad: bytes | Exception) -> None:
    async def walk() -> None:
        source = Given(FIRST.key_set, bad)
        async with kept(source, seconds=0.001) as (keeper, lines, counted):
            good = keeper.current
            await until(lambda: len(counted.metrics) > 1)
            assert keeper.current is good is not None
            assert keeper.fault is not None
            assert set(counted.metrics) == {Metric.KEY_SET_FAILURES}
            assert lines[-1]["event"] == "key_set_failed"
            assert str(FIRST.key.as_dict(private=True)["d"]) not in json.dumps(lines)

    asyncio.run(walk())


def test_without_any_good_set_nobody_waits_for_one_twice() -> None:
    async def walk() -> None:
        async with kept(Given(b"")) as (keeper, _, _):
            assert await keeper.first() is None
            assert keeper.fault == "the key set is not usable: it is not JSON"

    asyncio.run(walk())


def test_an_unknown_key_brings_one_early_fetch_and_no_second() -> None:
    async def walk() -> None:
        source = Given(FIRST.key_set, key_set(FIRST.public, SECOND.public))
        async with kept(source, seconds=3600) as (keeper, _, _):
            current = keeper.current
            assert current is not None
            assert await keeper.newer(current) is None, "the first fetch was this moment"
            keeper._last_begun -= 60  # noqa: SLF001 -- a minute goes by
            found = await asyncio.gather(*(keeper.newer(current) for _ in range(50)))
            assert all(each is not None and each.knows("key-2") for each in found)
            assert source.fetches == 2
            assert keeper.current is not None
            assert await keeper.newer(keeper.current) is None
            assert source.fetches == 2

    asyncio.run(walk())


def test_a_request_waits_only_a_moment_for_a_fetch_that_hangs() -> None:
    class Hangs:
        place = "https://issuer.example/keys"

        async def fetch(self) -> bytes:
            return await asyncio.Future()

    async def walk() -> None:
        audit = AuditLog(Lines(), environment="test", clock=NOW.timestamp)
        keeper = KeySetKeeper(Hangs(), seconds=60, audit=audit, metrics=Counted(), wait_seconds=0.01)
        task = asyncio.create_task(keeper.keep())
        async with asyncio.timeout(1):
            assert await keeper.first() is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(walk())


# -- where it comes from ------------------------------------------------------------------


def test_an_object_is_read_in_a_thread_of_its_own() -> None:
    readers: list[str] = []

    class Store:
        def read(self, key: str, *, version: str | None = None) -> bytes:
            readers.append(threading.current_thread().name)
            return f"{key} {version}".encode()

    assert asyncio.run(ObjectKeySource(Store(), "tokens/keys.json").fetch()) == b"tokens/keys.json None"
    assert readers == ["key-set_0"]


def test_an_object_that_is_not_there_says_that_no_keys_are_installed_and_how_they_are() -> None:
    """It is not the certificate that is missing, which the store would name."""
    with pytest.raises(KeySetUnavailableError) as caught:
        asyncio.run(key_source("tokens/keys.json", InMemoryCertificateStore({})).fetch())

    assert str(caught.value) == (
        "no key set from tokens/keys.json: NoSuchKey: either no key set is installed yet "
        "(`certificates.py install-key-set`), or the task role may not read it"
    )


class Site:
    """A web site on loopback."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, FIRST.key_set, dict[str, str]()
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                self.send_response(site.status)
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(site.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


def test_a_url_is_fetched(site: Site) -> None:
    assert asyncio.run(key_source(site.url, InMemoryCertificateStore({})).fetch()) == FIRST.key_set


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_a_redirect_is_not_followed_and_an_error_is_no_set(site: Site, status: int) -> None:
    site.status, site.headers = status, {"location": "/elsewhere"}

    with pytest.raises(KeySetUnavailableError, match=f"status {status}"):
        asyncio.run(UrlKeySource(site.url).fetch())

    assert site.asked == ["/keys"]


def test_an_endless_answer_is_cut_off(site: Site) -> None:
    site.body = b" " * (MAX_KEY_SET_BYTES * 40)

    assert MAX_KEY_SET_BYTES < len(asyncio.run(UrlKeySource(site.url).fetch())) < MAX_KEY_SET_BYTES * 4


def test_nobody_there_is_a_fault(site: Site) -> None:
    site.close()

    with pytest.raises(KeySetUnavailableError, match="ConnectError"):
        asyncio.run(UrlKeySource(site.url).fetch())


@pytest.mark.parametrize("url", ["https://127.0.0.1:99999/keys", "https://a..b/keys", "https://[/keys"])
def test_an_address_that_is_none_is_a_fault(url: str) -> None:
    with pytest.raises(KeySetUnavailableError):
        asyncio.run(UrlKeySource(url).fetch())
