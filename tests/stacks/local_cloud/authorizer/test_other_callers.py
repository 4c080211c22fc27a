"""Who else comes to bucket, key and registry: keeper, deployer, instance, operator, strangers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from stacks import naming
from stacks.ceremonies import server_certificate
from stacks.ceremonies.development_authority import DevelopmentAuthority
from stacks.naming import RoleKind
from tests.stacks.deployment.small import LOCAL
from tests.stacks.local_cloud.authorizer.account import BUCKET, FINGERPRINT, TABLE, Client, Deployed
from tests.stacks.local_cloud.authorizer.test_task_role import KEY, denied

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
SERVICE_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


@dataclass
class Keeper:
    """Clients of the certificate-admin role, as the ceremony takes them."""

    deployed: Deployed

    def client(self, service: str) -> Client:
        """Give a client."""
        return self.deployed.as_role("certificate-admin", service, inside=False)


def test_the_keeper_walks_its_ceremony(deployed: Deployed) -> None:
    """Request, install, status, and the same again: whatever it reads, writes, lists and hides is granted."""
    keeper = Keeper(deployed)
    authority, now = DevelopmentAuthority.create(datetime.now(UTC)), datetime.now(UTC)
    try:
        for _ in range(2):
            request = server_certificate.request(keeper, LOCAL, replace_pending=True)
            server_certificate.install(keeper, LOCAL, authority.sign(request), at=now)
        manifest = server_certificate.status(keeper, LOCAL).manifest
    finally:
        deployed.fill()

    assert manifest is not None
    assert manifest.host_name == LOCAL.ingress.host_name
    assert deployed.refusals == []


@pytest.mark.parametrize("kind", ["execution", "instance", "deploy", "cloudformation"])
def test_nobody_else_of_ours_reads_the_pair_or_a_client(deployed: Deployed, kind: RoleKind) -> None:
    s3, table = deployed.as_role(kind, "s3"), deployed.as_role(kind, "dynamodb")

    for key in (CHAIN_KEY, PRIVATE_KEY_KEY, "elsewhere/other"):
        denied(lambda key=key: s3.get_object(Bucket=BUCKET, Key=key))  # type: ignore[misc]
    denied(lambda: table.get_item(TableName=TABLE, Key=KEY))
    denied(lambda: table.scan(TableName=TABLE))


@pytest.mark.parametrize("kind", ["execution", "instance", "deploy", "cloudformation"])
def test_nobody_else_of_ours_decrypts(deployed: Deployed, kind: RoleKind) -> None:
    key = deployed.outputs["CertificateKeyArn"]
    blob = deployed.cloud.client("kms").encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]

    denied(lambda: deployed.as_role(kind, "kms", inside=False).decrypt(CiphertextBlob=blob))


def test_the_deployer_reads_the_manifest(deployed: Deployed) -> None:
    """It says which certificate must be served, and holds no secret."""
    deploy = deployed.as_role("deploy", "s3", inside=False)

    assert deploy.get_object(Bucket=BUCKET, Key=MANIFEST_KEY)["Body"].read() == MANIFEST_KEY.encode()


def test_whoever_breaks_the_glass_reads_and_purges(deployed: Deployed) -> None:
    glass = deployed.as_role("break-glass", "s3", inside=False)
    version = deployed.cloud.client("s3").put_object(Bucket=BUCKET, Key="server/old", Body=b"x")["VersionId"]

    assert glass.get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY)
    glass.delete_object(Bucket=BUCKET, Key="server/old", VersionId=version)

    denied(lambda: glass.put_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY, Body=b"another"))


def test_only_who_breaks_the_glass_deletes_a_version(deployed: Deployed) -> None:
    version = deployed.cloud.client("s3").head_object(Bucket=BUCKET, Key=CHAIN_KEY)["VersionId"]
    for who in (deployed.as_role("certificate-admin", "s3", inside=False), deployed.as_operator("s3")):
        denied(lambda who=who: who.delete_object(Bucket=BUCKET, Key=CHAIN_KEY, VersionId=version))  # type: ignore[misc]
        denied(
            lambda who=who: who.delete_objects(  # type: ignore[misc]
                Bucket=BUCKET, Delete={"Objects": [{"Key": CHAIN_KEY, "VersionId": version}]}
            )
        )


def test_the_keeper_writes_under_no_other_key_and_no_other_encryption(deployed: Deployed) -> None:
    """S3's own keys, or another key of KMS, would put the private key out of the key policy's reach."""
    keeper = deployed.as_role("certificate-admin", "s3", inside=False)
    other = deployed.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    given: list[dict[str, str]] = [
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": other},
    ]

    for encryption in given:
        denied(lambda encryption=encryption: keeper.put_object(Bucket=BUCKET, Key=CHAIN_KEY, **encryption))  # type: ignore[misc]

    assert keeper.put_object(Bucket=BUCKET, Key="server/pending.key", Body=b"server/pending.key")


# -- administrators and strangers ----------------------------------------------------------


def test_an_administrator_does_not_read_the_key_and_may_mend_the_policy(deployed: Deployed) -> None:
    operator = deployed.as_operator("s3")

    message = denied(lambda: operator.get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY))

    assert "User: arn:aws:iam::123456789012:user/local is not authorized to perform: s3:GetObject" in message
    policy = operator.get_bucket_policy(Bucket=BUCKET)["Policy"]
    operator.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    assert operator.list_objects_v2(Bucket=BUCKET)["KeyCount"]


@pytest.fixture
def staging_task(deployed: Deployed) -> Iterator[Callable[[str], Client]]:
    """The task role of another environment in the account, and somebody gave it everything."""
    iam, name = deployed.cloud.client("iam"), "mtls-ingress-staging-task"
    role = iam.create_role(RoleName=name, Path="/mtls-ingress/", AssumeRolePolicyDocument=json.dumps(SERVICE_TRUST))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(ALL))
    arn = role["Role"]["Arn"]
    given = deployed.cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    made: list[Client] = []

    def speak(service: str) -> Client:
        made.append(deployed.client(service, *(given[each] for each in names), inside=True))
        return made[-1]

    yield speak
    for each in made:
        each.close()
    iam.delete_role_policy(RoleName=name, PolicyName="all")
    iam.delete_role(RoleName=name)


def test_the_task_of_another_environment_reads_nothing_of_this_one(
    deployed: Deployed, staging_task: Callable[[str], Client]
) -> None:
    blob = deployed.cloud.client("kms").encrypt(KeyId=deployed.outputs["CertificateKeyArn"], Plaintext=b"secret")

    assert "NoOtherReadsTheKey" in denied(lambda: staging_task("s3").get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY))
    denied(lambda: staging_task("kms").decrypt(CiphertextBlob=blob["CiphertextBlob"]))


def test_credentials_nobody_handed_out_are_refused(deployed: Deployed) -> None:
    stranger = ("AKIAIOSFODNN7EXAMPLE", "secret")
    calls: list[tuple[str, Callable[[Client], Any], str]] = [
        ("s3", lambda s3: s3.get_object(Bucket=BUCKET, Key=MANIFEST_KEY), "InvalidAccessKeyId"),
        ("dynamodb", lambda table: table.get_item(TableName=TABLE, Key=KEY), "UnrecognizedClientException"),
        ("kms", lambda kms: kms.list_keys(), "UnrecognizedClientException"),
    ]

    for service, call, code in calls:
        client = deployed.client(service, *stranger)
        with pytest.raises(ClientError) as caught:
            call(client)
        client.close()
        assert caught.value.response["Error"]["Code"] == code


def session(deployed: Deployed) -> Any:
    """The newest session that moto's STS handed out."""
    from moto.sts.models import sts_backends  # noqa: PLC0415 - what AWS would keep to itself

    role = naming.role_arn(LOCAL, "task")
    given = deployed.cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return sts_backends[LOCAL.account]["aws"].get_assumed_role_from_access_key(given["AccessKeyId"])


@pytest.mark.parametrize("fault", ["token", "time"])
def test_a_session_is_good_with_its_token_and_in_its_time(deployed: Deployed, fault: str) -> None:
    made = session(deployed)
    token = "another" if fault == "token" else made.session_token
    if fault == "time":
        made.expiration -= timedelta(days=1)
    client = deployed.client("dynamodb", made.access_key_id, made.secret_access_key, token, inside=True)

    with pytest.raises(ClientError, match="invalid" if fault == "token" else "ExpiredTokenException"):
        client.get_item(TableName=TABLE, Key=KEY)

    client.close()


def fetch(url: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask without any signature but the one the address may have."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:  # noqa: S310 - of this machine
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("kind", ["certificate-admin", "task"])
def test_a_presigned_address_opens_nothing(deployed: Deployed, kind: RoleKind, version: str) -> None:
    """Its signature is good and its signer may read; the bucket takes no addresses."""
    signer = deployed.as_role(kind, "s3")
    signing = signer.meta.config.signature_version
    signer.meta.config.signature_version = version
    url = signer.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": PRIVATE_KEY_KEY})
    signer.meta.config.signature_version = signing

    status, body = fetch(url)

    assert status == 403
    assert b"NoPresignedAddress" in body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
def test_nobody_unsigned_gets_in(deployed: Deployed, method: str) -> None:
    status, _ = fetch(f"{deployed.cloud.endpoint_url}/{BUCKET}/{MANIFEST_KEY}", method)

    assert status == 403


def test_a_bucket_that_is_not_there_is_told_to_everybody(deployed: Deployed) -> None:
    task = deployed.as_role("task", "s3")

    with pytest.raises(task.exceptions.NoSuchBucket):
        task.get_object(Bucket="nobody-has-this", Key=FINGERPRINT)


def test_what_the_cloud_itself_calls_is_not_judged(deployed: Deployed) -> None:
    """It acts for CloudFormation, whose own role has its own tests, and for AWS's services."""
    assert deployed.cloud.client("s3").get_object(Bucket=BUCKET, Key=PRIVATE_KEY_KEY)
    assert deployed.refusals == []


# -- taking roles --------------------------------------------------------------------------


def take(client: Client, role: str) -> Any:
    return client.assume_role(RoleArn=role, RoleSessionName="test")


def test_an_operator_takes_the_keepers_and_the_deployers_role(deployed: Deployed) -> None:
    for kind in ("certificate-admin", "deploy"):
        assert take(deployed.as_operator("sts"), naming.role_arn(LOCAL, kind))


@pytest.mark.parametrize("kind", ["task", "execution", "instance", "cloudformation"])
def test_nobody_takes_a_services_role(deployed: Deployed, kind: RoleKind) -> None:
    message = denied(lambda: take(deployed.as_operator("sts"), naming.role_arn(LOCAL, kind)))

    assert "is not authorized to perform: sts:AssumeRole" in message
    assert "because no resource-based policy allows the sts:AssumeRole action" in message


def test_the_glass_is_broken_with_a_second_factor_alone(deployed: Deployed) -> None:
    glass = naming.role_arn(LOCAL, "break-glass")
    with_factor = deployed.client("sts", "local", "local", context={"aws:MultiFactorAuthPresent": "true"})

    denied(lambda: take(deployed.as_operator("sts"), glass))

    assert take(with_factor, glass)
    with_factor.close()


def test_a_task_takes_no_other_role(deployed: Deployed) -> None:
    for kind in ("certificate-admin", "break-glass", "deploy", "task"):
        role = naming.role_arn(LOCAL, kind)
        denied(lambda role=role: take(deployed.as_role("task", "sts"), role))  # type: ignore[misc]
    assert "assumed-role/" in deployed.as_role("task", "sts").get_caller_identity()["Arn"]


def test_a_role_that_is_not_there_is_taken_by_nobody(deployed: Deployed) -> None:
    denied(lambda: take(deployed.as_operator("sts"), "arn:aws:iam::123456789012:role/nobody"))


def test_what_an_identity_provider_says_is_not_believed(deployed: Deployed) -> None:
    """Its signature cannot be checked here."""
    role = naming.role_arn(LOCAL, "deploy")
    client = deployed.as_operator("sts")

    denied(
        lambda: client.assume_role_with_web_identity(RoleArn=role, RoleSessionName="test", WebIdentityToken="a.b.c" * 4)
    )
