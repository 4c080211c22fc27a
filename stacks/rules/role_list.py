"""
Every role of an environment with all that says who may take it and what it may, for people to read.

As the templates say it, before anything is deployed. An id that AWS draws
stands as what it is of, `${certificate_store.CertificateKey.Arn}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stacks.rules.estate import Estate
from stacks.rules.principals import ROLE, RoleOfOurs, roles
from stacks.rules.values import Reference, listed

_DRAWN: Final = frozenset({"AWS::KMS::Key", "AWS::Backup::BackupVault", "AWS::IAM::ManagedPolicy"})
"""Types whose ids or names AWS draws; what else a policy refers to is named."""

Record = dict[str, Any]
"""One line of output, plain JSON."""


def role_records(estate: Estate) -> Iterator[Record]:
    """
    Give each role: name, ARN, where it is made, what it is for, its boundary, who may take it and what it is granted.

    Raises:
        UnresolvedError: A policy cannot be told from the templates.
    """
    for role in roles(estate):
        resource = role.resource
        yield {
            "type": "role",
            "name": str(resource.get("RoleName")),
            "arn": role.arn,
            "stack": resource.stack,
            "logical_id": resource.logical_id,
            "description": resource.get("Description") or "",
            "boundary": str(resource.get("PermissionsBoundary")),
            "session_seconds": int(resource.get("MaxSessionDuration") or 3600),
            "trust": _plain(estate, resource.get("AssumeRolePolicyDocument")),
            "policies": [*_own(estate, role), *_of_others(estate, role)],
        }


def boundary_records(estate: Estate) -> Iterator[Record]:
    """Give each permissions boundary the templates make."""
    worn = {str(role.get("PermissionsBoundary")) for role in estate.of_type(ROLE)}
    for policy in estate.of_type("AWS::IAM::ManagedPolicy"):
        if estate.arn(policy) in worn:
            document = _plain(estate, policy.get("PolicyDocument"))
            yield {"type": "boundary", "arn": estate.arn(policy), "stack": policy.stack, "document": document}


def _own(estate: Estate, role: RoleOfOurs) -> Iterator[Record]:
    for name, source in sorted(role.sources.items()):
        yield {"name": name, "document": _plain(estate, source.resource.get(source.path))}


def _of_others(estate: Estate, role: RoleOfOurs) -> Iterator[Record]:
    for value in listed(role.resource.get("ManagedPolicyArns")):
        if estate.called(value, "AWS::IAM::ManagedPolicy") is None:
            yield {"name": str(value), "document": None}


def _plain(estate: Estate, value: Any) -> Any:  # noqa: ANN401 -- any JSON
    match value:
        case Reference():
            target = estate.target(value)
            is_drawn = target is not None and target.type in _DRAWN
            return f"${{{value.stack}.{value.logical_id}.{value.attribute}}}" if is_drawn else str(value)
        case str():
            return str(value)
        case dict():
            return {key: _plain(estate, inner) for key, inner in value.items()}
        case list():
            return [_plain(estate, inner) for inner in value]
        case _:
            return value
