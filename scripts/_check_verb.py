"""
The verb `check`: look for mistakes in the templates before AWS does.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts._terminal import ROOT, ExitCode, Terminal, UsageError, environment_name
from stacks.catalog import Catalog, assemble
from stacks.environment import Environment, find_environment, load_environment
from stacks.errors import DeploymentError
from stacks.rules.finding import Finding
from stacks.rules.linter import lint


class ProblemsFoundError(DeploymentError):
    """The templates have mistakes; nothing was deployed."""

    exit_code = ExitCode.INVALID

    def __init__(self, environment_name: str, findings: list[Finding]) -> None:
        problems = "\n".join(f"  {finding}" for finding in findings)
        super().__init__(
            f"the templates of {environment_name} have {_count(findings)}; nothing changed\n{problems}",
            hint=f"mend them; python scripts/deploy.py check --env {environment_name} looks again",
        )
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Request:
    """What to check, and how to say it."""

    environment: Environment
    directory: Path | None
    as_records: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> Request:
        """Take it from the command line."""
        environment = load_environment(find_environment(environment_name(options), ROOT))
        return cls(environment, directory=options.templates, as_records=options.output == "ndjson")


def check(options: argparse.Namespace, terminal: Terminal) -> int:
    """Check freshly rendered templates, or those of a directory."""
    request = Request.of(options)
    catalog = assemble(request.environment)
    bodies = read_templates(request.directory, catalog) if request.directory else rendered(catalog)
    findings = find_problems(bodies, request.environment)
    for finding in findings:
        if request.as_records:
            terminal.record(_record(finding))
        else:
            terminal.out(str(finding))
    code = ExitCode.INVALID if findings else ExitCode.DONE
    if request.as_records:
        status = "problems" if findings else "clean"
        terminal.record({"type": "result", "status": status, "problems": len(findings), "exit_code": int(code)})
    else:
        terminal.progress(f"{request.environment.name}: {len(bodies)} templates, {_count(findings)}")
    return code


def rendered(catalog: Catalog) -> dict[str, str]:
    """Give the text of every template."""
    return {entry.name: entry.body for entry in catalog.stacks}


def find_problems(bodies: Mapping[str, str], environment: Environment) -> list[Finding]:
    """Run every check there is over templates as text, by the stack's name in the catalog."""
    return lint(bodies, region=environment.region)


def refuse_problems(environment: Environment, catalog: Catalog) -> None:
    """
    Stop before AWS is asked for anything.

    Raises:
        ProblemsFoundError: With every problem.
    """
    findings = find_problems(rendered(catalog), environment)
    if findings:
        raise ProblemsFoundError(environment.name, findings)


def read_templates(directory: Path, catalog: Catalog) -> dict[str, str]:
    """
    Read the templates of a directory, as `synth` wrote them.

    Raises:
        UsageError: There are none, or one of a stack nobody knows.
    """
    known = [entry.name for entry in catalog.stacks]
    try:
        found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.json"))}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{directory} cannot be read: {error}") from error
    strange = sorted(found.keys() - set(known))
    if strange or not found:
        what = f"{', '.join(strange)}.json is no stack of ours" if strange else "there is no template in it"
        raise UsageError(f"{directory}: {what}", hint=f"expected <stack>.json for {', '.join(known)}")
    return {name: found[name] for name in known if name in found}


def _record(finding: Finding) -> dict[str, object]:
    return {
        "type": "problem",
        "requirement": finding.requirement,
        "stack": finding.stack,
        "logical_id": finding.logical_id,
        "path": finding.path,
        "message": finding.message,
    }


def _count(findings: list[Finding]) -> str:
    return {0: "no problem", 1: "1 problem"}.get(len(findings), f"{len(findings)} problems")
