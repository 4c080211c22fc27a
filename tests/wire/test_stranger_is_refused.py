"""Whoever is not enrolled gets an HTTP answer with the reason; nobody is cut off in the handshake."""

from __future__ import annotations

import ssl

import pytest

from tests.certificates import SERVER_AUTH, YESTERDAY, Authority, Identity, client
from tests.wire.stage import Service, ask

STRANGERS = {
    "self-signed": client(),
    "signed by an authority we do not know": Authority().client(),
    "expired": client(not_after=YESTERDAY),
    "for servers only": Authority().client(purposes=(SERVER_AUTH,)),
    "without extensions": client(without_extensions=True),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS.keys())
def test_an_unknown_certificate_is_refused_with_its_fingerprint(
    service: Service, stranger: Identity, version: ssl.TLSVersion
) -> None:
    answer = ask(service, stranger, version=version)

    assert answer.status == 403
    assert answer.content_type == "application/problem+json"
    assert answer.document["reason"] == "unknown_certificate"
    assert answer.document["fingerprint"] == stranger.fingerprint


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_certificate_is_refused(service: Service, version: ssl.TLSVersion) -> None:
    answer = ask(service, None, version=version)

    assert answer.status == 403
    assert answer.document["reason"] == "no_certificate"
    assert answer.document["fingerprint"] is None


def test_the_refusal_and_the_audit_line_carry_the_same_reason(service: Service) -> None:
    answer = ask(service, client())

    line = service.event("request", request_id=answer.document["request_id"])
    assert (line["decision"], line["reason"], line["status"]) == ("refused", "unknown_certificate", 403)
    assert line["client"] is None
