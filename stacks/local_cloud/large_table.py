"""
A table of the embedded cloud with very many items, and what is asked of it.

A million items over the API would take an hour and tens of gigabytes. They are
written into moto's own objects instead, where all attributes but the key are
the same objects for every item: about one kilobyte each.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.forwarding import Forward


class LookupCounter:
    """
    A stand-in that counts the items read one by one; it changes nothing.

    Attributes:
        lookups: Calls of GetItem so far.
    """

    service = "dynamodb"

    def __init__(self) -> None:
        self.lookups = 0

    def handle(self, request: Request, forward: Forward) -> Response:
        """Count and forward."""
        self.lookups += request.headers.get("x-amz-target", "").endswith(".GetItem")
        return forward()


def copy_item(cloud: LocalCloud, table: str, key: str, changes: Iterable[Mapping[str, Mapping[str, Any]]]) -> None:
    """
    Write copies of one item into the table that holds it, each with other attributes in the places it names.

    Args:
        cloud: It runs in this process.
        table: Without a sort key.
        key: The item's key, a string.
        changes: One mapping for each copy, in the form of DynamoDB's API; the key must be among them.
    """
    stored = dynamodb_backends[cloud.account][cloud.region].get_table(table)
    original = stored.items[DynamoType({"S": key})]
    gc.disable()  # nothing here is garbage, and a collector would look at every item again and again
    try:
        for change in changes:
            values = {name: DynamoType(value) for name, value in change.items()}
            attributes = LimitedSizeDict()
            # Not item by item: each of those adds up the size of the whole anew.
            dict.update(attributes, original.attrs)
            dict.update(attributes, values)
            item = Item(values[stored.hash_key_attr], None, {})
            item.attrs = attributes
            stored.items[item.hash_key] = item
    finally:
        gc.freeze()
        gc.enable()
