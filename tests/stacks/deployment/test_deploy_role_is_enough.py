"""
Every call the deployer makes is one its role may make, asked of IAM as AWS would.

The calls are recorded as they leave boto3, with what they were for, on an
environment that is planned, deployed, changed and removed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

import boto3
import botocore.session
import pytest
from botocore import xform_name

from scripts._stack_verbs import beginning, target_of
from service.contract import MANIFEST_KEY
from stacks import naming
from stacks.access.evaluation import evaluate
from stacks.access.request import Principal, Request
from stacks.catalog import StackEntry
from stacks.deployment.account import Account, LocalEndpoint, open_account
from stacks.deployment.image import push_image
from stacks.deployment.readiness import AccountLookout
from stacks.deployment.rollout import Rollout, Target
from stacks.deployment.stack import read_resources
from stacks.deployment.teardown import Teardown
from stacks.local_cloud.cloud import LocalCloud
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.principals import roles
from tests.stacks.deployment.small import LOCAL, Desk, Notes, alarms, poller, topics
from tests.stacks.environments import catalog

ROOT = Path(__file__).resolve().parents[3]
NEEDS_NO_RIGHT = {"sts:GetCallerIdentity"}
ACTIONS = {"s3:HeadObject": "s3:GetObject"}


@dataclass
class Call:
    """One call: `cloudformation:CreateChangeSet`, and its arguments."""

    action: str
    arguments: Mapping[str, Any]


@dataclass
class Tape:
    """What left boto3."""

    calls: list[Call] = field(default_factory=list)

    def record(self, *, model: Any, params: Mapping[str, Any], **_: object) -> None:  # Any: botocore ships no types
        """Write a call down."""
        service = model.service_model.signing_name
        self.calls.append(Call(f"{service}:{model.name}", dict(params)))


@pytest.fixture(scope="module")
def tape() -> Iterator[Tape]:
    with LocalCloud() as cloud:
        endpoint = LocalEndpoint(1, cloud.endpoint_url, LOCAL.region, LOCAL.account)
        administrator = open_account(LOCAL, endpoint=endpoint)
        _deploy(beginning(target_of(LOCAL, administrator)))
        administrator.client("ecr").create_repository(repositoryName=naming.repository(LOCAL))
        tape = Tape()
        session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local")  # noqa: S106 -- no secret
        session.events.register("before-parameter-build", tape.record)
        _everything(Account(session, region=LOCAL.region, endpoint=endpoint))
        yield tape


def _everything(account: Account) -> None:
    """Do all that the verbs plan, deploy, status, image and destroy do, each as it does it."""
    lookout = AccountLookout(account, LOCAL, ROOT)
    lookout.look()
    push_image(account, LOCAL, ROOT)
    _deploy(_target(account, [topics()]))
    changed = _target(account, [topics("renamed"), alarms()])
    looking = Rollout(changed, lookout=Desk(), watcher=Notes(), poller=poller())
    looking.prepare(touch_nothing=True)
    looking.discard()
    read_resources(account.client("cloudformation"), naming.stack_name(LOCAL, "topics"))
    Teardown(changed, watcher=Notes(), poller=poller()).execute()


def _deploy(target: Target) -> None:
    run = Rollout(target, lookout=Desk(), watcher=Notes(), poller=poller())
    run.prepare()
    assert run.execute().exit_code == 0


def _target(account: Account, entries: list[StackEntry]) -> Target:
    whole = target_of(LOCAL, account)
    named = tuple(replace(each, stack_name=naming.stack_name(LOCAL, each.name)) for each in entries)
    return replace(whole, catalog=replace(whole.catalog, stacks=named))


@pytest.fixture(scope="module")
def deployer() -> Principal:
    estate = Estate({entry.name: entry.template for entry in catalog("local").every}, Place.of(LOCAL))
    (found,) = [role for role in roles(estate) if role.arn == naming.role_arn(LOCAL, "deploy")]
    return found.principal


def _resource(call: Call) -> str:
    """Say what a call is for, as an ARN."""
    service, given = call.action.partition(":")[0], call.arguments
    match service:
        case "cloudformation":
            name = given.get("StackName") or given.get("ChangeSetName", "*")
            stack = str(name).split("/")[1] if str(name).startswith("arn:") and ":stack/" in str(name) else name
            if str(name).startswith("arn:") and ":changeSet/" in str(name):
                stack = naming.stack_name(LOCAL, "topics")  # a change set's ARN does not tell whose it is
            return f"arn:aws:cloudformation:{LOCAL.region}:{LOCAL.account}:stack/{stack}/0a1b2c3d"
        case "s3":
            return f"arn:aws:s3:::{given['Bucket']}/{given['Key']}"
        case "ecr":
            name = given.get("repositoryName") or given["repositoryNames"][0]
            return f"arn:aws:ecr:{LOCAL.region}:{LOCAL.account}:repository/{name}"
        case "iam":
            return f"arn:aws:iam::{LOCAL.account}:role{naming.role_path(LOCAL)}{given['RoleName']}"
    return "*"


def test_every_call_is_allowed(tape: Tape, deployer: Principal) -> None:
    refused = []
    for call in tape.calls:
        action = ACTIONS.get(call.action, call.action)
        role = call.arguments.get("RoleARN")
        context = {} if role is None else {"cloudformation:RoleArn": str(role)}
        decision = evaluate(Request(deployer, action, _resource(call), LOCAL.account, context))
        if call.action not in NEEDS_NO_RIGHT and not decision.is_allowed:
            refused.append(f"{action} on {_resource(call)}: {decision.statement}")

    assert refused == []


def test_the_record_holds_what_a_deployment_does(tape: Tape) -> None:
    """An empty tape would be allowed whatever it says."""
    made = {call.action for call in tape.calls}

    assert made >= {
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DeleteStack",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStacks",
        "cloudformation:ExecuteChangeSet",
        "cloudformation:ListStackResources",
        "ecr:DescribeImages",
        "ecr:PutImage",
        "iam:GetRole",
        "s3:HeadObject",
    }
    assert {call.arguments["Key"] for call in tape.calls if call.action == "s3:HeadObject"} == {MANIFEST_KEY}


OTHERS = {
    "iam:CreateServiceLinkedRole": "bootstrap is an administrator's",
    "sts:AssumeRole": "the ceremonies', whose role is another",
    "sts:GetCallerIdentity": "needs no right",
}


def _calls_in_source() -> set[str]:
    """Give every call of a service that stands in the deployer's modules, whether a test comes by it or not."""
    found = set()
    for path in sorted((ROOT / "stacks" / "deployment").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = ast.unparse(tree)
        called = {node.func.attr for node in ast.walk(tree) if _is_call_of_attribute(node)}
        called |= set(re.findall(r"get_paginator\('(\w+)'\)", text))
        services = set(re.findall(r"client\('(\w+)'\)|mypy_boto3_(\w+)", text))
        for service in {name for pair in services for name in pair if name}:
            model = botocore.session.get_session().get_service_model(service)
            names = {xform_name(name): name for name in model.operation_names}
            found |= {f"{model.signing_name}:{names[name]}" for name in called & names.keys()}
    return found


def _is_call_of_attribute(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


def test_every_call_in_the_source_is_granted(tape: Tape, deployer: Principal) -> None:
    granted = {
        action
        for policy in deployer.policies
        for statement in policy.document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }

    found = _calls_in_source()
    assert {ACTIONS.get(call, call) for call in found - OTHERS.keys()} - granted == set()
    assert {call.action for call in tape.calls} <= found


def test_every_change_and_every_removal_names_the_role(tape: Tape) -> None:
    """The role's right to them is tied to that (`cloudformation:RoleArn`)."""
    changing = [call for call in tape.calls if call.action.endswith((":CreateChangeSet", ":DeleteStack"))]

    assert {call.arguments.get("RoleARN") for call in changing} == {naming.role_arn(LOCAL, "cloudformation")}


@pytest.mark.parametrize(
    "action",
    [
        "ecr:BatchCheckLayerAvailability",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
        "ecr:PutImage",
    ],
)
def test_docker_may_push_into_the_one_repository(deployer: Principal, action: str) -> None:
    """What `docker push` asks for (ECR guide, "IAM permissions for pushing an image")."""
    repository = f"arn:aws:ecr:{LOCAL.region}:{LOCAL.account}:repository/{naming.repository(LOCAL)}"

    assert evaluate(Request(deployer, action, repository, LOCAL.account)).is_allowed
    assert evaluate(Request(deployer, "ecr:GetAuthorizationToken", "*", LOCAL.account)).is_allowed
    assert not evaluate(Request(deployer, action, f"{repository}-other", LOCAL.account)).is_allowed
