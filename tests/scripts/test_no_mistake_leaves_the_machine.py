"""
A template with a mistake stops every verb that would take it to AWS, before AWS is asked for anything.

The project is copied, one line of a template is spoiled as a hand would, and
the real commands are typed. Whoever asks AWS gets no further than a port where
nobody listens, and says so with another exit code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stacks.environments import ROOT


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, with cross-zone load balancing off."""
    copy = tmp_path_factory.mktemp("spoiled")
    for part in ("environments", "scripts", "service", "stacks"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "wheels"))
    template = copy / "stacks" / "templates" / "ingress.py"
    right = template.read_text(encoding="utf-8")
    assert right.count("CrossZone=True") == 1
    template.write_text(right.replace("CrossZone=True", "CrossZone=False"), encoding="utf-8")
    return copy


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["check"], ["plan"], ["deploy", "--yes"], ["bootstrap", "--yes"]], ids=lambda words: words[0]
)
def test_a_mistake_stops_every_verb_that_leads_to_aws(spoiled: Path, words: list[str]) -> None:
    nowhere = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_MAX_ATTEMPTS": "1",
    }

    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, "scripts/deploy.py", *words, "--env", "staging"],
        cwd=spoiled,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", **nowhere},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 5, done.stderr
    assert "ingress.LoadBalancer.Properties.CrossZone" in done.stdout + done.stderr
    assert "ELB.9" in done.stdout + done.stderr
    assert "stacks/templates/ingress.py" in done.stdout + done.stderr
