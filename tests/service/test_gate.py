"""The walk of a request: who, may they, answer, audit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.audit import AuditLog
from service.connection.gate import Gate, Guard
from service.endpoints.asgi import Application, Message, Receive, Scope, Send
from service.endpoints.health import Health
from service.endpoints.problem import status_of
from service.endpoints.welcome import welcome
from service.identity.peer import Peer
from service.identity.policy import DEFAULT_POLICY, Strategy
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

    def flush(self) -> None:
        """Nothing waits here."""


def request(application: Application, *, method: str = "GET", path: str = "/") -> tuple[int, dict[str, Any]]:
    """Send one request to an application; returns status and document."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": ("192.0.2.7", 51514),
        "state": {"peer": PEER},
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(_call(application, scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


async def _call(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    await application(scope, receive, send)


def gate(verdict: Verdict, lines: Lines, application: Application = welcome) -> Gate:
    """Make a gate whose verdict is given."""
    audit = AuditLog(lines, environment="test", clock=lambda: NOW)
    guard = Guard(DEFAULT_POLICY, {Strategy.PINNED_CERTIFICATE: Says(verdict)})
    metrics = Metrics(audit, environment="test")
    return Gate(application, guard=guard, audit=audit, metrics=metrics, clock=lambda: NOW)


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

    with pytest.raises(LookupError):
        request(gate(ACME, lines, break_down))

    assert (lines[0]["decision"], lines[0]["status"], lines[0]["client"]) == ("failed", None, "acme")


@pytest.mark.parametrize("character", ["a", "\u20ac", "\U0001f600", "\0"], ids=ascii)
def test_a_line_is_cut_before_a_pipe_would_tear_it(character: str) -> None:
    """Whatever the characters take once they are escaped, in the path and in the client's name."""
    lines = Lines()

    request(gate(Client(character * 5000, ()), lines), path="/" + character * 5000)

    assert len(json.dumps(lines[0])) < 4096
    assert lines[0]["path"].startswith("/" + character * 100)


def test_whoami_is_all_there_is() -> None:
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
