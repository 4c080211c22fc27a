"""
The verb `check`: look for mistakes in the templates before AWS does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts._terminal import ROOT, ExitCode, Terminal, UsageError, environment_name
from stacks.catalog import Catalog, assemble
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment
from stacks.errors import DeploymentError
from stacks.rules.book import RULES, find_faults
from stacks.rules.finding import Finding, joined
from stacks.rules.linter_process import LinterProcess


class ProblemsFoundError(DeploymentError):
    """The templates have mistakes; nothing was deployed."""

    exit_code = ExitCode.INVALID

    def __init__(self, environment_name: str, findings: list[Finding]) -> None:
        told = joined(findings)
        problems = "\n".join(f"  {finding}" for finding in told)
        super().__init__(
            f"the templates of {environment_name} have {_count(told)}; nothing changed\n{problems}",
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


def check(options: argparse.Namespace, terminal: Terminal, linter: LinterProcess) -> int:
    """Check freshly rendered templates, or those of a directory."""
    request = Request.of(options)
    bodies = _bodies(request, terminal)
    findings = find_problems(bodies, request.environment, linter)
    told = findings if request.as_records else joined(findings)
    for finding in told:
        if request.as_records:
            terminal.record(_record(finding))
        else:
            terminal.out(str(finding))
    code = ExitCode.INVALID if findings else ExitCode.DONE
    if request.as_records:
        status = "problems" if findings else "clean"
        counts = {"problems": len(findings), "rules": len(RULES), "templates": len(bodies)}
        terminal.record({"type": "result", "status": status, **counts, "exit_code": int(code)})
    else:
        ran = f"{len(bodies)} templates, {len(RULES)} rules and cfn-lint"
        terminal.progress(f"{request.environment.name}: {ran}, {_count(told)}")
    return code


def _bodies(request: Request, terminal: Terminal) -> dict[str, str]:
    """Render every template, and take those of a directory in their places."""
    catalog = assemble(request.environment)
    bodies = rendered(catalog)
    if request.directory:
        given = read_templates(request.directory, catalog)
        missing = [name for name in bodies if name not in given]
        if missing:
            terminal.progress(f"{request.directory} has no {', '.join(missing)}: judged as rendered")
        bodies |= given
    return bodies


def rendered(catalog: Catalog) -> dict[str, str]:
    """Give the text of every template."""
    return {entry.name: entry.body for entry in catalog.every}


def find_problems(bodies: Mapping[str, str], environment: Environment, linter: LinterProcess) -> list[Finding]:
    """Run every check there is over templates as text, by the stack's name in the catalog: our rules and cfn-lint."""
    ours = find_faults(_parsed(bodies), environment)
    return sorted({*ours, *linter.lint(bodies, region=environment.region)})


def refuse_problems(environment: Environment, catalog: Catalog) -> None:
    """
    Stop before AWS is asked for anything, if any check finds something.

    Raises:
        ProblemsFoundError: With every problem.
    """
    with LinterProcess() as linter:
        findings = find_problems(rendered(catalog), environment, linter)
    _refuse(environment, findings)


def refuse_faults(environment: Environment, catalog: Catalog) -> None:
    """
    Stop before AWS is asked for anything, if a rule of ours finds something; they take no time.

    Raises:
        ProblemsFoundError: With every fault.
    """
    _refuse(environment, find_faults({entry.name: entry.template for entry in catalog.every}, environment))


def _refuse(environment: Environment, findings: list[Finding]) -> None:
    if findings:
        raise ProblemsFoundError(environment.name, findings)


def _parsed(bodies: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Read texts as JSON; what is no template is an empty one here, and cfn-lint says what is wrong with it."""
    parsed: dict[str, dict[str, object]] = {}
    for stack, body in bodies.items():
        try:
            value = json.loads(body)
        except ValueError:
            value = {}
        parsed[stack] = value if isinstance(value, dict) else {}
    return parsed


def read_templates(directory: Path, catalog: Catalog) -> dict[str, str]:
    """
    Read the templates of a directory, as `synth` wrote them.

    Raises:
        UsageError: There are none, or one of a stack nobody knows.
    """
    known = [entry.name for entry in catalog.every]
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
        "found": finding.found,
        "expected": finding.expected,
        "why": finding.why,
        "also": list(finding.also),
        "module": finding.module,
    }


def _count(findings: list[Finding]) -> str:
    return {0: "no problem", 1: "1 problem"}.get(len(findings), f"{len(findings)} problems")
