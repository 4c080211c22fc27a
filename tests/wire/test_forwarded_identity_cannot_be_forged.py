"""The upstream learns from the gate alone who the client is, whatever the client says and however it spells it."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from service.contract import Variable
from tests.certificates import HOST_NAME, Identity, client
from tests.wire.conftest import StartService
from tests.wire.stage import Aws, Service, connection
from tests.wire.upstream import Asked, Upstream, open_upstream

IDENTITY = (b"mtls-client", b"mtls-roles", b"mtls-scopes", b"mtls-fingerprint", b"mtls-request-id")

FORGED = (
    *IDENTITY,
    b"mtls-anything-else",
    b"client-cert",
    b"client-cert-chain",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-client-cert",
    b"x-real-ip",
    b"x-ssl-client-cert",
    b"x-ssl-client-verify",
    b"x-client-cert",
    b"ssl-client-cert",
    b"x-amzn-mtls-clientcert",
    b"proxy",
    b"x-original-url",
    b"x-rewrite-url",
    b"remote-user",
    b"remote-addr",
    b"x-remote-user",
    b"true-client-ip",
)


def in_cgi(name: bytes) -> bytes:
    """What WSGI, CGI and PHP make of a field's name."""
    return re.sub(rb"[^A-Z0-9]", b"_", name.upper())


def ask(service: Service, partner: Identity, *fields: bytes) -> int:
    """Ask with some more fields."""
    with connection(service, partner) as opened:
        opened.send(b"\r\n".join([b"GET / HTTP/1.1", b"host: " + HOST_NAME.encode(), *fields, b"", b""]))
        return opened.answer().status


def only(upstream: Upstream) -> Asked:
    """The one request that arrived."""
    (asked,) = upstream.asked
    return asked


def test_it_learns_the_client_its_rights_and_its_certificate(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    assert ask(forwarding, partner) == 200

    asked = only(upstream)
    assert asked.values(b"mtls-client") == [b"acme"]
    assert asked.values(b"mtls-roles") == [b"send, receive"]
    assert asked.values(b"mtls-scopes") == [b""]
    assert asked.values(b"mtls-fingerprint") == [partner.fingerprint.encode()]
    line = forwarding.event("request", request_id=asked.values(b"mtls-request-id")[0].decode())
    assert (line["client"], line["status"], line["decision"]) == ("acme", 200, "answered")


def test_certificates_come_as_rfc_9440_writes_them(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    ask(forwarding, partner)

    (leaf,), (issuers,) = only(upstream).values(b"client-cert"), only(upstream).values(b"client-cert-chain")
    assert leaf == b":" + base64.b64encode(partner.der) + b":"
    assert base64.b64decode(issuers.strip(b":")) == partner.issuers[0].public_bytes(Encoding.DER)


def test_it_learns_where_the_client_is_from_proxy(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    ask(forwarding, partner)

    asked = only(upstream)
    assert asked.values(b"x-forwarded-for") == [b"192.0.2.7"]
    assert asked.values(b"x-forwarded-proto") == [b"https"]
    assert asked.values(b"forwarded") == [b"for=192.0.2.7;host=ingress.local.test;proto=https"]
    assert asked.values(b"via") == [b"1.1 mtls-ingress"]


@pytest.mark.parametrize("name", FORGED, ids=bytes.decode)
def test_no_spelling_of_a_field_of_ours_gets_past(
    forwarding: Service, upstream: Upstream, partner: Identity, name: bytes
) -> None:
    """Upper case, and every character that a careless reader takes for a hyphen."""
    spellings = {name, name.upper(), name.title()}
    spellings |= {name.replace(b"-", each) for each in (b"_", b".", b"!", b"~", b"|", b"*", b"+")}
    spellings |= {name.replace(b"-", b"_", 1), name.title().replace(b"-", b"_")}

    assert ask(forwarding, partner, *(each + b": forged" for each in sorted(spellings))) == 200

    assert b"forged" not in only(upstream).head
    assert len([each for each, _ in only(upstream).fields() if in_cgi(each) == in_cgi(name)]) <= 1


def test_connection_cannot_take_our_fields_away(forwarding: Service, upstream: Upstream, partner: Identity) -> None:
    """Whoever nominates a field as hop-by-hop removes his own, not what we add."""
    nominating = b"connection: close, mtls-client, client-cert, x-forwarded-for, host, forwarded, content-length"

    assert ask(forwarding, partner, nominating, b"cookie: a=b") == 200

    asked = only(upstream)
    assert asked.values(b"mtls-client") == [b"acme"]
    assert asked.values(b"x-forwarded-for") == [b"192.0.2.7"]
    assert asked.values(b"host") == [HOST_NAME.encode()]
    assert asked.values(b"cookie") == [b"a=b"]


@pytest.mark.parametrize("host", [b"elsewhere.example", b"127.0.0.1:22", b"INGRESS.local.test"])
def test_the_upstream_sees_our_host_and_no_other(
    forwarding: Service, upstream: Upstream, partner: Identity, host: bytes
) -> None:
    with connection(forwarding, partner) as opened:
        opened.send(b"GET / HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
        opened.answer()

    assert [asked.values(b"host") for asked in upstream.asked] in ([], [[HOST_NAME.encode()]])


def test_a_strange_name_is_written_so_that_it_stays_one_value(
    forwarding: Service, upstream: Upstream, aws: Aws
) -> None:
    name = "Käse, Inc.\r\nMtls-Roles: admin"
    strange = client()
    aws.enroll(strange, name)

    assert ask(forwarding, strange) == 200

    (written,) = only(upstream).values(b"mtls-client")
    assert unquote(written.decode("ascii")) == name
    assert only(upstream).values(b"mtls-roles") == [b"send, receive"]


def test_authorization_is_the_upstreams_where_the_policy_reads_no_tokens(
    forwarding: Service, upstream: Upstream, partner: Identity
) -> None:
    ask(forwarding, partner, b"authorization: Bearer its-own")

    assert only(upstream).values(b"authorization") == [b"Bearer its-own"]


@pytest.mark.slow  # the small sibling: tests/service/test_forwarded_fields.py
def test_authorization_ends_here_where_the_policy_reads_tokens(start_service: StartService, partner: Identity) -> None:
    """An upstream that sees a token that was issued for us could use it."""
    policy = {"routes": [{"path": "/", "any_of": ["pinned_certificate", "bearer_token"]}]}
    with open_upstream() as upstream:
        service = start_service(**{Variable.FORWARD_TO: upstream.url, Variable.POLICY: json.dumps(policy)})

        status = ask(service, partner, b"authorization: Bearer for-us", b"Authorization_: x", b"AUTHORIZATION: Basic x")
        asked = only(upstream)

    assert status == 200
    assert b"for-us" not in asked.head
    assert not [name for name, _ in asked.fields() if in_cgi(name) == b"AUTHORIZATION"]


def test_nobody_is_forwarded_who_is_not_let_in(forwarding: Service, upstream: Upstream) -> None:
    with connection(forwarding, client()) as opened:
        answer = opened.get()

    assert (answer.status, answer.document["reason"]) == (403, "unknown_certificate")
    assert upstream.asked == []
