"""
The registry's table as the ceremonies use it: one item is one enrolled certificate, key or token.

Every write carries its condition, so that two people at two terminals never
overwrite each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from service.contract import CLIENT_INDEX, ClientState, RegistryAttribute
from stacks import naming
from stacks.ceremonies.access import Clients, calls_on, error_code
from stacks.ceremonies.registry_items import Enrolled, parse, render, show_moment
from stacks.environment import Environment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STACK: Final = "client_registry"
_LISTED: Final = tuple(each for each in RegistryAttribute if each is not RegistryAttribute.CERTIFICATE)


class ClientTable:
    """The registry of one environment, as one caller sees it."""

    def __init__(self, clients: Clients, environment: Environment) -> None:
        self._dynamodb: DynamoDBClient = clients.client("dynamodb")
        self._environment = environment
        self._table = naming.client_registry_table(environment)

    def add(self, entry: Enrolled) -> bool:
        """Write an entry, unless there is one under its key; tell whether it was written."""
        with self._calls():
            try:
                self._dynamodb.put_item(
                    TableName=self._table,
                    Item=render(entry),
                    ConditionExpression="attribute_not_exists(#fingerprint)",
                    ExpressionAttributeNames={"#fingerprint": RegistryAttribute.FINGERPRINT},
                )
            except ClientError as error:
                if error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def get(self, key: str) -> Enrolled | None:
        """Read one entry as it stands now, by its partition key."""
        with self._calls():
            answer = self._dynamodb.get_item(
                TableName=self._table,
                Key={RegistryAttribute.FINGERPRINT: {"S": key}},
                ConsistentRead=True,
            )
        item = answer.get("Item")
        return None if item is None else parse(item)

    def of_client(self, client: str) -> Iterator[Enrolled]:
        """Read all entries of a client, as they stood a moment ago."""
        with self._calls():
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=CLIENT_INDEX,
                KeyConditionExpression="#client = :client",
                ExpressionAttributeNames={"#client": RegistryAttribute.CLIENT},
                ExpressionAttributeValues={":client": {"S": client}},
            )
            for page in pages:
                yield from map(parse, page["Items"])

    def all(self) -> Iterator[Enrolled]:
        """Read all entries without their certificates."""
        names = {f"#{attribute}": attribute.value for attribute in _LISTED}
        with self._calls():
            pages = self._dynamodb.get_paginator("scan").paginate(
                TableName=self._table,
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames=names,
            )
            for page in pages:
                yield from map(parse, page["Items"])

    def mark_revoked(self, key: str, *, reason: str | None, at: datetime) -> bool:
        """Revoke an entry that exists and is not revoked; tell whether it was."""
        changes = {
            RegistryAttribute.STATE: ClientState.REVOKED.value,
            RegistryAttribute.REVOKED_AT: show_moment(at),
        }
        if reason:
            changes[RegistryAttribute.REVOCATION_REASON] = reason
        return self._change(key, changes)

    def mark_active(self, key: str) -> bool:
        """Put a pending entry in force; tell whether it was pending."""
        return self._change(key, {RegistryAttribute.STATE: ClientState.ACTIVE.value}, only_if=ClientState.PENDING)

    def mark_retiring(self, key: str, *, not_after: datetime) -> bool:
        """Give an active entry its end; tell whether it was active."""
        changes = {
            RegistryAttribute.STATE: ClientState.RETIRING.value,
            RegistryAttribute.NOT_AFTER: show_moment(not_after),
        }
        return self._change(key, changes, only_if=ClientState.ACTIVE)

    def _change(
        self,
        key: str,
        changes: Mapping[RegistryAttribute, str],
        *,
        only_if: ClientState | None = None,
    ) -> bool:
        """Change an entry that exists and is not revoked, and that is in one state if that is given."""
        names = {f"#{attribute}": attribute.value for attribute in {*changes, RegistryAttribute.STATE}}
        values = {f":{attribute}": {"S": value} for attribute, value in changes.items()}
        condition = "#state = :expected" if only_if else "attribute_exists(#state) AND #state <> :expected"
        with self._calls():
            try:
                self._dynamodb.update_item(
                    TableName=self._table,
                    Key={RegistryAttribute.FINGERPRINT: {"S": key}},
                    UpdateExpression="SET " + ", ".join(f"#{each} = :{each}" for each in changes),
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues={**values, ":expected": {"S": only_if or ClientState.REVOKED}},
                )
            except ClientError as error:
                if error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def _calls(self) -> AbstractContextManager[None]:
        return calls_on(self._environment, resource=f"table {self._table}", stack=STACK)
