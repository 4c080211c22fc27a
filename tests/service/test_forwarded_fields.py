"""Which fields pass on, for any field anybody can send."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from service.endpoints.forwarded_fields import (
    MAX_CHAIN_FIELD_BYTES,
    certificate_fields,
    encode,
    identity_fields,
    request_fields,
    response_fields,
)
from service.identity.peer import Peer
from service.identity.verdict import Client
from tests.certificates import Authority, client

CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
NAMES = st.text(CHARACTERS, min_size=1, max_size=20).map(str.encode)
VALUES = st.binary(max_size=20).map(lambda value: re.sub(rb"[\x00-\x1f\x7f]", b"", value))
OURS = [
    name.lower()
    for name, _ in identity_fields(
        Client("acme", ()),
        Peer.of_handshake(
            Authority().intermediate().client().der, verify_errors=(), tls_version="", cipher="", group=None
        ),
        request_id="1",
        address="192.0.2.7",
        host_name="a.example",
    )
    if name != b"Via"
]


def in_cgi(name: bytes) -> bytes:
    """What WSGI, CGI and PHP make of a field's name."""
    return re.sub(rb"[^A-Z0-9]", b"_", name.upper())


@st.composite
def misspelt(draw: st.DrawFn) -> bytes:
    """One of our names, as a forger might write it."""
    name = draw(st.sampled_from(OURS))
    odd = st.sampled_from("!#$%&'*+-.^_`|~")
    return b"".join(draw(odd).encode() if each == ord("-") else bytes([each]) for each in name)


@given(st.lists(st.tuples(NAMES | misspelt(), VALUES)))
def test_no_field_that_could_be_read_as_one_of_ours_passes(headers: list[tuple[bytes, bytes]]) -> None:
    passed = request_fields(headers, drops_authorization=False)

    assert not {in_cgi(name) for name, _ in passed} & {in_cgi(name) for name in OURS}
    assert not {in_cgi(name) for name, _ in passed} & {b"HOST", b"CONTENT_LENGTH", b"TRANSFER_ENCODING", b"CONNECTION"}


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_what_passes_keeps_its_order_and_its_bytes(headers: list[tuple[bytes, bytes]]) -> None:
    passed = request_fields(headers, drops_authorization=False)

    rest = iter(headers)
    assert all(field in rest for field in passed)


def test_a_token_that_was_for_us_ends_here_in_every_case() -> None:
    headers = [(name, b"Bearer x") for name in (b"authorization", b"Authorization", b"AUTHORIZATION")]

    assert request_fields(headers, drops_authorization=True) == []
    assert request_fields(headers, drops_authorization=False) == headers


@given(st.text())
def test_a_name_of_any_characters_is_one_value_and_reads_back(name: str) -> None:
    written = encode(name)

    assert re.fullmatch(rb"[A-Za-z0-9_.~:/@+%-]*", written)
    assert unquote(written.decode("ascii")) == name.encode("utf-8", "replace").decode()


@given(headers=st.lists(st.tuples(NAMES, st.binary(max_size=20))), has_body=st.booleans())
def test_an_answer_passes_without_what_would_end_a_field_or_not_at_all(
    headers: list[tuple[bytes, bytes]], *, has_body: bool
) -> None:
    try:
        passed = response_fields(headers, has_body=has_body)
    except ValueError:
        return

    assert not any(re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value) for _, value in passed)
    assert not {name for name, _ in passed} & {b"connection", b"transfer-encoding", b"keep-alive", b"upgrade"}


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_what_connection_names_ends_here(names: list[bytes]) -> None:
    headers = [(b"connection", b", ".join(names)), *((name, b"1") for name in names)]

    assert request_fields(headers, drops_authorization=False) == []
    assert response_fields(headers, has_body=True) == []


def test_a_chain_that_no_upstream_would_take_is_left_out() -> None:
    leaf, issuer = client().der, b"0" * MAX_CHAIN_FIELD_BYTES

    assert certificate_fields((leaf, issuer)) == certificate_fields((leaf,))
    assert certificate_fields(()) == ()


def test_issuers_are_a_list_of_byte_sequences() -> None:
    leaf, *issuers = (b"leaf", b"one", b"two")

    (_, first), (name, chain) = certificate_fields((leaf, *issuers))

    assert (first, name) == (b":bGVhZg==:", b"Client-Cert-Chain")
    assert [base64.b64decode(each.strip(b":")) for each in chain.split(b", ")] == issuers


def test_an_address_of_ipv6_is_quoted_where_the_form_wants_it() -> None:
    """RFC 7239, section 6."""
    peer = Peer.of_handshake(None, verify_errors=(), tls_version="", cipher="", group=None)

    said = dict(identity_fields(Client("acme", ()), peer, request_id="1", address="2001:db8::1", host_name="a.example"))

    assert said[b"Forwarded"] == b'for="[2001:db8::1]";host=a.example;proto=https'
    assert said[b"X-Forwarded-For"] == b"2001:db8::1"
    assert said[b"Mtls-Fingerprint"] == b""
    assert b"Client-Cert" not in said
