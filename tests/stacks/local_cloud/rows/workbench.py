"""Drives rows as the engine does, one resource at a time, so that a test can read back what came of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.resource_types.table import rows
from stacks.local_cloud.row import Properties, Resource, StackFacts

_STABLE_SECONDS = 10.0


class Workbench:
    """Makes, changes and removes resources of one stack in an embedded cloud."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.client = cloud.client
        self.stack = StackFacts(
            name="mtls-ingress-local-test",
            id="arn:aws:cloudformation:us-east-1:123456789012:stack/mtls-ingress-local-test/1",
            region=cloud.region,
            account=cloud.account,
            partition="aws",
            tags={"project": "mtls-ingress", "aws:cloudformation:stack-name": "mtls-ingress-local-test"},
        )
        self._rows = rows()
        self._numbers = itertools.count(1)

    def make(self, type_name: str, **properties: Any) -> Resource:
        """Create a resource, apply every setting and wait until it is stable; nothing may stay unread."""
        resource = Resource(
            logical_id=f"Thing{next(self._numbers)}",
            type=type_name,
            properties=Properties(properties),
            stack=self.stack,
            client=self.client,
        )
        row = self._rows[type_name]
        resource.physical_id = row.create(resource)
        for setting in row.settings:
            setting.apply(resource)
        assert list(resource.properties.unread()) == []
        self._stabilize(resource)
        return resource

    def change(self, resource: Resource, **properties: Any) -> None:
        """Update in place to these properties, by the settings of those that differ."""
        before = resource.properties.raw()
        resource.previous, resource.properties = Properties(before), Properties(properties)
        changed = {name for name in before | properties if before.get(name) != properties.get(name)}
        row = self._rows[resource.type]
        settable = {name for setting in row.settings for name in setting.properties}
        assert changed <= settable, f"not updated in place: {sorted(changed - settable)}"
        for setting in row.settings:
            if changed & set(setting.properties):
                setting.apply(resource)
        self._stabilize(resource)
        resource.previous = None

    def remove(self, *resources: Resource) -> None:
        """Delete resources, each with nothing read of it before."""
        for resource in resources:
            resource.properties = Properties(resource.properties.raw())
            self._rows[resource.type].delete(resource)

    def ref(self, resource: Resource) -> str:
        """Give what Ref gives."""
        row = self._rows[resource.type]
        return row.ref(resource) if row.ref else resource.physical_id

    def attribute(self, resource: Resource, name: str) -> str:
        """Give what Fn::GetAtt gives."""
        return self._rows[resource.type].attributes[name](resource)

    def attributes(self, resource: Resource) -> Mapping[str, str]:
        """Give every attribute."""
        return {name: read(resource) for name, read in self._rows[resource.type].attributes.items()}

    def _stabilize(self, resource: Resource) -> None:
        is_stable, deadline = self._rows[resource.type].is_stable, time.monotonic() + _STABLE_SECONDS
        while is_stable is not None and not is_stable(resource):
            assert time.monotonic() < deadline, f"{resource.type} did not become stable"
            time.sleep(0.02)
