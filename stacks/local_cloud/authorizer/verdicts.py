"""The answer to one action, and a refusal in the words of AWS, with the statement that made it."""

from __future__ import annotations

from stacks.access.evaluation import evaluate
from stacks.access.faults import PolicyFaultError
from stacks.access.request import Decision, Request, Verdict
from stacks.local_cloud.authorizer.asked import Asked
from stacks.local_cloud.authorizer.callers import Caller
from stacks.local_cloud.authorizer.context import Context
from stacks.local_cloud.authorizer.ways import Way


def refusal_of(caller: Caller, asked: Asked, context: Context, way: Way, *, account: str) -> str | None:
    """
    Judge one action.

    Args:
        caller: Who asks.
        asked: For what.
        context: Every condition key.
        way: Whose endpoint's policy must let it through, unless a service asks on the caller's behalf.
        account: Owns what is asked for.

    Returns:
        Why it is refused; None if it goes through.
    """
    try:
        request = Request(
            caller.principal,
            asked.action,
            asked.resource,
            account,
            context,
            endpoint_policies=() if asked.is_on_behalf else way.policies,
        )
        decision = evaluate(request, asked.policies)
    except PolicyFaultError as fault:
        return f"{_subject(caller, asked)} because a policy cannot be judged ({fault})"
    if decision.is_allowed:
        return None
    return f"{_subject(caller, asked)} {_reason(decision, caller, asked, way)}"


def _subject(caller: Caller, asked: Asked) -> str:
    return f'User: {caller.shown} is not authorized to perform: {asked.action} on resource: "{asked.resource}"'


def _reason(decision: Decision, caller: Caller, asked: Asked, way: Way) -> str:
    """Write as IAM does (IAM guide, "Troubleshoot access denied error messages"), and the statement, which it hides."""
    if decision.verdict is Verdict.DENIED:
        policy, _, statement = decision.statement.rpartition(".")
        kind = _kind(policy, caller, asked, way)
        return f"with an explicit deny in {kind} (statement {statement} of {policy})"
    words = {
        "the endpoint policy": "VPC endpoint",
        "the boundary": "permissions boundary",
        "no statement of": "resource-based",
    }
    kind = next((word for start, word in words.items() if decision.statement.startswith(start)), "identity-based")
    missing = f"because no {kind} policy allows the {asked.action} action".replace("boundary policy", "boundary")
    return f"{missing} ({decision.statement})"


def _kind(policy: str, caller: Caller, asked: Asked, way: Way) -> str:
    if policy in {each.policy.name for each in asked.policies}:
        return "a resource-based policy"
    if not asked.is_on_behalf and policy in {each.name for each in way.policies}:
        return "a VPC endpoint policy"
    boundary = caller.principal.boundary
    if boundary is not None and policy == boundary.name:
        return "a permissions boundary"
    return "an identity-based policy"
