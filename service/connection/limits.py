"""
How much and how long a peer may take before we know who it is.

uvicorn has no bound on the bytes of a request's head and waits for ever for
the first request; behind a TCP load balancer nothing else stops a slow or
endless peer. These bounds stand in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The bounds of one connection.

    Attributes:
        proxy_header_seconds: The load balancer sends the header with its first segment; 5 s covers a retransmission.
        handshake_seconds: For the whole handshake, not for each read; 10 s covers a slow link and a smart card.
        head_seconds: From the first chance to send a request, or its first byte, to the end of its header fields.
            The rest of a body that was answered unread has as long.
        head_bytes: Request line and header fields together; 32 KiB takes a SAML assertion in a header. Trailers too.
        pipelined_requests: That may wait behind the one being answered; hardly any client sends a second.
        idle_seconds: Between requests.
        linger_seconds: After our last byte we read and drop what the peer still sends, so that the kernel does not
            answer it with a reset that overtakes our alert or response (RFC 9112, section 9.6).
    """

    idle_seconds: int
    proxy_header_seconds: float = 5.0
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    head_bytes: int = 32 * 1024
    pipelined_requests: int = 16
    linger_seconds: float = 2.0
