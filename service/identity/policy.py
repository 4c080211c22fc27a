"""
Which strategies a request must pass, by route, and the algebra that joins them (pure).

A policy is configuration: `all_of` and `any_of` over the names of strategies,
nested as deep as anybody can read, for each route. What is empty refuses, and
a path without a route is refused: nothing is open that nobody opened.

Every requirement is the same as a list of alternatives, each a set of
strategies that must all pass (its disjunctive normal form). With a handful of
strategies there are few, so they are worked out when the policy is read: a
request is let in by the first alternative that holds, and neither the order
of members nor the nesting can change whether one does.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Final, assert_never
from urllib.parse import unquote

from service.errors import PolicyError, PolicyFault
from service.identity.verdict import Client, Reason, Refused, Verdict

MAX_DEPTH: Final = 8
"""Nested deeper than this nobody reads it right."""
MAX_TEXT: Final = 32 * 1024
"""Characters of a policy; ECS takes 64 KiB of a whole task definition (ECS service quotas)."""
MAX_ODD_PATH: Final = 2048
"""A path that can be read in several ways is read in all of them up to this length, and refused beyond."""

RIGHT: Final = re.compile(r"[A-Za-z0-9:._/-]{1,128}")
"""A role or a scope: what fits one item of a list in a header field (narrower than RFC 6749, section 3.3)."""


class Strategy(StrEnum):
    """One way to say who asks; each name is a module of this room."""

    PINNED_CERTIFICATE = "pinned_certificate"
    BEARER_TOKEN = "bearer_token"


NOT_THERE_YET: Final = ("certificate_chain", "message_signature", "saml_assertion")
"""Strategies that are promised; a policy may not name them before they are there."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Passed when every member is. Empty: refused."""

    members: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Passed when one member is. Empty: refused."""

    members: tuple[Requirement, ...]


Requirement = Strategy | AllOf | AnyOf
Alternative = tuple[Strategy, ...]
"""Strategies that must all pass, in the order they are asked; never empty."""


@dataclass(frozen=True, slots=True)
class Route:
    """
    What is demanded below one path.

    Attributes:
        path: `/` or like `/records`, which covers `/records` and all below it, not `/recordsX`.
        roles: The client must have one of these; empty demands none.
        alternatives: The requirement as a list of ways to pass it; none refuses everybody.
        only: The one strategy that decides, where there is no more to it.
    """

    path: str
    requirement: AllOf | AnyOf
    roles: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = field(init=False, repr=False, compare=False)
    only: Strategy | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work the alternatives out, once."""
        ways = alternatives_of(self.requirement)
        is_single = len(ways) == 1 and len(ways[0]) == 1 and not self.roles
        object.__setattr__(self, "alternatives", ways)
        object.__setattr__(self, "only", ways[0][0] if is_single else None)

    def covers(self, path: str) -> bool:
        """Whether a decoded path lies on this route."""
        return _lies_below(path, self.path)


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The routes, the most specific first.

    Attributes:
        folded: Their paths with the case folded, in the same order.
    """

    routes: tuple[Route, ...]
    folded: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fold the paths, once."""
        object.__setattr__(self, "folded", tuple(route.path.casefold() for route in self.routes))

    def route_of(self, path: str, target: bytes = b"") -> Route | None:
        """
        Find the most specific route of a path; None refuses.

        What is behind the gate may read an unusual path in another way than
        we do: `/open/../admin`, `/open;x/admin`, `/ADMIN`, `/admin%3Fx`, or
        with a letter that another one is folded to. Where another
        reading lies on another route, the path has none.

        Args:
            path: As it was decoded for the application.
            target: As it was sent; tells an encoded slash from a real one.
        """
        if self.folded == ("/",):
            return self.routes[0]
        exact = self._find(path)
        if b"%" not in target and not _is_odd(path):
            return exact if self._find_folded(path.casefold()) is exact else None
        if len(path) > MAX_ODD_PATH:
            return None
        for reading in set(_readings(path, target)):
            if self._find(reading) is not exact or self._find_folded(reading.casefold()) is not exact:
                return None
        return exact

    def _find(self, path: str) -> Route | None:
        for route in self.routes:
            if route.covers(path):
                return route
        return None

    def _find_folded(self, path: str) -> Route | None:
        for index, folded in enumerate(self.folded):
            if _lies_below(path, folded):
                return self.routes[index]
        return None

    @property
    def strategies(self) -> frozenset[Strategy]:
        """Every strategy that any route names."""
        return frozenset(
            strategy for route in self.routes for alternative in route.alternatives for strategy in alternative
        )


# -- deciding ------------------------------------------------------------------


async def decide(route: Route, ask: Callable[[Strategy], Awaitable[Verdict]]) -> Verdict:
    """
    Ask the strategies that a route needs, each at most once, and join what they say.

    The first alternative that holds names the client. If none does, the
    reason is that of the one worth telling most: our own fault before all;
    then what was shown and is wrong before what was not shown; then the one
    that got furthest; then the one that stands first.
    """
    if route.only is not None:
        return await ask(route.only)
    verdicts: dict[Strategy, Verdict] = {}
    nearest, distance = Refused(Reason.NOT_PERMITTED, f"the route {route.path} is closed to everybody"), (3, 0)
    for alternative in route.alternatives:
        joined, passed = await _decide_one(alternative, verdicts, ask)
        if isinstance(joined, Client):
            if not route.roles or not set(route.roles).isdisjoint(joined.roles):
                return joined
            joined = Refused(Reason.NOT_PERMITTED, f"the role {' or '.join(route.roles)} is demanded")
        if (_rank(joined), -passed) < distance:
            nearest, distance = joined, (_rank(joined), -passed)
    return nearest


async def _decide_one(
    alternative: Alternative, verdicts: dict[Strategy, Verdict], ask: Callable[[Strategy], Awaitable[Verdict]]
) -> tuple[Verdict, int]:
    """Join one alternative's verdicts; says too how many strategies passed."""
    joined: Client | None = None
    for passed, strategy in enumerate(alternative):
        verdict = verdicts.get(strategy)
        if verdict is None:
            verdict = verdicts[strategy] = await ask(strategy)
        if isinstance(verdict, Refused):
            return verdict, passed
        if joined is None:
            joined = verdict
        elif joined.is_named_by_registry and verdict.is_named_by_registry and joined.name != verdict.name:
            return _contradiction(alternative), passed
        else:
            joined = _join(joined, verdict)
    return joined or Refused(Reason.NOT_PERMITTED), len(alternative)


def _join(first: Client, second: Client) -> Client:
    """Two strategies speak of one client: the registry's name before an issuer's, the rights of both."""
    named = second if second.is_named_by_registry and not first.is_named_by_registry else first
    return Client(
        named.name,
        tuple(dict.fromkeys(first.roles + second.roles)),
        scopes=tuple(dict.fromkeys(first.scopes + second.scopes)),
        is_named_by_registry=named.is_named_by_registry,
        cause=first.cause or second.cause,
        not_after=first.not_after or second.not_after,
    )


def _contradiction(alternative: Alternative) -> Refused:
    reason = Reason.TOKEN_NOT_BOUND if Strategy.BEARER_TOKEN in alternative else Reason.NOT_PERMITTED
    return Refused(reason, f"{' and '.join(alternative)} name different clients")


def _rank(refused: Refused) -> int:
    if refused.reason is Reason.REGISTRY_UNAVAILABLE:
        return 0
    return 2 if refused.reason in _MISSING else 1


_MISSING: Final = frozenset(
    {Reason.NO_CERTIFICATE, Reason.TOKEN_MISSING, Reason.SIGNATURE_MISSING, Reason.ASSERTION_MISSING}
)


def alternatives_of(requirement: Requirement) -> tuple[Alternative, ...]:
    """List the ways to pass a requirement, in its order; sets of the same strategies once."""
    if isinstance(requirement, Strategy):
        return ((requirement,),)
    ways = [alternatives_of(member) for member in requirement.members]
    if isinstance(requirement, AnyOf):
        return _distinct(way for each in ways for way in each)
    if not ways:
        return ()
    joined = ways[0]
    for each in ways[1:]:  # step by step, so that there are never more than sets of strategies
        joined = _distinct(first + second for first, second in product(joined, each))
    return joined


def _distinct(ways: Iterable[Alternative]) -> tuple[Alternative, ...]:
    seen: dict[frozenset[Strategy], Alternative] = {}
    for way in ways:
        seen.setdefault(frozenset(way), tuple(dict.fromkeys(way)))
    return tuple(seen.values())


# -- the ways to read a path -----------------------------------------------------

_ODD: Final = re.compile(r"[\\;%?#\x00-\x1f\x7f]|//|/\.")
_ENDS: Final = "\0?#"
"""Where careless readers take a path to end: in C, and in a URL that was put together again from decoded parts."""
_ENCODED_SLASH: Final = re.compile("%2f", re.IGNORECASE)
_PARAMETERS: Final = re.compile(r";[^/]*")


def _lies_below(path: str, route: str) -> bool:
    return route in ("/", path) or (path.startswith(route) and path[len(route)] == "/")


def _readings(path: str, target: bytes) -> Iterator[str]:
    """Give every way we know of that somebody reads this path."""
    yield path
    raw = target.partition(b"?")[0].decode("latin-1")
    has_encoded_slash = _ENCODED_SLASH.search(raw) is not None
    if not has_encoded_slash and not _is_odd(path):
        return
    texts = {path, unquote(path)}
    texts |= {unicodedata.normalize("NFKC", text) for text in texts}
    if has_encoded_slash:
        texts |= {raw, unquote(_ENCODED_SLASH.sub("%252F", raw))}
    texts |= {text.replace("\\", "/") for text in texts}
    texts |= {_PARAMETERS.sub("", text) for text in texts}
    texts |= {text.partition(end)[0] for text in texts for end in _ENDS}
    for text in texts:
        segments = text.split("/")[1:]
        yield text
        yield _resolved(segments)
        yield _resolved([segment for segment in segments if segment])


def _is_odd(path: str) -> bool:
    """Whether there may be more than one reading; compatibility forms of ASCII make other letters, slashes and dots."""
    return not path.isascii() or _ODD.search(path) is not None


def _resolved(segments: Sequence[str]) -> str:
    """Take dot segments out (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


# -- reading and writing -----------------------------------------------------------


def parse_policy(text: str) -> Policy:
    """
    Read a policy from JSON: `{"routes": [{"path": "/", "all_of": ["pinned_certificate"], "roles": []}]}`.

    Raises:
        PolicyError: With every fault.
    """
    expected = "JSON with a list `routes`"
    if len(text) > MAX_TEXT:
        raise PolicyError((PolicyFault((), f"{expected}, of at most {MAX_TEXT} characters", f"{len(text)}"),))
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise PolicyError((PolicyFault((), expected, "something else"),)) from None
    if not isinstance(document, Mapping) or set(document) != {"routes"}:
        raise PolicyError((PolicyFault((), expected, "something else"),))
    return read_policy(document["routes"])


def render_policy(policy: Policy) -> str:
    """Write a policy as `parse_policy` reads it; the same policy gives the same bytes."""
    routes = [
        {"path": route.path, **_rendered(route.requirement), **({"roles": list(route.roles)} if route.roles else {})}
        for route in policy.routes
    ]
    return json.dumps({"routes": routes}, separators=(",", ":"))


def read_policy(routes: object) -> Policy:
    """
    Read a policy from the values of JSON or TOML.

    Raises:
        PolicyError: With every fault.
    """
    reader = _Reader()
    read = reader.routes(routes)
    if reader.faults:
        raise PolicyError(tuple(reader.faults))
    return Policy(tuple(sorted(read, key=lambda route: (-len(route.path), route.path))))


def find_token_faults(policy: Policy, *, settings_given: bool) -> tuple[PolicyFault, ...]:
    """Tell whether settings of bearer tokens stand there for nothing."""
    if settings_given and Strategy.BEARER_TOKEN not in policy.strategies:
        return (PolicyFault(("bearer_token",), "a route that demands bearer_token", "none: these settings do nothing"),)
    return ()


class _Reader:
    """Reads routes and keeps every fault, each with its place."""

    def __init__(self) -> None:
        self.faults: list[PolicyFault] = []

    def routes(self, value: object) -> list[Route]:
        if not isinstance(value, list) or not value:
            self._fault(("routes",), "a list of routes", _shown(value))
            return []
        routes = [route for index, each in enumerate(value) if (route := self._route(each, ("routes", str(index))))]
        paths = [each.get("path") if isinstance(each, Mapping) else None for each in value]
        folded = [path.casefold() if isinstance(path, str) else None for path in paths]
        for index, path in enumerate(folded):
            if path is not None and path in folded[:index]:
                first = paths[folded.index(path)]
                self._fault(("routes", str(index), "path"), f"another path than {first}", f"{paths[index]} again")
        return routes

    def _route(self, value: object, place: tuple[str, ...]) -> Route | None:
        if not isinstance(value, Mapping):
            self._fault(place, "a table with `path` and `all_of` or `any_of`", _shown(value))
            return None
        before = len(self.faults)
        known = ("path", "roles", "all_of", "any_of")
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                meant = f" (did you mean {near[0]}?)" if near else ""
                self._fault((*place, str(key)), f"one of {', '.join(known)}", f"an unknown key{meant}")
        path = self._path(value.get("path"), (*place, "path"))
        roles = self._roles(value.get("roles", []), (*place, "roles"))
        joined: dict[object, object] = {key: value[key] for key in ("all_of", "any_of") if key in value}
        requirement = self._joined(joined, place, depth=1)
        if len(self.faults) > before or requirement is None:
            return None
        return Route(path, requirement, roles)

    def _path(self, value: object, place: tuple[str, ...]) -> str:
        if isinstance(value, str) and (value == "/" or _PATH.fullmatch(value)) and _is_plain(value):
            return value
        expected = "/ or a path like /records, as it reads decoded and without a slash at its end"
        self._fault(place, expected, _shown(value))
        return "/"

    def _roles(self, value: object, place: tuple[str, ...]) -> tuple[str, ...]:
        if not isinstance(value, list):
            self._fault(place, "a list of roles", _shown(value))
            return ()
        for index, role in enumerate(value):
            if not isinstance(role, str) or not RIGHT.fullmatch(role):
                self._fault((*place, str(index)), "a role of letters, digits and : . _ / -", _shown(role))
            elif role in value[:index]:
                self._fault((*place, str(index)), "each role once", f"{_shown(role)} again")
        return tuple(str(role) for role in value)

    def _joined(self, value: Mapping[object, object], place: tuple[str, ...], *, depth: int) -> AllOf | AnyOf | None:
        if depth > MAX_DEPTH:
            self._fault(place, f"at most {MAX_DEPTH} lists in one another", "more")
            return None
        if len(value) != 1 or not {"all_of", "any_of"} & set(value):
            found = " and ".join(sorted(str(key) for key in value)) or "neither"
            self._fault(place, "either `all_of` or `any_of`", found)
            return None
        ((key, listed),) = value.items()
        place = (*place, str(key))
        if not isinstance(listed, list):
            self._fault(place, "a list of strategies", _shown(listed))
            return None
        if depth > 1 and not listed:
            self._fault(place, "a strategy, for an empty list always refuses", "none")
        before = len(self.faults)
        read = [self._requirement(each, (*place, str(index)), depth=depth + 1) for index, each in enumerate(listed)]
        members = tuple(member for member in read if member is not None)
        joined = AllOf(members) if key == "all_of" else AnyOf(members)
        if len(self.faults) == before:
            self._check_members(joined, place)
        return joined

    def _requirement(self, value: object, place: tuple[str, ...], *, depth: int) -> Requirement | None:
        if isinstance(value, Mapping):
            return self._joined(value, place, depth=depth)
        if isinstance(value, str) and value in tuple(Strategy):
            return Strategy(value)
        if isinstance(value, str) and value in NOT_THERE_YET:
            self._fault(place, f"a strategy ({', '.join(Strategy)})", f"{_shown(value)}, which is not there yet")
            return None
        near = difflib.get_close_matches(value, tuple(Strategy), n=1) if isinstance(value, str) else []
        meant = f" (did you mean {near[0]}?)" if near else ""
        self._fault(place, f"a strategy ({', '.join(Strategy)})", f"{_shown(value)}{meant}")
        return None

    def _check_members(self, joined: AllOf | AnyOf, place: tuple[str, ...]) -> None:
        """Note every member that another one makes pointless: taken away, the same requests would pass."""
        is_all = isinstance(joined, AllOf)
        pointless: set[int] = set()
        for index, member in enumerate(joined.members):
            for other_index, other in enumerate(joined.members):
                if index == other_index or other_index in pointless:
                    continue
                strict, loose = (other, member) if is_all else (member, other)
                if not _implies(strict, loose):
                    continue
                pointless.add(index)
                why = f"{_words(other)} is demanded too" if is_all else f"{_words(other)} passes alone"
                self._fault((*place, str(index)), f"what counts beside the others: {why}", _words(member))
                break

    def _fault(self, place: tuple[str, ...], expected: str, found: str) -> None:
        self.faults.append(PolicyFault(place, expected, found))


_PATH: Final = re.compile(r"(/[^/?#\x00-\x20\x7f]+)+")


def _is_plain(path: str) -> bool:
    return not _ODD.search(path) and unicodedata.is_normalized("NFKC", path)


def _implies(strict: Requirement, loose: Requirement) -> bool:
    """Whether whoever passes the one passes the other."""
    loose_ways = [set(way) for way in alternatives_of(loose)]
    return all(any(way <= set(strict_way) for way in loose_ways) for strict_way in alternatives_of(strict))


def _words(requirement: Requirement) -> str:
    match requirement:
        case Strategy():
            return requirement.value
        case AllOf():
            return f"all of ({', '.join(map(_words, requirement.members))})"
        case AnyOf():
            return f"any of ({', '.join(map(_words, requirement.members))})"
        case _:
            assert_never(requirement)


def _rendered(requirement: AllOf | AnyOf) -> dict[str, object]:
    key = "all_of" if isinstance(requirement, AllOf) else "any_of"
    return {
        key: [member.value if isinstance(member, Strategy) else _rendered(member) for member in requirement.members]
    }


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice: which of them holds would be up to the parser."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice")
    return document


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value[:64]}"'
        case list():
            return f"a list of {len(value)}"
        case Mapping():
            return "a table"
        case _:
            return str(value)[:64]


DEFAULT_POLICY: Final = Policy((Route("/", AllOf((Strategy.PINNED_CERTIFICATE,))),))
"""An enrolled certificate, everywhere."""
