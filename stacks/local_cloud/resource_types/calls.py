"""
How a row speaks to a service: properties in the shape of its API, and answers that mean "gone".

A template spells `ReadonlyRootFilesystem` where the ECS API says
`readonlyRootFilesystem`, and hands a parameter's "2" to a member that is an
integer. Both are settled here once, from the service model boto3 itself works
by, so a row only names the properties it carries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from stacks.local_cloud.row import Properties, Resource, ResourceFailedError


def arguments(client: Any, operation: str, properties: Properties, *names: str, **renamed: str) -> dict[str, Any]:
    """
    Read properties as arguments of one operation.

    Structures are walked field by field, so a field the API has no member for
    stays unread and the engine names it. Absent properties are left out.

    Args:
        client: A boto3 client.
        operation: Its method, `create_service`.
        properties: Where they are read.
        names: Properties the operation has a member of the same name for, letter case aside.
        renamed: Argument and property where the names differ, `VPCZoneIdentifier="Subnets"`.
    """
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
    pairs = {_member(shape, name) or _unknown(operation, name): name for name in names} | renamed
    return {
        argument: _read(properties, name, shape.members[argument])
        for argument, name in pairs.items()
        if name in properties
    }


def in_shape_of(properties: Properties, shape: StructureShape) -> dict[str, Any]:
    """Read every property the structure has a member for; the others stay unread."""
    found: dict[str, Any] = {}
    for name in properties.raw():
        member = _member(shape, name)
        if member is not None:
            found[member] = _read(properties, name, shape.members[member])
    return found


def fit(value: Any, shape: Shape) -> Any:
    """
    Turn a scalar, a list or a map of scalars into the types the service wants.

    CloudFormation does the same: "8443" is good for an integer, 8443 for a
    string, "true" for a boolean. What cannot be turned is left to boto3,
    which says what it expected.
    """
    match shape:
        case ListShape():
            return [fit(item, shape.member) for item in _listed(value)]
        case MapShape() if isinstance(value, Mapping):
            return {str(key): fit(item, shape.value) for key, item in value.items()}
        case _:
            return _scalar(value, shape.type_name)


@contextmanager
def unless_gone(*codes: str) -> Iterator[None]:
    """Take an answer with one of these error codes for success: what shall go is gone already."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def refuse_taken(resource: Resource, identity: str, *, is_taken: bool) -> None:
    """
    Fail the creation of what is there already.

    CloudFormation makes what it manages and adopts nothing, also where the
    service's call to create would take an existing one for its own (resource
    type contract of the CloudFormation CLI, "Create handlers": AlreadyExists).
    """
    if is_taken:
        raise ResourceFailedError(
            f"Resource of type '{resource.type}' with identifier '{identity}' already exists. "
            "(HandlerErrorCode: AlreadyExists)"
        )


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Write tags as most services take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def flag(value: Any) -> bool:
    """Read a boolean that a template may write as text."""
    return _scalar(value, "boolean") is True


def _read(properties: Properties, name: str, shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        return in_shape_of(properties.branch(name), shape)
    if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
        return [in_shape_of(branch, shape.member) for branch in properties.branches(name)]
    return fit(properties.take(name), shape)


def _member(shape: StructureShape, name: str) -> str | None:
    return next((member for member in shape.members if member.casefold() == name.casefold()), None)


def _unknown(operation: str, name: str) -> str:
    raise ResourceFailedError(f"{operation} has no argument for property {name}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _scalar(value: Any, type_name: str) -> Any:
    match type_name, value:
        case "boolean", str():
            return {"true": True, "false": False}.get(value.lower(), value)
        case (("integer" | "long"), (str() | float())):
            return _whole(value)
        case (("float" | "double"), str()):
            return _number(value)
        case "string", bool():
            return str(value).lower()
        case "string", int() | float():
            return str(value)
        case _:
            return value


def _whole(value: str | float) -> Any:
    is_whole = value.is_integer() if isinstance(value, float) else value.removeprefix("-").isdigit()
    return int(value) if is_whole else value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def document(value: Any) -> str:
    """Write a policy or another document as the JSON text an API takes; text is handed on as it stands."""
    return value if isinstance(value, str) else json.dumps(value)
