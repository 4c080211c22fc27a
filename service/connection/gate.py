"""
The walk of a request: who is this, what may they, answer, audit.

It stands in front of the application as an ASGI application itself. What the
session proved is in `scope["state"]["peer"]`; what the gate decided is there
for the application as `client`, beside the `request_id`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

from service.audit import AuditLog, Event
from service.endpoints.asgi import PROBLEM_JSON, Application, Message, Receive, Scope, Send, answer
from service.endpoints.problem import refusal, status_of
from service.identity.peer import Peer
from service.identity.verdict import Client, Refused, Verdict


class Authenticator(Protocol):
    """One way to say who a peer is."""

    async def identify(self, peer: Peer, *, at: datetime) -> Verdict:
        """Name the client, or say why the peer is none."""


class Gate:
    """Lets identified clients through to the application, refuses all others, and writes one line for each request."""

    def __init__(
        self,
        application: Application,
        *,
        authenticator: Authenticator,
        audit: AuditLog,
        clock: Callable[[], datetime],
    ) -> None:
        self._application = application
        self._authenticator = authenticator
        self._audit = audit
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Walk one request.

        1. who is this: the authenticator asks the registry, for each request anew;
        2. what may they: an enrolled client may ask everything the application answers;
        3. answer: the application's, or a refusal with its reason;
        4. audit: one line, whatever became of it.
        """
        request = _Request(scope, send)
        verdict: Verdict | None = None
        try:
            verdict = await self._authenticator.identify(request.peer, at=self._clock())
            match verdict:
                case Client():
                    scope["state"] |= {"client": verdict, "request_id": request.id}
                    await self._application(scope, receive, request.send)
                case Refused():
                    await request.refuse(verdict)
        finally:
            self._record(request, verdict)

    def _record(self, request: _Request, verdict: Verdict | None) -> None:
        peer, scope = request.peer, request.scope
        address, port = scope["client"]
        self._audit.record(
            Event.REQUEST,
            request_id=request.id,
            decision=_decision(verdict, request.status),
            reason=verdict.reason if isinstance(verdict, Refused) else None,
            cause=verdict.cause if isinstance(verdict, Refused) else None,
            status=request.status,
            client=verdict.name if isinstance(verdict, Client) else None,
            fingerprint=peer.fingerprint.hex if peer.fingerprint else None,
            method=scope["method"],
            path=scope["path"],
            peer_address=address,
            peer_port=port,
            tls_version=peer.tls_version,
            cipher=peer.cipher,
            group=peer.group,
            verify_errors=peer.verify_errors,
            duration_ms=round((time.perf_counter() - request.began) * 1000, 3),
        )


class _Request:
    """
    What the walk keeps of one request.

    Attributes:
        id: Stands in the answer and in the audit line.
        status: Of the answer; None while none was begun.
        began: On the performance counter, in seconds.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.peer: Peer = scope["state"]["peer"]
        self.id = uuid.uuid4().hex
        self.status: int | None = None
        self.began = time.perf_counter()
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass the application's messages on, and see what it answered."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Answer with the reason."""
        document = refusal(refused.reason, fingerprint=self.peer.fingerprint, request_id=self.id)
        await answer(self.send, status_of(refused.reason), document, content_type=PROBLEM_JSON)


def _decision(verdict: Verdict | None, status: int | None) -> str:
    if isinstance(verdict, Refused):
        return "refused"
    is_answered = verdict is not None and status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return "answered" if is_answered else "failed"
