"""A FastAPI application behind the gate."""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

app = FastAPI()


def client_name(request: Request) -> str:
    """Name the client; the gate lets nobody else through."""
    return str(request.user.display_name)


def may_send(request: Request) -> None:
    """Let those on who have the role."""
    if "role:send" not in request.auth.scopes:
        raise HTTPException(403)


@app.get("/")
async def who(name: Annotated[str, Depends(client_name)], request: Request) -> dict[str, object]:
    """Answer with the client's name and the certificate it showed."""
    return {"name": name, "certificate": request.scope["extensions"]["tls"]["client_cert_chain"][0]}


@app.post("/documents", status_code=201, dependencies=[Depends(may_send)])
async def take(document: dict[str, str]) -> dict[str, int]:
    """Take a document."""
    return {"fields": len(document)}
