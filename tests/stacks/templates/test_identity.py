"""Each role can be what it is, and nothing beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from stacks.naming import RoleKind, role_name
from tests.stacks.environments import NAMES, catalog, environment
from tests.stacks.templates.reading import listed, of_type, properties, statements


def granted(logical_id: str) -> dict[str, Mapping[str, Any]]:
    return statements(properties(catalog(), "identity", logical_id)["PolicyDocument"])


@pytest.mark.parametrize("name", NAMES)
def test_roles_bear_the_names_that_policies_name(name: str) -> None:
    """Policies of other stacks say them as text: a name that differs would open or shut the wrong door (K18)."""
    roles = {role["RoleName"] for role in of_type(catalog(name), "AWS::IAM::Role").values()}

    made = set(get_args(RoleKind)) - {"backup"}  # which only a backup has
    assert roles == {role_name(environment(name), kind) for kind in made}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_granted_inline(name: str) -> None:
    assert not [role for role in of_type(catalog(name), "AWS::IAM::Role").values() if "Policies" in role]


@pytest.mark.parametrize("role", ["TaskRole", "ExecutionRole"])
def test_tasks_of_another_account_cannot_borrow_a_role(role: str) -> None:
    (trust,) = properties(catalog(), "identity", role)["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}


def test_the_certificates_keeper_is_one_of_the_accounts_own() -> None:
    (trust,) = properties(catalog(), "identity", "CertificateAdminRole")["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}


def test_ecs_starts_tasks_from_one_repository_into_one_log() -> None:
    found = granted("ExecutionPolicy")

    assert listed(found["FetchImage"]["Resource"]) == [
        "arn:aws:ecr:us-east-1:111122223333:repository/mtls-ingress-staging"
    ]
    assert listed(found["WriteLog"]["Resource"]) == [
        "arn:aws:logs:us-east-1:111122223333:log-group:/mtls-ingress/staging/service:*"
    ]


def test_a_container_instance_reads_neither_certificate_nor_registry() -> None:
    """ECS does not keep containers from their instance's role, so that role is worth little (A16)."""
    actions = {action for statement in granted("InstancePolicy").values() for action in statement["Action"]}

    assert all(action.startswith("ecs:") for action in actions)


def test_a_container_instance_joins_a_cluster_of_its_own_environment() -> None:
    found = granted("InstancePolicy")

    assert listed(found["JoinCluster"]["Resource"]) == [
        "arn:aws:ecs:us-east-1:111122223333:cluster/mtls-ingress-staging-capacity-*"
    ]
    assert "ClusterName" not in properties(catalog(), "capacity", "Cluster")


@pytest.mark.parametrize("name", NAMES)
def test_only_what_bears_no_resource_is_granted_on_everything(name: str) -> None:
    everywhere = {
        action
        for place, policy in of_type(catalog(name), "AWS::IAM::ManagedPolicy").items()
        if not place.startswith("bootstrap.")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == "*"
        for action in statement["Action"]
    }

    assert everywhere == {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"}


@pytest.mark.parametrize("name", NAMES)
def test_no_grant_is_for_every_action_of_a_service(name: str) -> None:
    actions = {
        action
        for policy in of_type(catalog(name), "AWS::IAM::ManagedPolicy").values()
        if policy.get("Roles")  # a boundary grants nothing
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }

    assert not [action for action in actions if "*" in action]
