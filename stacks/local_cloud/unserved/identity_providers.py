"""Clients of an OpenID Connect provider that come and go; moto keeps those it was made with."""

from __future__ import annotations

from typing import Any, Final

from moto.iam.models import iam_backends
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.forwarding import Forward

_CHANGES: Final = {"AddClientIDToOpenIDConnectProvider": True, "RemoveClientIDFromOpenIDConnectProvider": False}
_NAMESPACE: Final = "https://iam.amazonaws.com/doc/2010-05-08/"


class IdentityProviders:
    """Stands before moto's IAM."""

    service = "iam"

    def __init__(self, account: str, partition: str) -> None:
        self._place = (account, partition)

    def handle(self, request: Request, forward: Forward) -> Response:
        """Change the clients in moto's own object, which moto tells."""
        action = request.form.get("Action", "")
        if action not in _CHANGES:
            return forward()
        provider = self._providers().get(request.form["OpenIDConnectProviderArn"])
        if provider is None:
            return _no_such_entity(request.form["OpenIDConnectProviderArn"])
        client = request.form["ClientID"]
        others = [each for each in provider.client_id_list if each != client]
        provider.client_id_list = [*others, client] if _CHANGES[action] else others
        return Response(f'<{action}Response xmlns="{_NAMESPACE}"/>', content_type="text/xml")

    def _providers(self) -> dict[str, Any]:
        account, partition = self._place
        providers: dict[str, Any] = iam_backends[account][partition].open_id_providers
        return providers


def _no_such_entity(arn: str) -> Response:
    message = f"OpenIDConnect Provider not found for arn {arn}"
    error = f"<Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>{message}</Message></Error>"
    return Response(f'<ErrorResponse xmlns="{_NAMESPACE}">{error}</ErrorResponse>', status=404, content_type="text/xml")
