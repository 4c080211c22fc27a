"""Every stack status has its next step."""

from __future__ import annotations

import botocore.session
import pytest

from stacks.deployment.recovery import Standing, standing, way_out
from tests.stacks.environments import environment


def statuses() -> list[str]:
    """All of CloudFormation's, from the service model boto3 itself uses."""
    model = botocore.session.get_session().get_service_model("cloudformation")
    return list(model.shape_for("StackStatus").enum)  # type: ignore[attr-defined]  # a StringShape has it


@pytest.mark.parametrize("status", statuses())
def test_every_status_of_cloudformation_is_known(status: str) -> None:
    found = standing(status)

    assert found is not Standing.STUCK or "describe-stacks" not in way_out("it", status, environment("staging"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, Standing.ABSENT),
        ("REVIEW_IN_PROGRESS", Standing.EMPTY),
        ("ROLLBACK_COMPLETE", Standing.EMPTY),
        ("UPDATE_ROLLBACK_COMPLETE", Standing.AT_REST),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Standing.AT_WORK),
        ("DELETE_COMPLETE", Standing.ABSENT),
        ("SOMETHING_NEW", Standing.STUCK),
    ],
)
def test_a_status_says_what_can_be_done(status: str | None, expected: Standing) -> None:
    assert standing(status) is expected


def test_a_stack_stuck_in_its_rollback_names_the_command_that_frees_it() -> None:
    command = way_out("mtls-ingress-staging-ingress", "UPDATE_ROLLBACK_FAILED", environment("staging"))

    assert command == (
        "aws cloudformation continue-update-rollback --stack-name mtls-ingress-staging-ingress --region us-east-1"
    )


def test_on_this_machine_the_way_out_is_to_start_anew() -> None:
    """There is no CLI that could ask the embedded cloud, and it knows no call that frees a stack."""
    assert "end make local" in way_out("mtls-ingress-local-workload", "UPDATE_ROLLBACK_FAILED", environment("local"))
