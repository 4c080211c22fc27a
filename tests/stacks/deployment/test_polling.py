"""Waiting starts quick, grows slow, ends at a deadline, and takes a throttle for no news."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stacks.deployment.polling import AWS_PACE, Poller, TimedOutError, WallClock
from tests.stacks.deployment.twins import QuickClock


def answer(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "DescribeStacks",
    )


def test_what_is_there_already_is_not_waited_for() -> None:
    clock = QuickClock()

    assert Poller(clock).until(lambda: "there", what="it", budget_seconds=60) == "there"
    assert clock.waits == []


def test_pauses_grow_from_half_a_second_to_five() -> None:
    clock = QuickClock()

    with pytest.raises(TimedOutError):
        Poller(clock, AWS_PACE).until(lambda: None, what="it", budget_seconds=120)

    assert clock.waits[0] == 0.5
    assert max(clock.waits) == 5.0
    assert clock.waits == sorted(clock.waits)


def test_a_wait_ends_at_its_deadline_and_says_that_aws_goes_on() -> None:
    with pytest.raises(TimedOutError, match=r"the stack is not done after 2 minutes; it is still running in AWS") as it:
        Poller(QuickClock()).until(lambda: None, what="the stack", budget_seconds=120)

    assert it.value.exit_code == 9


@pytest.mark.parametrize(
    "trouble",
    [
        answer("Throttling"),
        answer("RequestLimitExceeded"),
        answer("InternalFailure", 500),
        EndpointConnectionError(endpoint_url="https://cloudformation.us-east-1.amazonaws.com"),
    ],
)
def test_two_hundred_throttles_do_not_fail_a_wait(trouble: Exception) -> None:
    answers = iter([trouble] * 200)

    def look() -> str:
        for error in answers:
            raise error
        return "there"

    assert Poller(QuickClock()).until(look, what="it", budget_seconds=3600) == "there"


def test_what_waiting_does_not_heal_is_raised_at_once() -> None:
    def look() -> str:
        raise answer("AccessDenied", 403)

    with pytest.raises(ClientError, match="AccessDenied"):
        Poller(QuickClock()).until(look, what="it", budget_seconds=60)


def test_letting_go_ends_a_wait_of_the_real_clock() -> None:
    clock = WallClock()
    clock.let_go()

    with pytest.raises(Exception, match="goes on in AWS"):
        clock.wait(60)
