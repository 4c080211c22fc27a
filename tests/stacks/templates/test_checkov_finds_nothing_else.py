"""A checker we did not write reads the rendered templates; what it may find is named here with its reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
EXCEPTIONS = {
    # A bucket that logs into itself logs its own logging, without end.
    ("CKV_AWS_18", "AWS::S3::Bucket.LogBucket"),
    # Boundaries grant nothing: they bound what the policies beside them grant, in which nothing is found.
    ("CKV_AWS_111", "AWS::IAM::ManagedPolicy.Boundary"),
    *((f"CKV_AWS_{number}", "AWS::IAM::ManagedPolicy.DeployerBoundary") for number in range(107, 112)),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKOV.exists(), reason="checkov has an environment of its own: make prove sets it up"),
]


@pytest.mark.parametrize("environment", ["local", "staging", "production"])
def test_it_finds_the_named_exceptions_alone(environment: str) -> None:
    command = [
        str(CHECKOV),
        "--framework",
        "cloudformation",
        "--skip-download",
        "--compact",
        "--quiet",
        "--output",
        "json",
    ]

    ran = subprocess.run(  # noqa: S603 -- the pinned checker
        [*command, "--directory", str(ROOT / "tests" / "golden" / environment)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )

    report = json.loads(ran.stdout)
    assert report["summary"]["passed"] > 100
    assert report["summary"]["parsing_errors"] == 0
    assert {(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]} == EXCEPTIONS
