"""An application of any ASGI framework stands behind the gate by its name, and finds the client where it looks."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import pytest
from starlette.authentication import has_required_scope  # the reader whose shape we promise

from service.contract import Variable
from service.endpoints.application import Credentials, _scopes
from service.identity.verdict import Client
from tests.certificates import HOST_NAME, Authority, Identity, client
from tests.wire.stage import ROOT, WAIT_SECONDS, Answer, Aws, Service, connection, running, variables


def host(aws: Aws, bucket: str, authority: Authority, name: str) -> Iterator[Service]:
    """Run a service with one of our applications."""
    environment = variables(aws, bucket, **{Variable.APPLICATION: f"tests.applications.{name}:app"})
    with running(environment, trust=authority.pem) as started:
        yield started


@pytest.fixture(scope="module")
def starlette(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    yield from host(aws, bucket, authority, "with_starlette")


@pytest.fixture(scope="module")
def fastapi(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    yield from host(aws, bucket, authority, "with_fastapi")


@pytest.fixture(scope="module")
def django(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    yield from host(aws, bucket, authority, "with_django")


def post(service: Service, partner: Identity, path: str, body: bytes) -> Answer:
    """Send a body."""
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST_NAME}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    with connection(service, partner) as opened:
        opened.send(head.encode() + b"\r\n\r\n" + body)
        return opened.answer()


def get(service: Service, partner: Identity | None, path: str = "/") -> Answer:
    """Ask."""
    with connection(service, partner) as opened:
        return opened.get(path)


def test_starlette_finds_user_scopes_address_and_state(starlette: Service, partner: Identity) -> None:
    answer = get(starlette, partner)

    seen = answer.document
    assert answer.status == 200
    assert seen["name"] == "acme"
    assert seen["scopes"] == ["authenticated", "role:send", "role:receive"]
    assert seen["roles"] == ["send", "receive"]
    assert (seen["address"], seen["scheme"], seen["database"]) == ("192.0.2.7", "https", "open")
    assert seen["fingerprint"] == partner.fingerprint
    assert starlette.event("request", request_id=seen["request_id"])["client"] == "acme"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_tls_extension_of_asgi_is_complete(
    starlette: Service, server: Identity, partner: Identity, version: ssl.TLSVersion
) -> None:
    """asgiref, specs/tls, version 0.2; the numbers are those the standard library knows the suites by."""
    with connection(starlette, partner, version=version) as opened:
        seen = opened.get().document["tls"]
        suite = opened.tls.cipher()

    assert suite is not None
    ids = {each["name"]: each["id"] & 0xFFFF for each in ssl.create_default_context().get_ciphers()}
    assert seen["server_cert"].encode() == server.pem
    assert "".join(seen["client_cert_chain"]).encode() == partner.chain_pem
    assert seen["client_cert_name"] == "CN=partner.example"
    assert seen["client_cert_error"] == "issuer_unknown"
    assert seen["tls_version"] == version.value
    assert seen["cipher_suite"] == ids[suite[0]]


def test_a_stranger_reaches_no_application(starlette: Service) -> None:
    assert get(starlette, client()).document["reason"] == "unknown_certificate"
    assert get(starlette, None).document["reason"] == "no_certificate"


def test_roles_decide_in_the_application_too(starlette: Service, partner: Identity) -> None:
    assert get(starlette, partner, "/admin").status == 403
    assert post(starlette, partner, "/send", b"x" * 100_000).document == {"length": 100_000}


def test_a_scope_of_a_token_never_passes_for_a_role() -> None:
    """Who issues tokens grants scopes; roles are the registry's."""
    asked = Credentials(_scopes(Client("acme", ("send",), scopes=("role:admin", "authenticated", "read"))))

    class Connection:
        auth = asked

    assert asked.scopes == ["authenticated", "read", "role:send"]
    assert has_required_scope(Connection, ["read", "role:send"])  # type: ignore[arg-type]  # all it reads is `auth`
    assert not has_required_scope(Connection, ["role:admin"])  # type: ignore[arg-type]


def test_an_application_that_raises_is_answered_for(starlette: Service, partner: Identity) -> None:
    """Starlette answers 500 by itself and raises the error on; it is logged once and nothing of it is sent."""
    answer = get(starlette, partner, "/fail")

    assert answer.status == 500
    assert "secret" not in str(answer.document)
    line = starlette.event("request", path="/fail")
    assert (line["decision"], line["status"]) == ("failed", 500)
    assert wait_for_error(starlette).count("LookupError: a secret of the application") == 1


def wait_for_error(service: Service) -> str:
    """Read standard error once something stands there; the answer may be out before it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not service.errors().endswith("\n") and time.monotonic() < deadline:
        time.sleep(0.02)
    return service.errors()


def test_half_an_answer_is_not_taken_for_whole(starlette: Service, partner: Identity) -> None:
    with connection(starlette, partner) as opened:
        opened.send(b"GET /half HTTP/1.1\r\nhost: " + HOST_NAME.encode() + b"\r\n\r\n")
        response = HTTPResponse(opened.tls)
        response.begin()
        with pytest.raises((IncompleteRead, OSError)):
            response.read()


def test_fastapi_finds_the_client_and_its_rights(fastapi: Service, partner: Identity) -> None:
    answer = get(fastapi, partner)

    assert answer.document == {"name": "acme", "certificate": partner.pem.decode()}
    assert post(fastapi, partner, "/documents", b'{"a": "b"}').document == {"fields": 1}


def test_django_finds_the_client_and_its_rights(django: Service, partner: Identity) -> None:
    """Django knows no lifespan and says so by raising; it is served all the same."""
    assert get(django, partner).document == {"name": "acme", "address": "192.0.2.7"}
    assert post(django, partner, "/send", b"four").document == {"length": 4}
    assert django.errors() == ""


@pytest.mark.slow  # its small siblings are all the others, which find theirs in the working directory
def test_an_application_beside_the_service_is_found_by_pythonpath(
    aws: Aws, bucket: str, authority: Authority, partner: Identity, tmp_path: Path
) -> None:
    """As in an image that stands on ours; modules of the service stay the service's own."""
    (tmp_path / "outside.py").write_text((ROOT / "tests" / "applications" / "with_starlette.py").read_text())
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").write_text("raise SystemExit('shadowed')")
    environment = variables(aws, bucket, **{Variable.APPLICATION: "outside:app", "PYTHONPATH": str(tmp_path)})

    with running(environment, trust=authority.pem) as started:
        name = get(started, partner).document["name"]
        ended = started.stop()

    assert (name, ended, started.process.returncode) == ("acme", 0, 0)
