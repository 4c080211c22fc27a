"""A policy that says something else than was meant is found, whosever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from stacks.rules import policies, vocabulary
from stacks.rules.rule import Rule
from stacks.rules.statements import documents
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, statements

BUCKET = "certificate_store.CertificateBucketPolicy.Properties.PolicyDocument"
KEY = "certificate_store.CertificateKey.Properties.KeyPolicy"
TASK = "certificate_store.TaskReadsCertificate.Properties.PolicyDocument"
TOPIC = "observability.AlarmTopicPolicy.Properties.PolicyDocument"
LOGS = "certificate_store.LogBucketPolicy.Properties.PolicyDocument"
OURS = "arn:aws:iam::111122223333:role/somebody"
TRUST = "identity.TaskRole.Properties.AssumeRolePolicyDocument"
READING = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*"}


def of(templates: Templates, place: str) -> Document:
    """Give the policy at a place such as `certificate_store.CertificateKey.Properties.KeyPolicy`."""
    stack, *way = place.split(".")
    found: Any = templates.bodies[stack]["Resources"]
    for part in way:
        found = found[part]
    document: Document = found
    return document


def on(place: str, sid: str, change: Callable[[Document], object]) -> Spoil:
    """Change a statement, found by its Sid."""
    return lambda templates: change(statements(of(templates, place))[sid])


def set_to(element: str, value: object) -> Callable[[Document], object]:
    """Set an element of a statement; `...` takes it away."""

    def change(statement: Document) -> None:
        if value is ...:
            del statement[element]
        else:
            statement[element] = value

    return change


def with_another(place: str, **statement: object) -> Spoil:
    """Put a statement at the end of a policy."""
    return lambda templates: of(templates, place)["Statement"].append(statement)


def denying(**changes: object) -> dict[str, object]:
    """Describe a denial of the bucket's as it should be, but for what is given."""
    arn = "arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-break-glass"
    good = {
        "Sid": "Another",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObjectVersion",
        "Resource": "arn:aws:s3:::x/*",
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": arn}},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def letting(**changes: object) -> dict[str, object]:
    """Describe a grant in a bucket's policy to our own account alone, but for what is given."""
    ours = {"StringEquals": {"aws:PrincipalAccount": "111122223333"}}
    good = {**READING, "Sid": "Another", "Principal": "*", "Condition": ours}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def _role_without_trust(templates: Templates) -> None:
    del templates.properties("AWS::IAM::Role")["AssumeRolePolicyDocument"]


def _policy_as_text(templates: Templates) -> None:
    templates.bodies["observability"]["Resources"]["Others"] = {
        "Type": "AWS::Logs::ResourcePolicy",
        "Properties": {
            "PolicyName": "others",
            "PolicyDocument": json.dumps(
                {"Version": "2012-10-17", "Statement": [{**READING, "Effect": "Alow", "Principal": "*"}]}
            ),
        },
    }


def _unreadable(templates: Templates) -> None:
    statements(of(templates, TASK))["ReadPair"]["Resource"] = {"Fn::If": ["Prod", "a", "b"]}


def _inline(templates: Templates) -> None:
    role = templates.properties("AWS::IAM::Role", RoleName="mtls-ingress-staging-instance")
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "kms:*crypt", "Resource": "arn:aws:kms:*:111122223333:key/*"}],
    }
    role["Policies"] = [{"PolicyName": "inline", "PolicyDocument": document}]


def _attach_boundary(templates: Templates) -> None:
    boundary = templates.bodies["bootstrap"]["Resources"]["Boundary"]["Properties"]
    boundary["Roles"] = ["somebody"]


def _attach_boundary_by_arn(templates: Templates) -> None:
    role = templates.bodies["bootstrap"]["Resources"]["CloudFormationRole"]["Properties"]
    role["ManagedPolicyArns"] = [{"Ref": "Boundary"}]


def _reference_to_role(statement: Document) -> None:
    arns = statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    arns[0] = {"Ref": "TaskRoleArn"}


def _take_task_role(templates: Templates) -> None:
    templates.bodies["certificate_store"]["Parameters"]["TaskRoleArn"] = {"Type": "String"}
    _reference_to_role(statements(of(templates, BUCKET))["NoOtherReadsTheKey"])


def _aborting(statement: Document) -> None:
    statement |= {"Action": "s3:AbortMultipartUpload", "Resource": "arn:aws:s3:::bucket"}


def condition(operator: str, key: str, value: object) -> Callable[[Document], object]:
    """Set the condition of a statement whole."""
    return set_to("Condition", {operator: {key: value}})


def beside(operator: str, key: str, value: object) -> Callable[[Document], object]:
    """Put a condition beside those of a statement."""
    return lambda statement: statement.setdefault("Condition", {}).update({operator: {key: value}})


WHOLE = policies.every_statement_is_whole
KNOWN = policies.every_condition_is_one_aws_knows
FITS = policies.every_resource_fits_an_action
ROLES = policies.roles_are_meant_by_their_arn_in_conditions
SHUT = policies.no_denial_shuts_out_who_repairs
LET = policies.nobody_unknown_is_let_in
ABSENT = policies.absent_keys_are_thought_of
TLS = {"Bool": {"aws:SecureTransport": False}}

CASES = [
    # its form
    Case(policies.every_policy_has_statements, put("AWS::S3::BucketPolicy", "PolicyDocument", ...), "", "Statement"),
    Case(policies.every_policy_has_statements, _role_without_trust, "bootstrap.", "Statement"),
    Case(
        policies.every_policy_has_statements,
        put("AWS::KMS::Key", "KeyPolicy.Version", "2008-10-17"),
        KEY,
        '"2012-10-17"',
    ),
    Case(policies.every_policy_has_statements, put("AWS::KMS::Key", "KeyPolicy.Statement", []), KEY, "Statement"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Effect", ...)), f"{BUCKET}.Statement.0.Effect", '"Allow" or "Deny"'),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Effect", "deny")), f"{BUCKET}.Statement.0.Effect"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Action", ...)), f"{BUCKET}.Statement.0.Action", "NotAction"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Action", [])), f"{BUCKET}.Statement.0.Action", "one at least"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Action", [1])), f"{BUCKET}.Statement.0.Action", "texts"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Action", [""])), f"{BUCKET}.Statement.0.Action", "texts"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Resource", ...)), f"{BUCKET}.Statement.0.Resource"),
    Case(
        WHOLE, on(BUCKET, "OnlyOverTls", set_to("Principal", ...)), f"{BUCKET}.Statement.0.Principal", "whom it means"
    ),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Conditions", {})), f"{BUCKET}.Statement.0.Conditions", "not know"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Condition", {})), f"{BUCKET}.Statement.0.Condition", "operators"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Condition", {"Bool": {}})), f"{BUCKET}.Statement.0", "keys"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", condition("Bool", "aws:SecureTransport", [])), BUCKET, "no value"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Principal", {"AWs": "*"})), f"{BUCKET}.Statement.0.Principal.AWs"),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Principal", {"AWS": []})), f"{BUCKET}.Statement.0.Principal.AWS"),
    Case(
        WHOLE, on(BUCKET, "OnlyOverTls", set_to("Sid", "OnlyOverTls12OrNewer")), f"{BUCKET}.Statement.1.Sid", "Sid no"
    ),
    Case(WHOLE, on(BUCKET, "OnlyOverTls", set_to("Sid", "over tls")), f"{BUCKET}.Statement.0.Sid", "letters"),
    Case(WHOLE, on(TASK, "ReadPair", set_to("Principal", "*")), f"{TASK}.Statement.1.Principal", "whoever has"),
    Case(WHOLE, with_another(TRUST, **READING, Principal={"AWS": "111122223333"}), f"{TRUST}.Statement.1.Resource"),
    Case(WHOLE, _policy_as_text, "observability.Others.Properties.PolicyDocument.Statement.0.Effect", '"Alow"'),
    Case(WHOLE, _unreadable, TASK, "cannot be judged"),
    Case(policies.no_policy_is_too_long, on(TASK, "ReadPair", set_to("Resource", ["x" * 6000])), TASK, "6144"),
    # its words
    Case(
        policies.every_action_is_one_aws_knows,
        on(TASK, "ReadPair", set_to("Action", ["s3:GetObjekt"])),
        f"{TASK}.Statement.1.Action",
        '"s3:GetObjekt"',
    ),
    Case(policies.every_action_is_one_aws_knows, on(TASK, "ReadPair", set_to("Action", "s4:GetObject")), TASK),
    Case(policies.every_action_is_one_aws_knows, on(TASK, "ReadPair", set_to("Action", "s3:getobject")), TASK),
    Case(policies.every_action_is_one_aws_knows, on(TASK, "ReadPair", set_to("Action", "GetObject")), TASK),
    Case(
        policies.every_action_is_one_aws_knows, on(BUCKET, "NoOtherWrites", set_to("Action", "s3:PutObj3ct*")), BUCKET
    ),
    Case(KNOWN, on(BUCKET, "OnlyOverTls", condition("Bool", "aws:SecureTransprot", value=False)), BUCKET, "Transprot"),
    Case(KNOWN, on(BUCKET, "OnlyOverTls", condition("Bool", "aws:securetransport", value=False)), BUCKET),
    Case(KNOWN, on(BUCKET, "OnlyOverTls12OrNewer", condition("NumericLessThan", "s3:TLSVersion", 1.2)), BUCKET),
    Case(
        KNOWN, on(BUCKET, "OnlyOverTls", condition("Boolean", "aws:SecureTransport", value=False)), BUCKET, "operator"
    ),
    Case(KNOWN, on(BUCKET, "NoOtherWrites", condition("NotBool", "aws:PrincipalArn", "x")), BUCKET, "operator"),
    Case(
        KNOWN,
        on(BUCKET, "OnlyOverTls12OrNewer", condition("StringEquals", "s3:TlsVersion", "1.1")),
        BUCKET,
        "keys of Numeric",
    ),
    Case(KNOWN, on(BUCKET, "OnlyOverTls12OrNewer", condition("NumericLessThan", "s3:TlsVersion", "new")), BUCKET),
    Case(KNOWN, on(BUCKET, "OnlyOverTls", condition("Bool", "aws:SecureTransport", "no")), BUCKET, "true or false"),
    Case(KNOWN, on(BUCKET, "OnlyEncryptedByKms", beside("Null", "s3:x-amz-server-side-encryption", "no")), BUCKET),
    Case(
        KNOWN,
        on(TASK, "DecryptThroughS3", condition("StringEquals", "s3:prefix", "server/")),
        f"{TASK}.Statement.2.Condition",
        "actions of s3",
    ),
    Case(FITS, on(TASK, "ReadPair", set_to("Resource", "server/key.pem")), f"{TASK}.Statement.1.Resource", "ARN of s3"),
    Case(FITS, on(TASK, "ReadPair", set_to("Resource", "arn:aws:dynamodb:us-east-1:111122223333:table/x")), TASK),
    Case(FITS, on(TASK, "ReadPair", set_to("Resource", "arn:aws:s3:::bucket")), TASK, "objects, for s3:GetObject"),
    Case(FITS, on(TASK, "ReadManifest", _aborting), TASK, "objects, for s3:AbortMultipartUpload"),
    Case(
        FITS,
        on(
            "certificate_store.CertificateAdminKeepsCertificate.Properties.PolicyDocument",
            "FindVersions",
            set_to("Resource", "arn:aws:s3:::bucket/server/x"),
        ),
        "certificate_store.CertificateAdminKeepsCertificate",
        "a bucket, for s3:ListBucket",
    ),
    Case(
        FITS,
        on(
            "certificate_store.CertificateAdminKeepsCertificate.Properties.PolicyDocument",
            "FindVersions",
            set_to("Resource", ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]),
        ),
        "certificate_store.CertificateAdminKeepsCertificate",
        "no object",
    ),
    Case(
        FITS,
        on(
            "identity.ExecutionPolicy.Properties.PolicyDocument",
            "EnterRegistry",
            set_to("Resource", "arn:aws:ecr:x:1:a"),
        ),
        "identity.ExecutionPolicy",
        "bears no resource",
    ),
    # whom it means
    Case(
        policies.nobody_is_meant_by_being_left_out,
        on(BUCKET, "NoOtherWrites", set_to("NotPrincipal", {"AWS": "arn:aws:iam::111122223333:root"})),
        f"{BUCKET}.Statement.3.NotPrincipal",
    ),
    *(
        Case(policies.nobody_is_meant_by_being_left_out, on(place, sid, set_to("Principal", whom)), place, '"*"')
        for place, sid in ((BUCKET, "NoOtherReadsTheKey"), (KEY, "NoOtherReadsWithIt"), (TOPIC, "OnlyOverTls"))
        for whom in ({"AWS": "arn:aws:iam::111122223333:root"}, {"Service": "s3.amazonaws.com"})
    ),
    Case(
        ABSENT,
        on(BUCKET, "NoOtherReadsTheKey", set_to("Condition", {"ForAnyValue:ArnNotLike": {"aws:PrincipalArn": [OURS]}})),
        BUCKET,
        "the key has one value",
    ),
    Case(ROLES, on(BUCKET, "NoOtherWrites", set_to("Principal", {"AWS": "arn:aws:iam::111122223333:role/x"})), BUCKET),
    Case(ROLES, on(TRUST, "", set_to("Principal", {"AWS": "arn:aws:iam::111122223333:user/x"})), TRUST, "an account"),
    Case(
        ROLES,
        on(
            BUCKET,
            "NoOtherWrites",
            condition("ArnNotLike", "aws:PrincipalArn", "arn:aws:sts::111122223333:assumed-role/admin/me"),
        ),
        f"{BUCKET}.Statement.3.Condition",
        "the ARN of one role",
    ),
    Case(
        ROLES,
        on(BUCKET, "NoOtherWrites", condition("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/*")),
        BUCKET,
    ),
    Case(ROLES, on(BUCKET, "NoOtherWrites", condition("StringNotLike", "aws:userId", "AROA*:me")), BUCKET, "userId"),
    Case(ROLES, _take_task_role, f"{BUCKET}.Statement.2.Condition", "a reference to TaskRole"),
    Case(
        policies.whoever_a_denial_spares_exists,
        on(
            KEY,
            "NoOtherReadsWithIt",
            condition("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/mtls-ingress-staging-task"),
        ),
        f"{KEY}.Statement.1.Condition",
        "a role of the templates",
    ),
    Case(LET, with_another(BUCKET, **letting(Condition=...)), BUCKET, '"*"'),
    Case(LET, with_another(BUCKET, **letting(Principal={"AWS": ["*"]}, Condition=TLS)), BUCKET, '"*"'),
    Case(LET, with_another(KEY, **letting(Principal={"AWS": "999999999999"}, Condition=...)), KEY, "999999999999"),
    Case(
        LET, with_another(TOPIC, **letting(Principal={"AWS": "arn:aws:iam::999999999999:root"}, Condition=...)), TOPIC
    ),
    Case(LET, with_another(BUCKET, **letting(Condition={"StringLike": {"aws:PrincipalAccount": "*"}})), BUCKET),
    Case(
        LET,
        with_another(BUCKET, **letting(Condition={"StringEqualsIfExists": {"aws:PrincipalAccount": "111122223333"}})),
        BUCKET,
    ),
    Case(LET, with_another(TRUST, Effect="Allow", Principal="*", Action="sts:AssumeRole"), TRUST, '"*"'),
    Case(LET, with_another(BUCKET, **letting(Condition={"ArnLike": {"cloudformation:RoleArn": OURS}})), BUCKET, '"*"'),
    Case(
        policies.services_are_let_in_on_our_behalf_alone,
        on(LOGS, "DeliverLoadBalancerLogs", set_to("Resource", "arn:aws:s3:::logs/load-balancer/AWSLogs/*")),
        LOGS,
        "account 111122223333",
    ),
    Case(
        policies.services_are_let_in_on_our_behalf_alone,
        on(LOGS, "DeliverLoadBalancerLogs", set_to("Action", ["s3:PutObject", "s3:GetObject"])),
        LOGS,
    ),
    Case(
        policies.services_are_let_in_on_our_behalf_alone,
        on(TOPIC, "AlarmsPublish", set_to("Condition", ...)),
        TOPIC,
        "account 111122223333",
    ),
    Case(
        policies.services_are_let_in_on_our_behalf_alone,
        on(TOPIC, "AlarmsPublish", condition("StringEquals", "aws:SourceAccount", "999999999999")),
        TOPIC,
    ),
    Case(
        policies.services_are_let_in_on_our_behalf_alone,
        on(TOPIC, "AlarmsPublish", condition("ArnLike", "aws:SourceArn", "arn:aws:cloudwatch:*:*:alarm:*")),
        TOPIC,
    ),
    # whom a denial shuts out
    Case(SHUT, with_another(BUCKET, **denying(Action="s3:*")), BUCKET, "data actions"),
    Case(SHUT, with_another(BUCKET, **denying(Action="*")), BUCKET, "data actions"),
    Case(
        SHUT, with_another(BUCKET, **denying(Action=["s3:GetObject", "s3:PutBucketPolicy"])), BUCKET, "PutBucketPolicy"
    ),
    Case(SHUT, with_another(BUCKET, **denying(Action="s3:Get*")), BUCKET, "which means"),
    Case(SHUT, with_another(BUCKET, **denying(Action="s3:ListBucket")), BUCKET, "s3:ListBucket"),
    Case(SHUT, with_another(BUCKET, **denying(Condition=...)), BUCKET, "everybody"),
    Case(SHUT, with_another(BUCKET, **denying(Action=..., NotAction="s3:PutBucketPolicy")), BUCKET, "by its name"),
    Case(SHUT, with_another(BUCKET, **denying(Resource=..., NotResource="arn:aws:s3:::x/*")), BUCKET, "by its name"),
    Case(SHUT, with_another(KEY, **denying(Action="kms:*")), KEY, "data actions"),
    Case(SHUT, with_another(KEY, **denying(Action="kms:PutKeyPolicy")), KEY, "data actions"),
    Case(SHUT, with_another(TOPIC, **denying(Action="sns:SetTopicAttributes")), TOPIC, "data actions"),
    Case(SHUT, on(BUCKET, "OnlyOverTls", condition("Bool", "aws:SecureTransport", value=True)), BUCKET, "s3:*"),
    Case(SHUT, on(BUCKET, "OnlyOverTls12OrNewer", condition("NumericLessThan", "s3:TlsVersion", 2)), BUCKET, "s3:*"),
    Case(SHUT, on(BUCKET, "OnlyOverTls", beside("StringNotEquals", "aws:SourceVpce", "vpce-1")), BUCKET, "s3:*"),
    # what a condition says
    Case(
        policies.transport_is_compared_with_a_boolean,
        on(BUCKET, "OnlyOverTls", condition("Bool", "aws:SecureTransport", "false")),
        f"{BUCKET}.Statement.0.Condition",
        "Bool false",
    ),
    Case(
        policies.transport_is_compared_with_a_boolean,
        on(BUCKET, "OnlyOverTls", condition("BoolIfExists", "aws:SecureTransport", value=False)),
        BUCKET,
    ),
    Case(
        policies.transport_is_compared_with_a_boolean,
        on(BUCKET, "OnlyOverTls", condition("Bool", "aws:SecureTransport", value=True)),
        BUCKET,
    ),
    Case(
        policies.transport_is_compared_with_a_boolean,
        on(TOPIC, "OnlyOverTls", condition("Bool", "aws:SecureTransport", value=0)),
        TOPIC,
    ),
    Case(
        policies.tls_versions_are_told_by_a_number,
        on(BUCKET, "OnlyOverTls12OrNewer", condition("NumericLessThan", "s3:TlsVersion", 1.1)),
        f"{BUCKET}.Statement.1.Condition",
        "1.2",
    ),
    Case(
        policies.tls_versions_are_told_by_a_number,
        on(BUCKET, "OnlyOverTls12OrNewer", condition("NumericGreaterThan", "s3:TlsVersion", 1.2)),
        BUCKET,
    ),
    Case(
        ABSENT,
        on(BUCKET, "OnlyEncryptedWithOurKey", lambda statement: statement["Condition"].pop("Null")),
        f"{BUCKET}.Statement.8.Condition.StringNotEquals",
        "Null",
    ),
    Case(
        ABSENT,
        on(
            BUCKET,
            "OnlyEncryptedWithOurKey",
            condition("StringNotEqualsIfExists", "s3:x-amz-server-side-encryption-aws-kms-key-id", "key"),
        ),
        BUCKET,
        "IfExists",
    ),
    Case(
        ABSENT,
        on(BUCKET, "OnlyOverTls", condition("BoolIfExists", "aws:SecureTransport", value=False)),
        BUCKET,
        "Exists",
    ),
    Case(
        ABSENT,
        on(BUCKET, "OnlyEncryptedByKms", beside("Null", "s3:x-amz-server-side-encryption", value=True)),
        f"{BUCKET}.Statement.7.Condition.Null",
        "never together",
    ),
    Case(
        ABSENT,
        on(BUCKET, "TaskOnlyThroughTheEndpoint", beside("Null", "aws:SourceVpce", value=False)),
        BUCKET,
        "denied too",
    ),
    Case(
        ABSENT,
        on(
            TASK, "DecryptThroughS3", condition("StringNotEquals", "kms:ViaService", "dynamodb.us-east-1.amazonaws.com")
        ),
        TASK,
        "alone",
    ),
    Case(
        ABSENT,
        on(TASK, "DecryptThroughS3", condition("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "a")),
        TASK,
        "alone",
    ),
    # too much
    Case(policies.no_role_may_do_everything, on(TASK, "ReadPair", set_to("Action", "s3:*")), TASK, "s3:*"),
    Case(policies.no_role_may_do_everything, on(TASK, "ReadPair", set_to("Action", "*")), TASK, "by their names"),
    Case(policies.no_role_may_do_everything, on(TASK, "ReadPair", set_to("Action", "*:*")), TASK, "by their names"),
    Case(policies.no_role_may_do_everything, on(TASK, "ReadPair", set_to("NotAction", ["iam:*"])), TASK, "are allowed"),
    Case(policies.no_role_may_do_everything, on(TASK, "ReadPair", set_to("Action", "s*:GetObject")), TASK),
    Case(
        policies.no_role_may_do_everything,
        with_another("bootstrap.Boundary.Properties.PolicyDocument", Effect="Allow", Action="*:*", Resource="*"),
        "bootstrap.Boundary",
    ),
    Case(
        policies.no_role_may_do_everything,
        with_another("bootstrap.Boundary.Properties.PolicyDocument", Effect="Allow", Action="*", Resource="*"),
        "bootstrap.Boundary",
    ),
    Case(
        policies.no_role_may_do_it_to_everything,
        on(TASK, "ReadPair", set_to("Resource", "*")),
        f"{TASK}.Statement.1.Resource",
        "s3:GetObject",
    ),
    Case(policies.no_role_may_do_it_to_everything, on(TASK, "ReadPair", set_to("Resource", "arn:aws:s3:::*")), TASK),
    Case(policies.no_role_may_do_it_to_everything, on(TASK, "ReadPair", set_to("Resource", "arn:aws:s3:::*/*")), TASK),
    Case(
        policies.no_role_may_do_it_to_everything,
        on(
            "client_registry.TaskReadsRegistry.Properties.PolicyDocument",
            "FindClient",
            set_to("Resource", ["arn:aws:dynamodb:*:*:table/x"]),
        ),
        "client_registry.TaskReadsRegistry",
    ),
    Case(
        policies.no_role_may_do_it_to_everything,
        on(TASK, "ReadPair", set_to("NotResource", "arn:aws:s3:::x/*")),
        TASK,
        "it is allowed on",
    ),
    Case(policies.no_role_may_do_it_to_everything, _attach_boundary, "", "by ARN"),
    Case(policies.no_role_may_do_it_to_everything, _attach_boundary_by_arn, "", "by ARN"),
    Case(
        policies.no_role_decrypts_with_any_key,
        on(TASK, "DecryptThroughS3", set_to("Resource", "*")),
        TASK,
        "one key",
    ),
    Case(
        policies.no_role_decrypts_with_any_key,
        on(TASK, "DecryptThroughS3", set_to("Resource", "arn:aws:kms:us-east-1:111122223333:alias/x")),
        TASK,
    ),
    Case(policies.no_role_decrypts_with_any_key, _inline, "identity.InstanceRole.Properties.Policies.0", "one key"),
]


GOOD = [
    pytest.param(LET, with_another(BUCKET, **letting()), id="everybody of the account"),
    pytest.param(
        LET,
        with_another(
            BUCKET,
            **letting(Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/reader"}}),
        ),
        id="one role of the account",
    ),
    pytest.param(
        policies.no_role_may_do_everything,
        with_another(TASK, Effect="Deny", Action="s3:*", Resource="*"),
        id="a denial of everything",
    ),
    pytest.param(SHUT, with_another(BUCKET, **denying()), id="data"),
    pytest.param(SHUT, with_another(BUCKET, **denying(Action="s3:*", Condition=TLS)), id="everything without TLS"),
    pytest.param(SHUT, with_another(KEY, **denying(Action="kms:Encrypt")), id="use of a key"),
    pytest.param(SHUT, with_another(TOPIC, **denying(Action="sns:Publish")), id="what is sent"),
    pytest.param(SHUT, with_another(TOPIC, **denying(Action=["dynamodb:PutItem", "dynamodb:Query"])), id="items"),
    pytest.param(WHOLE, on(TASK, "ReadPair", set_to("Sid", ...)), id="without a Sid"),
    pytest.param(WHOLE, with_another(BUCKET, **denying(Action=..., NotAction="s3:GetObject")), id="but for actions"),
    pytest.param(WHOLE, with_another(BUCKET, **denying(Resource=..., NotResource="x")), id="but for resources"),
    pytest.param(WHOLE, with_another(BUCKET, **denying(Principal=..., NotPrincipal="*")), id="but for principals"),
    pytest.param(
        policies.every_resource_fits_an_action,
        with_another(BUCKET, **denying(Action="s3:ListAllMyBuckets", Resource="arn:aws:s3:::x")),
        id="a denial of what bears no resource",
    ),
    pytest.param(KNOWN, on(TASK, "ReadPair", condition("StringLike", "aws:ResourceTag/team", "a*")), id="a tag"),
    pytest.param(FITS, on(TASK, "ReadPair", set_to("Resource", "*")), id="any resource"),
    *(
        pytest.param(FITS, with_another(BUCKET, **denying(Action="s3:*", Resource=arn, Condition=TLS)), id=arn)
        for arn in ("arn:aws:s3:::x", "arn:aws:s3:::x/*")
    ),
]


@pytest.mark.parametrize(("rule", "change"), GOOD)
def test_what_is_right_in_another_way_is_left_alone(rule: Rule, change: Spoil) -> None:
    templates = Templates.of()
    change(templates)

    assert rule(templates.estate()) == []


def test_every_policy_of_the_templates_is_judged() -> None:
    """Boundaries, grants, trust, keys, buckets, topics and endpoints: what is found by form needs no list of types."""
    types = {document.resource.type for document in documents(Templates.of().estate())}

    assert types >= {
        "AWS::EC2::VPCEndpoint",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role",
        "AWS::KMS::Key",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::TopicPolicy",
    }


# CloudFormation's own schema of a vault demands it, though the reference of actions has never known it.
UNLISTED = {"backup-storage:mount"}


def test_known_actions_are_those_of_the_reference() -> None:
    """cfn-lint carries AWS's table of actions; ours must not know one more, nor another of what bears a resource."""
    table = json.loads(
        (Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json").read_text(encoding="utf-8")
    )
    ours = {
        f"{service}:{name}".lower(): bears
        for service, names in vocabulary._known_actions().items()  # noqa: SLF001 -- the table is what is judged
        for name, bears in names.items()
    }
    theirs = {
        f"{service}:{name}": bool(facts.get("Resources"))
        for service, names in table.items()
        for name, facts in names["Actions"].items()
    }

    assert {name for name in ours if name not in theirs} == UNLISTED
    assert {name for name, bears in ours.items() if theirs.get(name, False) != bears} == set()
