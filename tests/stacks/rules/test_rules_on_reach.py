"""How far grants reach: no further than the environment's own things."""

from __future__ import annotations

from collections.abc import Callable

from stacks.rules import reach
from tests.stacks.rules.cases import Case, Document, Spoil, Templates

GRANTS = reach.grants_reach_no_further_than_the_environment
BOUNDS = reach.bounds_reach_no_further_than_the_environment
ACCOUNT = "111122223333"
IAM = f"arn:aws:iam::{ACCOUNT}"
HERE = f"us-east-1:{ACCOUNT}"
TAG = "aws:ResourceTag/mtls-ingress:environment"


def _said(logical_id: str, sid: str, change: Callable[[Document], object]) -> Spoil:
    """Change a statement of a policy of the bootstrap stack."""

    def spoil(templates: Templates) -> None:
        document = templates.bodies["bootstrap"]["Resources"][logical_id]["Properties"]["PolicyDocument"]
        (statement,) = [each for each in document["Statement"] if each["Sid"] == sid]
        change(statement)

    return spoil


def _on(logical_id: str, sid: str, *resources: str) -> Spoil:
    return _said(logical_id, sid, lambda statement: statement.update(Resource=list(resources)))


def _when(logical_id: str, sid: str, **condition: Document) -> Spoil:
    """Put other conditions in the place of a statement's, or none."""
    return _said(logical_id, sid, lambda statement: statement.update(Condition=condition))


def _reaches(rule: object, logical_id: str, sid: str, *resources: str) -> Case:
    return Case(rule, _on(logical_id, sid, *resources), f"bootstrap.{logical_id}", "of this environment alone")  # type: ignore[arg-type]


CASES = [
    _reaches(GRANTS, "DeployStacks", "GoThroughWithIt", f"arn:aws:cloudformation:{HERE}:stack/mtls-ingress-*/*"),
    _reaches(GRANTS, "DeployStacks", "ChangeStacksAsTheirRole", f"arn:aws:cloudformation:{HERE}:stack/*/*"),
    _reaches(GRANTS, "DeployImageAndWatch", "PushImage", f"arn:aws:ecr:{HERE}:repository/*"),
    _reaches(GRANTS, "ExecutionIdentity", "KeepRoles", f"{IAM}:role/mtls-ingress/*"),
    _reaches(GRANTS, "ExecutionIdentity", "KeepPolicies", f"{IAM}:policy/*"),
    # Without the hyphen behind it, the name is also how another environment's begins.
    _reaches(GRANTS, "ExecutionIdentity", "KeepPolicies", f"{IAM}:policy/mtls-ingress/mtls-ingress-staging*"),
    _reaches(GRANTS, "ExecutionIdentity", "KeepInstanceProfiles", f"{IAM}:instance-profile/mtls-ingress/*"),
    _reaches(GRANTS, "ExecutionStores", "KeepBuckets", "arn:aws:s3:::mtls-ingress-*"),
    _reaches(GRANTS, "ExecutionStores", "KeepBuckets", "arn:aws:s3:::somebody-elses"),
    _reaches(GRANTS, "ExecutionStores", "NameKeys", f"arn:aws:kms:{HERE}:alias/*"),
    _reaches(GRANTS, "ExecutionCapacity", "FindImage", f"arn:aws:ssm:{HERE}:parameter/*"),
    _reaches(GRANTS, "ExecutionCapacity", "KeepGroup", f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*"),
    _reaches(GRANTS, "ExecutionObservability", "KeepTrail", f"arn:aws:cloudtrail:{HERE}:trail/*"),
    _reaches(GRANTS, "ExecutionObservability", "KeepAlarms", f"arn:aws:cloudwatch:{HERE}:alarm:*"),
    _reaches(GRANTS, "ExecutionObservability", "KeepAlarms", f"arn:aws:cloudwatch:{HERE}:alarm:TargetTracking-*"),
    _reaches(GRANTS, "ExecutionObservability", "KeepLogs", f"arn:aws:logs:{HERE}:log-group:/mtls-ingress/*"),
    _reaches(GRANTS, "ExecutionObservability", "KeepRules", f"arn:aws:events:{HERE}:rule/*"),
    Case(GRANTS, _when("ExecutionStores", "KeepKeys"), "bootstrap.ExecutionStores", "kms:"),
    Case(
        GRANTS,
        _when("ExecutionStores", "KeepKeys", StringLike={TAG: "mtls-ingress-*"}),
        "bootstrap.ExecutionStores",
        "kms:",
    ),
    Case(
        GRANTS,
        _when("ExecutionStores", "HandKeysToServices", Bool={"kms:GrantIsForAWSResource": True}),
        "bootstrap.ExecutionStores",
        "kms:CreateGrant",
    ),
    # Whoever may put the tag on any key makes any key their own.
    Case(
        GRANTS,
        _when(
            "ExecutionStores",
            "TagKeysThatAreMade",
            StringEquals={"aws:RequestTag/mtls-ingress:environment": "mtls-ingress-staging"},
        ),
        "bootstrap.ExecutionStores",
        "kms:TagResource",
    ),
    Case(GRANTS, _when("ExecutionNetwork", "ChangeOurOwn"), "bootstrap.ExecutionNetwork", "ec2:"),
    Case(GRANTS, _when("ExecutionNetwork", "TagWhatIsMade"), "bootstrap.ExecutionNetwork", "ec2:CreateTags"),
    Case(GRANTS, _when("ExecutionIngress", "KeepOurLoadBalancer"), "bootstrap.ExecutionIngress", "elasticload"),
    _reaches(BOUNDS, "Boundary", "Objects", "*"),
    _reaches(BOUNDS, "Boundary", "Objects", "arn:aws:s3:::mtls-ingress-*"),
    _reaches(BOUNDS, "Boundary", "Registry", f"arn:aws:dynamodb:{HERE}:table/*"),
    _reaches(BOUNDS, "Boundary", "Images", f"arn:aws:ecr:{HERE}:repository/*"),
]
