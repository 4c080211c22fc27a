"""
The few words of ASGI that this house speaks, and answers in JSON.

Scope keys of ours: `scope["state"]` holds the `peer`, and once the gate let a
request through the `client` and the `request_id`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final

Scope = MutableMapping[str, Any]  # Any: what ASGI puts there has no common type
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"
"""RFC 9457."""
TEXT: Final = b"text/plain"


async def answer(
    send: Send,
    status: HTTPStatus,
    document: Mapping[str, object],
    *,
    content_type: bytes = JSON,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole answer; nobody on the way may keep it."""
    await _send_whole(send, status, json.dumps(document).encode() + b"\n", ((b"content-type", content_type), *headers))


async def answer_text(send: Send, status: HTTPStatus, text: str) -> None:
    """Send a whole answer for somebody who reads it in a terminal."""
    await _send_whole(send, status, text.encode(), ((b"content-type", TEXT + b"; charset=utf-8"),))


async def _send_whole(send: Send, status: HTTPStatus, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    all_headers = [*headers, (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": int(status), "headers": all_headers})
    await send({"type": "http.response.body", "body": body})
