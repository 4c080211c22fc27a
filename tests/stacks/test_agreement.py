"""What breaks on AWS only in combination is refused when the file is read, in the operator's words."""

from __future__ import annotations

from typing import Final

import pytest

from stacks import naming
from tests.stacks.environments import changed, changed_text, faults, faults_of, with_existing_network

UPSTREAM: Final = 'workers = 2\nforward_to = "http://records.internal:8080"'
PARTNERS: Final = 'partner_cidrs = ["198.51.100.0/24"]'
ALARMS: Final = 'emails = ["ops@example.com"]'
TAGS: Final = "[tags]\n"


def _table(name: str, line: str) -> tuple[str, str]:
    """Put one more table into the file, before the log groups'."""
    return "[logs]\n", f"[{name}]\n{line}\n\n[logs]\n"


@pytest.mark.parametrize(
    ("change", "key", "expected"),
    [
        # who may come
        ((PARTNERS, 'partner_cidrs = ["0.0.0.0/0"]'), "ingress.partner_cidrs[0]", "open_to_the_internet = true"),
        ((PARTNERS, 'partner_cidrs = ["0.0.0.0/1"]'), "ingress.partner_cidrs[0]", "open_to_the_internet = true"),
        ((PARTNERS, f"{PARTNERS}\nopen_to_the_internet = true"), "ingress.open_to_the_internet", "0.0.0.0/0"),
        ((PARTNERS, 'partner_cidrs = ["10.0.0.0/8"]'), "ingress.partner_cidrs[0]", "public addresses"),
        ((PARTNERS, 'partner_cidrs = ["127.0.0.1/32"]'), "ingress.partner_cidrs[0]", "public addresses"),
        ((PARTNERS, 'partner_cidrs = ["240.0.0.0/8"]'), "ingress.partner_cidrs[0]", "public addresses"),
        # the way to the upstream
        (("workers = 2", UPSTREAM), "service.forward_to", "port 8080 is opened to them alone"),
        (("workers = 2", UPSTREAM.replace(":8080", "")), "service.forward_to", "port 80 is opened to them alone"),
        (
            ("workers = 2", f'{UPSTREAM}\nupstream_security_group = "sg-0a1b2c3d"\nupstream_cidrs = ["10.9.0.0/16"]'),
            "service.upstream_cidrs",
            "one of upstream_security_group and upstream_cidrs",
        ),
        (("workers = 2", 'workers = 2\nupstream_cidrs = ["10.9.0.0/16"]'), "service.upstream_cidrs", "forward_to"),
        (
            ("workers = 2", 'workers = 2\nupstream_security_group = "sg-0a1b2c3d"'),
            "service.upstream_security_group",
            "forward_to",
        ),
        (
            ("workers = 2", f'{UPSTREAM.replace("8080", "443")}\nupstream_cidrs = ["10.9.0.0/16"]'),
            "service.upstream_cidrs",
            "a port other than 443",
        ),
        (("workers = 2", f'{UPSTREAM}\nupstream_cidrs = ["0.0.0.0/0"]'), "service.upstream_cidrs[0]", "/8 or narrower"),
        (
            ("workers = 2", f'{UPSTREAM}\nupstream_cidrs = ["10.9.0.0/16", "10.9.1.0/24"]'),
            "service.upstream_cidrs[1]",
            "a network apart from 10.9.0.0/16",
        ),
        (
            ("workers = 2", f'{UPSTREAM.replace("records.internal", "10.8.0.1")}\nupstream_cidrs = ["10.9.0.0/16"]'),
            "service.forward_to",
            "an address in 10.9.0.0/16",
        ),
        (
            ("workers = 2", 'workers = 2\nforward_to = "http://169.254.169.254:443"'),
            "service.forward_to",
            "not where tasks and instances ask for their credentials",
        ),
        (("workers = 2", 'workers = 2\nforward_to = "http://127.0.0.1:443"'), "service.forward_to", "a task is alone"),
        (("workers = 2", 'workers = 2\nforward_to = "http://[fd00::1]:443"'), "service.forward_to", "IPv4"),
        # instances and tasks
        (('"t3.small"', '"a1.large"'), "capacity.instance_type", "older than Amazon Linux 2023"),
        (('"t3.small"', '"mac2-m2.metal"'), "capacity.instance_type", "a Mac"),
        (("cpu_units = 1024", "cpu_units = 2049"), "service.cpu_units", "at most 2048, all of a t3.small"),
        (
            ("memory_mib = 1024", "memory_mib = 312"),
            "service.memory_mib",
            "at least 313 MiB, what 8000 connections take",
        ),
        (_table("limits", "connections = 30000"), "service.memory_mib", "at least 1172 MiB"),
        (("memory_mib = 1024", "memory_mib = 2048"), "service.memory_mib", "at most 1884 MiB"),
        # who is told
        ((ALARMS, "emails = []"), "alarms", "at least one of emails, urls and topic_arns"),
        (
            (ALARMS, 'topic_arns = ["arn:aws:sns:eu-west-1:111122223333:on-call"]'),
            "alarms.topic_arns[0]",
            "a topic in us-east-1",
        ),
        (
            (ALARMS, 'topic_arns = ["arn:aws-us-gov:sns:us-east-1:111122223333:on-call"]'),
            "alarms.topic_arns[0]",
            "a topic in us-east-1 (arn:aws:sns:us-east-1:...)",
        ),
        (
            (ALARMS, 'topic_arns = ["arn:aws:sns:us-east-1:111122223333:mtls-ingress-staging-alarms"]'),
            "alarms.topic_arns[0]",
            "another topic than ours",
        ),
        ((ALARMS, 'topic_arns = ["arn:aws:sns:us-east-1:111122223333:a.fifo"]'), "alarms.topic_arns[0]", "a topic's"),
        ((ALARMS, 'urls = ["http://pager.example.com"]'), "alarms.urls[0]", "an https URL"),
        ((ALARMS, 'urls = ["https://me:word@pager.example.com"]'), "alarms.urls[0]", "an https URL"),
        ((ALARMS, 'urls = ["ftp://pager.example.com"]'), "alarms.urls[0]", "an https URL"),
        # who deploys
        (
            _table("deployer", 'permissions_boundary = "arn:aws:iam::444455556666:policy/bounds"'),
            "deployer.permissions_boundary",
            "a policy of this account, arn:aws:iam::111122223333:policy/",
        ),
        (
            _table("deployer", 'permissions_boundary = "arn:aws-cn:iam::111122223333:policy/bounds"'),
            "deployer.permissions_boundary",
            "arn:aws:iam::111122223333:policy/",
        ),
        (
            _table("deployer", 'permissions_boundary = "arn:aws:iam::111122223333:role/bounds"'),
            "deployer.permissions_boundary",
            "a policy's ARN",
        ),
        (
            _table(
                "deployer",
                'permissions_boundary = "arn:aws:iam::111122223333:policy/mtls-ingress/mtls-ingress-staging-boundary"',
            ),
            "deployer.permissions_boundary",
            "a policy of your own",
        ),
        (
            _table("deployer", 'principals = ["arn:aws:iam::444455556666:role/ci"]'),
            "deployer.principals[0]",
            "a role of this account, arn:aws:iam::111122223333:role/",
        ),
        (
            _table("deployer", 'principals = ["arn:aws-us-gov:iam::111122223333:role/ci"]'),
            "deployer.principals[0]",
            "a role of this account, arn:aws:iam::111122223333:role/",
        ),
        (_table("deployer", 'principals = ["arn:aws:iam::111122223333:role/*"]'), "deployer.principals[0]", "a role's"),
        (_table("deployer", 'principals = ["arn:aws:iam::111122223333:r*/ci"]'), "deployer.principals[0]", "a role's"),
        (
            _table("deployer", 'principals = ["arn:aws:iam::111122223333:role/a*/ci"]'),
            "deployer.principals[0]",
            "a role's ARN",
        ),
        (_table("deployer", 'principals = ["arn:aws:iam::111122223333:root"]'), "deployer.principals[0]", "a role's"),
        (
            _table(
                "deployer", 'principals = ["arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-task"]'
            ),
            "deployer.principals[0]",
            "a role that is there before",
        ),
        (_table("deployer", 'github_environment = "live"'), "deployer.github_environment", "github_repository"),
        (_table("deployer", 'github_provider = "existing"'), "deployer.github_provider", "github_repository"),
        (_table("deployer", 'github_repository = "example/*"'), "deployer.github_repository", "without wildcards"),
        (_table("deployer", 'github_repository = "example"'), "deployer.github_repository", "ORG/REPO"),
        (
            _table("deployer", 'github_repository = "a/b"\ngithub_environment = "*"'),
            "deployer.github_environment",
            "without wildcards",
        ),
        # names
        (_table("names", 'certificate_bucket = "Pairs"'), "names.certificate_bucket", "lower-case"),
        (_table("names", 'certificate_bucket = "pairs.example.com"'), "names.certificate_bucket", "digits and hyphens"),
        (_table("names", 'certificate_bucket = "xn--pairs"'), "names.certificate_bucket", "a bucket's name"),
        (_table("names", 'log_bucket = "logs-s3alias"'), "names.log_bucket", "a bucket's name"),
        (
            _table("names", 'certificate_bucket = "acme"\nlog_bucket = "acme"'),
            "names.log_bucket",
            "another bucket than certificate_bucket",
        ),
        (
            _table("names", 'log_bucket = "mtls-ingress-staging-certificate-111122223333-us-east-1"'),
            "names.log_bucket",
            "another bucket than certificate_bucket",
        ),
        (_table("names", 'repository = "Edge"'), "names.repository", "a repository's name"),
        (_table("names", 'repository = "edge//ingress"'), "names.repository", "a repository's name"),
        (_table("names", 'client_registry = "ab"'), "names.client_registry", "3 to 255"),
        (_table("names", 'role_path = "edge/"'), "names.role_path", "a path such as"),
        (_table("names", 'role_path = "/"'), "names.role_path", "a path such as"),
        (_table("names", 'role_path = "/aws-service-role/edge/"'), "names.role_path", "a path of your own"),
        (('project = "mtls-ingress"', f'project = "{"p" * 22}"'), "project", "names.certificate_bucket"),
        (('project = "mtls-ingress"', f'project = "{"p" * 40}"'), "project", "31 characters together"),
        # tags
        ((TAGS, f'{TAGS}tag1 = "x"\nTag1 = "x"\n'), "tags.Tag1", "more than case"),
        ((TAGS, f'{TAGS}AmazonECSManaged = "x"\n'), "tags.AmazonECSManaged", "tell resources by"),
        ((TAGS, f'{TAGS}"mtls-ingress:environment" = "x"\n'), "tags.mtls-ingress:environment", "tell resources by"),
        ((TAGS, TAGS + "".join(f'tag{number} = "x"\n' for number in range(39))), "tags", "at most 40 tags"),
        # the rest
        (('region = "us-east-1"', 'region = "us-iso-east-1"'), "region", "a region"),
        (_table("registry", "backup_days = 0"), "registry.backup_days", "from 1 to"),
        (('delivery = "non-blocking"', 'delivery = "maybe"'), "logs.delivery", '"non-blocking" or "blocking"'),
    ],
)
def test_a_broken_promise_is_one_fault_at_its_key(change: tuple[str, str], key: str, expected: str) -> None:
    (fault,) = faults(change)

    assert fault.key == key
    assert expected in fault.expected
    assert fault.line is not None


@pytest.mark.parametrize(
    "change",
    [
        (PARTNERS, 'partner_cidrs = ["0.0.0.0/0"]\nopen_to_the_internet = true'),
        ("workers = 2", f'{UPSTREAM}\nupstream_security_group = "sg-0123456789abcdef0"'),
        ("workers = 2", f'{UPSTREAM.replace("records.internal", "10.9.7.1")}\nupstream_cidrs = ["10.9.0.0/16"]'),
        ("workers = 2", 'workers = 2\nforward_to = "http://records.internal:443"'),
        (ALARMS, 'topic_arns = ["arn:aws:sns:us-east-1:444455556666:on-call"]'),
        _table("deployer", 'permissions_boundary = "arn:aws:iam::aws:policy/PowerUserAccess"'),
        _table("deployer", 'principals = ["arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/Deployer_1"]'),
        _table("deployer", 'github_repository = "example/mtls-ingress"\ngithub_provider = "existing"'),
        _table("names", f'certificate_bucket = "{"b" * 63}"\nclient_registry = "Edge.Clients_1"'),
    ],
)
def test_a_kept_promise_is_no_fault(change: tuple[str, str]) -> None:
    assert faults(change) == ()


def test_an_address_says_more_than_a_name_where_nothing_leads_out() -> None:
    """With endpoints alone, an instance reaches its VPC and AWS, whatever its security group lets out."""
    upstream = ("workers = 2", f'{UPSTREAM}\nupstream_cidrs = ["203.0.113.0/24"]')

    (fault,) = faults(upstream, name="production")

    assert faults(upstream) == ()
    assert (fault.key, fault.found) == ("service.upstream_cidrs[0]", "203.0.113.0/24")
    assert fault.expected.startswith("a private network, for with egress")


def test_subnets_have_room_for_all_instances() -> None:
    """A sixteenth of a /23 are 32 addresses; AWS keeps five, interface endpoints take up to twelve."""
    small = ('"10.21.0.0/16"', '"10.21.0.0/23"')

    (fault,) = faults(small, ("max_instances = 5", "max_instances = 31"))

    assert faults(small, ("max_instances = 5", "max_instances = 30")) == ()
    assert (fault.key, fault.found) == ("capacity.max_instances", "31")
    assert fault.expected == "at most 30, the addresses that the private subnets of 10.21.0.0/23 have for instances"


def test_a_name_for_a_trail_that_is_not_there_is_for_nothing() -> None:
    text = changed_text(_table("names", 'trail_bucket = "acme-trail"'))
    without = text[: text.index("[audit_trail]")]

    (fault,) = faults_of(without)

    assert faults_of(text) == ()
    assert (fault.key, fault.expected) == ("names.trail_bucket", "the table [audit_trail] beside it")


def test_only_local_may_have_nobody_to_tell() -> None:
    assert faults(("emails = []", ""), name="local") == ()


def test_only_local_may_forward_to_its_own_machine() -> None:
    assert faults(("workers = 1", 'workers = 1\nforward_to = "http://127.0.0.1:9000"'), name="local") == ()


def test_the_metadata_service_answers_nobody_anywhere() -> None:
    forward = ("workers = 1", 'workers = 1\nforward_to = "http://169.254.170.2:443"')

    assert [fault.key for fault in faults(forward, name="local")] == ["service.forward_to"]


def test_endpoints_of_somebody_elses_vpc_are_read() -> None:
    given = with_existing_network().replace("egress =", 's3_endpoint_ids = ["vpce-0a1b2c3d"]\negress =')
    wrong = given.replace("vpce-0a1b2c3d", "eni-0a1b2c3d")

    assert faults_of(given) == ()
    assert [fault.key for fault in faults_of(wrong)] == ["network.s3_endpoint_ids[0]"]


# -- names -------------------------------------------------------------------------


def test_names_an_account_prescribes_are_taken() -> None:
    names = """certificate_bucket = "acme-pairs"
log_bucket = "acme-logs"
trail_bucket = "acme-trail"
repository = "edge/ingress"
client_registry = "Edge.Clients"
role_path = "/edge/ingress/\""""
    found = changed(_table("names", names))

    assert naming.certificate_bucket(found) == "acme-pairs"
    assert naming.log_bucket(found) == "acme-logs"
    assert naming.trail_bucket(found) == "acme-trail"
    assert naming.repository(found) == "edge/ingress"
    assert naming.client_registry_table(found) == "Edge.Clients"
    assert naming.role_arn(found, "task") == "arn:aws:iam::111122223333:role/edge/ingress/mtls-ingress-staging-task"


def test_names_prescribed_shorten_what_is_too_long() -> None:
    """Only the names that are made of the project must be short enough."""
    long = changed_text(('project = "mtls-ingress"', f'project = "{"p" * 24}"'))
    buckets = "\n".join(f'{key} = "acme-{key[:3]}"' for key in ("certificate_bucket", "log_bucket", "trail_bucket"))

    assert [fault.key for fault in faults_of(long)] == ["project"]
    assert faults_of(f"{long}\n[names]\n{buckets}\n") == ()


def test_a_placeholder_breaks_no_promise() -> None:
    """What cannot be read is one fault, not one more for each promise it is part of."""
    wrong = ('region = "us-east-1"', 'region = "here"')
    boundary = _table("deployer", 'permissions_boundary = "bounds"\nprincipals = ["ci"]')

    found = faults(wrong, boundary, (ALARMS, 'topic_arns = ["topic"]'))

    assert [fault.key for fault in found] == [
        "region",
        "deployer.permissions_boundary",
        "deployer.principals[0]",
        "alarms.topic_arns[0]",
    ]
