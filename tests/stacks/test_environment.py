"""An environment file that is right becomes one value; of one that is wrong every fault is shown at once."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.contract import TokenBinding
from service.errors import PolicyError
from service.identity.policy import DEFAULT_POLICY, Strategy, parse_policy
from stacks.environment import Architecture, BearerTokens, Egress, ExistingNetwork, OwnNetwork
from stacks.environment_file import (
    EnvironmentFileError,
    UnknownEnvironmentError,
    find_environment,
    load_environment,
    parse_environment,
)
from stacks.fact_table import Fault
from tests.stacks.any_environment import environment_texts
from tests.stacks.environments import (
    NAMES,
    ROOT,
    changed,
    changed_text,
    environment,
    faults,
    faults_of,
    with_existing_network,
    with_tokens,
    with_tokens_text,
)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_of_ours_is_right(name: str) -> None:
    assert environment(name).name == name


def test_facts_arrive_as_values() -> None:
    staging = environment("staging")

    assert staging.network == OwnNetwork(IPv4Network("10.21.0.0/16"), ("us-east-1a", "us-east-1b"), Egress.NAT)
    assert staging.ingress.partner_cidrs == (IPv4Network("198.51.100.0/24"),)
    assert staging.ingress.hosted_zone_id is None
    assert staging.capacity.architecture is Architecture.X86_64
    assert staging.tags == {"environment": "staging", "project": "mtls-ingress"}


def test_a_network_can_be_somebody_elses() -> None:
    found = parse_environment(with_existing_network(), Path("staging.toml"))

    assert found.network == ExistingNetwork(
        vpc_id="vpc-0123456789abcdef0",
        public_subnet_ids=("subnet-0a1b2c3d", "subnet-1a1b2c3d"),
        private_subnet_ids=("subnet-2a1b2c3d", "subnet-3a1b2c3d"),
    )


def test_staging_and_production_differ_in_facts_alone() -> None:
    """`diff` shows an operator what differs: same keys, same order, same comments, line for line."""
    staging, production = ((ROOT / "environments" / f"{name}.toml").read_text() for name in ("staging", "production"))

    assert [_key(line) for line in staging.splitlines()] == [_key(line) for line in production.splitlines()]


def _key(line: str) -> str:
    return line.partition(" = ")[0]


# -- every fault, with its place -------------------------------------------------


def test_all_faults_are_shown_at_once_by_line() -> None:
    text = changed_text(
        ('account = "111122223333"', "account = 111122223333"),
        ("draining_seconds = 60", 'draining_seconds = "soon"'),
        ("workers = 2", "wokers = 2"),
    )

    assert [(fault.line, fault.key) for fault in faults_of(text)] == [
        (4, "account"),
        (_line("draining_seconds = ", text), "ingress.draining_seconds"),
        (_line("wokers = ", text), "service.wokers"),
    ]


def _line(beginning: str, text: str) -> int:
    """Count to the one line that begins so."""
    (line,) = [number for number, line in enumerate(text.splitlines(), start=1) if line.startswith(beginning)]
    return line


def test_a_fault_says_line_key_expected_and_found() -> None:
    text = changed_text(("max_tasks = 4", "max_tasks = 1"))

    with pytest.raises(EnvironmentFileError) as refused:
        parse_environment(text, Path("environments/staging.toml"))

    line = _line("max_tasks = ", text)
    assert str(refused.value) == (
        "environments/staging.toml has 1 fault\n"
        f"  line {line}, service.max_tasks: expected a whole number of tasks from 2 to 500, found 1"
    )
    assert refused.value.exit_code == 5


def test_an_unknown_key_is_told_with_the_one_it_may_mean() -> None:
    (missing, unknown) = faults(("memory_mib", "memory_mb"))

    assert (missing.key, missing.found) == ("service.memory_mib", "nothing: the key is missing")
    assert (unknown.key, unknown.found) == ("service.memory_mb", "an unknown one (did you mean memory_mib?)")


def test_a_missing_table_is_one_fault_and_not_one_for_each_key() -> None:
    text = changed_text().partition("[alarms]")[0]

    assert faults_of(text) == (Fault(None, "alarms", "a table", "nothing: the key is missing"),)


def test_workers_left_out_are_one_for_each_vcpu() -> None:
    environment = parse_environment(changed_text(("workers = 2\n", "")), Path("staging.toml"))

    assert environment.service.workers is None


def test_limits_left_out_are_the_service_s_own() -> None:
    assert parse_environment(changed_text(), Path("staging.toml")).limits == {}


def test_limits_are_read_by_their_names() -> None:
    text = changed_text() + "\n[limits]\nbody_bytes = 1048576\nconnections_per_source = 200\nstale_seconds = 900\n"

    assert parse_environment(text, Path("staging.toml")).limits == {
        "body_bytes": 1048576,
        "connections_per_source": 200,
        "stale_seconds": 900,
    }


def test_limits_that_cannot_be_are_all_told_at_once() -> None:
    found = faults_of(
        changed_text() + "\n[limits]\nbody_byte = 1\nhead_bytes = 10\nidle_seconds = 5\nhead_seconds = 1.5\n"
    )

    assert [(fault.key, fault.expected, fault.found) for fault in found] == [
        ("limits.body_byte", "a known key", "an unknown one (did you mean body_bytes?)"),
        ("limits.head_bytes", "a whole number of bytes from 1024 to 1048576", "10"),
        ("limits.idle_seconds", "a known key", found[2].found),
        ("limits.head_seconds", "a whole number of seconds from 1 to 300", "1.5"),
    ]


def test_syntax_is_told_with_its_line() -> None:
    (fault,) = faults(('name = "staging"', 'name = "staging'))

    assert fault.line == 2
    assert str(fault).startswith("line 2: expected TOML, found text whose quotes are not closed")


def test_other_syntax_is_told_in_the_words_of_its_reader() -> None:
    (fault,) = faults(("[logs]", "[logs"))

    assert str(fault).startswith("line 44: expected TOML, found a fault: ")


def test_a_key_given_twice_is_told_with_its_line() -> None:
    text = changed_text(("workers = 2", "workers = 2\nworkers = 3"))

    (fault,) = faults_of(text)

    assert fault.line == _line("workers = 3", text)
    assert fault.found == "a key that stands above already"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("workers = 2", "workers = 2\n[tags]", "a table that stands above already: [tags]"),
        ('"t3.small"', "\u201ct3.small\u201d", 'neither text in straight quotes "..."'),
        ('"t3.small"', "t3.small", 'neither text in straight quotes "..."'),
        ('"t3.small"', '"t3.small', "text whose quotes are not closed on its line"),
    ],
)
def test_what_is_no_toml_is_told_in_an_operators_words(before: str, after: str, found: str) -> None:
    text = changed_text((before, after))

    (fault,) = faults_of(text)

    assert fault.line is not None
    assert after.splitlines()[-1] in text.splitlines()[fault.line - 1]
    assert found in fault.found


def test_an_element_of_a_list_is_told_by_index_and_line() -> None:
    several = 'partner_cidrs = [\n  "198.51.100.0/24",\n  "203.0.113.0/33",\n]'

    text = changed_text(('partner_cidrs = ["198.51.100.0/24"]', several))

    (fault,) = faults_of(text)

    assert (fault.line, fault.key, fault.found) == (
        _line('  "203.0', text),
        "ingress.partner_cidrs[1]",
        '"203.0.113.0/33"',
    )


def test_a_file_that_is_no_text_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "staging.toml"
    path.write_bytes(b'name = "staging"\nproject = "\xff"\n')

    with pytest.raises(EnvironmentFileError, match="line 2: expected text in UTF-8, found byte 0xff"):
        load_environment(path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFileError, match="\n  expected a readable file, found no such file"):
        load_environment(tmp_path / "none.toml")


# -- single facts ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('name = "staging"', 'name = "Staging"', "name"),
        ('name = "staging"', 'name = "production"', "name"),
        ('account = "111122223333"', 'account = "11112222333"', "account"),
        ('region = "us-east-1"', 'region = "us_east_1"', "region"),
        ('project = "mtls-ingress"', 'project = "mtls-ingress-of-partners"', "project"),
        ("[tags]", '[tags]\n"aws:stolen" = "x"', "tags.aws:stolen"),
        ("[tags]", "[tags]\nnumber = 1", "tags.number"),
        ('"10.21.0.0/16"', '"10.21.0.1/16"', "network.vpc_cidr"),
        ('"10.21.0.0/16"', '"10.21.0.0/24"', "network.vpc_cidr"),
        ('"10.21.0.0/16"', '"8.8.0.0/16"', "network.vpc_cidr"),
        ('"10.21.0.0/16"', '"172.17.0.0/16"', "network.vpc_cidr"),
        ('["us-east-1a", "us-east-1b"]', '["us-east-1a"]', "network.zones"),
        ('["us-east-1a", "us-east-1b"]', '["us-east-1a", "us-east-1a"]', "network.zones[1]"),
        ('["us-east-1a", "us-east-1b"]', '["us-east-1a", "eu-west-1b"]', "network.zones[1]"),
        ('egress = "nat"', 'egress = "bridge"', "network.egress"),
        ('egress = "nat"', 'egress = "existing"', "network.egress"),
        ('"ingress.staging.example.com"', '"Ingress"', "ingress.host_name"),
        ('["198.51.100.0/24"]', "[]", "ingress.partner_cidrs"),
        ('["198.51.100.0/24"]', '["198.51.100.1/24"]', "ingress.partner_cidrs[0]"),
        ('["198.51.100.0/24"]', '["2001:db8::/32"]', "ingress.partner_cidrs[0]"),
        ('["198.51.100.0/24"]', '["198.51.100.0/24", "198.51.100.7/32"]', "ingress.partner_cidrs[1]"),
        ("idle_timeout_seconds = 60", "idle_timeout_seconds = 4001", "ingress.idle_timeout_seconds"),
        ("idle_timeout_seconds = 60", "idle_timeout_seconds = true", "ingress.idle_timeout_seconds"),
        ("idle_timeout_seconds = 60", "idle_timeout_seconds = 60.0", "ingress.idle_timeout_seconds"),
        ("draining_seconds = 60", "draining_seconds = 86", "ingress.draining_seconds"),
        ("draining_seconds = 60", "draining_seconds = 59", "ingress.draining_seconds"),
        (
            "health_check_interval_seconds = 10",
            "health_check_interval_seconds = 4",
            "ingress.health_check_interval_seconds",
        ),
        (
            "access_log_interval_minutes = 60",
            "access_log_interval_minutes = 10",
            "ingress.access_log_interval_minutes",
        ),
        ("[capacity]", 'hosted_zone_id = "example.com"\n\n[capacity]', "ingress.hosted_zone_id"),
        ('"t3.small"', '"small"', "capacity.instance_type"),
        ('"t3.small"', '"t3.smal"', "capacity.instance_type"),
        ('"t3.small"', '"t3.2xlarg"', "capacity.instance_type"),
        ('"t3.small"', '"t4g.small"', "capacity.architecture"),
        ("min_instances = 2", "min_instances = 6", "capacity.max_instances"),
        ("max_instances = 5", "max_instances = 4", "capacity.max_instances"),
        ("tasks = 2", "tasks = 1", "service.tasks"),
        ("tasks = 2\nmax_tasks = 4", "tasks = 3\nmax_tasks = 2", "service.max_tasks"),
        ("lame_duck_seconds = 25", "lame_duck_seconds = 19", "service.lame_duck_seconds"),
        ("drain_seconds = 60\n\n", "drain_seconds = 276\n\n", "service.drain_seconds"),
        ("retention_days = 365", "retention_days = 364", "logs.retention_days"),
        ('["ops@example.com"]', '["ops"]', "alarms.emails[0]"),
    ],
)
def test_a_wrong_fact_is_one_fault_at_its_key(old: str, new: str, key: str) -> None:
    assert [fault.key for fault in faults((old, new))] == [key]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('egress = "existing"', 'egress = "nat"', "network.egress"),
        ('"vpc-0123456789abcdef0"', '"mine"', "network.vpc_id"),
        ('"subnet-2a1b2c3d"', '"subnet-0a1b2c3d"', "network.private_subnet_ids"),
        ("[network]", '[network]\nvpc_cidr = "10.0.0.0/16"', "network.vpc_cidr"),
    ],
)
def test_a_wrong_fact_of_an_existing_network_is_one_fault_at_its_key(old: str, new: str, key: str) -> None:
    text = with_existing_network().replace(old, new, 1)

    assert [fault.key for fault in faults_of(text)] == [key]


def test_only_local_may_end_before_the_load_balancer_noticed() -> None:
    """Nobody's partner is cut off there, and a tear-down should not take half a minute."""
    assert environment("local").service.lame_duck_seconds < environment("local").ingress.seconds_until_unhealthy


def test_a_rule_over_a_faulty_fact_is_silent() -> None:
    """One mistake is one fault: what would follow from it is not told as well."""
    assert [fault.key for fault in faults(("max_tasks = 4", 'max_tasks = "many"'))] == ["service.max_tasks"]


def test_arm_instances_are_known_by_their_family() -> None:
    found = changed(('"t3.small"', '"m7gd.large"'), ('"x86_64"', '"arm64"'))

    assert found.capacity.architecture is Architecture.ARM64


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_the_partition_follows_from_the_region(region: str, partition: str) -> None:
    found = parse_environment(changed_text().replace("us-east-1", region), Path("staging.toml"))

    assert found.partition == partition


# -- files -----------------------------------------------------------------------------


def test_an_unknown_environment_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownEnvironmentError, match=r"'stagin': there are local, production, staging") as refused:
        find_environment("stagin", ROOT)

    assert refused.value.hint == "did you mean staging"
    assert refused.value.exit_code == 64


def test_a_name_never_leads_out_of_the_directory() -> None:
    with pytest.raises(UnknownEnvironmentError):
        find_environment("../environments/staging", ROOT)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8")), st.integers(0, 1200), st.integers(0, 60))
def test_a_damaged_file_fails_with_our_own_error_alone(damage: str, start: int, length: int) -> None:
    text = changed_text()

    found = faults_of(text[:start] + damage + text[start + length :])

    assert all(fault.line is None or 1 <= fault.line <= text.count("\n") + damage.count("\n") + 2 for fault in found)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(environment_texts())
def test_a_valid_file_has_no_fault(text: str) -> None:
    assert faults_of(text, "drawn") == ()


# -- routes and tokens ---------------------------------------------------------


def test_without_routes_an_enrolled_certificate_is_demanded_everywhere() -> None:
    staging = environment("staging")

    assert (staging.policy, staging.bearer_token) == (DEFAULT_POLICY, None)


def test_routes_and_tokens_arrive_as_values() -> None:
    found = with_tokens()

    assert [(route.path, route.alternatives, route.roles) for route in found.policy.routes] == [
        ("/records", ((Strategy.PINNED_CERTIFICATE, Strategy.BEARER_TOKEN),), ("send",)),
        ("/", ((Strategy.PINNED_CERTIFICATE,),), ()),
    ]
    assert found.bearer_token == BearerTokens(
        "https://issuer.example", "https://ingress.local.test", "tokens/issuer.json", TokenBinding.REQUIRED
    )


def test_opaque_tokens_need_no_issuer() -> None:
    text = with_tokens_text()

    found = parse_environment(text[: text.index("[bearer_token]")], Path("staging.toml"))

    assert found.policy.strategies == set(Strategy)
    assert found.bearer_token is None


@pytest.mark.parametrize(
    ("replacement", "key", "expected", "found"),
    [
        (('"bearer_token"]', '"bearer_tokens"]'), "routes[1].all_of[1]", "a strategy", "(did you mean bearer_token?)"),
        (('"bearer_token"]', '"saml_assertion"]'), "routes[1].all_of[1]", "a strategy", "which is not there yet"),
        (('path = "/records"', 'path = "/"'), "routes[1].path", "another path than /", "/ again"),
        (('path = "/records"', 'path = "records"'), "routes[1].path", "/ or a path like /records", '"records"'),
        (
            ('all_of = ["pinned_certificate", "bearer_token"]', 'any_of = ["bearer_token", { all_of = [] }]'),
            "routes[1].any_of[1].all_of",
            "a strategy, for an empty list always refuses",
            "none",
        ),
        ((', "bearer_token"', ""), "bearer_token", "a route that demands bearer_token", "these settings do nothing"),
        (
            ('issuer = "https://issuer.example"\n', ""),
            "bearer_token.issuer",
            "it beside audience and key_set",
            "nothing",
        ),
        (('audience = "https://ingress.local.test"\n', ""), "bearer_token.audience", "it beside issuer", "nothing"),
        (('key_set = "tokens/issuer.json"\n', ""), "bearer_token.key_set", "it beside issuer", "nothing"),
        (('"tokens/issuer.json"', '"server/key.pem"'), "bearer_token.key_set", "an object like", '"server/key.pem"'),
        (('"tokens/issuer.json"', '"http://127.0.0.1/k"'), "bearer_token.key_set", "https", '"http://127.0.0.1/k"'),
        (('"tokens/issuer.json"', '"https://a.example:8443/k"'), "bearer_token.key_set", "port 443", ":8443"),
        (("[bearer_token]", "[bearer_token]\nkey_set_seconds = 0"), "bearer_token.key_set_seconds", "from 1 to", "0"),
        (("[bearer_token]", '[bearer_token]\nbinding = "no"'), "bearer_token.binding", '"required" or', '"no"'),
        (("[bearer_token]", '[bearer_token]\nbindings = "no"'), "bearer_token.bindings", "a known key", "binding"),
    ],
    ids=range(15),
)
def test_a_fault_of_routes_or_tokens_is_told_at_its_line(
    replacement: tuple[str, str], key: str, expected: str, found: str
) -> None:
    text = with_tokens_text(replacement)

    (fault,) = faults_of(text)

    assert fault.key == key
    assert expected in fault.expected
    assert found in fault.found
    assert fault.line is not None
    first = text.splitlines().index("[[routes]]") + 1
    assert first < fault.line <= len(text.splitlines())


def test_an_interval_for_no_keys_is_a_fault() -> None:
    text = with_tokens_text()
    alone = text[: text.index("[bearer_token]")] + "[bearer_token]\nkey_set_seconds = 60\n"

    (fault,) = faults_of(alone)

    assert (fault.key, fault.expected) == ("bearer_token.key_set_seconds", "it beside an issuer")


def test_keys_behind_a_url_need_a_way_out() -> None:
    url = ('"tokens/issuer.json"', '"https://issuer.example/keys"')

    assert with_tokens(url).key_set_object is None
    (fault,) = faults_of(with_tokens_text(url, name="production"), "production")
    assert fault.key == "bearer_token.key_set"
    assert fault.expected == ('an object below tokens/, for with egress "endpoints" tasks reach nothing outside AWS')


def test_a_fault_of_the_policy_reads_the_same_at_boot() -> None:
    routes = '{"routes":[{"path":"/","any_of":["pinned_certificate","pinned_certificate"]}]}'
    text = changed_text() + '[[routes]]\npath = "/"\nany_of = ["pinned_certificate", "pinned_certificate"]\n'

    (of_file,) = faults_of(text)
    with pytest.raises(PolicyError) as of_boot:
        parse_policy(routes)

    assert str(of_file).endswith(str(of_boot.value.faults[0]))


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('application = "partner.app"', "service.application", "module:attribute of an ASGI application"),
        ('forward_to = "https://a.internal"', "service.forward_to", "http://host:port, without a path"),
        ('forward_to = "http://a.internal:65536"', "service.forward_to", "http://host:port, without a path"),
        ('forward_to = "http://a.internal/records"', "service.forward_to", "http://host:port, without a path"),
        (
            'application = "partner.app:app"\nforward_to = "http://a.internal:8080"',
            "service.forward_to",
            "one of application and forward_to, for only one can answer",
        ),
    ],
)
def test_what_answers_is_one_thing_and_well_formed(line: str, key: str, expected: str) -> None:
    (fault,) = faults(("workers = 2", f"workers = 2\n{line}"))

    assert (fault.key, fault.expected) == (key, expected)


def test_an_application_or_an_upstream_may_answer() -> None:
    hosted = parse_environment(
        changed_text(("workers = 2", 'workers = 2\napplication = "a.b:app"')), Path("staging.toml")
    )
    forwarding = parse_environment(
        changed_text(("workers = 1", 'workers = 1\nforward_to = "http://[fd00::1]:8080"'), name="local"),
        Path("local.toml"),
    )

    assert (hosted.service.application, hosted.service.forward_to) == ("a.b:app", None)
    assert (forwarding.service.application, forwarding.service.forward_to) == (None, "http://[fd00::1]:8080")
