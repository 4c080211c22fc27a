"""A service that cannot serve says in one line why, in another what to do, and exits with 1; it never listens."""

from __future__ import annotations

import re
import socket

import pytest

from service.contract import MANIFEST_KEY, PRIVATE_KEY_KEY, Variable
from tests.certificates import YESTERDAY, Authority, Identity, client
from tests.s3_answers import s3_that_answers
from tests.wire.stage import Aws, boot, variables


def fault(environment: dict[str, str]) -> tuple[str, str]:
    """Boot where it must fail; returns the error and the hint."""
    done = boot(environment)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    said = re.fullmatch(r"error: (.+)\nhint: (.+)\n", done.stderr)
    assert said is not None, done.stderr
    return said[1], said[2]


def test_settings_that_contradict(aws: Aws, bucket: str) -> None:
    ports = {Variable.TRAFFIC_PORT: "8443", Variable.HEALTH_PORT: "8443", Variable.PROXY_PROTOCOL: "maybe"}

    error, hint = fault(variables(aws, bucket, **ports))

    assert "`deploy.py check` and `deploy.py deploy`" in hint
    assert "MTLS_TRAFFIC_PORT and MTLS_HEALTH_PORT are both 8443" in error
    assert "MTLS_PROXY_PROTOCOL must be required or forbidden, found 'maybe'" in error


def test_a_policy_that_contradicts_itself(aws: Aws, bucket: str) -> None:
    """Every fault at once: a token that is never needed, and an issuer given by halves."""
    pointless = '{"any_of":["pinned_certificate",{"all_of":["pinned_certificate","bearer_token"]}],"path":"/"}'
    policy = f'{{"routes":[{pointless},{{"path":"/records","all_of":["message_signature"]}}]}}'

    error, _ = fault(
        variables(aws, bucket, **{Variable.POLICY: policy, Variable.TOKEN_ISSUER: "https://issuer.example"})
    )

    assert (
        "MTLS_POLICY: routes[0].any_of[1]: expected what counts beside the others: pinned_certificate passes" in error
    )
    assert (
        'MTLS_POLICY: routes[1].all_of[0]: expected a strategy (pinned_certificate, bearer_token), found "me' in error
    )
    assert "MTLS_TOKEN_AUDIENCE is not set" in error


def test_settings_of_openssl_that_do_not_hold(aws: Aws, bucket: str) -> None:
    """A missing file is silent; without it there are tickets, and groups and signatures nobody asked for."""
    error, hint = fault(variables(aws, bucket, OPENSSL_CONF="openssl.cnf"))

    assert error.startswith("TLS is not as asked, OPENSSL_CONF does not hold: the groups are ")
    assert hint.startswith("set OPENSSL_CONF=service/boot/openssl.cnf, ")


def test_a_bucket_that_denies_and_an_object_that_is_missing_read_alike(aws: Aws, bucket: str) -> None:
    """S3 answers 403 to both without ListBucket: one message names both, and the hint how to tell."""
    with s3_that_answers(after=403, code="AccessDenied") as url:
        error, hint = fault(variables(aws, bucket, AWS_ENDPOINT_URL_S3=url))

    assert f"s3://{bucket}/{MANIFEST_KEY}: AccessDenied" in error
    assert "either the task role may not read it, or no certificate is installed yet" in error
    assert "`certificates.py status` tells which" in hint


def test_no_certificate_installed(aws: Aws, empty_bucket: str) -> None:
    error, hint = fault(variables(aws, empty_bucket))

    assert "no certificate is installed yet" in error
    assert "certificates.py install" in hint


def test_a_key_object_that_is_gone(aws: Aws, empty_bucket: str, server: Identity) -> None:
    aws.install(empty_bucket, server)
    for version in aws.s3.list_object_versions(Bucket=empty_bucket, Prefix=PRIVATE_KEY_KEY)["Versions"]:
        aws.s3.delete_object(Bucket=empty_bucket, Key=PRIVATE_KEY_KEY, VersionId=version["VersionId"])

    error, _ = fault(variables(aws, empty_bucket))

    assert PRIVATE_KEY_KEY in error


def test_a_key_that_does_not_match(aws: Aws, empty_bucket: str, server: Identity) -> None:
    aws.install(empty_bucket, server, key_pem=client().key_pem)

    error, hint = fault(variables(aws, empty_bucket))

    assert error == "the server certificate is not usable: the private key does not match the leaf"
    assert "certificates.py install" in hint


def test_an_expired_certificate(aws: Aws, empty_bucket: str) -> None:
    aws.install(empty_bucket, Authority().server(not_after=YESTERDAY))

    error, _ = fault(variables(aws, empty_bucket))

    assert "expired at " in error


def test_a_certificate_for_another_host(aws: Aws, bucket: str) -> None:
    error, _ = fault(variables(aws, bucket, **{Variable.HOST_NAME: "other.example.com"}))

    assert "wrong host name: other.example.com expected, the leaf is for ingress.local.test" in error


def test_a_manifest_that_is_none(aws: Aws, empty_bucket: str) -> None:
    aws.s3.put_object(Bucket=empty_bucket, Key=MANIFEST_KEY, Body=b"{}")

    error, _ = fault(variables(aws, empty_bucket))

    assert error.startswith("the server certificate's manifest is not usable: `format` must be 1")


def test_no_credentials(aws: Aws, bucket: str) -> None:
    environment = variables(aws, bucket, AWS_EC2_METADATA_DISABLED="true")
    del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]

    error, hint = fault(environment)

    assert error.startswith("no AWS credentials to read the certificate store with")
    assert "task role" in hint


def test_half_of_the_credentials(aws: Aws, bucket: str) -> None:
    environment = variables(aws, bucket)
    del environment["AWS_SECRET_ACCESS_KEY"]

    error, _ = fault(environment)

    assert error.startswith("no AWS credentials to read the certificate store with")
    assert "missing: AWS_SECRET_ACCESS_KEY" in error


def test_a_credentials_endpoint_that_answers_something_else(aws: Aws, bucket: str) -> None:
    """The token that we show it stays out of the line."""
    with s3_that_answers(after=404, code="NoSuchTask") as url:
        shown = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v2", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-token"}
        environment = variables(aws, bucket, **shown)
        del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]

        error, hint = fault(environment)

    assert error.startswith("no AWS credentials to read the certificate store with: CredentialRetrievalError")
    assert "secret-token" not in error + hint


@pytest.mark.parametrize(
    "told",
    [
        {"AWS_ENDPOINT_URL": "no url"},
        {"AWS_ENDPOINT_URL_DYNAMODB": "no url"},
        {"AWS_PROFILE": "missing"},
        {"AWS_RETRY_MODE": "silly"},
    ],
    ids=lambda told: next(iter(told)),
)
def test_aws_settings_that_botocore_refuses(aws: Aws, bucket: str, told: dict[str, str]) -> None:
    error, hint = fault(variables(aws, bucket, **told))

    assert error.startswith("the AWS settings are not usable: ")
    assert "AWS_ variables" in hint


def test_a_port_that_is_taken(aws: Aws, bucket: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        error, hint = fault(variables(aws, bucket, **{Variable.TRAFFIC_PORT: str(port)}))

    assert error == f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert f"`ss -ltnp 'sport = :{port}'`" in hint


def test_an_address_of_another_machine(aws: Aws, bucket: str) -> None:
    """192.0.2.0/24 is for documentation (RFC 5737): nobody has it, so the hint must not be about a port."""
    error, hint = fault(variables(aws, bucket, **{Variable.BIND_ADDRESS: "192.0.2.1"}))

    assert error.endswith(": Cannot assign requested address")
    assert hint.startswith("set MTLS_BIND_ADDRESS to an address of this machine")
