"""
Requests and policies by chance, as wide as the grammar that both evaluators understand.

Drawn by a seeded generator and not by hypothesis, for all of them are asked in
one call of the other evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from stacks.access.matching import ContextValue
from stacks.access.request import (
    AttachedPolicy,
    Principal,
    PrincipalKind,
    Request,
    ResourcePolicy,
    ResourcePolicyKind,
)

ACCOUNT, OTHER = "111111111111", "222222222222"
_ROLES = (f"arn:aws:iam::{ACCOUNT}:role/a", f"arn:aws:iam::{ACCOUNT}:role/b", f"arn:aws:iam::{OTHER}:role/a")
_USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
_S3 = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
_KMS = ("kms:Decrypt", "kms:DescribeKey", "kms:PutKeyPolicy")
_OBJECTS = ("arn:aws:s3:::bucket/server/key.pem", "arn:aws:s3:::bucket/manifest/server.json")
_ACTION_PATTERNS = ("*", "s3:*", "kms:*", "s3:Get*", "S3:getobject", "s3:?etObject", "kms:D*", "kms:Decrypt", *_S3)
_RESOURCE_PATTERNS = (
    *("*", "arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/server/*", "arn:aws:s3:::buck?t/*/key.pem", _KEY),
    *(
        _OBJECTS[0],
        "arn:aws:s3:::other/*",
        f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*",
        "arn:aws:s3:::${aws:PrincipalTag/team}/*",
    ),
)
_PRINCIPALS: tuple[Any, ...] = (
    *("*", {"AWS": "*"}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": OTHER}),
    *({"AWS": each} for each in (*_ROLES, _USER)),
    {"AWS": [_ROLES[0], OTHER]},
)
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # operators of the key, what policies want of it, what requests have of it
    "aws:SourceVpce": (
        *(("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"), ("vpce-1", "vpce-*", "vpce-?", "VPCE-1")),
        ("vpce-1", "vpce-12"),
    ),
    "aws:PrincipalTag/team": (
        *(
            ("StringEqualsIgnoreCase", "StringLike"),
            ("Bucket", "other", "${aws:SourceVpce}"),
        ),
        ("bucket", "vpce-1"),
    ),
    "aws:SecureTransport": (("Bool",), ("true", "false"), ("true", "false")),
    "aws:MultiFactorAuthPresent": (("Bool",), ("true", "false"), ("true", "false")),
    "aws:MultiFactorAuthAge": (
        *(("NumericLessThan", "NumericLessThanEquals", "NumericEquals", "NumericNotEquals"), ("10", "3600")),
        ("5", "10", "7200"),
    ),
    "aws:CurrentTime": (
        *(
            ("DateLessThan", "DateGreaterThan", "DateGreaterThanEquals"),
            ("2026-11-23T00:00:00Z", "2027-01-01T00:00:00Z"),
        ),
        ("2026-11-23T00:00:00Z", "2026-12-01T00:00:00Z"),
    ),
    "aws:SourceIp": (
        *(("IpAddress", "NotIpAddress"), ("203.0.113.0/24", "198.51.100.7/32", "10.0.0.0/8")),
        ("203.0.113.9", "198.51.100.7"),
    ),
    "aws:PrincipalArn": (
        *(
            ("ArnLike", "ArnNotLike", "ArnEquals", "StringLike"),
            (*_ROLES, f"arn:aws:iam::{ACCOUNT}:role/*", "arn:aws:iam::*:role/a"),
        ),
        (),
    ),
    "aws:TagKeys": (
        *(("ForAllValues:StringEquals", "ForAnyValue:StringEquals", "ForAnyValue:StringLike"), ("a", "b*", "c")),
        ("a", "b", "bb"),
    ),
}


def questions(count: int, *, seed: int) -> Iterator[tuple[Request, tuple[ResourcePolicy, ...]]]:
    """Draw so many of them."""
    chance = Random(seed)  # noqa: S311 -- no secret: the same ones each time
    for _ in range(count):
        is_key = chance.random() < 0.4
        action = chance.choice(_KMS if is_key else _S3)
        kind = ResourcePolicyKind.KEY if is_key else ResourcePolicyKind.OTHER
        policy = AttachedPolicy("resource", _document(chance, with_principals=True))
        has_policy = is_key or chance.random() < 0.8
        resource = _KEY if is_key else chance.choice(_OBJECTS)
        request = Request(_principal(chance), action, resource, ACCOUNT, _context(chance), _endpoint(chance))
        yield request, (ResourcePolicy(policy, kind),) if has_policy else ()


def _principal(chance: Random) -> Principal:
    arn = chance.choice((*_ROLES, _USER))
    kind = PrincipalKind.USER if ":user/" in arn else PrincipalKind.ROLE
    policies = [
        AttachedPolicy("identity", _document(chance, with_principals=False)) for _ in range(chance.choice((0, 1, 1, 2)))
    ]
    boundary = AttachedPolicy("boundary", _document(chance, with_principals=False)) if chance.random() < 0.3 else None
    return Principal(kind, arn, arn.split(":")[4], policies=policies, boundary=boundary)


def _endpoint(chance: Random) -> list[AttachedPolicy]:
    if chance.random() > 0.2:
        return []
    document = _document(chance, with_principals=True)
    # The other takes nothing but "*" for a principal there, as the VPC guide demands of gateway endpoints.
    statements = [statement | {"Principal": "*"} for statement in document["Statement"]]
    return [AttachedPolicy("endpoint", document | {"Statement": statements})]


def _document(chance: Random, *, with_principals: bool) -> dict[str, Any]:
    statements = [
        _statement(chance, str(index), with_principals=with_principals) for index in range(chance.choice((1, 2, 3)))
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(chance: Random, sid: str, *, with_principals: bool) -> dict[str, Any]:
    effect = chance.choice(("Allow", "Allow", "Deny"))
    statement: dict[str, Any] = {"Sid": sid, "Effect": effect}
    if with_principals:
        statement["Principal"] = chance.choice(_PRINCIPALS)
    statement[chance.choice(("Action", "Action", "Action", "NotAction"))] = _some(chance, _ACTION_PATTERNS)
    negates = chance.random() < 0.25
    patterns = [each for each in _RESOURCE_PATTERNS if not negates or "${" not in each]
    statement["NotResource" if negates else "Resource"] = _some(chance, tuple(patterns))
    if chance.random() < 0.6:
        statement["Condition"] = _condition(chance)
    return statement


def _condition(chance: Random) -> dict[str, Any]:
    condition: dict[str, Any] = {}
    for key in chance.sample(sorted(_KEYS), chance.choice((1, 1, 2))):
        operators, wanted, _ = _KEYS[key]
        operator = chance.choice(operators)
        if chance.random() < 0.15:
            operator, wanted = "Null", ("true", "false")
            condition.setdefault(operator, {})[key] = chance.choice(wanted)
            continue
        if chance.random() < 0.25 and not operator.startswith("ForAnyValue"):
            operator += "IfExists"
        condition.setdefault(operator, {})[key] = _some(chance, wanted)
    return condition


def _context(chance: Random) -> dict[str, ContextValue]:
    context: dict[str, ContextValue] = {}
    for key, (_, _, found) in _KEYS.items():
        if found and chance.random() < 0.6:
            several = tuple(chance.sample(found, chance.choice((1, 2))))
            context[key] = several if key == "aws:TagKeys" else chance.choice(found)
    return context


def _some(chance: Random, values: tuple[str, ...]) -> str | list[str]:
    several = chance.sample(values, min(len(values), chance.choice((1, 1, 2))))
    return several if len(several) > 1 or chance.random() < 0.5 else several[0]
