"""
The role CloudFormation works as: an administrator makes it once, and until then nothing can be deployed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from stacks import naming
from stacks.deployment.account import Account
from stacks.deployment.readiness import Need
from stacks.environment import Environment
from stacks.errors import DeploymentError
from stacks.templates.execution_grants import SERVICE_LINKED_ROLES

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

_ABSENT: Final = "NoSuchEntity"
_MAY_NOT_LOOK: Final = frozenset({"AccessDenied", "AccessDeniedException"})
_THERE_ALREADY: Final = "InvalidInput"
"""How IAM says that a service-linked role has been made before (IAM API, CreateServiceLinkedRole)."""


class ServiceLinkedRoleRefusedError(DeploymentError):
    """A role that a service acts by on its own cannot be made."""

    exit_code = 4

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(
            f"IAM refuses the service-linked role of {service}: {reason}",
            hint="an administrator of the account types the same, or makes it:"
            f" aws iam create-service-linked-role --aws-service-name {service}",
        )


def missing_role(account: Account, environment: Environment) -> Need | None:
    """
    Look whether the role is there; None if it is.

    Whoever may not look is taken at their word: CloudFormation says it too,
    only later and in other words.
    """
    try:
        account.client("iam").get_role(RoleName=naming.role_name(environment, "cloudformation"))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == _ABSENT:
            return Need(
                f"the roles of a deployment, which an administrator of {environment.account} makes once",
                (f"python scripts/deploy.py bootstrap --env {environment.name}",),
            )
        if code not in _MAY_NOT_LOOK:
            raise
    return None


def make_service_linked_roles(client: IAMClient) -> list[str]:
    """
    Make the roles that services act by on their own, as far as the account lacks them.

    No template makes them: it would fail where one is there already, which
    is everywhere but in a new account (ECS guide, "Using service-linked roles").

    Returns:
        The services whose role was made now.

    Raises:
        ServiceLinkedRoleRefusedError: IAM does not let the caller make one.
    """
    made = []
    for service in SERVICE_LINKED_ROLES:
        try:
            client.create_service_linked_role(AWSServiceName=service)
        except ClientError as error:
            if error.response["Error"]["Code"] != _THERE_ALREADY:
                raise ServiceLinkedRoleRefusedError(service, error.response["Error"]["Message"]) from error
        else:
            made.append(service)
    return made
