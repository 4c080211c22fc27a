"""What cfn-lint finds is told with its stack, its resource and its place."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest

from stacks.rules.finding import Finding
from stacks.rules.linter import lint
from tests.stacks.environments import ROOT


def body(**resources: object) -> str:
    return json.dumps({"Resources": resources})


def test_a_finding_names_rule_stack_resource_and_place() -> None:
    wrong = body(Bucket={"Type": "AWS::SNS::Topic", "Properties": {"TopicNam": "x"}})
    right = body(Topic={"Type": "AWS::SNS::Topic"})

    (finding,) = lint({"right": right, "wrong": wrong}, region="us-east-1")

    assert (finding.stack, finding.logical_id, finding.path) == ("wrong", "Bucket", "Properties.TopicNam")
    assert finding.requirement == "cfn-lint:E3002"
    assert "TopicNam" in finding.message


def test_a_warning_is_a_finding_too() -> None:
    queue = {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain"}

    assert [finding.requirement for finding in lint({"one": body(Queue=queue)}, region="us-east-1")] == [
        "cfn-lint:W3011"
    ]


def test_a_text_that_is_no_template_is_a_finding() -> None:
    (finding,) = lint({"broken": '{"Resources": '}, region="us-east-1")

    assert (finding.stack, finding.logical_id) == ("broken", "")
    assert finding.requirement == "cfn-lint:E0000"


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '"Resources"'])
def test_a_text_that_is_something_else_is_a_finding(text: str) -> None:
    assert [finding.requirement for finding in lint({"other": text}, region="us-east-1")] == ["cfn-lint:E1001"]


def test_templates_without_a_fault_give_no_finding() -> None:
    assert lint({"one": body(Topic={"Type": "AWS::SNS::Topic"})}, region="us-east-1") == []


def test_a_finding_reads_as_one_line() -> None:
    finding = Finding(
        stack="ingress", logical_id="LoadBalancer", path="Properties", requirement="E2", message="ports differ"
    )

    assert str(finding) == "ingress.LoadBalancer.Properties: ports differ (E2)"


def test_two_processes_find_what_one_finds() -> None:
    bodies = {
        "one": body(Bucket={"Type": "AWS::SNS::Topic", "Properties": {"TopicNam": "x"}}),
        "two": body(Queue={"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain"}),
        "three": body(Topic={"Type": "AWS::SNS::Topic"}),
    }

    alone = lint(bodies, region="us-east-1")

    assert len(alone) == 2
    assert _apart(bodies) == alone


def _apart(bodies: dict[str, str]) -> list[Finding]:
    """Ask from a process without threads, for the test's own may have some."""
    script = (
        "import json, pickle, sys\n"
        "from stacks.rules.linter import lint\n"
        "found = lint(json.load(sys.stdin), region='us-east-1', processes=2)\n"
        "sys.stdout.buffer.write(pickle.dumps(found))\n"
    )
    ran = subprocess.run(  # noqa: S603 -- this interpreter, with a script of ours
        [sys.executable, "-c", script],
        input=json.dumps(bodies).encode(),
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: list[Finding] = pickle.loads(ran.stdout)  # noqa: S301 -- what our own child wrote
    return found
