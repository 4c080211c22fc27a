"""What stands between the wire and moto: stand-ins, each for one service, and what each hands on to."""

from __future__ import annotations

from typing import Protocol

from werkzeug.wrappers import Request, Response


class Forward(Protocol):
    """The next stand-in of the service, and at last moto; to be called once."""

    def __call__(self, body: bytes | None = None, /) -> Response:
        """Hand the request on, with another body if one is given."""


class StandIn(Protocol):
    """Stands before moto for one service; the first of several is the outermost."""

    service: str
    """The service of the SigV4 credential scope: `ecs`, `elasticloadbalancing`, `s3`."""

    def handle(self, request: Request, forward: Forward) -> Response:
        """Answer by itself, or call `forward` once and change what moto answered."""
