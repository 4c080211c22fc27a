"""A store that answers a byte at a time never times out by its reads; the whole of them has a deadline."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from service.boot.served_certificate import LOAD_SECONDS
from tests.wire.stage import OURS, ROOT, Aws, variables

pytestmark = pytest.mark.slow


@pytest.fixture
def trickling() -> Iterator[str]:
    """An endpoint that goes on answering for ever, twice a second a byte."""
    over = threading.Event()

    def answer(plain: socket.socket) -> None:
        with plain:
            plain.recv(65536)
            plain.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n")
            while not over.wait(0.5):
                plain.sendall(b" ")

    def listen(listening: socket.socket) -> None:
        while not over.is_set():
            plain, _ = listening.accept()
            threading.Thread(target=answer, args=(plain,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        socket.create_connection(listening.getsockname()).close()


def test_the_boot_ends_by_its_deadline_and_says_why(aws: Aws, bucket: str, trickling: str) -> None:
    began = time.monotonic()

    done = subprocess.run(  # noqa: S603 -- our own module
        OURS,
        cwd=ROOT,
        env=variables(aws, bucket, AWS_ENDPOINT_URL_S3=trickling),
        capture_output=True,
        text=True,
        timeout=2 * LOAD_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert f"error: the certificate store {bucket} cannot be reached (40 seconds): no whole answer\n" in done.stderr
    assert LOAD_SECONDS <= time.monotonic() - began < LOAD_SECONDS + 5
