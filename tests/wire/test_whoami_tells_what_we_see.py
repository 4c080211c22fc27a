"""`/whoami`: any peer is told what we see of it, what we would say, and what to send to be enrolled; nothing else."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from service.contract import Variable
from tests.certificates import CLIENT_AUTH, SERVER_AUTH, TOMORROW, YESTERDAY, Authority, client
from tests.wire.conftest import StartService
from tests.wire.stage import PROXY, Answer, Aws, Service, connection

POLICY = json.dumps(
    {
        "routes": [
            {"path": "/", "all_of": ["pinned_certificate"]},
            {"path": "/records", "all_of": ["pinned_certificate"], "roles": ["write"]},
        ]
    }
)


def test_an_enrolled_client_sees_its_certificate_in_every_notation(service: Service, aws: Aws) -> None:
    partner = Authority().client(
        dns_names=("a.example", "b.example"),
        addresses=("192.0.2.1",),
        purposes=(CLIENT_AUTH, SERVER_AUTH),
        not_before=YESTERDAY,
        not_after=TOMORROW,
    )
    aws.enroll(partner, "seen")

    with connection(service, partner) as opened:
        answer = opened.get("/whoami")

    assert answer.status == 200
    assert answer.document["certificate"] == {
        "sha256": partner.fingerprint,
        "spki_pin": partner.pin,
        "spki_pin_base64": "sha256//" + base64.b64encode(bytes.fromhex(partner.pin)).decode(),
        "sha1": hashlib.sha1(partner.der, usedforsecurity=False).hexdigest(),
        "subject": "CN=partner.example",
        "issuer": "CN=Test Root",
        "serial": f"{partner.certificate.serial_number:x}",
        "alternative_names": ["DNS:a.example", "DNS:b.example", "IP:192.0.2.1"],
        "extended_key_usages": ["clientAuth", "serverAuth"],
        "not_before": YESTERDAY.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "not_after": TOMORROW.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "is_in_date": True,
        "objections": answer.document["certificate"]["objections"],
    }
    assert "issuer_missing" in answer.document["certificate"]["objections"]
    assert answer.document["fingerprint"] == partner.fingerprint
    assert (answer.document["decision"], answer.document["client"]) == ("allowed", "seen")
    assert answer.document["roles"] == ["send", "receive"]
    assert answer.document["enroll"] is None


def test_it_says_how_the_peer_came(service: Service) -> None:
    with connection(service, client()) as opened:
        seen = opened.get("/whoami").document["connection"]
        version, cipher = opened.tls.version(), opened.tls.cipher()

    assert (seen["address"], seen["port"]) == ("192.0.2.7", 51514)
    assert cipher is not None
    assert (seen["tls_version"], seen["cipher"]) == (version, cipher[0])
    assert seen["group"]


def test_a_stranger_gets_what_to_send_and_what_the_operator_types(service: Service) -> None:
    stranger = client()

    with connection(service, stranger) as opened:
        answer = opened.get("/whoami")

    assert answer.status == 200
    assert (answer.document["decision"], answer.document["status"]) == ("refused", 403)
    assert answer.document["reason"] == "unknown_certificate"
    assert answer.document["enroll"]["certificate"].encode() == stranger.pem
    assert answer.document["enroll"]["command"] == (
        "python scripts/clients.py enroll --env test --client NAME client.pem"
    )


def test_a_peer_without_a_certificate_is_told_to_send_one(service: Service) -> None:
    with connection(service) as opened:
        document = opened.get("/whoami").document

    assert (document["reason"], document["certificate"], document["enroll"]) == ("no_certificate", None, None)
    assert "Configure your client to send one" in document["detail"]


def test_a_stranger_and_a_client_learn_the_same_fields(service: Service, aws: Aws) -> None:
    """What an unknown certificate is told is told to a known one as well."""
    known = client()
    aws.enroll(known, "known")

    documents: list[Answer] = []
    for peer in (known, client(), None):
        with connection(service, peer) as opened:
            documents.append(opened.get("/whoami"))

    assert len({tuple(each.document) for each in documents}) == 1
    assert all("known" not in json.dumps(each.document) for each in documents[2:])


def test_it_decides_for_the_path_that_is_asked_about(start_service: StartService, aws: Aws) -> None:
    partner = client()
    aws.enroll(partner, "asks")
    service = start_service(**{Variable.POLICY: POLICY})

    with connection(service, partner) as opened:
        at_root = opened.get("/whoami")
        below = opened.get("/whoami?path=/records/7")
        refused = opened.get("/records/7")

    assert at_root.document["decision"] == "allowed"
    assert (below.document["path"], below.document["reason"]) == ("/records/7", "not_permitted")
    assert refused.document["reason"] == below.document["reason"]
    assert refused.document["detail"] == below.document["detail"]


@pytest.mark.parametrize(
    "query",
    ["path=records", "path=/a/../b", "path=/a//b", "path=/%00", "path=/a&path=/b", "path", "who=me", "path=/%2e%2e/"],
)
def test_a_question_that_could_be_read_in_two_ways_is_no_question(service: Service, query: str) -> None:
    with connection(service) as opened:
        answer = opened.get(f"/whoami?{query}")

    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert answer.document["request_id"]


def test_it_is_read_and_never_written(service: Service) -> None:
    with connection(service) as opened:
        opened.send(b"POST /whoami HTTP/1.1\r\nhost: ingress.local.test\r\ncontent-length: 0\r\n\r\n")
        answer = opened.answer()

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_in_a_terminal_it_is_text(service: Service) -> None:
    stranger = client(common_name="bad\x1b[2Jname")

    with connection(service, stranger) as opened:
        opened.send(
            b"GET /whoami HTTP/1.1\r\nhost: ingress.local.test\r\naccept: text/plain\r\nconnection: close\r\n\r\n"
        )
        head, _, body = opened.tls.makefile("rb").read().partition(b"\r\n\r\n")

    lines = body.decode().splitlines()
    assert b"content-type: text/plain; charset=utf-8" in head
    assert lines[0] == "refused, 403 unknown_certificate"
    assert f"  certificate sha256: {stranger.fingerprint}" in lines
    assert "What they type: python scripts/clients.py enroll --env test --client NAME client.pem" in lines
    assert body.endswith(stranger.pem)
    assert b"\x1b" not in body


def test_the_audit_says_answered_and_the_reason_that_was_told(service: Service) -> None:
    """Nobody was refused; whoever looks for a partner's questions finds them by the reason all the same."""
    with connection(service, client()) as opened:
        told = opened.get("/whoami").document

    line = service.event("request", request_id=told["request_id"])
    assert (line["decision"], line["status"], line["reason"]) == ("answered", 200, "unknown_certificate")


def test_one_source_may_ask_so_often_and_others_go_on(start_service: StartService) -> None:
    service = start_service(**{Variable.WHOAMI_PER_MINUTE: "2"})

    with connection(service) as opened:
        answers = [opened.get("/whoami") for _ in range(3)]
        elsewhere = opened.get()
    with connection(service, proxy=PROXY.replace(b"192.0.2.7", b"192.0.2.8")) as other:
        unharmed = other.get("/whoami")

    assert [each.status for each in answers] == [200, 200, 429]
    assert answers[2].document["reason"] == "rate_limited"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert elsewhere.document["reason"] == "no_certificate"
    assert unharmed.status == 200
    line = service.event("request", status=429)
    assert (line["decision"], line["reason"]) == ("refused", "rate_limited")
