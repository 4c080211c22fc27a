"""
Ask the ingress as a client would, and say what it saw and why it refused.

    python scripts/probe.py https://ingress.example.com/whoami --cert client.pem --key client.key

Exit code 0 if the server answered and did not refuse, 1 if it refused or
could not be reached.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

if __name__ == "__main__":  # run as a file: the packages lie one directory up
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scripts import _terminal
from stacks.ceremonies.doctor import describe, explain
from stacks.ceremonies.probe import DEFAULT_TIMEOUT_SECONDS, Answer, fingerprint_of, probe
from stacks.ceremonies.probe_faults import ProbeFailedError


def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int:
    """Ask once and say what came of it."""
    options = parser().parse_args(arguments)
    own = fingerprint_of(options.cert) if options.cert else None
    try:
        answer = probe(
            options.url,
            certificate=options.cert,
            private_key=options.key,
            trust=options.cacert,
            connect_to=_connect_to(options),
            source_address=options.source,
            timeout_seconds=options.timeout,
        )
    except ProbeFailedError as error:
        if options.output == "json":
            terminal.record({"fault": error.fault, "message": str(error), "hint": error.hint})
        raise
    words = explain(answer, own_fingerprint=own, certificate=str(options.cert) if options.cert else None)
    if options.output == "json":
        terminal.record(_as_record(answer, own, words))
    else:
        _show(answer, words, terminal)
    return _terminal.ExitCode.DONE if answer.is_accepted else _terminal.ExitCode.UNEXPECTED


def parser() -> _terminal.Parser:
    """Describe the command line."""
    whole = _terminal.Parser(
        prog="probe.py",
        description="Ask the ingress as a client would, and say what it saw and why it refused.",
        epilog="exit codes:\n    0  answered 2xx\n    1  refused, or no answer\n"
        "   64  the command line or a file cannot be used\n  130  interrupted",
    )
    whole.add_argument("url", metavar="URL", help="https://HOST[:PORT][/PATH]; without a path /whoami is asked")
    whole.add_argument("--cert", type=Path, metavar="FILE", help="our certificate, PEM; none is shown without it")
    whole.add_argument("--key", type=Path, metavar="FILE", help="its private key, PEM without a passphrase")
    whole.add_argument("--cacert", type=Path, metavar="FILE", help="the authority to trust, PEM; else the system's")
    whole.add_argument(
        "--resolve", metavar="HOST:PORT:ADDRESS", help="connect to this address when the URL says host and port"
    )
    whole.add_argument("--source", metavar="ADDRESS", help="our own address, on a machine that has several")
    whole.add_argument(
        "--timeout", type=_seconds, default=DEFAULT_TIMEOUT_SECONDS, metavar="SECONDS", help="for all of it"
    )
    whole.add_argument("--output", choices=("text", "json"), default="text")
    whole.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return whole


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 600:  # noqa: PLR2004 -- ten minutes: nobody waits longer at a terminal
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 600")
    return seconds


def _connect_to(options: argparse.Namespace) -> tuple[str, int] | None:
    """Read `--resolve` as curl does; one that does not fit the URL would be silently idle, so it is an error."""
    if options.resolve is None:
        return None
    try:
        host, port, address = options.resolve.split(":", 2)
        found = str(ip_address(address.strip("[]")))
        wanted = urlsplit(options.url)
        wanted_port = wanted.port or 443
        fits = (host.lower(), int(port)) == (wanted.hostname, wanted_port)
    except ValueError as error:
        raise _terminal.UsageError("--resolve takes HOST:PORT:ADDRESS, and the address is a number") from error
    if not fits:
        raise _terminal.UsageError(
            f"--resolve is for {host} port {port}, but the URL says {wanted.hostname} port {wanted_port}"
        )
    return found, wanted_port


def _show(answer: Answer, words: Sequence[str], terminal: _terminal.Terminal) -> None:
    address, port = answer.local_address
    terminal.progress(f"asked from {address} port {port} over {answer.tls_version}")
    terminal.progress(f"the server showed certificate SHA-256 {answer.server_certificate_sha256}")
    for line in (f"{answer.status} {words[0]}", *words[1:], *describe(answer.document)):
        terminal.out(line)


def _as_record(answer: Answer, own: str | None, words: Sequence[str]) -> dict[str, object]:
    return {
        "status": answer.status,
        "reason": answer.reason,
        "fingerprint": answer.fingerprint,
        "own_fingerprint": own,
        "local_address": list(answer.local_address),
        "server_certificate_sha256": answer.server_certificate_sha256,
        "tls_version": answer.tls_version,
        "explanation": list(words),
        "answer": answer.document or answer.body.decode("utf-8", errors="replace"),
    }


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
