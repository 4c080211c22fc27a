"""The customer managed keys: one for each kind of data, so that the lock on one shuts out nobody from another."""

from __future__ import annotations

from awacs.aws import Action
from troposphere import Ref, Template
from troposphere.kms import Alias, Key

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import Statement, account, allow, policy
from stacks.templates.retention import RETAINED


def encryption_key(
    template: Template, environment: Environment, stack: str, description: str, *statements: Statement
) -> Key:
    """
    Add a stack's key `EncryptionKey` and its alias.

    The account itself may always manage the key, or a mistake in the other
    statements would leave a key that nobody can manage (KMS guide, key policies).
    """
    manage = allow("ManagedByTheAccount", [Action("kms", "*")], "*", to=account(environment))
    key = template.add_resource(
        Key(
            "EncryptionKey",
            Description=description,
            EnableKeyRotation=True,
            PendingWindowInDays=30,
            KeyPolicy=policy(manage, *statements),
            **RETAINED,
        )
    )
    template.add_resource(
        Alias("EncryptionKeyAlias", AliasName=naming.key_alias(environment, stack), TargetKeyId=Ref(key))
    )
    return key
