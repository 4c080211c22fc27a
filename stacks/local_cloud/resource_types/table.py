"""The table of all rows: what the embedded cloud can deploy."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from stacks.local_cloud.resource_types import (
    alarms,
    backups,
    buckets,
    capacity,
    containers,
    dns,
    identity,
    keys,
    load_balancer,
    network,
    observability,
    operations,
    records,
    registry_images,
    scaling,
    security_groups,
    tables,
)
from stacks.local_cloud.row import Row

_FAMILIES = (
    alarms,
    backups,
    buckets,
    capacity,
    containers,
    dns,
    identity,
    keys,
    load_balancer,
    network,
    observability,
    operations,
    records,
    registry_images,
    scaling,
    security_groups,
    tables,
)


def rows() -> dict[str, Row]:
    """Give every row by its resource type."""
    return by_type(chain.from_iterable(family.ROWS for family in _FAMILIES))


def by_type(given: Iterable[Row]) -> dict[str, Row]:
    """Sort rows by their type; ValueError says which type two rows claim."""
    table: dict[str, Row] = {}
    for row in given:
        if row.type in table:
            raise ValueError(f"two rows for {row.type}")
        table[row.type] = row
    return table
