"""
Which header fields pass on to an upstream and back, and which ones say there who the client is (pure).

Whatever an upstream could take for a word of ours is ours alone: what a
client sends under such a name is dropped, however it is spelt. WSGI, CGI and
PHP turn every character of a name that is no letter or digit into `_`, so
`Client_Cert` and `client.cert` are `Client-Cert` there; names are compared in
that form here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from service.identity.peer import Peer
from service.identity.verdict import Client

Fields = list[tuple[bytes, bytes]]

VIA: Final = b"1.1 mtls-ingress"
"""RFC 9110, section 7.6.3: a gateway says that it was there."""

MAX_CHAIN_FIELD_BYTES: Final = 16 * 1024
"""A longer chain is left out, as RFC 9440 allows: common upstreams refuse a header of 8 to 64 KiB altogether."""

_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
"""RFC 9110, section 7.6.1; what begins with `proxy` beside."""

_FRAMING: Final = frozenset({b"host", b"content-length", b"expect"})
"""Written anew for the upstream: two readings of these are two requests (RFC 9112, section 11.2)."""

_OURS: Final = (
    b"client-cert",  # RFC 9440
    b"mtls-",
    b"forwarded",  # RFC 7239
    b"x-forwarded",
    b"x-real-ip",
    b"x-client-",
    b"x-original-",
    b"x-rewrite-",  # IIS, and frameworks that know its rewriting, take the path from it
    b"x-remote-",
    b"remote-",  # what CGI calls who is connected and who has signed in
    b"true-client-ip",
    b"x-ssl",  # what proxies before RFC 9440 called a client's certificate
    b"ssl-client",
    b"x-mtls",
    b"x-amzn-mtls",
    b"x-arr-clientcert",
    b"proxy",  # CGI makes HTTP_PROXY of it (httpoxy, CVE-2016-5385); Proxy-Authorization and Proxy-Connection too
)

_ODD: Final = re.compile(rb"[^a-z0-9]")
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SAFE_IN_VALUES: Final = ":/@+"
"""Beside letters, digits and `_.-~` they stand as they are in a value; all others are percent-encoded UTF-8."""


def request_fields(headers: Iterable[tuple[bytes, bytes]], *, drops_authorization: bool) -> Fields:
    """Give the fields of a request that pass on as they came, in their order, without framing and identity."""
    headers = list(headers)
    dropped = nominated(headers)
    if drops_authorization:
        dropped |= {b"authorization"}
    return [(name, value) for name, value in headers if _passes_on(name) and canonical(name) not in dropped]


def identity_fields(client: Client, peer: Peer, *, request_id: str, address: str, host_name: str) -> Fields:
    """
    Say who asks. All but `Client-Cert` and its chain are always there, empty where there is nothing to say.

    Args:
        client: Who asks.
        peer: What the handshake showed.
        request_id: Of the request.
        address: Of the peer.
        host_name: Ours, which the client asked for.
    """
    source = f'"[{address}]"' if ":" in address else address
    said = [
        (b"Mtls-Client", encode(client.name)),
        (b"Mtls-Roles", b", ".join(map(encode, client.roles))),
        (b"Mtls-Scopes", b", ".join(map(encode, client.scopes))),
        (b"Mtls-Fingerprint", peer.fingerprint.hex.encode() if peer.fingerprint else b""),
        (b"Mtls-Request-Id", request_id.encode()),
        (b"Forwarded", f"for={source};host={host_name};proto=https".encode()),
        (b"X-Forwarded-For", address.encode()),
        (b"X-Forwarded-Host", host_name.encode()),
        (b"X-Forwarded-Proto", b"https"),
        (b"Via", VIA),
    ]
    return [*said, *certificate_fields(peer.chain)]


@lru_cache(maxsize=64)
def certificate_fields(chain: tuple[bytes, ...]) -> tuple[tuple[bytes, bytes], ...]:
    """
    Write a chain of DER certificates, leaf first, as RFC 9440 does.

    Kept for the last few chains: a client's next request shows the same one. At most 64 times 128 KiB.
    """
    if not chain:
        return ()
    leaf = ((b"Client-Cert", byte_sequence(chain[0])),)
    issuers = b", ".join(map(byte_sequence, chain[1:]))
    if not issuers or len(issuers) > MAX_CHAIN_FIELD_BYTES:
        return leaf
    return (*leaf, (b"Client-Cert-Chain", issuers))


def response_fields(headers: Sequence[tuple[bytes, bytes]], *, has_body: bool) -> Fields:
    """
    Give the fields of an upstream's answer that pass on.

    Args:
        headers: As they came.
        has_body: Whether the answer may have a body at all; where not, its length is not for us to frame.

    Raises:
        ValueError: A value holds what would end the field: the upstream was made to split its answer.
    """
    headers = [(name.lower(), value) for name, value in headers]
    dropped = nominated(headers) | _HOP_BY_HOP
    if not has_body or any(name == b"transfer-encoding" for name, _ in headers):
        dropped |= {b"content-length"}
    passed = [
        (name, value)
        for name, value in headers
        if (spelt := canonical(name)) not in dropped and not spelt.startswith(b"proxy-")
    ]
    if any(_UNSENDABLE.search(value) for _, value in passed):
        raise ValueError("a field value holds control characters")
    return passed


def nominated(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Collect the fields that `Connection` says are for this hop alone."""
    return frozenset(
        canonical(token.strip())
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    )


def encode(value: str) -> bytes:
    """Write a name so that it can neither end a field nor a list: percent-encoded UTF-8."""
    return quote(value, safe=_SAFE_IN_VALUES, errors="replace").encode()


def byte_sequence(der: bytes) -> bytes:
    """Write bytes as a structured field does (RFC 9651, section 3.3.5)."""
    return b":" + base64.b64encode(der) + b":"


def canonical(name: bytes) -> bytes:
    """Spell a name as the most careless reader would."""
    return _ODD.sub(b"-", name.lower())


@lru_cache(maxsize=1024)
def _passes_on(name: bytes) -> bool:
    spelt = canonical(name)
    return spelt not in _HOP_BY_HOP and spelt not in _FRAMING and not spelt.startswith(_OURS)
