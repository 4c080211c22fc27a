"""The issuer's keys are fetched over https, beside the answering: whatever their site does, certificates count."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.contract import Variable
from tests.certificates import HOST_NAME, Authority, client
from tests.tokens import AUDIENCE, ISSUER, Issuer, key_set
from tests.wire.conftest import StartService
from tests.wire.stage import WAIT_SECONDS, Answer, Aws, Service, connection
from tests.wire.stage import ask as ask_without

POLICY = '{"routes":[{"path":"/","any_of":["pinned_certificate","bearer_token"]}]}'
PARTNER = client(common_name="by-url")
ENROLLED = client(common_name="by-url-enrolled")
SIGNER = Issuer()


class Site:
    """The issuer's web site, on https."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        self.body = SIGNER.key_set
        self.status = 200
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.reached = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.reached.set()
                site.goes_on.wait(WAIT_SECONDS)
                with contextlib.suppress(OSError):
                    self.send_response(site.status)
                    self.send_header("location", "/elsewhere")
                    self.end_headers()
                    self.wfile.write(site.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
                """Say nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.server(common_name="localhost", dns_names=("localhost",)).write(directory))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # The handshake is the thread's of each connection, not of the one that accepts them.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"https://localhost:{self._server.server_address[1]}/keys"

    def close(self) -> None:
        """Let everything through and end."""
        self.goes_on.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site(authority: Authority, tmp_path: Path) -> Iterator[Site]:
    opened = Site(authority, tmp_path / "site")
    yield opened
    opened.close()


def tokens(site: Site, authority: Authority, directory: Path, *, seconds: int = 3600) -> dict[str, str]:
    """Trust the site's authority, and take its keys."""
    trust = directory / "trust.pem"
    trust.write_bytes(authority.pem)
    return {
        "SSL_CERT_FILE": str(trust),
        Variable.POLICY: POLICY,
        Variable.TOKEN_ISSUER: ISSUER,
        Variable.TOKEN_AUDIENCE: AUDIENCE,
        Variable.TOKEN_KEY_SET: site.url,
        Variable.TOKEN_KEY_SET_SECONDS: str(seconds),
    }


def ask(service: Service, token: bytes) -> Answer:
    """Ask with a token, as a partner whose certificate is not enrolled."""
    request = b"GET / HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\n\r\n"
    with connection(service, PARTNER) as opened:
        opened.send(request % (HOST_NAME.encode(), token))
        return opened.answer()


def test_keys_come_over_https_and_a_new_one_is_taken_without_a_restart(
    site: Site, authority: Authority, tmp_path: Path, start_service: StartService
) -> None:
    successor = Issuer(key_id="key-2")
    service = start_service(**tokens(site, authority, tmp_path, seconds=1))
    service.event("key_set_taken", place=site.url, keys=["key-1"])

    first = ask(service, SIGNER.token(PARTNER))
    site.body = key_set(SIGNER.public, successor.public)
    deadline = time.monotonic() + WAIT_SECONDS
    while (later := ask(service, successor.token(PARTNER))).status != 200 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (first.status, first.document["client"]) == (200, "token:acme-app")
    assert later.status == 200


@pytest.mark.slow
@pytest.mark.parametrize("status", [302, 500])
def test_a_redirect_is_no_key_set(
    site: Site, authority: Authority, tmp_path: Path, start_service: StartService, status: int
) -> None:
    """Its small sibling asks the source alone: tests/service/test_key_set_keeper.py."""
    site.status = status

    service = start_service(**tokens(site, authority, tmp_path))
    failed = service.event("key_set_failed")

    assert failed["cause"] == f"no key set from {site.url}: status {status}"
    assert ask(service, SIGNER.token(PARTNER)).document["reason"] == "registry_unavailable"


def test_an_authority_nobody_trusts_is_no_source_of_keys(
    site: Site, authority: Authority, tmp_path: Path, start_service: StartService
) -> None:
    environment = tokens(site, Authority(), tmp_path)

    service = start_service(**environment)

    assert service.event("key_set_failed")["cause"] == f"no key set from {site.url}: ConnectError"
    assert authority.pem != (tmp_path / "trust.pem").read_bytes()


def test_a_site_that_hangs_holds_nobody_up(
    site: Site, authority: Authority, tmp_path: Path, aws: Aws, start_service: StartService
) -> None:
    aws.enroll(ENROLLED, "acme")
    site.goes_on.clear()
    service = start_service(**tokens(site, authority, tmp_path))
    assert site.reached.wait(WAIT_SECONDS)

    began = time.monotonic()
    by_certificate = ask_without(service, ENROLLED)
    took = time.monotonic() - began
    by_token = ask(service, SIGNER.token(PARTNER))
    took_token = time.monotonic() - began - took

    assert (by_certificate.status, by_certificate.document["client"]) == (200, "acme")
    assert took < 1
    assert (by_token.status, by_token.document["reason"]) == (503, "registry_unavailable")
    assert took_token < 2
