"""
The rules on policies: whom, which actions and what each statement of every policy means, and under which conditions.

A policy that says something else than was meant is taken by AWS without a
word. So every one is judged, whosever it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.statements import Condition, Document, Kind, Statement, documents, rule_on_policies
from stacks.rules.values import Reference, listed, number
from stacks.rules.vocabulary import (
    NEGATED,
    NULL,
    KeyType,
    actions_like,
    bears_resource,
    is_operator,
    operators_for,
    services_with_key,
    type_of_key,
)

_GRAMMAR: Final = "IAM guide, Grammar of the IAM JSON policy language"
_OPERATORS: Final = "IAM guide, IAM JSON policy elements: Condition operators"
_REFERENCE: Final = "Service Authorization Reference: actions, resources and condition keys"
_PRINCIPALS: Final = "IAM guide, AWS JSON policy elements: Principal"
_LOCK_OUTS: Final = "S3 guide, bucket policies; several teams' lock-outs, their pipelines included"


# -- the form --------------------------------------------------------------------------

_POLICY_PROPERTIES: Final[Mapping[str, str]] = {
    "AWS::IAM::ManagedPolicy": "PolicyDocument",
    "AWS::IAM::Policy": "PolicyDocument",
    "AWS::IAM::Role": "AssumeRolePolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
}
_CHARACTERS: Final[Mapping[str, int]] = {
    "AWS::IAM::ManagedPolicy": 6_144,
    "AWS::IAM::Role": 2_048,
    "AWS::KMS::Key": 32_768,
    "AWS::S3::BucketPolicy": 20_480,
    "AWS::SNS::TopicPolicy": 30_720,
}
"""White space not counted (IAM and STS quotas; KMS, S3 and SNS guides)."""
_ELEMENTS: Final = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


@rule_of(
    *_POLICY_PROPERTIES,
    requirement="I4",
    why="a policy in a place where AWS does not look is none",
    source=_GRAMMAR,
)
def every_policy_has_statements(resource: Resource) -> Iterator[Fault]:
    """Whatever has a policy has it where it belongs, in the version of today and with a statement at least."""
    path = _POLICY_PROPERTIES[resource.type]
    policy = resource.get(path)
    if not isinstance(policy, dict) or not listed(policy.get("Statement")):
        yield resource.fault(path, found=policy, expected="a policy with a Statement")
    elif policy.get("Version") != "2012-10-17":
        yield resource.fault(f"{path}.Version", found=policy.get("Version"), expected='"2012-10-17"')


@rule_on_policies("I4", why="AWS refuses the policy, or reads another meaning into it", source=_GRAMMAR)
def every_statement_is_whole(document: Document) -> Iterator[Fault]:
    """
    Every statement has an Effect, actions, and what its kind of policy asks for, and nothing IAM does not know.

    A resource's policy and a role's trust have a Principal, all but a trust have a Resource. No element is empty, and
    no Sid is used twice.
    """
    seen: set[str] = set()
    for statement in document.statements:
        yield from _form(statement)
        yield from _parties(statement)
        yield from _emptiness(statement)
        sid = statement.raw.get("Sid")
        if isinstance(sid, str) and sid in seen:
            yield statement.fault("Sid", found=sid, expected="a Sid no other statement of the policy has")
        seen.add(str(sid))


def _form(statement: Statement) -> Iterator[Fault]:
    for element in sorted(set(statement.raw) - _ELEMENTS):
        yield statement.fault(element, found=Said("an element IAM does not know"), expected="none")
    if not (statement.allows or statement.denies):
        yield statement.fault("Effect", found=statement.raw.get("Effect"), expected='"Allow" or "Deny"')
    if ("Action" in statement.raw) is ("NotAction" in statement.raw):
        yield statement.fault("Action", found=statement.raw.get("Action"), expected="one of Action and NotAction")
    sid = statement.raw.get("Sid")
    if sid is not None and not (isinstance(sid, str) and re.fullmatch(r"[A-Za-z0-9]+", sid)):
        yield statement.fault("Sid", found=sid, expected="letters and digits")


def _parties(statement: Statement) -> Iterator[Fault]:
    kind, raw = statement.document.kind, statement.raw
    has_principal = "Principal" in raw or "NotPrincipal" in raw
    if has_principal is (kind is Kind.IDENTITY):
        expected = "none, for whoever has the policy is meant" if has_principal else "whom it means"
        yield statement.fault("Principal", found=raw.get("Principal"), expected=expected)
    has_resource = ("Resource" in raw) + ("NotResource" in raw)
    if has_resource != (kind is not Kind.TRUST):
        expected = "one of Resource and NotResource" if kind is not Kind.TRUST else "none, for the role is meant"
        yield statement.fault("Resource", found=raw.get("Resource"), expected=expected)


def _emptiness(statement: Statement) -> Iterator[Fault]:
    for element in ("Action", "NotAction", "Resource", "NotResource"):
        if element in statement.raw:
            yield from _texts_alone(statement, element, statement.raw[element])
    for sort, named in _as_table(statement.raw.get("Principal")).items():
        if sort not in {"AWS", "Service", "Federated"}:
            yield statement.fault(f"Principal.{sort}", found=Said("a sort IAM does not know"), expected="none")
        yield from _texts_alone(statement, f"Principal.{sort}", named)
    yield from _empty_conditions(statement)


def _empty_conditions(statement: Statement) -> Iterator[Fault]:
    """Find what looks like a condition and holds always."""
    if "Condition" in statement.raw and not _as_table(statement.raw["Condition"]):
        yield statement.fault("Condition", found=statement.raw["Condition"], expected="a table of operators")
    for operator, keys in _as_table(statement.raw.get("Condition")).items():
        if not _as_table(keys):
            yield statement.fault(f"Condition.{operator}", found=keys, expected="a table of keys")
    for condition in statement.conditions:
        if not condition.values:
            yield statement.fault(condition.path, found=Said("no value"), expected="one at least")


def _texts_alone(statement: Statement, element: str, value: object) -> Iterator[Fault]:
    values = listed(value)
    if not values or not all(isinstance(each, str) and each for each in values):
        yield statement.fault(element, found=value, expected="texts, one at least")


def _as_table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@rule_on_policies("I4", why="AWS refuses the policy when the stack is half made", source="IAM and STS quotas")
def no_policy_is_too_long(document: Document) -> Iterator[Fault]:
    """No policy is longer than its kind may be, white space not counted."""
    most = _CHARACTERS.get(document.resource.type)
    length = len("".join(json.dumps(document.raw, default=str).split()))
    if most is not None and length > most:
        found = Said(f"{length} characters")
        yield document.resource.fault(document.path, found=found, expected=f"{most} characters at most")


# -- the words --------------------------------------------------------------------------


@rule_on_policies("I4", why="AWS takes a misspelt action, and nobody is ever allowed or denied it", source=_REFERENCE)
def every_action_is_one_aws_knows(document: Document) -> Iterator[Fault]:
    """Every action is one that AWS knows, to the letter; one with a wildcard means one at least."""
    for statement in document.statements:
        for element in ("Action", "NotAction"):
            for pattern in listed(statement.raw.get(element)):
                if pattern != "*" and not actions_like(str(pattern)):
                    yield statement.fault(element, found=pattern, expected="an action that AWS knows")


@rule_on_policies("K7", why="AWS takes a misspelt condition key, and the condition never holds", source=_REFERENCE)
def every_condition_is_one_aws_knows(document: Document) -> Iterator[Fault]:
    """
    Every condition has an operator and a key that AWS knows, to the letter.

    The operator compares what the key holds, and the statement's requests have the key.
    """
    for statement in document.statements:
        for condition in statement.conditions:
            yield from _condition_fault(statement, condition)


def _condition_fault(statement: Statement, condition: Condition) -> Iterator[Fault]:
    kind = type_of_key(condition.key)
    if not is_operator(condition.base):
        yield statement.fault(
            f"Condition.{condition.operator}", found=condition.operator, expected="an operator of IAM"
        )
    elif kind is None:
        yield statement.fault(condition.path, found=condition.key, expected="a condition key written as AWS writes it")
    elif condition.base == NULL:
        yield from _truths_alone(statement, condition)
    elif condition.base not in operators_for(kind):
        yield statement.fault(condition.path, found=condition.operator, expected=f"an operator for keys of {kind}")
    else:
        yield from _value_faults(statement, condition, kind)
        yield from _key_without_service(statement, condition)


def _value_faults(statement: Statement, condition: Condition, kind: KeyType) -> Iterator[Fault]:
    if kind is KeyType.BOOL:
        yield from _truths_alone(statement, condition)
    if kind is KeyType.NUMERIC and not all(number(value) is not None for value in condition.values):
        yield statement.fault(condition.path, found=list(condition.values), expected="numbers")


def _truths_alone(statement: Statement, condition: Condition) -> Iterator[Fault]:
    if not all(isinstance(value, bool) or value in {"true", "false"} for value in condition.values):
        yield statement.fault(condition.path, found=list(condition.values), expected="true or false")


def _key_without_service(statement: Statement, condition: Condition) -> Iterator[Fault]:
    service = services_with_key(condition.key)
    others = [action for action in statement.actions if service not in {None, action.partition(":")[0]}]
    if others:
        expected = f"actions of {service} alone beside a key no other request has"
        yield statement.fault(condition.path, found=others[0], expected=expected)


@rule_on_policies("I4", why="an action on what it cannot be done to is never allowed or denied", source=_REFERENCE)
def every_resource_fits_an_action(document: Document) -> Iterator[Fault]:
    """
    Every resource is of a service whose actions stand beside it.

    S3's actions on buckets have buckets beside them, its others objects; what bears no resource is allowed on `*`.
    """
    for statement in document.statements:
        services = {_ARN_SERVICES.get(service, service) for service in _services(statement)}
        for resource in statement.resources:
            if resource != "*" and not _is_arn_of(resource, services):
                found, expected = resource, f"an ARN of {' or '.join(sorted(services))}"
                yield statement.fault("Resource", found=found, expected=expected)
        yield from _buckets_and_objects(statement)
        yield from _never_allowed(statement)


def _never_allowed(statement: Statement) -> Iterator[Fault]:
    """Find actions that bear no resource and are allowed on some."""
    if statement.allows and statement.resources and "*" not in statement.resources:
        for action in [each for each in statement.actions if actions_like(each) == (each,)]:
            if not bears_resource(action):
                found, expected = statement.resources[0], f'"*", for {action} bears no resource'
                yield statement.fault("Resource", found=found, expected=expected)


_ARN_SERVICES: Final = {"sts": "iam", "ec2messages": "ssm", "ssmmessages": "ssm", "tag": "*"}
"""What ARNs call the service of an action, where it is another word."""
_ON_ANY: Final = frozenset({"ec2", "ecs", "ssm"})
_ARN: Final = re.compile(r"arn:[\w*-]+:([\w*-]+):[\w*-]*:[\w*-]*:.+", re.DOTALL)


def _services(statement: Statement) -> set[str]:
    patterns = [*statement.actions, *(str(each) for each in listed(statement.raw.get("NotAction")))]
    return {pattern.partition(":")[0] for pattern in patterns}


def _is_arn_of(resource: str, services: set[str]) -> bool:
    match = _ARN.fullmatch(resource)
    return match is not None and (match[1] in services or "*" in services)


def _buckets_and_objects(statement: Statement) -> Iterator[Fault]:
    actions = [action for pattern in statement.actions for action in actions_like(pattern) if action.startswith("s3:")]
    arns = [arn for arn in statement.resources if arn.split(":")[2:3] == ["s3"]]
    if not actions or not arns or "*" in statement.resources:
        return
    has_objects, has_buckets = any("/" in arn for arn in arns), any("/" not in arn or "*" in arn for arn in arns)
    on_objects = [action for action in actions if is_on_objects(action)]
    on_buckets = [action for action in actions if not is_on_objects(action)]
    if on_objects and not has_objects and not all(map(_is_on_both, statement.actions)):
        yield statement.fault("Resource", found=arns, expected=f"objects, for {on_objects[0]}")
    if on_buckets and not on_objects and not has_buckets:
        yield statement.fault("Resource", found=arns, expected=f"a bucket, for {on_buckets[0]}")
    if has_objects and not on_objects:
        yield statement.fault("Resource", found=arns, expected=f"no object, for {on_buckets[0]} is done to a bucket")


def _is_on_both(pattern: str) -> bool:
    """Whether a pattern means actions on buckets and on objects, `s3:*`, and so something on either."""
    return {is_on_objects(action) for action in actions_like(pattern)} == {True, False}


_OBJECT_ACTIONS: Final = frozenset(
    {"s3:AbortMultipartUpload", "s3:BypassGovernanceRetention", "s3:ListMultipartUploadParts"}
)


def is_on_objects(action: str) -> bool:
    """Say whether an action of S3 is done to objects and not to a bucket."""
    name = action.removeprefix("s3:")
    is_named = "Object" in name and not any(word in name for word in ("Bucket", "AccessPoint", "Lambda"))
    return is_named or action in _OBJECT_ACTIONS


# -- whom it means -----------------------------------------------------------------------

_ROLE_ARN: Final = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+")
_ACCOUNT_ARN: Final = re.compile(r"(?:arn:[\w-]+:iam::)?(\d{12})(?::root)?")


@rule_on_policies(
    "K1",
    why="NotPrincipal always denies whoever has a permissions boundary, as our roles do, and needs session ARNs",
    source="IAM guide, AWS JSON policy elements: NotPrincipal",
)
def nobody_is_meant_by_being_left_out(document: Document) -> Iterator[Fault]:
    """No statement has a NotPrincipal; a resource's denial means everybody, less those its condition names."""
    for statement in document.statements:
        if document.kind is Kind.RESOURCE and statement.denies and ("AWS", "*") not in statement.principals:
            found = statement.raw.get("Principal")
            yield statement.fault("Principal", found=found, expected='"*", and whom it spares in a condition')
        if "NotPrincipal" in statement.raw:
            expected = 'Principal "*" and ArnNotLike aws:PrincipalArn'
            yield statement.fault("NotPrincipal", found=statement.raw["NotPrincipal"], expected=expected)


@rule_on_policies(
    "K2",
    why="AWS keeps a role that is a principal by its unique id, which dies with the role; a session's ARN never equals",
    source=_PRINCIPALS,
)
def roles_are_meant_by_their_arn_in_conditions(document: Document) -> Iterator[Fault]:
    """
    Roles are named in conditions on aws:PrincipalArn, by the role's ARN spelt out.

    Neither as principals, nor by reference, by session, by user id or by a wildcard.
    """
    for statement in document.statements:
        for sort, value in statement.principals:
            if sort == "AWS" and value != "*" and not _ACCOUNT_ARN.fullmatch(value):
                yield statement.fault("Principal.AWS", found=value, expected="an account, and the role in a condition")
        for condition in statement.conditions:
            if condition.key.lower() == "aws:userid":
                yield statement.fault(condition.path, found=condition.key, expected="aws:PrincipalArn")
        for condition in statement.on("aws:PrincipalArn"):
            if condition.base != NULL:
                yield from _role_faults(statement, condition)


def _role_faults(statement: Statement, condition: Condition) -> Iterator[Fault]:
    for value in condition.values:
        if isinstance(value, Reference):
            found = Said(f"a reference to {value.logical_id}")
            yield statement.fault(condition.path, found=found, expected="the role's ARN spelt out")
        elif not (isinstance(value, str) and _ROLE_ARN.fullmatch(value)):
            yield statement.fault(
                condition.path, found=value, expected="the ARN of one role, arn:...:iam::...:role/..."
            )


@rule("K18", why="whom a denial was to spare is shut out, for nobody has that name", source=_PRINCIPALS, also=("K2",))
def whoever_a_denial_spares_exists(estate: Estate) -> Iterator[Fault]:
    """Every role of the account that a denial of a bucket's or a key's policy spares is one the templates make."""
    made = {estate.arn(role) for role in estate.of_type("AWS::IAM::Role")}
    for document in documents(estate):
        if document.kind is not Kind.RESOURCE:
            continue
        for statement in document.statements:
            for condition in statement.on("aws:PrincipalArn") if statement.denies else ():
                for value in condition.values:
                    if str(value) not in made and condition.base != NULL:
                        yield statement.fault(
                            condition.path, found=value, expected="the ARN of a role of the templates"
                        )


_FILTERS: Final = ("AWS::EC2::VPCEndpoint",)
"""What has a policy that lets nobody in by itself: whoever passes needs a grant besides."""
_OURS_BY_TEXT: Final = ("aws:SourceAccount", "aws:PrincipalAccount", "kms:CallerAccount", "aws:ResourceAccount")
_OURS_BY_ARN: Final = ("aws:SourceArn", "aws:PrincipalArn")
_POSITIVE: Final = frozenset({"StringEquals", "StringLike", "ArnEquals", "ArnLike"})


@rule_on_policies(
    "S3.2",
    why="whoever finds the resource reads or writes it",
    source="Security Hub S3.2, S3.3, S3.6, SNS.4 and KMS.5",
    also=("S3.3", "S3.6", "SNS.4", "KMS.5", "CIS 2.21"),
)
def nobody_unknown_is_let_in(document: Document) -> Iterator[Fault]:
    """No policy of a resource, and no trust, allows everybody or another account without naming ours in a condition."""
    if document.resource.type in _FILTERS:
        return
    account = document.resource.estate.place.account
    for statement in document.statements:
        if not statement.allows or _is_ours_alone(statement, account) or _is_log_delivery(statement, account):
            continue
        for sort, value in statement.principals:
            match = _ACCOUNT_ARN.fullmatch(value)
            if sort == "AWS" and (value == "*" or (match is not None and match[1] != account)):
                yield statement.fault(
                    "Principal", found=value, expected="the account itself, or a condition that names it"
                )


@rule_on_policies(
    "K23",
    why="the service would do it for any other account that asks it to (the confused deputy)",
    source="IAM guide, The confused deputy problem; S3, SNS and KMS guides",
    also=("K16",),
)
def services_are_let_in_on_our_behalf_alone(document: Document) -> Iterator[Fault]:
    """A resource's policy lets an AWS service in for our own account alone, told by source or encryption context."""
    if document.kind is not Kind.RESOURCE or document.resource.type in _FILTERS:
        return
    account = document.resource.estate.place.account
    for statement in document.statements:
        has_service = any(sort == "Service" for sort, _ in statement.principals)
        if statement.allows and has_service and not _is_on_our_behalf(statement, account):
            expected = f"a condition that names account {account}: aws:SourceAccount, or aws:SourceArn with it"
            yield statement.fault("Condition", found=statement.raw.get("Condition"), expected=expected)


def _is_on_our_behalf(statement: Statement, account: str) -> bool:
    is_ours = _is_ours_alone(statement, account) or _is_log_delivery(statement, account)
    return is_ours or _takes_no_condition(statement)


def _is_ours_alone(statement: Statement, account: str) -> bool:
    return any(_names_account(condition, account) for condition in statement.conditions)


def _names_account(condition: Condition, account: str) -> bool:
    if condition.operator not in _POSITIVE:
        return False
    if condition.key in _OURS_BY_TEXT:
        return set(condition.values) == {account}
    is_arn = condition.key in _OURS_BY_ARN or condition.key.startswith("kms:EncryptionContext:")
    return is_arn and all(str(value).split(":")[4:5] == [account] for value in condition.values)


_UNCONDITIONED: Final[Mapping[str, frozenset[str]]] = {
    "events.amazonaws.com": frozenset({"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey*", "kms:GenerateDataKey"})
}
"""EventBridge takes no condition in a topic's policy (EventBridge guide, SNS permissions), nor so in its key's."""


def _takes_no_condition(statement: Statement) -> bool:
    return all(
        set(statement.actions) <= _UNCONDITIONED.get(value, frozenset())
        for sort, value in statement.principals
        if sort == "Service"
    )


def _is_log_delivery(statement: Statement, account: str) -> bool:
    """Say whether it lets load balancers' logs in: their path names our account, and a condition is not to be had."""
    return statement.actions == ["s3:PutObject"] and all(
        f"/AWSLogs/{account}/" in resource for resource in statement.resources
    )


# -- what a denial shuts out -------------------------------------------------------------

_KMS_DATA: Final = ("Decrypt", "Encrypt", "GenerateDataKey", "GenerateMac", "ReEncrypt", "Sign", "Verify", "Derive")
_KEEPING_VERSIONS: Final = frozenset({"s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"})
_TLS_VERSIONS: Final = (1.2, 1.3)


@rule_on_policies(
    "K3",
    why="a denial of more than data shuts out whoever must repair it, and the account's root alone gets them back in",
    source=_LOCK_OUTS,
)
def no_denial_shuts_out_who_repairs(document: Document) -> Iterator[Fault]:
    """
    A resource's policy denies data actions alone, by name and under a condition.

    Never its own policy, configuration or listing; but less than TLS 1.2 may be denied for everything.
    """
    if document.kind is not Kind.RESOURCE or document.resource.type in _FILTERS:
        return
    for statement in document.statements:
        if statement.denies and not _is_tls_alone(statement):
            yield from _shut_out(statement)


def _shut_out(statement: Statement) -> Iterator[Fault]:
    for element in ("NotAction", "NotResource"):
        if element in statement.raw:
            yield statement.fault(element, found=statement.raw[element], expected="what is denied, by its name")
    if not statement.conditions:
        yield statement.fault("Condition", found=None, expected="a condition, or everybody is denied")
    for pattern in statement.actions:
        actions = ["*"] if pattern == "*" else actions_like(pattern)
        shut = [action for action in actions if not _is_data(action)]
        if shut:
            found = Said(f"{pattern}, which means {shut[0]} too" if shut[0] != pattern else pattern)
            yield statement.fault("Action", found=found, expected="data actions alone")


def _is_data(action: str) -> bool:
    service, _, name = action.partition(":")
    if service == "s3":
        return is_on_objects(action) or action in _KEEPING_VERSIONS
    if service == "kms":
        return name.startswith(_KMS_DATA)
    if service == "dynamodb":
        return name.endswith("Item") or name in {"Query", "Scan"} or name.startswith("PartiQL")
    return action in {"sns:Publish", "sns:Subscribe", "sns:Receive", "sqs:SendMessage", "sqs:ReceiveMessage"}


def _is_tls_alone(statement: Statement) -> bool:
    return bool(statement.conditions) and all(map(_is_of_tls, statement.conditions))


def _is_of_tls(condition: Condition) -> bool:
    match condition.operator, condition.key, condition.values:
        case "Bool", "aws:SecureTransport", (False,) | ("false",):
            return True
        case "NumericLessThan", "s3:TlsVersion", (value,):
            return (number(value) or 9) <= _TLS_VERSIONS[1]
        case _:
            return False


# -- conditions that say something else ------------------------------------------------------

_ABSENCE_IS_MEANT: Final = frozenset(
    {"aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID"}
    | {"aws:SourceVpc", "aws:SourceVpce", "aws:SourceIp", "s3:signatureversion"}
    | {"iam:PermissionsBoundary", "cloudformation:RoleArn", "kms:ViaService"}
    | {"aws:SourceAccount", "aws:ResourceAccount"}
)
"""Keys a denial is to bite without: whoever is nobody, and what came by no endpoint, is denied too."""


@rule_on_policies(
    "K6",
    why="Guard's rule and others look for the boolean, and another operator also holds where the key is absent",
    source="Security Hub S3.5; Guard registry, S3_BUCKET_SSL_REQUESTS_ONLY",
    also=("S3.5",),
)
def transport_is_compared_with_a_boolean(document: Document) -> Iterator[Fault]:
    """aws:SecureTransport is compared by Bool with a JSON boolean: false where it denies, true where it allows."""
    for statement in document.statements:
        for condition in statement.on("aws:SecureTransport"):
            wanted = statement.allows
            if condition.operator != "Bool" or list(condition.values) != [wanted] or condition.values[0] is not wanted:
                found = Said(f"{condition.operator} {list(condition.values)}")
                yield statement.fault(condition.path, found=found, expected=f"Bool {str(wanted).lower()}")


@rule_on_policies("K7", why="older versions of TLS are let through, or nobody is", source=_REFERENCE)
def tls_versions_are_told_by_a_number(document: Document) -> Iterator[Fault]:
    """s3:TlsVersion is compared by NumericLessThan with 1.2 or 1.3 in a denial."""
    for statement in document.statements:
        for condition in statement.on("s3:TlsVersion"):
            values = [number(value) for value in condition.values]
            is_right = condition.operator == "NumericLessThan" and statement.denies
            if not is_right or len(values) != 1 or values[0] not in _TLS_VERSIONS:
                found = Said(f"{condition.operator} {list(condition.values)}")
                yield statement.fault(condition.path, found=found, expected="Deny with NumericLessThan 1.2")


@rule_on_policies(
    "K9",
    why="a negated operator and one with IfExists hold where the key is absent: plain uploads are denied",
    source=_OPERATORS,
)
def absent_keys_are_thought_of(document: Document) -> Iterator[Fault]:
    """
    Every condition says what becomes of a request without its key.

    ForAnyValue and ForAllValues stand before keys of several values alone. No operator ends with IfExists. A negated
    one has `Null false` of its key beside it, but for keys without which a request is meant to be denied. No comparison
    has `Null true` beside it. ForAllValues stands in no Allow without `Null false`.
    """
    for statement in document.statements:
        nulls = {each.key: each for each in statement.conditions if each.base == NULL}
        for condition in statement.conditions:
            if condition.base != NULL:
                yield from _absence(statement, condition, nulls.get(condition.key))


def _absence(statement: Statement, condition: Condition, null: Condition | None) -> Iterator[Fault]:
    is_there = null is not None and all(value in {False, "false"} for value in null.values)
    if condition.holds_if_absent:
        expected = f"{condition.operator.removesuffix('IfExists')} with Null false beside it"
        yield statement.fault(condition.path, found=condition.operator, expected=expected)
    if null is not None and not is_there:
        yield statement.fault(null.path, found=list(null.values), expected="false, or both hold never together")
    if condition.quantifier and condition.key not in _OF_SEVERAL_VALUES:
        expected = f"{condition.base}, for the key has one value: {condition.quantifier}... says another of its absence"
        yield statement.fault(condition.path, found=condition.operator, expected=expected)
    is_open = condition.base in NEGATED or (condition.quantifier == "ForAllValues:" and statement.allows)
    if not is_open:
        return
    if statement.denies and condition.key in _ABSENCE_IS_MEANT:
        if null is not None:
            yield statement.fault(
                null.path, found=Said("Null"), expected="none, for a request without the key is denied too"
            )
    elif not is_there:
        expected = f"Null {condition.key} false beside it"
        yield statement.fault(condition.path, found=Said(f"{condition.operator} alone"), expected=expected)


_OF_SEVERAL_VALUES: Final = frozenset(
    {
        *("aws:CalledVia", "aws:TagKeys", "cloudformation:ResourceTypes", "dynamodb:Attributes"),
        *("dynamodb:LeadingKeys", "kms:EncryptionContextKeys", "kms:GrantOperations", "kms:ResourceAliases"),
        *("route53:ChangeResourceRecordSetsActions", "route53:ChangeResourceRecordSetsNormalizedRecordNames"),
        "route53:ChangeResourceRecordSetsRecordTypes",
    }
)
"""Before any other key a set operator is a mistake (IAM guide, "Single-valued vs. multivalued context keys")."""


# -- too much ---------------------------------------------------------------------------------


def grants(document: Document) -> bool:
    """Say whether a policy grants something to roles; a boundary bounds them."""
    return document.kind is Kind.IDENTITY and not _is_boundary(document.resource)


def _is_boundary(resource: Resource) -> bool:
    if resource.type != "AWS::IAM::ManagedPolicy" or any(resource.get(name) for name in ("Roles", "Users", "Groups")):
        return False
    arn = resource.estate.arn(resource)
    roles = resource.estate.of_type("AWS::IAM::Role")
    bounded = {str(role.get("PermissionsBoundary")) for role in roles}
    attached = {str(each) for role in roles for each in role.texts("ManagedPolicyArns")}
    return arn in bounded and arn not in attached


@rule_on_policies(
    "IAM.21",
    why="whatever the service learns to do tomorrow is allowed too",
    source="Security Hub IAM.1 and IAM.21",
    also=("IAM.1", "CIS 2.14"),
)
def no_role_may_do_everything(document: Document) -> Iterator[Fault]:
    """No identity policy allows all actions, all of a service, or all but some; a boundary not all actions."""
    if document.kind is not Kind.IDENTITY:
        return
    for statement in document.statements:
        if not statement.allows:
            continue
        if "NotAction" in statement.raw:
            yield statement.fault(
                "NotAction", found=statement.raw["NotAction"], expected="the actions that are allowed"
            )
        for pattern in statement.actions:
            is_too_much = _is_everything(pattern) if not grants(document) else _is_all_of_a_service(pattern)
            if is_too_much:
                yield statement.fault("Action", found=pattern, expected="actions by their names")


def _is_everything(pattern: str) -> bool:
    return not pattern.partition(":")[0].strip("*?") or ":" not in pattern


def _is_all_of_a_service(pattern: str) -> bool:
    service, _, name = pattern.partition(":")
    return "*" in service or not name.strip("*?")


@rule_on_policies(
    "IAM_POLICYDOCUMENT_NO_WILDCARD_RESOURCE",
    why="the role may do it to whatever else there is in the account",
    source="Guard registry, IAM_POLICYDOCUMENT_NO_WILDCARD_RESOURCE",
)
def no_role_may_do_it_to_everything(document: Document) -> Iterator[Fault]:
    """
    No identity policy allows an action on everything, or on things of every account.

    But for actions that bear no resource, `ecr:GetAuthorizationToken` and its like, for those that list and describe,
    and under a condition on the resource's or the request's tags.
    """
    if not grants(document):
        return
    for statement in document.statements:
        wide = [arn for arn in statement.resources if _is_any_resource(arn)]
        if "NotResource" in statement.raw and statement.allows:
            yield statement.fault(
                "NotResource", found=statement.raw["NotResource"], expected="the resources it is allowed on"
            )
        if not statement.allows or not wide or _is_fenced(statement):
            continue
        actions = [action for pattern in statement.actions for action in actions_like(pattern)]
        narrow = [action for action in actions if _needs_resource(action)]
        if narrow:
            yield statement.fault("Resource", found=wide[0], expected=f"what {narrow[0]} is allowed on, by ARN")


def _needs_resource(action: str) -> bool:
    return bears_resource(action) and not _LOOKING.match(action) and action not in _EITHER_WAY


def _is_any_resource(arn: str) -> bool:
    parts = arn.split(":", 5)
    return len(parts) < 6 or not parts[5].strip("*/?") or "*" in parts[4]  # noqa: PLR2004  arn:p:s:r:account:resource


_LOOKING: Final = re.compile(r"[\w-]+:(Describe|List)|(cloudwatch|ec2):Get")
"""What lists and describes things finds them by other than their ARNs."""
_EITHER_WAY: Final = frozenset(
    {"ecs:CreateCapacityProvider", "ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition", "sns:Unsubscribe"}
)
"""Whether these bear a resource AWS's tables have said differently over time; `*` is right either way."""
_FENCES: Final = ("aws:ResourceTag/", "aws:RequestTag/", "aws:CalledVia", "ecs:cluster", "iam:AWSServiceName")


def _is_fenced(statement: Statement) -> bool:
    """Say whether a condition tells ours from others' things where an ARN cannot."""
    return any(
        each.key.startswith(_FENCES) and each.operator in {*_POSITIVE, "ForAnyValue:StringEquals"}
        for each in statement.conditions
    )


_DECRYPTING: Final = ("kms:Decrypt", "kms:ReEncryptFrom")


@rule_on_policies(
    "KMS.1",
    why="the role reads whatever any key of the account protects",
    source="Security Hub KMS.1 and KMS.2",
    also=("KMS.2",),
)
def no_role_decrypts_with_any_key(document: Document) -> Iterator[Fault]:
    """
    No policy of a role, managed or inline, allows to decrypt with keys that are not named by their ARN.

    But keys of the account that bear a tag of ours, through a service that is named and is not S3: CloudFormation
    makes the table in the same stack as its key, whose id nobody knows before.
    """
    if not grants(document):
        return
    for statement in document.statements:
        decrypts = statement.allows and any(statement.means(action) for action in _DECRYPTING)
        if decrypts and not _is_told_by_tag(statement):
            for arn in _unnamed_keys(statement.resources):
                yield statement.fault("Resource", found=arn, expected="the ARN of one key")


def _is_told_by_tag(statement: Statement) -> bool:
    is_tagged = any(
        each.key.startswith("aws:ResourceTag/") and each.operator == "StringEquals" for each in statement.conditions
    )
    through = [str(value) for each in statement.on("kms:ViaService") for value in each.values]
    return is_tagged and bool(through) and not any(name.startswith(("s3.", "*")) for name in through)


def _unnamed_keys(resources: Iterable[str]) -> list[str]:
    return [arn for arn in resources if "*" in arn or "?" in arn or ":key/" not in arn]


RULES: Final[tuple[Rule, ...]] = (
    every_policy_has_statements,
    every_statement_is_whole,
    no_policy_is_too_long,
    every_action_is_one_aws_knows,
    every_condition_is_one_aws_knows,
    every_resource_fits_an_action,
    nobody_is_meant_by_being_left_out,
    roles_are_meant_by_their_arn_in_conditions,
    whoever_a_denial_spares_exists,
    nobody_unknown_is_let_in,
    services_are_let_in_on_our_behalf_alone,
    no_denial_shuts_out_who_repairs,
    transport_is_compared_with_a_boolean,
    tls_versions_are_told_by_a_number,
    absent_keys_are_thought_of,
    no_role_may_do_everything,
    no_role_may_do_it_to_everything,
    no_role_decrypts_with_any_key,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
