"""What a request to DynamoDB asks for: actions on tables, and the call of KMS behind each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from werkzeug.wrappers import Request

from stacks.local_cloud.authorizer.asked import Asked, UnknownCallError
from stacks.local_cloud.authorizer.context import Context
from stacks.local_cloud.authorizer.deployed import Deployed
from stacks.local_cloud.authorizer.key_calls import key_call

_ON_ACCOUNT: Final = frozenset({"ListTables", "ListBackups", "ListGlobalTables", "DescribeLimits", "DescribeEndpoints"})
_IN_TRANSACTIONS: Final = {
    "ConditionCheck": "ConditionCheckItem",
    "Delete": "DeleteItem",
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
}
"""A transaction needs what its parts need (DynamoDB guide, "Using IAM with DynamoDB transactions")."""
_ON_ITEMS: Final = frozenset(
    {
        "BatchGetItem",
        "BatchWriteItem",
        "ConditionCheckItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "UpdateItem",
    }
)
"""These read or write items, and so decrypt the table's key."""


class TableCalls:
    """Reads requests to DynamoDB."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed

    def asked(self, request: Request) -> Iterator[Asked]:
        """
        Say what a request asks for.

        Raises:
            UnknownCallError: Nobody knows.
            NoSuchKeyError: The table's key is gone.
        """
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        given: Mapping[str, Any] = json.loads(request.get_data() or b"{}")
        if operation in _ON_ACCOUNT:
            yield Asked(f"dynamodb:{operation}", "*")
        elif operation in {"TransactGetItems", "TransactWriteItems"}:
            for item in given["TransactItems"]:
                for kind, part in item.items():
                    yield from self._on(_IN_TRANSACTIONS[kind], part, {"dynamodb:enclosingoperation": operation})
        elif operation in {"BatchGetItem", "BatchWriteItem"}:
            for name in given["RequestItems"]:
                yield from self._on(operation, {"TableName": name}, {})
        else:
            yield from self._on(operation, given, {})

    def _on(self, operation: str, given: Mapping[str, Any], context: Context) -> Iterator[Asked]:
        named = given.get("TableName") or given.get("ResourceArn") or given.get("TableArn")
        if not named or not operation:
            raise UnknownCallError(operation or "a call without a target")
        arn = self._arn(named)
        table = self._deployed.table(arn)
        resource = f"{arn}/index/{given['IndexName']}" if "IndexName" in given else arn
        if table is not None:
            context = context | _leading_keys(table, given)
        yield Asked(f"dynamodb:{operation}", resource, context, self._deployed.table_policies(arn))
        if operation in _ON_ITEMS and table is not None:
            yield from self._decryption(table)

    def _decryption(self, table: Any) -> Iterator[Asked]:
        """
        Say what DynamoDB asks of KMS for its caller: nothing, if the table is encrypted by a key of AWS's own.

        DynamoDB guide, "DynamoDB encryption at rest usage notes" and "Authorizing use of your customer managed key".
        """
        key = (table.sse_specification or {}).get("KMSMasterKeyId")
        if key:
            names = {"aws:dynamodb:tableName": table.name, "aws:dynamodb:subscriberId": self._deployed.account}
            yield key_call(self._deployed, "Decrypt", key, names, service="dynamodb")

    def _arn(self, name: str) -> str:
        if name.startswith("arn:"):
            return name
        place = f"{self._deployed.region}:{self._deployed.account}"
        return f"arn:{self._deployed.partition}:dynamodb:{place}:table/{name}"


def _leading_keys(table: Any, given: Mapping[str, Any]) -> Context:
    """Give the partition key of the one item a call names (DynamoDB guide, dynamodb:LeadingKeys)."""
    item = given.get("Key") or given.get("Item") or {}
    value = item.get(table.hash_key_attr)
    return {"dynamodb:leadingkeys": (str(next(iter(value.values()))),)} if value else {}
