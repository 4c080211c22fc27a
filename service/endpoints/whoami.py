"""
`GET /whoami`, the enrollment doctor: what we see of anybody who asks, and what we would say.

Always 200: also a peer without a certificate is told what to do next. What a
peer never learns is about other clients, keys and tokens.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from service.endpoints.asgi import PROBLEM_JSON, Scope, Send, answer
from service.endpoints.problem import problem
from service.identity.peer import Peer
from service.identity.verdict import Client, Refused, Verdict

PATH: Final = "/whoami"


async def answer_anybody(scope: Scope, verdict: Verdict, request_id: str, send: Send) -> None:
    """Answer with what the handshake showed and what the policy makes of it."""
    if scope["method"] not in {"GET", "HEAD"}:
        refused = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{PATH} is read with GET.", request_id=request_id)
        allow = ((b"allow", b"GET, HEAD"),)
        await answer(send, HTTPStatus.METHOD_NOT_ALLOWED, refused, content_type=PROBLEM_JSON, headers=allow)
        return
    await answer(send, HTTPStatus.OK, _describe(scope, verdict, request_id))


def _describe(scope: Scope, verdict: Verdict, request_id: str) -> dict[str, object]:
    peer: Peer = scope["state"]["peer"]
    address, port = scope["client"]
    return {
        "client": verdict.name if isinstance(verdict, Client) else None,
        "roles": list(verdict.roles) if isinstance(verdict, Client) else [],
        "reason": verdict.reason if isinstance(verdict, Refused) else None,
        "fingerprint": peer.fingerprint.hex if peer.fingerprint else None,
        "address": address,
        "port": port,
        "request_id": request_id,
    }
