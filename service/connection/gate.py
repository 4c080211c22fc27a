"""
The walk of a request: who is this, what may they, answer, audit.

It stands in front of the application as an ASGI application itself. What the
session proved is in `scope["state"]["peer"]`; what the gate decided is there
for the application as `client`, beside the `request_id`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from service.audit import AuditLog, Event
from service.contract import Metric
from service.endpoints import whoami
from service.endpoints.asgi import PROBLEM_JSON, Application, Message, Receive, Scope, Send, answer
from service.endpoints.problem import headers_of, refusal, status_of
from service.identity.peer import Peer
from service.identity.policy import Policy, Strategy, decide
from service.identity.presented import Authenticator, Presented
from service.identity.verdict import Client, Reason, Refused, Verdict
from service.metrics import Measures


@dataclass(frozen=True, slots=True)
class Guard:
    """
    Who decides.

    Attributes:
        policy: What each route demands.
        authenticators: One for every strategy the policy names.
    """

    policy: Policy
    authenticators: Mapping[Strategy, Authenticator]

    async def judge(self, presented: Presented, path: str) -> Verdict:
        """Say who asks, and whether that one may ask for this path."""
        route = self.policy.route_of(path)
        if route is None:
            return Refused(Reason.NOT_PERMITTED)
        verdict = await decide(route.requirement, lambda strategy: self.authenticators[strategy].identify(presented))
        if isinstance(verdict, Client) and route.roles and not set(route.roles) & set(verdict.roles):
            return Refused(Reason.NOT_PERMITTED)
        return verdict


class Gate:
    """Lets identified clients through to the application, refuses all others, and writes one line for each request."""

    def __init__(
        self,
        application: Application,
        *,
        guard: Guard,
        audit: AuditLog,
        metrics: Measures,
        clock: Callable[[], datetime],
    ) -> None:
        self._application = application
        self._guard = guard
        self._audit = audit
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Walk one request.

        1. who is this: the strategies that the route's policy names are asked, for each request anew;
        2. what may they: the route says which roles;
        3. answer: the application's, or a refusal with its reason;
        4. audit: one line, whatever became of it.
        """
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        request = _Request(scope, send)
        verdict: Verdict | None = None
        try:
            verdict = await self._guard.judge(request.presented(receive, self._clock()), scope["path"])
            if scope["path"] == whoami.PATH:
                await whoami.answer_anybody(scope, verdict, request.id, request.send)
            elif isinstance(verdict, Client):
                scope["state"] |= {"client": verdict, "request_id": request.id}
                await self._application(scope, receive, request.send)
            else:
                await request.refuse(verdict)
        finally:
            self._record(request, verdict)

    def _record(self, request: _Request, verdict: Verdict | None) -> None:
        peer, scope = request.peer, request.scope
        address, port = scope["client"]
        milliseconds = round((time.perf_counter() - request.began) * 1000, 3)
        decision = _decision(verdict, request.status)
        reason = verdict.reason if isinstance(verdict, Refused) else None
        self._audit.record(
            Event.REQUEST,
            request_id=request.id,
            decision=decision,
            reason=reason,
            cause=verdict.cause if verdict is not None else None,
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
            duration_ms=milliseconds,
        )
        self._metrics.count(Metric.REQUESTS, decision=decision)
        self._metrics.observe(Metric.LATENCY, milliseconds)
        if reason is not None:
            self._metrics.count(Metric.REFUSALS, reason=reason)


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

    def presented(self, _receive: Receive, at: datetime) -> Presented:
        """Show the request to the strategies."""
        scope = self.scope
        target = scope.get("raw_path", b"")
        if scope.get("query_string"):
            target += b"?" + scope["query_string"]

        async def read_body(max_bytes: int) -> bytes:
            raise NotImplementedError(max_bytes)

        return Presented(
            peer=self.peer,
            method=scope["method"],
            target=target,
            headers=scope.get("headers", ()),
            read_body=read_body,
            at=at,
        )

    async def send(self, message: Message) -> None:
        """Pass the application's messages on, and see what it answered."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Answer with the reason."""
        document = refusal(refused.reason, fingerprint=self.peer.fingerprint, request_id=self.id)
        await answer(
            self.send,
            status_of(refused.reason),
            document,
            content_type=PROBLEM_JSON,
            headers=headers_of(refused.reason),
        )


def _decision(verdict: Verdict | None, status: int | None) -> str:
    if isinstance(verdict, Refused):
        return "refused"
    is_answered = verdict is not None and status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return "answered" if is_answered else "failed"
