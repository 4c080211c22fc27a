"""
Enroll, list, show and revoke clients: `python scripts/clients.py list --env staging`.

    python scripts/clients.py --help

Only the command line is here, so that help answers at once.
"""

from __future__ import annotations

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
    "show": "show one certificate by its fingerprint, or all of a client by its name",
    "revoke": "revoke a certificate for good",
}


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
    parsers["enroll"].add_argument("--client", required=True, metavar="NAME", help="what the service will call it")
    parsers["enroll"].add_argument(
        "--role", action="append", default=[], metavar="ROLE", help="what it may do; may be given several times"
    )
    parsers["enroll"].add_argument("certificate", metavar="FILE", help="the certificate; - reads standard input")
    parsers["show"].add_argument("what", nargs="+", metavar="FINGERPRINT|CLIENT", help="SHA-256 in any written form")
    parsers["revoke"].add_argument("fingerprint", nargs="+", metavar="FINGERPRINT", help="SHA-256 in any written form")
    parsers["revoke"].add_argument("--reason", metavar="TEXT", help="kept beside the certificate")
    parsers["revoke"].add_argument("-y", "--yes", action="store_true", help="do not ask")
    for name in ("list", "show"):
        parsers[name].add_argument("--output", choices=("text", "json"), default="text")
    return whole


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
