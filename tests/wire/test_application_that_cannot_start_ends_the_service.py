"""An application that cannot start is one line and the end; nobody restarts it again and again."""

from __future__ import annotations

import re

import pytest

from service.contract import Variable
from tests.wire.stage import Aws, boot, variables


@pytest.mark.parametrize(
    ("reference", "cause"),
    [
        ("no_such_module:app", "there is no module no_such_module"),
        ("tests.applications.missing:app", "there is no module tests.applications.missing"),
        ("json.nothing:app", "there is no module json.nothing"),
    ],
)
def test_a_module_that_is_missing_is_found_before_anything_listens(
    aws: Aws, bucket: str, reference: str, cause: str
) -> None:
    done = boot(variables(aws, bucket, **{Variable.APPLICATION: reference}))

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error: the application {reference} does not start: {cause}"
    assert done.stderr.splitlines()[1].startswith("hint: correct MTLS_APPLICATION")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("reference", "cause"),
    [
        ("broken:missing", r"AttributeError: module 'tests.applications.broken' has no attribute 'missing'"),
        ("broken:no_application", "it is dict and cannot be called"),
        ("broken:raises.app", r"RuntimeError: no app today \(.*broken.py line \d+\)"),
        ("broken:never_starts", "no configuration"),
        ("broken:starlette", "ConnectionError: the database does not answer"),
        (
            "broken_at_import:app",
            r"ModuleNotFoundError: .*a_library_that_is_not_installed.*broken_at_import.py line 3\)",
        ),
    ],
)
def test_one_that_cannot_start_ends_the_service_with_its_reason(
    aws: Aws, bucket: str, reference: str, cause: str
) -> None:
    """With two workers there is still one line, and the exit code that ECS counts as a failure."""
    changed = {Variable.APPLICATION: f"tests.applications.{reference}", Variable.WORKERS: "2"}

    done = boot(variables(aws, bucket, **changed))

    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert re.fullmatch(rf"error: the application \S+.* does not start: {cause}.*", error), done.stderr
    assert hint.startswith("hint: correct MTLS_APPLICATION")
    assert '"event":"worker_ended"' not in done.stdout


def test_an_application_and_an_upstream_contradict(aws: Aws, bucket: str) -> None:
    both = {Variable.APPLICATION: "tests.applications.broken:app", Variable.FORWARD_TO: "http://127.0.0.1:1"}

    done = boot(variables(aws, bucket, **both))

    assert done.returncode == 1
    assert "MTLS_APPLICATION and MTLS_FORWARD_TO are both set; only one can answer" in done.stderr
