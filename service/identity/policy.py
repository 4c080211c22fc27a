"""
Which strategies a request must pass, by route, and the algebra that joins them (pure).

A policy is configuration: `all_of` and `any_of` over the names of strategies,
nested as deep as anybody can read, for each route. What is empty refuses, and
a path without a route is refused: nothing is open that nobody opened.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from service.errors import PolicyError
from service.identity.verdict import Client, Reason, Refused, Verdict

MAX_DEPTH: Final = 8
"""Nested deeper than this nobody reads it right."""


class Strategy(StrEnum):
    """One way to say who asks; each name is a module of this room."""

    PINNED_CERTIFICATE = "pinned_certificate"
    BEARER_TOKEN = "bearer_token"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Passed when every member is; the first that refuses gives the reason. Empty: refused."""

    members: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Passed when one member is. Empty: refused."""

    members: tuple[Requirement, ...]


Requirement = Strategy | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Route:
    """
    What is demanded below one path.

    Attributes:
        path: `/` or like `/records`, which covers `/records` and all below it, not `/recordsX`.
        roles: The client must have one of these; empty demands none.
    """

    path: str
    requirement: Requirement
    roles: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        """Whether a decoded path lies on this route."""
        return self.path in {"/", path} or path.startswith(self.path + "/")


@dataclass(frozen=True, slots=True)
class Policy:
    """The routes, the most specific first."""

    routes: tuple[Route, ...]

    def route_of(self, path: str) -> Route | None:
        """Find the most specific route of a decoded path."""
        return next((route for route in self.routes if route.covers(path)), None)

    @property
    def strategies(self) -> frozenset[Strategy]:
        """Every strategy that any route names."""
        return frozenset().union(*(_strategies(route.requirement) for route in self.routes))


DEFAULT_POLICY: Final = Policy((Route("/", AllOf((Strategy.PINNED_CERTIFICATE,))),))
"""An enrolled certificate, everywhere."""


async def decide(requirement: Requirement, ask: Callable[[Strategy], Awaitable[Verdict]]) -> Verdict:
    """Ask the strategies that a requirement needs, in its order, and join what they say."""
    match requirement:
        case Strategy():
            return await ask(requirement)
        case AllOf():
            return await _decide_all(requirement, ask)
        case AnyOf():
            return await _decide_any(requirement, ask)
        case _:
            assert_never(requirement)


async def _decide_all(requirement: AllOf, ask: Callable[[Strategy], Awaitable[Verdict]]) -> Verdict:
    joined: Verdict = Refused(Reason.NOT_PERMITTED)
    for position, member in enumerate(requirement.members):
        verdict = await decide(member, ask)
        if isinstance(verdict, Refused):
            return verdict
        joined = _join(joined, verdict) if position and isinstance(joined, Client) else verdict
        if isinstance(joined, Refused):
            return joined
    return joined


async def _decide_any(requirement: AnyOf, ask: Callable[[Strategy], Awaitable[Verdict]]) -> Verdict:
    refusals: list[Refused] = []
    for member in requirement.members:
        verdict = await decide(member, ask)
        if isinstance(verdict, Client):
            return verdict
        refusals.append(verdict)
    return min(refusals, key=_distance, default=Refused(Reason.NOT_PERMITTED))


def _join(first: Client, second: Client) -> Verdict:
    """Two strategies speak of one client; the first names it, rights are what both together say."""
    if second.is_named_by_registry and first.is_named_by_registry and first.name != second.name:
        return Refused(Reason.TOKEN_NOT_BOUND)
    return Client(
        first.name,
        tuple(dict.fromkeys(first.roles + second.roles)),
        scopes=tuple(dict.fromkeys(first.scopes + second.scopes)),
        is_named_by_registry=first.is_named_by_registry or second.is_named_by_registry,
        cause=first.cause or second.cause,
    )


def _distance(refused: Refused) -> int:
    """How far the refused one was from being let in: our own fault first, what was not even shown last."""
    if refused.reason is Reason.REGISTRY_UNAVAILABLE:
        return 0
    return 2 if refused.reason in _MISSING else 1


_MISSING: Final = frozenset(
    {Reason.NO_CERTIFICATE, Reason.TOKEN_MISSING, Reason.SIGNATURE_MISSING, Reason.ASSERTION_MISSING}
)


def parse_policy(text: str) -> Policy:
    """
    Read a policy from JSON: `{"routes": [{"path": "/", "all_of": ["pinned_certificate"], "roles": []}]}`.

    Raises:
        PolicyError: With every fault.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PolicyError(("it is not JSON",)) from None
    return read_policy(document)


def read_policy(document: object) -> Policy:
    """
    Read a policy from the values of JSON or TOML.

    Raises:
        PolicyError: With every fault.
    """
    faults: list[str] = []
    routes = _read_routes(document, faults)
    if faults:
        raise PolicyError(tuple(faults))
    return Policy(tuple(sorted(routes, key=lambda route: len(route.path), reverse=True)))


def _read_routes(document: object, faults: list[str]) -> list[Route]:
    listed = document.get("routes") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        faults.append("an object with a list `routes` expected")
        return []
    routes = [route for number, each in enumerate(listed, 1) if (route := _read_route(each, number, faults))]
    paths = [route.path for route in routes]
    faults += [f"route {path} is there {paths.count(path)} times" for path in sorted({*paths}) if paths.count(path) > 1]
    return routes


def _read_route(value: object, number: int, faults: list[str]) -> Route | None:
    if not isinstance(value, Mapping):
        faults.append(f"route {number} must be an object with `path` and `all_of` or `any_of`")
        return None
    path, roles = value.get("path"), value.get("roles", [])
    before = len(faults)
    if not isinstance(path, str) or not _is_path(path):
        faults.append(f"route {number}: `path` must be / or like /records, no slash at its end, found {path!r}")
    if not isinstance(roles, list) or not all(isinstance(role, str) and role for role in roles):
        faults.append(f"route {number}: `roles` must be a list of names, found {roles!r}")
    faults += [
        f"route {number}: `{key}` is unknown" for key in value if key not in {"path", "roles", "all_of", "any_of"}
    ]
    requirement = _read_joined({key: value[key] for key in ("all_of", "any_of") if key in value}, number, faults, 1)
    if len(faults) > before or requirement is None:
        return None
    return Route(str(path), requirement, tuple(roles))


def _read_requirement(value: object, number: int, faults: list[str], depth: int) -> Requirement | None:
    if isinstance(value, Mapping):
        return _read_joined(value, number, faults, depth)
    if isinstance(value, str) and value in tuple(Strategy):
        return Strategy(value)
    faults.append(f"route {number}: {value!r} is no strategy; there are {', '.join(Strategy)}")
    return None


def _read_joined(value: Mapping[object, object], number: int, faults: list[str], depth: int) -> Requirement | None:
    if depth > MAX_DEPTH:
        faults.append(f"route {number} is nested deeper than {MAX_DEPTH}")
        return None
    if len(value) != 1 or not {"all_of", "any_of"} & set(value):
        faults.append(f"route {number}: exactly one of `all_of` and `any_of` expected, found {list(value) or 'none'}")
        return None
    ((key, listed),) = value.items()
    if not isinstance(listed, list):
        faults.append(f"route {number}: `{key}` must be a list")
        return None
    members = tuple(_read_requirement(each, number, faults, depth + 1) for each in listed)
    whole = tuple(member for member in members if member is not None)
    return AllOf(whole) if key == "all_of" else AnyOf(whole)


def _is_path(path: str) -> bool:
    segments = path.split("/")[1:]
    return path == "/" or (path.startswith("/") and all(each not in {"", ".", ".."} for each in segments))


def _strategies(requirement: Requirement) -> frozenset[Strategy]:
    if isinstance(requirement, Strategy):
        return frozenset({requirement})
    return frozenset().union(*(_strategies(member) for member in requirement.members))
