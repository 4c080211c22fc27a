"""Applications that cannot start, each in its own way."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette

no_application = {"this": "is data"}


class Raises:
    """Raises when it is looked up."""

    def __getattr__(self, name: str) -> Any:
        """Do so."""
        raise RuntimeError(f"no {name} today")


class Exits:
    """Ends the process when it is looked up, as a check of a configuration may."""

    def __getattr__(self, name: str) -> Any:
        """Do so."""
        raise SystemExit(f"no {name} today")


raises = Raises()
exits = Exits()


def _refuse_to_start() -> Any:
    raise ConnectionError("the database does not answer")


async def _never_starts(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no configuration"})


async def _exits(_scope: Any, receive: Any, _send: Any) -> None:
    await receive()
    raise SystemExit("no configuration")


class _Lifespan:
    def __init__(self, _app: Starlette) -> None:
        """Take it."""

    async def __aenter__(self) -> None:
        _refuse_to_start()

    async def __aexit__(self, *_: object) -> None:
        """Leave."""


never_starts = _never_starts
exits_at_start = _exits
starlette = Starlette(lifespan=_Lifespan)
