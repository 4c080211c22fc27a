"""The rules on what stands between stacks: parameters, outputs, references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stacks.naming import OperatorParameter
from stacks.rules.estate import Estate, Fault
from stacks.rules.register import Entry
from stacks.rules.resolving import section
from stacks.rules.rule import Rule, rule
from stacks.rules.values import listed, shown

_SOURCE: Final = "CloudFormation guide, Fn::ImportValue: a value in use can be neither changed nor removed"
_SOURCE_OF_REFERENCES: Final = "CloudFormation guide, intrinsic function reference and DependsOn attribute"
_DECIDED: Final = "CloudFormation guide, template anatomy: conditions, transforms, rules, nested stacks"
_DECIDING_SECTIONS: Final = ("Conditions", "Transform", "Rules", "Hooks")
_DECIDED_BY_AWS: Final = ("Fn::If", "Fn::GetAZs", "Fn::Cidr", "Fn::Transform", "Fn::GetStackOutput")
_NESTED: Final = ("AWS::CloudFormation::Stack", "AWS::CloudFormation::Macro")
_TEXT: Final = ("String", "CommaDelimitedList")
_PREFIXES: Final = {
    "AWS::EC2::SecurityGroup::Id": "sg-",
    "AWS::EC2::Subnet::Id": "subnet-",
    "AWS::EC2::VPC::Id": "vpc-",
}
"""How the values of a type begin that CloudFormation looks up in the account."""
_NARROWING: Final = ("AllowedPattern", "AllowedValues", "MaxLength", "MaxValue", "MinLength", "MinValue")
_VARIABLE: Final = re.compile(r"\$\{(?!!)([^}]*)\}")
_ACYCLIC: Final = "measured: cfn-lint and checkov see one template at a time"


@rule("K18", why="a value that another stack imports blocks every change of the stack that exports it", source=_SOURCE)
def nothing_is_exported_or_imported(estate: Estate) -> Iterator[Fault]:
    """No template has an Export or an Fn::ImportValue; values travel as parameters."""
    for stack, body in estate.bodies.items():
        for name, output in section(body, "Outputs").items():
            if isinstance(output, dict) and "Export" in output:
                yield Fault(stack, name, "Export", "an export", "none")
        for part in ("Resources", "Outputs", "Conditions"):
            for name, value in section(body, part).items():
                if _mentions(value, "Fn::ImportValue"):
                    yield Fault(stack, name, "", "Fn::ImportValue", "a parameter that another stack offers")


@rule("K18", why="the deployment of the stack stops for a value that nobody hands in", source=_ACYCLIC)
def every_parameter_is_offered(estate: Estate) -> Iterator[Fault]:
    """Every parameter has a default, is the deployer's to hand in, or is the output of exactly one other stack."""
    offering: dict[str, list[str]] = {}
    for stack, body in estate.bodies.items():
        for name in section(body, "Outputs"):
            offering.setdefault(name, []).append(stack)
    for name, stacks in offering.items():
        for stack in stacks[1:]:
            yield Fault(stack, name, "", f"an output that {stacks[0]} offers too", "each output's name in one stack")
    for stack, body in estate.bodies.items():
        for name, facts in section(body, "Parameters").items():
            others = [other for other in offering.get(name, []) if other != stack]
            has_default = isinstance(facts, dict) and "Default" in facts
            if not others and not has_default and name not in tuple(OperatorParameter):
                yield Fault(stack, name, "", "a parameter nobody offers", "an output of this name in another stack")


@rule(
    "K18",
    why="CloudFormation refuses the change set of the stack for a value that is none of its parameter's type",
    source="CloudFormation guide, Parameters: type, AllowedPattern; Outputs: Value",
)
def parameters_take_what_is_offered(estate: Estate) -> Iterator[Fault]:
    """An output is a text; a parameter joined to it has a type that its value is of, and nothing that narrows it."""
    for stack, body in estate.bodies.items():
        for name, output in section(body, "Outputs").items():
            given = estate.resolver.value(stack, output.get("Value") if isinstance(output, dict) else None)
            if not isinstance(given, str | int | float):
                yield Fault(stack, name, "Value", shown(given), "a text")
        for name, facts in section(body, "Parameters").items():
            source = estate.resolver.source(stack, name)
            if source is not None and isinstance(facts, dict):
                output = section(estate.bodies[source[0]], "Outputs")[name]
                given = estate.resolver.value(source[0], output.get("Value") if isinstance(output, dict) else None)
                yield from _misfits(stack, name, facts, given)


def _misfits(stack: str, name: str, facts: Mapping[str, Any], given: object) -> Iterator[Fault]:
    kind = str(facts.get("Type"))
    values = given.split(",") if isinstance(given, str) and kind.startswith("List<") else [str(given)]
    prefix = _PREFIXES.get(kind.removeprefix("List<").removesuffix(">"))
    if kind not in _TEXT and prefix is None:
        yield Fault(stack, name, "Type", f'"{kind}"', "String, CommaDelimitedList, or the type of what is offered")
    elif prefix and not all(value.startswith(prefix) and "," not in value for value in values):
        yield Fault(stack, name, "Type", f'"{kind}"', f"a type that {shown(given)} is of")
    for limit in _NARROWING:
        if limit in facts:
            yield Fault(stack, name, limit, shown(facts[limit]), "none: another stack says what it is")


@rule("K18", why="stacks that wait for each other can never be deployed", source=_ACYCLIC)
def no_stack_waits_for_itself(estate: Estate) -> Iterator[Fault]:
    """The graph of stacks, by what each takes of the others, has no circle."""
    needs = {
        stack: sorted(
            {source[0] for name in section(body, "Parameters") if (source := estate.resolver.source(stack, name))}
        )
        for stack, body in estate.bodies.items()
    }
    for stack in needs:
        circle = _way_back(needs, stack)
        if circle and stack == min(circle):
            yield Fault(stack, "", "Parameters", " -> ".join(circle), "stacks that do not wait for each other")


@rule("K18", why="CloudFormation refuses the template", source=_SOURCE_OF_REFERENCES)
def every_reference_is_to_something(estate: Estate) -> Iterator[Fault]:
    """Every Ref, Fn::GetAtt, Fn::Sub and DependsOn names a resource or a parameter of its own template."""
    for stack, body in estate.bodies.items():
        resources, parameters = section(body, "Resources"), section(body, "Parameters")
        for part in ("Resources", "Outputs"):
            for logical_id, value in section(body, part).items():
                named = _named(value)
                known = {*resources, *parameters}
                for name in sorted(named - known):
                    yield Fault(stack, logical_id, "", f"a reference to {name}, which is not there", "one to what is")


@rule("K18", why="CloudFormation refuses the template", source=_SOURCE_OF_REFERENCES)
def no_resource_waits_for_itself(estate: Estate) -> Iterator[Fault]:
    """The graph of a template's resources, by what each refers to or depends on, has no circle."""
    for stack, body in estate.bodies.items():
        resources = section(body, "Resources")
        needs = {name: sorted(_named(value) & set(resources)) for name, value in resources.items()}
        for name in needs:
            circle = _way_back(needs, name)
            if circle and name == min(circle):
                yield Fault(stack, name, "", " -> ".join(circle), "resources that do not wait for each other")


@rule("K18", why="nobody can judge before AWS does what AWS alone decides", source=_DECIDED)
def nothing_is_decided_in_aws(estate: Estate) -> Iterator[Fault]:
    """No template has conditions, transforms or nested stacks; what an environment is, is decided before."""
    for stack, body in estate.bodies.items():
        for name in _DECIDING_SECTIONS:
            if name in body:
                yield Fault(stack, "", name, "a section that AWS decides by", "none")
        for part in ("Resources", "Outputs"):
            for logical_id, value in section(body, part).items():
                yield from _decided(stack, logical_id, value if isinstance(value, dict) else {})


def _decided(stack: str, logical_id: str, value: Mapping[str, Any]) -> Iterator[Fault]:
    if "Condition" in value:
        yield Fault(stack, logical_id, "Condition", "a condition", "none: it is there or it is not")
    if logical_id.startswith("Fn::") or str(value.get("Type")) in _NESTED:
        yield Fault(stack, logical_id, "", "what AWS makes resources of", "the resources themselves")
    for name in _DECIDED_BY_AWS:
        if _mentions(value, name):
            yield Fault(stack, logical_id, "", name, "a value that can be told from the templates")


def _named(value: object) -> set[str]:
    """Find the names that a value refers to within its template."""
    match value:
        case {"Ref": str(name)}:
            return set() if name.startswith("AWS::") else {name}
        case {"Fn::GetAtt": [str(name), *_]} | {"Fn::GetAtt": str(name)}:
            return {name.split(".")[0]}
        case {"Fn::Sub": given}:
            return _named_in_text(given)
        case dict():
            depends_on = {each for each in listed(value.get("DependsOn")) if isinstance(each, str)}
            return (depends_on if "Type" in value else set()).union(*map(_named, value.values()))
        case list():
            return set().union(*map(_named, value))
        case _:
            return set()


def _named_in_text(given: object) -> set[str]:
    text, variables = (given[0], given[1]) if isinstance(given, list) and len(given) == 2 else (given, {})  # noqa: PLR2004
    if not isinstance(text, str) or not isinstance(variables, dict):
        return set()
    names = {match.split(".")[0] for match in _VARIABLE.findall(text)} - set(variables)
    return {name for name in names if not name.startswith("AWS::")}.union(*map(_named, variables.values()))


def _way_back(needs: dict[str, list[str]], start: str) -> list[str]:
    """Find a way from a stack to itself; empty if there is none."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop(0)
        for needed in needs.get(way[-1], []):
            if needed == start:
                return [*way, start]
            if needed not in seen:
                seen.add(needed)
                ways.append([*way, needed])
    return []


def _mentions(value: Any, key: str) -> bool:  # noqa: ANN401 -- any JSON
    match value:
        case dict():
            return key in value or any(_mentions(inner, key) for inner in value.values())
        case list():
            return any(_mentions(inner, key) for inner in value)
        case _:
            return False


RULES: Final[tuple[Rule, ...]] = (
    nothing_is_exported_or_imported,
    every_parameter_is_offered,
    parameters_take_what_is_offered,
    no_stack_waits_for_itself,
    every_reference_is_to_something,
    no_resource_waits_for_itself,
    nothing_is_decided_in_aws,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
