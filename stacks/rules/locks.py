"""
Whom a lock lets through, whatever else allows them: the policy of a bucket or key, tried with everybody's keys.

Each who might be let through asks with policies that allow everything, so what
is found is the lock's doing alone. Who that is comes from the policy itself,
whose patterns are filled in, and from near misses of the task's role:
another account, another path, another environment, a longer name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

from service import contract
from stacks.access.conditions import Condition
from stacks.access.matching import ContextValue, PolicyText, is_like
from stacks.access.request import Principal, PrincipalKind, ResourcePolicy
from stacks.access.statement import Form, Statement
from stacks.rules.estate import Estate
from stacks.rules.guarded import (
    OTHER_ENDPOINT,
    Bucket,
    Endpoint,
    Key,
    Question,
    Way,
    ask_bucket,
    ask_key,
    endpoints,
)
from stacks.rules.identities import Place
from stacks.rules.principals import (
    OTHER_ACCOUNT,
    RoleOfOurs,
    administrator,
    all_powerful,
    anonymous,
    roles,
    root,
    service,
    task_roles,
)

KEY_OBJECTS: Final = (
    contract.PRIVATE_KEY_KEY,
    contract.CHAIN_KEY,
    contract.PENDING_PRIVATE_KEY_KEY,
    f"{contract.SERVER_PREFIX}whatever-else",
)
READING: Final = ("s3:GetObject", "s3:GetObjectVersion")
WRITING: Final = ("s3:PutObject", "s3:DeleteObject")
_PRINCIPAL_ARN: Final = "aws:principalarn"
_ENDPOINT_KEY: Final = "aws:sourcevpce"
_ASKED: Final = frozenset(
    {
        _PRINCIPAL_ARN,
        _ENDPOINT_KEY,
        "aws:securetransport",
        "s3:tlsversion",
        "s3:authtype",
        "s3:signatureversion",
        "s3:signatureage",
        "kms:viaservice",
        "kms:resourcealiases",
        "aws:principalaccount",
        "aws:resourceaccount",
        "aws:principaltype",
        "aws:principalisawsservice",
        "aws:principalservicename",
        "kms:calleraccount",
    }
)
"""Keys that follow from who asks and how; any other that a lock speaks of is tried with what it wants."""
_ACCOUNT: Final = re.compile(r"\b\d{12}\b")
_ACCOUNT_KEYS: Final = ("aws:principalaccount", "kms:calleraccount")
_TRUTHS: Final = ("true", "false")
_ARN_SEGMENTS: Final = 6


def candidates(estate: Estate, policies: Iterable[ResourcePolicy]) -> dict[str, Principal]:
    """Give everybody a lock is tried with, by their ARN or what they are called."""
    place = estate.place
    policies = list(policies)
    found = [*_named(estate, policies)]
    found += [role.arn for role in roles(estate)]
    for role in task_roles(estate):
        found += _near(role)
    principals = {arn: all_powerful(arn) for arn in found}
    others = [administrator(place), administrator(place, OTHER_ACCOUNT), root(place), root(place, OTHER_ACCOUNT)]
    principals |= {each.arn: each for each in others}
    principals |= {name: service(name) for name in (*_services(policies), "cloudfront.amazonaws.com")}
    principals |= {each.session_arn: each for each in _sessions(policies)}
    return principals | {"everybody": anonymous()}


def readers_of_objects(bucket: Bucket) -> dict[str, str]:
    """Say whom the bucket's policy lets read key objects, each with an example."""
    ways = [Way(endpoint=each) for each in known_endpoints(bucket)]
    extras = _extras(bucket.policies, READING)

    def tries(principal: Principal) -> Iterator[tuple[str, Question]]:
        for action, key, way, extra in product(READING, KEY_OBJECTS, ways, extras):
            question = ask_bucket(bucket, principal, action, key=key, way=way)
            yield f"{action} of {key}", _with(question, extra)

    return _let_through(candidates(bucket.resource.estate, bucket.policies), tries)


def writers_of_objects(bucket: Bucket) -> dict[str, str]:
    """Say whom the bucket's policy lets put or delete an object, each with an example."""
    extras = _extras(bucket.policies, WRITING)

    def tries(principal: Principal) -> Iterator[tuple[str, Question]]:
        for action, key, extra in product(WRITING, (contract.PRIVATE_KEY_KEY, contract.MANIFEST_KEY), extras):
            yield f"{action} of {key}", _with(ask_bucket(bucket, principal, action, key=key), extra)

    return _let_through(candidates(bucket.resource.estate, bucket.policies), tries)


def users_of_key(key: Key, action: str) -> dict[str, str]:
    """Say whom a key's policy lets use it, each with an example."""
    extras = _extras([key.policy], [action])

    def tries(principal: Principal) -> Iterator[tuple[str, Question]]:
        for through, extra in product(("", "s3"), extras):
            question = ask_key(key, principal, action, through=through)
            yield f"{action} through {through}" if through else action, _with(question, extra)

    return _let_through(candidates(key.resource.estate, [key.policy]), tries)


def _let_through(
    everybody: Mapping[str, Principal], tries: Callable[[Principal], Iterator[tuple[str, Question]]]
) -> dict[str, str]:
    found = {}
    for name, principal in everybody.items():
        said = next((said for said, question in tries(principal) if question.answer().is_allowed), None)
        if said is not None:
            found[name] = said
    return found


def strangers(estate: Estate, policies: Iterable[ResourcePolicy]) -> list[Principal]:
    """Give nobody in particular, and who rules another account or is named of one: any, and each in the policies."""
    place, policies = estate.place, list(policies)
    accounts = {OTHER_ACCOUNT, *_accounts(policies)} - {place.account}
    named = [all_powerful(arn) for arn in _named(estate, policies)]
    sessions = list(_sessions(policies))
    rulers = [rule(place, account) for account in sorted(accounts) for rule in (administrator, root)]
    return [anonymous(), *rulers, *(each for each in (*named, *sessions) if each.account != place.account)]


def in_other_words(question: Question) -> Iterator[Question]:
    """Ask the same with every further condition key that the policies speak of."""
    for extra in _extras(question.policies, [question.request.action]):
        yield _with(question, extra)


def known_endpoints(bucket: Bucket) -> list[Endpoint | None]:
    """Give every way in: over the internet, through any endpoint of ours or of the policy's, through another."""
    ids = {each.id for each in endpoints(bucket.resource.estate, "s3")}
    ids |= {value for policy in bucket.policies for value in _wanted(policy, _ENDPOINT_KEY)}
    return [None, *(Endpoint(each) for each in sorted(ids)), Endpoint(OTHER_ENDPOINT)]


def pinned_endpoints(bucket: Bucket) -> set[str]:
    """Give the endpoints the bucket's policy speaks of."""
    return {value for policy in bucket.policies for value in _wanted(policy, _ENDPOINT_KEY)}


def _with(question: Question, extra: tuple[tuple[str, ContextValue], ...]) -> Question:
    """Ask with further condition keys."""
    if not extra:
        return question
    request = replace(question.request, context={**question.request.context, **dict(extra)})
    return replace(question, request=request)


def _extras(policies: Iterable[ResourcePolicy], actions: Sequence[str]) -> list[tuple[tuple[str, ContextValue], ...]]:
    """Give the further condition keys a lock might be opened by: none, each value it speaks of, and all together."""
    lowered = [action.lower() for action in actions]
    singles = [
        ((condition.key, value),)
        for statement in _statements(policies)
        if statement.actions_negated or any(is_like(*pair) for pair in product(lowered, statement.actions))
        for condition in statement.conditions
        if condition.key not in _ASKED
        for value in _values(condition)
    ]
    together = tuple({key: (key, value) for ((key, value),) in singles}.values())
    return [(), *singles, *([together] if len(together) > 1 else [])]


def _values(condition: Condition) -> Sequence[str]:
    """Give what a condition is tried with: each value it names, and of a truth value both."""
    return _TRUTHS if condition.operator == "Bool" else [_filled(text) for text in condition.wanted]


def _named(estate: Estate, policies: Iterable[ResourcePolicy]) -> Iterator[str]:
    """Give the roles and users a lock speaks of, its patterns filled in."""
    policies = list(policies)
    for statement in _statements(policies):
        for condition in statement.conditions:
            if condition.key == _PRINCIPAL_ARN:
                yield from (arn for text in condition.wanted for arn in _identities(_written(text), estate.place))
        for named in statement.principals or ():
            if named.form in {Form.ROLE, Form.USER}:
                yield named.value
            if named.form is Form.ACCOUNT and named.value != estate.place.account:
                yield f"arn:{estate.place.partition}:iam::{named.value}:role/Admin"


def namesakes(role: RoleOfOurs) -> tuple[str, ...]:
    """Give the roles that do the same in other environments."""
    prefix = role.resource.estate.place.prefix
    others = (f"{prefix}2", f"{prefix.rpartition('-')[0]}-other", "other")
    return tuple(each for other in others if (each := role.arn.replace(prefix, other)) != role.arn)


def _near(role: RoleOfOurs) -> Iterator[str]:
    """Give what might be mistaken for a role."""
    arn = role.arn
    head, _, path = arn.partition(":role/")
    account = head.split(":")[4]
    name = path.rpartition("/")[2]
    yield from namesakes(role)
    yield arn.replace(f":{account}:", f":{OTHER_ACCOUNT}:")
    yield f"{arn}-2"
    yield f"{head}:role/{name}"
    yield f"{head}:role/elsewhere/{name}"
    yield f"{head}:user/{name}"


def _sessions(policies: Iterable[ResourcePolicy]) -> Iterator[Principal]:
    for statement in _statements(policies):
        for named in statement.principals or ():
            if named.form is Form.SESSION:
                account, role = named.value.split(":")[4], named.value.split("/")[1]
                arn = f"arn:{named.value.split(':')[1]}:iam::{account}:role/{role}"
                powers = all_powerful(arn).policies
                yield Principal(PrincipalKind.ROLE, arn, account, session_arn=named.value, policies=powers)


def _accounts(policies: Sequence[ResourcePolicy]) -> Iterator[str]:
    """Give the accounts that policies speak of."""
    for statement in _statements(policies):
        for named in statement.principals or ():
            found = _ACCOUNT.search(named.value) if named.form not in {Form.SERVICE, Form.FEDERATED} else None
            if found:
                yield found[0]
    for policy, key in product(policies, _ACCOUNT_KEYS):
        yield from (value for value in _wanted(policy, key) if _ACCOUNT.fullmatch(value))


def _services(policies: Iterable[ResourcePolicy]) -> Iterator[str]:
    for statement in _statements(policies):
        yield from (named.value for named in statement.principals or () if named.form is Form.SERVICE)


def _wanted(policy: ResourcePolicy, key: str) -> Iterator[str]:
    for statement in policy.policy.statements:
        for condition in statement.conditions:
            if condition.key == key:
                yield from (_filled(text) for text in condition.wanted)


def _identities(pattern: str, place: Place) -> Iterator[str]:
    """Give roles or users that are like a pattern, of this account and of another where it leaves that open."""
    parts = pattern.split(":", 5)
    account, name = (parts[4], parts[5]) if len(parts) == _ARN_SEGMENTS else ("*", "*")
    names = [each for each in (_likened(name), "role/x", "user/x") if is_like(each, name)]
    for spelled in names:
        if spelled.startswith(("role/", "user/")):
            for each in (place.account, OTHER_ACCOUNT):
                if is_like(each, account):
                    yield f"arn:{place.partition}:iam::{each}:{spelled}"


def _filled(text: PolicyText) -> str:
    """Give a text that is like a pattern; of a network its first address."""
    pattern = _written(text)
    head, _, bits = pattern.partition("/")
    is_network = bits.isdecimal() and not set(head.lower()) - set("0123456789abcdef.:")
    return head if is_network else _likened(pattern)


def _written(text: PolicyText) -> str:
    return "".join(part if isinstance(part, str) else "x" for part in text.parts)


def _likened(pattern: str) -> str:
    return pattern.replace("*", "x").replace("?", "x")


def _statements(policies: Iterable[ResourcePolicy]) -> Iterator[Statement]:
    return (statement for policy in policies for statement in policy.policy.statements)
