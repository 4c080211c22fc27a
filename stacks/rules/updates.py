"""The rules on updates: what a change of a stack, or its end, may do to what holds state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stacks.rules.estate import Estate, Fault, Resource
from stacks.rules.register import Entry, exception, kept_elsewhere
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.topology import SERVICE
from stacks.rules.values import flag

_STATEFUL: Final = (
    "AWS::Backup::BackupVault",
    "AWS::CloudTrail::EventDataStore",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
    "AWS::KMS::Key",
    "AWS::KMS::ReplicaKey",
    "AWS::Logs::LogGroup",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
)
_DEMANDED: Final = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


@rule(
    "U2",
    why="a replacement or the stack's end takes certificates, clients, keys or evidence with it; kept after a failed"
    " first creation too, what has a fixed name blocks the next",
    source="CloudFormation guide, DeletionPolicy and UpdateReplacePolicy",
)
def what_holds_state_outlives_its_stack(estate: Estate) -> Iterator[Fault]:
    """What holds state has DeletionPolicy RetainExceptOnCreate and UpdateReplacePolicy Retain."""
    for resource in estate.of_type(*_STATEFUL):
        for name, expected in _DEMANDED.items():
            found = resource.raw.get(name)
            if found != expected:
                shown = "nothing" if found is None else f'"{found}"'
                yield Fault(resource.stack, resource.logical_id, name, shown, f'"{expected}"')


@rule_of(
    SERVICE,
    requirement="U4",
    why="CloudFormation sees no change the second time, and nothing is deployed",
    source="CloudFormation guide, AWS::ECS::Service ForceNewDeployment",
)
def a_new_deployment_is_forced_by_a_nonce(service: Resource) -> Iterator[Fault]:
    """A service that forces a new deployment names a nonce; releases differ by the image's digest (S14)."""
    path = "ForceNewDeployment"
    forced = flag(service.get(f"{path}.EnableForceNewDeployment"))
    if forced and not service.get(f"{path}.ForceNewDeploymentNonce"):
        yield service.fault(f"{path}.ForceNewDeploymentNonce", found=None, expected="a nonce, or nothing forced")


RULES: Final[tuple[Rule, ...]] = (what_holds_state_outlives_its_stack, a_new_deployment_is_forced_by_a_nonce)
ENTRIES: Final[tuple[Entry, ...]] = (
    kept_elsewhere(
        "U1",
        "A change set that replaces or removes something that holds state stops until that is named.",
        why="what is replaced is known from the change set alone",
        instead="`stacks/deployment/plan.py`, by `--allow-replacement LOGICAL_ID`;"
        " `tests/stacks/deployment/test_plan.py`",
    ),
    exception(
        "U3",
        "A stack policy denies replacing and deleting what holds state, and stacks are protected from termination.",
        why="both are settings of a stack that the deployer does not make yet",
        instead="what holds state outlives its stack, and a replacement of it (U2); the deployer stops before either"
        " until it is named (U1); the registry's table is protected from deletion itself (DynamoDB.6)",
    ),
)
