"""Who deploys can deploy and nothing else, and no role of ours can let itself out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.contract import MANIFEST_KEY, PRIVATE_KEY_KEY
from stacks import naming
from stacks.access.evaluation import evaluate
from stacks.access.request import Principal, PrincipalKind, Request, ResourcePolicy
from stacks.catalog import Catalog, assemble
from stacks.environment import Environment
from stacks.environment_file import parse_environment
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from stacks.rules.principals import EVERYTHING, RoleOfOurs, roles
from tests.stacks.environments import NAMES, catalog, changed_text, environment
from tests.stacks.templates.reading import of_type, properties

STAGING = environment()
ACCOUNT = STAGING.account
CLOUDFORMATION, DEPLOY = naming.role_arn(STAGING, "cloudformation"), naming.role_arn(STAGING, "deploy")
TASK, INSTANCE = naming.role_arn(STAGING, "task"), naming.role_arn(STAGING, "instance")
BOUNDARY = naming.boundary_arn(STAGING)
BUCKET = f"arn:aws:s3:::{naming.certificate_bucket(STAGING)}"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0a1b2c3d-0000-4000-8000-000000000000"
TAG = f"aws:ResourceTag/{naming.STACK_TAG}"
ADMINISTRATOR = f"arn:aws:iam::aws:policy/{EVERYTHING.name}"


@cache
def estate(name: str = "staging") -> Estate:
    return Estate({entry.name: entry.template for entry in catalog(name).every}, Place.of(environment(name)))


def role(arn: str) -> RoleOfOurs:
    (found,) = [each for each in roles(estate()) if each.arn == arn]
    return found


def may(who: str | Principal, action: str, resource: str, **context: str) -> bool:
    """Ask IAM; condition keys are written with two underscores for the colon."""
    principal = role(who).principal if isinstance(who, str) else who
    facts = {key.replace("__", ":"): value for key, value in context.items()}
    return evaluate(Request(principal, action, resource, ACCOUNT, facts)).is_allowed


def with_facts(action: str, resource: str, facts: Mapping[str, str], *, who: str = CLOUDFORMATION) -> bool:
    return evaluate(Request(role(who).principal, action, resource, ACCOUNT, facts)).is_allowed


def policy_of(catalog: Catalog) -> list[Mapping[str, Any]]:
    return [found["PolicyDocument"] for found in of_type(catalog, "AWS::IAM::ManagedPolicy").values()]


# -- CloudFormation's role ---------------------------------------------------------------


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTorrent", "s3:PutObject"])
def test_cloudformation_reads_no_key_even_if_it_were_an_administrator(action: str) -> None:
    promoted = _promoted(CLOUDFORMATION, bounded=False)

    assert not may(CLOUDFORMATION, action, f"{BUCKET}/{PRIVATE_KEY_KEY}")
    assert not may(promoted, action, f"{BUCKET}/{PRIVATE_KEY_KEY}")


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"kms:ViaService": "s3.us-east-1.amazonaws.com"},
        {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com", "kms:ResourceAliases": "the certificate's"},
    ],
    ids=["by itself", "through S3", "through DynamoDB"],
)
def test_cloudformation_decrypts_nothing_of_the_certificates(facts: dict[str, str]) -> None:
    alias = {"the certificate's": naming.key_alias(STAGING, "certificate_store")}
    context: dict[str, Any] = {TAG: "mtls-ingress-staging"} | {
        key: (alias[value],) if value in alias else value for key, value in facts.items()
    }

    for who in (role(CLOUDFORMATION).principal, _promoted(CLOUDFORMATION, bounded=False)):
        assert not evaluate(Request(who, "kms:Decrypt", KEY, ACCOUNT, context)).is_allowed


def test_cloudformation_opens_the_tables_key_for_dynamodb_alone() -> None:
    facts = {TAG: "mtls-ingress-staging", "kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}

    assert with_facts("kms:Decrypt", KEY, facts)
    assert not with_facts("kms:Decrypt", KEY, facts | {TAG: "mtls-ingress-production"})
    assert not with_facts("kms:Decrypt", KEY, facts | {"kms:ViaService": "ec2.us-east-1.amazonaws.com"})


def test_cloudformation_makes_no_role_without_the_boundary() -> None:
    assert may(CLOUDFORMATION, "iam:CreateRole", TASK, iam__PermissionsBoundary=BOUNDARY)
    assert not may(CLOUDFORMATION, "iam:CreateRole", TASK)
    assert not may(CLOUDFORMATION, "iam:CreateRole", TASK, iam__PermissionsBoundary=ADMINISTRATOR)
    assert not may(
        CLOUDFORMATION, "iam:CreateRole", TASK, iam__PermissionsBoundary=naming.deployer_boundary_arn(STAGING)
    )


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:iam::{ACCOUNT}:role/mtls-ingress-staging-task",
        f"arn:aws:iam::{ACCOUNT}:role/mtls-ingress/Admin",
        f"arn:aws:iam::{ACCOUNT}:role/mtls-ingress/mtls-ingress-production-task",
        f"arn:aws:iam::{ACCOUNT}:user/mtls-ingress/mtls-ingress-staging-task",
        CLOUDFORMATION,
        DEPLOY,
    ],
)
@pytest.mark.parametrize(
    "action", ["CreateRole", "UpdateAssumeRolePolicy", "AttachRolePolicy", "DeleteRole", "TagRole"]
)
def test_cloudformation_makes_and_changes_the_roles_of_stacks_alone(arn: str, action: str) -> None:
    """Not those it works as and is called by, nor another environment's, nor one of the name elsewhere."""
    facts = {"iam:PermissionsBoundary": BOUNDARY, "iam:PolicyARN": _our_policy()}

    assert with_facts(f"iam:{action}", TASK, facts)
    assert not with_facts(f"iam:{action}", arn, facts)


def test_cloudformation_attaches_policies_of_ours_and_of_systems_manager_alone() -> None:
    facts = {"iam:PermissionsBoundary": BOUNDARY, "iam:PolicyARN": _our_policy()}
    ssm = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"

    assert with_facts("iam:AttachRolePolicy", INSTANCE, facts | {"iam:PolicyARN": ssm})
    assert not with_facts("iam:AttachRolePolicy", INSTANCE, facts | {"iam:PolicyARN": ADMINISTRATOR})
    assert not with_facts("iam:AttachRolePolicy", INSTANCE, facts | {"iam:PermissionsBoundary": ADMINISTRATOR})


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:DeleteRolePermissionsBoundary", TASK),
        ("iam:PutRolePolicy", TASK),
        ("iam:PutRolePolicy", CLOUDFORMATION),
        ("iam:CreatePolicyVersion", BOUNDARY),
        ("iam:SetDefaultPolicyVersion", BOUNDARY),
        ("iam:DeletePolicy", BOUNDARY),
        ("iam:CreatePolicyVersion", naming.deployer_boundary_arn(STAGING)),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/mtls-ingress/mtls-ingress-staging-bootstrap-X-1"),
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x"),
        ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/x"),
        ("iam:CreateOpenIDConnectProvider", f"arn:aws:iam::{ACCOUNT}:oidc-provider/x"),
        ("iam:AddClientIDToOpenIDConnectProvider", f"arn:aws:iam::{ACCOUNT}:oidc-provider/x"),
        ("iam:UpdateSAMLProvider", f"arn:aws:iam::{ACCOUNT}:saml-provider/x"),
        ("sts:AssumeRole", TASK),
        ("lambda:CreateFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:x"),
        ("organizations:LeaveOrganization", "*"),
    ],
)
def test_cloudformation_cannot_undo_its_own_fences(action: str, resource: str) -> None:
    assert not may(CLOUDFORMATION, action, resource, iam__PermissionsBoundary=BOUNDARY)
    assert not may(_promoted(CLOUDFORMATION), action, resource, iam__PermissionsBoundary=BOUNDARY)


@pytest.mark.parametrize(
    ("arn", "service", "is_handed"),
    [
        (TASK, "ecs-tasks.amazonaws.com", True),
        (naming.role_arn(STAGING, "execution"), "ecs-tasks.amazonaws.com", True),
        (INSTANCE, "ec2.amazonaws.com", True),
        (TASK, "lambda.amazonaws.com", False),
        (TASK, "ec2.amazonaws.com", False),
        (INSTANCE, "ecs-tasks.amazonaws.com", False),
        (naming.role_arn(STAGING, "break-glass"), "ec2.amazonaws.com", False),
        (naming.role_arn(STAGING, "certificate-admin"), "ecs-tasks.amazonaws.com", False),
        (CLOUDFORMATION, "cloudformation.amazonaws.com", False),
        (f"arn:aws:iam::{ACCOUNT}:role/Admin", "ecs-tasks.amazonaws.com", False),
    ],
)
def test_a_role_is_handed_to_its_own_service_alone(arn: str, service: str, *, is_handed: bool) -> None:
    assert may(CLOUDFORMATION, "iam:PassRole", arn, iam__PassedToService=service) is is_handed
    assert not may(CLOUDFORMATION, "iam:PassRole", arn)


def test_service_linked_roles_are_of_the_services_we_use() -> None:
    linked = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x/y"

    assert may(CLOUDFORMATION, "iam:CreateServiceLinkedRole", linked, iam__AWSServiceName="ecs.amazonaws.com")
    assert not may(CLOUDFORMATION, "iam:CreateServiceLinkedRole", linked, iam__AWSServiceName="eks.amazonaws.com")
    assert not may(CLOUDFORMATION, "iam:CreateServiceLinkedRole", linked)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:DeleteBucket", "arn:aws:s3:::mtls-ingress-production-certificate-111122223333-us-east-1"),
        ("dynamodb:DeleteTable", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/mtls-ingress-production-client-registry"),
        ("ecr:DeleteRepository", f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/mtls-ingress-production"),
        ("logs:DeleteLogGroup", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/mtls-ingress/production/service"),
        ("ecs:DeleteCluster", f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/mtls-ingress-production-capacity-C-1"),
        ("sns:DeleteTopic", f"arn:aws:sns:us-east-1:{ACCOUNT}:mtls-ingress-production-alarms"),
        ("ec2:DeleteVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-1"),
        ("ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/sg-1"),
        ("elasticloadbalancing:DeleteLoadBalancer", f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:loadbalancer/x"),
        ("kms:ScheduleKeyDeletion", KEY),
        ("kms:PutKeyPolicy", KEY),
        ("ec2:DeleteVpc", f"arn:aws:ec2:eu-central-1:{ACCOUNT}:vpc/vpc-1"),
    ],
)
def test_what_is_another_environments_is_out_of_reach(action: str, resource: str) -> None:
    facts = {
        "aws:ResourceTag/aws:cloudformation:stack-name": "mtls-ingress-production-x",
        TAG: "mtls-ingress-production",
    }

    assert not with_facts(action, resource, facts)


# -- who deploys ---------------------------------------------------------------------------

STACK = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/mtls-ingress-staging-ingress/0a1b2c3d"


@pytest.mark.parametrize("action", ["CreateChangeSet", "DeleteStack", "RollbackStack", "ContinueUpdateRollback"])
def test_stacks_are_changed_as_their_role_alone(action: str) -> None:
    bootstrap = STACK.replace("-ingress/", "-bootstrap/")

    assert may(DEPLOY, f"cloudformation:{action}", STACK, cloudformation__RoleArn=CLOUDFORMATION)
    assert not may(DEPLOY, f"cloudformation:{action}", STACK)
    assert not may(DEPLOY, f"cloudformation:{action}", STACK, cloudformation__RoleArn=ADMINISTRATOR)
    for other in (bootstrap, STACK.replace("staging", "production"), STACK.replace("mtls-ingress-staging-", "")):
        assert not may(DEPLOY, f"cloudformation:{action}", other, cloudformation__RoleArn=CLOUDFORMATION)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("cloudformation:CreateStack", STACK),
        ("cloudformation:UpdateStack", STACK),
        ("cloudformation:ExecuteChangeSet", STACK.replace("-ingress/", "-bootstrap/")),
        ("iam:CreateRole", TASK),
        ("iam:AttachRolePolicy", DEPLOY),
        ("iam:UpdateAssumeRolePolicy", DEPLOY),
        ("sts:AssumeRole", naming.role_arn(STAGING, "certificate-admin")),
        ("s3:GetObject", f"{BUCKET}/{PRIVATE_KEY_KEY}"),
        ("s3:PutBucketPolicy", BUCKET),
        ("kms:Decrypt", KEY),
        ("dynamodb:GetItem", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/mtls-ingress-staging-client-registry"),
        ("ecr:PutImage", f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/mtls-ingress-production"),
        ("ecs:UpdateService", f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/mtls-ingress-staging-capacity-C/x"),
        ("ecs:ExecuteCommand", f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/mtls-ingress-staging-capacity-C/x"),
        ("ssm:StartSession", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1"),
    ],
)
def test_who_deploys_does_nothing_by_themselves(action: str, resource: str) -> None:
    assert not may(DEPLOY, action, resource)


def test_who_deploys_hands_one_role_to_one_service() -> None:
    assert may(DEPLOY, "iam:PassRole", CLOUDFORMATION, iam__PassedToService="cloudformation.amazonaws.com")
    assert not may(DEPLOY, "iam:PassRole", CLOUDFORMATION, iam__PassedToService="ec2.amazonaws.com")
    assert not may(DEPLOY, "iam:PassRole", CLOUDFORMATION)
    assert not may(DEPLOY, "iam:PassRole", TASK, iam__PassedToService="cloudformation.amazonaws.com")


def test_who_deploys_reads_the_manifest_and_rolls_the_groups_instances() -> None:
    name = "mtls-ingress-staging-capacity-AutoScalingGroup-1"
    group = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/{name}"
    ours = {"aws:ResourceTag/aws:cloudformation:stack-name": "mtls-ingress-staging-capacity"}

    assert may(DEPLOY, "s3:GetObject", f"{BUCKET}/{MANIFEST_KEY}")
    assert with_facts("autoscaling:StartInstanceRefresh", group, ours, who=DEPLOY)
    assert not with_facts("autoscaling:StartInstanceRefresh", group, {}, who=DEPLOY)


# -- how they are become ---------------------------------------------------------------------


def assumes(environment: Environment, caller: Principal, action: str, **context: str) -> bool:
    """Ask the deploy role's trust policy."""
    found = Estate({entry.name: entry.template for entry in assemble(environment).every}, Place.of(environment))
    (deploy,) = [each for each in roles(found) if each.arn == naming.role_arn(environment, "deploy")]
    facts = {key.replace("__", ":").replace("github", ISSUER): value for key, value in context.items()}
    request = Request(caller, action, deploy.arn, environment.account, facts)
    trust: list[ResourcePolicy] = [deploy.trust]
    return evaluate(request, trust).is_allowed


ISSUER = "token.actions.githubusercontent.com"
GITHUB = '\n[deployer]\ngithub_repository = "example/ingress"\n'


def with_deployer(text: str) -> Environment:
    return parse_environment(changed_text() + text, Path("staging.toml"))


def _person(name: str = "Deployers") -> Principal:
    return Principal(PrincipalKind.ROLE, f"arn:aws:iam::{ACCOUNT}:role/{name}", ACCOUNT, policies=(EVERYTHING,))


def test_named_principals_alone_become_who_deploys() -> None:
    named = with_deployer(f'\n[deployer]\nprincipals = ["arn:aws:iam::{ACCOUNT}:role/Deployers"]\n')

    assert assumes(named, _person(), "sts:AssumeRole")
    assert assumes(named, _person(), "sts:SetSourceIdentity")
    assert not assumes(named, _person("Developers"), "sts:AssumeRole")
    assert assumes(STAGING, _person("Developers"), "sts:AssumeRole")


def _trust(environment: Environment) -> list[Mapping[str, Any]]:
    found = properties(assemble(environment), "bootstrap", "DeployRole")["AssumeRolePolicyDocument"]
    return list(found["Statement"])


def test_workflows_of_one_environment_of_one_repository_become_who_deploys() -> None:
    _, workflows = _trust(with_deployer(GITHUB))

    assert workflows == {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": "repo:example/ingress:environment:staging",
            }
        },
    }
    assert len(_trust(STAGING)) == 1


@pytest.mark.parametrize(("provider", "made"), [("create", 1), ("existing", 0)])
def test_githubs_provider_is_made_unless_it_is_there(provider: str, made: int) -> None:
    """An account has one at most, whatever the number of its environments."""
    found = assemble(with_deployer(f'{GITHUB}github_provider = "{provider}"\n'))

    assert len(of_type(found, "AWS::IAM::OIDCProvider")) == made


@pytest.mark.parametrize("name", NAMES)
def test_sessions_of_people_last_an_hour_at_most(name: str) -> None:
    for place, found in of_type(catalog(name), "AWS::IAM::Role").items():
        if found["AssumeRolePolicyDocument"]["Statement"][0]["Principal"].get("AWS"):
            assert found["MaxSessionDuration"] <= 3600, place


# -- the bounds ----------------------------------------------------------------------------------


def _promoted(arn: str, *, bounded: bool = True) -> Principal:
    """Attach everything to a role, as somebody might who found a way; its denials stay."""
    found = role(arn).principal
    return Principal(
        found.kind,
        found.arn,
        found.account,
        policies=(*found.policies, EVERYTHING),
        boundary=found.boundary if bounded else None,
    )


def _our_policy() -> str:
    return f"arn:aws:iam::{ACCOUNT}:policy/mtls-ingress/mtls-ingress-staging-identity-ExecutionPolicy-1"


SERVING = [each.arn for each in roles(estate()) if each.arn not in {CLOUDFORMATION, DEPLOY}]


@pytest.mark.parametrize("arn", SERVING, ids=lambda arn: arn.rpartition("-")[2])
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:CreateRole", TASK),
        ("iam:PassRole", TASK),
        ("iam:PutRolePolicy", TASK),
        ("iam:DeleteRolePermissionsBoundary", TASK),
        ("iam:CreatePolicyVersion", BOUNDARY),
        ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/x"),
        ("sts:AssumeRole", naming.role_arn(STAGING, "break-glass")),
        ("cloudformation:CreateStack", STACK),
        ("lambda:CreateFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:x"),
        ("ec2:RunInstances", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*"),
        ("ssm:SendCommand", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1"),
        ("ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/secret"),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:x"),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/key.pem"),
        ("dynamodb:GetItem", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/others"),
        ("dynamodb:PutItem", f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/mtls-ingress-staging-client-registry"),
    ],
)
def test_no_grant_lets_a_role_that_serves_out_of_its_bounds(arn: str, action: str, resource: str) -> None:
    assert not may(_promoted(arn), action, resource, iam__PermissionsBoundary=BOUNDARY)


@pytest.mark.parametrize("name", NAMES)
def test_bounds_let_through_every_grant(name: str) -> None:
    """A grant beyond the bound is a role that fails on AWS and nowhere before."""
    cut = [
        f"{each.arn}: {statement['Sid']}: {action} on {resource}"
        for each in roles(estate(name))
        for policy in each.sources.values()
        for statement in policy.resource.get(policy.path)["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in _listed(statement["Resource"])
        if not _is_within(each.principal, action, resource)
    ]

    assert cut == []


def _is_within(principal: Principal, action: str, resource: str) -> bool:
    everything = Principal(
        principal.kind, principal.arn, principal.account, policies=(EVERYTHING,), boundary=principal.boundary
    )
    facts = {"kms:GrantIsForAWSResource": "true"}
    return evaluate(Request(everything, action, resource, principal.account, facts)).is_allowed


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_role_is_bounded_and_has_at_most_ten_policies(name: str) -> None:
    """Ten is IAM's quota for a role until somebody asks for more."""
    for each in roles(estate(name)):
        assert each.principal.boundary is not None, each.arn
        assert len(each.principal.policies) <= 10, each.arn


@pytest.mark.parametrize("name", NAMES)
def test_no_policy_is_longer_than_iam_takes(name: str) -> None:
    """6,144 characters without white space (IAM quotas)."""
    lengths = [len(json.dumps(document, separators=(",", ":"))) for document in policy_of(catalog(name))]

    assert max(lengths) <= 6144


def test_an_operators_own_boundary_takes_the_place_of_ours() -> None:
    own = f"arn:aws:iam::{ACCOUNT}:policy/OrganizationBoundary"
    found = assemble(with_deployer(f'\n[deployer]\npermissions_boundary = "{own}"\n'))

    assert {each["PermissionsBoundary"] for each in of_type(found, "AWS::IAM::Role").values()} == {own}
    assert not [each for each in of_type(found, "AWS::IAM::ManagedPolicy").values() if "ManagedPolicyName" in each]


def test_the_boundaries_are_there_before_the_roles_that_wear_them() -> None:
    """They are said by their ARN, in which CloudFormation sees no reference."""
    found = catalog()["bootstrap"].template["Resources"]

    assert all(
        found[each]["DependsOn"] == ["Boundary", "DeployerBoundary"] for each in ("CloudFormationRole", "DeployRole")
    )
