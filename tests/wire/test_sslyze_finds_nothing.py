"""A scanner we did not write looks for old protocols, resumption, renegotiation and known holes."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.wire.stage import ROOT, Service

SSLYZE = ROOT / ".venv-sslyze" / "bin" / "python"
OLD_PROTOCOLS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SSLYZE.exists(), reason="sslyze has an environment of its own: make prove sets it up"),
]


@dataclass(frozen=True, slots=True)
class Report:
    """
    What the scanner found.

    Attributes:
        objections: Of Mozilla's intermediate profile (Mozilla, "Security/Server Side TLS"), by their names.
    """

    scans: dict[str, Any]
    objections: tuple[str, ...]


@pytest.fixture(scope="module")
def report(direct_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Report:
    written: Path = tmp_path_factory.mktemp("sslyze") / "report.json"
    host, port = direct_service.address
    done = subprocess.run(  # noqa: S603 -- the pinned scanner
        [SSLYZE, "-m", "sslyze", "--mozilla_config=intermediate", "--resum", f"--json_out={written}", f"{host}:{port}"],
        check=False,  # it ends with 1 when there is any objection
        capture_output=True,
        text=True,
        timeout=180,
    )
    (result,) = json.loads(written.read_text())["server_scan_results"]
    _, _, verdict = done.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    assert verdict, done.stdout + done.stderr
    return Report(result["scan_result"], tuple(re.findall(r"\* (\w+):", verdict)))


@pytest.fixture(scope="module")
def scan(report: Report) -> dict[str, Any]:
    return report.scans


def test_mozilla_s_profile_objects_to_the_test_certificate_alone(report: Report) -> None:
    """Its authority is ours, and it lives two days longer than a year; X448 and P-521 would be objected to."""
    assert set(report.objections) == {"certificate_path_validation", "maximum_certificate_lifespan"}


def test_our_groups_and_no_others_are_spoken(scan: dict[str, Any]) -> None:
    """The scanner knows none of the hybrid ones."""
    curves = scan["elliptic_curves"]["result"]["supported_curves"]

    assert {curve["name"] for curve in curves} == {"X25519", "secp256r1", "secp384r1"}


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
