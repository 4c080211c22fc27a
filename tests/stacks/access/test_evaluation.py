"""
Who must allow, and what goes before.

Page titles are those of the IAM guide where no other guide is named.
"""

from __future__ import annotations

from typing import Any

import pytest

from stacks.access.evaluation import evaluate
from stacks.access.request import Principal, PrincipalKind, Request, Verdict
from tests.stacks.access.asking import (
    ACCOUNT,
    ALLOW_ALL,
    ANONYMOUS,
    BUCKET,
    KEY,
    OBJECT,
    OTHER_ACCOUNT,
    ROLE,
    SESSION,
    USER,
    ask,
    attached,
    bucket_policy,
    key_policy,
    role,
    root,
    service,
    statement,
    trust_policy,
    user,
)

TO_ALL = statement(Sid="ToAll", Principal="*")
TO_ACCOUNT = statement(Sid="ToAccount", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
TO_ROLE = statement(Sid="ToRole", Principal={"AWS": ROLE})
TO_SESSION = statement(Sid="ToSession", Principal={"AWS": SESSION})
TO_USER = statement(Sid="ToUser", Principal={"AWS": USER})
DENY_ALL = statement("Deny", Sid="No", Principal="*")
NARROW = attached(statement(Action="kms:*"), name="boundary")
WIDE = attached(ALLOW_ALL, name="boundary")


# -- within one account: "Policy evaluation for requests within a single account" ---------


def test_nothing_is_allowed_by_default() -> None:
    decision = ask(role())

    assert decision.verdict is Verdict.NOT_ALLOWED
    assert decision.statement == f"no policy of {ROLE} allows s3:GetObject"


def test_an_identity_policy_is_enough() -> None:
    assert ask(role(ALLOW_ALL)).statement == "mine.All"
    assert ask(role(ALLOW_ALL), bucket_policy(statement(Principal={"AWS": USER}))).is_allowed


@pytest.mark.parametrize("to", [TO_ALL, TO_ROLE, TO_SESSION], ids=lambda to: to["Sid"])
def test_a_bucket_policy_is_enough(to: dict[str, object]) -> None:
    assert ask(role(), bucket_policy(to)).statement == f"bucket.{to['Sid']}"


def test_a_bucket_policy_that_names_the_account_leaves_it_to_identity_policies() -> None:
    """IAM guide, "AWS JSON policy elements: Principal": it delegates authority to the account."""
    assert not ask(role(), bucket_policy(TO_ACCOUNT)).is_allowed
    assert ask(role(ALLOW_ALL), bucket_policy(TO_ACCOUNT)).is_allowed


@pytest.mark.parametrize(
    "principal",
    [
        role(ALLOW_ALL, statement("Deny", Sid="No")),
        role(ALLOW_ALL, boundary=attached(ALLOW_ALL, statement("Deny", Sid="No"), name="boundary")),
    ],
    ids=["identity", "boundary"],
)
def test_an_explicit_denial_of_its_own_overrides_every_allow(principal: Principal) -> None:
    decision = ask(principal, bucket_policy(TO_ALL, TO_SESSION))

    assert decision.verdict is Verdict.DENIED
    assert decision.statement.endswith(".No")


@pytest.mark.parametrize(
    "named",
    ["*", {"AWS": "*"}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": ROLE}, {"AWS": SESSION}],
)
def test_a_denial_of_the_resource_overrides_every_allow(named: object) -> None:
    decision = ask(role(ALLOW_ALL), bucket_policy(TO_ROLE, statement("Deny", Sid="No", Principal=named)))

    assert (decision.verdict, decision.statement) == (Verdict.DENIED, "bucket.No")


@pytest.mark.parametrize("named", [{"AWS": OTHER_ACCOUNT}, {"AWS": USER}, {"AWS": SESSION + "2"}, {"AWS": ROLE + "2"}])
def test_a_denial_of_somebody_else_is_none(named: object) -> None:
    assert ask(role(ALLOW_ALL), bucket_policy(statement("Deny", Principal=named))).is_allowed


# -- boundaries: "Permissions boundaries for IAM entities", "Policy evaluation logic" --------


def test_a_boundary_limits_identity_policies_and_grants_nothing() -> None:
    decision = ask(role(ALLOW_ALL, boundary=NARROW))

    assert decision.statement == "the boundary boundary does not allow it"
    assert ask(role(ALLOW_ALL, boundary=WIDE)).is_allowed
    assert not ask(role(boundary=WIDE)).is_allowed


def test_a_boundary_limits_what_a_resource_allows_the_role() -> None:
    """IAM guide, "Policy evaluation logic": a grant to a role's ARN is limited by an implicit deny in its boundary."""
    assert not ask(role(boundary=NARROW), bucket_policy(TO_ROLE)).is_allowed
    assert ask(role(boundary=WIDE), bucket_policy(TO_ROLE)).is_allowed


def test_a_boundary_does_not_limit_what_a_resource_allows_a_session_a_user_or_everybody() -> None:
    """IAM guide, "Policy evaluation logic": what is granted directly is not limited by an implicit deny elsewhere."""
    assert ask(role(boundary=NARROW), bucket_policy(TO_SESSION)).is_allowed
    assert ask(user(boundary=NARROW), bucket_policy(TO_USER)).is_allowed
    assert ask(role(boundary=NARROW), bucket_policy(TO_ALL)).is_allowed


def test_a_boundary_does_not_limit_what_everybody_of_an_arn_is_allowed() -> None:
    """IAM guide, "Policy evaluation logic": a grant by aws:PrincipalArn to a wildcard principal passes the boundary."""
    by_condition = TO_ALL | {"Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE}}}

    assert ask(role(boundary=NARROW), bucket_policy(by_condition)).is_allowed
    assert not ask(user(boundary=NARROW), bucket_policy(by_condition)).is_allowed


def test_what_names_the_account_is_limited_by_the_boundary() -> None:
    assert not ask(role(ALLOW_ALL, boundary=NARROW), bucket_policy(TO_ACCOUNT)).is_allowed


# -- between accounts: "Cross-account policy evaluation logic" -----------------------------


@pytest.mark.parametrize("named", ["*", {"AWS": OTHER_ACCOUNT}, {"AWS": ROLE.replace(ACCOUNT, OTHER_ACCOUNT)}])
def test_between_accounts_both_must_allow(named: object) -> None:
    shared = bucket_policy(statement(Principal=named))

    assert ask(role(ALLOW_ALL, account=OTHER_ACCOUNT), shared).is_allowed
    assert not ask(role(account=OTHER_ACCOUNT), shared).is_allowed
    assert not ask(role(ALLOW_ALL, account=OTHER_ACCOUNT)).is_allowed
    assert not ask(role(ALLOW_ALL, account=OTHER_ACCOUNT), bucket_policy(TO_ACCOUNT)).is_allowed
    assert not ask(role(ALLOW_ALL, account=OTHER_ACCOUNT, boundary=NARROW), shared).is_allowed


# -- the root user -----------------------------------------------------------------------


def test_the_root_user_needs_no_allow_but_is_denied_by_a_resource() -> None:
    assert ask(root()).is_allowed
    assert ask(root(), bucket_policy(DENY_ALL)).verdict is Verdict.DENIED


@pytest.mark.parametrize("action", ["s3:PutBucketPolicy", "s3:GetBucketPolicy", "s3:DeleteBucketPolicy"])
def test_no_bucket_policy_keeps_the_root_user_of_its_account_from_repairing_it(action: str) -> None:
    """S3 API, PutBucketPolicy: only endpoint policies and those of the organization can."""
    lock = bucket_policy(DENY_ALL)
    through = Request(root(), action, BUCKET, ACCOUNT, endpoint_policies=[attached(DENY_ALL, name="endpoint")])

    assert ask(root(), lock, action=action, resource=BUCKET).is_allowed
    assert not ask(root(OTHER_ACCOUNT), lock, action=action, resource=BUCKET).is_allowed
    assert evaluate(through, [lock]).statement == "endpoint.No"


def test_the_root_user_of_another_account_needs_the_resources_allow() -> None:
    assert not ask(root(OTHER_ACCOUNT)).is_allowed
    assert ask(root(OTHER_ACCOUNT), bucket_policy(statement(Principal={"AWS": OTHER_ACCOUNT}))).is_allowed


def test_the_root_user_takes_no_role() -> None:
    """STS API, AssumeRole."""
    trust = trust_policy(statement(Principal={"AWS": ACCOUNT}, Resource=None))

    assert not ask(root(), trust, action="sts:AssumeRole", resource=ROLE).is_allowed


# -- keys: KMS guide, "Key policies in AWS KMS", "Default key policy" -------------------------

DECRYPT = {"action": "kms:Decrypt", "resource": KEY}


def test_an_identity_policy_alone_opens_no_key() -> None:
    decision = ask(role(ALLOW_ALL), key_policy(TO_USER), **DECRYPT)

    assert decision.statement == f"no statement of key allows {ROLE} kms:Decrypt"


def test_a_key_policy_that_names_the_account_lets_identity_policies_count() -> None:
    assert ask(role(ALLOW_ALL), key_policy(TO_ACCOUNT), **DECRYPT).statement == "mine.All"
    assert not ask(role(), key_policy(TO_ACCOUNT), **DECRYPT).is_allowed
    only_describe = TO_ACCOUNT | {"Action": "kms:Describe*"}
    assert not ask(role(ALLOW_ALL), key_policy(only_describe), **DECRYPT).is_allowed


def test_a_key_policy_that_names_the_role_is_enough() -> None:
    assert ask(role(), key_policy(TO_ROLE), **DECRYPT).is_allowed
    assert not ask(role(boundary=attached(statement(Action="s3:*"))), key_policy(TO_ROLE), **DECRYPT).is_allowed


def test_a_key_may_be_shut_to_the_root_user() -> None:
    """KMS guide, "Default key policy": no principal, the root user included, has a permission it is not given."""
    assert not ask(root(), key_policy(TO_ROLE), **DECRYPT).is_allowed
    assert ask(root(), key_policy(TO_ACCOUNT), **DECRYPT).is_allowed


def test_a_key_is_opened_through_a_service_for_a_context() -> None:
    """KMS guide, "AWS KMS condition keys": kms:ViaService, kms:EncryptionContext."""
    when = {
        "StringEquals": {
            "kms:ViaService": "s3.us-east-1.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": BUCKET,
            "kms:CallerAccount": ACCOUNT,
        }
    }
    reader, policy = role(statement(Condition=when)), key_policy(TO_ACCOUNT)
    through = {"kms:viaservice": "s3.us-east-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": BUCKET}

    def decrypt(context: dict[str, str]) -> bool:
        return evaluate(Request(reader, "kms:Decrypt", KEY, ACCOUNT, context), [policy]).is_allowed

    assert decrypt(through)
    assert not decrypt({})
    assert not decrypt(through | {"kms:EncryptionContext:aws:s3:arn": OBJECT})


# -- roles: "How to use trust policies with IAM roles" -----------------------------------

TAKE = {"action": "sts:AssumeRole", "resource": f"arn:aws:iam::{ACCOUNT}:role/taken"}


def trusting(principal: object, **elements: Any) -> dict[str, Any]:
    return statement(Action="sts:AssumeRole", Principal=principal, Resource=None, **elements)


def test_a_trust_policy_must_allow() -> None:
    assert not ask(role(ALLOW_ALL), trust_policy(trusting({"AWS": USER})), **TAKE).is_allowed
    assert ask(role(ALLOW_ALL), trust_policy(trusting({"AWS": ACCOUNT})), **TAKE).is_allowed
    assert not ask(role(), trust_policy(trusting({"AWS": ACCOUNT})), **TAKE).is_allowed
    assert ask(role(), trust_policy(trusting({"AWS": ROLE})), **TAKE).is_allowed


def test_a_trust_policy_may_ask_for_a_second_factor() -> None:
    """IAM guide, "Configuring MFA-protected API access": the key is absent for keys that never expire."""
    trust = trust_policy(trusting({"AWS": ACCOUNT}, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))

    assert ask(user(ALLOW_ALL), trust, **TAKE, aws__MultiFactorAuthPresent="true").is_allowed
    assert not ask(user(ALLOW_ALL), trust, **TAKE, aws__MultiFactorAuthPresent="false").is_allowed
    assert not ask(user(ALLOW_ALL), trust, **TAKE).is_allowed


def test_a_service_and_an_identity_provider_are_trusted_by_name() -> None:
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    web = Principal(PrincipalKind.FEDERATED, provider, "")
    trust = trust_policy(
        trusting({"Service": "ecs-tasks.amazonaws.com"}),
        trusting({"Federated": provider}) | {"Action": "sts:AssumeRoleWithWebIdentity"},
    )

    assert ask(service("ecs-tasks.amazonaws.com"), trust, **TAKE).is_allowed
    assert not ask(service("ec2.amazonaws.com"), trust, **TAKE).is_allowed
    assert ask(web, trust, action="sts:AssumeRoleWithWebIdentity", resource=TAKE["resource"]).is_allowed
    assert not ask(web, trust, **TAKE).is_allowed


# -- services, nobody, and everybody but some ----------------------------------------------


def test_a_service_needs_the_resources_allow_and_is_part_of_everybody() -> None:
    logs = service("logs.us-east-1.amazonaws.com")
    named = statement(Principal={"Service": ["logs.us-east-1.amazonaws.com"]})

    assert not ask(logs).is_allowed
    assert ask(logs, bucket_policy(named)).is_allowed
    assert ask(logs, bucket_policy(named, DENY_ALL)).verdict is Verdict.DENIED


def test_a_denial_can_leave_out_services() -> None:
    """IAM guide, "AWS global condition context keys": aws:PrincipalIsAWSService, aws:PrincipalServiceName."""
    when = {"Bool": {"aws:PrincipalIsAWSService": "false"}}
    lock = [TO_ALL, DENY_ALL | {"Condition": when}]

    assert ask(service("logs.amazonaws.com"), bucket_policy(*lock)).is_allowed
    assert not ask(role(), bucket_policy(*lock)).is_allowed
    by_name = statement(Principal="*", Condition={"StringEquals": {"aws:PrincipalServiceName": "logs.amazonaws.com"}})
    assert ask(service("logs.amazonaws.com"), bucket_policy(by_name)).is_allowed


def test_nobody_in_particular_is_only_everybody() -> None:
    """IAM guide, "AWS JSON policy elements: Principal": `*` grants public access."""
    assert not ask(ANONYMOUS).is_allowed
    assert not ask(ANONYMOUS, bucket_policy(TO_ACCOUNT, TO_ROLE)).is_allowed
    for everybody in ("*", {"AWS": "*"}):
        assert ask(ANONYMOUS, bucket_policy(statement(Principal=everybody))).is_allowed


def test_nobody_in_particular_has_no_arn_and_so_is_unlike_every_reader() -> None:
    lock = statement("Deny", Principal="*", Condition={"ArnNotLike": {"aws:PrincipalArn": ROLE}})

    assert ask(ANONYMOUS, bucket_policy(TO_ALL, lock)).verdict is Verdict.DENIED


@pytest.mark.parametrize(
    ("key", "who", "value"),
    [
        ("aws:PrincipalArn", role(ALLOW_ALL), ROLE),
        ("aws:PrincipalArn", user(ALLOW_ALL), USER),
        ("aws:PrincipalAccount", role(ALLOW_ALL), ACCOUNT),
        ("aws:PrincipalType", role(ALLOW_ALL), "AssumedRole"),
        ("aws:PrincipalType", user(ALLOW_ALL), "User"),
        ("aws:PrincipalType", root(), "Account"),
        ("aws:username", user(ALLOW_ALL), "ann"),
        ("aws:PrincipalIsAWSService", role(ALLOW_ALL), "false"),
        ("aws:ResourceAccount", role(ALLOW_ALL), ACCOUNT),
    ],
)
def test_what_follows_from_the_principal_is_in_the_context(key: str, who: Principal, value: str) -> None:
    """IAM guide, "AWS global condition context keys": for a session, aws:PrincipalArn is the role's."""
    lock = statement("Deny", Principal="*", Condition={"StringNotEquals": {key: value}})
    caught = statement("Deny", Principal="*", Condition={"StringEquals": {key: value}})

    assert ask(who, bucket_policy(lock)).is_allowed
    assert not ask(who, bucket_policy(caught)).is_allowed


def test_not_principal_leaves_out_whose_account_role_and_session_are_named() -> None:
    """IAM guide, "AWS JSON policy elements: NotPrincipal"."""

    def locked(*named: str) -> bool:
        lock = statement("Deny", Sid="No", NotPrincipal={"AWS": list(named)})
        return not ask(role(ALLOW_ALL), bucket_policy(lock)).is_allowed

    assert locked(ROLE)
    assert locked(ROLE, ACCOUNT)
    assert locked(SESSION, ROLE)
    assert not locked(SESSION, ROLE, ACCOUNT)
    assert not locked("*")


def test_not_principal_denies_whoever_has_a_boundary() -> None:
    """IAM guide, "Permissions boundaries for IAM entities": it always denies them, whatever it names."""
    lock = bucket_policy(statement("Deny", NotPrincipal={"AWS": [SESSION, ROLE, ACCOUNT]}))

    assert not ask(role(ALLOW_ALL, boundary=WIDE), lock).is_allowed


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        (user(ALLOW_ALL), {"AWS": [USER, ACCOUNT]}),
        (root(), {"AWS": ACCOUNT}),
        (service("logs.amazonaws.com"), {"Service": "logs.amazonaws.com"}),
    ],
)
def test_not_principal_leaves_out_users_root_and_services(principal: Principal, named: object) -> None:
    lock = statement("Deny", NotPrincipal=named)
    others = statement("Deny", NotPrincipal={"AWS": OTHER_ACCOUNT})

    assert ask(principal, bucket_policy(TO_ALL, lock)).is_allowed
    assert not ask(principal, bucket_policy(TO_ALL, others)).is_allowed
    assert not ask(ANONYMOUS, bucket_policy(TO_ALL, lock)).is_allowed


# -- VPC guide, "Control access to VPC endpoints using endpoint policies" -----------------------


def test_an_endpoint_policy_is_one_more_that_must_allow() -> None:
    def through(*statements: dict[str, object]) -> bool:
        policy = attached(*statements, name="endpoint")
        return evaluate(
            Request(role(ALLOW_ALL), "s3:GetObject", OBJECT, ACCOUNT, endpoint_policies=[policy])
        ).is_allowed

    assert through(TO_ALL)
    assert not through(TO_ACCOUNT), "it means the root user alone"
    assert not through(TO_ROLE), "nobody is let through by their ARN"
    assert not through(TO_ALL | {"Action": "s3:PutObject"})
    assert not through(TO_USER)
    assert not through(TO_ALL, DENY_ALL)


def test_an_endpoint_policy_that_names_an_account_lets_its_root_user_through() -> None:
    policy = attached(TO_ACCOUNT, name="endpoint")

    assert evaluate(Request(root(), "s3:GetObject", OBJECT, ACCOUNT, endpoint_policies=[policy])).is_allowed


def test_an_endpoint_policy_grants_nothing() -> None:
    policy = attached(TO_ALL, name="endpoint")

    assert not evaluate(Request(role(), "s3:GetObject", OBJECT, ACCOUNT, endpoint_policies=[policy])).is_allowed
