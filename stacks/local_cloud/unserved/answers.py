"""How calls are read and answered: JSON with a target in the header, the protocol of most services here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from werkzeug.wrappers import Request, Response

from stacks.local_cloud.forwarding import Forward

Document: TypeAlias = dict[str, Any]
"""One JSON object of a service's API."""
Call: TypeAlias = Callable[[Document, Forward], "Document | Response"]
"""Answers one call: what was asked, and moto behind it; what it gives is the answer, or moto's response."""

_OK = 200
_REFUSED = 400


class RefusedCallError(Exception):
    """
    What a service answers with a client error.

    Attributes:
        code: The service's own name of the error.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JsonCalls:
    """
    Stands before one service and answers the calls it knows; all others are moto's.

    Args:
        service: Of the SigV4 credential scope.
        calls: By the operation's name.
    """

    def __init__(self, service: str, calls: Mapping[str, Call]) -> None:
        self.service = service
        self._calls = calls

    def handle(self, request: Request, forward: Forward) -> Response:
        """Answer, or let moto answer."""
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if operation not in self._calls:
            return forward()
        try:
            answer = self._calls[operation](json.loads(request.get_data() or b"{}"), forward)
        except RefusedCallError as refused:
            return refusal(refused)
        return answer if isinstance(answer, Response) else answered(answer)


def answered(document: Document) -> Response:
    """Write an answer."""
    return Response(json.dumps(document), status=_OK, content_type="application/x-amz-json-1.1")


def refusal(refused: RefusedCallError, status: int = _REFUSED) -> Response:
    """Write a refusal as services that speak JSON do."""
    body = json.dumps({"__type": refused.code, "message": str(refused)})
    response = Response(body, status=status, content_type="application/x-amz-json-1.1")
    response.headers["x-amzn-errortype"] = refused.code
    return response


def is_well(response: Response) -> bool:
    """Tell whether moto answered as it was asked."""
    return response.status_code == _OK
