"""What goes wrong behind us is told as our fault, and never looks like a whole answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from http.client import HTTPResponse, IncompleteRead

import pytest

from service.contract import Variable
from service.endpoints.asgi import Message, Scope
from service.endpoints.forward import Forward, Patience
from service.errors import PeerGoneError, UpstreamError
from service.identity.peer import Peer
from service.identity.verdict import Client
from tests.certificates import HOST_NAME, Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import Answer, Connection, Service, connection
from tests.wire.upstream import OK, WAIT_SECONDS, Channel, Upstream, open_upstream

GET = b"GET /slow HTTP/1.1\r\nhost: " + HOST_NAME.encode() + b"\r\n\r\n"


def ask(service: Service, partner: Identity, request: bytes = GET) -> Answer:
    """Send one request, read one answer."""
    with connection(service, partner) as opened:
        opened.send(request)
        return opened.answer()


def reset(opened: Connection) -> None:
    """Go away, as a process that is killed does; one that only says it will send no more is owed its answer."""
    opened.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    opened.close()


def reset_at_once(channel: Channel) -> None:
    """Read the request and end the connection hard."""
    channel.request()
    channel.reset()


def close_at_once(channel: Channel) -> None:
    """Read the request and say nothing."""
    channel.request()


def talk_nonsense(channel: Channel) -> None:
    """Answer in no HTTP."""
    channel.request()
    channel.send(b"220 mail.example ESMTP\r\n\r\n")


def say_nothing(channel: Channel) -> None:
    """Take what comes."""
    channel.wait_for_end()


def switch(channel: Channel) -> None:
    """Answer an upgrade that nobody asked for."""
    channel.request()
    channel.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")


def send_too_long_a_head(channel: Channel) -> None:
    """Answer fields without end."""
    channel.request()
    channel.send(b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"a" * 200_000)


@pytest.mark.parametrize("behavior", [reset_at_once, close_at_once, talk_nonsense, switch, send_too_long_a_head])
def test_no_answer_is_502_with_the_request_id_and_the_cause_in_the_audit(
    forwarding: Service, upstream: Upstream, partner: Identity, behavior: Callable[[Channel], None]
) -> None:
    upstream.behavior = behavior

    answer = ask(forwarding, partner)

    assert (answer.status, answer.content_type) == (502, "application/problem+json")
    line = forwarding.event("request", request_id=answer.document["request_id"])
    assert (line["decision"], line["status"], line["client"]) == ("failed", 502, "acme")
    assert line["cause"].startswith("the upstream: ")


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ],
    ids=["length", "chunks", "chunk", "nonsense"],
)
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
def test_half_an_answer_is_never_taken_for_whole(
    forwarding: Service, upstream: Upstream, partner: Identity, half: bytes, *, is_reset: bool
) -> None:
    """The end that the framing promises never comes, and the connection ends without close_notify or in a reset."""
    go_on = threading.Event()

    def break_off(channel: Channel) -> None:
        channel.request()
        channel.send(half)
        go_on.wait(WAIT_SECONDS)
        if is_reset:
            channel.reset()

    upstream.behavior = break_off
    with connection(forwarding, partner) as opened:
        opened.send(GET)
        response = HTTPResponse(opened.tls)
        response.begin()
        go_on.set()
        with pytest.raises((IncompleteRead, ConnectionError, ssl.SSLError)):
            response.read()

    line = forwarding.event("request", path="/slow", decision="failed", status=200)
    assert line["cause"].startswith("the upstream: ")


def test_a_kept_connection_that_the_upstream_closed_costs_nobody_his_answer(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    """The race of keep-alive: it closes just as we send. Nothing was answered, so a GET may be asked once more."""
    turns = iter([OK, b"", OK, b""])

    def close_on_the_second(channel: Channel) -> None:
        while answer := next(turns):
            upstream.asked.append(channel.request())
            channel.send(answer)
        channel.request()
        channel.reset()

    upstream.behavior = close_on_the_second
    answers = [ask(forwarding, partner).status for _ in range(2)]

    assert answers == [200, 200]


def test_what_may_have_been_done_is_not_asked_for_twice(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    """A POST on a kept connection that ends: the upstream may have acted on it, only the client can know what next."""
    seen = []

    def act_and_end(channel: Channel) -> None:
        upstream.asked.append(channel.request())
        channel.send(OK)
        seen.append(channel.request().line)
        channel.reset()

    upstream.behavior = act_and_end
    ask(forwarding, partner)
    post = b"POST /act HTTP/1.1\r\nhost: " + HOST_NAME.encode() + b"\r\ncontent-length: 2\r\n\r\nab"
    answer = ask(forwarding, partner, post)

    assert answer.status == 502
    assert seen == [b"POST /act HTTP/1.1"]


def test_a_client_that_goes_away_ends_the_upstreams_work(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    reached, ended = threading.Event(), threading.Event()

    def wait(channel: Channel) -> None:
        channel.request()
        reached.set()
        channel.wait_for_end()
        ended.set()

    upstream.behavior = wait
    with connection(forwarding, partner) as opened:
        opened.send(GET)
        assert reached.wait(WAIT_SECONDS)
        reset(opened)

    assert ended.wait(WAIT_SECONDS)
    line = forwarding.event("request", path="/slow", status=None)
    assert (line["decision"], line["cause"]) == ("failed", "the peer went away")


def test_a_client_that_goes_away_within_its_body_leaves_no_whole_request(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    """An upstream must not take half a document for a document."""
    received: list[bytes] = []
    reached, ended = threading.Event(), threading.Event()

    def take(channel: Channel) -> None:
        channel.head()
        reached.set()
        received.append(channel.wait_for_end())
        ended.set()

    upstream.behavior = take
    with connection(forwarding, partner) as opened:
        head = b"POST / HTTP/1.1\r\nhost: " + HOST_NAME.encode() + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        opened.send(head + b"4\r\nhalf\r\n")
        assert reached.wait(WAIT_SECONDS)
        reset(opened)

    assert ended.wait(WAIT_SECONDS)
    assert not received[0].endswith(b"0\r\n\r\n")


# -- in this process, where a test sets the patience -------------------------------


async def call(forward: Forward, *, leaves: asyncio.Event | None = None) -> list[Message]:
    """Put one GET through; the client waits for its answer, or leaves."""
    peer = Peer.of_handshake(client().der, verify_errors=(), tls_version="TLSv1.3", cipher="C", group=None)
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.7", 1),
        "state": {"peer": peer, "client": Client("acme", ()), "request_id": "1"},
    }
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await (leaves or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await forward(scope, receive, send)
    return sent


def run(upstream: Upstream, patience: Patience) -> UpstreamError:
    """Put one GET through that must fail."""

    async def fail() -> UpstreamError:
        forward = Forward(upstream.url, host_name=HOST_NAME, drops_authorization=False, patience=patience)
        with pytest.raises(UpstreamError) as raised:
            await call(forward)
        return raised.value

    return asyncio.run(fail())


def test_how_long_an_upstream_may_take_is_a_setting(
    start_service: StartService, upstream: Upstream, partner: Identity
) -> None:
    upstream.behavior = say_nothing
    service = start_service(**{Variable.FORWARD_TO: upstream.url, Variable.UPSTREAM_SECONDS: "1"})

    answer = ask(service, partner)

    assert (answer.status, answer.content_type) == (504, "application/problem+json")
    assert 1000 <= service.event("request", request_id=answer.document["request_id"])["duration_ms"] < 5000


def test_an_upstream_that_does_not_answer_in_time_is_504() -> None:
    with open_upstream() as upstream:
        upstream.behavior = say_nothing

        error = run(upstream, Patience(read=0.1))

    assert error.status == 504
    assert "ReadTimeout" in error.cause


def test_an_upstream_that_is_not_there_is_502() -> None:
    with open_upstream() as upstream:
        upstream.close()

        error = run(upstream, Patience())

    assert error.status == 502
    assert "cannot be reached" in error.detail
    assert error.cause.startswith("ConnectError")


def test_an_upstream_that_stops_within_its_answer_ends_it() -> None:
    def stop(channel: Channel) -> None:
        channel.request()
        channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        channel.wait_for_end()

    with open_upstream() as upstream:
        upstream.behavior = stop

        error = run(upstream, Patience(read=0.1))

    assert "ReadTimeout" in error.cause


def test_a_client_that_leaves_is_told_to_nobody() -> None:
    async def leave(upstream: Upstream) -> None:
        leaves = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, leaves.set)
        forward = Forward(upstream.url, host_name=HOST_NAME, drops_authorization=False)
        with pytest.raises(PeerGoneError):
            await call(forward, leaves=leaves)

    with open_upstream() as upstream:
        upstream.behavior = say_nothing
        asyncio.run(leave(upstream))
