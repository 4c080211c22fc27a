"""
The gate before S3, KMS, DynamoDB and STS: a call that is not allowed never reaches them.

What the embedded cloud itself calls acts for CloudFormation and for AWS's own
services, and is not judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Final, Protocol
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from stacks.access.faults import PolicyFaultError
from stacks.local_cloud.authorizer.asked import Asked, UnknownCallError
from stacks.local_cloud.authorizer.callers import Caller, Callers, UnknownCallerError
from stacks.local_cloud.authorizer.context import (
    SOURCE_ENDPOINT,
    Context,
    on_behalf,
    overridden,
    overrides_of,
    request_context,
)
from stacks.local_cloud.authorizer.deployed import Deployed
from stacks.local_cloud.authorizer.key_calls import KeyCalls, NoSuchKeyError, UnusableKeyError
from stacks.local_cloud.authorizer.role_calls import RoleCalls
from stacks.local_cloud.authorizer.s3_calls import S3Calls
from stacks.local_cloud.authorizer.table_calls import TableCalls
from stacks.local_cloud.authorizer.verdicts import refusal_of
from stacks.local_cloud.authorizer.ways import NoWayError, Way, Ways
from stacks.local_cloud.forwarding import Forward

_JSON: Final = "application/x-amz-json-1.0"

_FAULTS: Final = (
    NoSuchKeyError,
    NoWayError,
    PolicyFaultError,
    UnknownCallError,
    UnknownCallerError,
    UnusableKeyError,
)

Hear = Callable[[str], None]
"""Told why, each time a call is refused."""


class Calls(Protocol):
    """Reads the requests of one service."""

    def asked(self, request: Request) -> Iterator[Asked]:
        """Say what a request asks for."""


class RefusedError(Exception):
    """
    A call that does not go through.

    Attributes:
        code: The service's word for it.
        status: Of HTTP, as S3 answers it.
    """

    def __init__(self, reason: str, *, code: str = "AccessDenied", status: int = HTTPStatus.FORBIDDEN) -> None:
        super().__init__(reason)
        self.code = code
        self.status = status


class Authorizer:
    """
    Judges calls by what is deployed.

    Args:
        region: Of the embedded cloud.
        account: Its account.
        partition: Its partition.
        doors: Instance by the address of its door.
        hear: Told of every refusal.
    """

    def __init__(self, region: str, account: str, partition: str, *, doors: Mapping[str, str], hear: Hear) -> None:
        self.deployed = Deployed(region, account, partition)
        self._callers = Callers(account, partition)
        self._ways = Ways(self.deployed, doors)
        self._hear = hear

    def gates(self) -> list[Gate]:
        """Give the stand-ins of the services it guards."""
        s3 = S3Calls(self.deployed)
        return [
            S3Gate(self, s3),
            Gate(self, "kms", KeyCalls(self.deployed)),
            Gate(self, "dynamodb", TableCalls(self.deployed)),
            StsGate(self, "sts", RoleCalls(self._callers)),
        ]

    def admit(self, request: Request, service: str, calls: Calls) -> Visit | None:
        """
        Judge a request; None for one that is not judged.

        Raises:
            RefusedError: It does not go through.
        """
        try:
            caller = self._callers.identify(request)
            if caller is None:
                return None
            visit = self._visit(request, service, caller)
            for asked in calls.asked(request):
                visit.demand(asked)
        except RefusedError:
            raise
        except _FAULTS as error:
            raise self._refused(error, request, service) from error
        return visit

    def refuse(self, reason: str) -> RefusedError:
        """Tell of a refusal, and make it."""
        self._hear(reason)
        return RefusedError(reason)

    def _visit(self, request: Request, service: str, caller: Caller) -> Visit:
        way = self._ways.find(request.environ.get("SERVER_NAME", ""), service)
        context = request_context(request, caller, way, region=self.deployed.region)
        overrides = overrides_of(request)
        if SOURCE_ENDPOINT in overrides:
            named = overrides[SOURCE_ENDPOINT]
            way = self._ways.through(str(named)) if named is not None else Way()
        return Visit(self, caller, way, context, overrides)

    def _refused(self, error: Exception, request: Request, service: str) -> RefusedError:
        match error:
            case UnknownCallerError(is_expired=True):
                code, status = ("ExpiredToken", HTTPStatus.BAD_REQUEST)
            case UnknownCallerError():
                code, status = ("InvalidAccessKeyId", HTTPStatus.FORBIDDEN)
            case NoSuchKeyError():
                code, status = ("KMS.NotFoundException", HTTPStatus.BAD_REQUEST)
            case UnusableKeyError():
                code, status = (f"KMS.{error.code}", HTTPStatus.BAD_REQUEST)
            case NoWayError():
                code, status = ("ServiceUnavailable", HTTPStatus.SERVICE_UNAVAILABLE)
            case _:
                code, status = ("AccessDenied", HTTPStatus.FORBIDDEN)
        reason = str(error)
        if isinstance(error, UnknownCallError):
            reason = f"nobody here knows which action {service} {request.method} {error} is"
        self._hear(f"{service}: {reason}")
        return RefusedError(reason, code=code, status=status)


class Visit:
    """One request of one caller, by one way."""

    def __init__(
        self,
        authorizer: Authorizer,
        caller: Caller,
        way: Way,
        context: Context,
        overrides: Mapping[str, str | tuple[str, ...] | None],
    ) -> None:
        self._authorizer = authorizer
        self._caller = caller
        self._way = way
        self._context = context
        self._overrides = overrides

    def demand(self, asked: Asked) -> None:
        """
        Judge one action of it.

        Raises:
            RefusedError: It is not allowed.
        """
        reason = self.refusal(asked)
        if reason is not None:
            raise self._authorizer.refuse(reason)

    def refusal(self, asked: Asked) -> str | None:
        """Say why an action is not allowed; None if it is."""
        own = {**self._context, **asked.context}
        context = on_behalf(own) | asked.context if asked.is_on_behalf else overridden(own, self._overrides)
        return refusal_of(self._caller, asked, context, self._way, account=self._authorizer.deployed.account)


class Gate:
    """A stand-in: lets through what is allowed, and answers the rest as the service would."""

    def __init__(self, authorizer: Authorizer, service: str, calls: Calls) -> None:
        self.service = service
        self._authorizer = authorizer
        self._calls = calls

    def handle(self, request: Request, forward: Forward) -> Response:
        """Judge, and hand on what is allowed."""
        try:
            visit = self._authorizer.admit(request, self.service, self._calls)
            return forward() if visit is None else self._admitted(visit, request, forward)
        except RefusedError as refused:
            return self._answer(refused, request)

    def _admitted(self, _visit: Visit, _request: Request, forward: Forward) -> Response:
        return forward()

    def _answer(self, refused: RefusedError, _request: Request) -> Response:
        """Refuse as services that speak JSON do."""
        code = _JSON_CODES.get(refused.code, refused.code)
        body = json.dumps({"__type": code, "message": str(refused), "Message": str(refused)})
        is_unavailable = refused.status == HTTPStatus.SERVICE_UNAVAILABLE
        return Response(body, status=refused.status if is_unavailable else HTTPStatus.BAD_REQUEST, content_type=_JSON)


_JSON_CODES: Final = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "KMS.NotFoundException": "NotFoundException",
}


class StsGate(Gate):
    """The gate before STS."""

    def _answer(self, refused: RefusedError, _request: Request) -> Response:
        error = f"<Type>Sender</Type><Code>{refused.code}</Code><Message>{escape(str(refused))}</Message>"
        body = (
            f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>{error}</Error></ErrorResponse>'
        )
        return Response(body, status=refused.status, content_type="text/xml")


class S3Gate(Gate):
    """The gate before S3, which also keeps to itself which objects there are."""

    def __init__(self, authorizer: Authorizer, calls: S3Calls) -> None:
        super().__init__(authorizer, "s3", calls)
        self._s3 = calls

    def _admitted(self, visit: Visit, request: Request, forward: Forward) -> Response:
        """
        Hand on; that an object is missing is told to those who may list the bucket.

        Others are denied, as on AWS (S3 API Reference, GetObject: "If you
        don't have the s3:ListBucket permission, Amazon S3 returns 403").
        """
        response, listing = forward(), self._s3.listing(request)
        if response.status_code == HTTPStatus.NOT_FOUND and listing is not None:
            visit.demand(listing)
        return response

    def _answer(self, refused: RefusedError, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(status=refused.status)
        message = f"<Code>{refused.code}</Code><Message>{escape(str(refused))}</Message>"
        ids = "<RequestId>EMBEDDED</RequestId><HostId>embedded</HostId>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{message}{ids}</Error>'
        return Response(body, status=refused.status, content_type="application/xml")
