"""
The load balancer's question, on a port of its own: shall new connections come here?

Not whether the registry or the bucket are well: an ingress that leaves the
balancer because its database is slow turns one fault into a total one.
"""

from __future__ import annotations

from http import HTTPStatus

from service.contract import HEALTH_PATH
from service.endpoints.asgi import PROBLEM_JSON, Receive, Scope, Send, answer
from service.endpoints.problem import problem


class Health:
    """
    Answers 200 while connections are welcome, and 503 from the moment they are not.

    Attributes:
        is_draining: Set once, by the signal that ends the process.
    """

    def __init__(self) -> None:
        self.is_draining = False

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] != HEALTH_PATH:
            detail = f"{HEALTH_PATH} is all there is."
            missing = problem(HTTPStatus.NOT_FOUND, detail)
            await answer(send, HTTPStatus.NOT_FOUND, missing, content_type=PROBLEM_JSON)
        elif self.is_draining:
            await answer(send, HTTPStatus.SERVICE_UNAVAILABLE, {"status": "draining"})
        else:
            await answer(send, HTTPStatus.OK, {"status": "serving"})
