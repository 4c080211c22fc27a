"""The embedded cloud as a place: one endpoint, empty at start, gone after stop."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from botocore.exceptions import EndpointConnectionError
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.forwarding import Forward


def test_boto3_finds_moto_behind_one_endpoint() -> None:
    with LocalCloud() as cloud:
        cloud.client("s3").create_bucket(Bucket="certificates")
        cloud.client("s3").put_object(Bucket="certificates", Key="server/chain.pem", Body=b"pem")

        read = cloud.client("s3").get_object(Bucket="certificates", Key="server/chain.pem")["Body"].read()

        assert read == b"pem"
        assert cloud.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_two_runs_in_one_process_do_not_meet() -> None:
    with LocalCloud() as first:
        first.client("s3").create_bucket(Bucket="left-behind")

    with LocalCloud() as second:
        assert second.client("s3").list_buckets()["Buckets"] == []


def test_two_clouds_at_once_are_refused() -> None:
    """The backends of moto are module globals: a second cloud would empty the first."""
    with LocalCloud(), pytest.raises(RuntimeError, match="room for one"):
        LocalCloud().start()


def test_nothing_answers_after_stop() -> None:
    """A connection that boto3 keeps for reuse is cut as well."""
    cloud = LocalCloud()
    cloud.start()
    client = cloud.client("sts")
    client.get_caller_identity()

    cloud.stop()

    with pytest.raises(EndpointConnectionError):
        client.get_caller_identity()


def test_managed_policies_of_aws_exist() -> None:
    with LocalCloud() as cloud:
        arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"

        assert cloud.client("iam").get_policy(PolicyArn=arn)["Policy"]["Arn"] == arn


def test_start_and_stop_take_less_than_a_second() -> None:
    """Counted in time of the processor, so that a busy machine does not fail it."""
    began = time.process_time()

    with LocalCloud():
        pass

    assert time.process_time() - began < 1


@dataclass
class _Renames:
    service: str = "sts"

    def handle(self, request: Request, forward: Forward) -> Response:
        """Pass the request on and rename the account in what comes back."""
        assert b"GetCallerIdentity" in request.get_data()
        response = forward()
        response.set_data(response.get_data().replace(b"123456789012", b"999999999999"))
        return response


def test_a_stand_in_changes_what_moto_answers_for_its_service() -> None:
    with LocalCloud(stand_ins=[_Renames()]) as cloud:
        assert cloud.client("sts").get_caller_identity()["Account"] == "999999999999"


def test_an_account_moto_cannot_serve_is_refused() -> None:
    with pytest.raises(ValueError, match="123456789012"):
        LocalCloud(account="111111111111")
