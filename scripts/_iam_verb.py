"""
The verb `iam`: show every role, who may take it and what it may, with neither account nor network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

from scripts._terminal import ROOT, ExitCode, Terminal, environment_name
from stacks.catalog import assemble
from stacks.environment_file import find_environment, load_environment
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.role_list import Record, boundary_records, role_records


def iam(options: argparse.Namespace, terminal: Terminal) -> int:
    """Show the roles of an environment as its templates make them."""
    environment = load_environment(find_environment(environment_name(options), ROOT))
    bodies = {entry.name: entry.template for entry in assemble(environment).every}
    estate = Estate(bodies, Place.of(environment))
    records = [*role_records(estate), *boundary_records(estate)]
    for record in records:
        if options.output == "ndjson":
            terminal.record(record)
        else:
            terminal.out("\n".join(_page(record)) + "\n")
    if options.output == "ndjson":
        terminal.record({"type": "result", "status": "shown", "exit_code": int(ExitCode.DONE)})
    else:
        made_by = "deploy.py bootstrap makes those of bootstrap, deploy.py deploy the others"
        count = sum(record["type"] == "role" for record in records)
        terminal.progress(f"{environment.name}: {count} roles; {made_by}")
    return ExitCode.DONE


def _page(record: Record) -> Iterator[str]:
    """Write a role or a boundary for people."""
    if record["type"] == "boundary":
        yield f"{record['arn']} (boundary, {record['stack']})"
        yield _indented(record["document"])
        return
    yield f"{record['arn']} ({record['stack']}.{record['logical_id']})"
    yield f"  {record['description']}"
    yield f"  boundary: {record['boundary']}"
    yield f"  session: {record['session_seconds']} seconds at most"
    yield "  who may take it:"
    yield _indented(record["trust"])
    for policy in record["policies"]:
        yield f"  what it may, {policy['name']}:" if policy["document"] else f"  and AWS's own {policy['name']}"
        if policy["document"]:
            yield _indented(policy["document"])


def _indented(document: object) -> str:
    return "\n".join(f"    {line}" for line in json.dumps(document, indent=2).splitlines())
