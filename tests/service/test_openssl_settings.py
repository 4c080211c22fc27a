"""The settings file of OpenSSL serves both libraries of the process: the one that ends TLS, and Python's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.boot.tls_context import TLS12_SUITES, TLS13_SUITES
from service.contract import OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE
from tests.certificates import HOST_NAME, Authority

ROOT = Path(__file__).parents[2]
PYTHONS = sorted({sys.executable, shutil.which("python3", path=os.defpath) or sys.executable})
"""Ours and the system's, whose OpenSSL may be another."""

PYTHONS_OWN = """
import contextlib, ssl, sys
chain, key, trust, host_name = sys.argv[1:]
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    ours, theirs = ssl.create_default_context(cafile=trust), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(chain, key)
    ours.minimum_version = ours.maximum_version = version
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = ours.wrap_bio(down, up, server_hostname=host_name), theirs.wrap_bio(up, down, server_side=True)
    for side in (client, server) * 4:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    # A context made while a connection waits, as a pool of connections makes them.
    for kind in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        ssl.SSLContext(kind)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.read()
    client.write(b"a request")
    assert server.read() == b"a request"
    print(server.version())
"""

BUNDLED = """
from OpenSSL import SSL
ours, theirs = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
client = SSL.Connection(ours, None)
client.set_connect_state()
try:
    client.do_handshake()
except SSL.WantReadError:
    print(client.bio_read(65536).hex())
"""


def run(python: str, program: str, *arguments: str | Path, settings: Path) -> str:
    """Run a program with OpenSSL's settings and nothing else in its environment."""
    done = subprocess.run(  # noqa: S603 -- a Python and a program of this page
        [python, "-c", program, *arguments],
        env={OPENSSL_CONF_VARIABLE: str(settings), "PATH": os.defpath},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def groups_offered(hello: bytes) -> list[int]:
    """Find the groups of a ClientHello, in its order (RFC 8446, section 4.2.7)."""
    at = 9 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2])
    at += 1 + hello[at]
    at += 2
    while at < len(hello):
        kind, length = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == 10:
            body = hello[at + 6 : at + 4 + length]
            return [int.from_bytes(body[i : i + 2]) for i in range(0, len(body), 2)]
        at += 4 + length
    raise AssertionError("a ClientHello without groups")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path, str]:
    """Write a server's pair and what a client trusts; the arguments of PYTHONS_OWN."""
    authority = Authority()
    trust = tmp_path / "trust.pem"
    trust.write_bytes(authority.pem)
    return *authority.server().write(tmp_path), trust, HOST_NAME


def test_every_python_of_this_machine_speaks_tls_under_our_settings(pair: tuple[Path, Path, Path, str]) -> None:
    """Its library may be older than X25519MLKEM768, and calls AWS while we end TLS."""
    for python in PYTHONS:
        assert run(python, PYTHONS_OWN, *pair, settings=ROOT / OPENSSL_CONF_FILE).split() == ["TLSv1.2", "TLSv1.3"]


def test_the_library_that_ends_tls_offers_our_groups_and_no_others() -> None:
    """X25519MLKEM768, x25519, secp256r1, secp384r1 by their numbers (IANA, TLS supported groups)."""
    hello = run(sys.executable, BUNDLED, settings=ROOT / OPENSSL_CONF_FILE)

    assert groups_offered(bytes.fromhex(hello)) == [0x11EC, 0x001D, 0x0017, 0x0018]


def test_the_suites_of_the_file_are_those_of_the_context() -> None:
    """The context sets its own; the file speaks for whatever other context this process ever makes."""
    lines = (ROOT / OPENSSL_CONF_FILE).read_text().splitlines()
    told = dict(line.split(" = ", 1) for line in lines if " = " in line)

    assert told["CipherString"] == TLS12_SUITES.decode()
    assert told["Ciphersuites"] == TLS13_SUITES.decode()
