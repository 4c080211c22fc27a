"""
The words of policies: the actions and condition keys AWS knows, as far as anything of ours may use them.

A misspelt one is no error to AWS: the statement is taken, and never holds.
So whatever is not found here is refused; what is new to us is written down
here first. Actions are in `actions.txt`, each service with all of its own
(Service Authorization Reference); a star behind one says that it bears no
resource, so that only `*` can be its Resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from stacks.access.matching import is_like

_ACTIONS: Final = Path(__file__).with_name("actions.txt")


class KeyType(StrEnum):
    """What a condition key holds, which says by which operators it can be compared."""

    ARN = "Arn"
    BOOL = "Bool"
    DATE = "Date"
    IP_ADDRESS = "IpAddress"
    NUMERIC = "Numeric"
    STRING = "String"


_OPERATORS: Final[Mapping[KeyType, frozenset[str]]] = {
    KeyType.ARN: frozenset(
        {"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"}
        | {"StringEquals", "StringLike", "StringNotEquals", "StringNotLike"}
    ),
    KeyType.BOOL: frozenset({"Bool"}),
    KeyType.DATE: frozenset(
        f"Date{order}" for order in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan")
    ),
    KeyType.IP_ADDRESS: frozenset({"IpAddress", "NotIpAddress"}),
    KeyType.NUMERIC: frozenset(
        f"Numeric{order}" for order in ("Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    ),
    KeyType.STRING: frozenset(
        {"StringEquals", "StringLike", "StringNotEquals", "StringNotLike", "StringEqualsIgnoreCase"}
    ),
}
NULL: Final = "Null"
"""The operator that asks whether a key is there; it takes any key."""
NEGATED: Final = frozenset(
    {"StringNotEquals", "StringNotLike", "ArnNotEquals", "ArnNotLike", "NotIpAddress", "DateNotEquals"}
)
"""Operators that hold where their key is absent."""

CONDITION_KEYS: Final[Mapping[str, KeyType]] = {
    "aws:CalledVia": KeyType.STRING,
    "aws:MultiFactorAuthAge": KeyType.NUMERIC,
    "aws:MultiFactorAuthPresent": KeyType.BOOL,
    "aws:PrincipalAccount": KeyType.STRING,
    "aws:PrincipalArn": KeyType.ARN,
    "aws:PrincipalIsAWSService": KeyType.BOOL,
    "aws:PrincipalOrgID": KeyType.STRING,
    "aws:PrincipalServiceName": KeyType.STRING,
    "aws:RequestedRegion": KeyType.STRING,
    "aws:ResourceAccount": KeyType.STRING,
    "aws:SecureTransport": KeyType.BOOL,
    "aws:SourceAccount": KeyType.STRING,
    "aws:SourceArn": KeyType.ARN,
    "aws:SourceIdentity": KeyType.STRING,
    "aws:SourceIp": KeyType.IP_ADDRESS,
    "aws:SourceOrgID": KeyType.STRING,
    "aws:SourceVpc": KeyType.STRING,
    "aws:SourceVpce": KeyType.STRING,
    "aws:TagKeys": KeyType.STRING,
    "aws:ViaAWSService": KeyType.BOOL,
    "application-autoscaling:service-namespace": KeyType.STRING,
    "autoscaling:LaunchTemplateVersionSpecified": KeyType.BOOL,
    "cloudformation:ChangeSetName": KeyType.STRING,
    "cloudformation:ResourceTypes": KeyType.STRING,
    "cloudformation:RoleArn": KeyType.ARN,
    "cloudformation:StackPolicyUrl": KeyType.STRING,
    "cloudformation:TemplateUrl": KeyType.STRING,
    "cloudwatch:namespace": KeyType.STRING,
    "dynamodb:Attributes": KeyType.STRING,
    "dynamodb:LeadingKeys": KeyType.STRING,
    "dynamodb:Select": KeyType.STRING,
    "ec2:CreateAction": KeyType.STRING,
    "ec2:LaunchTemplate": KeyType.ARN,
    "ec2:Region": KeyType.STRING,
    "ec2:Vpc": KeyType.ARN,
    "ecs:cluster": KeyType.ARN,
    "ecs:service": KeyType.ARN,
    "ecs:task-definition": KeyType.ARN,
    "elasticloadbalancing:CreateAction": KeyType.STRING,
    "iam:AWSServiceName": KeyType.STRING,
    "iam:AssociatedResourceArn": KeyType.ARN,
    "iam:PassedToService": KeyType.STRING,
    "iam:PermissionsBoundary": KeyType.ARN,
    "iam:PolicyARN": KeyType.ARN,
    "kms:CallerAccount": KeyType.STRING,
    "kms:EncryptionContextKeys": KeyType.STRING,
    "kms:GrantIsForAWSResource": KeyType.BOOL,
    "kms:GrantOperations": KeyType.STRING,
    "kms:RequestAlias": KeyType.STRING,
    "kms:ResourceAliases": KeyType.STRING,
    "kms:ViaService": KeyType.STRING,
    "route53:ChangeResourceRecordSetsActions": KeyType.STRING,
    "route53:ChangeResourceRecordSetsNormalizedRecordNames": KeyType.STRING,
    "route53:ChangeResourceRecordSetsRecordTypes": KeyType.STRING,
    "s3:ResourceAccount": KeyType.STRING,
    "s3:TlsVersion": KeyType.NUMERIC,
    "s3:authType": KeyType.STRING,
    "s3:delimiter": KeyType.STRING,
    "s3:prefix": KeyType.STRING,
    "s3:signatureAge": KeyType.NUMERIC,
    "s3:signatureversion": KeyType.STRING,
    "s3:versionid": KeyType.STRING,
    "s3:x-amz-acl": KeyType.STRING,
    "s3:x-amz-content-sha256": KeyType.STRING,
    "s3:x-amz-server-side-encryption": KeyType.STRING,
    "s3:x-amz-server-side-encryption-aws-kms-key-id": KeyType.STRING,
    "s3:x-amz-server-side-encryption-customer-algorithm": KeyType.STRING,
    "sns:Endpoint": KeyType.STRING,
    "sns:Protocol": KeyType.STRING,
    "sts:RoleSessionName": KeyType.STRING,
    "token.actions.githubusercontent.com:aud": KeyType.STRING,
    "token.actions.githubusercontent.com:sub": KeyType.STRING,
}
"""Each to the letter: AWS does not mind their case, but who reads it does."""
_FAMILIES: Final[Mapping[str, KeyType]] = {
    r"aws:(Principal|Request|Resource)Tag/[\w:./=+@-]+": KeyType.STRING,
    r"(autoscaling|ec2|ecr|ecs|dynamodb|elasticloadbalancing|iam):ResourceTag/[\w:./=+@-]+": KeyType.STRING,
    r"ssm:resourceTag/[\w:./=+@-]+": KeyType.STRING,
    # A text to KMS, and compared as an ARN where it is one (KMS guide, encryption context).
    r"kms:EncryptionContext:[\w:./=+@-]+": KeyType.ARN,
}
"""Keys that end with a name of somebody's own."""
_ANYWHERE: Final = ("aws", "token.actions.githubusercontent.com")
"""What begins a key that any service's request can have."""


def type_of_key(key: str) -> KeyType | None:
    """Say what a condition key holds; None if there is no such key."""
    found = CONDITION_KEYS.get(key)
    if found is not None:
        return found
    return next((kind for family, kind in _FAMILIES.items() if re.fullmatch(family, key)), None)


def operators_for(kind: KeyType) -> frozenset[str]:
    """Give the operators that compare what such a key holds."""
    return _OPERATORS[kind]


def is_operator(operator: str) -> bool:
    """Say whether IAM knows an operator, less what stands before and behind it."""
    return operator == NULL or any(operator in known for known in _OPERATORS.values())


def services_with_key(key: str) -> str | None:
    """Say whose requests alone have a key, `s3`; None where any service's can."""
    service = key.partition(":")[0]
    return None if service in _ANYWHERE else service


@lru_cache(maxsize=4096)
def actions_like(pattern: str) -> tuple[str, ...]:
    """Give the actions a pattern such as `s3:GetObject*` means; none if there are none, or its service is unknown."""
    service, _, name = pattern.partition(":")
    known = _known_actions().get(service, {})
    if not {"*", "?"} & set(name):
        return (pattern,) if name in known else ()
    return tuple(f"{service}:{each}" for each in known if is_like(each, name))


def bears_resource(action: str) -> bool:
    """Say whether an action can be allowed on something narrower than everything."""
    service, _, name = action.partition(":")
    return _known_actions().get(service, {}).get(name, True)


@cache
def _known_actions() -> Mapping[str, Mapping[str, bool]]:
    """Read the actions by service, each with whether it bears a resource."""
    services: dict[str, dict[str, bool]] = {}
    current: dict[str, bool] = {}
    for line in _ACTIONS.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            current = services.setdefault(line.rstrip(":"), {})
        else:
            current.update((name.rstrip("*"), not name.endswith("*")) for name in line.split())
    return services
