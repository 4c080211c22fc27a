"""
Request, install and look at the server's certificate: `python scripts/certificates.py status --env staging`.

    python scripts/certificates.py --help

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
    "request": "make a key, keep it in the bucket as pending, and write the request for a public CA",
    "install": "check the chain the CA sent and put it in force with the pending key",
    "install-key-set": "put a token issuer's public keys (a JWK set) into the bucket, where the environment keeps them",
    "status": "show the certificate in force, whether a key waits for its certificate, and whose tokens count",
}


def main(
    arguments: Sequence[str],
    terminal: _terminal.Terminal,
    *,
    open_operator: Opener | None = None,
) -> int:
    """Read the command line and do what its verb says."""
    options = parser().parse_args(arguments)
    from scripts import _certificate_verbs, _operator  # noqa: PLC0415 -- help must not wait for boto3

    return _certificate_verbs.VERBS[options.verb](options, terminal, open_operator or _operator.open_operator)


def parser() -> _terminal.Parser:
    """Describe the command line."""
    common = _terminal.common_options()
    whole = _terminal.Parser(
        prog="certificates.py", description="The server certificate of an environment.", parents=[common]
    )
    verbs = whole.add_subparsers(dest="verb", metavar="VERB", required=True)
    parsers = {
        name: verbs.add_parser(name, help=text, description=text, parents=[common]) for name, text in _VERBS.items()
    }
    _add_request_options(parsers["request"])
    chain = parsers["install"].add_mutually_exclusive_group(required=True)
    chain.add_argument(
        "--chain",
        action="append",
        metavar="FILE",
        help="the certificates the CA sent, leaf first; given again for the next file; - reads standard input",
    )
    chain.add_argument(
        "--development",
        action="store_true",
        help="for local only: request, sign by an authority made for the moment, install; prints the authority",
    )
    parsers["install-key-set"].add_argument("file", metavar="FILE", help="the JWK set; - reads standard input")
    parsers["status"].add_argument("--output", choices=("text", "json"), default="text")
    return whole


def _add_request_options(parser: _terminal.Parser) -> None:
    parser.add_argument("--key", choices=("p-256", "rsa-3072"), default="p-256", help="the kind of key")
    parser.add_argument("--organization", metavar="NAME", help="the legal name, for a certificate that vouches for it")
    parser.add_argument("--locality", metavar="CITY")
    parser.add_argument("--state", metavar="NAME", help="state or province, written out")
    parser.add_argument("--country", metavar="CC", help="two capital letters")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the request here; standard output otherwise")
    parser.add_argument("--replace-pending", action="store_true", help="give up a key that waits for its certificate")


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
