"""The handshake with ourselves: whatever of TLS is not as asked keeps the service from serving."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from OpenSSL import SSL

from service.boot.self_check import check_tls
from service.boot.server_identity import ServerIdentity, check_server_identity
from service.boot.tls_context import build_tls_context
from service.contract import OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE
from service.errors import TlsSettingsError
from tests.certificates import HOST_NAME, NOW, Authority

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / OPENSSL_CONF_FILE).read_text()

PROGRAM = """
import json, sys, time, warnings
from datetime import UTC, datetime
from pathlib import Path
from OpenSSL import SSL, crypto
from service.boot import tls_context
from service.boot.self_check import check_tls
from service.boot.server_identity import check_server_identity
from service.errors import TlsSettingsError

warnings.simplefilter("ignore")
PAIR, OTHER = (
    check_server_identity(
        Path(name, "chain.pem").read_bytes(), Path(name, "key.pem").read_bytes(),
        host_name=sys.argv[1], at=datetime.now(UTC),
    )
    for name in sys.argv[2:4]
)
NAMES = {name: getattr(tls_context, name) for name in ("_OPTIONS", "TLS12_SUITES")}
for kind, (before, after) in json.loads(sys.argv[4]).items():
    vars(tls_context).update(NAMES)
    exec(before)
    pair, context = PAIR, tls_context.build_tls_context(PAIR)
    exec(after)
    began = time.process_time()
    try:
        check_tls(context, pair)
        said = [str(time.process_time() - began), None]
    except TlsSettingsError as error:
        said = [str(error), error.hint]
    print(json.dumps([kind, said]))
"""
"""Runs the check in a process of its own: OpenSSL reads its settings once."""

AS_IT_IS = ("", "")
SPOILT = {
    "TLS 1.3 alone": ("", "context.set_min_proto_version(SSL.TLS1_3_VERSION)"),
    "a suite": ("tls_context.TLS12_SUITES += b':ECDHE-ECDSA-AES128-SHA256'", ""),
    "no ALPN": ("", "context.set_alpn_select_callback(lambda *_: SSL.NO_OVERLAPPING_PROTOCOLS)"),
    "another leaf": ("", "pair = OTHER"),
    "sessions": ("", "context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)"),
    # Not to forbid it is not enough: OpenSSL wants to be told that it may (SSL_OP_ALLOW_CLIENT_RENEGOTIATION).
    "renegotiation": ("tls_context._OPTIONS &= ~(1 << 30)", "context.set_options(1 << 8)"),
    "tickets": ("tls_context._OPTIONS &= ~SSL.OP_NO_TICKET", ""),
    "authorities": ("", "context.set_client_ca_list([crypto.X509().get_subject()])"),
}
"""Lines of Python before a context is built and after."""

FOUND = {
    "TLS 1.3 alone": "no handshake with ourselves",
    "a suite": ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256",
    "no ALPN": "TLSv1.3: http/1.1 is not chosen among protocols",
    "another leaf": "TLSv1.3: another certificate than ours is served; TLSv1.2: another certificate than ours",
    "sessions": "TLSv1.2: a session id is given out",
    "renegotiation": "TLSv1.2: renegotiation is answered",
    "tickets": "TLSv1.2: session tickets are sent",
    "authorities": "TLSv1.3: names of authorities are sent; TLSv1.2: names of authorities are sent",
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("pairs")
    for name in ("served", "other"):
        Authority().intermediate().server().write(directory / name)
    return directory / "served", directory / "other"


def check(
    pairs: tuple[Path, Path], *, settings: Path | str | None, contexts: dict[str, tuple[str, str]] | None = None
) -> dict[str, tuple[str, str | None]]:
    """Give fault and hint of each context under these settings; where there is no fault, the seconds it took."""
    done = subprocess.run(  # noqa: S603 -- the program above
        [sys.executable, "-c", PROGRAM, HOST_NAME, *pairs, json.dumps(contexts or {"": AS_IT_IS})],
        env={"PATH": os.defpath} | ({OPENSSL_CONF_VARIABLE: str(settings)} if settings else {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def said(pairs: tuple[Path, Path]) -> dict[str, tuple[str, str | None]]:
    """Give what the check says of every context under our own settings."""
    return check(pairs, settings=OPENSSL_CONF_FILE, contexts=SPOILT | {"right": AS_IT_IS, "right again": AS_IT_IS})


def test_what_is_as_asked_passes_in_less_than_30_ms(said: dict[str, tuple[str, str | None]]) -> None:
    seconds = min(float(said[kind][0]) for kind in ("right", "right again"))

    assert seconds < 0.030


@pytest.mark.parametrize("kind", SPOILT)
def test_a_context_that_is_not_as_asked_is_found(said: dict[str, tuple[str, str | None]], kind: str) -> None:
    assert FOUND[kind] in said[kind][0]


@pytest.mark.parametrize("settings", [None, "service/boot/no-such-file.cnf"], ids=["unset", "missing file"])
def test_without_the_settings_file_all_that_is_wrong_is_said(pairs: tuple[Path, Path], settings: str | None) -> None:
    fault, hint = check(pairs, settings=settings)[""]

    assert fault.startswith("TLS is not as asked, OPENSSL_CONF does not hold: the groups are 11ec ")
    assert "signature algorithms are not those asked for" in fault
    assert "session tickets are sent" in fault
    assert hint
    assert hint.startswith(f"set OPENSSL_CONF={OPENSSL_CONF_FILE}, ")


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("\nGroups =", "\nGroup =", "the groups are 11ec 11eb "),
        # Of names that are not known OpenSSL takes none.
        (":P-384", ":P-385", "the groups are 11ec 11eb "),
        ("\nSignatureAlgorithms", "\nSignatureAlgorithm", "the signature algorithms are not those asked for: "),
        ("\nNumTickets", "\nNumTicket", "TLSv1.3: session tickets are sent"),
    ],
    ids=["groups", "a group", "signature algorithms", "tickets"],
)
def test_a_misspelt_line_is_found(pairs: tuple[Path, Path], tmp_path: Path, right: str, wrong: str, found: str) -> None:
    settings = tmp_path / "openssl.cnf"
    settings.write_text(SETTINGS.replace(right, wrong))

    assert found in check(pairs, settings=settings)[""][0]


def identity() -> ServerIdentity:
    """Make a pair that may be served."""
    pair = Authority().server()
    return check_server_identity(pair.chain_pem, pair.key_pem, host_name=HOST_NAME, at=NOW)


def test_faults_of_the_library_and_of_the_context_are_shown_together() -> None:
    """In this process OpenSSL was told nothing, so there are some of both."""
    served, other = identity(), identity()

    with pytest.raises(TlsSettingsError) as caught:
        check_tls(build_tls_context(served), other)

    assert "TLSv1.3: another certificate than ours is served" in caught.value.faults
    assert any(fault.startswith("the groups are ") for fault in caught.value.faults)


def test_a_context_that_speaks_one_version_alone_is_refused() -> None:
    served = identity()
    context = build_tls_context(served)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)

    with pytest.raises(TlsSettingsError, match="no handshake with ourselves: "):
        check_tls(context, served)
