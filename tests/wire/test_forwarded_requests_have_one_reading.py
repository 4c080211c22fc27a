"""What is forwarded is one request, the one the gate decided about, and what comes back is one answer."""

from __future__ import annotations

import pytest

from tests.certificates import HOST_NAME, Identity
from tests.wire.stage import Answer, Service, connection
from tests.wire.upstream import Channel, Upstream

HOST = b"host: " + HOST_NAME.encode() + b"\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


def talk(service: Service, partner: Identity, request: bytes) -> bytes:
    """Send bytes, close our half where TLS lets us, and read all that comes."""
    with connection(service, partner) as opened:
        opened.send(request)
        opened.tls.settimeout(2)
        received = b""
        try:
            while chunk := opened.tls.recv(65536):
                received += chunk
        except (TimeoutError, OSError):
            pass
        return received


def ask(service: Service, partner: Identity, request: bytes) -> Answer:
    """Send one request, read one answer."""
    with connection(service, partner) as opened:
        opened.send(request)
        return opened.answer()


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a%20b?x=%2F&y=a+b",
        b"/a;b=c/d",
        b"/%C3%A4?q=%00",
        b"/caf%c3%a9",
        b"/a?b?c",
        b"/~u/!$&'()*+,;=:@",
    ],
    ids=bytes.decode,
)
def test_the_target_passes_byte_for_byte(
    forwarding: Service, upstream: Upstream, partner: Identity, target: bytes
) -> None:
    ask(forwarding, partner, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    assert [asked.line for asked in upstream.asked] == [b"GET " + target + b" HTTP/1.1"]


@pytest.mark.parametrize(
    "target",
    [b"/a/../b", b"/a/%2e%2e/b", b"//b", b"/a%2fb", b"/a\\b", b"/a%5cb", b"/a#b", b"/a/.", b"*", b"http://other/"],
    ids=bytes.decode,
)
def test_a_target_with_two_readings_reaches_nobody(
    forwarding: Service, upstream: Upstream, partner: Identity, target: bytes
) -> None:
    answer = ask(forwarding, partner, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    assert answer.status == 400
    assert upstream.asked == []


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: 5\r\ncontent-length: 5\r\n",
        b"content-length: 5, 5\r\n",
        b"content-length: +5\r\n",
        b"content-length: 0x5\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: identity\r\ncontent-length: 5\r\n",
        b"transfer-encoding : chunked\r\n",
        b"transfer-encoding:\x0bchunked\r\n",
        b'transfer-encoding: "chunked"\r\n',
    ],
    ids=lambda framing: ascii(framing.decode()),
)
def test_a_request_with_two_ends_reaches_nobody(
    forwarding: Service, upstream: Upstream, partner: Identity, framing: bytes
) -> None:
    """CL.TE, TE.CL, TE.TE and their kin: whoever would find another request in the body never sees the first."""
    body = b"0\r\n\r\n" + SMUGGLED

    received = talk(forwarding, partner, b"POST / HTTP/1.1\r\n" + HOST + framing + b"\r\n" + body)

    assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert not [asked for asked in upstream.asked if asked.line.startswith(b"GET /smuggled")]
    assert upstream.asked == []


@pytest.mark.parametrize("length", [b"2\t", b"0002", b"0" * 5000 + b"2"], ids=["a tab", "zeros", "5000 zeros"])
def test_a_length_that_is_odd_and_clear_is_written_anew(
    forwarding: Service, upstream: Upstream, partner: Identity, length: bytes
) -> None:
    """RFC 9110, sections 5.5 and 8.6, let these stand; some reader behind us takes zeros for an octal number."""
    answer = ask(forwarding, partner, b"POST / HTTP/1.1\r\n" + HOST + b"content-length: " + length + b"\r\n\r\nab")

    assert answer.status == 200
    (asked,) = upstream.asked
    assert asked.values(b"content-length") == [b"2"]
    assert asked.body == b"ab"


@pytest.mark.parametrize(
    "field",
    [b"Content_Length: 50", b"Transfer_Encoding: chunked", b"content.length: 50", b"Expect_: 100-continue"],
    ids=bytes.decode,
)
def test_a_framing_that_only_a_careless_upstream_reads_does_not_reach_it(
    forwarding: Service, upstream: Upstream, partner: Identity, field: bytes
) -> None:
    ask(forwarding, partner, b"POST / HTTP/1.1\r\n" + HOST + field + b"\r\ncontent-length: 2\r\n\r\nab")

    (asked,) = upstream.asked
    assert field.split(b":")[0].lower() not in asked.head.lower() or field.startswith(b"Expect_")
    assert asked.values(b"content-length") == [b"2"]
    assert asked.body == b"ab"


def test_a_pipelined_request_is_judged_and_forwarded_as_its_own(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    two = b"GET /one HTTP/1.1\r\n" + HOST + b"\r\nGET /two HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n"

    received = talk(forwarding, partner, two)

    assert received.count(b"HTTP/1.1 200 OK") == 2
    ids = [asked.values(b"mtls-request-id")[0] for asked in upstream.asked]
    assert len({*ids}) == 2


def test_what_belongs_to_one_hop_ends_there(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    """RFC 9110, section 7.6.1."""
    hop = (
        b"connection: keep-alive, X-Only-Here\r\nx-only-here: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n"
        b"trailer: x\r\nproxy-authorization: Basic x\r\nproxy-connection: close\r\nhttp2-settings: x\r\n"
    )
    upstream.answers(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: x\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok"
    )

    answer = ask(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + hop + b"x-end: 1\r\n\r\n")

    (asked,) = upstream.asked
    names = {name.lower() for name, _ in asked.fields()}
    assert b"x-end" in names
    assert not names & {b"connection", b"x-only-here", b"keep-alive", b"te", b"trailer", b"http2-settings"}
    assert not [name for name in names if name.startswith(b"proxy")]
    assert answer.headers["x-end"] == "1"
    assert not {*answer.headers} & {"x-theirs", "keep-alive", "proxy-authenticate", "trailer", "upgrade"}


def test_an_upgrade_is_not_asked_for(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    """A tunnel would carry requests that nobody judges."""
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n"

    talk(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + upgrade + b"\r\n")

    assert not [asked for asked in upstream.asked if asked.values(b"upgrade") or asked.values(b"connection")]


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
def test_no_tunnel_and_no_mirror(forwarding: Service, upstream: Upstream, partner: Identity, method: bytes) -> None:
    """TRACE would read to the client what we tell the upstream of it."""
    received = talk(forwarding, partner, method + b" / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")

    assert received.split(b" ")[1] in {b"400", b"405", b"501"}
    assert upstream.asked == []


def test_request_trailers_become_no_fields(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    chunked = b"transfer-encoding: chunked\r\ntrailer: mtls-client\r\n\r\n2\r\nab\r\n0\r\nmtls-client: forged\r\n\r\n"

    answer = ask(forwarding, partner, b"POST / HTTP/1.1\r\n" + HOST + chunked)

    assert answer.status == 200
    (asked,) = upstream.asked
    assert b"forged" not in asked.head + asked.body
    assert asked.body == b"2\r\nab\r\n0\r\n\r\n"


def test_answer_trailers_become_no_fields(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    upstream.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nset-cookie: late\r\n\r\n")

    received = talk(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")

    assert received.endswith(b"2\r\nok\r\n0\r\n\r\n")
    assert b"late" not in received


@pytest.mark.parametrize(
    "field",
    [b"X-A: a\x00b", b"X-A: a\rSet-Cookie: b", b"X-A: a\x0bb", b"X-A\x00: b", b"X A: b", b": b"],
    ids=lambda field: ascii(field.decode()),
)
def test_an_answer_that_would_split_is_no_answer(
    forwarding: Service, upstream: Upstream, partner: Identity, field: bytes
) -> None:
    upstream.answers(b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 2\r\n\r\nok")

    answer = ask(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (answer.status, answer.content_type) == (502, "application/problem+json")
    assert "set-cookie" not in answer.headers


def test_an_answer_with_two_lengths_is_framed_once(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    received = talk(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")

    assert b"content-length" not in received.lower()
    assert received.endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")


def test_every_cookie_is_set(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    upstream.answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")

    received = talk(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")

    assert received.lower().count(b"set-cookie: ") == 2


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\nETag: x\r\n"),
    ],
    ids=["HEAD", "204", "304"],
)
def test_an_answer_without_a_body_has_none_and_the_next_one_follows(
    forwarding: Service, upstream: Upstream, partner: Identity, method: bytes, head: bytes
) -> None:
    upstream.answers(head + b"\r\n")
    asks = method + b" / HTTP/1.1\r\n" + HOST

    received = talk(forwarding, partner, asks + b"\r\n" + asks + b"connection: close\r\n\r\n")

    assert received.count(head.split(b"\r\n")[0]) == 2
    first = received.split(b"\r\n\r\n")[0]
    assert (b"content-length: 5000" in first.lower()) == (method == b"HEAD")
    assert received.endswith(b"\r\n\r\n")


def test_informational_answers_are_not_the_answer(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    upstream.answers(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    assert ask(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n").status == 200


def test_a_client_that_asks_first_sends_its_body_once_we_want_it(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    """`Expect` ends here: whoever is refused is never told to go on (RFC 9110, section 10.1.1)."""
    head = b"POST / HTTP/1.1\r\n" + HOST + b"expect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    with connection(forwarding, partner) as opened:
        opened.send(head)
        told = opened.tls.recv(1024)
        opened.send(b"body")
        answer = opened.answer()
    with connection(forwarding) as refused:
        refused.send(head)
        refusal = refused.tls.recv(1024)

    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.status == 200
    assert [asked.body for asked in upstream.asked] == [b"body"]
    assert not upstream.asked[0].values(b"expect")
    assert refusal.startswith(b"HTTP/1.1 403 ")


def test_a_post_without_a_body_says_so(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    ask(forwarding, partner, b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 0\r\n\r\n")

    assert upstream.asked[0].values(b"content-length") == [b"0"]


def test_one_connection_to_the_upstream_serves_many_clients(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    before = upstream.connections

    for _ in range(5):
        ask(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")

    assert upstream.connections - before == 1


def test_the_rest_of_an_answer_is_no_part_of_the_next(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    """An upstream that sends more than it announced is not asked again on that connection."""

    def say_too_much(channel: Channel) -> None:
        upstream.asked.append(channel.request())
        channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Stray: 1\r\n\r\n")
        channel.wait_for_end()

    upstream.behavior = say_too_much
    answers = [ask(forwarding, partner, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") for _ in range(2)]

    assert [each.status for each in answers] == [200, 200]
    assert all("x-stray" not in each.headers for each in answers)
