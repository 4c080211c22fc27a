"""Who calls: the principal behind a request's access key, with its policies as they stand in IAM."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from werkzeug.wrappers import Request

from stacks.access.request import Principal, PrincipalKind
from stacks.local_cloud.authorizer.deployed import PolicyText, principal

CLOUD_KEY: Final = "embedded-cloud"
"""The access key of the cloud's own parts and of tests that look behind it: what comes with it is not judged."""
OPERATOR_KEY: Final = "local"
"""The access key of whoever types a command: an administrator of the account."""

_HEADER_KEY: Final = re.compile(r"Credential=([^/,\s]+)/|^AWS ([^:\s]+):")
_ADMINISTRATOR: Final = PolicyText(
    "AdministratorAccess",
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
)


class UnknownCallerError(Exception):
    """
    Credentials that nobody handed out, or that are over.

    Attributes:
        is_expired: They were good once.
    """

    def __init__(self, reason: str, *, is_expired: bool = False) -> None:
        super().__init__(reason)
        self.is_expired = is_expired


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who calls.

    Attributes:
        principal: As IAM knows it.
        user_id: `AROA...:SESSION` for a role's session; empty for anonymous.
        is_session: Whether its credentials are temporary.
    """

    principal: Principal
    user_id: str = ""
    is_session: bool = False

    @property
    def shown(self) -> str:
        """The ARN by which AWS names the caller in a refusal."""
        return self.principal.session_arn or self.principal.arn or "anonymous"


class Callers:
    """
    Everybody who has credentials of one account.

    Args:
        account: Of 12 digits.
        partition: `aws`.
    """

    def __init__(self, account: str, partition: str) -> None:
        self._account = account
        self._partition = partition

    def identify(self, request: Request) -> Caller | None:
        """
        Say who calls; None for the cloud itself.

        Raises:
            UnknownCallerError: Nobody has these credentials.
        """
        key = access_key(request)
        if key == CLOUD_KEY:
            return None
        if key is None:
            return Caller(principal(PrincipalKind.ANONYMOUS, "", ""))
        if key == OPERATOR_KEY:
            arn = f"arn:{self._partition}:iam::{self._account}:user/{OPERATOR_KEY}"
            return Caller(principal(PrincipalKind.USER, arn, self._account, policies=(_ADMINISTRATOR,)), OPERATOR_KEY)
        session = sts_backends[self._account][self._partition].get_assumed_role_from_access_key(key)
        return self._user(key) if session is None else self._session(session, request)

    def role(self, arn: str) -> Any:
        """Find a role; None if there is no such role."""
        return next((role for role in list(self._iam.roles.values()) if role.arn == arn), None)

    def policy(self, arn: str) -> PolicyText | None:
        """Find a managed policy by its ARN, in its default version."""
        found = self._iam.managed_policies.get(arn)
        return None if found is None else _text(found)

    @property
    def _iam(self) -> Any:
        return iam_backends[self._account][self._partition]

    def _session(self, session: Any, request: Request) -> Caller:
        token = request.headers.get("X-Amz-Security-Token") or _argument(request, "x-amz-security-token")
        if not hmac.compare_digest(token.encode(), session.session_token.encode()):
            raise UnknownCallerError("The security token included in the request is invalid.")
        if session.expiration.replace(tzinfo=UTC) < datetime.now(UTC):
            raise UnknownCallerError("The security token included in the request is expired", is_expired=True)
        role = self.role(session.role_arn)
        if role is None or session.policy:
            what = "has a session policy, which is not judged here" if role else "is a session of no role"
            raise UnknownCallerError(f"The security token included in the request {what}.")
        return Caller(
            principal(
                PrincipalKind.ROLE,
                role.arn,
                self._account,
                session_arn=session.arn,
                policies=tuple(_policies(role)),
                boundary=self._boundary(role),
            ),
            user_id=session.user_id,
            is_session=True,
        )

    def _user(self, key: str) -> Caller:
        user = self._iam.get_user_from_access_key_id(key)
        if user is None or self._iam.get_groups_for_user(user.name):
            what = "is of a group, whose policies are not judged here" if user else "is invalid"
            raise UnknownCallerError(f"The security token included in the request {what}.")
        policies = tuple(_policies(user))
        return Caller(principal(PrincipalKind.USER, user.arn, self._account, policies=policies), user.id)

    def _boundary(self, role: Any) -> PolicyText | None:
        """Give a role's boundary; one that is not there lets nothing through, as on AWS."""
        if role.permissions_boundary_arn is None:
            return None
        missing = PolicyText(f"{role.permissions_boundary_arn}, which does not exist,", _NOTHING)
        return self.policy(role.permissions_boundary_arn) or missing


_NOTHING: Final = '{"Version": "2012-10-17", "Statement": []}'


def access_key(request: Request) -> str | None:
    """Read the access key from the header or, of a presigned address, from the query; None for an unsigned request."""
    if match := _HEADER_KEY.search(request.headers.get("Authorization", "")):
        return match[1] or match[2]
    key = _argument(request, "x-amz-credential").partition("/")[0] or _argument(request, "awsaccesskeyid")
    return key or None


def _argument(request: Request, name: str) -> str:
    """Read an argument of a presigned address, which the two versions of signatures write in different cases."""
    return next((value for each, value in request.args.items() if each.lower() == name), "")


def _policies(bearer: Any) -> Iterator[PolicyText]:
    """Give the policies of a role or a user."""
    for policy in list(bearer.managed_policies.values()):
        yield _text(policy)
    for name, document in list(bearer.policies.items()):
        yield PolicyText(name, document)


def _text(policy: Any) -> PolicyText:
    default = next(version for version in policy.versions if version.version_id == policy.default_version_id)
    return PolicyText(policy.name, default.document)
