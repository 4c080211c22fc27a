"""
Hands requests on to an upstream over HTTP/1.1, and its answers back.

Neither body is ever held whole: of each there is one piece here at a time,
and whoever is slower sets the pace. Imported only where an upstream is
configured.

1. The framing must leave no doubt where the request ends.
2. What the client says of itself is dropped, what we know of it is added.
3. The upstream is asked; a kept connection that it closed meanwhile is tried once more where that cannot do harm.
4. Its answer passes on; a fault before it is 502 or 504, one within it ends the client's connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpcore2

from service.endpoints.asgi import Receive, Scope, Send
from service.endpoints.forwarded_fields import Fields, identity_fields, request_fields, response_fields
from service.errors import PeerGoneError, UpstreamError
from service.settings import UPSTREAM

if TYPE_CHECKING:
    import h11  # httpcore2 brings it

MAX_CONNECTIONS: Final = 256
"""To the upstream, of each worker: more requests than that under way at once are more than it is likely to take."""
MAX_IDLE_CONNECTIONS: Final = 64
IDLE_SECONDS: Final = 4.0
"""Shorter than the 5 s after which uvicorn and Node close an idle connection, so that we are first."""

_HTTP_PORT: Final = 80
_IDEMPOTENT: Final = frozenset({HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.OPTIONS, HTTPMethod.PUT, HTTPMethod.DELETE})
_NEVER_FORWARDED: Final = frozenset({HTTPMethod.CONNECT, HTTPMethod.TRACE})
"""One would make a tunnel; the other would read our own fields back to the client (RFC 9110, section 9.3.8)."""
_NO_STATUS: Final = 600
"""Above those of RFC 9110, section 15."""
_USUALLY_WITH_BODY: Final = frozenset({HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH})

_OURS: Final = "this is our fault."
_UNREACHABLE: Final = (HTTPStatus.BAD_GATEWAY, f"The application behind us cannot be reached; {_OURS}")
_BROKEN: Final = (HTTPStatus.BAD_GATEWAY, f"The application behind us gave no answer we can pass on; {_OURS}")
_LATE: Final = (HTTPStatus.GATEWAY_TIMEOUT, f"The application behind us did not answer in time; {_OURS}")
_BUSY: Final = (HTTPStatus.SERVICE_UNAVAILABLE, "The application behind us has no time. Wait a moment, then ask again.")
_UNREADABLE: Final = (HTTPStatus.BAD_REQUEST, "The request cannot be passed on as it is.")
_UNKNOWN_CODING: Final = (HTTPStatus.NOT_IMPLEMENTED, "Of transfer codings we know `chunked` alone.")
_AMBIGUOUS: Final = (HTTPStatus.BAD_REQUEST, "The request says in two ways where its body ends.")
_NOT_FOR_US: Final = (HTTPStatus.NOT_IMPLEMENTED, "CONNECT and TRACE are not passed on.")

_FAULTS: Final[tuple[tuple[type[Exception], tuple[HTTPStatus, str]], ...]] = (
    (httpcore2.PoolTimeout, _BUSY),
    (httpcore2.TimeoutException, _LATE),
    (httpcore2.ConnectError, _UNREACHABLE),
    (httpcore2.LocalProtocolError, _UNREADABLE),
    (httpcore2.RemoteProtocolError, _BROKEN),
    (httpcore2.NetworkError, _BROKEN),
)
"""What the client is told, the narrower first."""

_CAUGHT: Final = tuple(each for each, _ in _FAULTS)


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long to wait for an upstream, in seconds.

    Attributes:
        connect: Within one VPC a connection takes a millisecond; 5 s covers two lost packets.
        write: For one piece of a body that the upstream does not take.
        read: To the beginning of an answer, and between its pieces; as long as the load balancer keeps an idle
            connection open.
        pool: For a free connection; whoever waits longer is told to come back.
    """

    connect: float = 5
    write: float = 30
    read: float = 60
    pool: float = 5


class Forward:
    """
    The ASGI application that is somebody else's.

    Args:
        upstream: `http://host:port`.
        host_name: Ours; the upstream sees no other Host.
        drops_authorization: Whether `Authorization` was for us and ends here.
        patience: How long to wait for it.
    """

    def __init__(
        self, upstream: str, *, host_name: str, drops_authorization: bool, patience: Patience | None = None
    ) -> None:
        parts = UPSTREAM.fullmatch(upstream)
        if parts is None:
            raise ValueError(f"no upstream: {upstream}")
        self._host, self._port = parts["host"].strip("[]").encode(), int(parts["port"] or _HTTP_PORT)
        self._host_name = host_name
        self._drops_authorization = drops_authorization
        self._timeouts = asdict(patience or Patience())
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=httpcore2.AnyIOBackend(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Hand one request on.

        Raises:
            UpstreamError: There is no answer to pass on, or no whole one.
            PeerGoneError: Nobody waits for it any more.
        """
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        request, body = self._request(scope, _framing(scope)), _Body(receive)
        if not request.has_body:
            body.leave()
        asking = asyncio.ensure_future(self._hand_on(request, body, send))
        watching = asyncio.ensure_future(body.until_peer_leaves())
        try:
            await asyncio.wait({asking, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise PeerGoneError
            asking.result()
        finally:
            asking.cancel()
            watching.cancel()
            await asyncio.gather(asking, watching, return_exceptions=True)

    async def _hand_on(self, request: _Request, body: _Body, send: Send) -> None:
        try:
            response = await self._ask(request, body)
        except _CAUGHT as error:
            raise _fault(error) from error
        try:
            await _pass_on(response, send)
            _drop_strays(response)
        finally:
            await response.aclose()

    async def _ask(self, request: _Request, body: _Body, *, is_last: bool = False) -> httpcore2.Response:
        """Ask; once more where the upstream closed a kept connection just when we took it up again."""
        connects: list[str] = []

        async def note(event: str, _info: object) -> None:
            if event == "connection.connect_tcp.started":
                connects.append(event)

        asked = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=b"http", host=self._host, port=self._port, target=request.target),
            headers=request.fields,
            content=body.stream() if request.has_body else None,
            extensions={"timeout": self._timeouts, "trace": note},
        )
        try:
            return await self._pool.handle_async_request(asked)
        except (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError):
            # A connection made for this request was no left-over, and what a body began is not asked for twice.
            if is_last or connects or body.has_begun or request.method not in _IDEMPOTENT:
                raise
        return await self._ask(request, body, is_last=True)

    def _request(self, scope: Scope, framing: Fields) -> _Request:
        query: bytes = scope["query_string"]
        return _Request(
            method=scope["method"],
            target=scope["raw_path"] + b"?" + query if query else scope["raw_path"],
            fields=[(b"Host", self._host_name.encode()), *framing, *self._fields(scope)],
            has_body=bool(framing) and framing[0][1] != b"0",
        )

    def _fields(self, scope: Scope) -> Fields:
        state = scope["state"]
        said = request_fields(scope["headers"], drops_authorization=self._drops_authorization)
        known = identity_fields(
            state["client"],
            state["peer"],
            request_id=state["request_id"],
            address=scope["client"][0],
            host_name=self._host_name,
        )
        return [*said, *known]

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the server's life, to close what is open at its end."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.aclose()
        await send({"type": "lifespan.shutdown.complete"})


@dataclass(frozen=True, slots=True)
class _Request:
    """One request as the upstream sees it."""

    method: str
    target: bytes
    fields: Fields
    has_body: bool


class _Body:
    """
    The client's body on its way, and whether the client is still there.

    Attributes:
        has_begun: Whether any of it was taken; what is taken cannot be taken again.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_left = asyncio.Event()
        self.has_begun = False

    async def stream(self) -> AsyncGenerator[bytes]:
        """Give it piece by piece; a client that expects `100 Continue` is sent that with the first."""
        self.has_begun, more = True, True
        try:
            while more:
                message = await self._receive()
                if message["type"] != "http.request":
                    raise PeerGoneError
                if piece := message.get("body", b""):
                    yield piece
                more = message.get("more_body", False)
        finally:
            self._is_left.set()

    async def until_peer_leaves(self) -> None:
        """Wait, once the body is not needed any more, until the client goes away."""
        await self._is_left.wait()
        while (await self._receive())["type"] == "http.request":
            pass

    def leave(self) -> None:
        """Say that nobody takes the body."""
        self._is_left.set()


async def _pass_on(response: httpcore2.Response, send: Send) -> None:
    has_body = response.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if not HTTPStatus.OK <= response.status < _NO_STATUS:
        raise _error(_BROKEN, f"status {response.status}")
    try:
        fields = response_fields(response.headers, has_body=has_body)
    except ValueError as error:
        raise _error(_BROKEN, str(error)) from error
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    if not any(name == b"content-length" for name, _ in fields):
        # A stream of events has its head long before its first event; whoever waits for it may have it now.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
    try:
        async for piece in response.aiter_stream():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except _CAUGHT as error:
        raise _fault(error) from error
    await send({"type": "http.response.body", "body": b""})


def _drop_strays(response: httpcore2.Response) -> None:
    """
    Make sure that what an upstream sent beyond its answer is not taken for the answer to somebody else's request.

    httpcore2 would keep it with the connection, and has no word for this. h11, beneath it, gives up a connection
    whose sending failed, and httpcore2 closes such a one. A test fails if that should ever change.
    """
    stream: Any = response.stream  # Any: it is the pool's own, and does not show what it wraps
    beneath: h11.Connection = stream._stream._connection._h11_state  # noqa: SLF001 -- see above
    if beneath.trailing_data[0]:
        beneath.send_failed()


def _framing(scope: Scope) -> Fields:
    """
    Say where the body ends, in one way only.

    Raises:
        UpstreamError: In no way that the upstream is certain to understand as we do.
    """
    lengths = [value.strip(b" \t") for name, value in scope["headers"] if name == b"content-length"]
    codings = [value.lower() for name, value in scope["headers"] if name == b"transfer-encoding"]
    if scope["method"] in _NEVER_FORWARDED:
        raise _error(_NOT_FOR_US, scope["method"])
    if codings and codings != [b"chunked"]:
        raise _error(_UNKNOWN_CODING, "a transfer coding that is not chunked")
    if len(lengths) + len(codings) > 1 or not all(value.isdigit() for value in lengths):
        raise _error(_AMBIGUOUS, "two framings of the body")
    if codings:
        return [(b"Transfer-Encoding", b"chunked")]
    if lengths:
        return [(b"Content-Length", lengths[0].lstrip(b"0") or b"0")]
    return [(b"Content-Length", b"0")] if scope["method"] in _USUALLY_WITH_BODY else []


def _fault(error: Exception) -> UpstreamError:
    told = next(told for kind, told in _FAULTS if isinstance(error, kind))
    return _error(told, f"{type(error).__name__} {error}".strip())


def _error(told: tuple[HTTPStatus, str], cause: str) -> UpstreamError:
    return UpstreamError(cause, status=told[0], detail=told[1])
