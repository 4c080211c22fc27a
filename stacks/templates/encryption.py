"""The customer managed keys: one for each kind of data, so that the lock on one shuts out nobody from another."""

from __future__ import annotations

from awacs.aws import Action
from troposphere import Ref
from troposphere.kms import Alias, Key

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import Statement, account, allow, policy
from stacks.templates.retention import RETAINED


def encryption_key(environment: Environment, title: str, description: str, *statements: Statement) -> Key:
    """
    Describe a key.

    The account itself may always manage it, or a mistake in the other
    statements would leave a key that nobody can manage (KMS guide, key policies).
    """
    manage = allow("ManagedByTheAccount", [Action("kms", "*")], "*", to=account(environment))
    return Key(
        title,
        Description=description,
        EnableKeyRotation=True,
        PendingWindowInDays=30,
        KeyPolicy=policy(manage, *statements),
        **RETAINED,
    )


def alias(environment: Environment, title: str, key: Key, *, stack: str) -> Alias:
    """Describe the name a stack's key is found by."""
    return Alias(title, AliasName=naming.key_alias(environment, stack), TargetKeyId=Ref(key))
