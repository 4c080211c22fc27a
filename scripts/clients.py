"""
Enroll, rotate, list, show and revoke clients: `python scripts/clients.py list --env staging`.

    python scripts/clients.py --help

Only the command line is here, so that help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if __name__ == "__main__":  # run as a file: the packages lie one directory up
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scripts import _terminal

if TYPE_CHECKING:
    from scripts._operator import Opener

_VERBS: Final = {
    "enroll": "enroll the certificate a client sent: PEM, DER, or pasted with the mail around it",
    "list": "list everything that is enrolled",
    "show": "show one certificate, key or token, or all of a client by its name",
    "activate": "put in force what was enrolled as pending",
    "rotate": "enroll a client's next certificate; the current one gets an end",
    "issue-token": "issue an opaque bearer token and show it once",
    "revoke": "revoke for good: a certificate with its key and all that hangs on it, a token, or a client",
}

_WHAT: Final = "SHA-256 in any written form; a key as sha256//..., a token as mti_..."


def main(
    arguments: Sequence[str],
    terminal: _terminal.Terminal,
    *,
    open_operator: Opener | None = None,
) -> int:
    """Read the command line and do what its verb says."""
    options = parser().parse_args(arguments)
    from scripts import _client_verbs, _operator  # noqa: PLC0415 -- help must not wait for boto3

    return _client_verbs.VERBS[options.verb](options, terminal, open_operator or _operator.open_operator)


def parser() -> _terminal.Parser:
    """Describe the command line."""
    common = _terminal.common_options()
    whole = _terminal.Parser(prog="clients.py", description="The clients of an environment.", parents=[common])
    verbs = whole.add_subparsers(dest="verb", metavar="VERB", required=True)
    parsers = {
        name: verbs.add_parser(name, help=text, description=text, parents=[common]) for name, text in _VERBS.items()
    }
    _add_enrolling(parsers["enroll"], parsers["rotate"])
    _add_token(parsers["issue-token"])
    for name in ("show", "activate", "revoke"):
        parsers[name].add_argument("what", nargs="+", metavar="FINGERPRINT|CLIENT", help=_WHAT)
    parsers["revoke"].add_argument("--reason", metavar="TEXT", help="kept beside the certificate")
    parsers["revoke"].add_argument(
        "--keep-key", action="store_true", help="the key is safe: leave it, and other certificates of it"
    )
    parsers["revoke"].add_argument("-y", "--yes", action="store_true", help="do not ask")
    for name in ("list", "show"):
        parsers[name].add_argument("--output", choices=("text", "json"), default="text")
    return whole


def _add_enrolling(enroll: argparse.ArgumentParser, rotate: argparse.ArgumentParser) -> None:
    enroll.add_argument("--client", required=True, metavar="NAME", help="what the service will call it")
    enroll.add_argument(
        "--role", action="append", default=[], metavar="ROLE", help="what it may do; may be given several times"
    )
    enroll.add_argument(
        "--pin-key", action="store_true", help="enroll the key too: renewed certificates with it are known as well"
    )
    enroll.add_argument("--pin-days", type=int, metavar="DAYS", help="how long the key counts (730); means --pin-key")
    enroll.add_argument("--pending", action="store_true", help="it counts only after `activate`")
    rotate.add_argument("--client", required=True, metavar="NAME", help="whose certificate it is")
    rotate.add_argument(
        "--overlap-days", type=int, default=30, metavar="DAYS", help="how long the current one still counts (30)"
    )
    for parser in (enroll, rotate):
        parser.add_argument("certificate", metavar="FILE", help="the certificate; - reads standard input")


def _add_token(issue: argparse.ArgumentParser) -> None:
    issue.add_argument("client", nargs="+", metavar="CLIENT", help="whose token it is")
    issue.add_argument("--role", action="append", default=[], metavar="ROLE", help="may be given several times")
    issue.add_argument("--scope", action="append", default=[], metavar="SCOPE", help="may be given several times")
    issue.add_argument("--days", type=int, default=90, metavar="DAYS", help="how long it counts, up to 366 (90)")
    binding = issue.add_mutually_exclusive_group()
    binding.add_argument("--bind", metavar="FINGERPRINT", help="the certificate it counts with; else the only one")
    binding.add_argument("--unbound", action="store_true", help="it counts with any certificate and with none")


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
