"""A Starlette application behind the gate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
    """Open what all requests of a worker share, and close it after the last."""
    yield {"database": "open"}


@requires("authenticated")
async def who(request: Request) -> JSONResponse:
    """Answer with everything the gate says of the client."""
    return JSONResponse(
        {
            "name": request.user.display_name,
            "scopes": request.auth.scopes,
            "roles": request.state.client.roles,
            "fingerprint": request.state.peer.fingerprint.hex,
            "request_id": request.state.request_id,
            "address": request.client.host if request.client else None,
            "tls": request.scope["extensions"]["tls"],
            "scheme": request.url.scheme,
            "database": request.state.database,
        }
    )


@requires("role:send")
async def send(request: Request) -> JSONResponse:
    """Take a document of any length, piece by piece."""
    length = 0
    async for piece in request.stream():
        length += len(piece)
    return JSONResponse({"length": length}, status_code=201)


@requires("role:admin")
async def administer(request: Request) -> JSONResponse:
    """Answer whoever has the role; Starlette answers 403 to others."""
    return JSONResponse({"administrator": request.user.display_name})


async def fail(_request: Request) -> JSONResponse:
    """Break before the answer."""
    raise LookupError("a secret of the application")


async def break_off(_request: Request) -> StreamingResponse:
    """Break within the answer."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError("a secret of the application")

    return StreamingResponse(pieces())


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", who),
        Route("/send", send, methods=["POST"]),
        Route("/admin", administer),
        Route("/fail", fail),
        Route("/half", break_off),
    ],
)
