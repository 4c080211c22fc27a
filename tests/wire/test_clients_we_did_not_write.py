"""The same promises to clients that are not ours: curl and OpenSSL's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.certificates import HOST_NAME, client
from tests.wire.stage import Aws, Service

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")


def run(*command: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a client to its end."""
    return subprocess.run(command, input=given, capture_output=True, timeout=10, check=False)  # noqa: S603


@needs_curl
@pytest.mark.parametrize("highest", ["1.2", "1.3"])
def test_curl_is_answered(aws: Aws, service: Service, tmp_path: Path, highest: str) -> None:
    partner = client()
    aws.enroll(partner, "acme")
    chain, key = partner.write(tmp_path)
    (tmp_path / "trust.pem").write_bytes(service.trust)
    host, port = service.address

    done = run(
        *("curl", "--silent", "--show-error", "--haproxy-protocol", "--tls-max", highest),
        *("--cert", chain, "--key", key, "--cacert", tmp_path / "trust.pem"),
        *("--connect-to", f"::{host}:{port}", f"https://{HOST_NAME}/"),
    )

    assert done.stderr == b""
    assert json.loads(done.stdout)["client"] == "acme"


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_is_answered(aws: Aws, direct_service: Service, tmp_path: Path, version: str) -> None:
    """It cannot send a PROXY header, so it comes without a balancer."""
    partner = client()
    aws.enroll(partner, "acme")
    chain, key = partner.write(tmp_path)
    (tmp_path / "trust.pem").write_bytes(direct_service.trust)
    host, port = direct_service.address

    done = run(
        *("openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST_NAME, version, "-quiet"),
        *("-cert", chain, "-key", key, "-CAfile", tmp_path / "trust.pem", "-verify_return_error"),
        given=f"GET / HTTP/1.1\r\nhost: {HOST_NAME}\r\nconnection: close\r\n\r\n".encode(),
    )

    assert b"HTTP/1.1 200 OK" in done.stdout, done.stderr
    assert b'"client": "acme"' in done.stdout


@needs_openssl
def test_openssl_is_asked_for_a_certificate_without_any_name(direct_service: Service) -> None:
    """With a list of CA names, Java and Schannel clients silently send no certificate."""
    host, port = direct_service.address

    done = run("openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST_NAME)

    assert b"No client certificate CA names sent" in done.stdout
