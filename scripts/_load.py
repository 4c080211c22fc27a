"""
One process of load: mutual TLS connections of an enrolled client, counted.

    python -m scripts._load ADDRESS PORT HOST_NAME CA CERTIFICATE KEY MODE SECONDS

MODE `new` makes a connection for each request, `keep` asks on one connection.
It prints how many requests were answered with 200, and fails on any other
answer: a figure over errors is no figure.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Sequence

from scripts import _terminal

_TIMEOUT_SECONDS = 10.0
_READ_BYTES = 65536


def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int:
    """Ask until the time is over and print the count."""
    address, port, host_name, trust, certificate, key, mode, seconds = arguments
    context = ssl.create_default_context(cafile=trust)
    context.load_cert_chain(certificate, key)
    is_kept = mode == "keep"
    request = f"GET / HTTP/1.1\r\nhost: {host_name}\r\n{'' if is_kept else 'connection: close'}".rstrip() + "\r\n\r\n"

    count = 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        plain = socket.create_connection((address, int(port)), timeout=_TIMEOUT_SECONDS)
        name = plain.getsockname()
        plain.sendall(f"PROXY TCP4 {name[0]} {address} {name[1]} {port}\r\n".encode())
        with context.wrap_socket(plain, server_hostname=host_name) as connection:
            _ask(connection, request.encode())
            count += 1
            while is_kept and time.monotonic() < end:
                _ask(connection, request.encode())
                count += 1
    terminal.out(str(count))
    return 0


def _ask(connection: ssl.SSLSocket, request: bytes) -> None:
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"answered {head.splitlines()[0].decode()}")
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += _receive(connection)


def _receive(connection: ssl.SSLSocket) -> bytes:
    data = connection.recv(_READ_BYTES)
    if not data:
        raise RuntimeError("the connection ended within an answer")
    return data


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
