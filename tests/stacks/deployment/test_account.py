"""Nothing is called before the account is known to be the environment's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from werkzeug.wrappers import Request, Response

from stacks.deployment.account import (
    CredentialsRefusedError,
    LocalCloudNotRunningError,
    LocalEndpoint,
    NoCredentialsFoundError,
    UnreachableError,
    WrongAccountError,
    open_account,
)
from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.forwarding import Forward

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Place:
    """The three facts of an environment that say where it lives."""

    name: str = "local"
    account: str = ACCOUNT
    region: str = "us-east-1"


@dataclass
class Calls:
    """Notes every call of one service."""

    service: str
    seen: list[str] = field(default_factory=list)

    def handle(self, request: Request, forward: Forward) -> Response:
        """Note, and pass on."""
        self.seen.append(request.form.get("Action", request.path))
        return forward()


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as running:
        yield running


@pytest.fixture
def endpoint(cloud: LocalCloud) -> LocalEndpoint:
    return LocalEndpoint(1, cloud.endpoint_url, "us-east-1", ACCOUNT)


def test_the_right_account_opens(endpoint: LocalEndpoint) -> None:
    account = open_account(Place(), endpoint=endpoint)

    assert account.client("s3").list_buckets()["Buckets"] == []


def test_one_client_serves_all_who_ask(endpoint: LocalEndpoint) -> None:
    account = open_account(Place(), endpoint=endpoint)

    assert account.client("s3") is account.client("s3")


def test_the_wrong_account_is_refused_after_one_call_and_no_other(cloud: LocalCloud, endpoint: LocalEndpoint) -> None:
    calls = Calls("sts")
    cloud.stand_ins.append(calls)

    with pytest.raises(
        WrongAccountError, match=r"your account is 123456789012, but environments/local.toml says 99"
    ) as it:
        open_account(Place(account="999999999999"), endpoint=endpoint)

    cloud.stand_ins.remove(calls)
    assert calls.seen == ["GetCallerIdentity"]
    assert it.value.exit_code == 4


def test_the_wrong_region_is_refused_without_any_call(endpoint: LocalEndpoint) -> None:
    with pytest.raises(
        WrongAccountError, match=r"your region is us-east-1, but environments/local.toml says eu-west-1"
    ):
        open_account(Place(region="eu-west-1"), endpoint=endpoint)


def test_a_running_cloud_that_plays_another_account_is_to_be_started_again(endpoint: LocalEndpoint) -> None:
    with pytest.raises(WrongAccountError) as refused:
        open_account(Place(region="eu-west-1"), endpoint=endpoint)

    assert str(refused.value.hint).startswith("end make local and start it again")


def test_where_nobody_answers_signing_in_is_not_the_advice() -> None:
    """A file of `make local` whose process number belongs to somebody else by now."""
    with pytest.raises(UnreachableError, match="the embedded cloud cannot be reached") as refused:
        open_account(Place(), endpoint=LocalEndpoint(1, "http://127.0.0.1:9", "us-east-1", ACCOUNT))

    assert refused.value.hint == "end make local and start it again"


class Elsewhere:
    """Says that the caller lives in another partition."""

    service = "sts"

    def handle(self, _request: Request, forward: Forward) -> Response:
        """Change the ARN on its way back."""
        answer = forward()
        answer.data = answer.data.replace(b"arn:aws:", b"arn:aws-us-gov:")
        return answer


def test_the_wrong_partition_is_refused(cloud: LocalCloud, endpoint: LocalEndpoint) -> None:
    elsewhere = Elsewhere()
    cloud.stand_ins.append(elsewhere)

    with pytest.raises(WrongAccountError, match=r"your partition is aws-us-gov, but .* says aws;"):
        open_account(Place(), endpoint=endpoint)

    cloud.stand_ins.remove(elsewhere)


def test_local_never_opens_on_aws() -> None:
    with pytest.raises(LocalCloudNotRunningError):
        open_account(Place())


def test_a_role_can_be_assumed(cloud: LocalCloud, endpoint: LocalEndpoint) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    cloud.client("iam").create_role(RoleName="certificate-admin", AssumeRolePolicyDocument=document)

    admin = open_account(Place(), endpoint=endpoint).assume_role(
        f"arn:aws:iam::{ACCOUNT}:role/certificate-admin", "test"
    )

    assert ":assumed-role/certificate-admin/test" in admin.client("sts").get_caller_identity()["Arn"]


@pytest.fixture
def no_credentials(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nobody has signed in to AWS."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("no_credentials")
def test_without_credentials_one_line_points_to_make_local() -> None:
    with pytest.raises(NoCredentialsFoundError) as refused:
        open_account(Place(name="staging"))

    assert "\n" not in str(refused.value)
    assert refused.value.hint is not None
    assert "make local" in refused.value.hint


@pytest.mark.usefixtures("no_credentials")
def test_a_profile_nobody_wrote_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "misspelt")

    with pytest.raises(CredentialsRefusedError, match="misspelt"):
        open_account(Place(name="staging"))


def test_local_needs_no_profile_even_if_one_is_named(endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "misspelt")

    assert open_account(Place(), endpoint=endpoint).region == "us-east-1"
