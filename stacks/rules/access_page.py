"""
The access matrix: who may do what with what is guarded, every cell of it evaluated, as a page a person can read.

Three ways into a VPC endpoint or past it are folded into one word; what other
ways of sending a request still allow is told in a table of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from service import contract
from stacks.access.request import AttachedPolicy, Principal, PrincipalKind
from stacks.rules.estate import Estate
from stacks.rules.guarded import (
    OTHER_ENDPOINT,
    OUR_ENDPOINT,
    Bucket,
    Channel,
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
    certificate_buckets,
    endpoints,
    registries,
)
from stacks.rules.principals import (
    OTHER_ACCOUNT,
    RoleOfOurs,
    administrator,
    anonymous,
    roles,
    root,
    service,
    task_roles,
)

Needs = Callable[[Principal, Way], Sequence[Question]]
"""Everything that must be allowed for an act to go through."""

_NEVER: Final = "-"
_TOKENS: Final = f"{contract.KEY_SET_PREFIX}issuer.json"
_PAGE: Final = """\
# Who may do what

Made by `make golden` from the templates: every cell is IAM's answer as `stacks/access` evaluates it, from the roles'
own policies and boundaries, the policies of bucket, key and table, and those of the VPC's endpoints. The same
evaluation judges the templates before every plan (K4, K8, K13, K25 in [requirements.md](requirements.md)) and every
call of the local run; `make prove` asks an independent evaluator all of these questions again.

Reading or writing an object or an item takes two answers, the store's and KMS'; a cell that says *yes* has both.
Requests are signed in their header and sent over TLS 1.3.

| Word | The request goes through |
|---|---|
| yes | from anywhere |
| inside | through the VPC's own endpoint alone |
| outside | from anywhere but the VPC's own endpoint, whose policy lets through what the service does |
| - | never |

"""
_WHO: Final = """\
*Administrator* and *root user* are of the account itself, the administrator with the policy AdministratorAccess. The
*task of another environment* lives in the same account, with the grants of ours for its own things. The *stranger*
administers another account. *Nobody* sends no credentials. A *service of AWS* acts by its own name.
"""
_OTHER_CHANNELS: Final = """\
### Sent otherwise

What still goes through over the internet if a request to S3 is sent in another way. KMS and
DynamoDB take no connection older than TLS 1.2 (their guides, "Infrastructure security"). S3 lets the root user mend
the bucket's policy whatever it says (S3 API, PutBucketPolicy).
"""


@dataclass(frozen=True, slots=True)
class Act:
    """Something to be done, and what must be allowed for it."""

    name: str
    needs: Needs


@dataclass(frozen=True, slots=True)
class Section:
    """Acts on one guarded thing."""

    title: str
    acts: tuple[Act, ...]
    ways: Mapping[str, Way]
    """Inside, through another endpoint, and over the internet; one alone where it makes no difference."""


def render(estates: Sequence[tuple[str, Estate]]) -> str:
    """
    Write the page; environments with the same answers share a chapter.

    Args:
        estates: The environments by their names.
    """
    chapters: dict[str, list[str]] = {}
    for name, estate in estates:
        chapters.setdefault(_chapter(estate), []).append(name)
    parts = [f"## {' and '.join(names)}\n\n{chapter}" for chapter, names in chapters.items()]
    return _PAGE + _WHO + "\n" + "\n".join(parts)


def questions(estate: Estate) -> Iterator[tuple[str, Question]]:
    """Give every question of the matrix with what it is asked for; also those that another answer makes idle."""
    for section in sections(estate):
        for name, principal in actors(estate).items():
            for act in section.acts:
                for way in section.ways.values():
                    yield from ((f"{name}: {act.name}", question) for question in act.needs(principal, way))
    for channel in _OTHERS:
        for act in _bucket_acts(estate):
            for name, principal in actors(estate).items():
                asked = act.needs(principal, Way(channel))
                yield from ((f"{name}: {act.name}, {channel}", question) for question in asked)


@lru_cache(maxsize=4)
def _chapter(estate: Estate) -> str:
    everybody = actors(estate)
    parts = [_table(section, everybody) for section in sections(estate)]
    return "\n".join([*parts, _OTHER_CHANNELS, _others(estate, everybody)])


def _table(section: Section, everybody: Mapping[str, Principal]) -> str:
    head = ["Who", *(f"`{act.name}`" for act in section.acts)]
    rows = [[name, *(cell(section, act, principal) for act in section.acts)] for name, principal in everybody.items()]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([f"### {section.title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def cell(section: Section, act: Act, principal: Principal) -> str:
    """Say by which ways an act goes through, in a word of the page."""
    open_ways = frozenset(word for word, way in section.ways.items() if _goes_through(act.needs(principal, way)))
    if not open_ways:
        return _NEVER
    if open_ways == frozenset(section.ways):
        return "yes"
    words = {frozenset({"inside"}): "inside", frozenset({"another", "internet"}): "outside"}
    return words.get(open_ways, " and ".join(sorted(open_ways)))


def _goes_through(needed: Sequence[Question]) -> bool:
    return all(question.answer().is_allowed for question in needed)


_OTHERS: Final = (Channel.TLS11, Channel.CLEAR, Channel.PRESIGNED, Channel.OLD_SIGNATURE)
_SAID: Final = {
    Channel.TLS11: "over TLS 1.1",
    Channel.CLEAR: "without TLS",
    Channel.PRESIGNED: "by a presigned address",
    Channel.OLD_SIGNATURE: "with a signature older than version 4",
}


def _others(estate: Estate, everybody: Mapping[str, Principal]) -> str:
    objects = [act for bucket in certificate_buckets(estate) for act in _on_objects(bucket)]
    whole = [act for bucket in certificate_buckets(estate) for act in _on_bucket(bucket)]
    lines = ["| Sent | To the objects | To the bucket itself |", "|---|---|---|"]
    for channel in _OTHERS:
        cells = (_still(acts, everybody, Way(channel)) for acts in (objects, whole))
        lines.append(f"| {_SAID[channel]} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _still(acts: Sequence[Act], everybody: Mapping[str, Principal], way: Way) -> str:
    """Say who does what by a way; everything is what goes over TLS 1.3 from the internet too."""

    def done(by: Way) -> dict[str, list[str]]:
        open_to = {
            name: [act.name for act in acts if _goes_through(act.needs(principal, by))]
            for name, principal in everybody.items()
        }
        return {name: names for name, names in open_to.items() if names}

    still = done(way)
    if still == done(Way()):
        return "everything that goes through over TLS 1.3"
    return "; ".join(f"{name}: {', '.join(f'`{act}`' for act in names)}" for name, names in still.items()) or "nothing"


# -- who ------------------------------------------------------------------------------------


def actors(estate: Estate) -> dict[str, Principal]:
    """Give everybody the matrix asks for, by what the page calls them."""
    place = estate.place
    ours = {role.arn.rpartition("/")[2].removeprefix(f"{place.prefix}-"): role.principal for role in roles(estate)}
    ordered = {name: ours[name] for name in sorted(ours, key=_order)}
    tasks = task_roles(estate)
    siblings = {"task of another environment": _sibling(estate, tasks[0])} if tasks else {}
    return {
        **ordered,
        "administrator": administrator(place),
        "root user": root(place),
        **siblings,
        "stranger": administrator(place, OTHER_ACCOUNT),
        "a service of AWS": service("cloudtrail.amazonaws.com"),
        "nobody": anonymous(),
    }


_FIRST: Final = ("task", "certificate-admin", "break-glass", "execution", "instance", "deploy", "cloudformation")


def _order(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _sibling(estate: Estate, role: RoleOfOurs) -> Principal:
    """Give the same role of another environment: every name of ours in its grants is the other's."""
    prefix = estate.place.prefix
    other = f"{prefix.rpartition('-')[0]}-other"
    keys = [store.arn for store in _keys(estate)]

    def spelled(text: str) -> str:
        for key in keys:
            text = text.replace(key, f"{key[:-12]}{'0' * 12}")
        return text.replace(prefix, other)

    policies = tuple(
        AttachedPolicy(spelled(policy.name), json.loads(spelled(json.dumps(policy.document))))
        for policy in role.principal.policies
    )
    return Principal(PrincipalKind.ROLE, spelled(role.arn), estate.place.account, policies=policies)


# -- what -------------------------------------------------------------------------------------


def sections(estate: Estate) -> Iterator[Section]:
    """Give every act of the matrix, by what it is done to."""
    ways = _ways(endpoints(estate, "s3"))
    for bucket in certificate_buckets(estate):
        yield Section("Objects of the certificate bucket", tuple(_on_objects(bucket)), ways)
        yield Section("The certificate bucket", tuple(_on_bucket(bucket)), ways)
        if bucket.key is not None:
            yield Section("The certificate's key", tuple(_on_key(bucket)), _ANYWHERE)
    for table in registries(estate):
        yield Section("The client registry", tuple(_on_table(table)), _ways(endpoints(estate, "dynamodb")))
        if table.key is not None:
            yield Section("The client registry's key", tuple(_on_tables_key(table)), _ANYWHERE)


_ANYWHERE: Final = {"internet": Way()}


def _ways(ours: Sequence[Endpoint]) -> dict[str, Way]:
    inside = ours[0] if ours else Endpoint(OUR_ENDPOINT)
    return {"inside": Way(endpoint=inside), "another": Way(endpoint=Endpoint(OTHER_ENDPOINT)), "internet": Way()}


def _keys(estate: Estate) -> list[Key]:
    held = [*(each.key for each in certificate_buckets(estate)), *(each.key for each in registries(estate))]
    return [key for key in held if key is not None]


def _bucket_acts(estate: Estate) -> list[Act]:
    return [act for bucket in certificate_buckets(estate) for act in (*_on_objects(bucket), *_on_bucket(bucket))]


def _on_objects(bucket: Bucket) -> Iterator[Act]:
    pair, manifest = contract.PRIVATE_KEY_KEY, contract.MANIFEST_KEY
    encryption = "s3:x-amz-server-side-encryption"
    another = (
        {encryption: "aws:kms", f"{encryption}-aws-kms-key-id": f"{bucket.key.arn[:-12]}{'0' * 12}"}
        if bucket.key
        else {}
    )

    def on(key: str, action: str, with_key: str = "", **more: str) -> Needs:
        def needs(principal: Principal, way: Way) -> list[Question]:
            asked = ask_bucket(bucket, principal, f"s3:{action}", key=key, way=replace(way, headers=more))
            through_s3 = ask_key_for_objects(bucket, principal, f"kms:{with_key}") if with_key else None
            return [asked, *([through_s3] if through_s3 else [])]

        return needs

    yield Act("GetObject key", on(pair, "GetObject", "Decrypt"))
    yield Act("GetObjectVersion key", on(pair, "GetObjectVersion", "Decrypt"))
    yield Act("GetObject manifest", on(manifest, "GetObject"))
    yield Act("GetObject key set", on(_TOKENS, "GetObject"))
    yield Act("PutObject key", on(pair, "PutObject", "GenerateDataKey"))
    yield Act("PutObject key, another encryption key", on(pair, "PutObject", **another))
    yield Act("PutObject key, SSE-S3", on(pair, "PutObject", **{encryption: "AES256"}))
    yield Act("DeleteObject key", on(pair, "DeleteObject"))
    yield Act("DeleteObjectVersion key", on(pair, "DeleteObjectVersion"))


def _on_bucket(bucket: Bucket) -> Iterator[Act]:
    def needs(action: str, principal: Principal, way: Way) -> list[Question]:
        return [ask_bucket(bucket, principal, f"s3:{action}", way=way)]

    for action in (
        "ListBucket",
        "GetBucketPolicy",
        "PutBucketPolicy",
        "DeleteBucketPolicy",
        "PutBucketVersioning",
        "PutLifecycleConfiguration",
        "DeleteBucket",
    ):
        yield Act(action, partial(needs, action))


def _on_key(bucket: Bucket) -> Iterator[Act]:
    key = bucket.key
    if key is None:
        return

    def through_s3(action: str, principal: Principal, _way: Way) -> list[Question]:
        asked = ask_key_for_objects(bucket, principal, f"kms:{action}")
        return [asked] if asked else []

    def directly(action: str, principal: Principal, _way: Way) -> list[Question]:
        return [ask_key(key, principal, f"kms:{action}")]

    for action in ("Decrypt", "GenerateDataKey"):
        yield Act(f"{action} through S3", partial(through_s3, action))
    for action in ("Decrypt", "GenerateDataKey", "DescribeKey", "PutKeyPolicy", "DisableKey", "ScheduleKeyDeletion"):
        yield Act(action, partial(directly, action))


def _on_table(table: Table) -> Iterator[Act]:
    index = table.indexes[0] if table.indexes else ""

    def items(action: str, index: str, principal: Principal, way: Way) -> list[Question]:
        asked = ask_table(table, principal, f"dynamodb:{action}", index=index, endpoint=way.endpoint)
        through = ask_key_for_items(table, principal, "kms:Decrypt")
        return [asked, *([through] if through else [])]

    def whole(action: str, principal: Principal, way: Way) -> list[Question]:
        return [ask_table(table, principal, f"dynamodb:{action}", endpoint=way.endpoint)]

    for action in ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem"):
        yield Act(action, partial(items, action, ""))
    if index:
        yield Act("Query by client", partial(items, "Query", index))
    for action in ("DescribeTable", "UpdateTable", "DeleteTable"):
        yield Act(action, partial(whole, action))


def _on_tables_key(table: Table) -> Iterator[Act]:
    key = table.key
    if key is None:
        return

    def through(action: str, principal: Principal, _way: Way) -> list[Question]:
        asked = ask_key_for_items(table, principal, f"kms:{action}")
        return [asked] if asked else []

    def directly(action: str, principal: Principal, _way: Way) -> list[Question]:
        return [ask_key(key, principal, f"kms:{action}")]

    yield Act("Decrypt through DynamoDB", partial(through, "Decrypt"))
    for action in ("Decrypt", "DescribeKey", "PutKeyPolicy", "ScheduleKeyDeletion"):
        yield Act(action, partial(directly, action))
