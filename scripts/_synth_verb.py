"""
The verb `synth`: render every template into a directory, with neither account nor network.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from scripts._terminal import ROOT, ExitCode, Terminal, UsageError, environment_name
from stacks.catalog import assemble
from stacks.environment_file import find_environment, load_environment
from stacks.errors import DeploymentError


class DirectoryNotOursError(DeploymentError):
    """The directory to render into holds what we did not write."""

    exit_code = ExitCode.INVALID

    def __init__(self, directory: Path, found: list[str]) -> None:
        super().__init__(
            f"{directory} holds something else already: {', '.join(found)}", hint="give a new or an empty directory"
        )


def synth(options: argparse.Namespace, terminal: Terminal) -> int:
    """Render every template into a directory."""
    catalog = assemble(load_environment(find_environment(environment_name(options), ROOT)))
    written = write_templates({entry.name: entry.body for entry in catalog.every}, options.out)
    for path in written:
        terminal.out(str(path))
    return ExitCode.DONE


def write_templates(bodies: Mapping[str, str], directory: Path) -> list[Path]:
    """
    Write one file per stack, and leave nothing else in the directory.

    The directory is written beside its place and moved there whole, so a
    reader never sees half of it. Templates of an earlier run are replaced.

    Raises:
        DirectoryNotOursError: It holds a file that is no template of these stacks.
        UsageError: It is not a directory, or cannot be written.
    """
    names = [f"{name}.json" for name in bodies]
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", hint="give a new or an empty directory")
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in names) if directory.exists() else []
    if foreign:
        raise DirectoryNotOursError(directory, foreign)
    try:
        _write_whole(bodies, directory.resolve())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{directory} cannot be written: {reason}", hint="give one you may write") from error
    return [directory / name for name in names]


def _write_whole(bodies: Mapping[str, str], directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for name, body in bodies.items():
            (beside / f"{name}.json").write_text(body, encoding="utf-8")
        beside.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        beside.replace(directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
