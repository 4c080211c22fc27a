"""What the wire tests share: AWS, one running service, and the means to run another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from service.contract import Variable
from tests.certificates import HOST_NAME, Authority, Identity
from tests.moto import moto_process
from tests.wire.stage import Aws, Service, running, variables
from tests.wire.upstream import Upstream, open_upstream


class StartService(Protocol):
    """Runs a service with some variables changed, until the test ends."""

    def __call__(self, **changed: str) -> Service:
        """Start it."""


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    with moto_process() as url:
        started = Aws(url)
        yield started
        started.stop()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def server(authority: Authority) -> Identity:
    return authority.server()


@pytest.fixture(scope="session")
def bucket(aws: Aws, server: Identity) -> str:
    name = aws.bucket("certificates")
    aws.install(name, server)
    return name


@pytest.fixture
def empty_bucket(aws: Aws) -> str:
    return aws.bucket(f"bucket-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def service(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    """One service for every test that leaves it as it was."""
    with running(variables(aws, bucket), trust=authority.pem) as started:
        yield started


@pytest.fixture(scope="session")
def direct_service(aws: Aws, bucket: str, authority: Authority) -> Iterator[Service]:
    """One without a balancer before it: PROXY headers are forbidden."""
    environment = variables(aws, bucket, **{Variable.PROXY_PROTOCOL: "forbidden"})
    with running(environment, trust=authority.pem) as started:
        yield started


@pytest.fixture(scope="session")
def local_service(aws: Aws, authority: Authority) -> Iterator[Service]:
    """One like it that clients reach by the name `localhost`, for those that cannot be told where a name leads."""
    bucket = aws.bucket("certificates-of-localhost")
    aws.install(bucket, authority.server(dns_names=(HOST_NAME, "localhost")))
    environment = variables(aws, bucket, **{Variable.PROXY_PROTOCOL: "forbidden"})
    with running(environment, trust=authority.pem) as started:
        yield started


@pytest.fixture
def start_service(aws: Aws, bucket: str, authority: Authority) -> Iterator[StartService]:
    """A service of the test's own."""
    with ExitStack() as stack:

        def start(**changed: str) -> Service:
            return stack.enter_context(running(variables(aws, bucket, **changed), trust=authority.pem))

        yield start


@pytest.fixture(scope="session")
def partner(aws: Aws) -> Identity:
    """An enrolled client, with an intermediate above it."""
    enrolled = Authority().intermediate().client()
    aws.enroll(enrolled, "acme")
    return enrolled


@pytest.fixture(scope="session")
def forwarding_service(aws: Aws, bucket: str, authority: Authority) -> Iterator[tuple[Service, Upstream]]:
    """One that forwards."""
    with open_upstream() as behind:
        environment = variables(aws, bucket, **{Variable.FORWARD_TO: behind.url})
        with running(environment, trust=authority.pem) as started:
            yield started, behind


@pytest.fixture
def forwarding(forwarding_service: tuple[Service, Upstream]) -> Service:
    return forwarding_service[0]


@pytest.fixture
def upstream(forwarding_service: tuple[Service, Upstream]) -> Iterator[Upstream]:
    """What it forwards to; it answers `ok` until a test says otherwise."""
    yield forwarding_service[1]
    forwarding_service[1].reset()
