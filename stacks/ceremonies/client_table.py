"""
The registry's table as the ceremonies use it: one item is one enrolled certificate.

Every write carries its condition, so that two people at two terminals never
overwrite each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from service.contract import CLIENT_INDEX, ClientState, RegistryAttribute
from service.errors import ServiceError
from service.identity.certificate import Certificate, Fingerprint, parse_certificate
from stacks import naming
from stacks.ceremonies.access import Clients, calls_on, error_code
from stacks.environment import Environment
from stacks.errors import DeploymentError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = Mapping[str, AttributeValueTypeDef]

STACK: Final = "client_registry"
_LISTED: Final = tuple(each for each in RegistryAttribute if each is not RegistryAttribute.CERTIFICATE)


@dataclass(frozen=True, slots=True)
class EnrolledCertificate:
    """
    One item of the registry.

    Attributes:
        certificate: Whole, or None where only a list was asked for.
        pin: SHA-256 of the public key kept at enrollment.
        not_before: The enrollment counts from here; aware, UTC.
        not_after: And up to here.
        revoked_at: None unless it was revoked.
        revocation_reason: In the words of whoever revoked it, if any.
    """

    fingerprint: Fingerprint
    client: str
    state: ClientState
    roles: tuple[str, ...]
    pin: str
    not_before: datetime
    not_after: datetime
    enrolled_at: datetime
    revoked_at: datetime | None
    revocation_reason: str | None
    certificate: Certificate | None = field(default=None, repr=False)


class RecordUnreadableError(DeploymentError):
    """An item of the registry was not written by us."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(f"the registry's record of {fingerprint} cannot be read", hint="look who wrote it")


class ClientTable:
    """The registry of one environment, as one caller sees it."""

    def __init__(self, clients: Clients, environment: Environment) -> None:
        self._dynamodb: DynamoDBClient = clients.client("dynamodb")
        self._environment = environment
        self._table = naming.client_registry_table(environment)

    def add(self, record: EnrolledCertificate, certificate: Certificate) -> bool:
        """Write a record, unless there is one; tell whether it was written."""
        with self._calls():
            try:
                self._dynamodb.put_item(
                    TableName=self._table,
                    Item=_render(record, certificate),
                    ConditionExpression="attribute_not_exists(#fingerprint)",
                    ExpressionAttributeNames={"#fingerprint": RegistryAttribute.FINGERPRINT},
                )
            except ClientError as error:
                if error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def get(self, fingerprint: Fingerprint) -> EnrolledCertificate | None:
        """Read one record as it stands now."""
        with self._calls():
            answer = self._dynamodb.get_item(
                TableName=self._table,
                Key={RegistryAttribute.FINGERPRINT: {"S": fingerprint.hex}},
                ConsistentRead=True,
            )
        item = answer.get("Item")
        return None if item is None else _parse(item)

    def of_client(self, client: str) -> Iterator[EnrolledCertificate]:
        """Read all records of a client."""
        with self._calls():
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=CLIENT_INDEX,
                KeyConditionExpression="#client = :client",
                ExpressionAttributeNames={"#client": RegistryAttribute.CLIENT},
                ExpressionAttributeValues={":client": {"S": client}},
            )
            for page in pages:
                yield from map(_parse, page["Items"])

    def all(self) -> Iterator[EnrolledCertificate]:
        """Read all records without their certificates."""
        names = {f"#{attribute}": attribute.value for attribute in _LISTED}
        with self._calls():
            pages = self._dynamodb.get_paginator("scan").paginate(
                TableName=self._table,
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames=names,
            )
            for page in pages:
                yield from map(_parse, page["Items"])

    def mark_revoked(self, fingerprint: Fingerprint, *, reason: str | None, at: datetime) -> bool:
        """Revoke a record that exists and is not revoked; tell whether it was."""
        changes = {
            RegistryAttribute.STATE: ClientState.REVOKED.value,
            RegistryAttribute.REVOKED_AT: _show(at),
        }
        if reason:
            changes[RegistryAttribute.REVOCATION_REASON] = reason
        names = {f"#{attribute}": attribute.value for attribute in (*changes, RegistryAttribute.FINGERPRINT)}
        with self._calls():
            try:
                self._dynamodb.update_item(
                    TableName=self._table,
                    Key={RegistryAttribute.FINGERPRINT: {"S": fingerprint.hex}},
                    UpdateExpression="SET " + ", ".join(f"#{each} = :{each}" for each in changes),
                    ConditionExpression="attribute_exists(#fingerprint) AND #state <> :state",
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues={f":{each}": {"S": value} for each, value in changes.items()},
                )
            except ClientError as error:
                if error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def _calls(self) -> AbstractContextManager[None]:
        return calls_on(self._environment, resource=f"table {self._table}", stack=STACK)


def _render(record: EnrolledCertificate, certificate: Certificate) -> dict[str, AttributeValueTypeDef]:
    return {
        RegistryAttribute.FINGERPRINT: {"S": record.fingerprint.hex},
        RegistryAttribute.CLIENT: {"S": record.client},
        RegistryAttribute.CERTIFICATE: {"B": certificate.der},
        RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO: {"B": certificate.subject_public_key_info},
        RegistryAttribute.STATE: {"S": record.state.value},
        RegistryAttribute.ROLES: {"L": [{"S": role} for role in record.roles]},
        RegistryAttribute.NOT_BEFORE: {"S": _show(record.not_before)},
        RegistryAttribute.NOT_AFTER: {"S": _show(record.not_after)},
        RegistryAttribute.ENROLLED_AT: {"S": _show(record.enrolled_at)},
    }


def _parse(item: Item) -> EnrolledCertificate:
    try:
        return EnrolledCertificate(
            fingerprint=Fingerprint(item[RegistryAttribute.FINGERPRINT]["S"]),
            client=item[RegistryAttribute.CLIENT]["S"],
            state=ClientState(item[RegistryAttribute.STATE]["S"]),
            roles=tuple(role["S"] for role in item[RegistryAttribute.ROLES]["L"]),
            pin=hashlib.sha256(bytes(item[RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO]["B"])).hexdigest(),
            not_before=_time(item, RegistryAttribute.NOT_BEFORE),
            not_after=_time(item, RegistryAttribute.NOT_AFTER),
            enrolled_at=_time(item, RegistryAttribute.ENROLLED_AT),
            revoked_at=_time(item, RegistryAttribute.REVOKED_AT) if RegistryAttribute.REVOKED_AT in item else None,
            revocation_reason=item.get(RegistryAttribute.REVOCATION_REASON, {}).get("S"),
            certificate=_certificate(item),
        )
    except (KeyError, ValueError, TypeError, ServiceError) as error:
        fingerprint = item.get(RegistryAttribute.FINGERPRINT, {}).get("S", "no fingerprint")
        raise RecordUnreadableError(fingerprint) from error


def _certificate(item: Item) -> Certificate | None:
    if RegistryAttribute.CERTIFICATE not in item:
        return None
    return parse_certificate(bytes(item[RegistryAttribute.CERTIFICATE]["B"]))


def _time(item: Item, attribute: RegistryAttribute) -> datetime:
    moment = datetime.fromisoformat(item[attribute]["S"])
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _show(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat("T", "seconds") + "Z"
