"""
An evaluator of policies that nobody here wrote, asked in a process of its own: @cloud-copilot/iam-simulate.

It is no part of the project and none of its dependencies; `make prove`
installs it into a directory of its own where there are node and npm.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from stacks.access.evaluation import context_of
from stacks.access.request import AttachedPolicy, PrincipalKind, Request, Verdict
from stacks.rules.guarded import Question
from tests.stacks.environments import ROOT

INSTALLED = ROOT / ".venv-iam-simulate"
SCRIPT = ROOT / "tools" / "iam-simulate" / "answer.mjs"
TIMEOUT_SECONDS = 240
VERDICTS = {
    "Allowed": Verdict.ALLOWED,
    "ExplicitlyDenied": Verdict.DENIED,
    "ImplicitlyDenied": Verdict.NOT_ALLOWED,
}
_FOLLOWS_FROM_WHO = frozenset({"aws:principalisawsservice", "aws:principalservicename"})


def why_not() -> str | None:
    """Say why it cannot be asked here; None if it can."""
    if shutil.which("node") is None:
        return "there is no node on PATH"
    if not (INSTALLED / "node_modules" / "@cloud-copilot" / "iam-simulate").is_dir():
        return "make prove installs it"
    return None


def answers(questions: Sequence[Question]) -> list[Verdict | str]:
    """Ask all of them; what it objects to is given as its words."""
    policies: dict[str, Any] = {}
    asked = [_spelled(question, policies) for question in questions]
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(  # noqa: S603 -- our own script, by the node that is here
        [node, str(SCRIPT), str(INSTALLED)],
        input=json.dumps({"policies": policies, "questions": asked}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(asked)
    return [VERDICTS.get(line, line) for line in lines]


def _spelled(question: Question, policies: dict[str, Any]) -> dict[str, Any]:
    request = question.request
    principal = request.principal
    boundary = [] if principal.boundary is None else [principal.boundary]
    names = {
        "identity": [_kept(policy, policies) for policy in _identity_policies(request)],
        "boundary": next((_kept(policy, policies) for policy in boundary), None),
        "resource_policy": next((_kept(each.policy, policies) for each in question.policies), None),
        "endpoint": [_kept(policy, policies) for policy in request.endpoint_policies],
    }
    return names | {
        "principal": principal.arn or None,
        "action": request.action,
        "resource": request.resource,
        "owner": request.owner,
        "context": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in context_of(request).items()
            if key not in _FOLLOWS_FROM_WHO
        },
    }


def _identity_policies(request: Request) -> Sequence[AttachedPolicy]:
    """Give what it must be told: it knows no root user, who is as one that is allowed everything."""
    if request.principal.kind is PrincipalKind.ROOT:
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        return [AttachedPolicy("root", {"Version": "2012-10-17", "Statement": [everything]})]
    return request.principal.policies


def _kept(policy: AttachedPolicy, policies: dict[str, Any]) -> str:
    """Keep a policy by a name of its own, for two may be called the same."""
    text = json.dumps(policy.document, sort_keys=True)
    name = f"{policy.name}#{abs(hash(text)):x}"
    policies[name] = policy.document
    return name
