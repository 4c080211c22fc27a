"""What answers behind the gate where no application and no upstream is configured: `/`, with who the client is."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from service.endpoints.asgi import PROBLEM_JSON, Receive, Scope, Send, answer
from service.endpoints.problem import problem
from service.identity.peer import Peer
from service.identity.verdict import Client

PATH: Final = "/"


async def welcome(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer an identified client with its own name, certificate, roles and address."""
    state = scope["state"]
    request_id: str = state["request_id"]
    if scope["path"] != PATH:
        missing = problem(HTTPStatus.NOT_FOUND, f"There is nothing here; try {PATH}.", request_id=request_id)
        await answer(send, HTTPStatus.NOT_FOUND, missing, content_type=PROBLEM_JSON)
    elif scope["method"] not in {"GET", "HEAD"}:
        refused = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{PATH} is read with GET.", request_id=request_id)
        allow = ((b"allow", b"GET, HEAD"),)
        await answer(send, HTTPStatus.METHOD_NOT_ALLOWED, refused, content_type=PROBLEM_JSON, headers=allow)
    else:
        await answer(send, HTTPStatus.OK, _describe(scope, state["client"], state["peer"]))


def _describe(scope: Scope, client: Client, peer: Peer) -> dict[str, object]:
    address, port = scope["client"]
    return {
        "client": client.name,
        "fingerprint": peer.fingerprint.hex if peer.fingerprint else None,
        "roles": list(client.roles),
        "address": address,
        "port": port,
        "request_id": scope["state"]["request_id"],
    }
