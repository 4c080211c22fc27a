"""A scanner we did not write looks for old protocols, resumption, renegotiation and known holes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.wire.stage import ROOT, Service

SSLYZE = ROOT / ".venv-sslyze" / "bin" / "python"
SCANS = [
    f"--{scan}"
    for scan in (
        "sslv2",
        "sslv3",
        "tlsv1",
        "tlsv1_1",
        "tlsv1_2",
        "tlsv1_3",
        "resum",
        "reneg",
        "heartbleed",
        "openssl_ccs",
        "compression",
        "robot",
    )
]
OLD_PROTOCOLS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SSLYZE.exists(), reason="sslyze has an environment of its own: make prove sets it up"),
]


@pytest.fixture(scope="module")
def scan(direct_service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    report: Path = tmp_path_factory.mktemp("sslyze") / "report.json"
    host, port = direct_service.address
    subprocess.run(  # noqa: S603 -- the pinned scanner
        [SSLYZE, "-m", "sslyze", "--mozilla_config=disable", *SCANS, f"--json_out={report}", f"{host}:{port}"],
        check=True,
        capture_output=True,
        timeout=180,
    )
    (result,) = json.loads(report.read_text())["server_scan_results"]
    found: dict[str, Any] = result["scan_result"]
    return found


@pytest.mark.parametrize("protocol", OLD_PROTOCOLS)
def test_an_old_protocol_is_not_spoken(scan: dict[str, Any], protocol: str) -> None:
    assert scan[f"{protocol}_cipher_suites"]["result"]["accepted_cipher_suites"] == []


@pytest.mark.parametrize("protocol", ["tls_1_2", "tls_1_3"])
def test_every_suite_is_authenticated_encryption(scan: dict[str, Any], protocol: str) -> None:
    accepted = [
        suite["cipher_suite"]["name"] for suite in scan[f"{protocol}_cipher_suites"]["result"]["accepted_cipher_suites"]
    ]

    assert accepted
    assert [name for name in accepted if "GCM" not in name and "POLY1305" not in name] == []


def test_no_session_is_resumed(scan: dict[str, Any]) -> None:
    resumption = scan["session_resumption"]["result"]

    assert resumption["session_id_successful_resumptions_count"] == 0
    assert resumption["tls_ticket_successful_resumptions_count"] == 0


def test_a_client_cannot_renegotiate(scan: dict[str, Any]) -> None:
    assert not scan["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"]


def test_known_holes_are_closed(scan: dict[str, Any]) -> None:
    assert not scan["heartbleed"]["result"]["is_vulnerable_to_heartbleed"]
    assert not scan["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"]
    assert not scan["tls_compression"]["result"]["supports_compression"]
    assert "NOT_VULNERABLE" in scan["robot"]["result"]["robot_result"]
