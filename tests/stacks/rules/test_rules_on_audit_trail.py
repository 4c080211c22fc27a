"""A trail that misses what it is for."""

from __future__ import annotations

from typing import Any

from stacks.rules import audit_trail as rules
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, statements

TRAIL = "AWS::CloudTrail::Trail"


def _selectors(templates: Templates) -> tuple[Document, Document]:
    """The one of management events, and the one of the bucket's objects."""
    management, objects = templates.properties(TRAIL)["AdvancedEventSelectors"]
    return management, objects


def management(*fields: Document) -> Spoil:
    return lambda templates: _selectors(templates)[0].update(FieldSelectors=list(fields))


def _writes_only(templates: Templates) -> None:
    _selectors(templates)[1]["FieldSelectors"].append({"Field": "readOnly", "Equals": ["false"]})


def objects(**changes: object) -> Spoil:
    """Change the selector of the objects' ARN."""

    def spoil(templates: Templates) -> None:
        (field,) = (each for each in _selectors(templates)[1]["FieldSelectors"] if each["Field"] == "resources.ARN")
        field.clear()
        field |= {"Field": "resources.ARN", **changes}

    return spoil


def _classic(**selector: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        trail = templates.properties(TRAIL)
        del trail["AdvancedEventSelectors"]
        trail["EventSelectors"] = [selector]

    return spoil


def _kept(name: str, days: object) -> Spoil:
    """Say how long the trail's bucket keeps what is written."""

    def spoil(templates: Templates) -> None:
        bucket = templates.bodies["audit_trail"]["Resources"]["TrailBucket"]["Properties"]
        bucket["LifecycleConfiguration"]["Rules"][0][name] = days

    return spoil


def _key_statement(sid: str, **changes: Any) -> Spoil:
    def spoil(templates: Templates) -> None:
        for key in templates.resources("AWS::KMS::Key"):
            found = statements(key["Properties"]["KeyPolicy"]).get(sid)
            if found is not None:
                found |= changes

    return spoil


def _bucket_statement(sid: str, **changes: Any) -> Spoil:
    def spoil(templates: Templates) -> None:
        for policy in templates.resources("AWS::S3::BucketPolicy"):
            found = statements(policy["Properties"]["PolicyDocument"]).get(sid)
            if found is not None:
                found |= changes

    return spoil


def _after_nothing(templates: Templates) -> None:
    del templates.resource(TRAIL)["DependsOn"]


def _no_policy(templates: Templates) -> None:
    del templates.bodies["audit_trail"]["Resources"]["TrailBucketPolicy"]


def _log(**logging: object) -> Spoil:
    def spoil(templates: Templates) -> None:
        templates.bodies["audit_trail"]["Resources"]["TrailBucket"]["Properties"]["LoggingConfiguration"] = logging

    return spoil


MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}
CALLS, READS, LET_IN, ENCRYPTED = (
    rules.trails_log_every_call,
    rules.trails_log_who_reads_the_key,
    rules.trails_are_let_into_their_bucket,
    rules.trails_are_encrypted,
)
CASES = [
    *(
        Case(rules.trails_are_kept_a_year, _kept(name, days), "audit_trail.TrailBucket", "365 at least")
        for name, days in (("ExpirationInDays", 30), ("NoncurrentVersionExpiration", {"NoncurrentDays": "7"}))
    ),
    Case(CALLS, put(TRAIL, "IsLogging", False), "audit_trail.Trail.Properties.IsLogging"),
    Case(CALLS, put(TRAIL, "IsMultiRegionTrail", ...), "audit_trail.Trail.Properties.IsMultiRegionTrail"),
    Case(CALLS, put(TRAIL, "IncludeGlobalServiceEvents", "false"), "audit_trail.Trail"),
    Case(CALLS, management(MANAGEMENT, {"Field": "readOnly", "Equals": ["false"]}), "audit_trail.Trail"),
    Case(
        CALLS,
        management(MANAGEMENT, {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]}),
        "audit_trail.Trail",
        "leaves none out",
    ),
    Case(CALLS, management({"Field": "eventCategory", "Equals": ["Insight"]}), "audit_trail.Trail"),
    Case(CALLS, put(TRAIL, "AdvancedEventSelectors", ...), "audit_trail.Trail", "management events"),
    Case(CALLS, _classic(ReadWriteType="WriteOnly"), "audit_trail.Trail", "management events"),
    Case(CALLS, _classic(IncludeManagementEvents=False), "audit_trail.Trail", "management events"),
    Case(CALLS, _classic(ExcludeManagementEventSources=["kms.amazonaws.com"]), "audit_trail.Trail"),
    Case(READS, put(TRAIL, "AdvancedEventSelectors", ...), "audit_trail.Trail", "data events"),
    Case(READS, _writes_only, "audit_trail.Trail", "reads and writes"),
    Case(READS, objects(StartsWith=["arn:aws:s3:::another/"]), "audit_trail.Trail"),
    Case(READS, objects(Equals=[{"Fn::Sub": "arn:aws:s3:::${CertificateBucketName}/"}]), "audit_trail.Trail"),
    Case(READS, objects(StartsWith=[{"Fn::Sub": "arn:aws:s3:::${CertificateBucketName}"}]), "audit_trail.Trail"),
    Case(READS, objects(NotStartsWith=["arn:aws:s3:::another/"]), "audit_trail.Trail"),
    Case(READS, _classic(DataResources=[{"Type": "AWS::S3::Object", "Values": []}]), "audit_trail.Trail"),
    Case(rules.trails_can_be_validated, put(TRAIL, "EnableLogFileValidation", False), "audit_trail.Trail"),
    Case(rules.trails_can_be_validated, put(TRAIL, "EnableLogFileValidation", ...), "audit_trail.Trail"),
    Case(ENCRYPTED, put(TRAIL, "KMSKeyId", ...), "audit_trail.Trail", "a key of the templates"),
    Case(ENCRYPTED, put(TRAIL, "KMSKeyId", "alias/aws/s3"), "audit_trail.Trail"),
    Case(ENCRYPTED, _key_statement("TrailEncrypts", Action=["kms:Encrypt"]), "audit_trail.TrailKey", "GenerateDataKey"),
    Case(ENCRYPTED, _key_statement("TrailLooksAtTheKey", Effect="Deny"), "audit_trail.TrailKey", "DescribeKey"),
    Case(
        ENCRYPTED,
        _key_statement(
            "TrailEncrypts", Condition={"StringEquals": {"aws:SourceArn": "arn:aws:cloudtrail:x:1:trail/y"}}
        ),
        "audit_trail.TrailKey",
        "for the trail",
    ),
    Case(ENCRYPTED, _key_statement("TrailEncrypts", Condition={}), "audit_trail.TrailKey", "this trail alone"),
    Case(LET_IN, put(TRAIL, "S3BucketName", "another"), "audit_trail.Trail", "a bucket of the templates"),
    Case(LET_IN, _no_policy, "audit_trail.TrailBucket", "cloudtrail.amazonaws.com"),
    Case(LET_IN, _after_nothing, "audit_trail.Trail.DependsOn", "made before it"),
    Case(LET_IN, _bucket_statement("TrailAsks", Action=["s3:ListBucket"]), "audit_trail", "s3:GetBucketAcl"),
    Case(LET_IN, _bucket_statement("TrailWrites", Resource="arn:aws:s3:::x/*"), "audit_trail", "s3:PutObject"),
    Case(LET_IN, put(TRAIL, "S3KeyPrefix", "ours"), "audit_trail.TrailBucketPolicy", "s3:PutObject"),
    Case(LET_IN, _bucket_statement("TrailWrites", Condition={}), "audit_trail", "this trail alone"),
    Case(rules.requests_to_the_trails_bucket_are_logged, _log(), "audit_trail.TrailBucket", "another bucket"),
    Case(
        rules.requests_to_the_trails_bucket_are_logged,
        _log(DestinationBucketName={"Ref": "TrailBucket"}),
        "audit_trail.TrailBucket",
    ),
]


def test_a_trail_of_classic_selectors_that_log_the_same_is_as_good() -> None:
    templates = Templates.of()
    objects_of_the_bucket = {"Fn::Sub": "arn:aws:s3:::${CertificateBucketName}/"}
    _classic(DataResources=[{"Type": "AWS::S3::Object", "Values": [objects_of_the_bucket]}])(templates)

    assert CALLS(templates.estate()) == READS(templates.estate()) == []


def test_without_a_trail_nothing_is_asked_of_it() -> None:
    """It is made where the environment says so; who needs it is told in the runbooks."""
    templates = Templates.of("local")

    assert templates.resources(TRAIL) == []
    assert [finding for rule in rules.RULES for finding in rule(templates.estate())] == []
