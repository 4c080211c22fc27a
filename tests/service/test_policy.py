"""Policies: what a route demands, which reason a refusal gives, and what a policy must not say."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import PolicyError
from service.identity.policy import (
    DEFAULT_POLICY,
    MAX_DEPTH,
    MAX_ODD_PATH,
    MAX_TEXT,
    NOT_THERE_YET,
    AllOf,
    AnyOf,
    Policy,
    Requirement,
    Route,
    Strategy,
    alternatives_of,
    decide,
    find_token_faults,
    parse_policy,
    read_policy,
    render_policy,
)
from service.identity.verdict import Client, Reason, Refused, Verdict

PIN, TOKEN = Strategy.PINNED_CERTIFICATE, Strategy.BEARER_TOKEN
ACME = Client("acme", ("send",))
NO_CERTIFICATE = Refused(Reason.NO_CERTIFICATE)


def decided(
    requirement: AllOf | AnyOf, verdicts: Mapping[Strategy, Verdict], *, roles: tuple[str, ...] = ()
) -> Verdict:
    """Decide with verdicts that are given; a strategy must not be asked twice."""
    asked: list[Strategy] = []

    async def ask(strategy: Strategy) -> Verdict:
        assert strategy not in asked
        asked.append(strategy)
        return verdicts[strategy]

    return asyncio.run(decide(Route("/", requirement, roles), ask))


def faults(routes: object) -> list[str]:
    """Read routes that are wrong and return the faults."""
    with pytest.raises(PolicyError) as caught:
        read_policy(routes)
    return [str(fault) for fault in caught.value.faults]


def demanding(**requirement: object) -> list[dict[str, object]]:
    """One route for everything."""
    return [{"path": "/", **requirement}]


# -- routes ------------------------------------------------------------------------


POLICY = read_policy(
    [
        {"path": "/", "all_of": ["pinned_certificate"]},
        {"path": "/records", "all_of": ["pinned_certificate", "bearer_token"]},
        {"path": "/records/public", "any_of": ["pinned_certificate", "bearer_token"]},
    ]
)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/recordsX", "/"),
        ("/other/records", "/"),
        ("/records", "/records"),
        ("/records/", "/records"),
        ("/records/17", "/records"),
        ("/records/publicity", "/records"),
        ("/records/public/a", "/records/public"),
        ("/Patient/17", "/"),
        ("/a//b", "/"),
        ("/records//b", "/records"),
        ("/100%", "/"),
        ("/what?", "/"),
        ("/records/17?", "/records"),
        ("/\N{LATIN SMALL LETTER U WITH DIAERESIS}ber", "/"),
        ("/records/Stra\N{LATIN SMALL LETTER SHARP S}e", "/records"),
    ],
)
def test_the_most_specific_route_counts_at_segment_boundaries(path: str, route: str) -> None:
    found = POLICY.route_of(path)

    assert found is not None
    assert found.path == route


@pytest.mark.parametrize(
    "path",
    [
        "/records/public/../17",
        "/records/public/./../17",
        "/records/public//../../17",
        "/x/..//records",
        "//records",
        "/./records",
        "/x\\..\\..\\records",
        "/x/..;/records",
        "/records;v=1/17",
        "/RECORDS/17",
        "/%72ecords/17",
        "/x/%2e%2e/records",
        "/records\x00/public",
        "/records?/public",
        "/records#",
        "/record\N{LATIN SMALL LETTER LONG S}",
        "/\N{FULLWIDTH LATIN SMALL LETTER R}ecords/17",
        "/x\N{FULLWIDTH SOLIDUS}..\N{FULLWIDTH SOLIDUS}records",
        "/x/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/records",
        "/records/public" + "/." * MAX_ODD_PATH,
        "/x/.." * MAX_ODD_PATH + "/records",
    ],
)
def test_a_path_that_could_be_read_as_another_routes_has_none(path: str) -> None:
    """An application that resolves it in its own way must not be reached over the route of a laxer path."""
    assert POLICY.route_of(path) is None


def test_an_encoded_slash_may_not_choose_the_route() -> None:
    """`/records%2Fpublic` is one segment to some and two to others."""
    assert POLICY.route_of("/records/public", b"/records%2Fpublic") is None
    assert POLICY.route_of("/other/thing", b"/other%2fthing?a=b") is POLICY.routes[-1]
    assert POLICY.route_of("/records/a b", b"/records/a%20b") is POLICY.routes[1]


SEGMENTS = st.sampled_from(["records", "public", "RECORDS", "x", "..", ".", "", "..;a", "%2e%2e", "records;v=1"])


@settings(max_examples=150, deadline=None)
@given(st.lists(SEGMENTS, min_size=1, max_size=6))
def test_no_application_finds_a_stricter_route_behind_a_laxer_one(segments: list[str]) -> None:
    """However often it decodes, resolves and strips: what it reads in the end lies on the route that was judged."""
    path = "/" + "/".join(segments)
    read = [re.sub(";[^/]*", "", unquote(path)), re.sub(";[^/]*", "", unquote(path)).lower()]
    resolved = [posixpath.normpath(each).replace("//", "/") for each in read]

    found = POLICY.route_of(path)

    assert found is None or {POLICY.route_of(each) for each in resolved} == {found}


def test_one_route_for_everything_takes_every_path() -> None:
    assert DEFAULT_POLICY.route_of("/a/../b//c;d") is DEFAULT_POLICY.routes[0]


def test_a_path_without_a_route_is_refused() -> None:
    policy = read_policy([{"path": "/records", "all_of": ["pinned_certificate"]}])

    assert policy.route_of("/") is None
    assert policy.route_of("/recordsX") is None


# -- the algebra -------------------------------------------------------------------


def test_what_is_empty_refuses() -> None:
    for requirement in (AllOf(()), AnyOf(()), AllOf((PIN, AnyOf(()))), AnyOf((AllOf(()),))):
        assert decided(requirement, {PIN: ACME, TOKEN: ACME}) == Refused(
            Reason.NOT_PERMITTED, "the route / is closed to everybody"
        )


def test_all_of_joins_what_its_members_say() -> None:
    by_token = Client("acme", ("read",), scopes=("records",))

    assert decided(AllOf((PIN, TOKEN)), {PIN: ACME, TOKEN: by_token}) == Client("acme", ("send", "read"), ("records",))


@pytest.mark.parametrize("members", [(PIN, TOKEN), (TOKEN, PIN)])
def test_the_registrys_name_stands_before_an_issuers(members: tuple[Strategy, ...]) -> None:
    by_issuer = Client("service-17", (), is_named_by_registry=False)

    joined = decided(AllOf(members), {PIN: ACME, TOKEN: by_issuer})

    assert joined == ACME


@pytest.mark.parametrize("members", [(PIN, TOKEN), (TOKEN, PIN)])
def test_a_certificate_and_a_token_of_two_clients_are_refused(members: tuple[Strategy, ...]) -> None:
    verdict = decided(AllOf(members), {PIN: ACME, TOKEN: Client("bolt", ())})

    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.TOKEN_NOT_BOUND
    assert verdict.cause is not None
    assert "name different clients" in verdict.cause


def test_the_first_that_passes_names_the_client() -> None:
    assert decided(AnyOf((PIN, TOKEN)), {PIN: NO_CERTIFICATE, TOKEN: ACME}) == ACME


def test_a_role_may_come_from_any_alternative_that_passes() -> None:
    """Otherwise the order of `any_of` would decide who is let in."""
    operator = Client("acme", ("operate",))

    assert decided(AnyOf((PIN, TOKEN)), {PIN: ACME, TOKEN: operator}, roles=("operate",)) == operator


def test_a_client_without_a_role_of_the_route_is_not_permitted() -> None:
    verdict = decided(AllOf((PIN,)), {PIN: ACME}, roles=("operate", "audit"))

    assert verdict == Refused(Reason.NOT_PERMITTED, "the role operate or audit is demanded")


@pytest.mark.parametrize(
    ("by_certificate", "by_token", "told"),
    [
        # our own fault first: nobody is to search for one of theirs
        (Reason.UNKNOWN_CERTIFICATE, Reason.REGISTRY_UNAVAILABLE, Reason.REGISTRY_UNAVAILABLE),
        # what was shown and is wrong before what was not shown
        (Reason.NO_CERTIFICATE, Reason.TOKEN_INVALID, Reason.TOKEN_INVALID),
        (Reason.UNKNOWN_CERTIFICATE, Reason.TOKEN_MISSING, Reason.UNKNOWN_CERTIFICATE),
        # else the one that stands first
        (Reason.REVOKED, Reason.TOKEN_INVALID, Reason.REVOKED),
        (Reason.NO_CERTIFICATE, Reason.TOKEN_MISSING, Reason.NO_CERTIFICATE),
    ],
)
def test_any_of_gives_the_reason_worth_telling(by_certificate: Reason, by_token: Reason, told: Reason) -> None:
    verdict = decided(AnyOf((PIN, TOKEN)), {PIN: Refused(by_certificate), TOKEN: Refused(by_token)})

    assert isinstance(verdict, Refused)
    assert verdict.reason is told


# -- the algebra, for any requirement ------------------------------------------------

VERDICTS = st.one_of(
    st.builds(
        Client,
        st.sampled_from(["acme", "bolt"]),
        st.lists(st.sampled_from(["send", "read"]), unique=True).map(tuple),
        is_named_by_registry=st.booleans(),
    ),
    st.sampled_from(list(Reason)).map(Refused),
)
WORLDS = st.fixed_dictionaries(dict.fromkeys(Strategy, VERDICTS))


def joined(members: st.SearchStrategy[Requirement], least: int = 0) -> st.SearchStrategy[AllOf | AnyOf]:
    lists = st.lists(members, min_size=least, max_size=3).map(tuple)
    return st.one_of(lists.map(AllOf), lists.map(AnyOf))


REQUIREMENTS = joined(st.recursive(st.sampled_from(Strategy), joined, max_leaves=6))


def turned(requirement: Requirement) -> Requirement:
    """The same with every list the other way round."""
    if isinstance(requirement, Strategy):
        return requirement
    return type(requirement)(tuple(turned(member) for member in reversed(requirement.members)))


def holds(requirement: Requirement, passed: frozenset[Strategy]) -> bool:
    """The oracle: what all_of and any_of mean, an empty one refusing."""
    if isinstance(requirement, Strategy):
        return requirement in passed
    answers = [holds(member, passed) for member in requirement.members]
    return bool(answers) and (all if isinstance(requirement, AllOf) else any)(answers)


@settings(max_examples=60, deadline=None)
@given(REQUIREMENTS)
def test_the_alternatives_say_what_the_requirement_says(requirement: AllOf | AnyOf) -> None:
    for size in range(len(Strategy) + 1):
        for passed in map(frozenset, itertools.combinations(Strategy, size)):
            by_alternatives = any(set(way) <= passed for way in alternatives_of(requirement))
            assert by_alternatives == holds(requirement, passed)


@settings(max_examples=60, deadline=None)
@given(REQUIREMENTS, WORLDS, st.sampled_from([(), ("send",)]))
def test_the_order_of_members_decides_nothing(
    requirement: AllOf | AnyOf, world: Mapping[Strategy, Verdict], roles: tuple[str, ...]
) -> None:
    other = turned(requirement)
    assert not isinstance(other, Strategy)

    one_way, other_way = (decided(each, world, roles=roles) for each in (requirement, other))

    assert isinstance(one_way, Client) == isinstance(other_way, Client)


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUIREMENTS, min_size=1, max_size=3).map(tuple), REQUIREMENTS, WORLDS)
def test_one_more_demand_never_admits_more(
    members: tuple[Requirement, ...], another: Requirement, world: Mapping[Strategy, Verdict]
) -> None:
    more = decided(AllOf((*members, another)), world)

    assert isinstance(more, Refused) or isinstance(decided(AllOf(members), world), Client)


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUIREMENTS, max_size=3).map(tuple), REQUIREMENTS, WORLDS)
def test_one_more_choice_never_admits_less(
    members: tuple[Requirement, ...], another: Requirement, world: Mapping[Strategy, Verdict]
) -> None:
    less = decided(AnyOf(members), world)

    assert isinstance(less, Refused) or isinstance(decided(AnyOf((*members, another)), world), Client)


@settings(max_examples=60, deadline=None)
@given(REQUIREMENTS, st.dictionaries(st.sampled_from(Strategy), st.sampled_from(list(Reason)).map(Refused)))
def test_whoever_shows_nothing_is_refused(requirement: AllOf | AnyOf, some: Mapping[Strategy, Verdict]) -> None:
    world = {strategy: some.get(strategy, NO_CERTIFICATE) for strategy in Strategy}

    assert isinstance(decided(requirement, world), Refused)


# -- reading and writing ---------------------------------------------------------------

VALID: list[Callable[[], dict[str, object]]] = [
    lambda: {"all_of": ["pinned_certificate"]},
    lambda: {"any_of": ["bearer_token", "pinned_certificate"]},
    lambda: {"all_of": ["pinned_certificate", "bearer_token"], "roles": ["send", "read"]},
    lambda: {"all_of": [{"any_of": ["pinned_certificate"]}, "bearer_token"]},
    lambda: {"any_of": []},
]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"(/[a-z0-9._~-]{1,8}){1,3}", fullmatch=True).filter(lambda path: "/." not in path)
        | st.just("/"),
        st.sampled_from(VALID),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read_back(routes: dict[str, Callable[[], dict[str, object]]]) -> None:
    policy = read_policy([{"path": path, **make()} for path, make in routes.items()])
    backwards = read_policy([{"path": path, **make()} for path, make in reversed(routes.items())])

    assert parse_policy(render_policy(policy)) == policy
    assert render_policy(backwards) == render_policy(policy)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([*Strategy, "all_of", "/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["path", "roles", "all_of", "any_of", "x"]), inner, max_size=4)
    ),
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_no_value_raises_anything_but_a_policy_error(value: Any) -> None:
    with contextlib.suppress(PolicyError):
        read_policy(value)


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_no_text_raises_anything_but_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 10_000, '{"routes":' * 9_000, " " * (MAX_TEXT + 1), '{"routes":[],"routes":[]}', '{"routes":[' + "9" * 5000],
    ids=["deep list", "deep table", "long", "twice", "number"],
)
def test_hostile_text_is_only_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


# -- contradictions ---------------------------------------------------------------------


def test_every_fault_is_shown_at_once_with_its_place() -> None:
    found = faults(
        [
            {"path": "records/", "all_of": ["pinned_certificat"]},
            {"path": "/", "any_of": [], "all_of": [], "role": ["x"]},
            {"path": "/a", "any_of": ["pinned_certificate"], "roles": ["send,all", "read", "read"]},
            "everything",
        ]
    )

    assert found == [
        (
            "routes[0].path: expected / or a path like /records, as it reads decoded and without a slash at its end, "
            'found "records/"'
        ),
        (
            "routes[0].all_of[0]: expected a strategy (pinned_certificate, bearer_token), "
            'found "pinned_certificat" (did you mean pinned_certificate?)'
        ),
        "routes[1].role: expected one of path, roles, all_of, any_of, found an unknown key (did you mean roles?)",
        "routes[1]: expected either `all_of` or `any_of`, found all_of and any_of",
        'routes[2].roles[0]: expected a role of letters, digits and : . _ / -, found "send,all"',
        'routes[2].roles[2]: expected each role once, found "read" again',
        'routes[3]: expected a table with `path` and `all_of` or `any_of`, found "everything"',
    ]


@pytest.mark.parametrize("name", NOT_THERE_YET)
def test_a_strategy_that_is_promised_is_named_as_not_there_yet(name: str) -> None:
    assert faults(demanding(all_of=[name])) == [
        (
            "routes[0].all_of[0]: expected a strategy (pinned_certificate, bearer_token), "
            f'found "{name}", which is not there yet'
        )
    ]


@pytest.mark.parametrize("second", ["/records", "/Records"])
def test_a_path_stands_once_whatever_its_letters(second: str) -> None:
    routes = [{"path": path, "all_of": ["pinned_certificate"]} for path in ("/records", second)]

    assert faults(routes) == [f"routes[1].path: expected another path than /records, found {second} again"]


@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        (
            {"any_of": ["pinned_certificate", {"all_of": ["pinned_certificate", "bearer_token"]}]},
            (
                "routes[0].any_of[1]: expected what counts beside the others: pinned_certificate passes alone, "
                "found all of (pinned_certificate, bearer_token)"
            ),
        ),
        (
            {"any_of": [{"all_of": ["pinned_certificate", "bearer_token"]}, "pinned_certificate"]},
            (
                "routes[0].any_of[0]: expected what counts beside the others: pinned_certificate passes alone, "
                "found all of (pinned_certificate, bearer_token)"
            ),
        ),
        (
            {"all_of": ["pinned_certificate", {"any_of": ["pinned_certificate", "bearer_token"]}]},
            (
                "routes[0].all_of[1]: expected what counts beside the others: pinned_certificate is demanded too, "
                "found any of (pinned_certificate, bearer_token)"
            ),
        ),
        (
            {"all_of": ["bearer_token", "bearer_token"]},
            (
                "routes[0].all_of[0]: expected what counts beside the others: bearer_token is demanded too, "
                "found bearer_token"
            ),
        ),
        (
            {"any_of": ["pinned_certificate", {"all_of": []}]},
            "routes[0].any_of[1].all_of: expected a strategy, for an empty list always refuses, found none",
        ),
        (
            {"all_of": ["pinned_certificate", {"any_of": []}]},
            "routes[0].all_of[1].any_of: expected a strategy, for an empty list always refuses, found none",
        ),
        ({}, "routes[0]: expected either `all_of` or `any_of`, found neither"),
        ({"all_of": "bearer_token"}, 'routes[0].all_of: expected a list of strategies, found "bearer_token"'),
        ({"all_of": [], "roles": "send"}, 'routes[0].roles: expected a list of roles, found "send"'),
    ],
    ids=[
        "token never needed",
        "the same turned",
        "choice decided",
        "twice",
        "dead branch",
        "never",
        "nothing",
        "no list",
        "no roles",
    ],
)
def test_a_member_that_changes_nothing_is_a_contradiction(requirement: dict[str, object], fault: str) -> None:
    assert faults(demanding(**requirement)) == [fault]


def test_a_route_may_be_closed_on_purpose() -> None:
    closed = read_policy(demanding(all_of=[]))

    assert closed.routes[0].alternatives == ()


def test_nesting_ends_where_nobody_reads_it_right() -> None:
    nested: object = "pinned_certificate"
    for _ in range(MAX_DEPTH + 1):
        nested = {"all_of": [nested]}
    assert isinstance(nested, dict)

    (fault,) = faults(demanding(**nested))

    assert fault.endswith(f"expected at most {MAX_DEPTH} lists in one another, found more")


@pytest.mark.parametrize(
    "path", ["", "records", "/records/", "//", "/a//b", "/a/../b", "/a%20b", "/a;b", "/a?b", "/a b", 7]
)
def test_a_routes_path_must_be_plain(path: object) -> None:
    (fault,) = faults([{"path": path, "all_of": ["pinned_certificate"]}])

    assert fault.startswith("routes[0].path: expected / or a path like /records")


def test_settings_of_tokens_nobody_demands_are_a_contradiction() -> None:
    (fault,) = find_token_faults(DEFAULT_POLICY, settings_given=True)

    assert (
        str(fault) == "bearer_token: expected a route that demands bearer_token, found none: these settings do nothing"
    )
    assert find_token_faults(DEFAULT_POLICY, settings_given=False) == ()
    assert find_token_faults(Policy((Route("/", AllOf((TOKEN,))),)), settings_given=True) == ()
