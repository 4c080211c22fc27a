"""
Every stack of an environment, in the order they can be deployed, and what each hands to which.

A parameter of one stack is joined to the output of the same name of another:
one stack offers it, and no stack waits for itself. Nothing is exported, so a
value in use never blocks a change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from stacks.environment import Environment
from stacks.errors import DeploymentError
from stacks.naming import OperatorParameter, stack_name
from stacks.templates import (
    audit_trail,
    bootstrap,
    capacity,
    certificate_store,
    client_registry,
    dashboard,
    events,
    identity,
    images,
    ingress,
    network,
    observability,
    workload,
)

_BUILDERS: Final = {
    "network": network.build,
    "identity": identity.build,
    "certificate_store": certificate_store.build,
    "client_registry": client_registry.build,
    "images": images.build,
    "ingress": ingress.build,
    "capacity": capacity.build,
    "observability": observability.build,
    "audit_trail": audit_trail.build,
    "events": events.build,
    "dashboard": dashboard.build,
    "workload": workload.build,
}
"""In the order an operator thinks of them, which is kept wherever the joints leave a choice."""
_NAME_PROPERTIES: Final = ("RoleName", "ManagedPolicyName", "InstanceProfileName", "GroupName", "UserName")

BOOTSTRAP: Final = "bootstrap"
"""The stack that no deployment makes: its roles are those the deployment works as."""

Body = Mapping[str, Any]
"""A template as JSON: its values are whatever AWS says they are."""


@dataclass(frozen=True, slots=True, order=True)
class OutputReference:
    """An output of a stack, both by their names in the catalog."""

    stack: str
    output: str


@dataclass(frozen=True, slots=True)
class StackEntry:
    """
    One stack, ready to be deployed once those it needs are.

    Attributes:
        name: The stack's module, `certificate_store`.
        stack_name: Its name in CloudFormation.
        template: As JSON values.
        body: As text, the same bytes for the same environment.
        inputs: Where each joined parameter's value comes from.
        operator_parameters: Those whose value the deployer finds out itself.
        needs: The stacks that must be there before.
        capabilities: What CloudFormation wants acknowledged.
    """

    name: str
    stack_name: str
    template: Body
    body: str
    inputs: Mapping[str, OutputReference]
    operator_parameters: frozenset[str]
    needs: frozenset[str]
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every stack of an environment, each after those it needs."""

    environment: Environment
    stacks: tuple[StackEntry, ...]
    bootstrap: StackEntry | None = None
    """What an administrator deploys once, and no deployment after it; None where templates are joined for a test."""

    @property
    def every(self) -> tuple[StackEntry, ...]:
        """Everything that is rendered, judged and reviewed, in the order it is deployed."""
        return self.stacks if self.bootstrap is None else (self.bootstrap, *self.stacks)

    @property
    def beginning(self) -> Catalog:
        """The bootstrap stack as if it were the whole."""
        return Catalog(self.environment, () if self.bootstrap is None else (self.bootstrap,))

    def __getitem__(self, name: str) -> StackEntry:
        """Find a stack by its name here; KeyError if there is none."""
        for entry in self.every:
            if entry.name == name:
                return entry
        raise KeyError(name)


class CatalogError(DeploymentError):
    """The templates do not fit together; a mistake of whoever wrote them, not of the operator."""

    exit_code = 5

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(["the templates do not fit together", *(f"  {fault}" for fault in faults)]))


def assemble(environment: Environment) -> Catalog:
    """
    Build every stack of an environment and join them.

    Raises:
        CatalogError: A parameter nobody offers, an output two stacks offer, or stacks that wait for each other.
    """
    bodies: dict[str, Body] = {name: json.loads(build(environment).to_json()) for name, build in _BUILDERS.items()}
    first: Body = json.loads(bootstrap.build(environment).to_json())
    return join(environment, {name: body for name, body in bodies.items() if body["Resources"]}, first=first)


def join(environment: Environment, bodies: Mapping[str, Body], *, first: Body | None = None) -> Catalog:
    """
    Join templates by the names of their parameters and outputs.

    Args:
        environment: Whose they are.
        bodies: By the stack's name in the catalog.
        first: The bootstrap stack's template; it takes nothing from others and they take nothing from it.

    Raises:
        CatalogError: With everything that does not fit.
    """
    producers = _producers(bodies)
    faults = [*_offered_twice(producers), *_offered_by_nobody(bodies, producers)]
    if faults:
        raise CatalogError(faults)
    entries = {name: _entry(environment, name, body, producers) for name, body in bodies.items()}
    return Catalog(
        environment,
        tuple(entries[name] for name in _order(entries)),
        _entry(environment, BOOTSTRAP, first, {}) if first is not None else None,
    )


def render(template: Body) -> str:
    """Write a template as text, for a given template always the same bytes."""
    return json.dumps(template, indent=1, sort_keys=True) + "\n"


def _producers(bodies: Mapping[str, Body]) -> dict[str, list[str]]:
    producers: dict[str, list[str]] = {}
    for name, body in bodies.items():
        for output in body.get("Outputs", {}):
            producers.setdefault(output, []).append(name)
    return producers


def _offered_twice(producers: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{output} is offered by {' and '.join(names)}" for output, names in producers.items() if len(names) > 1]


def _offered_by_nobody(bodies: Mapping[str, Body], producers: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"{name} takes {parameter}, which no stack offers"
        for name, body in bodies.items()
        for parameter, facts in body.get("Parameters", {}).items()
        if parameter not in producers and parameter not in tuple(OperatorParameter) and "Default" not in facts
    ]


def _entry(environment: Environment, name: str, body: Body, producers: Mapping[str, Sequence[str]]) -> StackEntry:
    parameters = body.get("Parameters", {})
    inputs = {
        parameter: OutputReference(producers[parameter][0], parameter)
        for parameter in parameters
        if parameter in producers
    }
    return StackEntry(
        name=name,
        stack_name=stack_name(environment, name),
        template=body,
        body=render(body),
        inputs=inputs,
        operator_parameters=frozenset(name for name in parameters if name in tuple(OperatorParameter)),
        needs=frozenset(reference.stack for reference in inputs.values()),
        capabilities=_capabilities(body),
    )


def _capabilities(body: Body) -> tuple[str, ...]:
    resources = [resource for resource in body["Resources"].values() if resource["Type"].startswith("AWS::IAM::")]
    if not resources:
        return ()
    is_named = any(name in resource.get("Properties", {}) for resource in resources for name in _NAME_PROPERTIES)
    return ("CAPABILITY_NAMED_IAM",) if is_named else ("CAPABILITY_IAM",)


def _order(entries: Mapping[str, StackEntry]) -> list[str]:
    """Sort the stacks so that each comes after those it needs, and else as they were given."""
    sorter = TopologicalSorter({name: entry.needs for name, entry in entries.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise CatalogError([f"stacks wait for each other: {' -> '.join(error.args[1])}"]) from error
    order: list[str] = []
    while len(order) < len(entries):
        done = set(order)
        order.append(next(name for name in entries if name not in done and entries[name].needs <= done))
    return order
