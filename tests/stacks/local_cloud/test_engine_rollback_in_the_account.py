"""A failing resource in the middle of a real creation or update, and clouds that are set up for one test each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.engine.resource_life import ScriptedFailure
from tests.stacks.local_cloud.things import Hand, Json, Shelf, template, thing, things_cloud


def _network(*, cidr: str = "10.0.0.0/16", port: int = 443, status: str = "Enabled", **more: Json) -> Json:
    return template(
        {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": cidr}},
            "Group": {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupDescription": "the load balancer",
                    "VpcId": {"Ref": "Vpc"},
                    "SecurityGroupIngress": [
                        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "192.0.2.0/24"}
                    ],
                },
            },
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"VersioningConfiguration": {"Status": status}},
            },
            **more,
        },
        Outputs={"VpcId": {"Value": {"Ref": "Vpc"}}},
    )


def _listed(cloud: LocalCloud) -> Json:
    """Everything of these types that the account has, as the services themselves tell it."""
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    return {
        "vpcs": sorted(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]),
        "groups": sorted(
            (group["GroupId"], str(group["IpPermissions"]), str(group["IpPermissionsEgress"]))
            for group in ec2.describe_security_groups()["SecurityGroups"]
        ),
        "buckets": {name: s3.get_bucket_versioning(Bucket=name).get("Status") for name in buckets},
    }


_LATE_BUCKET = {"Type": "AWS::S3::Bucket", "DependsOn": ["Group", "Bucket"]}


@pytest.fixture
def aws() -> Iterator[Hand]:
    with LocalCloud() as cloud:
        yield Hand(cloud, Shelf())


def test_a_failing_resource_in_a_real_creation_leaves_the_account_as_it_was(aws: Hand) -> None:
    before = _listed(aws.cloud)
    aws.cloud.fail_next(ScriptedFailure("Late", on="create"))

    name = aws.create(_network(Late=_LATE_BUCKET))

    assert aws.stack(name)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert _listed(aws.cloud) == before


def test_a_failing_resource_in_a_real_update_leaves_the_account_as_it_was(aws: Hand) -> None:
    """The VPC would be replaced, the group with it, versioning suspended, a bucket added: then the bucket fails."""
    name = aws.create(_network())
    assert aws.stack(name)["StackStatus"] == "CREATE_COMPLETE"
    before, outputs = _listed(aws.cloud), aws.outputs(name)
    aws.cloud.fail_next(ScriptedFailure("Late", on="create"))

    status = aws.update(name, _network(cidr="10.1.0.0/16", port=8443, status="Suspended", Late=_LATE_BUCKET))

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert _listed(aws.cloud) == before
    assert aws.outputs(name) == outputs


def test_a_service_that_refuses_is_quoted(aws: Hand) -> None:
    name = aws.create(_network(cidr="10.0.0.0/8"))

    assert "HandlerErrorCode: InvalidVpc.Range" in aws.history(name, "Vpc")[1]


def test_a_resource_that_never_settles_fails() -> None:
    """User Guide, "Resource did not stabilize"; our bound instead of AWS's hours."""
    with things_cloud(stabilization_seconds=0.1) as hand:
        hand.shelf.unstable.add("stuck")

        name = hand.create(template({"Stuck": thing(Name="stuck")}))

        assert (
            "did not stabilize: Test::Thing stuck within 0.1 seconds: stuck wobbles" in hand.history(name, "Stuck")[2]
        )
        assert hand.shelf.of(name) == {}


def test_a_failure_is_scripted_for_one_stack() -> None:
    with things_cloud(scripted_failures=[ScriptedFailure("Box", on="create", stack="other")]) as hand:
        spared, struck = hand.create(template({"Box": thing()})), hand.create(template({"Box": thing()}), name="other")

        assert hand.stack(spared)["StackStatus"] == "CREATE_COMPLETE"
        assert hand.stack(struck)["StackStatus"] == "ROLLBACK_COMPLETE"


def test_a_cloud_that_stops_does_not_wait_for_what_runs() -> None:
    with things_cloud() as hand:
        hand.shelf.unstable.add("stuck")
        hand.api.create_stack(StackName="slow", TemplateBody=json.dumps(template({"Stuck": thing(Name="stuck")})))
        _until(lambda: "stuck" in hand.shelf.things)
        began = time.perf_counter()

    assert time.perf_counter() - began < 20  # and not the two minutes a resource may take
    assert not [thread for thread in threading.enumerate() if thread.name == "stack-slow"]


def _until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)
