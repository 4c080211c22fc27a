"""What a change of a stack, or its end, may do to what holds state."""

from __future__ import annotations

import pytest

from stacks.rules import updates
from tests.stacks.rules.cases import Case, Spoil, Templates, put

SERVICE = "AWS::ECS::Service"


def policy(resource_type: str, name: str, value: object) -> Spoil:
    """Set a policy of a resource, outside of its properties; `...` takes it away."""

    def spoil(templates: Templates) -> None:
        resource = templates.resource(resource_type)
        if value is ...:
            del resource[name]
        else:
            resource[name] = value

    return spoil


def _new_secret(templates: Templates) -> None:
    templates.bodies["observability"]["Resources"]["Late"] = {"Type": "AWS::SecretsManager::Secret"}


CASES = [
    Case(
        updates.what_holds_state_outlives_its_stack,
        policy("AWS::DynamoDB::Table", "DeletionPolicy", "Retain"),
        "client_registry.ClientRegistry.DeletionPolicy",
        "RetainExceptOnCreate",
    ),
    Case(
        updates.what_holds_state_outlives_its_stack,
        policy("AWS::KMS::Key", "DeletionPolicy", "Delete"),
        "certificate_store.",
    ),
    Case(
        updates.what_holds_state_outlives_its_stack,
        policy("AWS::S3::Bucket", "UpdateReplacePolicy", ...),
        "certificate_store.",
        "nothing",
    ),
    Case(updates.what_holds_state_outlives_its_stack, policy("AWS::ECR::Repository", "DeletionPolicy", ...), "images."),
    Case(
        updates.what_holds_state_outlives_its_stack,
        policy("AWS::Logs::LogGroup", "UpdateReplacePolicy", "Delete"),
        "observability.",
    ),
    Case(updates.what_holds_state_outlives_its_stack, _new_secret, "observability.Late.DeletionPolicy"),
    Case(
        updates.a_new_deployment_is_forced_by_a_nonce,
        put(SERVICE, "ForceNewDeployment", {"EnableForceNewDeployment": True}),
        "workload.Service.Properties.ForceNewDeployment.ForceNewDeploymentNonce",
    ),
]


@pytest.mark.parametrize(
    "forced",
    [
        {"EnableForceNewDeployment": True, "ForceNewDeploymentNonce": "2026-11-23"},
        {"EnableForceNewDeployment": False},
    ],
)
def test_a_nonce_or_nothing_forced_is_fine(forced: dict[str, object]) -> None:
    templates = Templates.of()
    put(SERVICE, "ForceNewDeployment", forced)(templates)

    assert updates.a_new_deployment_is_forced_by_a_nonce(templates.estate()) == []
