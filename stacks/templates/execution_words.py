"""What grants of CloudFormation's role are written with: actions by their names, and what tells a thing to be ours."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from awacs.aws import Action, ConditionElement, StringLike

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import through

_STACK_TAG: Final = "aws:ResourceTag/aws:cloudformation:stack-name"


def of(service: ModuleType, names: str) -> list[Action]:
    """Take actions of a service of awacs; a misspelt one is an AttributeError."""
    return [getattr(service, name) for name in names.split()]


def own_stacks(environment: Environment) -> ConditionElement:
    """Say that a resource bears the tag that CloudFormation puts on what a stack of ours made."""
    return StringLike({_STACK_TAG: naming.stack_name(environment, "*")})


def bucket(environment: Environment, name: str) -> str:
    """Spell the ARN of a bucket."""
    return f"arn:{environment.partition}:s3:::{name}"


def through_services(environment: Environment) -> str | list[str]:
    """Name the services through which a key is used while a stack is made: an encrypted table, a vault."""
    services = ["dynamodb"] if environment.registry.backup_days is None else ["dynamodb", "backup"]
    return through(environment, *services)
