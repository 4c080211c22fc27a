"""The walk of a request: who, may they, answer, audit."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest

from service.audit import AuditLog
from service.connection.gate import Gate, Guard
from service.contract import Metric
from service.endpoints.asgi import Application, Message, Receive, Scope, Send, answer
from service.endpoints.health import Health
from service.endpoints.problem import status_of
from service.endpoints.welcome import welcome
from service.endpoints.whoami import Doctor
from service.errors import UpstreamError
from service.identity.peer import Peer
from service.identity.policy import DEFAULT_POLICY, Strategy, read_policy
from service.identity.presented import Presented
from service.identity.verdict import Client, Reason, Refused, Verdict
from service.metrics import Metrics
from tests.certificates import NOW, client

PARTNER = client()
PEER = Peer.of_handshake(PARTNER.der, verify_errors=("expired",), tls_version="TLSv1.3", cipher="C", group="g")
ACME = Client("acme", ("send",))


class Says:
    """An authenticator whose verdict is given."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def identify(self, presented: Presented) -> Verdict:
        """Give it."""
        assert presented.peer is PEER
        assert presented.at == NOW
        return self._verdict


class Lines(list[dict[str, Any]]):
    """A stream that keeps the audit lines."""

    def write(self, text: str) -> None:
        """Keep one."""
        assert text.endswith("\n")
        self.append(json.loads(text))

    def finish(self, _seconds: float) -> None:
        """Nothing waits here."""


def request(application: Application, *, method: str = "GET", path: str = "/") -> tuple[int, dict[str, Any]]:
    """Send one request to an application; returns status and document."""
    scope = scope_of(method=method, path=path)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_call(application, scope, _hear_nothing, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def scope_of(*, method: str = "GET", path: str = "/") -> Scope:
    """Describe a request."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": quote(path, errors="surrogatepass").encode(),
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.7", 51514),
        "state": {"peer": PEER},
    }


async def _hear_nothing() -> Message:
    return {"type": "http.disconnect"}


async def _call(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    await application(scope, receive, send)


def gate(verdict: Verdict, lines: Lines, application: Application = welcome, *, metrics: Metrics | None = None) -> Gate:
    """Make a gate whose verdict is given."""
    audit = AuditLog(lines, environment="test", clock=NOW.timestamp)
    guard = Guard(DEFAULT_POLICY, {Strategy.PINNED_CERTIFICATE: Says(verdict)})
    metrics = metrics or Metrics(audit)
    doctor = Doctor(environment="test", per_minute=60, clock=lambda: 0.0)
    return Gate(application, guard=guard, doctor=doctor, audit=audit, metrics=metrics, clock=lambda: NOW)


def test_a_path_without_a_route_is_refused_and_the_line_says_so() -> None:
    """The operator who is rung up sees that it is the path and not the client."""
    policy = read_policy([{"path": "/records", "all_of": ["pinned_certificate"]}])
    guard = Guard(policy, {Strategy.PINNED_CERTIFICATE: Says(ACME)})

    refused = asyncio.run(guard.judge(None, "/elsewhere"))  # type: ignore[arg-type]  # nobody looks at what it shows

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_PERMITTED
    assert "no route covers the path" in str(refused.cause)


def test_a_client_reaches_the_application_with_its_identity() -> None:
    status, document = request(gate(ACME, Lines()))

    assert status == 200
    assert (document["client"], document["roles"]) == ("acme", ["send"])
    assert (document["address"], document["port"]) == ("192.0.2.7", 51514)
    assert document["fingerprint"] == PARTNER.fingerprint


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_says_its_reason_to_the_peer_and_to_the_audit(reason: Reason) -> None:
    lines = Lines()

    status, document = request(gate(Refused(reason), lines))

    assert status == status_of(reason)
    assert document["reason"] == lines[0]["reason"] == reason
    assert document["request_id"] == lines[0]["request_id"]
    assert document["fingerprint"] == PARTNER.fingerprint
    assert document["detail"]
    assert lines[0]["decision"] == "refused"


def test_the_cause_of_our_own_fault_is_for_the_audit_alone() -> None:
    """Whoever is called at night learns what the registry said; a peer has no use for it."""
    lines = Lines()

    _, document = request(gate(Refused(Reason.REGISTRY_UNAVAILABLE, "AccessDeniedException"), lines))

    assert lines[0]["cause"] == "AccessDeniedException"
    assert "AccessDeniedException" not in json.dumps(document)


def test_a_refusal_is_403_unless_a_token_our_fault_or_a_limit_is_behind_it() -> None:
    assert {reason: int(status_of(reason)) for reason in Reason if status_of(reason) != 403} == {
        Reason.TOKEN_MISSING: 401,
        Reason.TOKEN_INVALID: 401,
        Reason.TOKEN_NOT_BOUND: 401,
        Reason.REGISTRY_UNAVAILABLE: 503,
        Reason.RATE_LIMITED: 429,
    }


def test_a_refused_peer_never_reaches_the_application() -> None:
    async def must_not(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("reached")

    request(gate(Refused(Reason.REVOKED), Lines(), must_not))


def test_an_application_that_breaks_is_audited_as_failed() -> None:
    lines = Lines()

    async def break_down(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("of its own")

    status, document = request(gate(ACME, lines, break_down))

    assert (status, document["request_id"]) == (500, lines[0]["request_id"])
    assert (lines[0]["decision"], lines[0]["status"], lines[0]["client"]) == ("failed", 500, "acme")
    assert lines[0]["cause"] == "LookupError"
    assert "of its own" not in json.dumps([document, lines[0]])


@pytest.mark.parametrize("ending", [asyncio.CancelledError, SystemExit])
def test_an_application_that_gives_up_is_audited_with_its_answer(ending: type[BaseException]) -> None:
    """Something it waited for was cancelled, or it wants to end the process: neither is an `Exception` in Python."""
    lines = Lines()

    async def give_up(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ending

    status, document = request(gate(ACME, lines, give_up))

    assert (status, document["request_id"]) == (500, lines[0]["request_id"])
    assert (lines[0]["decision"], lines[0]["status"], lines[0]["cause"]) == ("failed", 500, ending.__name__)


def test_the_line_is_written_before_the_last_of_the_answer_is_handed_on() -> None:
    """Whoever has the whole answer is in the log, whatever ends the process then."""
    lines, seen = Lines(), list[tuple[str, int]]()

    async def in_two_pieces(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    async def send(message: Message) -> None:
        seen.append((message.get("body", b"").decode(), len(lines)))

    asyncio.run(_call(gate(ACME, lines, in_two_pieces), scope_of(), _hear_nothing, send))

    assert seen == [("", 0), ("1", 0), ("2", 1)]
    assert len(lines) == 1


def test_work_after_the_answer_does_not_delay_the_line() -> None:
    lines, at_work = Lines(), list[int]()

    async def work_on(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, HTTPStatus.OK, {})
        at_work.append(len(lines))

    request(gate(ACME, lines, work_on))

    assert at_work == [1]
    assert len(lines) == 1


def test_a_client_that_was_let_in_is_measured_by_the_end_of_its_enrollment() -> None:
    lines = Lines()
    metrics = Metrics(AuditLog(lines, environment="test", clock=NOW.timestamp))

    request(gate(Client("acme", (), not_after=NOW + timedelta(days=20)), lines, metrics=metrics))
    metrics.write(NOW)

    days = [line[Metric.CLIENT_CERTIFICATE_DAYS] for line in lines if Metric.CLIENT_CERTIFICATE_DAYS in line]
    assert days == [20, 20]


def test_a_request_that_failed_is_counted_by_itself_for_an_alarm_to_watch() -> None:
    """An upstream that is down, an application that raises: nobody is refused, and somebody must be woken."""
    lines = Lines()
    metrics = Metrics(AuditLog(lines, environment="test", clock=NOW.timestamp))

    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise UpstreamError("down")

    request(gate(ACME, lines, fail, metrics=metrics))
    request(gate(ACME, lines, metrics=metrics))
    request(gate(Refused(Reason.REGISTRY_UNAVAILABLE), lines, metrics=metrics))
    metrics.write(NOW)

    assert [line[Metric.REQUESTS_FAILED] for line in lines if Metric.REQUESTS_FAILED in line] == [1]


@pytest.mark.parametrize("character", ["a", "\u20ac", "\U0001f600", "\0"], ids=ascii)
def test_a_line_is_cut_before_a_pipe_would_tear_it(character: str) -> None:
    """Whatever the characters take once they are escaped, in the path and in the client's name."""
    lines = Lines()

    request(gate(Client(character * 5000, ()), lines), path="/" + character * 5000)

    assert len(json.dumps(lines[0])) < 4096
    assert lines[0]["path"].startswith("/" + character * 100)


def test_without_an_application_the_welcome_is_all_there_is() -> None:
    lines = Lines()

    assert request(gate(ACME, lines), path="/other")[0] == 404
    assert request(gate(ACME, lines), method="POST")[0] == 405
    assert [line["decision"] for line in lines] == ["answered", "answered"]


def test_health_serves_until_it_drains() -> None:
    health = Health()

    assert request(health, path="/healthz") == (200, {"status": "serving"})
    health.is_draining = True
    assert request(health, path="/healthz") == (503, {"status": "draining"})
    assert request(health, path="/")[0] == 404


# -- what an application may do wrong --------------------------------------------


class Exchange:
    """One request over ASGI, message by message."""

    def __init__(self, *bodies: bytes, then_leaves: bool = False) -> None:
        more = [True] * len(bodies)
        if more and not then_leaves:
            more[-1] = False
        self._incoming: list[Message] = [
            {"type": "http.request", "body": body, "more_body": is_more}
            for body, is_more in zip(bodies, more, strict=True)
        ]
        self.sent: list[Message] = []

    def run(self, application: Application) -> None:
        """Put it through the gate."""
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"a=b",
            "headers": [],
            "client": ("192.0.2.7", 51514),
            "state": {"peer": PEER},
        }
        asyncio.run(_call(application, scope, self._receive, self._send))

    @property
    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and document of the whole answer."""
        return self.sent[0]["status"], json.loads(b"".join(each["body"] for each in self.sent[1:]))

    async def _receive(self) -> Message:
        return self._incoming.pop(0) if self._incoming else {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"body": body.decode()}).encode()})


class Reads(Says):
    """An authenticator that reads the whole body first, as one that checks a signature over it does."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(ACME)
        self._max_bytes = max_bytes
        self.bodies: list[bytes] = []
        self.targets: list[bytes] = []

    async def identify(self, presented: Presented) -> Verdict:
        """Read it twice, then give the verdict."""
        self.bodies.append(await presented.read_body(self._max_bytes))
        self.bodies.append(await presented.read_body(self._max_bytes))
        self.targets.append(presented.target)
        return await super().identify(presented)


def test_a_traceback_is_logged_once_and_never_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def break_down(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("of its own")

    exchange = Exchange(b"")
    exchange.run(gate(ACME, Lines(), break_down))

    (logged,) = caplog.records
    assert logged.exc_info is not None
    assert isinstance(logged.exc_info[1], LookupError)
    assert exchange.answer[0] == 500
    assert "LookupError" not in json.dumps(exchange.answer[1])


def test_an_application_that_breaks_in_its_answer_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The server breaks an answer off that has no end; a second answer would stand in the middle of the first."""
    lines = Lines()

    async def break_down(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("of its own")

    exchange = Exchange(b"")
    exchange.run(gate(ACME, lines, break_down))

    assert len(exchange.sent) == 2
    assert len(caplog.records) == 1
    assert (lines[0]["decision"], lines[0]["status"], lines[0]["cause"]) == ("failed", 200, "LookupError")


def test_a_head_without_its_body_is_taken_back() -> None:
    async def break_down(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("of its own")

    exchange = Exchange(b"")
    exchange.run(gate(ACME, lines := Lines(), break_down))

    assert exchange.answer[0] == lines[0]["status"] == 500


def test_an_upstream_that_breaks_off_is_no_fault_of_this_program(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()

    async def break_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise UpstreamError("reset")

    Exchange(b"").run(gate(ACME, lines, break_off))

    assert (lines[0]["decision"], lines[0]["cause"]) == ("failed", "the upstream: reset")
    assert caplog.records == []


def test_an_application_without_an_answer_is_500() -> None:
    async def say_nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        """Do so."""

    exchange = Exchange(b"")
    exchange.run(gate(ACME, Lines(), say_nothing))

    assert exchange.answer[0] == 500


def test_a_peer_that_leaves_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can leave as often as he likes; only what is wrong with the application is worth a traceback."""
    lines = Lines()

    async def notice(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] == "http.request":
            pass
        raise ConnectionError("the client left")

    exchange = Exchange(b"half", then_leaves=True)
    exchange.run(gate(ACME, lines, notice))

    assert (lines[0]["decision"], lines[0]["status"]) == ("failed", None)
    assert (exchange.sent, caplog.records) == ([], [])


# -- the body, for a strategy and for the application ----------------------------


def reading_gate(reads: Reads, lines: Lines) -> Gate:
    """Make a gate whose strategy reads the body."""
    audit = AuditLog(lines, environment="test", clock=NOW.timestamp)
    guard = Guard(DEFAULT_POLICY, {Strategy.PINNED_CERTIFICATE: reads})
    doctor = Doctor(environment="test", per_minute=60)
    metrics = Metrics(audit)
    return Gate(echo, guard=guard, doctor=doctor, audit=audit, metrics=metrics, clock=lambda: NOW)


def test_a_body_that_a_strategy_read_still_reaches_the_application_whole() -> None:
    exchange = Exchange(b"on", b"", b"e two")
    reads = Reads(max_bytes=7)

    exchange.run(reading_gate(reads, Lines()))

    assert reads.bodies == [b"one two", b"one two"]
    assert reads.targets == [b"/?a=b"]
    assert exchange.answer == (200, {"body": "one two"})


def test_a_body_longer_than_a_strategy_reads_is_refused_before_it_is_held() -> None:
    lines, reads, exchange = Lines(), Reads(max_bytes=6), Exchange(b"one", b" two", b"never read")

    exchange.run(reading_gate(reads, lines))

    assert exchange.answer[0] == 413
    assert reads.bodies == []
    assert (lines[0]["decision"], lines[0]["status"]) == ("refused", 413)
    assert lines[0]["cause"] == "the body is longer than 6 bytes"


def test_a_peer_that_leaves_within_the_body_is_let_in_nowhere() -> None:
    lines, exchange = Lines(), Exchange(b"half", then_leaves=True)

    exchange.run(reading_gate(Reads(max_bytes=100), lines))

    assert exchange.sent == []
    assert (lines[0]["decision"], lines[0]["cause"]) == ("failed", "the peer went away")
