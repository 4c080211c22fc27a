"""`check` names every mistake on a line of its own, for people or for programs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import deploy
from scripts._check_verb import ProblemsFoundError, refuse_problems
from scripts._synth_verb import write_templates
from scripts._terminal import Terminal, run
from stacks.catalog import Catalog, assemble
from stacks.rules.book import RULES
from tests.stacks.deployment.small import LOCAL, topics

CATALOG = assemble(LOCAL)


def checked(*words: str) -> tuple[int, list[str], str]:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out=out, err=err, stdin=io.StringIO(), variables={})
    code = run(deploy.main, ["check", "--env", "local", *words], terminal)
    return code, out.getvalue().splitlines(), err.getvalue()


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template with a property nobody knows, and tags that move."""
    bodies = {"images": CATALOG["images"].body}
    template = json.loads(bodies["images"])
    logical_id = next(iter(template["Resources"]))
    template["Resources"][logical_id]["Properties"]["Colour"] = "blue"
    template["Resources"]["Repository"]["Properties"]["ImageTagMutability"] = "MUTABLE"
    directory = tmp_path_factory.mktemp("templates") / "out"
    write_templates({"images": json.dumps(template)}, directory)
    return directory


def test_a_mistake_is_a_line_and_exit_5(mistaken: Path) -> None:
    code, lines, err = checked("--templates", str(mistaken))

    assert code == 5
    assert any(line.startswith("images.") and "Colour" in line and "cfn-lint:E" in line for line in lines)
    assert "has no bootstrap, network, identity" in err  # what the directory lacks is judged as rendered
    assert f"local: {len(CATALOG.every)} templates, {len(RULES)} rules and cfn-lint, " in err


def test_for_programs_each_is_a_record_and_the_result_comes_last(mistaken: Path) -> None:
    code, lines, _ = checked("--templates", str(mistaken), "--output", "ndjson")

    *problems, result = map(json.loads, lines)
    assert code == 5
    assert {problem["type"] for problem in problems} == {"problem"}
    (moving,) = (problem for problem in problems if "ECR.2" in (problem["requirement"], *problem["also"]))
    assert (moving["stack"], moving["logical_id"]) == ("images", "Repository")
    assert moving["path"] == "Properties.ImageTagMutability"
    assert moving["found"] == '"MUTABLE"'
    assert "IMMUTABLE" in moving["expected"]
    assert moving["why"]
    assert moving["module"] == "stacks/templates/images.py"
    assert result == {
        "type": "result",
        "status": "problems",
        "problems": len(problems),
        "rules": len(RULES),
        "templates": len(CATALOG.every),
        "exit_code": 5,
    }


def test_a_file_of_no_stack_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "kitchen.json").write_text("{}", encoding="utf-8")

    code, _, err = checked("--templates", str(tmp_path))

    assert code == 64
    assert "kitchen.json is no stack of ours" in err


def test_a_directory_without_templates_is_misuse(tmp_path: Path) -> None:
    code, _, err = checked("--templates", str(tmp_path / "nowhere"))

    assert code == 64
    assert "there is no template in it" in err


def test_a_deployment_with_mistakes_stops_before_aws_is_asked() -> None:
    entry = topics()
    wrong = replace(entry, body=entry.body.replace("DisplayName", "DisplayNamme"))

    with pytest.raises(ProblemsFoundError, match="DisplayNamme") as refused:
        refuse_problems(LOCAL, Catalog(LOCAL, (wrong,)))

    assert refused.value.exit_code == 5


def test_for_people_what_no_rule_can_judge_is_told_once(tmp_path: Path) -> None:
    """One output that is missing keeps dozens of rules from judging; programs read every one of them."""
    network = json.loads(CATALOG["network"].body)
    del network["Outputs"]["S3EndpointId"]
    write_templates({"network": json.dumps(network)}, tmp_path / "out")

    code, lines, _ = checked("--templates", str(tmp_path / "out"))

    policy = [
        line
        for line in lines
        if line.startswith("certificate_store.CertificateBucketPolicy.Properties.PolicyDocument: ")
    ]
    assert code == 5
    assert any(line.startswith("certificate_store.S3EndpointId: expected an output of this name") for line in lines)
    assert len(policy) == 1
    assert "K4" in policy[0]
    assert "K12" in policy[0]
