"""A peer can write neither a line of its own into the audit, nor a secret, nor a terminal's orders."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import unquote

import pytest

from service.audit import MAX_TEXT
from tests.certificates import Identity, client
from tests.wire.stage import WAIT_SECONDS, Aws, Service, ask, connection, read_to_end

SECRET = "open-sesame"  # noqa: S105 -- the bait
"""Stands wherever a peer may put what is nobody else's business."""

FORGED = "%22%7D%e2%80%a8%7B%22event%22:%22request%22,%22client%22:%22forged%22%7D"
"""The end of our line, a line separator of Unicode, and a line of the peer's own."""

SECRETIVE = {
    "a query": f"GET /records?ssn={SECRET} HTTP/1.1\r\nhost: a\r\n\r\n",
    "a query of whoami": f"GET /whoami?{SECRET}={SECRET} HTTP/1.1\r\nhost: a\r\n\r\n",
    "a query after an encoded slash": f"GET /records%2f1?{SECRET} HTTP/1.1\r\nhost: a\r\n\r\n",
    "a fragment": f"GET /records#{SECRET} HTTP/1.1\r\nhost: a\r\n\r\n",
    "a bearer token": f"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\n\r\n",
    "a password": f"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Basic {SECRET}\r\n\r\n",
    "a cookie": f"GET / HTTP/1.1\r\nhost: a\r\ncookie: session={SECRET}\r\n\r\n",
    "a field of any name": f"GET / HTTP/1.1\r\nhost: a\r\n{SECRET}: {SECRET}\r\n\r\n",
    "a host": f"GET / HTTP/1.1\r\nhost: {SECRET}\r\n\r\n",
    "a user of an absolute target": f"GET http://{SECRET}:{SECRET}@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target of CONNECT": f"CONNECT {SECRET}:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "a body": f"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {len(SECRET)}\r\n\r\n{SECRET}",
    "a chunk's extension": f"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0;{SECRET}\r\n\r\n",
    "a trailer": f"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: {SECRET}\r\n\r\n",
    "a broken field": f"GET / HTTP/1.1\r\nhost: a\r\n{SECRET} : {SECRET}\r\n\r\n",
    "a broken length": f"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {SECRET}\r\n\r\n",
    "no HTTP at all": f"{SECRET}\r\n\r\n",
}


@pytest.fixture
def partner(aws: Aws) -> Identity:
    identity = client()
    aws.enroll(identity, "acme")
    return identity


def events_after(service: Service, partner: Identity, request: str) -> list[dict[str, Any]]:
    """Send bytes, hear the first of the answer or the end, and give the lines up to that of a request of our own."""
    before = len(service.events)
    with connection(service, partner) as opened:
        opened.send(request.encode("latin-1"))
        opened.tls.recv(1)
    fence = ask(service, partner)
    service.event("request", request_id=fence.document["request_id"])
    return [line for line in service.events[before:-1] if line["event"] != "metrics"]


@pytest.mark.parametrize("request_text", SECRETIVE.values(), ids=SECRETIVE.keys())
def test_what_a_peer_sends_in_confidence_is_in_no_line(service: Service, partner: Identity, request_text: str) -> None:
    lines = events_after(service, partner, request_text)

    assert lines
    assert SECRET not in json.dumps(lines)


def test_a_path_that_looks_like_lines_is_a_path(service: Service, partner: Identity) -> None:
    (line,) = events_after(service, partner, f"GET /{FORGED} HTTP/1.1\r\nhost: a\r\n\r\n")

    assert (line["event"], line["client"], line["path"]) == ("request", "acme", "/" + unquote(FORGED))


@pytest.mark.parametrize(
    "written",
    ["%0d%0a%7B%7D", "%1b%5b2J%1b%5d0;pwned%07", "%7f", "%c2%9b31m", "%e2%80%ae", "%ff%fe", "%ed%a0%80", "%00"],
    ids=ascii,
)
def test_what_would_order_a_reader_about_is_one_line_that_can_be_printed(
    service: Service, partner: Identity, written: str
) -> None:
    """Ends of lines, a terminal's orders, directions, no text: answered or not, `Service` reads what we write."""
    lines = events_after(service, partner, f"GET /{written} HTTP/1.1\r\nhost: a\r\n\r\n")

    assert len(lines) == 1


def test_a_huge_path_is_cut(service: Service, partner: Identity) -> None:
    (line,) = events_after(service, partner, f"GET /{'%F0%9F%98%80' * 2000} HTTP/1.1\r\nhost: a\r\n\r\n")

    assert len(line["path"]) <= MAX_TEXT
    assert line["path"].startswith("/\U0001f600")


def test_a_certificate_says_nothing_in_the_audit(service: Service) -> None:
    """Its names are the peer's words; the fingerprint is enough to find it."""
    stranger = client(common_name=f'{SECRET}"}}\n{{"event":"request"}}')

    (line,) = events_after(service, stranger, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")

    assert line["fingerprint"] == stranger.fingerprint
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize(
    "opening",
    [b"PROXY TCP4 %b 203.0.113.9 1 2\r\n", b"PROXY %b\r\n", b"%b\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x21\xff\x00\x0b%b"],
    ids=["an address", "a family", "no header", "version 2"],
)
def test_a_proxy_header_says_nothing_of_its_own(service: Service, partner: Identity, opening: bytes) -> None:
    before = len(service.events)
    with socket.create_connection(service.address, timeout=WAIT_SECONDS) as plain:
        plain.sendall(opening % SECRET.encode())
        read_to_end(plain)

    fence = ask(service, partner)
    service.event("request", request_id=fence.document["request_id"])

    assert SECRET not in json.dumps(service.events[before:])
    assert [line for line in service.events[before:] if line["event"] == "proxy_header_refused"]
