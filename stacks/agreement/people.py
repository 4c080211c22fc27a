"""Those who are told, and those who deploy: reachable, and of this account's partition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from stacks import naming
from stacks.agreement.promise import Promise
from stacks.environment import LOCAL, Environment, GithubProvider


def alarm_promises(environment: Environment) -> Iterator[Promise]:
    """Judge whom alarms reach."""
    alarms = environment.alarms
    yield Promise(
        ("alarms", "alarms.emails", "alarms.urls", "alarms.topic_arns"),
        bool(alarms.emails or alarms.urls or alarms.topic_arns) or environment.name == LOCAL,
        "at least one of emails, urls and topic_arns",
        "none: nobody would hear an alarm",
    )
    ours = naming.topic_name(environment)
    for index, arn in enumerate(alarms.topic_arns):
        _, partition, _, region, account, name = arn.split(":")
        keys = (f"alarms.topic_arns.{index}", "alarms.topic_arns", "region")
        yield Promise(
            keys,
            (partition, region) == (environment.partition, environment.region),
            f"a topic in {environment.region} (arn:{environment.partition}:sns:{environment.region}:...),"
            " for an alarm calls none of another region",
            f'"{arn}"',
        )
        yield Promise(
            (*keys, "account", "project", "name"),
            (region, account, name) != (environment.region, environment.account, ours),
            "another topic than ours, which every alarm is sent to already",
            f'"{arn}"',
        )


def deployer_promises(environment: Environment) -> Iterator[Promise]:
    """Judge the bounds of the roles, and who may deploy."""
    yield from _boundary_promises(environment)
    yield from _principal_promises(environment)
    yield from _github_promises(environment)


def _boundary_promises(environment: Environment) -> Iterator[Promise]:
    arn = environment.deployer.permissions_boundary
    if not arn:
        return
    _, partition, _, _, account, policy = arn.split(":", 5)
    keys = ("deployer.permissions_boundary", "account", "region")
    form = f"arn:{environment.partition}:iam::{environment.account}:policy/..."
    yield Promise(
        keys,
        partition == environment.partition and account in {environment.account, "aws"},
        f"a policy of this account, {form}",
        f'"{arn}"',
    )
    path = f"policy{naming.role_path(environment)}"
    ours = {path + naming.boundary_name(environment), path + naming.deployer_boundary_name(environment)}
    yield Promise(
        (*keys, "project", "name", "names.role_path"),
        policy not in ours,
        "a policy of your own; ours is there without this key",
        f'"{arn}"',
    )


def _principal_promises(environment: Environment) -> Iterator[Promise]:
    own = f"arn:{environment.partition}:iam::{environment.account}:role/"
    ours = {naming.role_arn(environment, kind) for kind in get_args(naming.RoleKind)}
    for index, arn in enumerate(environment.deployer.principals):
        keys = (f"deployer.principals.{index}", "deployer.principals", "account", "region")
        yield Promise(
            keys,
            arn.startswith(own),
            f"a role of this account, {own}...; one of another account takes a role of this one first",
            f'"{arn}"',
        )
        yield Promise(
            (*keys, "project", "name", "names.role_path"),
            arn not in ours,
            "a role that is there before; ours are made by what it deploys",
            f'"{arn}"',
        )


def _github_promises(environment: Environment) -> Iterator[Promise]:
    deployer = environment.deployer
    has_repository = deployer.github_repository is not None
    yield Promise(
        ("deployer.github_environment", "deployer.github_repository"),
        has_repository or deployer.github_environment is None,
        "github_repository beside it",
        "none: no workflow is meant",
    )
    yield Promise(
        ("deployer.github_provider", "deployer.github_repository"),
        has_repository or deployer.github_provider is GithubProvider.CREATE,
        "github_repository beside it",
        "none: no provider is needed",
    )
