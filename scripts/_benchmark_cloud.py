"""
The embedded cloud of the benchmark, in a process of its own: bucket, pair, registry, clients.

    python -m scripts._benchmark_cloud DIRECTORY CLIENTS CERTIFICATES

It writes what the servers and the load need into the directory, says on one
line of JSON where it is, and answers each line on standard input with how many
items were read so far. It ends with its standard input.

CLIENTS is how many certificates the registry holds, CERTIFICATES how many of
them exist with a key, so that somebody can come with them.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from scripts import _terminal
from scripts._benchmark_stage import P256, PEER_CLIENTS, RSA_2048, WITNESS, numbered_client
from service.contract import CHAIN_KEY, CLIENT_INDEX, PRIVATE_KEY_KEY, RegistryAttribute
from service.identity.certificate import parse_certificate
from stacks import naming
from stacks.ceremonies import enrollment, server_certificate
from stacks.ceremonies.development_authority import DevelopmentAuthority
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment
from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.large_table import LookupCounter, copy_item


def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int:
    """Build, announce and serve."""
    directory, clients, certificates = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    environment = load_environment(find_environment("local", _terminal.ROOT))
    counter = LookupCounter()
    with LocalCloud(stand_ins=[counter]) as cloud:
        _install(cloud, environment, directory)
        _enroll(cloud, environment, directory, clients=clients, certificates=certificates)
        terminal.record({"endpoint_url": cloud.endpoint_url})
        for _ in sys.stdin:
            terminal.record({"lookups": counter.lookups})
    return 0


def _install(cloud: LocalCloud, environment: Environment, directory: Path) -> None:
    """Walk the server certificate's ceremony; peers of ours get the same pair as files."""
    s3, bucket = cloud.client("s3"), naming.certificate_bucket(environment)
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    now = datetime.now(UTC)
    authority = DevelopmentAuthority.create(now)
    csr = server_certificate.request(cloud, environment)
    server_certificate.install(cloud, environment, authority.sign(csr), at=now)
    (directory / "authority.crt").write_bytes(authority.certificate_pem)
    for name, key in (("server.crt", CHAIN_KEY), ("server.key", PRIVATE_KEY_KEY)):
        (directory / name).write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def _enroll(cloud: LocalCloud, environment: Environment, directory: Path, *, clients: int, certificates: int) -> None:
    table = naming.client_registry_table(environment)
    _make_table(cloud, table)
    authority = DevelopmentAuthority.create(datetime.now(UTC))
    fingerprint = ""
    for name, key in ((P256, None), (RSA_2048, rsa.generate_private_key(65537, 2048)), (WITNESS, None)):
        certificate = _write_client(authority, directory, name, key=key)
        fingerprint = enrollment.enroll(cloud, environment, name, certificate).record.fingerprint.hex

    copy_item(cloud, table, fingerprint, _real(authority, directory, certificates))
    copy_item(cloud, table, fingerprint, _imagined(clients - certificates - len(PEER_CLIENTS)))


def _real(authority: DevelopmentAuthority, directory: Path, count: int) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    for name in map(numbered_client, range(count)):
        certificate = parse_certificate(_write_client(authority, directory, name))
        yield {
            RegistryAttribute.FINGERPRINT.value: {"S": certificate.fingerprint.hex},
            RegistryAttribute.CLIENT.value: {"S": name},
            RegistryAttribute.CERTIFICATE.value: {"B": certificate.der},
            RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO.value: {"B": certificate.subject_public_key_info},
        }


def _imagined(count: int) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    for _ in range(count):
        yield {RegistryAttribute.FINGERPRINT.value: {"S": secrets.token_hex(32)}}


def _write_client(
    authority: DevelopmentAuthority, directory: Path, name: str, *, key: rsa.RSAPrivateKey | None = None
) -> bytes:
    certificate, key_pem = authority.issue_client(name, key=key)
    (directory / f"{name}.crt").write_bytes(certificate)
    (directory / f"{name}.key").write_bytes(key_pem)
    return certificate


def _make_table(cloud: LocalCloud, table: str) -> None:
    fingerprint, client = RegistryAttribute.FINGERPRINT.value, RegistryAttribute.CLIENT.value
    cloud.client("dynamodb").create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (fingerprint, client)],
        KeySchema=[{"AttributeName": fingerprint, "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": CLIENT_INDEX,
                "KeySchema": [
                    {"AttributeName": client, "KeyType": "HASH"},
                    {"AttributeName": fingerprint, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
