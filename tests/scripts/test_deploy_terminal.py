"""How every script speaks: results to standard output, the rest to standard error, errors with what to do next."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts import deploy
from scripts._terminal import ExitCode, Parser, Terminal, UsageError, environment_name, run
from stacks.errors import DeploymentError

ROOT = Path(__file__).resolve().parents[2]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Claim it."""
        return True


def terminal(
    *, typed: str = "", is_screen: bool = False, **variables: str
) -> tuple[Terminal, io.StringIO, io.StringIO]:
    kind = Screen if is_screen else io.StringIO
    out, err = kind(), kind()
    return Terminal(out=out, err=err, stdin=kind(typed), variables=variables), out, err


def test_results_and_progress_never_mix() -> None:
    here, out, err = terminal()

    here.out("result")
    here.progress("progress")

    assert (out.getvalue(), err.getvalue()) == ("result\n", "progress\n")


def test_an_error_ends_with_what_to_do_next() -> None:
    class RefusedError(DeploymentError):
        exit_code = 5

    def main(_arguments: Sequence[str], _terminal: Terminal) -> int:
        raise RefusedError("it does not fit", hint="make it smaller")

    here, out, err = terminal()

    assert run(main, [], here) == 5
    assert err.getvalue() == "error: it does not fit\nhint: make it smaller\n"
    assert out.getvalue() == ""


def test_what_nobody_foresaw_is_one_line_and_a_traceback_only_with_debug() -> None:
    def main(_arguments: Sequence[str], _terminal: Terminal) -> int:
        raise ZeroDivisionError("by zero")

    plain, _, brief = terminal()
    debug, _, long = terminal()

    assert run(main, [], plain) == ExitCode.UNEXPECTED
    assert run(main, ["--debug"], debug) == ExitCode.UNEXPECTED
    assert brief.getvalue().startswith("error: ZeroDivisionError: by zero\n")
    assert "Traceback" in long.getvalue()


def test_ctrl_c_is_130() -> None:
    def main(_arguments: Sequence[str], _terminal: Terminal) -> int:
        raise KeyboardInterrupt

    here, _, err = terminal()

    assert run(main, [], here) == 130
    assert err.getvalue() == "interrupted\n"


def test_misuse_is_64_and_names_help() -> None:
    def main(arguments: Sequence[str], _terminal: Terminal) -> int:
        Parser(prog="x.py").parse_args(arguments)
        return 0

    here, _, err = terminal()

    assert run(main, ["--nonsense"], here) == 64
    assert err.getvalue().endswith("hint: x.py --help\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deployy", "--env", "local"], "error: there is no verb deployy\nhint: did you mean deploy\n"),
        (["--env", "local", "remove"], "error: there is no verb remove\nhint: one of: bootstrap, "),
        (["--env", "local", "--onse"], "error: deploy does not know --onse\nhint: deploy.py deploy --help\n"),
        (["plan", "--env", "local", "all"], "error: plan does not know all\nhint: deploy.py plan --help\n"),
    ],
)
def test_a_slip_of_the_hand_is_named_and_nothing_is_done(arguments: list[str], said: str) -> None:
    here, _, err = terminal()

    assert run(deploy.main, arguments, here) == 64
    assert err.getvalue().startswith(said)


def test_another_python_is_told_what_to_type() -> None:
    """Isolated and without site packages, as the system's Python is for us."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "scripts/deploy.py", "plan", "--env", "local"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    error, hint = done.stderr.splitlines()
    assert done.returncode == 64
    assert re.search(r"lacks \w+: it is not the Python of this working tree$", error)
    assert hint.endswith(".venv/bin/python scripts/deploy.py plan --env local")


@pytest.mark.parametrize("script", ["deploy", "certificates", "clients", "probe", "benchmark"])
def test_another_python_shows_help_or_says_which_it_needs(script: str) -> None:
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, "-I", "-S", f"scripts/{script}.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_what_an_encoding_cannot_say_is_escaped() -> None:
    text = "from scripts._terminal import open_terminal; open_terminal().out('Zo\u00eb')"
    done = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", text],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout == "Zo\\xeb\n"


def test_without_an_environment_those_that_exist_are_listed() -> None:
    with pytest.raises(UsageError) as refused:
        environment_name(Parser().parse_args([]))

    assert refused.value.hint == "--env ENV, one of: local, production, staging"


def test_without_a_terminal_there_is_no_live_line_and_no_color() -> None:
    here, _, err = terminal()

    here.live("busy")
    here.error("bad")

    assert err.getvalue() == "error: bad\n"


def test_on_a_terminal_a_line_moves_the_live_one_down() -> None:
    here, _, err = terminal(is_screen=True)

    here.live("busy")
    here.progress("done")

    assert err.getvalue() == "\r\x1b[Kbusy\r\x1b[Kdone\nbusy"


def test_no_color_is_honored() -> None:
    here, _, err = terminal(is_screen=True, NO_COLOR="1")

    here.error("bad")

    assert err.getvalue() == "error: bad\n"


@pytest.mark.parametrize(
    ("typed", "answer"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_only_yes_is_yes(typed: str, answer: bool) -> None:  # noqa: FBT001 -- a row of the table above
    here, _, _ = terminal(typed=typed, is_screen=True)

    assert here.ask("go on?") is answer


def test_a_paste_has_a_limit() -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"x" * 11))
    here = Terminal(out=io.StringIO(), err=io.StringIO(), stdin=stdin, variables={})

    with pytest.raises(UsageError, match="longer than 10 bytes"):
        here.read_input(max_bytes=10)


def test_help_works_from_anywhere_and_lists_every_exit_code(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, str(ROOT / "scripts" / "deploy.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    for code in ExitCode:
        assert f"{code.value:>3}  {code.explanation}" in done.stdout


def test_help_loads_no_library_of_aws() -> None:
    script = (
        "import sys, scripts.deploy as d, scripts._terminal as t\n"
        "try: d.main(['--help'], t.open_terminal())\n"
        "except SystemExit: pass\n"
        "print([n for n in ('boto3', 'troposphere', 'moto', 'cfnlint') if n in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stderr.strip() == "[]"
