"""
Measure this machine's figures: `make benchmark`, or `make benchmark ARGS=--json`.

The figure to compare by is CPU time of the server's processes for each
request, read from the operating system: rates say more about who else uses
the machine. Each figure is the median of several rounds, and ours is compared
with peers that do the same work in the same round. docs/performance.md says
how each is measured and why it is what it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # run as a file: the packages lie one directory up
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scripts import _terminal
from scripts._benchmark_figures import Figure

Progress = Callable[[str], None]
Measure = Callable[[int, Progress], Iterator[Figure]]


def main(arguments: Sequence[str], terminal: _terminal.Terminal, *, parts: Mapping[str, Measure] | None = None) -> int:
    """Measure what was asked for; 1 if a figure is over its limit."""
    options = parser().parse_args(arguments)
    figures: list[Figure] = []
    for name, measure in (_PARTS if parts is None else parts).items():
        if options.only in {None, name}:
            for figure in measure(options.rounds, terminal.progress):
                _say(figure, terminal, as_json=options.json)
                figures.append(figure)
    return int(any(figure.is_over for figure in figures))


def parser() -> _terminal.Parser:
    """Describe the command line."""
    whole = _terminal.Parser(
        prog="benchmark.py",
        description="Measure this machine's figures.",
        epilog="exit codes:\n    0  measured\n    1  a figure is over its limit, or could not be measured",
    )
    whole.add_argument("--only", choices=tuple(_PARTS), help="half of it")
    whole.add_argument("--json", action="store_true", help="one line of JSON for each figure")
    whole.add_argument("--rounds", type=_rounds, default=5, metavar="N", help="rounds of each figure (default 5)")
    whole.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return whole


def _say(figure: Figure, terminal: _terminal.Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.record(figure.record())
    else:
        terminal.out(figure.show())


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("at least one round")
    return rounds


# Each imports what it needs when it is called: help must not wait for moto.


def _measure_deploy(rounds: int, progress: Progress) -> Iterator[Figure]:
    from scripts import _benchmark_deploy  # noqa: PLC0415

    yield from _benchmark_deploy.measure(rounds, progress)


def _measure_service(rounds: int, progress: Progress) -> Iterator[Figure]:
    from scripts import _benchmark_service  # noqa: PLC0415

    yield from _benchmark_service.measure(rounds, progress)


_PARTS: Final[Mapping[str, Measure]] = {"deploy": _measure_deploy, "service": _measure_service}


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
