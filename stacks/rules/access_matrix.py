"""The rules on who reads the private key, judged as IAM judges: by evaluation, for whoever exists and whoever might."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Final

from service import contract
from stacks.access.matching import is_like
from stacks.access.request import AttachedPolicy, Principal, ResourcePolicy, ResourcePolicyKind
from stacks.access.statement import Effect, Statement
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.guarded import (
    BUCKET,
    BUCKET_POLICY,
    FROM_OUTSIDE,
    KEY,
    OTHER_ENDPOINT,
    Bucket,
    Endpoint,
    Key,
    Question,
    Table,
    Way,
    ask_bucket,
    ask_key,
    ask_key_for_items,
    ask_key_for_objects,
    ask_table,
    buckets,
    certificate_buckets,
    endpoints,
    key_of,
    registries,
)
from stacks.rules.locks import (
    READING,
    in_other_words,
    namesakes,
    pinned_endpoints,
    readers_of_objects,
    strangers,
    users_of_key,
    writers_of_objects,
)
from stacks.rules.principals import (
    RoleOfOurs,
    administrator,
    all_powerful,
    roles,
    root,
    stack_roles,
    task_roles,
)
from stacks.rules.register import Entry
from stacks.rules.rule import Rule, absent, rule, rule_of

_GUIDE: Final = "IAM guide, Policy evaluation logic; evaluated by stacks/access"
_WHAT_IS_TOLD: Final = "a bucket that the service's containers are told of, encrypted with a key of the templates"
_KEEPERS: Final = 2
"""Who reads beside the task: the certificate's admin, and break-glass."""
_BOOTED_FROM: Final = (contract.MANIFEST_KEY, contract.CHAIN_KEY, contract.PRIVATE_KEY_KEY)
_NOBODY_ELSE: Final = "nobody but the task's role and two roles of people to pass"
_HANDING: Final = ("cloudformation:createchangeset", "cloudformation:createstack", "iam:passrole")
_NO_DEPLOYER: Final = "a reader that is the task's role, or a role of people who do not deploy"


# -- K4: exactly three readers ---------------------------------------------------------


@rule("K4", why="who reads the server's private key can be the server", source=_GUIDE)
def three_roles_pass_the_buckets_lock(estate: Estate) -> Iterator[Fault]:
    """
    The policy of the certificate bucket lets exactly three roles read what lies under the key's prefix.

    They are the role of the task, and two that people take and that do not
    deploy: the certificate's admin and break-glass. An administrator, the root
    user, another role, account or environment, and nobody in particular are
    refused whatever their own policies allow.
    """
    if not certificate_buckets(estate):
        yield absent(_WHAT_IS_TOLD)
    for lock in _locks(estate):
        yield from _judge_readers(lock.readers, lock.bucket.policy_resource, estate)


@rule("K4", why="who decrypts with the certificate's key needs only a copy of the object", source=_GUIDE, also=("K14",))
def three_roles_pass_the_keys_lock(estate: Estate) -> Iterator[Fault]:
    """The policy of the key that encrypts the certificate bucket lets the same three roles decrypt, and nobody else."""
    for lock in _locks(estate):
        key = lock.bucket.key
        if key is None:
            found = Said("no key of the templates")
            yield lock.bucket.resource.fault("BucketEncryption", found=found, expected=_WHAT_IS_TOLD)
        else:
            yield from _judge_readers(lock.decrypters, key.resource, estate)


def _judge_readers(readers: Mapping[str, str], holder: Resource, estate: Estate) -> Iterator[Fault]:
    path = _policy_path(holder)
    ours = {role.arn: role for role in roles(estate)}
    tasks = {role.arn for role in task_roles(estate)}
    for reader, example in readers.items():
        found = Said(f"{reader} passes with {example}")
        if reader not in ours:
            yield holder.fault(path, found=found, expected=_NOBODY_ELSE)
        elif reader not in tasks and (not ours[reader].is_for_people or _deploys(ours[reader])):
            yield holder.fault(path, found=found, expected=_NO_DEPLOYER)
    keepers = [reader for reader in readers if reader in ours and reader not in tasks]
    if len(keepers) != _KEEPERS:
        expected = "two roles of people to pass, the certificate's admin and break-glass"
        yield holder.fault(path, found=Said(", ".join(keepers) if keepers else "none"), expected=expected)
    for task in sorted(tasks - set(readers)):
        yield holder.fault(path, found=Said(f"{task} is refused"), expected="the task's role to pass")


@rule(
    "K4",
    why="a service that cannot read its pair does not boot, and who cannot write it cannot rotate it",
    source=_GUIDE,
)
def the_readers_really_read(estate: Estate) -> Iterator[Fault]:
    """
    The task reads manifest, chain and key through its VPC; the keepers read, and one of them writes, from outside.

    Their own policies, their boundaries, the endpoint's policy and both locks
    all let them; for an object it takes S3 and KMS.
    """
    tasks = task_roles(estate)
    for lock in _locks(estate):
        bucket = lock.bucket
        for task in tasks:
            for needed in _task_reads(bucket, task):
                yield from _refused(task, needed)
        keepers = [role for role in roles(estate) if role.arn in lock.readers and role not in tasks]
        for role in keepers:
            yield from _refused(role, _of_the_pair(bucket, role, "s3:GetObject", "kms:Decrypt"))
        writing = (_of_the_pair(bucket, role, "s3:PutObject", "kms:GenerateDataKey") for role in keepers)
        if keepers and not any(all(each.answer().is_allowed for each in needed) for needed in writing):
            holder = bucket.policy_resource
            expected = "a role that passes the lock to write the pair, and a data key with it"
            yield holder.fault(_policy_path(holder), found=Said("none"), expected=expected)


@rule("K3", why="who can put another pair in its place can be the server as well", source=_GUIDE)
def nobody_else_writes_the_pair(estate: Estate) -> Iterator[Fault]:
    """The certificate bucket's policy lets only roles of people who do not deploy put and delete its objects."""
    ours = {role.arn: role for role in roles(estate)}
    for bucket in certificate_buckets(estate):
        for writer, example in writers_of_objects(bucket).items():
            if writer not in ours or not ours[writer].is_for_people or _deploys(ours[writer]):
                holder, found = bucket.policy_resource, Said(f"{writer} passes with {example}")
                yield holder.fault(
                    _policy_path(holder), found=found, expected="roles of people who do not deploy alone"
                )


@rule("K4", why="a plan that cannot read the manifest cannot tell which certificate is in force", source=_GUIDE)
def who_deploys_reads_the_manifest_alone(estate: Estate) -> Iterator[Fault]:
    """Who hands stacks to CloudFormation, and is no service, reads the manifest and nothing else of the bucket."""
    others = (*_BOOTED_FROM[1:], contract.PENDING_PRIVATE_KEY_KEY, f"{contract.KEY_SET_PREFIX}issuer.json", "other")
    deployers = [role for role in roles(estate) if not role.is_for_services and _deploys(role)]
    for bucket, role in product(certificate_buckets(estate), deployers):
        yield from _refused(role, [ask_bucket(bucket, role.principal, "s3:GetObject", key=contract.MANIFEST_KEY)])
        for key in others:
            yield from _allowed(role, ask_bucket(bucket, role.principal, "s3:GetObject", key=key))
        for action in ("s3:ListBucket", "s3:ListBucketVersions"):
            yield from _allowed(role, ask_bucket(bucket, role.principal, action))


def _deploys(role: RoleOfOurs) -> bool:
    """Say whether a role hands stacks to CloudFormation, or roles to a service."""
    return any(
        statement.effect is Effect.ALLOW
        and any(is_like(*pair) for pair in product(_HANDING, statement.actions)) is not statement.actions_negated
        for policy in role.principal.policies
        for statement in policy.statements
    )


# -- K13: what the task may ----------------------------------------------------------------

_TASK_ACTIONS: Final = frozenset({"s3:getobject", "s3:getobjectversion", "kms:decrypt", "dynamodb:getitem"})
_PREFIXES: Final = (contract.SERVER_PREFIX, contract.MANIFEST_PREFIX, contract.KEY_SET_PREFIX)


@rule(
    "K13",
    why="whatever the task's role may do beyond its work, whoever takes over the service may do too",
    source=_GUIDE,
)
def the_task_may_do_its_work_alone(estate: Estate) -> Iterator[Fault]:
    """The task's role is allowed s3:GetObject, s3:GetObjectVersion, kms:Decrypt and dynamodb:GetItem, each by name."""
    for role in task_roles(estate):
        for policy in role.principal.policies:
            for statement in policy.statements:
                for beyond in _beyond(statement):
                    said = f"{beyond} in {statement.name}"
                    yield _fault_in(role, policy.name, said, "only what the service does, each action by its name")


def _beyond(statement: Statement) -> list[str]:
    if statement.effect is not Effect.ALLOW:
        return []
    found = [action for action in statement.actions if action not in _TASK_ACTIONS]
    found = [f"NotAction {', '.join(statement.actions)}"] if statement.actions_negated else found
    return [*found, "NotResource"] if statement.resources_negated else found


@rule("K13", why="a list of names and another's objects are what an intruder looks for first", source=_GUIDE)
def the_task_reaches_its_own_things_alone(estate: Estate) -> Iterator[Fault]:
    """The task lists and writes nothing, reads its own prefixes and table, decrypts through S3 and DynamoDB alone."""
    for role in task_roles(estate):
        for bucket in certificate_buckets(estate):
            for question in _beyond_the_bucket(bucket, role.principal):
                yield from _allowed(role, question)
        for table in registries(estate):
            for question in _beyond_the_table(table, role.principal):
                yield from _allowed(role, question)


def _beyond_the_bucket(bucket: Bucket, task: Principal) -> Iterator[Question]:
    another = replace(bucket, arn=f"{bucket.arn}-2", policy=None)
    for way in (*_inside(bucket), FROM_OUTSIDE):
        for action in ("s3:ListBucket", "s3:ListBucketVersions"):
            yield ask_bucket(bucket, task, action, way=way)
        for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
            yield ask_bucket(bucket, task, action, key=contract.CHAIN_KEY, way=way)
        for key in ("other", "server", *(f"other/{prefix}x" for prefix in _PREFIXES)):
            yield ask_bucket(bucket, task, "s3:GetObject", key=key, way=way)
    yield ask_bucket(another, task, "s3:GetObject", key=contract.CHAIN_KEY)
    if bucket.key is not None:
        yield from _beyond_the_key(bucket.key, task, "s3")


def _beyond_the_table(table: Table, task: Principal) -> Iterator[Question]:
    another = replace(table, arn=f"{table.arn}-2", policies=())
    for action in ("dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"):
        yield ask_table(table, task, action)
    for index in table.indexes:
        yield ask_table(table, task, "dynamodb:Query", index=index)
    yield ask_table(another, task, "dynamodb:GetItem")
    if table.key is not None:
        yield from _beyond_the_key(table.key, task, "dynamodb")


def _beyond_the_key(key: Key, task: Principal, store: str) -> Iterator[Question]:
    for through in {"", "s3", "dynamodb", "ec2", "secretsmanager"} - {store}:
        yield ask_key(key, task, "kms:Decrypt", through=through)
    yield ask_key(key, task, "kms:GenerateDataKey", through=store)
    yield _of_another_key(ask_key(key, task, "kms:Decrypt", through=store))


def _of_another_key(question: Question) -> Question:
    """Ask the same of a key that is not the one, of this account and with a policy that leaves it to the account."""
    request, place = question.request, question.asked_of.estate.place
    statement = {"Effect": "Allow", "Principal": {"AWS": place.account}, "Action": "kms:*", "Resource": "*"}
    policy = ResourcePolicy(AttachedPolicy("another key", {"Statement": [statement]}), ResourcePolicyKind.KEY)
    return replace(question, request=replace(request, resource=place.arn("kms", "key/another")), policies=(policy,))


@rule("K13", why="without it no certificate is found in the registry, and nobody gets in", source=_GUIDE)
def the_task_finds_clients(estate: Estate) -> Iterator[Fault]:
    """The task reads an item of the registry through its VPC; for that it takes DynamoDB and KMS."""
    if not registries(estate):
        yield absent("a table that the service's containers are told of")
    for table, role in product(registries(estate), task_roles(estate)):
        endpoint = next(iter(endpoints(estate, "dynamodb")), None)
        reads = ask_table(table, role.principal, "dynamodb:GetItem", endpoint=endpoint)
        decrypts = ask_key_for_items(table, role.principal, "kms:Decrypt")
        yield from _refused(role, [reads, *([decrypts] if decrypts else [])])


# -- K25, K8 --------------------------------------------------------------------------------


@rule("K25", why="one environment's break-in must not open another's", source=_GUIDE)
def another_environments_task_is_refused(estate: Estate) -> Iterator[Fault]:
    """The same task's role of another environment reads no key object and decrypts none, whatever it is allowed."""
    others = {arn for role in task_roles(estate) for arn in namesakes(role)}
    for lock in _locks(estate):
        for holder, readers in lock.holders:
            for reader in sorted(others & set(readers)):
                found = Said(f"{reader} passes with {readers[reader]}")
                yield holder.fault(_policy_path(holder), found=found, expected="the task's role of one environment")


@rule("K8", why="credentials carried off the host are worth something elsewhere", source=_GUIDE)
def the_task_reads_through_its_endpoint_alone(estate: Estate) -> Iterator[Fault]:
    """Where the VPC's endpoint for S3 is known, the task's role reads through it and by no other way."""
    for bucket, role in product(certificate_buckets(estate), task_roles(estate)):
        elsewhere = (None, Endpoint(OTHER_ENDPOINT)) if endpoints(estate, "s3") or pinned_endpoints(bucket) else ()
        for endpoint, action, key in product(elsewhere, READING, _BOOTED_FROM):
            question = ask_bucket(bucket, all_powerful(role.arn), action, key=key, way=Way(endpoint=endpoint))
            if question.answer().is_allowed:
                holder, way = bucket.policy_resource, endpoint.id if endpoint else "the internet"
                found = Said(f"{role.arn} passes with {action} of {key} through {way}")
                yield holder.fault(_policy_path(holder), found=found, expected="the VPC's endpoint to be the only way")


# -- strangers, and who repairs ----------------------------------------------------------------

_OF_OBJECTS: Final = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
)
_OF_BUCKETS: Final = ("s3:ListBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
_OF_KEYS: Final = (
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:CreateGrant",
)
_OF_TABLES: Final = ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem", "dynamodb:DeleteTable")
_REPAIRING_BUCKETS: Final = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
_REPAIRING_KEYS: Final = ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion")


@rule(
    "K4",
    why="a stranger's own policies are the stranger's to write; only ours can keep them out",
    source="IAM guide, Cross-account policy evaluation logic",
)
def strangers_do_nothing(estate: Estate) -> Iterator[Fault]:
    """Nobody in particular, and no administrator or root user of another account, reaches anything that is guarded."""
    policies = [each.policy for each in _held_keys(estate)]
    policies += [each for bucket in certificate_buckets(estate) for each in bucket.policies]
    policies += [each for table in registries(estate) for each in table.policies]
    for stranger in strangers(estate, policies):
        for question in _whatever(estate, stranger):
            answers = (each.answer() for each in in_other_words(question))
            answer = next((each for each in answers if each.is_allowed), None)
            if answer is not None:
                found = Said(f"{stranger.arn or 'everybody'} is allowed {_asked(question)} by {answer.statement}")
                holder = question.asked_of
                yield holder.fault(_policy_path(holder), found=found, expected="strangers to be refused")


def _whatever(estate: Estate, stranger: Principal) -> Iterator[Question]:
    for bucket in certificate_buckets(estate):
        yield from (ask_bucket(bucket, stranger, action) for action in _OF_BUCKETS)
        for action, name in product(_OF_OBJECTS, (*_BOOTED_FROM, "other")):
            yield ask_bucket(bucket, stranger, action, key=name)
    for table in registries(estate):
        yield from (ask_table(table, stranger, action) for action in _OF_TABLES)
    for key, action, through in product(_held_keys(estate), _OF_KEYS, ("", "s3", "dynamodb")):
        yield ask_key(key, stranger, action, through=through)


def _held_keys(estate: Estate) -> list[Key]:
    held = [each.key for each in certificate_buckets(estate)] + [each.key for each in registries(estate)]
    return [key for key in held if key is not None]


@rule_of(
    BUCKET,
    requirement="K3",
    why="a policy that nobody may replace shuts everybody out, its authors and their pipeline first",
    source="S3 API, PutBucketPolicy: only the account's root user gets back in",
)
def a_buckets_policy_can_be_repaired(resource: Resource) -> Iterator[Fault]:
    """An administrator and CloudFormation's role read, replace and delete every bucket's policy, from anywhere."""
    who = [administrator(resource.estate.place), *(role.principal for role in stack_roles(resource.estate))]
    for bucket, principal, action in product(buckets(resource), who, _REPAIRING_BUCKETS):
        answer = ask_bucket(bucket, principal, action).answer()
        if not answer.is_allowed:
            holder, found = bucket.policy_resource, Said(f"{principal.arn} refused: {answer.statement}")
            yield holder.fault(_policy_path(holder), found=found, expected=f"{action} to be possible")


@rule_of(
    KEY,
    requirement="K14",
    why="a key that nobody may manage can only be given up, with all that it encrypts",
    source="KMS guide, Default key policy",
)
def a_keys_policy_can_be_repaired(resource: Resource) -> Iterator[Fault]:
    """The root user, an administrator and CloudFormation's role may describe every key and replace its policy."""
    place, key = resource.estate.place, key_of(resource)
    who = [root(place), administrator(place), *(role.principal for role in stack_roles(resource.estate))]
    for principal, action in product(who, _REPAIRING_KEYS):
        answer = ask_key(key, principal, action).answer()
        if not answer.is_allowed:
            found = Said(f"{principal.arn} refused: {answer.statement}")
            yield resource.fault("KeyPolicy", found=found, expected=f"{action} to be possible")


# -- words ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lock:
    """A certificate bucket, and whom its policy and its key's policy let through, each with an example."""

    bucket: Bucket
    readers: Mapping[str, str]
    decrypters: Mapping[str, str]

    @property
    def holders(self) -> Iterator[tuple[Resource, Mapping[str, str]]]:
        """The resources whose policies are locks, each with whom it lets through."""
        yield self.bucket.policy_resource, self.readers
        if self.bucket.key is not None:
            yield self.bucket.key.resource, self.decrypters


@lru_cache(maxsize=4)
def _locks(estate: Estate) -> tuple[_Lock, ...]:
    """Try the locks of an environment, once for all rules that ask."""
    return tuple(
        _Lock(bucket, readers_of_objects(bucket), users_of_key(bucket.key, "kms:Decrypt") if bucket.key else {})
        for bucket in certificate_buckets(estate)
    )


def _task_reads(bucket: Bucket, role: RoleOfOurs) -> Iterator[list[Question]]:
    """Give what the task asks for when it boots: the manifest, then chain and key by the versions that it pins."""
    decrypts = ask_key_for_objects(bucket, role.principal, "kms:Decrypt")
    way = _inside(bucket)[0]
    yield [ask_bucket(bucket, role.principal, "s3:GetObject", key=contract.MANIFEST_KEY, way=way)]
    for key in _BOOTED_FROM[1:]:
        reads = ask_bucket(bucket, role.principal, "s3:GetObjectVersion", key=key, way=way)
        yield [reads, *([decrypts] if decrypts else [])]


def _inside(bucket: Bucket) -> list[Way]:
    """Give the ways a task's request comes: through the VPC's endpoints, as far as anything tells of one."""
    ours = endpoints(bucket.resource.estate, "s3")
    pinned = [Endpoint(each) for each in sorted(pinned_endpoints(bucket))]
    return [Way(endpoint=each) for each in (ours or pinned)] or [FROM_OUTSIDE]


def _of_the_pair(bucket: Bucket, role: RoleOfOurs, action: str, with_key: str) -> list[Question]:
    through_s3 = ask_key_for_objects(bucket, role.principal, with_key)
    question = ask_bucket(bucket, role.principal, action, key=contract.PRIVATE_KEY_KEY)
    return [question, *([through_s3] if through_s3 else [])]


def _policy_path(holder: Resource) -> str:
    return {BUCKET_POLICY: "PolicyDocument", KEY: "KeyPolicy"}.get(holder.type, "")


def _asked(question: Question) -> str:
    through = question.request.context.get("kms:ViaService", "")
    return f"{question.request.action} of {question.request.resource}{f' through {through}' if through else ''}"


def _refused(role: RoleOfOurs, needed: Iterable[Question]) -> Iterator[Fault]:
    """Object that a role is refused something of what it needs together."""
    for question in needed:
        answer = question.answer()
        if not answer.is_allowed:
            found = Said(f"{answer.verdict.value}: {answer.statement}")
            yield role.resource.fault("", found=found, expected=f"{_asked(question)} to be allowed")


def _allowed(role: RoleOfOurs, question: Question) -> Iterator[Fault]:
    """Object that a role is allowed something, where the policy that allows it stands."""
    answer = question.answer()
    if answer.is_allowed:
        policy = answer.statement.rpartition(".")[0]
        yield _fault_in(role, policy, f"{_asked(question)} is allowed by {answer.statement}", "it to be refused")


def _fault_in(role: RoleOfOurs, policy: str, found: str, expected: str) -> Fault:
    source = role.sources.get(policy)
    if source is None:
        return role.resource.fault("", found=Said(f"{found} ({policy})"), expected=expected)
    return source.resource.fault(source.path, found=Said(found), expected=expected)


RULES: Final[tuple[Rule, ...]] = (
    three_roles_pass_the_buckets_lock,
    three_roles_pass_the_keys_lock,
    the_readers_really_read,
    nobody_else_writes_the_pair,
    who_deploys_reads_the_manifest_alone,
    the_task_may_do_its_work_alone,
    the_task_reaches_its_own_things_alone,
    the_task_finds_clients,
    another_environments_task_is_refused,
    the_task_reads_through_its_endpoint_alone,
    strangers_do_nothing,
    a_buckets_policy_can_be_repaired,
    a_keys_policy_can_be_repaired,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
