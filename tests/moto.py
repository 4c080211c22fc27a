"""
moto in a process of its own, for tests that keep their AWS longer than one module.

moto holds its backends in module globals: within one process an embedded cloud
that starts, or a `mock_aws` that begins, empties what another test still uses.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def moto_process() -> Iterator[str]:
    """Run moto on a free port of loopback and give its URL; it ends with the block, or with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.moto"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        if process.stdout is None:
            raise RuntimeError("standard output is a pipe")
        yield process.stdout.readline().strip()
        process.communicate()


def main() -> None:
    """Serve until standard input ends, which it does when the parent is gone."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 -- the parent needs none of it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
