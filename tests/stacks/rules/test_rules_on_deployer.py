"""What the two roles of a deployment may, and may not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from stacks.rules import deployer
from tests.stacks.rules.cases import Case, Document, Spoil, Templates

ACCOUNT = "111122223333"
_ROLES = f"arn:aws:iam::{ACCOUNT}:role/mtls-ingress/mtls-ingress-staging"


def _policy(templates: Templates, logical_id: str) -> Document:
    found: Document = templates.bodies["bootstrap"]["Resources"][logical_id]["Properties"]["PolicyDocument"]
    return found


def _said(logical_id: str, sid: str, change: Callable[[Document], object]) -> Spoil:
    """Change a statement of a policy."""

    def spoil(templates: Templates) -> None:
        (statement,) = [each for each in _policy(templates, logical_id)["Statement"] if each["Sid"] == sid]
        change(statement)

    return spoil


def _unsaid(logical_id: str, *sids: str) -> Spoil:
    """Take statements out of a policy."""

    def spoil(templates: Templates) -> None:
        document = _policy(templates, logical_id)
        kept = [each for each in document["Statement"] if each["Sid"] not in sids]
        assert len(kept) + len(sids) == len(document["Statement"])
        document["Statement"] = kept

    return spoil


def _granted(logical_id: str, action: str, resource: object = "*", **condition: Document) -> Spoil:
    """Add a statement to a policy."""
    statement = {"Sid": "More", "Effect": "Allow", "Action": [action], "Resource": resource}
    more = {"Condition": condition} if condition else {}
    return lambda templates: _policy(templates, logical_id)["Statement"].append(statement | more)


def _without_condition(logical_id: str, sid: str) -> Spoil:
    return _said(logical_id, sid, lambda statement: statement.pop("Condition"))


def _also_when(statement: Document, **condition: Document) -> None:
    statement["Condition"].update(condition)


def _operator(logical_id: str, sid: str, operator: str) -> Spoil:
    """Put another operator in the place of the one of a statement's condition."""

    def change(statement: Document) -> None:
        ((_, keys),) = statement["Condition"].items()
        statement["Condition"] = {operator: keys}

    return _said(logical_id, sid, change)


def _value(logical_id: str, sid: str, value: object) -> Spoil:
    """Put another value in the place of the one of a statement's condition."""

    def change(statement: Document) -> None:
        ((operator, keys),) = statement["Condition"].items()
        statement["Condition"] = {operator: dict.fromkeys(keys, value)}

    return _said(logical_id, sid, change)


def _both(*spoils: Spoil) -> Spoil:
    def spoil(templates: Templates) -> None:
        for each in spoils:
            each(templates)

    return spoil


def _unnamed_key(templates: Templates) -> None:
    for body in templates.bodies.values():
        body["Resources"] = {
            name: each for name, each in body["Resources"].items() if each["Type"] != "AWS::KMS::Alias"
        }


def _nothing_read(templates: Templates) -> None:
    for name in ("TaskReadsCertificate",):
        del templates.bodies["certificate_store"]["Resources"][name]


_BOUND = deployer.roles_are_made_with_their_boundary_alone
_FENCES = deployer.nobody_who_deploys_moves_the_fences
_PASS = deployer.each_role_is_handed_to_its_own_service
_KEY = deployer.cloudformation_reads_no_key
_LINKED = deployer.service_linked_roles_are_of_named_services
_NAMED = deployer.who_deploys_is_granted_actions_by_name
_HAND = deployer.stacks_are_handed_to_their_role_alone
_READS = deployer.who_deploys_reads_no_key
_STACK, _DEPLOY = "bootstrap.CloudFormationRole", "bootstrap.DeployRole"
_CREATE = "iam:CreateRole without a boundary"
_UNBOUND = _unsaid("ExecutionDenials", "NeverBoundOtherwise")

CASES = [
    Case(_BOUND, _both(_UNBOUND, _without_condition("ExecutionIdentity", "MakeBoundedRoles")), _STACK, _CREATE),
    Case(
        _BOUND,
        _both(_UNBOUND, _operator("ExecutionIdentity", "MakeBoundedRoles", "StringEqualsIfExists")),
        _STACK,
        _CREATE,
    ),
    Case(
        _BOUND,
        _both(_UNBOUND, _operator("ExecutionIdentity", "MakeBoundedRoles", "StringNotEquals")),
        _STACK,
        "no iam:CreateRole",
    ),
    Case(
        _BOUND,
        _both(
            _UNBOUND,
            _value("ExecutionIdentity", "MakeBoundedRoles", "*"),
            _operator("ExecutionIdentity", "MakeBoundedRoles", "StringLike"),
        ),
        _STACK,
        "iam:CreateRole with any boundary",
    ),
    Case(
        _BOUND, _without_condition("ExecutionIdentity", "GrantToBoundedRoles"), _STACK, "iam:AttachRolePolicy without"
    ),
    Case(_BOUND, _unsaid("ExecutionIdentity", "MakeBoundedRoles"), _STACK, "no iam:CreateRole"),
    Case(
        _BOUND,
        _value("ExecutionIdentity", "MakeBoundedRoles", f"arn:aws:iam::{ACCOUNT}:policy/other"),
        _STACK,
        "no iam:CreateRole",
    ),
    Case(
        _BOUND,
        _unsaid("ExecutionDenials", "NeverTakeOffABoundary"),
        _STACK,
        "no denial of iam:DeleteRolePermissionsBoundary",
    ),
    Case(
        _FENCES, _unsaid("ExecutionDenials", "NeverChangeOwnFences"), _STACK, "no denial of iam:UpdateAssumeRolePolicy"
    ),
    Case(
        _FENCES,
        _said("ExecutionDenials", "NeverChangeOwnFences", lambda each: each.update(Resource=each["Resource"][1:])),
        _STACK,
        "no denial of iam:PutRolePolicy",
    ),
    Case(
        _FENCES,
        _said("ExecutionDenials", "NeverChangeOwnFences", lambda each: each.update(Resource=each["Resource"][:2])),
        _STACK,
        "no denial of iam:CreatePolicyVersion",
    ),
    Case(
        _FENCES,
        _said("ExecutionDenials", "NeverChangeOwnFences", lambda each: each["Action"].remove("iam:Pass*")),
        _STACK,
        "no denial of iam:PassRole",
    ),
    Case(_FENCES, _unsaid("ExecutionDenials", "NeverChangeWhoIsTrusted"), _STACK, "iam:CreateOpenIDConnectProvider"),
    Case(
        _FENCES,
        _both(
            _granted("DeployStacks", "iam:AttachRolePolicy", f"{_ROLES}-deploy"), _granted("DeployerBoundary", "iam:*")
        ),
        _DEPLOY,
        "iam:AttachRolePolicy",
    ),
    Case(_PASS, _without_condition("ExecutionIdentity", "PassTaskRole"), _STACK, "iam:PassRole to whatever service"),
    Case(_PASS, _value("ExecutionIdentity", "PassTaskRole", "lambda.amazonaws.com"), _STACK, "no iam:PassRole"),
    Case(
        _PASS,
        _value("ExecutionIdentity", "PassInstanceRole", ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]),
        _STACK,
        "to ecs-tasks.amazonaws.com",
    ),
    Case(_PASS, _granted("ExecutionIdentity", "iam:PassRole"), _STACK, "to whatever service"),
    Case(
        _PASS,
        _granted(
            "ExecutionIdentity",
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/*",
            StringEquals={"iam:PassedToService": "ec2.amazonaws.com"},
        ),
        _STACK,
        "of the account's",
    ),
    Case(_PASS, _unsaid("ExecutionIdentity", "PassExecutionRole"), _STACK, "no iam:PassRole"),
    Case(_KEY, _unsaid("ExecutionDenials", "NeverTouchObjects"), _STACK, "no denial of s3:GetObject"),
    Case(
        _KEY,
        _said("ExecutionDenials", "NeverTouchObjects", lambda each: each.update(Action=["s3:GetObject"])),
        _STACK,
        "no denial of s3:GetObjectVersion",
    ),
    Case(
        _KEY,
        _said("ExecutionDenials", "NeverTouchObjects", lambda each: each.update(Resource="arn:aws:s3:::other/*")),
        _STACK,
        "no denial of s3:GetObject",
    ),
    Case(_KEY, _unsaid("ExecutionDenials", "NeverUseTheCertificateKey"), _STACK, "no denial of kms:Decrypt"),
    Case(_KEY, _unsaid("ExecutionDenials", "NeverDecryptButForTheTable"), _STACK, "no denial of kms:Decrypt"),
    Case(
        _KEY,
        _operator("ExecutionDenials", "NeverDecryptButForTheTable", "StringEquals"),
        _STACK,
        "no denial of kms:Decrypt",
    ),
    Case(
        _KEY,
        _value("ExecutionDenials", "NeverUseTheCertificateKey", "alias/mtls-ingress-staging-other"),
        _STACK,
        "no denial of kms:Decrypt",
    ),
    Case(_KEY, _unnamed_key, _STACK, "no alias of"),
    Case(_KEY, _nothing_read, "", "objects that a task's role may read"),
    Case(_LINKED, _without_condition("ExecutionIdentity", "MakeServiceLinkedRoles"), _STACK, "of any service"),
    Case(_LINKED, _operator("ExecutionIdentity", "MakeServiceLinkedRoles", "StringEqualsIfExists"), _STACK, "of any"),
    Case(_LINKED, _unsaid("ExecutionIdentity", "MakeServiceLinkedRoles"), _STACK, "no iam:CreateServiceLinkedRole"),
    Case(
        _LINKED,
        _value("ExecutionIdentity", "MakeServiceLinkedRoles", ["ecs.amazonaws.com"]),
        _STACK,
        "no iam:CreateServiceLinkedRole",
    ),
    Case(_NAMED, _granted("ExecutionNetwork", "ec2:Describe*"), "bootstrap.ExecutionNetwork", "ec2:Describe*"),
    Case(_NAMED, _granted("DeployStacks", "*"), "bootstrap.DeployStacks.Properties.PolicyDocument", '"*"'),
    Case(_NAMED, _granted("ExecutionStores", "s3:GetBucket?olicy"), "bootstrap.ExecutionStores"),
    Case(_HAND, _unsaid("DeployStacks", "HandOverToCloudFormation"), "", "a role that may hand CloudFormation"),
    Case(_HAND, _without_condition("DeployStacks", "ChangeStacksAsTheirRole"), _DEPLOY, "as another role or none"),
    Case(
        _HAND,
        _operator("DeployStacks", "ChangeStacksAsTheirRole", "StringEqualsIfExists"),
        _DEPLOY,
        "as another role or none",
    ),
    Case(_HAND, _value("DeployStacks", "ChangeStacksAsTheirRole", f"{_ROLES}-task"), _DEPLOY, "no cloudformation:"),
    Case(
        _HAND,
        _said("DeployStacks", "ChangeStacksAsTheirRole", lambda each: each.update(Resource="*")),
        _DEPLOY,
        "of another",
    ),
    Case(_HAND, _unsaid("DeployStacks", "LeaveBootstrapAlone"), _DEPLOY, "of another"),
    Case(
        _HAND,
        _said(
            "DeployStacks", "LeaveBootstrapAlone", lambda each: each["Action"].remove("cloudformation:RollbackStack")
        ),
        _DEPLOY,
        "cloudformation:RollbackStack of another",
    ),
    # Bucket and key may be opened to whoever deploys by a template: by themselves they are shut all the same.
    Case(_READS, _unsaid("DeployStacks", "NeverReadTheKey"), _DEPLOY, "no denial of s3:GetObject"),
    Case(_READS, _unsaid("DeployStacks", "NeverUseAKey"), _DEPLOY, "no denial of kms:Decrypt"),
    Case(_BOUND, _UNBOUND, _STACK, "no denial of iam:CreateRole"),
    *(
        Case(
            _BOUND,
            _said("ExecutionIdentity", "GrantToBoundedRoles", partial(_also_when, ArnLike={"iam:PolicyARN": arn})),
            _STACK,
            "iam:AttachRolePolicy of any policy",
        )
        for arn in ("arn:aws:iam::aws:policy/*", "*")
    ),
    Case(_HAND, _unsaid("DeployStacks", "GoThroughWithIt"), _DEPLOY, "no cloudformation:ExecuteChangeSet"),
    Case(_HAND, _granted("DeployStacks", "cloudformation:CreateStack"), _DEPLOY, "without a change set"),
    Case(_HAND, _granted("DeployStacks", "cloudformation:UpdateStack"), _DEPLOY, "without a change set"),
    Case(_HAND, _without_condition("DeployStacks", "HandOverToCloudFormation"), _DEPLOY, "to whatever service"),
    Case(
        _HAND,
        _value("DeployStacks", "HandOverToCloudFormation", ["cloudformation.amazonaws.com", "ec2.amazonaws.com"]),
        _DEPLOY,
        "to another service",
    ),
    Case(
        _HAND,
        _said("DeployStacks", "HandOverToCloudFormation", lambda each: each.update(Resource="*")),
        _DEPLOY,
        "of another kind",
    ),
    Case(
        _READS,
        _both(
            _unsaid("DeployStacks", "NeverReadTheKey"),
            _said(
                "DeployImageAndWatch",
                "ReadManifest",
                lambda each: each.update(Resource=each["Resource"].split("/")[0] + "/*"),
            ),
        ),
        _DEPLOY,
        "s3:GetObject",
    ),
    Case(
        _READS,
        _both(_unsaid("DeployStacks", "NeverUseAKey"), _granted("DeployImageAndWatch", "kms:Decrypt")),
        _DEPLOY,
        "kms:Decrypt",
    ),
    Case(
        _READS,
        _both(_granted("DeployImageAndWatch", "dynamodb:GetItem"), _granted("DeployerBoundary", "dynamodb:GetItem")),
        _DEPLOY,
        "dynamodb:GetItem",
    ),
]
