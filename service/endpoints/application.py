"""
Hosts the ASGI application that somebody else wrote, named `module:attribute`.

It is found before anything listens and imported in each worker after the
fork, for an application may start threads or open connections as it is
imported. What the gate knows stands where such applications look for it: the
client in `scope["user"]` and `scope["auth"]` as Starlette reads them, the
connection in the TLS extension of ASGI, all of it in `scope["state"]`.
"""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from operator import attrgetter
from ssl import DER_cert_to_PEM_cert
from typing import Final, cast

from cryptography import x509

from service.endpoints.asgi import Application, Receive, Scope, Send
from service.errors import ApplicationError
from service.identity.peer import Peer
from service.identity.verdict import Client

AUTHENTICATED: Final = "authenticated"
"""The scope that every client has, as in Starlette's own examples."""

ROLE_PREFIX: Final = "role:"
"""Before a role of the registry in `request.auth.scopes`; what a token says so is left out, for it is no role."""

_TLS_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_CIPHER_SUITES: Final = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
}
"""Every suite we offer, by OpenSSL's name (IANA, TLS Cipher Suites)."""


@dataclass(frozen=True, slots=True)
class User:
    """
    A client as Starlette's `request.user`.

    Attributes:
        identity: Its name, once more.
    """

    display_name: str
    roles: tuple[str, ...]
    is_authenticated: bool = True

    @property
    def identity(self) -> str:
        """What Starlette calls a name that cannot change."""
        return self.display_name


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client may do as Starlette's `request.auth`: a token's scopes, and each role as `role:NAME`."""

    scopes: list[str]


class HostedApplication:
    """An application behind the gate."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand it a request with what we know."""
        if scope["type"] != "lifespan":
            state = scope["state"]
            client: Client = state["client"]
            scope["user"] = User(client.name, client.roles)
            scope["auth"] = Credentials(_scopes(client))
            extensions = scope.setdefault("extensions", {})
            extensions["tls"] = tls_extension(state["peer"])
        await self._application(scope, receive, send)


def find_application(reference: str) -> None:
    """
    Make sure that the module is there, without importing anything of it.

    Raises:
        ApplicationError: It is not.
    """
    path, found = None, ""
    for name in reference.partition(":")[0].split("."):
        found = f"{found}.{name}" if found else name
        spec = PathFinder.find_spec(found, path)
        if spec is None:
            raise ApplicationError(reference=reference, cause=f"there is no module {found}")
        try:
            path = list(spec.submodule_search_locations or ())
        except KeyError:
            # A namespace below another knows its places only once it is imported; the worker will see.
            return


def load_application(reference: str) -> Application:
    """
    Import it.

    Raises:
        ApplicationError: The import failed, in whatever way, or what is named is no application.
    """
    module, _, attribute = reference.partition(":")
    try:
        loaded = attrgetter(attribute)(importlib.import_module(module))
    except (Exception, SystemExit) as error:
        raise ApplicationError(reference=reference, cause=_in_one_line(error)) from error
    if not callable(loaded):
        raise ApplicationError(reference=reference, cause=f"it is {type(loaded).__name__} and cannot be called")
    return cast("Application", loaded)  # the rest of its shape shows when it is called


def tls_extension(peer: Peer) -> dict[str, object]:
    """Describe a connection as the TLS extension of ASGI does (asgiref, specs/tls, version 0.2)."""
    server_leaf = peer.server_leaf
    return {
        "server_cert": _pem(server_leaf) if server_leaf else None,
        "client_cert_chain": [_pem(each) for each in peer.chain],
        "client_cert_name": _name(peer.leaf) if peer.leaf else None,
        "client_cert_error": ", ".join(peer.verify_errors) or None,
        "tls_version": _TLS_VERSIONS.get(peer.tls_version),
        "cipher_suite": _CIPHER_SUITES.get(peer.cipher),
    }


def _scopes(client: Client) -> list[str]:
    said = [scope for scope in client.scopes if scope != AUTHENTICATED and not scope.startswith(ROLE_PREFIX)]
    return [AUTHENTICATED, *said, *(ROLE_PREFIX + role for role in client.roles)]


@lru_cache(maxsize=64)
def _pem(der: bytes) -> str:
    """
    Write a certificate as PEM; kept for the next request of the connection, at most 64 of 100 KiB.

    It is not parsed: a client sends what issuers it likes, and OpenSSL reads more than our parser.
    """
    return DER_cert_to_PEM_cert(der)


@lru_cache(maxsize=64)
def _name(der: bytes) -> str | None:
    try:
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except (ValueError, x509.InvalidVersion):
        return None


def _in_one_line(error: BaseException) -> str:
    """Say an error with the place it came from, which is what its author needs first."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename} line {frames[-1].lineno})" if frames and frames[-1].filename != __file__ else ""
    return " ".join(f"{type(error).__name__}: {error}".split()) + where
