"""Bodies pass piece by piece in both directions; whoever is slower sets the pace, and nothing piles up in between."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPResponse

from tests.certificates import HOST_NAME, Identity
from tests.wire.stage import Service, connection
from tests.wire.upstream import WAIT_SECONDS, Channel, Upstream

PIECE = bytes(range(256)) * 256
PIECES = 256
"""16 MiB in all."""

BETWEEN = 12 * 1024 * 1024
"""The kernel lets the service's two sockets hold up to 6 and 4 MiB; the others are made small here."""

HOST = b"host: " + HOST_NAME.encode() + b"\r\n"


def test_the_upstream_waits_for_a_client_that_reads_slowly(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    sent = [0]

    def answer_much(channel: Channel) -> None:
        channel.request()
        channel.plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            channel.send(PIECE)
            sent[0] += len(PIECE)

    upstream.behavior = answer_much
    with connection(forwarding, partner) as opened:
        opened.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until_still(sent)
        sent_while_nobody_read = sent[0]
        response = HTTPResponse(opened.tls)
        response.begin()
        digest = hashlib.sha256(response.read())

    assert sent_while_nobody_read < BETWEEN
    assert digest.digest() == hashlib.sha256(PIECE * PIECES).digest()


def test_the_client_waits_for_an_upstream_that_reads_slowly(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    sent, go_on = [0], threading.Event()

    def read_late(channel: Channel) -> None:
        head = channel.head()
        go_on.wait(WAIT_SECONDS)
        left, digest = len(PIECE) * PIECES, hashlib.sha256()
        while left:
            body = channel.some()
            digest.update(body)
            left -= len(body)
        assert b"transfer-encoding" not in head.lower()
        channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + digest.hexdigest().encode())

    upstream.behavior = read_late
    with connection(forwarding, partner) as opened:
        opened.send(b"POST / HTTP/1.1\r\n" + HOST + b"content-length: %d\r\n\r\n" % (len(PIECE) * PIECES))

        opened.tls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

        def send_all() -> None:
            with suppress(OSError):
                for _ in range(PIECES):
                    opened.send(PIECE)
                    sent[0] += len(PIECE)

        sending = threading.Thread(target=send_all)
        sending.start()
        wait_until_still(sent)
        sent_while_nobody_read = sent[0]
        go_on.set()
        sending.join(WAIT_SECONDS)
        response = HTTPResponse(opened.tls)
        response.begin()
        digest = response.read().decode()

    assert sent_while_nobody_read < BETWEEN
    assert digest == hashlib.sha256(PIECE * PIECES).hexdigest()


def test_a_stream_of_events_arrives_event_by_event(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    """The head at once, then each event when it happens."""
    go_on = threading.Event()

    def tell(channel: Channel) -> None:
        channel.request()
        channel.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            go_on.wait(WAIT_SECONDS)
            go_on.clear()
            channel.send(b"9\r\ndata: %d\n\n\r\n" % number)
        channel.send(b"0\r\n\r\n")

    upstream.behavior = tell
    with connection(forwarding, partner) as opened:
        opened.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        response = HTTPResponse(opened.tls)
        response.begin()
        events = []
        for _ in range(3):
            go_on.set()
            events.append(response.read1())
        rest = response.read()

    assert (events, rest) == ([b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"], b"")


def test_chunks_pass_on_as_they_come(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    """A body of unknown length reaches the upstream before it has an end."""
    first, pieces = threading.Event(), []

    def read(channel: Channel) -> None:
        channel.head()
        pieces.append(channel.some())
        first.set()
        channel.chunked_rest()
        channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    upstream.behavior = read
    with connection(forwarding, partner) as opened:
        opened.send(b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        arrived = first.wait(2)
        opened.send(b"0\r\n\r\n")
        status = opened.answer().status

    assert arrived
    assert pieces == [b"3\r\none\r\n"]
    assert status == 200


def wait_until_still(count: list[int]) -> None:
    """Wait until a count stands still, or for ten seconds."""
    before, deadline = -1, time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and (count[0] != before or not count[0]):
        before = count[0]
        time.sleep(0.2)
