"""An enrolled client is answered with its name, and with its own address as the balancer told it."""

from __future__ import annotations

import ssl

import pytest

from tests.certificates import client
from tests.wire.stage import Aws, Service, ask, connection

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_learns_its_name_roles_and_fingerprint(aws: Aws, service: Service, version: ssl.TLSVersion) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    answer = ask(service, partner, version=version)

    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert answer.document["client"] == "acme"
    assert answer.document["roles"] == ["send", "receive"]
    assert answer.document["fingerprint"] == partner.fingerprint


def test_it_learns_the_address_and_port_the_balancer_saw(aws: Aws, service: Service) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    answer = ask(service, partner, proxy=b"PROXY TCP6 2001:db8::7 2001:db8::9 40001 443\r\n")

    assert (answer.document["address"], answer.document["port"]) == ("2001:db8::7", 40001)


def test_a_balancer_that_does_not_know_leaves_the_socket_s_own_address(aws: Aws, service: Service) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    answer = ask(service, partner, proxy=b"PROXY UNKNOWN\r\n")

    assert answer.document["address"] == "127.0.0.1"


def test_every_request_of_a_connection_is_answered(aws: Aws, service: Service) -> None:
    """Keep-alive: one handshake, many requests."""
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        statuses = [opened.get().status for _ in range(3)]

    assert statuses == [200, 200, 200]


def test_pipelined_requests_are_answered_in_order(aws: Aws, service: Service) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    with connection(service, partner) as opened:
        opened.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /elsewhere HTTP/1.1\r\nhost: a\r\n\r\n")
        statuses = [opened.answer().status for _ in range(2)]

    assert statuses == [200, 404]


def test_each_request_gives_one_audit_line(aws: Aws, service: Service) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    answer = ask(service, partner)

    line = service.event("request", request_id=answer.document["request_id"])
    facts = ("decision", "reason", "status", "client", "fingerprint", "method", "path", "peer_address", "peer_port")
    assert tuple(line[fact] for fact in facts) == (
        "answered", None, 200, "acme", partner.fingerprint, "GET", "/", "192.0.2.7", 51514,
    )  # fmt: skip
    assert line["verify_errors"] == ["self_signed"]
