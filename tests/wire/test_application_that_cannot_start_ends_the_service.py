"""An application that cannot start is one line and the end; nobody restarts it again and again."""

from __future__ import annotations

import re

import pytest

from service.contract import Variable
from tests.wire.stage import Aws, boot, variables


def test_a_module_that_is_missing_is_found_before_anything_listens(aws: Aws, bucket: str) -> None:
    done = boot(variables(aws, bucket, **{Variable.APPLICATION: "no_such_module:app"}))

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "error: the application no_such_module:app does not start: there is no module no_such_module"
    )
    assert done.stderr.splitlines()[1].startswith("hint: correct MTLS_APPLICATION")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("reference", "cause"),
    [
        ("broken:starlette", "ConnectionError: the database does not answer"),
        ("broken:exits_at_start", "SystemExit: no configuration"),
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
