"""Everything but its own role is made by CloudFormation as that role, which must be there first."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts._stack_verbs import bootstrap, target_of
from scripts._terminal import Terminal, run
from scripts.deploy import parser
from stacks.deployment.account import Account, LocalEndpoint, open_account
from stacks.deployment.change_set import ChangeSetFailedError
from stacks.deployment.execution_role import make_service_linked_roles, missing_role
from stacks.deployment.outcome import EnvironmentOutcome, Result
from stacks.deployment.plan import EnvironmentPlan, Outlook
from stacks.deployment.rollout import Rollout, Target
from stacks.deployment.teardown import Teardown
from stacks.environment import Environment
from stacks.local_cloud.cloud import LocalCloud
from stacks.naming import role_arn
from stacks.templates.execution_grants import SERVICE_LINKED_ROLES
from tests.stacks.deployment.small import LOCAL, Desk, Notes, alarms, logs, poller, topics
from tests.stacks.environments import NAMES, catalog

STAGING = replace(LOCAL, name="staging")
ROLE = role_arn(LOCAL, "cloudformation")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalCloud() as cloud:
        yield open_account(LOCAL, endpoint=LocalEndpoint(1, cloud.endpoint_url, LOCAL.region, LOCAL.account))


@dataclass(frozen=True)
class Said:
    """What the verb gave."""

    code: int
    out: str
    err: str


def type_bootstrap(account: Account, *words: str) -> Said:
    """Type `deploy.py bootstrap`."""
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out=out, err=err, stdin=io.StringIO(), variables={"NO_COLOR": "1"})

    def main(arguments: Sequence[str], here: Terminal) -> int:
        options = parser().parse_args(arguments)
        return bootstrap(options, here, opener=lambda _name: target_of(LOCAL, account))

    return Said(run(main, ["bootstrap", "--env", "local", *words], terminal), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def first_time(account: Account) -> Said:
    return type_bootstrap(account)


@pytest.fixture(scope="module")
def bootstrapped(account: Account, first_time: Said) -> Account:
    assert first_time.code == 0, first_time.err
    return account


def test_bootstrap_makes_the_roles_of_a_deployment_and_those_of_services(first_time: Said, account: Account) -> None:
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]

    assert "bootstrap: created" in first_time.err
    assert "made the service-linked role of ecs.amazonaws.com" in first_time.err
    assert [stack["StackName"] for stack in stacks] == ["mtls-ingress-local-bootstrap"]


def test_bootstrap_again_changes_nothing(bootstrapped: Account) -> None:
    again = type_bootstrap(bootstrapped)

    assert again.code == 0, again.err
    assert "local: nothing to do" in again.err
    assert "service-linked role" not in again.err


def test_a_service_linked_role_that_was_taken_away_is_made_again(bootstrapped: Account) -> None:
    """Whoever was interrupted between the stack and the last of these roles types the same again."""
    bootstrapped.client("iam").delete_role(RoleName="AWSServiceRoleForecs")

    again = type_bootstrap(bootstrapped)

    assert (again.code, again.err.count("made the service-linked role")) == (0, 1)


def test_its_result_comes_when_all_is_done(bootstrapped: Account) -> None:
    """A program that reads "done" may rely on it: whatever still fails has no such record before it."""
    iam = bootstrapped.client("iam")
    without: list[str] = []

    def refuse(**_context: object) -> None:
        without.append("refused")
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not yours"}}, "CreateServiceLinkedRole")

    iam.meta.events.register("before-call.iam.CreateServiceLinkedRole", refuse)
    try:
        refused = type_bootstrap(bootstrapped, "--output", "ndjson")
    finally:
        iam.meta.events.unregister("before-call.iam.CreateServiceLinkedRole", refuse)

    assert refused.code == 4
    assert refused.out == ""
    assert "error: IAM refuses the service-linked role of ecs.amazonaws.com: not yours" in refused.err
    assert "hint: an administrator of the account types the same" in refused.err


def target(account: Account, environment: Environment = LOCAL) -> Target:
    """Take three small stacks for those of an environment."""
    whole = target_of(environment, account)
    return replace(whole, catalog=replace(whole.catalog, stacks=(topics(), alarms(), logs())))


def rollout(target: Target) -> Rollout:
    return Rollout(target, lookout=Desk(), watcher=Notes(), poller=poller())


def deploy(target: Target) -> EnvironmentOutcome:
    run = rollout(target)
    run.prepare()
    return run.execute()


def plan(target: Target) -> EnvironmentPlan:
    run = rollout(target)
    try:
        return run.prepare(touch_nothing=True)
    finally:
        run.discard()


def test_without_it_a_deployment_waits_and_says_the_command_once(bootstrapped: Account) -> None:
    """Each environment has its own: that of one opens nothing in another."""
    outcome = deploy(target(bootstrapped, STAGING))

    assert outcome.exit_code == 11
    assert {stack.name: stack.result for stack in outcome.stacks} == {
        "topics": Result.WAITING,
        "alarms": Result.SKIPPED,
        "logs": Result.WAITING,
    }
    assert [need.commands for need in outcome.needs] == [("python scripts/deploy.py bootstrap --env staging",)]


def test_without_it_a_plan_asks_cloudformation_for_nothing(bootstrapped: Account) -> None:
    asked: list[str] = []
    client = bootstrapped.client("cloudformation")
    client.meta.events.register("before-call.cloudformation", lambda model, **_: asked.append(model.name))

    shown = plan(target(bootstrapped, STAGING))

    assert {stack.outlook for stack in shown.stacks} == {Outlook.WAITING}
    assert set(asked) == {"DescribeStacks"}


def test_every_stack_but_its_own_is_made_as_it(bootstrapped: Account) -> None:
    outcome = deploy(target(bootstrapped))

    stacks = bootstrapped.client("cloudformation").describe_stacks()["Stacks"]
    worked_as = {stack["StackName"]: stack.get("RoleARN") for stack in stacks}
    assert outcome.exit_code == 0
    assert worked_as == {"mtls-ingress-local-bootstrap": None, "topics": ROLE, "alarms": ROLE, "logs": ROLE}


def test_a_teardown_names_it_and_leaves_what_bootstrap_made(bootstrapped: Account) -> None:
    """What the deployer may do is tied to the role by a condition, and a call without it would be refused."""
    asked = []
    client = bootstrapped.client("cloudformation")
    client.meta.events.register(
        "provide-client-params.cloudformation.DeleteStack", lambda params, **_: asked.append(params.get("RoleARN"))
    )
    deploy(target(bootstrapped))

    Teardown(target(bootstrapped), watcher=Notes(), poller=poller()).execute()

    assert asked == [ROLE] * 3
    assert missing_role(bootstrapped, LOCAL) is None


@pytest.mark.parametrize("role", [role_arn(LOCAL, "deploy"), role_arn(STAGING, "cloudformation")])
def test_a_role_that_cloudformation_cannot_take_is_refused(bootstrapped: Account, role: str) -> None:
    """One is there and does not trust CloudFormation, the other is nowhere."""
    with pytest.raises(ChangeSetFailedError, match="is invalid or cannot be assumed"):
        plan(replace(target(bootstrapped), role_arn=role))


@dataclass
class Services:
    """IAM's twin: an account in which some services have their role already."""

    there: set[str]

    def create_service_linked_role(self, *, AWSServiceName: str) -> None:  # noqa: N803 -- IAM's spelling
        """Make one; a second is refused as IAM refuses it."""
        if AWSServiceName in self.there:
            words = "Service role name has been taken in this account"
            raise ClientError({"Error": {"Code": "InvalidInput", "Message": words}}, "CreateServiceLinkedRole")
        self.there.add(AWSServiceName)


def test_service_linked_roles_are_made_as_far_as_they_lack() -> None:
    iam: Any = Services({"ecs.amazonaws.com"})

    assert make_service_linked_roles(iam) == list(SERVICE_LINKED_ROLES[1:])
    assert make_service_linked_roles(iam) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_template_of_bootstrap_goes_into_one_request(name: str) -> None:
    """CloudFormation takes 51,200 bytes of template in a request."""
    assert len(json.dumps(catalog(name)["bootstrap"].template, separators=(",", ":"))) < 51_200
