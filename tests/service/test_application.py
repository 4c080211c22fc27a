"""Finding an application, importing it, and living with it from its start to its end."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from service.boot import tls_context
from service.connection import lifespan
from service.connection.lifespan import Lifespan
from service.endpoints.application import find_application, load_application, tls_extension
from service.endpoints.asgi import Receive, Scope, Send
from service.errors import ApplicationError
from service.identity.peer import Peer
from tests.certificates import client


@pytest.mark.parametrize(
    ("reference", "cause"),
    [
        ("no_such_module:app", "there is no module no_such_module"),
        ("tests.applications.missing:app", "there is no module tests.applications.missing"),
        ("json.nothing:app", "there is no module json.nothing"),
    ],
)
def test_a_module_that_is_missing_is_named(reference: str, cause: str) -> None:
    with pytest.raises(ApplicationError) as raised:
        find_application(reference)

    assert (raised.value.reference, raised.value.cause) == (reference, cause)


def test_finding_a_module_imports_nothing_of_it() -> None:
    find_application("tests.applications.broken_at_import:app")


@pytest.mark.parametrize(
    ("attribute", "cause"),
    [
        ("missing", r"AttributeError: module 'tests.applications.broken' has no attribute 'missing'$"),
        ("no_application", r"it is dict and cannot be called"),
        ("raises.app", r"RuntimeError: no app today \(.*broken.py line \d+\)"),
        ("exits.app", r"SystemExit: no app today \(.*broken.py line \d+\)"),
    ],
)
def test_whatever_its_import_raises_is_one_line(attribute: str, cause: str) -> None:
    with pytest.raises(ApplicationError, match=cause) as raised:
        load_application(f"tests.applications.broken:{attribute}")

    assert "\n" not in str(raised.value)


# -- its life ------------------------------------------------------------------


async def live(application: Any, state: dict[str, Any]) -> None:
    """Start it and let it end."""
    life = Lifespan(application, state=state)
    await life.start()
    await life.stop()


class Notes:
    """An application that notes what it hears, and answers as it is told."""

    def __init__(self, *answers: dict[str, str]) -> None:
        self._answers = answers
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hear and answer."""
        scope["state"]["database"] = "open"
        for answer in self._answers:
            self.heard.append((await receive())["type"])
            await send(answer)


def test_it_hears_of_its_start_and_of_its_end_and_keeps_its_state() -> None:
    notes = Notes({"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"})
    state: dict[str, Any] = {}

    asyncio.run(live(notes, state))

    assert notes.heard == ["lifespan.startup", "lifespan.shutdown"]
    assert state == {"database": "open"}


@pytest.mark.parametrize(
    ("message", "cause"),
    [("Traceback\n  line 1\nValueError: no database\n", "ValueError: no database"), ("", "it does not say why")],
    ids=["traceback", "silent"],
)
def test_one_that_says_it_cannot_start_is_believed(message: str, cause: str) -> None:
    with pytest.raises(ApplicationError) as raised:
        asyncio.run(live(Notes({"type": "lifespan.startup.failed", "message": message}), {}))

    assert raised.value.cause == cause


def test_one_that_knows_no_lifespan_is_served_without() -> None:
    async def raises(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("no lifespan here")

    async def returns(_scope: Scope, _receive: Receive, _send: Send) -> None:
        """Say nothing."""

    asyncio.run(live(raises, {}))
    asyncio.run(live(returns, {}))


@pytest.mark.parametrize("end", ["fails", "raises", "hangs"])
def test_one_that_ends_badly_holds_nobody_up(
    end: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "SHUTDOWN_SECONDS", 0.05)

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if end == "fails":
            await send({"type": "lifespan.shutdown.failed", "message": "of its own"})
        if end == "raises":
            raise ValueError("of its own")
        await asyncio.sleep(60)

    asyncio.run(live(application, {}))

    assert "the application did not end well" in caplog.text


# -- the TLS extension -----------------------------------------------------------


def extension(leaf: bytes | None, cipher: str) -> dict[str, object]:
    """Describe a peer that showed a leaf, or none."""
    peer = Peer.of_handshake(leaf, verify_errors=(), tls_version="TLSv1.2", cipher=cipher, group=None)
    return tls_extension(peer)


def test_a_peer_without_a_certificate_has_an_empty_chain() -> None:
    described = extension(None, "TLS_AES_128_GCM_SHA256")

    assert (described["client_cert_chain"], described["client_cert_name"]) == ([], None)
    assert described["client_cert_error"] is None


def test_a_chain_that_only_openssl_reads_is_shown_as_it_came() -> None:
    """A client chooses what it sends above its leaf; no request of its own may fail for it."""
    peer = Peer.of_handshake(
        b"0\x03odd",
        verify_errors=(),
        tls_version="TLSv1.3",
        cipher="C",
        group=None,
        read_chain=lambda: (b"0\x03odd", b"0\x05other"),
    )

    described = tls_extension(peer)

    assert described["client_cert_name"] is None
    assert described["client_cert_chain"] == [ssl.DER_cert_to_PEM_cert(each) for each in peer.chain]


def test_a_leaf_of_a_version_that_nobody_knows_has_no_name() -> None:
    """OpenSSL takes it in the handshake, and who comes with a token may come with it."""
    known, unknown = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"

    assert extension(client().der.replace(known, unknown, 1), "TLS_AES_128_GCM_SHA256")["client_cert_name"] is None


def test_every_suite_we_offer_has_its_number() -> None:
    """Those that the standard library gives the suites of its own OpenSSL."""
    context = ssl.create_default_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    numbers = {each["name"]: each["id"] & 0xFFFF for each in context.get_ciphers()}
    offered = (tls_context.TLS12_SUITES + b":" + tls_context.TLS13_SUITES).decode().split(":")

    assert {name: extension(client().der, name)["cipher_suite"] for name in offered} == {
        name: numbers[name] for name in offered
    }
