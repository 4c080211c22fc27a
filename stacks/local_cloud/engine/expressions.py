"""The names a stack's expressions may use, bound to what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.local_cloud.engine.errors import TemplateError
from stacks.local_cloud.engine.intrinsics import NO_VALUE, Scope, decide, evaluate
from stacks.local_cloud.engine.parameters import MASK
from stacks.local_cloud.engine.state import Intention, Output
from stacks.local_cloud.engine.template import with_place
from stacks.local_cloud.row import StackFacts

_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}


@dataclass(frozen=True, slots=True)
class Names:
    """What resource names stand for at one moment."""

    ref: Callable[[str], Any]
    attribute: Callable[[str, str], Any]


def partition_of(region: str) -> str:
    """Give the partition a region lies in (IAM User Guide, "Amazon Resource Names")."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(f"{prefix}-")), "aws")


class Expressions:
    """The expressions of one intention, for one stack."""

    def __init__(self, intention: Intention, facts: StackFacts, zones: Callable[[str], Sequence[str]]) -> None:
        self._intention = intention
        self._zones = zones
        self._pseudo = {
            "AWS::AccountId": facts.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": facts.partition,
            "AWS::Region": facts.region,
            "AWS::StackId": facts.id,
            "AWS::StackName": facts.name,
            "AWS::URLSuffix": _SUFFIXES.get(facts.partition, "amazonaws.com"),
        }
        self._values = {name: value.value for name, value in intention.parameters.items()} | self._pseudo
        self.conditions = decide(
            intention.template.conditions, values=self._values, mappings=intention.template.mappings
        )

    def properties(self, logical_id: str, names: Names, *, masked: bool = False) -> dict[str, Any]:
        """
        Resolve a resource's properties.

        Args:
            logical_id: Which resource.
            names: What other resources' names stand for.
            masked: NoEcho parameters give asterisks, for whoever only looks.
        """
        declared = self._intention.template.resources[logical_id]
        found: dict[str, Any] = self._resolve(f"resource {logical_id}", declared.properties, names, masked=masked)
        return found

    def outputs(self, names: Names) -> dict[str, Output]:
        """Resolve the outputs whose condition holds."""
        return {
            name: Output(name, self._output(name, declared.value, names), declared.description)
            for name, declared in self._intention.template.outputs.items()
            if declared.condition is None or self.conditions[declared.condition]
        }

    def _output(self, name: str, value: Any, names: Names) -> str:
        found = self._resolve(f"output {name}", value, names)
        if isinstance(found, dict | list) or found is NO_VALUE or found is None:
            raise TemplateError(f"Template format error: Output {name} is not a string: {found!r}")
        return found if isinstance(found, str) else str(found).lower() if isinstance(found, bool) else str(found)

    def _resolve(self, where: str, value: Any, names: Names, *, masked: bool = False) -> Any:
        scope = Scope(
            values=self._masked() if masked else self._values,
            mappings=self._intention.template.mappings,
            conditions=self.conditions,
            ref=names.ref,
            attribute=names.attribute,
            zones=self._zones,
        )
        return with_place(where, evaluate, value, scope)

    def _masked(self) -> Mapping[str, Any]:
        hidden = {name: MASK for name, value in self._intention.parameters.items() if value.no_echo}
        return {**self._values, **hidden}
