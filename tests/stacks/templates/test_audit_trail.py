"""Who read the server's key is written down where nobody can change it unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.naming import trail_bucket, trail_name
from tests.stacks.environments import catalog, environment
from tests.stacks.templates.reading import properties, statements

TRAIL_ARN = "arn:aws:cloudtrail:us-east-1:444455556666:trail/mtls-ingress-production-audit"


def of(logical_id: str) -> Mapping[str, Any]:
    return properties(catalog("production"), "audit_trail", logical_id)


def test_there_is_a_trail_only_where_the_file_says_so() -> None:
    assert "audit_trail" in {entry.name for entry in catalog("production").stacks}
    assert "audit_trail" not in {entry.name for entry in catalog("local").stacks}


def test_the_trail_goes_into_a_bucket_of_its_own_under_a_key_of_its_own() -> None:
    trail = of("Trail")

    assert trail["TrailName"] == trail_name(environment("production"))
    assert of("TrailBucket")["BucketName"] == trail_bucket(environment("production"))
    assert trail["S3BucketName"] == {"Ref": "TrailBucket"}
    assert trail["KMSKeyId"] == {"Fn::GetAtt": ["TrailKey", "Arn"]}


def test_the_trail_has_every_call_and_every_read_of_the_key() -> None:
    selectors = of("Trail")["AdvancedEventSelectors"]
    fields = [
        {each["Field"]: each.get("Equals") or each["StartsWith"] for each in one["FieldSelectors"]} for one in selectors
    ]

    assert {"eventCategory": ["Management"]} in fields
    assert {
        "eventCategory": ["Data"],
        "resources.type": ["AWS::S3::Object"],
        "resources.ARN": [{"Fn::Sub": "arn:aws:s3:::${CertificateBucketName}/"}],
    } in fields


def test_no_other_trail_writes_there() -> None:
    bucket = statements(of("TrailBucketPolicy")["PolicyDocument"])
    key = statements(of("TrailKey")["KeyPolicy"])

    for statement in (bucket["TrailAsks"], bucket["TrailWrites"], key["TrailEncrypts"], key["TrailLooksAtTheKey"]):
        assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert statement["Condition"]["StringEquals"]["aws:SourceArn"] == TRAIL_ARN


def test_what_is_removed_by_hand_stays_for_as_long_as_the_trail_is_kept() -> None:
    (expiry, _) = of("TrailBucket")["LifecycleConfiguration"]["Rules"]

    assert expiry["ExpirationInDays"] == expiry["NoncurrentVersionExpiration"]["NoncurrentDays"] == 2192
