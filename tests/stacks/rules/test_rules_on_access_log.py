"""What must hold of the load balancer's access log and of the bucket it goes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from stacks.rules import access_log
from stacks.templates import log_delivery
from tests.stacks.environments import environment
from tests.stacks.rules.cases import Case, Document, Spoil, Templates
from tests.stacks.rules.test_rules_on_load_balancer import PROPERTIES, balancer

LOG = f"{PROPERTIES}.AccessLoggingPolicy"
BUCKET = "certificate_store.LogBucket"
POLICY = "certificate_store.LogBucketPolicy.Properties.PolicyDocument"
BY_SERVICE = "logdelivery.elasticloadbalancing.amazonaws.com"
BY_ACCOUNT = "arn:aws:iam::127311923021:root"


def log(name: str, value: object) -> Spoil:
    """Set a property of the access log."""
    return balancer(f"AccessLoggingPolicy.{name}", value)


def log_bucket(spoil: Callable[[Document], object]) -> Spoil:
    """Change the properties of the log bucket."""
    return lambda templates: spoil(templates.bodies["certificate_store"]["Resources"]["LogBucket"]["Properties"])


def policy(spoil: Callable[[Document], object]) -> Spoil:
    """Change the log bucket's policy."""

    def change(templates: Templates) -> None:
        resources = templates.bodies["certificate_store"]["Resources"]
        spoil(resources["LogBucketPolicy"]["Properties"]["PolicyDocument"])

    return change


def deliveries(principal: str, **said: object) -> Spoil:
    """Change the statements that let somebody deliver; `...` takes a part away."""

    def change(document: Document) -> None:
        for index, statement in enumerate(document["Statement"]):
            if principal in str(statement["Principal"]):
                whole = {name: value for name, value in (statement | said).items() if value is not ...}
                document["Statement"][index] = whole

    return policy(change)


def not_for(principal: str) -> Spoil:
    """Take away the statements that let somebody deliver."""

    def change(document: Document) -> None:
        document["Statement"] = [each for each in document["Statement"] if principal not in str(each["Principal"])]

    return policy(change)


def denied(**said: object) -> Spoil:
    """Add a denial to the policy."""
    arn = "arn:aws:s3:::mtls-ingress-staging-logs-111122223333-us-east-1/*"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": arn} | said
    return policy(lambda document: document["Statement"].append(statement))


def _kms(properties: Document) -> None:
    rule = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    rule["ServerSideEncryptionByDefault"] = {"SSEAlgorithm": "aws:kms"}


def _with_a_key(properties: Document) -> None:
    rule = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] = "alias/aws/s3"


def _without_policy(templates: Templates) -> None:
    del templates.bodies["certificate_store"]["Resources"]["LogBucketPolicy"]


def _by_its_name(templates: Templates) -> None:
    """The name is right and says nothing of the order; nothing else of that stack is needed."""
    log("S3BucketName", "mtls-ingress-staging-logs-111122223333-us-east-1")(templates)
    del templates.bodies["ingress"]["Parameters"]["LogBucketName"]


def _all_in_one(templates: Templates) -> None:
    """Bucket, policy and load balancer in one template, where nothing but a reference to the bucket tells the order."""
    resources = templates.bodies["certificate_store"]["Resources"]
    ingress = templates.bodies["ingress"]
    for name in ("LogBucket", "LogBucketPolicy"):
        ingress["Resources"][name] = resources.pop(name)
    del ingress["Parameters"]["LogBucketName"]
    log("S3BucketName", {"Ref": "LogBucket"})(templates)


def _all_in_one_in_order(templates: Templates) -> None:
    _all_in_one(templates)
    templates.bodies["ingress"]["Resources"]["LoadBalancer"]["DependsOn"] = "LogBucketPolicy"


_logged = access_log.access_is_logged
_first = access_log.the_log_buckets_policy_comes_first
_by_s3 = access_log.the_log_bucket_is_encrypted_by_s3
_admits = access_log.the_log_bucket_admits_the_delivery
_nothing_else = access_log.the_log_bucket_admits_nothing_else
_ANYWHERE = "arn:aws:s3:::mtls-ingress-staging-logs-111122223333-us-east-1/*"
_OUR_SOURCE = {"ArnLike": {"aws:SourceArn": "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/*"}}

CASES = [
    Case(_logged, balancer("AccessLoggingPolicy", ...), f"{LOG}.Enabled"),
    Case(_logged, log("Enabled", "false"), f"{LOG}.Enabled"),
    Case(_logged, log("EmitInterval", 10), f"{LOG}.EmitInterval", "5 or 60"),
    Case(_logged, log("EmitInterval", ...), f"{LOG}.EmitInterval"),
    Case(_logged, log("S3BucketPrefix", "logs/AWSLogs"), f"{LOG}.S3BucketPrefix", "AWSLogs"),
    Case(_logged, log("S3BucketPrefix", "load-balancer/"), f"{LOG}.S3BucketPrefix", "slash"),
    Case(_logged, log("S3BucketPrefix", ...), f"{LOG}.S3BucketPrefix"),
    Case(_first, log("S3BucketName", "somebody-elses"), f"{LOG}.S3BucketName", "somebody-elses"),
    Case(_first, log("S3BucketName", ...), f"{LOG}.S3BucketName", "nothing"),
    Case(_first, _without_policy, BUCKET, "no policy"),
    Case(_first, _by_its_name, f"{LOG}.S3BucketName", "which may come later"),
    Case(_first, _all_in_one, f"{LOG}.S3BucketName", "LogBucketPolicy"),
    Case(_by_s3, log_bucket(_with_a_key), f"{BUCKET}.Properties.BucketEncryption", "AES256"),
    Case(_by_s3, log_bucket(_kms), f"{BUCKET}.Properties.BucketEncryption", "AES256"),
    Case(_admits, not_for(BY_SERVICE), POLICY, BY_SERVICE),
    Case(_admits, not_for(BY_ACCOUNT), POLICY, BY_ACCOUNT),
    Case(_admits, deliveries(BY_ACCOUNT, Principal={"AWS": "arn:aws:iam::127311923012:root"}), POLICY, BY_ACCOUNT),
    Case(_admits, deliveries(BY_ACCOUNT, Condition=_OUR_SOURCE), POLICY, BY_ACCOUNT),
    Case(_admits, deliveries(BY_SERVICE, Principal={"Service": "elasticloadbalancing.amazonaws.com"}), POLICY),
    Case(_admits, deliveries(BY_SERVICE, Action="s3:GetObject"), POLICY),
    Case(_admits, deliveries(BY_SERVICE, Resource=_ANYWHERE.replace("*", "load-balancer/*.gz")), POLICY),
    Case(_admits, deliveries(BY_SERVICE, Condition={"StringEquals": {"aws:SourceAccount": "1"}}), POLICY),
    Case(_admits, deliveries(BY_SERVICE, Effect="allow"), POLICY),
    Case(_admits, log("S3BucketPrefix", "balancer"), POLICY, "not allow"),
    Case(_admits, denied(), POLICY, "denied"),
    Case(_admits, denied(Condition={"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}), POLICY),
    Case(_admits, _without_policy, BUCKET),
    Case(_nothing_else, deliveries(BY_SERVICE, Resource=_ANYWHERE), POLICY, "it may write"),
    Case(
        _nothing_else,
        deliveries(BY_ACCOUNT, Resource=_ANYWHERE.replace("*", "load-balancer/AWSLogs/*")),
        POLICY,
        "AWSLogs/999999999999",
    ),
]


def test_one_template_in_the_right_order_is_right() -> None:
    templates = Templates.of()
    _all_in_one_in_order(templates)

    assert _first(templates.estate()) == []


def test_the_services_statement_may_say_whose_load_balancer_it_is() -> None:
    """It comes with its source; the account of AWS comes without."""
    templates = Templates.of()
    deliveries(BY_SERVICE, Condition=_OUR_SOURCE)(templates)

    assert _admits(templates.estate()) == []


def test_a_region_newer_than_the_accounts_needs_the_service_alone() -> None:
    templates = Templates.of()
    not_for(BY_ACCOUNT)(templates)

    assert _admits(templates.estate(replace(environment(), region="il-central-1"))) == []


def test_both_lists_of_accounts_are_one() -> None:
    """A digit wrong in one of them is noticed; the region it is wrong for is in nobody's tests."""
    assert log_delivery.ACCOUNTS == access_log.ACCOUNTS


@pytest.mark.parametrize(
    ("region", "account"),
    [
        ("us-east-1", "127311923021"),
        ("eu-central-1", "054676820928"),
        ("ap-northeast-3", "383597477331"),
        ("cn-north-1", "638102146993"),
        ("us-gov-west-1", "048591011584"),
        ("me-south-1", "076674570225"),
    ],
)
def test_accounts_are_those_of_the_guide(region: str, account: str) -> None:
    """Of every partition one, as the Classic ELB guide lists them under "Enable access logs"."""
    assert access_log.ACCOUNTS[region] == account


def test_accounts_are_of_twelve_digits_and_each_is_one_regions() -> None:
    assert all(account.isdecimal() and len(account) == 12 for account in access_log.ACCOUNTS.values())
    assert len(set(access_log.ACCOUNTS.values())) == len(access_log.ACCOUNTS) == 26
