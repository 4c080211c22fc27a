"""A service-linked role that is there already; moto refuses a second one in other words than IAM."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from stacks.local_cloud.forwarding import Forward

_NAMESPACE: Final = "https://iam.amazonaws.com/doc/2010-05-08/"
_CONFLICT: Final = 409


class ServiceLinkedRoles:
    """Stands before moto's IAM."""

    service = "iam"

    def handle(self, request: Request, forward: Forward) -> Response:
        """Let moto answer, and say a second one as IAM does (IAM API Reference, CreateServiceLinkedRole)."""
        response = forward()
        is_second = request.form.get("Action") == "CreateServiceLinkedRole" and response.status_code == _CONFLICT
        return _taken(request.form["AWSServiceName"]) if is_second else response


def _taken(service: str) -> Response:
    message = f"Service role name of {escape(service)} has been taken in this account, please try a different suffix."
    error = f"<Error><Type>Sender</Type><Code>InvalidInput</Code><Message>{message}</Message></Error>"
    return Response(f'<ErrorResponse xmlns="{_NAMESPACE}">{error}</ErrorResponse>', status=400, content_type="text/xml")
