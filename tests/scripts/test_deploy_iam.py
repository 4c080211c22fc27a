"""`iam` shows an administrator or an auditor every role, before there is one."""

from __future__ import annotations

import io
import json
from typing import Any

from scripts import deploy
from scripts._terminal import Terminal, run
from stacks.naming import boundary_arn, role_arn
from tests.stacks.environments import environment


def shown(*words: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out=out, err=err, stdin=io.StringIO(), variables={"NO_COLOR": "1"})
    assert run(deploy.main, ["iam", "--env", "staging", *words], terminal) == 0, err.getvalue()
    return out.getvalue()


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown("--output", "ndjson").splitlines()]


def test_every_role_is_a_record_with_its_trust_and_its_policies() -> None:
    found = {record["arn"]: record for record in records() if record["type"] == "role"}

    task = found[role_arn(environment(), "task")]
    assert task["boundary"] == boundary_arn(environment())
    assert task["trust"]["Statement"][0]["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert {policy["name"] for policy in task["policies"]} == {
        "certificate_store.TaskReadsCertificate",
        "client_registry.TaskReadsRegistry",
    }
    assert {"deploy", "cloudformation", "break-glass"} <= {arn.rpartition("staging-")[2] for arn in found}


def test_boundaries_follow_and_the_last_line_is_the_result() -> None:
    *_, bound, deployer_bound, result = records()

    assert bound["arn"] == boundary_arn(environment())
    assert deployer_bound["type"] == "boundary"
    assert result == {"type": "result", "status": "shown", "exit_code": 0}


def test_what_aws_draws_is_shown_as_what_it_is_of() -> None:
    """An id made up here would be looked for in the account."""
    assert '"Resource": "${certificate_store.CertificateKey.Arn}"' in shown()


def test_on_a_page_policies_of_aws_are_named_and_ours_are_shown() -> None:
    page = shown()

    assert "and AWS's own arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore" in page
    assert "what it may, identity.InstancePolicy:" in page
    assert "aws:MultiFactorAuthPresent" in page
