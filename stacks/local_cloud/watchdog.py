"""
Ends the tasks when the data plane dies without doing so itself.

Runs as a process of its own, by path and without any of our imports. It reads
`+PID` and `-PID` lines from a pipe whose other end the data plane holds; the
kernel closes that end however the data plane dies, and every process group
still named is then killed. Works on Linux and macOS alike.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Follow the pipe to its end, then kill what is left."""
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it went by itself


if __name__ == "__main__":
    main()
