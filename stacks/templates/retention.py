"""What becomes of resources that hold state when their stack lets go of them."""

from __future__ import annotations

from typing import Final, TypedDict


class Retention(TypedDict):
    """The two policies CloudFormation asks for, as arguments of a resource."""

    DeletionPolicy: str
    UpdateReplacePolicy: str


RETAINED: Final = Retention(DeletionPolicy="RetainExceptOnCreate", UpdateReplacePolicy="Retain")
"""Kept when the stack goes; but after a failed first creation removed, so that its name does not block the next."""
