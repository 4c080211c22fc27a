"""What a policy can be that nobody here can evaluate; never a reason to answer all the same."""

from __future__ import annotations

from stacks.errors import DeploymentError


class PolicyFaultError(DeploymentError):
    """
    A policy holds something that IAM would refuse, or that this evaluation does not know.

    Attributes:
        policy: Its name; empty as long as only a part of it is read.
        part: The statement or condition at fault.
        reason: What is wrong with it.
    """

    def __init__(self, reason: str, *, policy: str = "", part: str = "") -> None:
        self.policy = policy
        self.part = part
        self.reason = reason
        place = ".".join(word for word in (policy, part) if word)
        super().__init__(f"{place}: {reason}" if place else reason)
