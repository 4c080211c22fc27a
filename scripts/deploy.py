"""
Deploy an environment: `python scripts/deploy.py --env staging`.

    python scripts/deploy.py --help

Only the command line is here, so that help answers at once; what the verbs do
is in the modules beside this one, imported when a verb is known.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # run as a file: the packages lie one directory up
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scripts import _terminal

_VERBS: Final = {
    "bootstrap": "make the roles of a deployment, once and as an administrator of the account",
    "iam": "show every role, who may take it and what it may; no credentials, no network",
    "synth": "render every template into a directory; no credentials, no network",
    "check": "look for mistakes in the templates before AWS does",
    "plan": "show what a deployment would change, and change nothing",
    "deploy": "bring AWS to what the templates say (the default)",
    "status": "show every stack and its outputs",
    "destroy": "remove every stack, the last first; what holds state stays",
    "image": "`image push`: build the service's image and bring it into the repository",
}


def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int:
    """Read the command line and do what its verb says."""
    options = read_options(arguments)
    is_walk = not options.is_explicit and _terminal.environment_name(options) == "local"
    if options.verb == "deploy" and options.once and not is_walk:
        raise _terminal.UsageError("--once is for the local walk", hint="deploy.py --env local --once")
    if is_walk:
        from scripts._local_walk import walk  # noqa: PLC0415 -- help must not wait for the embedded cloud

        return walk(options, terminal)
    return _verb(options.verb)(options, terminal)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """
    Parse the command line; without a verb it means deploy.

    Raises:
        UsageError: It cannot be understood.
    """
    is_explicit = _has_verb(arguments)
    if not is_explicit and not {"-h", "--help"} & set(arguments):
        arguments = ["deploy", *arguments]
    options, unknown = parser().parse_known_args(arguments, argparse.Namespace(is_explicit=is_explicit))
    if unknown:
        raise _not_understood(options.verb, unknown, explicit=is_explicit)
    return options


def _not_understood(verb: str, unknown: Sequence[str], *, explicit: bool) -> _terminal.UsageError:
    """Say what is wrong with the command line, and guess what was meant."""
    word = unknown[0]
    if explicit or word.startswith("-"):
        hint = f"deploy.py {verb} --help"
        return _terminal.UsageError(f"{verb} does not know {' '.join(unknown)}", hint=hint)
    near = difflib.get_close_matches(word, _VERBS, n=1)
    hint = f"did you mean {near[0]}" if near else f"one of: {', '.join(_VERBS)}"
    return _terminal.UsageError(f"there is no verb {word}", hint=hint)


def _verb(name: str) -> Callable[[argparse.Namespace, _terminal.Terminal], int]:
    """Import what a verb needs, and nothing else."""
    if name == "synth":
        from scripts._synth_verb import synth  # noqa: PLC0415 -- help must not wait for troposphere

        return synth
    if name == "iam":
        from scripts._iam_verb import iam  # noqa: PLC0415 -- nor for the evaluator of policies

        return iam
    if name == "check":
        return _check
    from scripts._stack_verbs import VERBS as STACK_VERBS  # noqa: PLC0415 -- nor for boto3

    return STACK_VERBS[name]


def _check(options: argparse.Namespace, terminal: _terminal.Terminal) -> int:
    """Check templates; the linter gets ready while everything else is still imported."""
    from stacks.rules.linter_process import LinterProcess  # noqa: PLC0415 -- nor for the linter

    with LinterProcess() as linter:
        from scripts._check_verb import check  # noqa: PLC0415 -- see above

        return check(options, terminal, linter)


def _has_verb(arguments: Sequence[str]) -> bool:
    """Tell whether a verb is among the arguments; an environment may be called like one."""
    before = ["", *arguments]
    return any(word in _VERBS and prior not in {"-e", "--env"} for prior, word in zip(before, arguments, strict=False))


def parser() -> _terminal.Parser:
    """Describe the command line."""
    common = _terminal.common_options()
    whole = _terminal.Parser(prog="deploy.py", description="Deploy an environment of mtls-ingress.", parents=[common])
    verbs = whole.add_subparsers(dest="verb", metavar="VERB", required=True)
    parsers = {
        name: verbs.add_parser(name, help=text, description=text, parents=[common]) for name, text in _VERBS.items()
    }
    for name in ("bootstrap", "iam", "check", "plan", "deploy", "status", "destroy"):
        parsers[name].add_argument(
            "--output", choices=("text", "ndjson"), default="text", help="how results are written to standard output"
        )
    for name in ("bootstrap", "deploy", "destroy"):
        parsers[name].add_argument("-y", "--yes", action="store_true", help="approve without being asked")
    parsers["synth"].add_argument("--out", type=Path, required=True, metavar="DIR", help="one DIR/<stack>.json each")
    parsers["check"].add_argument(
        "--templates", type=Path, metavar="DIR", help="check the files of DIR instead of freshly rendered templates"
    )
    parsers["deploy"].add_argument(
        "--allow-replacement",
        action="append",
        default=[],
        metavar="LOGICAL_ID",
        help="let this resource be replaced or removed although it holds state; may be given several times",
    )
    parsers["deploy"].add_argument(
        "--once", action="store_true", help="with --env local and no verb: tear down again after the probes"
    )
    parsers["image"].add_argument("step", choices=("push",), help="what to do with the image")
    return whole


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
