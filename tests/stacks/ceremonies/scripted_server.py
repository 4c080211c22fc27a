"""
A TLS server on loopback that does what a test tells it, for clients to be tried on.

Standard library alone: not the service, so that the probe is tried on peers
that misbehave as the service never would.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.certificates import Identity

_DEADLINE_SECONDS: Final = 10.0

Behavior = Callable[[socket.socket], None]
"""What becomes of one accepted connection; it may leave it open, the server closes it."""


@contextmanager
def serving(behavior: Behavior) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1, one connection after the other, and say which."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=_accept, args=(listener, behavior), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not
    thread.join(_DEADLINE_SECONDS)
    assert not thread.is_alive()


def _accept(listener: socket.socket, behavior: Behavior) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(_DEADLINE_SECONDS)
        # What a client makes of this is the test's matter; that it hangs up in the middle is not the server's.
        with connection, suppress(OSError):
            behavior(connection)


def answering(identity: Identity, directory: Path, answer: Callable[[bytes, str | None], bytes]) -> Behavior:
    """
    Finish a mutual-TLS handshake and answer one request.

    Args:
        identity: The server's.
        directory: Where its files may lie for the standard library, which reads files only.
        answer: Makes the whole answer from the request's head and the client certificate's SHA-256.
    """
    context = server_context(identity, directory)

    def behavior(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            head = b""
            while b"\r\n\r\n" not in head:
                received = session.recv(4096)
                if not received:
                    return
                head += received
            leaf = session.getpeercert(binary_form=True)
            session.sendall(answer(head, hashlib.sha256(leaf).hexdigest() if leaf else None))

    return behavior


def server_context(identity: Identity, directory: Path, *, trust: bytes | None = None) -> ssl.SSLContext:
    """Make a server's context; with `trust` it asks for a client certificate that this authority signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity.write(directory))
    if trust is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=trust.decode())
    return context


def http_answer(status: str, document: object, *, kind: str = "application/json") -> bytes:
    """Write a whole answer with a JSON body."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
