"""
`GET /whoami`, the enrollment doctor: what we see of anybody who asks, and what we would say.

Always 200: also a peer without a certificate is told what to do next. It
tells a peer about itself alone, never about other clients, keys or tokens,
and what it says of the decision is what any request would be answered.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from service.endpoints.asgi import PROBLEM_JSON, TEXT, Scope, Send, answer, answer_text
from service.endpoints.examination import Examination, in_lines
from service.endpoints.problem import problem
from service.endpoints.rate_limit import RateLimit
from service.identity.verdict import Verdict

PATH: Final = "/whoami"

_PATH_IN_QUESTION: Final = re.compile(r"(/|(/(?!\.{1,2}(/|$))[^/\\\x00-\x1f\x7f]+)+)")
"""Absolute, without empty or dot segments: as a request must be to be answered at all."""

_MAX_QUERY_BYTES: Final = 2048
_READING: Final = frozenset({"GET", "HEAD"})


class Doctor:
    """
    Answers `/whoami`.

    Args:
        environment: Stands in the command that enrolls.
        per_minute: Questions that one source may ask.
        clock: In seconds, never goes back.
    """

    def __init__(self, *, environment: str, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._environment = environment
        self._limit = RateLimit(per_minute)
        self._clock = clock

    def seconds_to_wait(self, scope: Scope) -> int:
        """Say how long this source has to wait for an answer; 0 for none, and then the question counts."""
        return self._limit.seconds_to_wait(scope["client"][0], at=self._clock())

    async def answer(self, scope: Scope, send: Send, *, request_id: str, verdict: Verdict, at: datetime) -> None:
        """
        Answer with what the handshake showed and what the policy makes of it.

        Args:
            scope: The question, of which `asked_path` made a path.
            send: Takes the answer.
            request_id: Of the question.
            verdict: What the policy says of the path.
            at: The moment of the question; aware.
        """
        examination = Examination(
            request_id=request_id,
            path=asked_path(scope) or "/",
            verdict=verdict,
            peer=scope["state"]["peer"],
            address=scope["client"],
            environment=self._environment,
            at=at,
        )
        document = examination.document()
        if _prefers_text(scope):
            await answer_text(send, HTTPStatus.OK, in_lines(document))
        else:
            await answer(send, HTTPStatus.OK, document)


def asked_path(scope: Scope) -> str | None:
    """Say which path is asked about: `/whoami?path=/records`, and `/` without a word; None for no such question."""
    query: bytes = scope["query_string"]
    if scope["method"] not in _READING or len(query) > _MAX_QUERY_BYTES:
        return None
    try:
        fields = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        return None
    paths = [value for name, value in fields if name == "path"]
    if len(paths) > 1 or len(paths) != len(fields):
        return None
    path = paths[0] if paths else "/"
    return path if _PATH_IN_QUESTION.fullmatch(path) else None


async def refuse_question(scope: Scope, send: Send, *, request_id: str) -> None:
    """Answer a question of which `asked_path` makes nothing."""
    if scope["method"] not in _READING:
        refused = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{PATH} is read with GET.", request_id=request_id)
        allow = ((b"allow", b"GET, HEAD"),)
        await answer(send, HTTPStatus.METHOD_NOT_ALLOWED, refused, content_type=PROBLEM_JSON, headers=allow)
    else:
        detail = f"Ask {PATH}, or {PATH}?path=/records for one path, without empty or dot segments."
        wrong = problem(HTTPStatus.BAD_REQUEST, detail, request_id=request_id)
        await answer(send, HTTPStatus.BAD_REQUEST, wrong, content_type=PROBLEM_JSON)


def _prefers_text(scope: Scope) -> bool:
    """JSON, unless text is asked for and JSON is not."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept").lower()
    return TEXT in accepted and b"json" not in accepted
