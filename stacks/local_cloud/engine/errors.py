"""What the engine answers a caller who asked for something it will not do, in AWS's own error codes."""

from __future__ import annotations


class CloudFormationError(Exception):
    """An error of the API: its code is the wire's, its message is for people."""

    code = "ValidationError"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ValidationError(CloudFormationError):
    """The request, the template or the state of the stack does not allow it."""


class TemplateError(ValidationError):
    """The template says something that no template can say, or something this engine does not know."""


class UnsupportedError(ValidationError):
    """AWS would do it and the embedded cloud does not; never answered with a silent success."""


class AlreadyExistsError(CloudFormationError):
    """A stack or change set of that name is there."""

    code = "AlreadyExistsException"


class ChangeSetNotFoundError(CloudFormationError):
    """No change set of that name or ARN."""

    code = "ChangeSetNotFound"


class InvalidChangeSetStatusError(CloudFormationError):
    """The change set cannot be executed or deleted as it is."""

    code = "InvalidChangeSetStatus"
