"""
The walk of a request: who is this, what may they, answer, audit.

It stands in front of the application as an ASGI application itself. What the
session proved is in `scope["state"]["peer"]`; what the gate decided is there
for the application as `client`, beside the `request_id`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final

from service.audit import AuditLog, ConnectionFacts
from service.contract import Metric
from service.endpoints import whoami
from service.endpoints.asgi import PROBLEM_JSON, Application, Message, Receive, Scope, Send, answer
from service.endpoints.problem import headers_of, problem, refusal, status_of
from service.endpoints.whoami import Doctor
from service.errors import BodyTooLargeError, PeerGoneError, ServiceError, UpstreamError
from service.identity.peer import Peer
from service.identity.policy import Policy, Strategy, decide
from service.identity.presented import Authenticator, Presented
from service.identity.verdict import Client, Reason, Refused, Verdict
from service.metrics import Metrics

_log = logging.getLogger(__name__)

_ID_BYTES: Final = 16
"""128 random bits: nobody guesses another's request id, and no two are alike."""


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

    async def judge(self, presented: Presented, path: str, *, target: bytes = b"") -> Verdict:
        """Say who asks, and whether that one may ask for this path; `target` is how it was written, if it was."""
        route = self.policy.route_of(path, target)
        if route is None:
            return Refused(Reason.NOT_PERMITTED, "no route covers the path, or it can be read as another route's")
        return await decide(route, lambda strategy: self.authenticators[strategy].identify(presented))


class Gate:
    """Lets identified clients through to the application, refuses all others, and writes one line for each request."""

    def __init__(  # noqa: PLR0913 -- everything a request meets, put together in one place
        self,
        application: Application,
        *,
        guard: Guard,
        doctor: Doctor,
        audit: AuditLog,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._application = application
        self._guard = guard
        self._doctor = doctor
        self._audit = audit
        self._metrics = metrics
        self._requests = {each: metrics.counter(Metric.REQUESTS, decision=each) for each in _DECISIONS}
        self._latency = metrics.histogram(Metric.LATENCY)
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Walk one request.

        1. who is this: the strategies that the route's policy names are asked, for each request anew;
        2. what may they: the route says which roles;
        3. answer: the application's, or a refusal with its reason; `/whoami` answers anybody;
        4. audit: one line, whatever became of it, before the last of the answer is handed on.
        """
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        request = _Request(scope, receive, send, record=self._record)
        try:
            if scope["path"] == whoami.PATH:
                await self._consult(request)
            else:
                await self._let_in(request)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            await request.fail(error)
        finally:
            request.record()

    async def _let_in(self, request: _Request) -> None:
        scope = request.scope
        presented = request.presented(self._clock())
        verdict = request.verdict = await self._guard.judge(presented, scope["path"], target=presented.target)
        if isinstance(verdict, Refused):
            await request.refuse(verdict)
            return
        state = scope["state"]
        state["client"], state["request_id"] = verdict, request.id
        await self._application(scope, request.receive, request.send)
        request.check_answered()

    async def _consult(self, request: _Request) -> None:
        """Tell anybody what we see of him and what the policy would say; nobody is let in by it."""
        if wait_seconds := self._doctor.seconds_to_wait(request.scope):
            refused = request.verdict = Refused(Reason.RATE_LIMITED)
            await request.refuse(refused, wait_seconds=wait_seconds)
            return
        asked = whoami.asked_path(request.scope)
        if asked is None:
            await whoami.refuse_question(request.scope, request.send, request_id=request.id)
            return
        at = self._clock()
        verdict = request.verdict = await self._guard.judge(request.presented(at), asked)
        request.decision = _ANSWERED
        await self._doctor.answer(request.scope, request.send, request_id=request.id, verdict=verdict, at=at)

    def _record(self, request: _Request) -> None:
        peer, scope, verdict = request.peer, request.scope, request.verdict
        address, port = scope["client"]
        milliseconds = round((time.perf_counter() - request.began) * 1000, 3)
        decision = request.decision or _decision(verdict, request.status)
        client = reason = cause = None
        if isinstance(verdict, Refused):
            reason, cause = verdict.reason, verdict.cause
        elif isinstance(verdict, Client):
            client, cause = verdict.name, verdict.cause
            if verdict.not_after is not None:
                self._metrics.saw_client(client, verdict.not_after)
        self._audit.request(
            ConnectionFacts(
                address,
                port,
                scope["state"].get("vpc_endpoint"),
                peer.fingerprint.hex if peer.fingerprint else None,
                peer.tls_version,
                peer.cipher,
                peer.group,
                peer.verify_errors,
            ),
            request_id=request.id,
            decision=decision,
            reason=reason,
            cause=request.cause or cause,
            status=request.status,
            client=client,
            method=scope["method"],
            path=scope["path"],
            duration_ms=milliseconds,
        )
        self._requests[decision].add()
        self._latency.add(milliseconds)
        if decision == _REFUSED and reason is not None:
            self._metrics.count(Metric.REFUSALS, reason=reason)
        elif decision == _FAILED and not request.has_peer_gone:
            self._metrics.count(Metric.REQUESTS_FAILED)


class _Request:
    """
    What the walk keeps of one request.

    Attributes:
        id: Stands in the answer and in the audit line.
        verdict: Who asks, or why it is nobody; None while nobody has decided.
        decision: What the audit line says became of it, where verdict and status do not tell.
        cause: What went wrong, for the audit and not for the peer.
        status: Of the answer; None while nothing of it was passed on.
        began: On the performance counter, in seconds.
        has_peer_gone: Before it had its answer.
    """

    __slots__ = (
        "_body",
        "_is_recorded",
        "_is_replayed",
        "_receive",
        "_record",
        "_send",
        "_start",
        "began",
        "cause",
        "decision",
        "has_peer_gone",
        "id",
        "peer",
        "scope",
        "status",
        "verdict",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, record: Callable[[_Request], None]) -> None:
        self.began = time.perf_counter()
        self.scope = scope
        self.peer: Peer = scope["state"]["peer"]
        self.id = os.urandom(_ID_BYTES).hex()
        self.verdict: Verdict | None = None
        self.decision: str | None = None
        self.cause: str | None = None
        self.status: int | None = None
        self._receive = receive
        self._send = send
        self._record = record
        self._is_recorded = False
        self._body: bytes | None = None
        self._is_replayed = False
        self.has_peer_gone = False
        self._start: Message | None = None

    def presented(self, at: datetime) -> Presented:
        """Show the request to the strategies."""
        scope = self.scope
        query: bytes = scope["query_string"]
        return Presented(
            peer=self.peer,
            method=scope["method"],
            target=scope["raw_path"] + b"?" + query if query else scope["raw_path"],
            headers=scope["headers"],
            read_body=self.read_body,
            at=at,
        )

    async def read_body(self, max_bytes: int) -> bytes:
        """
        Read the whole body for a strategy; the application gets it afterwards.

        Raises:
            BodyTooLargeError: It is longer; no more of it was kept than that and one message.
            PeerGoneError: The peer left in the middle of it.
        """
        if self._body is None:
            chunks, read, more = [], 0, True
            while more:
                message = await self._receive()
                if message["type"] != "http.request":
                    self.has_peer_gone = True
                    raise PeerGoneError
                chunks.append(message.get("body", b""))
                read, more = read + len(chunks[-1]), message.get("more_body", False)
                if read > max_bytes:
                    raise BodyTooLargeError(max_bytes)
            self._body = b"".join(chunks)
        if len(self._body) > max_bytes:
            raise BodyTooLargeError(max_bytes)
        return self._body

    async def receive(self) -> Message:
        """Give the application what the peer sends, a body that was read already first."""
        if self._body is not None and not self._is_replayed:
            self._is_replayed = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.has_peer_gone = True
        return message

    async def send(self, message: Message) -> None:
        """Pass the application's messages on; its head waits for its body, so that until then we can still say 500."""
        if message["type"] == "http.response.start" and self._start is None and self.status is None:
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
            self.status = start["status"]
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            # Before the peer can have the whole answer, whatever ends us then (docs/adr/0008).
            self.record()
        await self._send(message)

    def record(self) -> None:
        """Write the line, once."""
        if not self._is_recorded:
            self._is_recorded = True
            self._record(self)

    async def refuse(self, refused: Refused, *, wait_seconds: int | None = None) -> None:
        """Answer with the reason."""
        document = refusal(refused.reason, fingerprint=self.peer.fingerprint, request_id=self.id)
        await answer(
            self.send,
            status_of(refused.reason),
            document,
            content_type=PROBLEM_JSON,
            headers=headers_of(refused.reason, wait_seconds=wait_seconds),
        )

    def check_answered(self) -> None:
        """
        Make sure that somebody has begun an answer, unless there is nobody to answer.

        Raises:
            RuntimeError: Nobody has.
        """
        if self.status is None and not self.has_peer_gone:
            raise RuntimeError("the application returned without an answer")

    async def fail(self, error: BaseException) -> None:
        """
        Answer for what went wrong behind us.

        Where an answer had begun there is nothing left to say but the end of the connection, which the server makes
        of an answer without its end; no client takes it for whole, because its framing says more is to come.
        """
        self.cause = str(error) if isinstance(error, ServiceError) else type(error).__name__
        self._start = None
        if isinstance(error, BodyTooLargeError) and self.status is None:
            await self._explain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is limited to {error.max_bytes} bytes.")
        elif isinstance(error, UpstreamError) and self.status is None and not self.has_peer_gone:
            await self._explain(error.status, error.detail)
        elif self.has_peer_gone or isinstance(error, PeerGoneError | UpstreamError):
            self.decision = _FAILED
        else:
            _log.error("request %s: nobody could answer", self.id, exc_info=error)
            await self._admit_fault()

    async def _admit_fault(self) -> None:
        if self.status is not None:
            self.decision = _FAILED
            return
        await self._explain(HTTPStatus.INTERNAL_SERVER_ERROR, "This is our fault. The request id tells us more.")

    async def _explain(self, status: HTTPStatus, detail: str) -> None:
        document = problem(status, detail, request_id=self.id)
        await answer(self.send, status, document, content_type=PROBLEM_JSON)


def _is_cancelled() -> bool:
    """Whether the request's own task was, as at the end of a drain, and not something that the application awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_ANSWERED: Final = "answered"
_REFUSED: Final = "refused"
_FAILED: Final = "failed"
_DECISIONS: Final = (_ANSWERED, _REFUSED, _FAILED)


def _decision(verdict: Verdict | None, status: int | None) -> str:
    if isinstance(verdict, Refused):
        return _REFUSED
    if status is None or status >= _OUR_FAULT:
        return _FAILED
    return _REFUSED if verdict is None else _ANSWERED


_OUR_FAULT: Final = 500
"""From here on a status says so; a plain number, for to look up an enumeration's member costs a microsecond."""
