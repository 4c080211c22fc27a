"""
The service of the local run really is its task role: it reads its pair and nothing else, and stops if it may not.

The credentials are those of a running task, fetched as it fetches them.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts._local_walk import Walk
from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from service.identity.certificate import parse_certificate
from stacks import naming
from stacks.catalog import Catalog
from tests.scripts import judged_walk
from tests.scripts.judged_walk import STORE, Change, Client, TaskCredentials, changed, new_walk
from tests.stacks.deployment.small import LOCAL

pytestmark = pytest.mark.slow  # its small sibling: tests/stacks/local_cloud/authorizer

BUCKET, TABLE = naming.certificate_bucket(LOCAL), naming.client_registry_table(LOCAL)
SOON_SECONDS = 20.0


@dataclass
class Standing:
    """A walk that came up, and one of its tasks."""

    walk: Walk
    catalog: Catalog
    task: TaskCredentials
    fingerprint: str
    said: io.StringIO

    def operator(self, service: str) -> Client:
        """Act as whoever types the commands."""
        return self.walk.target.account.client(service)

    def deploy(self, catalog: Catalog) -> None:
        """Deploy these templates over those that stand."""
        self.walk.target = replace(self.walk.target, catalog=catalog)
        outcome = self.walk.deploy()
        assert outcome.exit_code == 0, outcome

    def begin_anew(self) -> None:
        """Stop every task, so that others boot."""
        ecs = self.operator("ecs")
        (cluster,) = ecs.list_clusters()["clusterArns"]
        for task in ecs.list_tasks(cluster=cluster)["taskArns"]:
            ecs.stop_task(cluster=cluster, task=task)

    def is_served(self) -> bool:
        """Tell whether an instance is in service."""
        elb = self.operator("elb")
        (balancer,) = elb.describe_load_balancers()["LoadBalancerDescriptions"]
        told = elb.describe_instance_health(LoadBalancerName=balancer["LoadBalancerName"])["InstanceStates"]
        return "InService" in {instance["State"] for instance in told}

    def soon(self, happens: Callable[[], bool]) -> bool:
        """Wait for what tasks bring about."""
        deadline = time.monotonic() + SOON_SECONDS
        while not happens() and time.monotonic() < deadline:
            time.sleep(0.05)
        return happens()

    def refused(self, sentence: str) -> bool:
        """Tell whether the walk said that a call was refused, in such words."""
        lines = [line for line in self.said.getvalue().splitlines() if "refused: " in line]
        return any(re.search(sentence, line) for line in lines)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with contextlib.ExitStack() as stack:
        run, said = new_walk(stack, tmp_path_factory.mktemp("client"))
        run.bring_up(announced=False)
        run.deploy_and_certify()
        ingress = run.open_ingress(announced=False)
        assert [probed.fault for probed in run.probe_all(ingress)] == ["", "", ""]
        fingerprint = parse_certificate(run.files.certificate.read_bytes()).fingerprint.hex
        task = TaskCredentials.of_running_task()
        yield Standing(run, run.target.catalog, task, fingerprint, said)
        for client in task.clients:
            client.close()


def test_a_walk_that_comes_up_is_refused_nothing(standing: Standing) -> None:
    assert "refused: " not in standing.said.getvalue()


def test_the_tasks_credentials_read_manifest_pair_and_client(standing: Standing) -> None:
    s3, table = standing.task.client("s3"), standing.task.client("dynamodb")
    manifest = json.loads(s3.get_object(Bucket=BUCKET, Key=MANIFEST_KEY)["Body"].read())

    for key in (CHAIN_KEY, PRIVATE_KEY_KEY):
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().startswith(b"-----BEGIN")
    item = table.get_item(TableName=TABLE, Key={"fingerprint": {"S": standing.fingerprint}})

    assert manifest["host_name"] == LOCAL.ingress.host_name
    assert "Item" in item


def attacks(standing: Standing) -> Iterator[Callable[[], Any]]:
    """What somebody would try who has taken over a task."""
    task, fingerprint = standing.task, {"fingerprint": {"S": standing.fingerprint}}
    s3, table, kms = task.client("s3"), task.client("dynamodb"), task.client("kms")
    carried_off = task.client("s3", standing.operator("s3").meta.endpoint_url)
    for name in ("server/pending-key.pem", "elsewhere", f"{PRIVATE_KEY_KEY}.old"):
        yield lambda name=name: s3.get_object(Bucket=BUCKET, Key=name)  # type: ignore[misc]
    yield lambda: s3.get_object(Bucket=naming.log_bucket(LOCAL), Key="any")
    yield lambda: s3.list_objects_v2(Bucket=BUCKET)
    yield lambda: s3.list_object_versions(Bucket=BUCKET)
    yield lambda: s3.put_object(Bucket=BUCKET, Key=CHAIN_KEY, Body=b"mine")
    yield lambda: s3.delete_object(Bucket=BUCKET, Key=CHAIN_KEY)
    yield lambda: s3.delete_bucket_policy(Bucket=BUCKET)
    yield lambda: carried_off.get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY)
    key = {"KeyId": naming.key_alias(LOCAL, STORE)}
    yield lambda: kms.generate_data_key(**key, KeySpec="AES_256")
    yield lambda: kms.encrypt(**key, Plaintext=b"x")
    yield lambda: table.scan(TableName=TABLE)
    selection = {":f": fingerprint["fingerprint"]}
    yield lambda: table.query(
        TableName=TABLE, KeyConditionExpression="fingerprint = :f", ExpressionAttributeValues=selection
    )
    yield lambda: table.put_item(TableName=TABLE, Item=fingerprint)
    yield lambda: table.delete_item(TableName=TABLE, Key=fingerprint)
    yield lambda: table.get_item(TableName="mtls-ingress-staging-client-registry", Key=fingerprint)


def test_the_tasks_credentials_do_nothing_else(standing: Standing) -> None:
    for attack in attacks(standing):
        with pytest.raises(ClientError) as caught:
            attack()
        assert caught.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}


# -- templates that are too tight ------------------------------------------------------------

TOO_TIGHT: dict[str, tuple[Change, str]] = {
    "the bucket exempts other roles": (
        judged_walk.exempt_no_task_from_the_bucket,
        "not authorized to perform: s3:GetObject.*statement NoOtherReadsTheKey of bucket policy",
    ),
    "the key exempts other roles": (
        judged_walk.exempt_no_task_from_the_key,
        "not authorized to perform: kms:Decrypt .*statement NoOtherReadsWithIt of key policy",
    ),
    "the task decrypts through another service": (
        judged_walk.decrypt_through_another_service,
        "not authorized to perform: kms:Decrypt .*because no identity-based policy allows",
    ),
    "the task has another prefix": (
        judged_walk.forget_the_prefix,
        "not authorized to perform: s3:GetObject.* on resource: .*/server/.*because no identity-based policy allows",
    ),
    "the pin names another endpoint": (
        judged_walk.pin_elsewhere,
        "not authorized to perform: s3:GetObject .*statement TaskOnlyThroughTheEndpoint of bucket policy",
    ),
}


@pytest.mark.parametrize("case", TOO_TIGHT)
def test_a_policy_that_is_too_tight_keeps_every_new_task_from_its_pair(standing: Standing, case: str) -> None:
    """The service cannot boot, nobody is served, and the statement is named; put right, everybody is served again."""
    change, sentence = TOO_TIGHT[case]
    standing.deploy(changed(standing.catalog, STORE, change))

    standing.begin_anew()

    assert standing.soon(lambda: standing.refused(sentence)), standing.said.getvalue()[-2000:]
    assert standing.soon(lambda: not standing.is_served())
    standing.deploy(standing.catalog)
    assert standing.soon(standing.is_served)
