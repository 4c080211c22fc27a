"""
The rules on stores: the certificate's bucket, and what is written, kept and never forgotten in it.

Which bucket is meant is what the service's containers are told. Where a policy
decides, it is asked: by everybody, over every channel, with every encryption.
Who reads the key at all is judged with the access matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from service import contract
from service.contract import Variable
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.guarded import BUCKET, KEY, TABLE, Bucket, Channel, Way, certificate_buckets
from stacks.rules.locked_buckets import NOTHING, Context, answer, any_of, default_encryptions, is_denied, lifecycle
from stacks.rules.principals import RoleOfOurs, administrator, anonymous, roles, root, stack_roles, task_roles
from stacks.rules.register import Entry, exception, kept_elsewhere
from stacks.rules.rule import Rule, absent, rule
from stacks.rules.topology import TASK_DEFINITION, containers_of, inner_tables
from stacks.rules.values import listed, number

_S3_CONTROLS: Final = "Security Hub user guide, S3 controls"
_S3_ENCRYPTION: Final = "S3 guide, PutBucketEncryption: an alias is looked up in the requester's account"
_IAM_OPERATORS: Final = "IAM guide, condition operators: absent keys; S3 API, PutObject"
_LEAST_ROLLBACK_DAYS: Final = 30
"""How long a replaced pair can be gone back to at the least; 90 is advised."""


# -- there are stores -------------------------------------------------------------------


@rule("K12", why="the service boots from the one and finds its clients in the other", source="What the service is told")
def the_service_has_its_stores(estate: Estate) -> Iterator[Fault]:
    """The containers of the service name a bucket for their certificate and a table of clients that templates make."""
    for path, container, definition in _containers(estate):
        told = {str(entry.get("Name")): entry.get("Value") for _, entry in inner_tables(path, container, "Environment")}
        for variable, resource_type in ((Variable.CERTIFICATE_BUCKET, BUCKET), (Variable.CLIENT_REGISTRY_TABLE, TABLE)):
            if estate.called(told.get(variable), resource_type) is None:
                expected = f"{variable} to name a {resource_type} of the templates"
                yield definition.fault(f"{path}.Environment", found=told.get(variable), expected=expected)
    if not list(_containers(estate)):
        yield absent("a container of the service, which names its certificate's bucket")


def _containers(estate: Estate) -> list[tuple[str, Mapping[str, Any], Resource]]:
    found = [
        (*part, definition) for definition in estate.of_type(TASK_DEFINITION) for part in containers_of(definition)
    ]
    return [each for each in found if each[1].get("Name") == contract.CONTAINER_NAME]


@rule("K19", why="somebody else's bucket of that name would be read", source="S3 API, expected bucket owner")
def the_service_knows_its_buckets_owner(estate: Estate) -> Iterator[Fault]:
    """The containers of the service are told that the certificate's bucket is the account's own."""
    for path, container, definition in _containers(estate):
        told = {entry.get("Name"): entry.get("Value") for _, entry in inner_tables(path, container, "Environment")}
        owner = told.get(Variable.CERTIFICATE_BUCKET_OWNER)
        if owner != estate.place.account:
            expected = f"{Variable.CERTIFICATE_BUCKET_OWNER} of {estate.place.account}"
            yield definition.fault(f"{path}.Environment", found=owner, expected=expected)


# -- the certificate's bucket -------------------------------------------------------------------


@rule(
    "K12",
    why="one day the service finds no pair to boot with, or cannot go back to the one before",
    source="S3 guide, lifecycle configuration",
)
def the_pair_never_expires(estate: Estate) -> Iterator[Fault]:
    """No lifecycle ends or moves what is current in the certificate's bucket, nor a replaced version within a month."""
    for bucket in _certificate_resources(estate):
        for path, part in lifecycle(bucket):
            for name in sorted(set(part) & _CURRENT):
                yield bucket.fault(f"{path}.{name}", found=part[name], expected="none, for the pair in force is meant")
            for name in sorted(set(part) & _REPLACED):
                yield bucket.fault(f"{path}.{name}", found=part[name], expected="none, for an archive takes hours")
            noncurrent = part.get("NoncurrentVersionExpiration")
            days = [noncurrent.get("NoncurrentDays")] if isinstance(noncurrent, dict) else []
            days += listed(part.get("NoncurrentVersionExpirationInDays"))
            for found in days:
                if (number(found) or 0) < _LEAST_ROLLBACK_DAYS:
                    expected = f"{_LEAST_ROLLBACK_DAYS} days at least"
                    yield bucket.fault(f"{path}.NoncurrentVersionExpiration", found=found, expected=expected)


_REPLACED: Final = frozenset({"NoncurrentVersionTransition", "NoncurrentVersionTransitions"})
_CURRENT: Final = frozenset({"ExpirationDate", "ExpirationInDays", "Transition", "Transitions"})


def _certificate_resources(estate: Estate) -> list[Resource]:
    return list({each.resource.name: each.resource for each in certificate_buckets(estate)}.values())


@rule(
    "K10",
    why="the second lock, the key's, is not there",
    source=_S3_ENCRYPTION,
    also=("S3.17",),
)
def the_certificate_is_encrypted_with_our_key(estate: Estate) -> Iterator[Fault]:
    """The certificate's bucket encrypts with a key of the templates by its ARN, and with a bucket key."""
    for bucket in _certificate_resources(estate):
        rules = bucket.tables("BucketEncryption.ServerSideEncryptionConfiguration")
        if len(rules) != 1 or len(default_encryptions(bucket)) != 1:
            yield bucket.fault("BucketEncryption", found=bucket.get("BucketEncryption"), expected="one rule")
        for path, part in rules:
            if part.get("BucketKeyEnabled") is not True:
                yield bucket.fault(f"{path}.BucketKeyEnabled", found=part.get("BucketKeyEnabled"), expected="true")
            blocked = part.get("BlockedEncryptionTypes")
            if not isinstance(blocked, dict) or "SSE-C" not in listed(blocked.get("EncryptionType")):
                expected = "EncryptionType SSE-C, or whoever writes may bring a key of their own"
                yield bucket.fault(f"{path}.BlockedEncryptionTypes", found=blocked, expected=expected)
        for path, default in default_encryptions(bucket):
            yield from _key_faults(bucket, path, default)


def _key_faults(bucket: Resource, path: str, default: Mapping[str, Any]) -> Iterator[Fault]:
    if default.get("SSEAlgorithm") != "aws:kms":
        yield bucket.fault(f"{path}.SSEAlgorithm", found=default.get("SSEAlgorithm"), expected='"aws:kms"')
    key = default.get("KMSMasterKeyID")
    found = bucket.estate.called(key, KEY)
    if found is None or key != bucket.estate.arn(found):
        yield bucket.fault(f"{path}.KMSMasterKeyID", found=key, expected="the ARN of a key of the templates")


@rule(
    "K22",
    why="a key that is replaced or deleted rouses nobody",
    source=_S3_CONTROLS,
    also=("S3.11",),
)
def changes_of_the_certificate_are_events(estate: Estate) -> Iterator[Fault]:
    """The certificate's bucket tells EventBridge of its objects."""
    path = "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled"
    for bucket in _certificate_resources(estate):
        if bucket.get(path) is not True:
            yield bucket.fault(path, found=bucket.get(path), expected="true")


@rule(
    "K9",
    why="the pair is written under a key without our lock, or nobody can write it at all",
    source=_IAM_OPERATORS,
)
def the_pair_is_written_with_our_key_alone(estate: Estate) -> Iterator[Fault]:
    """
    Key objects are written with the bucket's own encryption or with its key by name, and with no other.

    A write that asks for nothing goes through, and so does the manifest with S3's own keys.
    """
    for bucket in certificate_buckets(estate):
        writers = [role for role in roles(estate) if not is_denied(bucket, any_of(role), ("s3:PutObject", _PAIR))]
        if not writers:
            found = Said(f"nobody who may write {_PAIR} without asking for an encryption")
            yield bucket.policy_resource.fault("PolicyDocument", found=found, expected="the certificate's keeper")
        for role in writers:
            yield from _encryption_faults(bucket, role)


def _encryption_faults(bucket: Bucket, role: RoleOfOurs) -> Iterator[Fault]:
    key_arn = bucket.key.arn if bucket.key is not None else ""
    other = bucket.resource.estate.place.arn("kms", "key/00000000-0000-0000-0000-000000000000")
    questions: tuple[tuple[str, dict[str, str], bool], ...] = (
        (_PAIR, {_ALGORITHM: "AES256"}, True),
        (_PAIR, {_ALGORITHM: "aws:kms:dsse", _KEY_ID: key_arn}, True),
        (_PAIR, {_ALGORITHM: "aws:kms", _KEY_ID: other}, True),
        # Without a key's name S3 takes a key of its own, whatever the bucket's is (S3 API, PutObject).
        (_PAIR, {_ALGORITHM: "aws:kms"}, True),
        (_PAIR, {_ALGORITHM: "aws:kms", _KEY_ID: key_arn}, False),
        (contract.MANIFEST_KEY, {_ALGORITHM: "AES256"}, False),
    )
    for key, asked, is_refused in questions:
        if is_denied(bucket, any_of(role), ("s3:PutObject", key), more=asked) is not is_refused:
            words = ", ".join(asked.values())
            found = Said(f"{key} written with {words} is {'let through' if is_refused else 'denied'}")
            expected = "it denied" if is_refused else "it let through"
            yield bucket.policy_resource.fault("PolicyDocument", found=found, expected=expected)


_PAIR: Final = contract.PRIVATE_KEY_KEY
_ALGORITHM: Final = "s3:x-amz-server-side-encryption"
_KEY_ID: Final = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@rule(
    "K11",
    why="a presigned address is a bearer token: whoever finds it reads the key",
    source="S3 guide, Signature Version 4 policy keys",
)
def presigned_addresses_are_denied(estate: Estate) -> Iterator[Fault]:
    """The certificate's bucket denies every request for its objects that is presigned or of an old signature."""
    for bucket in certificate_buckets(estate):
        readers = [any_of(role) for role in task_roles(estate)]
        writers = [
            any_of(role) for role in roles(estate) if not is_denied(bucket, any_of(role), ("s3:PutObject", _PAIR))
        ]
        asked = [("s3:GetObject", who) for who in readers] + [("s3:PutObject", who) for who in writers]
        for channel in (Channel.PRESIGNED, Channel.OLD_SIGNATURE):
            for action, who in asked:
                for key in (_PAIR, contract.MANIFEST_KEY):
                    if not is_denied(bucket, who, (action, key), way=Way(channel)):
                        found = Said(f"{action} on {key} with {channel}, which nothing denies {who.arn}")
                        yield bucket.policy_resource.fault("PolicyDocument", found=found, expected="a denial")


# -- what is never forgotten -----------------------------------------------------------------------

_FORGETTING: Final = ("s3:PutBucketVersioning", "s3:PutLifecycleConfiguration")


@rule(
    "K20",
    why="one mistake or one stolen session destroys every version of the pair in force",
    source="In the place of MFA Delete and Object Lock: ADR 0017",
)
def versions_are_erased_by_break_glass_alone(estate: Estate) -> Iterator[Fault]:
    """
    The certificate's bucket denies erasing versions to everybody but one role that people take with MFA.

    Versioning and lifecycle are denied to everybody but it and the role CloudFormation works as.
    """
    for bucket in certificate_buckets(estate):
        place = estate.place
        others = (administrator(place), root(place), administrator(place, "999999999999"), anonymous())
        erasing = [role for role in roles(estate) if not is_denied(bucket, any_of(role), _ERASING)]
        if any(not is_denied(bucket, who, _ERASING) for who in others) or not _is_emergency(erasing):
            found = Said(" and ".join(role.resource.name for role in erasing) or "nobody of ours")
            expected = "s3:DeleteObjectVersion denied to all but one role that people take with MFA"
            yield bucket.policy_resource.fault("PolicyDocument", found=found, expected=expected)
        wanted = {role.arn for role in (*erasing, *stack_roles(estate))}
        for action in _FORGETTING:
            let = {role.arn for role in roles(estate) if not is_denied(bucket, any_of(role), (action, ""))}
            if let != wanted or any(not is_denied(bucket, who, (action, "")) for who in others):
                found = Said(f"{action} not denied to {sorted(let) or 'nobody of ours'}")
                expected = f"denied to all but {sorted(wanted)}"
                yield bucket.policy_resource.fault("PolicyDocument", found=found, expected=expected)


_ERASING: Final = ("s3:DeleteObjectVersion", contract.PRIVATE_KEY_KEY)


def _is_emergency(erasing: list[RoleOfOurs]) -> bool:
    return len(erasing) == 1 and erasing[0].is_for_people and _demands_mfa(erasing[0])


def _demands_mfa(role: RoleOfOurs) -> bool:
    statements = role.resource.tables("AssumeRolePolicyDocument.Statement")
    keys = {key for _, each in statements for keys in (each.get("Condition") or {}).values() for key in keys}
    return "aws:MultiFactorAuthPresent" in keys


@rule(
    "K21",
    why="the ceremony or the emergency finds out that it may not",
    source="The ceremonies and the runbook for a server key that got about",
)
def keeper_and_emergency_can_do_their_work(estate: Estate) -> Iterator[Fault]:
    """
    Who may write the pair can do every step of the ceremonies, and who may erase versions can purge and mend.

    Without listing, a missing object looks like a forbidden one, and the first certificate is never installed.
    """
    for bucket in certificate_buckets(estate):
        for asked, steps in ((("s3:PutObject", _PAIR), _CEREMONIES), (_ERASING, _EMERGENCY)):
            for role in [each for each in roles(estate) if not is_denied(bucket, any_of(each), asked)]:
                for action, key, more in steps:
                    if not answer(bucket, role.principal, (action, key), more=more).is_allowed:
                        found = Said(f"{action} on {key or 'the bucket'} is not allowed")
                        yield role.resource.fault("", found=found, expected="it allowed, as its work needs it")


_S3S_OWN: Final = {_ALGORITHM: "AES256"}
_CEREMONIES: Final[tuple[tuple[str, str, Context], ...]] = (
    ("s3:ListBucket", "", NOTHING),
    ("s3:ListBucketVersions", "", NOTHING),
    *(
        (action, _PAIR, NOTHING)
        for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject")
    ),
    ("s3:GetObject", contract.MANIFEST_KEY, NOTHING),
    ("s3:PutObject", contract.MANIFEST_KEY, _S3S_OWN),
)
_EMERGENCY: Final[tuple[tuple[str, str, Context], ...]] = (
    *((action, "", NOTHING) for action in ("s3:ListBucketVersions", "s3:GetBucketPolicy", "s3:PutBucketPolicy")),
    *((action, "", NOTHING) for action in ("s3:DeleteBucketPolicy", "s3:PutBucketVersioning")),
    *((action, _PAIR, NOTHING) for action in ("s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion")),
)


@rule(
    "K3",
    why="an object's tags, its retention or a copy brought back from an archive are changed by whoever administers",
    source="S3 guide, actions on objects",
)
def nobody_changes_anything_of_an_object(estate: Estate) -> Iterator[Fault]:
    """
    The certificate's bucket denies administrators every action that changes an object, wherever it lies.

    And every one that tells of a key object, its tags, its lists and its torrent too.
    """
    place = estate.place
    changing = [(action, key) for action in _CHANGING for key in (_PAIR, contract.MANIFEST_KEY, "elsewhere/object")]
    for bucket in certificate_buckets(estate):
        for action, key in [*changing, *((action, _PAIR) for action in _TELLING)]:
            if any(not is_denied(bucket, who, (action, key)) for who in (administrator(place), root(place))):
                found = Said(f"{action} on {key}, which nothing denies an administrator")
                yield bucket.policy_resource.fault("PolicyDocument", found=found, expected="a denial")


_TELLING: Final = tuple(f"s3:GetObject{what}" for what in ("Acl", "Attributes", "Tagging", "Torrent", "VersionTagging"))
_CHANGING: Final = (
    *("s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging", "s3:PutObjectAcl"),
    *("s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:RestoreObject", "s3:DeleteObject"),
    *("s3:DeleteObjectTagging", "s3:DeleteObjectVersion", "s3:DeleteObjectVersionTagging"),
)


@rule("K4", why="what leads round the bucket's name leads round who watches it", source=_S3_CONTROLS)
def nothing_else_leads_to_the_pair(estate: Estate) -> Iterator[Fault]:
    """The certificate's bucket is no website, is copied and listed nowhere, and has no access point."""
    for bucket in _certificate_resources(estate):
        for name in (
            "WebsiteConfiguration",
            "CorsConfiguration",
            "ReplicationConfiguration",
            "AccelerateConfiguration",
            "InventoryConfigurations",
        ):
            if bucket.get(name) is not None:
                yield bucket.fault(name, found=bucket.get(name), expected="none")
        for point in estate.of_type("AWS::S3::AccessPoint", "AWS::S3::MultiRegionAccessPoint"):
            named = [point.get("Bucket"), *(region.get("Bucket") for _, region in point.tables("Regions"))]
            if any(estate.called(name, BUCKET) == bucket for name in named):
                yield point.fault("", found=Said("a way to the certificate's bucket"), expected="none")


@rule("K20", why="a key that is known to others cannot be purged before the lock's time is over", source="S3 guide")
def nothing_locks_the_pair(estate: Estate) -> Iterator[Fault]:
    """The certificate's bucket has no Object Lock."""
    for bucket in _certificate_resources(estate):
        for name in ("ObjectLockEnabled", "ObjectLockConfiguration"):
            if bucket.get(name):
                yield bucket.fault(name, found=bucket.get(name), expected="none")


RULES: Final[tuple[Rule, ...]] = (
    the_service_has_its_stores,
    the_service_knows_its_buckets_owner,
    changes_of_the_certificate_are_events,
    the_pair_never_expires,
    the_certificate_is_encrypted_with_our_key,
    the_pair_is_written_with_our_key_alone,
    presigned_addresses_are_denied,
    versions_are_erased_by_break_glass_alone,
    keeper_and_emergency_can_do_their_work,
    nobody_changes_anything_of_an_object,
    nothing_else_leads_to_the_pair,
    nothing_locks_the_pair,
)
ENTRIES: Final[tuple[Entry, ...]] = (
    exception(
        "S3.7",
        "A bucket is replicated into another region.",
        why="the server's private key stays in its region",
        instead="versions, kept for 90 days; a pair can be made anew within minutes (runbook, the region is lost)",
    ),
    exception(
        "S3.9",
        "Every bucket logs the requests to it.",
        why="the log bucket alone does not: it would log its own logging, without end",
        instead="its policy admits nobody but the services that deliver logs (E13, K23); who changes the bucket"
        " stands in the audit trail, where there is one",
    ),
    exception(
        "S3.17",
        "Every bucket is encrypted with a KMS key.",
        why="the log bucket alone is not: load balancer and S3 deliver logs under S3's own keys and no other",
        instead="S3's own encryption, TLS alone, no public access; logs hold addresses and object names, no secret",
    ),
    exception(
        "S3.15",
        "Buckets have Object Lock.",
        why="a private key that is known to others must be purged at once, with all its versions",
        instead="versions are erased by the break-glass role alone, which rings (K20, ADR 0017)",
    ),
    exception(
        "S3.20",
        "Buckets have MFA Delete.",
        why="it can be set by the account's root alone, not by CloudFormation, and not beside a lifecycle",
        instead="versions are erased by the break-glass role alone, which is taken with MFA (K20, ADR 0017)",
    ),
    exception(
        "CIS 3.1.2",
        "Buckets have MFA Delete.",
        why="as S3.20",
        instead="versions are erased by the break-glass role alone, which is taken with MFA (K20, ADR 0017)",
    ),
    exception(
        "CFN_NO_EXPLICIT_RESOURCE_NAMES",
        "No resource has a name spelt out in its template.",
        why="policies name roles, bucket and table before they are there, and no stack waits for itself (K18)",
        instead="names are made in one place of project, environment, account and region; what would replace something"
        " that bears one stops until it is named",
    ),
    kept_elsewhere(
        "S3.1",
        "The account blocks public access to all its buckets.",
        why="CloudFormation has no type for it, and it is the account's, not an environment's",
        instead="whoever keeps the account; every bucket of ours blocks it by itself (S3.8)",
    ),
    kept_elsewhere(
        "K24",
        "The account blocks public access to all its buckets.",
        why="CloudFormation has no type for it, and it is the account's, not an environment's",
        instead="whoever keeps the account; every bucket of ours blocks it by itself (S3.8)",
    ),
)
