"""
Nothing of the ingress and the network can be left out unnoticed.

Each property, list item and attribute of every resource is taken away by
itself. A rule reports it, or cfn-lint does, or it stands below with the reason
why nobody needs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from stacks.catalog import render
from stacks.rules import (
    access_log,
    balanced_ports,
    joints,
    load_balancer,
    network,
    security_groups,
    vpc_endpoints,
    workload,
)
from stacks.rules.linter import lint
from stacks.rules.rule import judge
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Document, Templates

THEMES = (joints, load_balancer, balanced_ports, access_log, security_groups, network, vpc_endpoints, workload)
RULES = [rule for theme in THEMES for rule in theme.RULES]
MAY_GO: Final = {
    r"(.*\.)?Tags(\..*)?": "names for a reader",
    r".*\.PolicyDocument\.(Version|Statement\.\d+\.Sid)": "what is left means the same",
    r".*Endpoint\.Properties\.(PolicyDocument|VpcEndpointType)": "AWS's default: everything passes, by a gateway",
    r"S3Endpoint\..*\.Statement\.1\.Resource\.2": "updates of the agent of Systems Manager; it works without",
    r".*\.MapPublicIpOnLaunch": "AWS's default is not to",
    r"LoadBalancerSecurityGroup\.Properties\.SecurityGroupIngress\.\d+": "one partner of several",
    r"Nat.*\.Properties\.Domain": "AWS's default is the VPC",
    r"Vpc\.Properties\.EnableDns.*": "asked for by interface endpoints, where there are some",
}


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["ingress", "network"])
@pytest.mark.parametrize("name", ["staging", "production"])
def test_nothing_can_be_left_out_unnoticed(name: str, stack: str) -> None:
    asked = [path for path in _paths(Templates.of(name).bodies[stack]["Resources"]) if not _may_go(path)]

    silent = [path for path in asked if not _is_reported(name, stack, path)]

    assert [path for path in silent if not _is_linted(name, stack, path)] == []


@pytest.mark.slow
def test_each_reason_is_needed() -> None:
    paths = {
        path
        for name in ("staging", "production")
        for stack in ("ingress", "network")
        for path in _paths(Templates.of(name).bodies[stack]["Resources"])
    }

    assert [pattern for pattern in MAY_GO if not any(re.fullmatch(pattern, path) for path in paths)] == []


def _may_go(path: str) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in MAY_GO)


def _is_reported(name: str, stack: str, path: str) -> bool:
    templates = Templates.of(name)
    _take_away(templates, stack, path)
    return bool(judge(templates.estate(environment(name)), RULES))


def _is_linted(name: str, stack: str, path: str) -> bool:
    templates = Templates.of(name)
    _take_away(templates, stack, path)
    return bool(lint({stack: render(templates.bodies[stack])}, region="us-east-1"))


def _take_away(templates: Templates, stack: str, path: str) -> None:
    found: Any = templates.bodies[stack]["Resources"]
    *way, last = path.split(".")
    for part in way:
        found = found[int(part)] if isinstance(found, list) else found[part]
    del found[int(last) if isinstance(found, list) else last]


def _paths(resources: Document) -> Iterator[str]:
    """Give everything below each resource that can be taken away, but for its type and what is inside intrinsics."""
    for logical_id, resource in resources.items():
        if "DependsOn" in resource:
            yield f"{logical_id}.DependsOn"
        yield from _inside(resource.get("Properties", {}), f"{logical_id}.Properties")


def _inside(value: object, path: str) -> Iterator[str]:
    match value:
        case dict() if not any(key == "Ref" or key.startswith("Fn::") for key in value):
            pairs = [(str(key), inner) for key, inner in value.items()]
        case list():
            pairs = [(str(index), inner) for index, inner in enumerate(value)]
        case _:
            return
    for key, inner in pairs:
        yield f"{path}.{key}"
        yield from _inside(inner, f"{path}.{key}")
