"""The registry can be restored and is found both ways; images never move under their tag."""

from __future__ import annotations

import json

import pytest

from service.contract import CLIENT_INDEX
from tests.stacks.environments import NAMES, catalog
from tests.stacks.templates.reading import properties, statements


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_can_be_gone_back_to_any_second(name: str) -> None:
    table = properties(catalog(name), "client_registry", "ClientRegistry")

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_registry_is_encrypted_with_a_key_of_its_own() -> None:
    table = properties(catalog(), "client_registry", "ClientRegistry")

    assert table["SSESpecification"] == {
        "SSEEnabled": True,
        "SSEType": "KMS",
        "KMSMasterKeyId": {"Fn::GetAtt": ["ClientRegistryKey", "Arn"]},
    }


def test_a_client_is_found_by_fingerprint_and_by_name() -> None:
    table = properties(catalog(), "client_registry", "ClientRegistry")

    assert table["KeySchema"] == [{"AttributeName": "fingerprint", "KeyType": "HASH"}]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == CLIENT_INDEX
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["client", "fingerprint"]
    assert index["Projection"] == {"ProjectionType": "ALL"}


def test_the_task_finds_one_client_and_never_all() -> None:
    found = statements(properties(catalog(), "client_registry", "TaskReadsRegistry")["PolicyDocument"])

    assert found["FindClient"]["Action"] == ["dynamodb:GetItem"]
    assert found["FindClient"]["Resource"].endswith(":table/mtls-ingress-staging-client-registry")


def test_a_tag_names_one_image_for_ever_and_every_image_is_scanned() -> None:
    repository = properties(catalog(), "images", "Repository")

    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["EncryptionConfiguration"] == {
        "EncryptionType": "KMS",
        "KmsKey": {"Fn::GetAtt": ["RepositoryKey", "Arn"]},
    }


def test_old_images_go_by_number() -> None:
    (rule,) = json.loads(properties(catalog(), "images", "Repository")["LifecyclePolicy"]["LifecyclePolicyText"])[
        "rules"
    ]

    assert rule["selection"]["countType"] == "imageCountMoreThan"


def test_the_table_is_made_last() -> None:
    """Deletion protection would keep a creation that fails after it from being taken back."""
    template = catalog("production")["client_registry"].template
    (table,) = [name for name, found in template["Resources"].items() if found["Type"] == "AWS::DynamoDB::Table"]

    before = set(template["Resources"][table]["DependsOn"])

    assert before | {table, "ClientRegistryKey"} == set(template["Resources"])
