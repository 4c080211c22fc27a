"""What a request asks for: actions on resources, each to be allowed."""

from __future__ import annotations

from dataclasses import dataclass, field

from stacks.access.request import ResourcePolicy
from stacks.local_cloud.authorizer.context import Context


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One action on one resource.

    Attributes:
        context: Condition keys of its own, by names in lower case.
        policies: Of the resource.
        is_on_behalf: A service makes this call for the caller, as S3 does of KMS.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    policies: tuple[ResourcePolicy, ...] = ()
    is_on_behalf: bool = False


class UnknownCallError(Exception):
    """A call nobody here knows the action of: it is refused, for what is not known cannot be allowed."""
