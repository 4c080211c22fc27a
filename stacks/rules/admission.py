"""
Whether a policy in the templates lets a request of AWS through, asked as IAM would.

A rule asks with what AWS sends, and gets None or the reason in words; a policy
nobody can read is a reason too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stacks.access.evaluation import evaluate
from stacks.access.faults import PolicyFaultError
from stacks.access.request import AttachedPolicy, Principal, Request, ResourcePolicy
from stacks.rules.estate import Resource

OVER_TLS: Final[Mapping[str, str]] = {
    "aws:SecureTransport": "true",
    "s3:TlsVersion": "1.2",
    "s3:authType": "REST-HEADER",
    "s3:signatureversion": "AWS4-HMAC-SHA256",
}
"""What every signed request of AWS's own clients to S3 says of itself."""

_OPEN: Final = ResourcePolicy(
    AttachedPolicy("", {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]})
)


def refusal_of(
    policies: Sequence[Resource], principal: Principal, *, action: str, resource: str, says: Mapping[str, str]
) -> str | None:
    """
    Ask the policies of a resource for a request; None if they let it through.

    Args:
        policies: Each with its `PolicyDocument`.
        principal: Who asks.
        action: `s3:PutObject`.
        resource: The ARN of what is asked for.
        says: The request's condition keys, beside those that follow from the principal.
    """
    try:
        attached = [ResourcePolicy(AttachedPolicy(each.name, _document(each))) for each in policies]
        owner = policies[0].estate.place.account if policies else ""
        decision = evaluate(Request(principal, action, resource, owner, says), attached)
    except PolicyFaultError as error:
        return str(error)
    return None if decision.is_allowed else f"{decision.verdict}: {decision.statement}"


def refusal_by_endpoint(endpoint: Resource, principal: Principal, *, action: str, resource: str) -> str | None:
    """Ask the policy of a VPC endpoint for a request that nothing else refuses; None if it lets it through."""
    if endpoint.get("PolicyDocument") is None:
        return None  # AWS's own lets everything through
    try:
        policy = AttachedPolicy(endpoint.name, _document(endpoint))
        owner = endpoint.estate.place.account
        request = Request(principal, action, resource, owner, OVER_TLS, endpoint_policies=[policy])
        decision = evaluate(request, [_OPEN])
    except PolicyFaultError as error:
        return str(error)
    return None if decision.is_allowed else f"{decision.verdict}: {decision.statement}"


def _document(resource: Resource) -> Mapping[str, Any]:
    found: Mapping[str, Any] = resource.get("PolicyDocument")
    return found
