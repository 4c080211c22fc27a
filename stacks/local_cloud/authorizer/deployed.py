"""
The policies as they stand, read when they are asked for and understood once.

A policy is known by its name and its text, so a changed one is another one,
and nothing has to be told that it changed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, NamedTuple

from moto.dynamodb.models import dynamodb_backends
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from stacks.access.request import AttachedPolicy, Principal, PrincipalKind, ResourcePolicy, ResourcePolicyKind

_KEPT: Final = 512
"""So many policies and principals stay understood; a deployment has a few dozen."""


class PolicyText(NamedTuple):
    """A policy as it stands, and what it is called in an answer."""

    name: str
    text: str


@lru_cache(maxsize=_KEPT)
def understood(policy: PolicyText) -> AttachedPolicy:
    """
    Read a policy.

    Raises:
        PolicyFaultError: It holds what IAM would refuse or nobody here knows.
    """
    return AttachedPolicy(policy.name, json.loads(policy.text))


@lru_cache(maxsize=_KEPT)
def principal(  # noqa: PLR0913 - they are what a principal is
    kind: PrincipalKind,
    arn: str,
    account: str,
    *,
    session_arn: str = "",
    policies: tuple[PolicyText, ...] = (),
    boundary: PolicyText | None = None,
) -> Principal:
    """
    Make a principal.

    Raises:
        PolicyFaultError: One of its policies cannot be read.
    """
    read = tuple(understood(policy) for policy in policies)
    return Principal(kind, arn, account, session_arn, read, None if boundary is None else understood(boundary))


class Deployed:
    """
    What stands in one account and region.

    Args:
        region: Its region.
        account: Of 12 digits.
        partition: `aws`.
    """

    def __init__(self, region: str, account: str, partition: str) -> None:
        self.region = region
        self.account = account
        self.partition = partition

    # -- buckets -----------------------------------------------------------------
    def bucket(self, name: str) -> Any:
        """Find a bucket; None if there is none."""
        return s3_backends[self.account][self.partition].buckets.get(name)

    def bucket_policies(self, name: str) -> tuple[ResourcePolicy, ...]:
        """Give a bucket's policy, if it has one."""
        bucket = self.bucket(name)
        if bucket is None or not bucket.policy:
            return ()
        text = bucket.policy if isinstance(bucket.policy, str) else bucket.policy.decode()
        return (ResourcePolicy(understood(PolicyText(f"bucket policy {name}", text))),)

    # -- keys --------------------------------------------------------------------
    def key(self, identity: str) -> Any:
        """Find a key by id, ARN, alias or ARN of an alias; None if there is none."""
        backend = kms_backends[self.account][self.region]
        if identity.startswith("arn:") and f":{self.region}:{self.account}:" not in identity:
            return None
        if ":alias/" in identity or identity.startswith("alias/"):
            alias = backend.get_alias_name(identity)
            return next((key for key in list(backend.keys.values()) if alias in key.aliases), None)
        return backend.keys.get(backend.get_key_id(identity))

    def key_policies(self, key: Any) -> tuple[ResourcePolicy, ...]:
        """Give a key's policy; every key has one."""
        policy = understood(PolicyText(f"key policy {key.id}", key.policy))
        return (ResourcePolicy(policy, ResourcePolicyKind.KEY),)

    # -- tables ------------------------------------------------------------------
    def table(self, name: str) -> Any:
        """Find a table by its name or ARN; None if there is none."""
        return dynamodb_backends[self.account][self.region].tables.get(name.rpartition("/")[2])

    def table_policies(self, arn: str) -> tuple[ResourcePolicy, ...]:
        """Give a table's own policy, if it has one."""
        found = dynamodb_backends[self.account][self.region].resource_policies.get(arn)
        if found is None:
            return ()
        name = f"table policy {arn.rpartition('/')[2]}"
        return (ResourcePolicy(understood(PolicyText(name, found.policy_doc))),)

    # -- the network -------------------------------------------------------------
    @property
    def ec2(self) -> Any:
        """What moto's EC2 holds."""
        return ec2_backends[self.account][self.region]
