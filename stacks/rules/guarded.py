"""
What is guarded: the certificate's bucket with its key, the client registry with its, and how each can be asked for.

They are found by what the service is told: the variables of its containers
that name bucket and table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from service.contract import Variable
from stacks.access.evaluation import evaluate
from stacks.access.faults import PolicyFaultError
from stacks.access.matching import ContextValue
from stacks.access.request import (
    AttachedPolicy,
    Decision,
    Principal,
    Request,
    ResourcePolicy,
    ResourcePolicyKind,
)
from stacks.naming import STACK_TAG
from stacks.rules.estate import Estate, Resource, UnresolvedError
from stacks.rules.principals import attached, resource_policy
from stacks.rules.topology import TASK_DEFINITION, containers_of, inner_tables

BUCKET: Final = "AWS::S3::Bucket"
BUCKET_POLICY: Final = "AWS::S3::BucketPolicy"
KEY: Final = "AWS::KMS::Key"
TABLE: Final = "AWS::DynamoDB::Table"
_ENDPOINT: Final = "AWS::EC2::VPCEndpoint"
OTHER_ENDPOINT: Final = "vpce-0aaaaaaaaaaaaaaaa"
OUR_ENDPOINT: Final = "vpce-0bbbbbbbbbbbbbbbb"
"""Of a VPC that is there already and names none of its own."""


@dataclass(frozen=True, slots=True)
class Key:
    """A customer managed key with its policy."""

    resource: Resource
    arn: str
    policy: ResourcePolicy


@dataclass(frozen=True, slots=True)
class Bucket:
    """
    A bucket with one policy of it, or with none.

    Attributes:
        policy_resource: Where the policy stands; the bucket itself if it has none.
        key: What its objects are encrypted with; None if that is no key of the templates.
    """

    resource: Resource
    arn: str
    policy: ResourcePolicy | None
    policy_resource: Resource
    key: Key | None

    @property
    def policies(self) -> tuple[ResourcePolicy, ...]:
        """The policy, if there is one."""
        return () if self.policy is None else (self.policy,)


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its indexes and its key."""

    resource: Resource
    arn: str
    policies: tuple[ResourcePolicy, ...]
    indexes: tuple[str, ...]
    key: Key | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway endpoint of a VPC for a service; the policies are what it lets through."""

    id: str
    policies: tuple[AttachedPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A request with the policies of what it asks for."""

    request: Request
    policies: tuple[ResourcePolicy, ...]
    asked_of: Resource

    def answer(self) -> Decision:
        """
        Answer as IAM does.

        Raises:
            UnresolvedError: A condition cannot be judged.
        """
        try:
            return evaluate(self.request, self.policies)
        except PolicyFaultError as fault:
            raise UnresolvedError(self.asked_of, "Properties", str(fault)) from fault


class Channel(StrEnum):
    """How a request to S3 is sent."""

    TLS13 = "TLS 1.3"
    TLS11 = "TLS 1.1"
    CLEAR = "no TLS"
    PRESIGNED = "presigned"
    OLD_SIGNATURE = "old signature"


_SIGNED: Final = {"s3:authType": "REST-HEADER", "s3:signatureversion": "AWS4-HMAC-SHA256"}
_OVER_TLS: Final = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
_CHANNELS: Final[Mapping[Channel, Mapping[str, str]]] = {
    Channel.TLS13: _OVER_TLS | _SIGNED,
    Channel.TLS11: {"aws:SecureTransport": "true", "s3:TlsVersion": "1.1"} | _SIGNED,
    # Without TLS there is no version of it either.
    Channel.CLEAR: {"aws:SecureTransport": "false"} | _SIGNED,
    Channel.PRESIGNED: _OVER_TLS | _SIGNED | {"s3:authType": "REST-QUERY-STRING"},
    Channel.OLD_SIGNATURE: _OVER_TLS | _SIGNED | {"s3:signatureversion": "AWS"},
}


# -- found by relation -----------------------------------------------------------------


@lru_cache(maxsize=4)
def certificate_buckets(estate: Estate) -> tuple[Bucket, ...]:
    """Give the buckets that services take their certificate from, once for each policy; AWS knows only one."""
    return tuple(each for resource in _told(estate, Variable.CERTIFICATE_BUCKET, BUCKET) for each in buckets(resource))


@lru_cache(maxsize=4)
def registries(estate: Estate) -> tuple[Table, ...]:
    """Give the tables that services look their clients up in."""
    return tuple(_table(resource) for resource in _told(estate, Variable.CLIENT_REGISTRY_TABLE, TABLE))


def buckets(resource: Resource) -> Iterator[Bucket]:
    """Give a bucket, once for each policy of it; with none if it has none."""
    estate = resource.estate
    arn, key = estate.arn(resource), _key(resource, _default_encryption(resource))
    holders = [each for each in estate.of_type(BUCKET_POLICY) if estate.called(each.get("Bucket"), BUCKET) == resource]
    for holder in holders:
        yield Bucket(resource, arn, resource_policy(holder, "PolicyDocument", ResourcePolicyKind.OTHER), holder, key)
    if not holders:
        yield Bucket(resource, arn, None, resource, key)


def key_of(resource: Resource) -> Key:
    """Read a key's policy."""
    policy = resource_policy(resource, "KeyPolicy", ResourcePolicyKind.KEY)
    return Key(resource, resource.estate.arn(resource), policy)


def endpoints(estate: Estate, service: str) -> tuple[Endpoint, ...]:
    """Give the endpoints of the templates for a service, `s3`."""
    found = [each for each in estate.of_type(_ENDPOINT) if str(each.get("ServiceName")).endswith(f".{service}")]
    return tuple(
        Endpoint(
            estate.ref(each), (attached(each, "PolicyDocument"),) if each.get("PolicyDocument") is not None else ()
        )
        for each in found
    )


def _told(estate: Estate, variable: Variable, resource_type: str) -> list[Resource]:
    found: dict[str, Resource] = {}
    for definition in estate.of_type(TASK_DEFINITION):
        for path, container in containers_of(definition):
            for _, entry in inner_tables(path, container, "Environment"):
                told = estate.called(entry.get("Value"), resource_type) if entry.get("Name") == variable else None
                if told is not None:
                    found[told.name] = told
    return list(found.values())


def _default_encryption(bucket: Resource) -> object:
    rules = bucket.tables("BucketEncryption.ServerSideEncryptionConfiguration")
    defaults = (rule.get("ServerSideEncryptionByDefault") for _, rule in rules)
    return next((default.get("KMSMasterKeyID") for default in defaults if isinstance(default, dict)), None)


def _key(resource: Resource, value: object) -> Key | None:
    estate = resource.estate
    found = estate.called(value, KEY)
    if found is None and isinstance(value, str) and "alias/" in value:
        aliases = (each for each in estate.of_type("AWS::KMS::Alias") if value.endswith(str(each.get("AliasName"))))
        found = next((target for each in aliases if (target := estate.called(each.get("TargetKeyId"), KEY))), None)
    return None if found is None else key_of(found)


def _table(resource: Resource) -> Table:
    arn = resource.estate.arn(resource)
    policies = (
        (resource_policy(resource, "ResourcePolicy.PolicyDocument", ResourcePolicyKind.OTHER),)
        if resource.get("ResourcePolicy.PolicyDocument") is not None
        else ()
    )
    indexes = (index.get("IndexName") for _, index in resource.tables("GlobalSecondaryIndexes"))
    key = _key(resource, resource.get("SSESpecification.KMSMasterKeyId"))
    return Table(resource, arn, policies, tuple(f"{arn}/index/{name}" for name in indexes), key)


# -- asked for -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """
    How a request comes.

    Attributes:
        endpoint: Of which VPC; None is over the internet.
        headers: What else is sent, by the condition keys it becomes.
    """

    channel: Channel = Channel.TLS13
    endpoint: Endpoint | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


FROM_OUTSIDE: Final = Way()


def ask_bucket(
    bucket: Bucket,
    principal: Principal,
    action: str,
    *,
    key: str = "",
    way: Way = FROM_OUTSIDE,
) -> Question:
    """
    Ask S3 for something.

    Args:
        bucket: Of it.
        principal: Who asks.
        action: `s3:GetObject`.
        key: The object's; empty for the bucket itself.
        way: How the request comes.
    """
    place = bucket.resource.estate.place
    context: dict[str, ContextValue] = {**_CHANNELS[way.channel], "s3:ResourceAccount": place.account}
    context |= way.headers
    if way.endpoint is not None:
        context["aws:SourceVpce"] = way.endpoint.id
    resource = f"{bucket.arn}/{key}" if key else bucket.arn
    passing = () if way.endpoint is None else way.endpoint.policies
    request = Request(principal, action, resource, place.account, context, passing)
    return Question(request, bucket.policies, bucket.policy_resource)


def ask_key(
    key: Key, principal: Principal, action: str, *, through: str = "", encrypted: Mapping[str, str] | None = None
) -> Question:
    """
    Ask KMS for something.

    Args:
        key: What for.
        principal: Who asks.
        action: `kms:Decrypt`.
        through: The service that asks in the principal's name, `s3`; empty for the principal itself.
        encrypted: The encryption context.
    """
    estate = key.resource.estate
    place = estate.place
    context: dict[str, ContextValue] = {
        f"kms:EncryptionContext:{name}": text for name, text in (encrypted or {}).items()
    }
    # The deployer gives each stack this tag, and a key has the tags of its stack.
    context[f"aws:ResourceTag/{STACK_TAG}"] = place.prefix
    context["aws:ResourceTag/aws:cloudformation:stack-name"] = place.stack_name(key.resource.stack)
    aliases = [
        str(each.get("AliasName"))
        for each in estate.of_type("AWS::KMS::Alias")
        if estate.called(each.get("TargetKeyId"), KEY) == key.resource
    ]
    if aliases:
        context["kms:ResourceAliases"] = tuple(aliases)
    if through:
        context["kms:ViaService"] = f"{through}.{place.region}.{place.suffix}"
    return Question(Request(principal, action, key.arn, place.account, context), (key.policy,), key.resource)


def ask_key_for_objects(bucket: Bucket, principal: Principal, action: str) -> Question | None:
    """Ask KMS as S3 does for an object; the bucket is the context where bucket keys are on (S3 guide)."""
    if bucket.key is None:
        return None
    return ask_key(bucket.key, principal, action, through="s3", encrypted={"aws:s3:arn": bucket.arn})


def ask_table(
    table: Table, principal: Principal, action: str, *, index: str = "", endpoint: Endpoint | None = None
) -> Question:
    """Ask DynamoDB for something of a table, or of one of its indexes by its ARN."""
    place = table.resource.estate.place
    context: dict[str, ContextValue] = {"aws:SecureTransport": "true"}
    if endpoint is not None:
        context["aws:SourceVpce"] = endpoint.id
    passing = () if endpoint is None else endpoint.policies
    request = Request(principal, action, index or table.arn, place.account, context, passing)
    return Question(request, table.policies, table.resource)


def ask_key_for_items(table: Table, principal: Principal, action: str) -> Question | None:
    """Ask KMS as DynamoDB does for an item (DynamoDB guide, "DynamoDB encryption at rest: usage notes")."""
    if table.key is None:
        return None
    name, account = table.arn.rpartition("/")[2], table.arn.split(":")[4]
    encrypted = {"aws:dynamodb:tableName": name, "aws:dynamodb:subscriberId": account}
    return ask_key(table.key, principal, action, through="dynamodb", encrypted=encrypted)
