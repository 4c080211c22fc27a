"""
What every script shares with the terminal it runs in: voice, exit codes, arguments, environment.

Results go to standard output, everything else to standard error, so a pipe
only ever sees results. Importing this costs argparse and no more: `--help`
must answer at once, so no library of AWS is imported here.

A script looks like this:

    if __name__ == "__main__":  # run as a file: the packages lie one directory up
        sys.path[0] = str(Path(__file__).resolve().parents[1])

    from scripts import _terminal

    def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int: ...

    if __name__ == "__main__":
        sys.exit(_terminal.run(main))
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shlex
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TextIO

from stacks.errors import DeploymentError

ROOT: Final = Path(__file__).resolve().parents[1]
"""The working tree: environments/, service/ and .local/ lie below it."""


class ExitCode(IntEnum):
    """What a script ends with; the text of each is what `--help` says."""

    explanation: str

    def __new__(cls, value: int, explanation: str) -> Self:
        """Keep the sentence beside the number."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.explanation = explanation
        return code

    DONE = 0, "done, or nothing to do"
    UNEXPECTED = 1, "an error nobody foresaw; --debug shows where"
    NOT_APPROVED = 3, "approval is missing or was declined; nothing changed"
    GUARD = 4, "refused: credentials, account or region are not the environment's"
    INVALID = 5, "validation failed; nothing changed"
    ROLLED_BACK = 6, "failed and rolled back"
    NEEDS_HAND = 7, "failed and left needing a hand; the command is printed"
    STILL_RUNNING = 9, "timed out, still running in AWS"
    WAITING = 11, "the first deployment waits for an image or a certificate; nothing failed"
    USAGE = 64, "the command line cannot be understood"
    INTERRUPTED = 130, "interrupted"


class UsageError(DeploymentError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class Style(StrEnum):
    """Emphasis, as SGR parameters; the words around it carry the meaning without it."""

    BOLD = "1"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    FAINT = "2"


class Terminal:
    """
    Where a script speaks: results, progress, errors and questions.

    Safe to use from several threads; a line is never torn. On a terminal the
    last line of standard error may be a live one, redrawn in place; without a
    terminal there are only plain lines.
    """

    def __init__(self, *, out: TextIO, err: TextIO, stdin: TextIO, variables: Mapping[str, str]) -> None:
        self._out = out
        self._err = err
        self._stdin = stdin
        self._lock = threading.RLock()
        self._live = ""
        self.is_live = err.isatty() and variables.get("TERM") != "dumb"
        self._is_colored = self.is_live and not variables.get("NO_COLOR")
        self._is_colored_out = out.isatty() and variables.get("TERM") != "dumb" and not variables.get("NO_COLOR")

    def out(self, text: str) -> None:
        """Write a result to standard output."""
        with self._without_live_line():
            self._out.write(f"{text}\n")
            self._out.flush()

    def record(self, record: Mapping[str, object]) -> None:
        """Write a result as one line of JSON (NDJSON)."""
        self.out(json.dumps(record, separators=(",", ":"), default=str))

    def progress(self, text: str) -> None:
        """Write a line of progress to standard error."""
        with self._without_live_line():
            self._err.write(f"{text}\n")
            self._err.flush()

    def live(self, text: str) -> None:
        """Redraw the live line with what is going on now; nothing without a terminal. Empty text removes it."""
        if not self.is_live:
            return
        with self._lock:
            width = shutil.get_terminal_size().columns - 1
            self._live = text[:width]
            self._err.write(f"\r\x1b[K{self._live}")
            self._err.flush()

    def error(self, message: str, *, hint: str | None = None) -> None:
        """Say what went wrong and what to do next."""
        self.progress(f"{self.style('error:', Style.RED)} {message}")
        if hint:
            self.progress(f"{self.style('hint:', Style.BOLD)} {hint}")

    def warning(self, message: str) -> None:
        """Say what the operator should know although the work goes on."""
        self.progress(f"{self.style('warning:', Style.YELLOW)} {message}")

    def style(self, text: str, *styles: Style, on_out: bool = False) -> str:
        """Emphasize text for standard error (or output) if that is a terminal that wants color."""
        if not styles or not (self._is_colored_out if on_out else self._is_colored):
            return text
        return f"\x1b[{';'.join(styles)}m{text}\x1b[0m"

    @property
    def can_ask(self) -> bool:
        """Tell whether somebody sits there who can answer a question."""
        return self._stdin.isatty() and self._err.isatty()

    def ask(self, question: str) -> bool:
        """Ask a yes-or-no question; anything but y or yes is no."""
        with self._without_live_line():
            self._err.write(f"{question} [y/N] ")
            self._err.flush()
        return self._stdin.readline().strip().lower() in {"y", "yes"}

    def read_input(self, *, max_bytes: int) -> bytes:
        """Read what was pasted or piped in on standard input, up to a limit; more than that is an error."""
        data = self._stdin.buffer.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise UsageError(f"standard input is longer than {max_bytes} bytes")
        return data

    @contextlib.contextmanager
    def _without_live_line(self) -> Any:  # noqa: ANN401 -- a generator behind contextmanager; its type says nothing
        """Take the live line away, let something be written, and draw it again."""
        with self._lock:
            if self._live:
                self._err.write("\r\x1b[K")
                self._err.flush()
            yield
            if self._live:
                self._err.write(self._live)
                self._err.flush()


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks like the rest and lists the exit codes in its help."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 -- argparse's own settings, handed through
        codes = "\n".join(f"  {code.value:>3}  {code.explanation}" for code in ExitCode)
        settings.setdefault("epilog", f"exit codes:\n{codes}")
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exit, so that `run` says it in our voice."""
        raise UsageError(message, hint=f"{self.prog} --help")


def common_options() -> Parser:
    """
    Make the options every verb has, for `parents=` of both the script's parser and its verbs' parsers.

    They may stand before or after the verb, hence no defaults: read them
    with `environment_name` and `getattr`.
    """
    options = Parser(add_help=False)
    options.add_argument(
        "-e", "--env", metavar="ENV", default=argparse.SUPPRESS, help="the environment: environments/ENV.toml"
    )
    options.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show a traceback on errors")
    return options


def environment_name(options: argparse.Namespace) -> str:
    """Read `--env`, which every verb needs."""
    name: str | None = getattr(options, "env", None)
    if not name:
        names = ", ".join(sorted(path.stem for path in (ROOT / "environments").glob("*.toml")))
        raise UsageError("--env is missing", hint=f"--env ENV, one of: {names}")
    return name


def environment_variables() -> Mapping[str, str]:
    """Read the environment of this process; the one place where scripts do."""
    return dict(os.environ)  # noqa: TID251 -- this is that one place


def open_terminal() -> Terminal:
    """Open the terminal of this process; a character its encoding has no place for is written as an escape."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Terminal(out=sys.stdout, err=sys.stderr, stdin=sys.stdin, variables=environment_variables())


def run(
    main: Callable[[Sequence[str], Terminal], int],
    arguments: Sequence[str] | None = None,
    terminal: Terminal | None = None,
) -> int:
    """
    Run a script's main function and turn what it raises into a sentence and an exit code.

    The one place of the scripts where any exception is caught: a traceback is
    shown with `--debug` only.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    terminal = terminal or open_terminal()
    try:
        return main(arguments, terminal)
    except KeyboardInterrupt:
        terminal.live("")
        terminal.progress("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our results has gone (`| head`); nothing is left to say to them, not even at exit.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- lives until exit
        return ExitCode.UNEXPECTED
    except DeploymentError as error:
        _debug(arguments, terminal)
        terminal.live("")
        terminal.error(str(error), hint=error.hint)
        return error.exit_code
    except ModuleNotFoundError as error:
        _debug(arguments, terminal)
        terminal.error(
            f"{sys.executable} lacks {error.name}: it is not the Python of this working tree",
            hint=_right_python(ROOT / ".venv", arguments),
        )
        return ExitCode.USAGE
    except Exception as error:  # noqa: BLE001 -- the edge of a script
        _debug(arguments, terminal)
        terminal.live("")
        terminal.error(f"{type(error).__name__}: {error}", hint="the same command with --debug shows where")
        return ExitCode.UNEXPECTED


def _right_python(venv: Path, arguments: Sequence[str]) -> str:
    """Say what to type instead, as one types it from here."""
    python = venv / "bin" / "python"
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    command = shlex.join([str(shown), sys.argv[0], *arguments])
    is_set_up = python.exists() and Path(sys.prefix) != venv
    return command if is_set_up else f"make ready, then {command}"


def _debug(arguments: Sequence[str], terminal: Terminal) -> None:
    if "--debug" in arguments:
        terminal.progress(traceback.format_exc())
